// Package treadmq_test checks the direction of the module's imports.
package treadmq_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed says what each package of ours may import of ours, in other than test
// files. A package that is not listed may import nothing.
var allowed = map[string][]string{
	"cmd/treadmq":             {"*"},
	"admin":                   {"broker", "broker/stomp/sendheader", "store", "notice"},
	"webui":                   {},
	"conf":                    {},
	"conf/realm":              {"notice"},
	"broker":                  {"store", "broker/selector", "broker/cron"},
	"broker/cron":             {},
	"broker/stomp":            {"broker", "broker/stomp/frame", "broker/stomp/sendheader"},
	"broker/stomp/frame":      {},
	"broker/stomp/sendheader": {"broker"},
	"broker/selector":         {},
	"embed":                   {"broker", "broker/stomp", "store/local", "store/vfs"},
	"ha":                      {"store", "store/local", "ha/coord", "ha/replica", "ha/replica/wire", "notice"},
	"ha/failover":             {},
	"ha/coord":                {},
	"ha/internal/mutate":      {},
	"ha/replica":              {"store", "ha/coord", "ha/internal/mutate", "notice"},
	"ha/replica/wire":         {"store", "ha/replica"},
	"ha/sim":                  {"store", "ha/coord", "ha/replica", "ha/internal/mutate"},
	"ha/coord/coordtest":      {"ha/coord"},
	"ha/zk":                   {"ha/coord"},
	"ha/zk/zktest":            {},
	"notice":                  {},
	"store":                   {},
	"store/vfs":               {},
	"store/journal":           {"store", "store/vfs"},
	"store/index":             {"store", "store/vfs"},
	"store/local":             {"store", "store/journal", "store/index", "store/vfs"},
}

func TestImportDirection(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "scripts" || d.Name() == "e2e" || d.Name() == "data"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		seen[pkg] = true
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imp := range f.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			ours, ok := strings.CutPrefix(name, "treadmq/")
			if ok && !permitted(pkg, ours) {
				t.Errorf("%s imports %s; see the directions in docs/architecture.md", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range allowed {
		if !seen[pkg] && pkg != "webui" {
			t.Errorf("the list names %s, which has no Go files", pkg)
		}
	}
}

func permitted(pkg, imported string) bool {
	list, ok := allowed[pkg]
	if !ok && strings.HasPrefix(pkg, "cmd/treadmq/") {
		return imported != "store/local"
	}
	return slices.Contains(list, imported) || slices.Contains(list, "*")
}
