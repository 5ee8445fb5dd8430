package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"treadmq/conf"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestConfigurations loads every example of a configuration.
func TestConfigurations(t *testing.T) {
	n := 0
	for _, x := range texts(t) {
		for _, f := range x.fences {
			if f.language != "toml" {
				continue
			}
			n++
			file := filepath.Join(t.TempDir(), "treadmq.toml")
			if err := os.WriteFile(file, []byte(strings.Join(f.lines, "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := conf.Load(conf.Sources{File: file, Required: true}); err != nil {
				t.Errorf("%s:%d: %v", x.path, f.line, err)
			}
		}
	}
	if n == 0 {
		t.Error("no example was found")
	}
}

// TestDependencies compares docs/dependencies.md with go.mod.
func TestDependencies(t *testing.T) {
	row := regexp.MustCompile(`(?m)^\| (\S+) \| (v\S+) \|`)
	var listed, required []string
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/dependencies.md"), -1) {
		listed = append(listed, m[1]+" "+m[2])
	}
	for line := range strings.Lines(read(t, "go.mod")) {
		if f := strings.Fields(line); len(f) == 2 && strings.HasPrefix(f[1], "v") {
			required = append(required, f[0]+" "+f[1])
		}
	}
	slices.Sort(listed)
	slices.Sort(required)
	if diff := cmp.Diff(required, listed); diff != "" {
		t.Errorf("docs/dependencies.md differs from go.mod (-go.mod +docs)\n%s", diff)
	}
}

var quotedCode = regexp.MustCompile("`([^`]+)`")

// TestImportTable compares the table of docs/architecture.md with the one that
// imports_test.go enforces.
func TestImportTable(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "docs/architecture.md"), "| Package | May import of ours |")
	table, _, _ = strings.Cut(table, "\n\n")
	listed := map[string][]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		may := []string{}
		for _, m := range quotedCode.FindAllStringSubmatch(cells[2], -1) {
			may = append(may, m[1])
		}
		if strings.Contains(cells[2], "everything") {
			may = []string{"*"}
		}
		slices.Sort(may)
		for _, m := range quotedCode.FindAllStringSubmatch(cells[1], -1) {
			listed[m[1]] = may
		}
	}
	if diff := cmp.Diff(allowedImports(t), listed); diff != "" {
		t.Errorf("the table differs from imports_test.go (-test +docs)\n%s", diff)
	}
}

// allowedImports reads the variable allowed of imports_test.go.
func allowedImports(t *testing.T) map[string][]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "imports_test.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string][]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "allowed" {
			return true
		}
		for _, e := range spec.Values[0].(*ast.CompositeLit).Elts {
			pair := e.(*ast.KeyValueExpr)
			may := []string{}
			for _, v := range pair.Value.(*ast.CompositeLit).Elts {
				may = append(may, literal(v))
			}
			slices.Sort(may)
			allowed[literal(pair.Key)] = may
		}
		return false
	})
	return allowed
}

func literal(e ast.Expr) string {
	s, _ := strconv.Unquote(e.(*ast.BasicLit).Value)
	return s
}

// TestErrorCodes compares the table of docs/stomp.md with the codes that the
// broker and its STOMP front end know.
func TestErrorCodes(t *testing.T) {
	code := regexp.MustCompile(`(?:Code = |broker\.Code\()"([a-z-]+)"`)
	kind := regexp.MustCompile(`return "([a-z-]+)"`)
	var known, listed []string
	for _, file := range []string{"broker/errors.go", "broker/stomp/fault.go"} {
		for _, m := range code.FindAllStringSubmatch(read(t, file), -1) {
			known = append(known, m[1])
		}
	}
	for _, m := range kind.FindAllStringSubmatch(read(t, "broker/stomp/frame/errors.go"), -1) {
		if m[1] != "unknown" {
			known = append(known, m[1])
		}
	}
	_, table, _ := strings.Cut(read(t, "docs/stomp.md"), "| `x-code` | Meaning |")
	table, _, _ = strings.Cut(table, "\n\n")
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range quotedCode.FindAllStringSubmatch(cells[1], -1) {
				listed = append(listed, m[1])
			}
		}
	}
	slices.Sort(known)
	slices.Sort(listed)
	if diff := cmp.Diff(slices.Compact(known), listed); diff != "" {
		t.Errorf("the table of errors differs from the source (-source +docs)\n%s", diff)
	}
}

// TestMakeTargets looks up every make target that the texts name.
func TestMakeTargets(t *testing.T) {
	makefile := read(t, "Makefile")
	target := regexp.MustCompile(`(?:^|[ (])make ([a-z-]+)`)
	n := 0
	for _, x := range texts(t) {
		var code []string
		for _, f := range x.fences {
			if f.language == "sh" {
				code = append(code, f.lines...)
			}
		}
		for _, line := range x.lines {
			for _, m := range quotedCode.FindAllStringSubmatch(line, -1) {
				code = append(code, m[1])
			}
		}
		for _, line := range code {
			line, _, _ = strings.Cut(line, " #")
			for _, m := range target.FindAllStringSubmatch(line, -1) {
				n++
				if !strings.Contains(makefile, "\n"+m[1]+":") {
					t.Errorf("%s: %q: the Makefile has no target %s", x.path, strings.TrimSpace(line), m[1])
				}
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d uses of make were found", n)
	}
}

// TestLogLines looks up the lines of the table in docs/operations.md in the source.
func TestLogLines(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "docs/operations.md"), "| Level | Line | Means |")
	table, _, _ = strings.Cut(table, "\n\n")
	source := goSource(t)
	n := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, m := range quotedCode.FindAllStringSubmatch(cells[2], -1) {
			n++
			if begin := strings.TrimSuffix(strings.TrimSuffix(m[1], "..."), " "); !strings.Contains(source, `"`+begin) {
				t.Errorf("no line of the log begins with %q", begin)
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d lines were found", n)
	}
}

// goSource is the program's source without its tests.
func goSource(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && notOurs(d.Name()):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
