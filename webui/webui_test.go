package webui

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"treadmq/conf"
)

func read(t *testing.T, pattern string) map[string]string {
	t.Helper()
	names, err := fs.Glob(FS(), pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v, %v", pattern, names, err)
	}
	all := map[string]string{}
	for _, name := range names {
		raw, err := fs.ReadFile(FS(), name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(raw)
	}
	return all
}

func templates(t *testing.T) map[string]string {
	t.Helper()
	all := read(t, "templates/*.html")
	maps.Copy(all, read(t, "templates/parts/*.html"))
	return all
}

func texts(t *testing.T, language string) map[string]string {
	t.Helper()
	keys := map[string]string{}
	if err := json.Unmarshal([]byte(read(t, "texts/"+language+".json")["texts/"+language+".json"]), &keys); err != nil {
		t.Fatal(err)
	}
	return keys
}

// Keys that are put together: the beginning in a template, the rest from a value.
var built = []string{"act.title.", "action.", "cluster.health.", "cluster.level.", "cluster.role.", "confirm.", "dead.why.", "error.code.", "jobs.state.", "may.", "life.", "message.view.", "settings.doc.", "trash."}

var keyOf = regexp.MustCompile(`"([a-z]+(?:\.[a-z]+)+)"`)

// TestTexts: every key that is used is there, every key that is there is used.
func TestTexts(t *testing.T) {
	en := texts(t, "en")
	used := map[string]bool{}
	for name, text := range templates(t) {
		for _, m := range regexp.MustCompile(`\bT "([^"]+)"`).FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
			if en[m[1]] == "" {
				t.Errorf("%s: there is no text %s", name, m[1])
			}
		}
	}
	for _, name := range sources(t) {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range keyOf.FindAllStringSubmatch(string(raw), -1) {
			used[m[1]] = true
		}
		for _, m := range regexp.MustCompile(`(?:flash\(r, |render\(w, r, [^,]+, "[a-z]+", )"([^"]+)"`).FindAllStringSubmatch(string(raw), -1) {
			if en[m[1]] == "" && !strings.HasSuffix(m[1], ".") {
				t.Errorf("%s: there is no text %s", name, m[1])
			}
		}
	}
	for key := range en {
		if !used[key] && !slices.ContainsFunc(built, func(b string) bool { return strings.HasPrefix(key, b) }) {
			t.Errorf("the text %s is not used", key)
		}
	}
}

// speakers are the folders of the Go files that say something which pages show.
var speakers = []string{"admin", "cmd/treadmq", "conf/realm", "ha", "ha/replica"}

// sources are their files, without tests.
func sources(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, dir := range speakers {
		names, err := filepath.Glob("../" + dir + "/*.go")
		if err != nil || len(names) == 0 {
			t.Fatal(dir, names, err)
		}
		for _, name := range names {
			if !strings.HasSuffix(name, "_test.go") {
				all = append(all, name)
			}
		}
	}
	return all
}

// TestNotices: what the broker, the group, the realm file and the console say in English is
// what stands in en.json under its code, so that each language has a text for it.
func TestNotices(t *testing.T) {
	en := texts(t, "en")
	found := 0
	for _, name := range sources(t) {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			for i := 0; i+1 < len(call.Args); i++ {
				key, ok := literal(call.Args[i])
				format, two := literal(call.Args[i+1])
				if !ok || !two || !keyOf.MatchString(strconv.Quote(key)) || !says(call) {
					continue
				}
				if found++; en[key] != format {
					t.Errorf("%s: %s is %q, in en.json %q", name, key, format, en[key])
				}
			}
			return true
		})
	}
	if found < 180 {
		t.Errorf("only %d notices were found", found)
	}
}

// TestSettings: what each key of the configuration is for is in the texts, in English as in package conf.
func TestSettings(t *testing.T) {
	en := texts(t, "en")
	n := 0
	for _, k := range conf.Default().Keys() {
		n++
		if got := en["settings.doc."+k.Key]; got != k.Doc {
			t.Errorf("settings.doc.%s is %q instead of %q", k.Key, got, k.Doc)
		}
	}
	for key := range en {
		if strings.HasPrefix(key, "settings.doc.") {
			n--
		}
	}
	if n != 0 {
		t.Errorf("there are %d texts too many", -n)
	}
}

