package webui

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
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
var built = []string{"act.title.", "action.", "cluster.health.", "cluster.level.", "cluster.role.", "confirm.", "jobs.state.", "may.", "life.", "message.view.", "trash."}

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
	sources, err := filepath.Glob("../admin/*.go")
	if err != nil || len(sources) == 0 {
		t.Fatal(sources, err)
	}
	for _, name := range sources {
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

// TestLanguages: other languages have no keys and no placeholders of their own.
func TestLanguages(t *testing.T) {
	en := texts(t, "en")
	verb := regexp.MustCompile(`%(\[\d\])?[a-z]`)
	for name := range read(t, "texts/*.json") {
		for key, text := range texts(t, strings.TrimSuffix(filepath.Base(name), ".json")) {
			if len(verb.FindAllString(text, -1)) != len(verb.FindAllString(en[key], -1)) {
				t.Errorf("%s: %s has other placeholders than in English", name, key)
			}
		}
	}
}

// TestNothingInline: the content security policy would refuse it.
func TestNothingInline(t *testing.T) {
	bad := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|javascript:|<script>|<script [^>]*>[^<]`)
	for name, text := range templates(t) {
		if m := bad.FindString(text); m != "" {
			t.Errorf("%s has %q", name, m)
		}
	}
}

// TestNoOtherServers: nothing is asked of anybody else.
func TestNoOtherServers(t *testing.T) {
	all := templates(t)
	maps.Copy(all, read(t, "assets/*"))
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
