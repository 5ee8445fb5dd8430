// Package docs_test checks the texts of the project against what they are about:
// links, commands and their flags, examples of configuration, lists that have
// their source elsewhere.
package docs_test

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// root is the module's folder.
const root = ".."

// text is one Markdown file.
type text struct {
	path   string // relative to root, with slashes
	lines  []string
	fences []fence
}

// fence is a block of code.
type fence struct {
	language string
	line     int // of its first line, from 1
	lines    []string
}

// notOurs are folders that hold texts of others, or none.
func notOurs(name string) bool {
	return slices.Contains([]string{"testdata", "node_modules", "vendor", "dist", "data", "bin", "target"}, name) ||
		len(name) > 1 && strings.HasPrefix(name, ".")
}

// texts reads all Markdown files of the module.
func texts(t *testing.T) (all []text) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && notOurs(d.Name()):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all = append(all, newText(filepath.ToSlash(name), string(data)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 8 {
		t.Fatalf("only %d texts were found", len(all))
	}
	return all
}

// newText takes the blocks of code out of a text; their lines are left empty.
func newText(path, data string) text {
	x := text{path: path, lines: strings.Split(data, "\n")}
	open := -1
	for i, line := range x.lines {
		mark, isMark := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isMark && open < 0:
			open = len(x.fences)
			x.fences = append(x.fences, fence{language: mark, line: i + 2})
		case isMark:
			open = -1
		case open >= 0:
			x.fences[open].lines = append(x.fences[open].lines, line)
		default:
			continue
		}
		x.lines[i] = ""
	}
	return x
}

var (
	link     = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	codeSpan = regexp.MustCompile("`[^`]+`")
)

func TestLinks(t *testing.T) {
	all := texts(t)
	for _, x := range all {
		for i, line := range x.lines {
			for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, "`"), -1) {
				if problem := checkLink(all, x.path, m[1]); problem != "" {
					t.Errorf("%s:%d: link to %s: %s", x.path, i+1, m[1], problem)
				}
			}
		}
	}
}

// checkLink says what is wrong with a link, or nothing. Links to elsewhere are not followed.
func checkLink(all []text, from, to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return err.Error()
	}
	if u.Scheme != "" || u.Host != "" {
		return ""
	}
	target := from
	if u.Path != "" {
		target = filepath.ToSlash(filepath.Join(filepath.Dir(from), filepath.FromSlash(u.Path)))
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(target))); err != nil {
			return "there is no such file"
		}
	}
	if u.Fragment == "" {
		return ""
	}
	for _, x := range all {
		if x.path == target && slices.Contains(x.anchors(), u.Fragment) {
			return ""
		}
	}
	return "there is no such heading"
}

// anchors are the names of a text's headings, as GitHub and others make them.
func (x text) anchors() (all []string) {
	for _, line := range x.lines {
		heading := strings.TrimLeft(line, "#")
		if len(heading) == len(line) || !strings.HasPrefix(heading, " ") {
			continue
		}
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, strings.TrimSpace(heading)))
	}
	return all
}

func TestCheckLinkFindsFaults(t *testing.T) {
	all := []text{newText("docs/a.md", "# One two\n```sh\n# not a heading\n```\n## `treadmq` & more\n")}
	for to, good := range map[string]bool{
		"#one-two": true, "#treadmq--more": true, "#not-a-heading": false, "links_test.go": true, "nothing.md": false,
		"https://example.com/x": true, "../README.md": true, "../go.mod#x": false,
	} {
		if problem := checkLink(all, "docs/a.md", to); (problem == "") != good {
			t.Errorf("link to %s: %q", to, problem)
		}
	}
}