// says reports whether a call makes a notice.
func says(call *ast.CallExpr) bool {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	return slices.Contains([]string{"New", "report", "add", "say", "no", "refuse", "bad"}, name)
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}

// verbs are the placeholders of a text in the order of what goes into them.
func verbs(text string) []string {
	var list []string
	for i, m := range regexp.MustCompile(`%(?:\[(\d)\])?([a-z])`).FindAllStringSubmatch(text, -1) {
		if m[1] != "" {
			i = int(m[1][0] - '1')
		}
		for len(list) <= i {
			list = append(list, "")
		}
		list[i] = m[2]
	}
	return list
}

// TestLanguages: other languages have no keys and no placeholders of their own.
func TestLanguages(t *testing.T) {
	en := texts(t, "en")
	for name := range read(t, "texts/*.json") {
		for key, text := range texts(t, strings.TrimSuffix(filepath.Base(name), ".json")) {
			if !slices.Equal(verbs(text), verbs(en[key])) {
				t.Errorf("%s: %s has other placeholders than in English", name, key)
			}
			if name == "texts/zh.json" && strings.Contains(strings.TrimSpace(en[key]), " ") && !regexp.MustCompile(`\p{Han}|^[（；：）%s]+$`).MatchString(text) {
				t.Errorf("%s: %s is not Chinese: %s", name, key, text)
			}
		}
	}
}

// TestNothingInline: the content security policy would refuse it.
func TestNothingInline(t *testing.T) {
	bad := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|javascript:|<script>|<script [^>]*>[^<]|\shx-(?:on|vals|headers)\b|"js:|hx-trigger="[^"]*\[`)
	for name, text := range templates(t) {
		if m := bad.FindString(text); m != "" {
			t.Errorf("%s has %q", name, m)
		}
	}
}

// TestNoOtherServers: nothing is asked of anybody else.
func TestNoOtherServers(t *testing.T) {
	all := templates(t)
	maps.Copy(all, read(t, "assets/*.*"))
	foreign := regexp.MustCompile(`(?:https?:)?//[a-z][a-z0-9.-]+\.[a-z]+`)
	for name, text := range all {
		for _, m := range foreign.FindAllString(text, -1) {
			if m != "http://www.w3.org" { // the name of SVG, not an address
				t.Errorf("%s names %s", name, m)
			}
		}
	}
}

// TestForms: a form that changes something is a POST; labels, images and headings
// are what assistive programs need.
func TestForms(t *testing.T) {
	for name, text := range templates(t) {
		for _, m := range regexp.MustCompile(`<form[^>]*>`).FindAllString(text, -1) {
			if !strings.Contains(m, `method="post"`) && !strings.Contains(m, `role="search"`) {
				t.Errorf("%s: %s is neither POST nor a search", name, m)
			}
		}
		if strings.Contains(text, "<img") {
			t.Errorf("%s: pictures are SVG with aria-hidden", name)
		}
	}
}

// TestComplete: every text is there in every language.
func TestComplete(t *testing.T) {
	en := texts(t, "en")
	for name := range read(t, "texts/*.json") {
		have := texts(t, strings.TrimSuffix(filepath.Base(name), ".json"))
		for key := range en {
			if have[key] == "" {
				t.Errorf("%s has no %s", name, key)
			}
		}
		for key := range have {
			if en[key] == "" {
				t.Errorf("%s has %s, which English has not", name, key)
			}
		}
	}
}

// TestEveryPageSaysTheSameInOtherWords: every page that somebody who is logged in sees shows the command and the call
// of the API that do the same.
func TestEveryPageSaysTheSameInOtherWords(t *testing.T) {
	without := []string{"error.html", "layout.html", "login.html"}
	for name, text := range read(t, "templates/*.html") {
		if !slices.Contains(without, filepath.Base(name)) && !strings.Contains(text, `{{template "same" `) {
			t.Errorf("%s does not", name)
		}
	}
}
