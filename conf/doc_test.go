package conf_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"treadmq/conf"
)

// The lines of docs/configuration.md between which the reference of keys stands.
const (
	referenceBegin = "<!-- reference: begin -->\n"
	referenceEnd   = "<!-- reference: end -->\n"
)

// TestReferenceInDocs keeps docs/configuration.md in step with the table of
// keys; -update rewrites it.
func TestReferenceInDocs(t *testing.T) {
	path := filepath.Join("..", "docs", "configuration.md")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, begins := strings.Cut(string(data), referenceBegin)
	_, tail, ends := strings.Cut(rest, referenceEnd)
	if !begins || !ends {
		t.Fatalf("%s needs the lines %s and %s around the reference", path, strings.TrimSpace(referenceBegin), strings.TrimSpace(referenceEnd))
	}
	want := head + referenceBegin + conf.Doc() + referenceEnd + tail
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(data), want); diff != "" {
		t.Errorf("the reference is out of date; rewrite it with go test ./conf -run ReferenceInDocs -update (-is +want)\n%s", diff)
	}
}
