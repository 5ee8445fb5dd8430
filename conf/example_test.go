package conf

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite treadmq.toml from the tables of keys")

const exampleHead = `# TreadMQ configuration.
#
# Every key is shown at its default, commented out: take the # away to change it.
# Unknown keys are errors. "treadmq config check" tests this file, and
# "treadmq config show --origin" prints what is in force and where it came from.
#
# Stronger than this file, in rising order: environment variables
# (TREADMQ_STOMP_MAX_BODY for maxBody in [stomp]), --set stomp.maxBody=1MiB, flags.
#
# Sizes: "64MiB", "64k" (powers of 1024), "64MB" (powers of 1000), or bytes.
# Times: "500ms", "30s", "5m", "12h", "7d".
# Strings may contain ${env:NAME} and ${file:path}; $${ is a literal ${.
# Relative paths start in the directory that treadmq is started in.
`

// renderExample writes treadmq.toml from the tables.
func renderExample() string {
	var b strings.Builder
	b.WriteString(exampleHead)
	defaults := Default()
	for _, s := range sections() {
		if s.name != "" {
			off := ""
			if strings.HasPrefix(s.name, replicatedSection) {
				off = "#" // the section being there switches it on
			}
			b.WriteString("\n\n" + comment(s.doc) + off + "[" + s.name + "]\n")
		}
		for _, k := range keys() {
			if sectionOf(k.name) == s.name {
				b.WriteString("\n" + comment(k.doc) + "#" + lastPart(k.name) + " = " + k.bind(defaults).literal() + "\n")
			}
		}
	}
	renderPolicy(&b)
	renderForward(&b)
	renderAuthorization(&b)
	return b.String()
}

func lastPart(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

func renderPolicy(b *strings.Builder) {
	b.WriteString("\n\n" + comment(policyDoc) + "#[[policy]]\n#queue = \">\"\n")
	defaults := DefaultPolicy()
	table := ""
	for _, k := range policyKeys() {
		if !k.fits(Queue) {
			continue
		}
		if s := sectionOf(k.name); s != table {
			table = s
			b.WriteString("\n" + comment(tableDoc(s)) + "#[policy." + s + "]\n")
		}
		b.WriteString("\n" + comment(k.doc) + "#" + lastPart(k.name) + " = " + k.bind(&defaults).literal() + "\n")
	}
	b.WriteString("\n\n# The same for topics.\n#[[policy]]\n#topic = \">\"\n")
	for _, k := range policyKeys() {
		if k.fits(Topic) {
			doc := ""
			if k.kind == Topic {
				doc = comment(k.doc)
			}
			b.WriteString("\n" + doc + "#" + k.name + " = " + k.bind(&defaults).literal() + "\n")
		}
	}
}

func renderForward(b *strings.Builder) {
	b.WriteString("\n\n" + comment(forwardDoc) + "#[[forward]]\n#queue = \"orders.in\"\n")
	f := defaultForward()
	f.To = []string{"queue://orders.audit", "topic://orders.events"}
	for _, k := range forwardKeys() {
		b.WriteString("\n" + comment(k.doc) + "#" + k.name + " = " + k.bind(&f).literal() + "\n")
	}
}

func renderAuthorization(b *strings.Builder) {
	b.WriteString("\n\n" + comment(authorizationDoc) + "#[[authorization]]\n#queue = \"orders.>\"\n")
	g := Grant{Read: []string{"stock"}, Write: []string{"shop"}, Admin: []string{"shop", "stock"}}
	for _, k := range grantKeys() {
		b.WriteString("\n" + comment(k.doc) + "#" + k.name + " = " + k.bind(&g).literal() + "\n")
	}
}

func tableDoc(name string) string {
	for _, s := range policyTables() {
		if s.name == name {
			return s.doc
		}
	}
	return ""
}

// comment wraps text at 90 columns behind "# ".
func comment(text string) string {
	var b strings.Builder
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 90 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}

func TestExampleFileIsGenerated(t *testing.T) {
	want := renderExample()
	if *update {
		if err := os.WriteFile("treadmq.toml", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(Example())); diff != "" {
		t.Errorf("treadmq.toml is not what the tables say; run go test ./conf -run Example -update\n%s", diff)
	}
}

// Taking every # in front of a key away gives the defaults, and sets every key
// there is.
func TestExampleFileSaysTheDefaults(t *testing.T) {
	live := regexp.MustCompile(`(?m)^#(\S)`).ReplaceAllString(string(Example()), "$1")
	live = strings.Replace(live, `securityToken = ""`, `securityToken = "s"`, 1) // without one the default bind is refused
	path := filepath.Join(t.TempDir(), "treadmq.toml")
	if err := os.WriteFile(path, []byte(live), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{File: path, Required: true})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Replicated.SecurityToken = "s"
	for _, k := range keys() {
		if c.Origin(k.name).Kind != FromFile {
			t.Errorf("treadmq.toml does not have %s", k.name)
		}
		if got, want := k.bind(c).text(), k.bind(want).text(); got != want {
			t.Errorf("%s is %q in treadmq.toml, but the default is %q", k.name, got, want)
		}
	}
	for _, kind := range []Kind{Queue, Topic} {
		p := c.Policies.Match(kind, "a.b")
		if !p.Equal(DefaultPolicy()) {
			t.Errorf("the %s policy of treadmq.toml is not the default: %v", kind, p.Settings(kind))
		}
		for _, s := range p.Settings(kind) {
			if s.Origin == "default" {
				t.Errorf("treadmq.toml does not have %s for %ss", s.Key, kind)
			}
		}
	}
}

func TestExampleFileAsShippedChangesNothing(t *testing.T) {
	c, err := Load(Sources{File: "treadmq.toml", Required: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c.Keys() {
		if e.Origin.Kind != FromDefault || e.Value != e.Default {
			t.Errorf("%s = %s from %s", e.Key, e.Value, e.Origin)
		}
	}
}

func TestDocNamesEveryKey(t *testing.T) {
	doc := Doc()
	for _, k := range keys() {
		if !strings.Contains(doc, "| `"+k.name+"` | `") || !strings.Contains(doc, "`"+envName(k.name)+"`") || k.doc == "" {
			t.Errorf("the reference has no full row for %s", k.name)
		}
	}
	for _, k := range policyKeys() {
		if !strings.Contains(doc, "| `"+k.name+"` | `") || k.doc == "" {
			t.Errorf("the reference has no full row for policy key %s", k.name)
		}
	}
	if strings.Contains(doc, "\n\n\n") {
		t.Error("the reference has two blank lines in a row")
	}
}
