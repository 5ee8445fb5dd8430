package webui

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

const vendorDir = "assets/vendor"

// libraries are those of others that pages load, and what their licence begins with.
var libraries = map[string]string{"htmx": "Zero-Clause BSD", "uplot": "The MIT License (MIT)", "pico": "MIT License"}

// TestVendor: the files of others are what their list of checksums says, no more and no fewer, and each library came with
// its licence. scripts/vendor.sh writes them all.
func TestVendor(t *testing.T) {
	listed := map[string]string{}
	for line := range strings.Lines(read(t, vendorDir+"/SHA256SUMS")[vendorDir+"/SHA256SUMS"]) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("SHA256SUMS has %q", line)
		}
		listed[name] = sum
	}
	for file, content := range read(t, vendorDir+"/*.*") {
		sum := sha256.Sum256([]byte(content))
		if name := path.Base(file); listed[name] != hex.EncodeToString(sum[:]) {
			t.Errorf("%s is not what SHA256SUMS says: fetch it again with scripts/vendor.sh", file)
		}
		delete(listed, path.Base(file))
	}
	for name := range listed {
		t.Errorf("SHA256SUMS lists %s, which is not there", name)
	}
	for name, begins := range libraries {
		text, err := fs.ReadFile(FS(), vendorDir+"/"+name+".LICENSE.txt")
		if err != nil || !strings.HasPrefix(strings.TrimSpace(string(text)), begins) || !strings.Contains(string(text), "WARRANT") {
			t.Errorf("%s has no licence that begins with %q: %v", name, begins, err)
		}
	}
	script, docs := readFile(t, "../scripts/vendor.sh"), readFile(t, "../docs/dependencies.md")
	for _, m := range regexp.MustCompile(`(?m)^take (\S+) (\S+) (\S+)`).FindAllStringSubmatch(script, -1) {
		if libraries[m[3]] == "" || !strings.Contains(docs, "| "+m[1]+" | "+m[2]+" |") {
			t.Errorf("%s %s is not in docs/dependencies.md, or its licence is not checked", m[1], m[2])
		}
	}
	// What a style sheet of others names would be asked of other servers.
	for file, content := range read(t, vendorDir+"/*.css") {
		if m := regexp.MustCompile(`@import|url\((?:"|')?(?:https?:|//)`).FindString(content); m != "" {
			t.Errorf("%s has %s", file, m)
		}
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
