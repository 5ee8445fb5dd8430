package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// program is the command, built once for all tests.
type program struct {
	path string
	help func(words ...string) string
}

var (
	folder = struct {
		sync.Once
		path string
		err  error
	}{}
	flagName    = regexp.MustCompile(`(^|\s)(--?[A-Za-z0-9][A-Za-z0-9-]*)`)
	commandWord = regexp.MustCompile(`^[a-z][a-z]*$`)
)

// build makes the command, in a folder that is removed by TestMain.
func build(t *testing.T) *program {
	t.Helper()
	folder.Do(func() {
		if folder.path, folder.err = os.MkdirTemp("", "treadmq-docs-"); folder.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", folder.path+string(filepath.Separator), "./cmd/treadmq")
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			folder.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if folder.err != nil {
		t.Fatal(folder.err)
	}
	name := "treadmq"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	p := &program{path: filepath.Join(folder.path, name)}
	known := map[string]string{}
	p.help = func(words ...string) string {
		key := strings.Join(words, " ")
		if _, ok := known[key]; !ok {
			out, err := exec.Command(p.path, append(slices.Clone(words), "--help")...).CombinedOutput()
			if err != nil {
				t.Errorf("treadmq %s --help: %v\n%s", key, err, out)
			}
			known[key] = string(out)
		}
		return known[key]
	}
	return p
}

func TestMain(m *testing.M) {
	code := m.Run()
	if folder.path != "" {
		os.RemoveAll(folder.path)
	}
	os.Exit(code)
}

// TestCommands looks up every command line of the texts in the program's own help.
func TestCommands(t *testing.T) {
	p := build(t)
	n := 0
	for _, x := range texts(t) {
		for _, c := range x.commandLines() {
			n++
			if problem := p.check(c.words); problem != "" {
				t.Errorf("%s:%d: treadmq %s: %s", x.path, c.line, strings.Join(c.words, " "), problem)
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d command lines were found", n)
	}
}

func TestCommandsFindsFaults(t *testing.T) {
	p := build(t)
	for line, good := range map[string]bool{
		"treadmq queue ls --sort messages": true, "treadmq q ls -o json": true, "treadmq producer --messageCount 1": true,
		"treadmq queu ls": false, "treadmq queue lst": false, "treadmq queue ls --sorted": false, "treadmq": true,
		"echo x | treadmq send orders -Z": false, "treadmq send 'a --b' # --c": true, "X=1 treadmq status --json > f": true,
	} {
		for _, words := range commandsIn(line) {
			if problem := p.check(words); (problem == "") != good {
				t.Errorf("%s: %q", line, problem)
			}
		}
		if len(commandsIn(line)) != 1 {
			t.Errorf("%s: found %q", line, commandsIn(line))
		}
	}
}

// check says what is wrong with the words of a command line, or nothing.
func (p *program) check(words []string) string {
	path := []string{}
	for _, w := range words {
		if !commandWord.MatchString(w) || len(path) == 2 {
			break
		}
		path = append(path, w)
	}
	usage, help := p.resolve(path)
	// "treadmq queue [command]": nothing may follow that the help did not resolve
	if strings.HasSuffix(usage, "[command]") && len(path) > len(strings.Fields(usage))-2 {
		return fmt.Sprintf("there is no command %q", path[len(path)-1])
	}
	var known []string
	for _, m := range flagName.FindAllStringSubmatch(help, -1) {
		known = append(known, m[2])
	}
	for _, w := range words {
		if w == "--" {
			break
		}
		name, _, _ := strings.Cut(w, "=")
		if strings.HasPrefix(w, "-") && len(w) > 1 && !slices.Contains(known, name) && !joined(w, known) {
			return fmt.Sprintf("there is no flag %s", name)
		}
	}
	return ""
}

// joined reports whether a word is a short flag with its value behind it, like -QQueue=x.
func joined(w string, known []string) bool {
	return len(w) > 2 && w[1] != '-' && slices.Contains(known, w[:2])
}

// resolve finds the command that words mean: its line of usage, and its flags.
func (p *program) resolve(words []string) (usage, flags string) {
	help := p.help(words...)
	_, rest, _ := strings.Cut(help, "Usage:\n")
	lines := strings.Split(rest, "\n")
	usage = strings.TrimSpace(lines[0])
	if len(lines) > 1 && strings.HasSuffix(strings.TrimSpace(lines[1]), "[command]") {
		usage = strings.TrimSpace(lines[1])
	}
	_, flags, _ = strings.Cut(rest, "Flags:\n")
	return usage, flags
}

// commandLine is one use of the program in a text.
type commandLine struct {
	line  int
	words []string // without the program
}

// commandLines finds them in blocks of shell and in code within sentences.
func (x text) commandLines() (all []commandLine) {
	for _, f := range x.fences {
		if f.language != "sh" {
			continue
		}
		for i, line := range f.lines {
			for _, words := range commandsIn(line) {
				all = append(all, commandLine{f.line + i, words})
			}
		}
	}
	for i, line := range x.lines {
		for _, span := range codeSpan.FindAllString(line, -1) {
			for _, words := range commandsIn(strings.Trim(span, "`")) {
				all = append(all, commandLine{i + 1, words})
			}
		}
	}
	return all
}

// commandsIn splits a line as a shell does, as far as our texts need it, and returns
// the words behind each treadmq that stands where a command does.
func commandsIn(line string) (found [][]string) {
	for _, words := range splitShell(line) {
		for len(words) > 0 && strings.Contains(words[0], "=") { // variables
			words = words[1:]
		}
		if len(words) > 0 && (words[0] == "treadmq" || words[0] == "bin/treadmq") {
			found = append(found, words[1:])
		}
	}
	return found
}

// splitShell splits a line at pipes and semicolons, and these parts into words;
// quotes hold words together, # begins a comment, a redirection ends a part.
func splitShell(line string) (parts [][]string) {
	var part []string
	word, inWord, quote := "", false, rune(0)
	endWord := func() {
		if inWord {
			part = append(part, word)
		}
		word, inWord = "", false
	}
	endPart := func() {
		endWord()
		if len(part) > 0 {
			parts = append(parts, part)
		}
		part = nil
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == '#' && !inWord:
			endPart()
			return parts
		case r == ' ':
			endWord()
		case strings.ContainsRune("|;&<>", r):
			endPart()
		default:
			word, inWord = word+string(r), true
		}
	}
	endPart()
	return parts
}
