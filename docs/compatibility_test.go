package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// claim is a row of docs/compatibility.md.
type claim struct {
	line             int
	what, state, how string
	tests            []string
}

const claimHead = "| What | State | How | Shown by |"

// claims reads the rows of all tables with claimHead.
func claims(document string) (all []claim) {
	inside := false
	for i, line := range strings.Split(document, "\n") {
		switch {
		case line == claimHead:
			inside = true
			continue
		case !strings.HasPrefix(line, "|"):
			inside = false
		}
		cells := strings.Split(line, "|")
		if !inside || strings.HasPrefix(line, "| ---") {
			continue
		}
		c := claim{line: i + 1}
		if len(cells) == 6 {
			c.what, c.state, c.how = strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])
			for _, m := range quotedCode.FindAllStringSubmatch(cells[4], -1) {
				c.tests = append(c.tests, m[1])
			}
		}
		all = append(all, c)
	}
	return all
}

// problem says what is wrong with a row, or nothing.
func (c claim) problem(known map[string]bool) string {
	switch {
	case c.what == "":
		return "it has not four columns"
	case !slices.Contains([]string{"supported", "differs", "not offered"}, c.state):
		return fmt.Sprintf("%q is not a state", c.state)
	case c.state != "supported" && c.how == "":
		return "it does not say how it differs, or why it is not offered"
	case c.state != "not offered" && len(c.tests) == 0:
		return "it names no test"
	}
	for _, test := range c.tests {
		if !known[test] {
			return "there is no test " + test
		}
	}
	return ""
}

// TestCompatibility looks up the tests that docs/compatibility.md names.
func TestCompatibility(t *testing.T) {
	all, known := claims(read(t, "docs/compatibility.md")), knownTests(t)
	if len(all) < 100 {
		t.Errorf("only %d rows were found", len(all))
	}
	for _, c := range all {
		if problem := c.problem(known); problem != "" {
			t.Errorf("docs/compatibility.md:%d: %s: %s", c.line, c.what, problem)
		}
	}
}

func TestCompatibilityFindsFaults(t *testing.T) {
	known := map[string]bool{"TestA": true}
	document := claimHead + "\n| --- | --- | --- | --- |\n" + strings.Join([]string{
		"| a | supported | | `TestA` |", "| b | supported | | |", "| c | differs | | `TestA` |", "| d | differs | so | `TestB` |",
		"| e | not offered | so | |", "| f | not offered | | |", "| g | perhaps | so | `TestA` |", "| h | supported |",
	}, "\n") + "\n\n| i | supported |\n"
	want := []string{
		"", "it names no test", "it does not say how it differs, or why it is not offered", "there is no test TestB", "",
		"it does not say how it differs, or why it is not offered", `"perhaps" is not a state`, "it has not four columns",
	}
	var got []string
	for _, c := range claims(document) {
		got = append(got, c.problem(known))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// knownTests are the functions of all test files, the transcripts and the steps of the clients.
func knownTests(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && notOurs(d.Name()):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		for _, m := range function.FindAllStringSubmatch(string(source), -1) {
			known[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	transcripts, err := filepath.Glob(filepath.Join(root, "broker", "stomp", "testdata", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range transcripts {
		known["TestTranscripts/"+strings.TrimSuffix(filepath.Base(path), ".txt")] = true
	}
	for client, steps := range clientSteps(t) {
		for _, step := range steps {
			known["TestClients/"+client+"/"+step] = true
		}
	}
	return known
}

// clientSteps reads the list of clients and their steps in scripts/clients/clients_test.go. A client that does not say
// "only" has the steps of everyClient, and all have those of the lists that they name.
func clientSteps(t *testing.T) map[string][]string {
	t.Helper()
	source := read(t, "scripts/clients/clients_test.go")
	quoted := regexp.MustCompile(`"([a-z0-9.-]+)"`)
	steps := func(text string) (list []string) {
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			list = append(list, m[1])
		}
		return list
	}
	lists := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?s)\t(\w+)\s+= \[\]string\{(.*?)\}`).FindAllStringSubmatch(source, -1) {
		lists[m[1]] = steps(m[2])
	}
	all := map[string][]string{}
	entry := regexp.MustCompile(`(?s)\n\t\t\tname: "([^"]+)",(.*?)\n\t\t\},`)
	for _, m := range entry.FindAllStringSubmatch(source, -1) {
		of := steps(m[2])
		for name, list := range lists {
			if strings.Contains(m[2], name+",") || strings.Contains(m[2], name+")") || name == "everyClient" && !strings.Contains(m[2], "only:") {
				of = append(of, list...)
			}
		}
		all[m[1]] = of
	}
	if len(all) < 10 || len(lists["everyClient"]) == 0 {
		t.Fatalf("found %d clients and the lists %v", len(all), lists)
	}
	return all
}

// TestClusterRules: the tests that docs/cluster.md names exist where it says.
func TestClusterRules(t *testing.T) {
	named := regexp.MustCompile("`([a-z/]+)` `(Test\\w+)`")
	n := 0
	for _, m := range named.FindAllStringSubmatch(read(t, "docs/cluster.md"), -1) {
		n++
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(m[1]), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(files, func(file string) bool {
			text, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(text), "\nfunc "+m[2]+"(t *testing.T) {")
		}) {
			t.Errorf("there is no %s in %s", m[2], m[1])
		}
	}
	if n < 10 {
		t.Errorf("only %d tests are named", n)
	}
}
