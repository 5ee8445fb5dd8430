package conf

import (
	"fmt"
	"slices"
	"strings"
)

// Forward is one [[forward]] of the file: what is sent to the destinations of a
// pattern also goes to others.
type Forward struct {
	Kind        Kind
	Pattern     string
	To          []string // kind://name
	Selector    string
	ForwardOnly bool
	Where       string // file:line
}

// Target is one destination of a Forward.
type Target struct {
	Kind Kind
	Name string
}

// Targets are the destinations in To.
func (f Forward) Targets() []Target {
	var all []Target
	for _, text := range f.To {
		if t, err := parseTarget(text); err == nil {
			all = append(all, t)
		}
	}
	return all
}

// String names the rule as it stands in the file.
func (f Forward) String() string {
	return string(f.Kind) + " = " + quote(f.Pattern) + " (" + f.Where + ")"
}

// parseTarget reads queue://NAME or topic://NAME, or the same as STOMP has it.
func parseTarget(s string) (Target, error) {
	for _, kind := range []Kind{Queue, Topic} {
		for _, prefix := range []string{string(kind) + "://", "/" + string(kind) + "/"} {
			if name, ok := strings.CutPrefix(s, prefix); ok {
				return Target{kind, name}, checkName(name)
			}
		}
	}
	return Target{}, fmt.Errorf("%q is no destination: write queue://NAME or topic://NAME", s)
}

func checkTarget(s string) error {
	_, err := parseTarget(s)
	return err
}

// forwardKey is one row of the table of keys inside [[forward]].
type forwardKey struct {
	name string
	doc  string
	bind func(*Forward) value
}

const forwardDoc = `Forwards: what is sent to a queue or topic also goes to others, as with ActiveMQ's compositeQueue and compositeTopic. ` +
	`Several rules may cover a destination; all of them count. Copies of one message are stored together, or none is. ` +
	`Rules that lead in a circle are refused.`

func forwardKeys() []forwardKey {
	return []forwardKey{
		{"to", "Where it goes: queue://NAME or topic://NAME, a list.",
			func(f *Forward) value { return list(&f.To, checkTarget) }},
		{"selector", "Only messages that this JMS selector matches are forwarded. Empty: all.",
			func(f *Forward) value { return text(&f.Selector, anything) }},
		{"forwardOnly", "The destination itself gets nothing, also of what no selector matches. false: it gets every message too.",
			func(f *Forward) value { return truth(&f.ForwardOnly) }},
	}
}

func defaultForward() Forward { return Forward{ForwardOnly: true} }

// forwards takes the [[forward]] entries of a file.
func (l *loader) forwards(d document, v any) {
	entries, ok := v.([]any)
	if !ok {
		l.problem(d.where("forward"), "forwards are a list: write [[forward]] with two brackets")
		return
	}
	for i, entry := range entries {
		path := index("forward", i)
		fields, ok := entry.(map[string]any)
		if !ok {
			l.problem(d.where("forward"), "entry %d of forward is %s: write [[forward]]", i+1, kindOf(entry))
			continue
		}
		l.config.Forwards = append(l.config.Forwards, l.forward(d, path, fields))
	}
}

func (l *loader) forward(d document, path string, fields map[string]any) Forward {
	f := defaultForward()
	f.Where = d.where(path)
	r := Rule{}
	l.pattern(d, path, "forward", []Kind{Queue, Topic}, fields, &r, checkPattern)
	f.Kind, f.Pattern = r.Kind, r.Pattern
	names := []string{string(Queue), string(Topic)}
	for _, k := range forwardKeys() {
		names = append(names, k.name)
		if v, ok := fields[k.name]; ok {
			l.accept(k.bind(&f), k.name, v, d.where(join(path, k.name)))
		}
	}
	for name := range fields {
		if !slices.Contains(names, name) {
			l.problem(d.where(join(path, name)), "unknown forward key %s%s", name, suggest(name, names))
		}
	}
	if _, ok := fields["to"]; !ok {
		l.problem(f.Where, `a forward needs to = ["queue://NAME"], a list of where messages go`)
	}
	return f
}

func (f Forward) entries(prefix string) []Entry {
	origin := Origin{FromFile, f.Where}
	all := []Entry{{Key: join(prefix, string(f.Kind)), Value: f.Pattern, Literal: quote(f.Pattern), Origin: origin, Doc: "Pattern of the rule."}}
	defaults := defaultForward()
	for _, k := range forwardKeys() {
		v := k.bind(&f)
		all = append(all, Entry{Key: prefix + "." + k.name, Value: v.text(), Literal: v.literal(),
			Default: k.bind(&defaults).text(), Origin: origin, Doc: k.doc})
	}
	return all
}

// forwards refuses rules that lead in a circle.
func (v *validator) forwards() {
	rules := v.config.Forwards
	for i := range rules {
		path := []int{i}
		if circle := findCircle(rules, path); circle != nil && slices.Min(circle) == i {
			v.problems = append(v.problems, Problem{rules[i].Where, "forward: messages would go in a circle: " + describeCircle(rules, circle)})
		}
	}
}

// maxCircle bounds the length of a circle that is looked for; longer ones end when
// a message is sent.
const maxCircle = 16

// findCircle follows the rules from the last of path until the first of path comes
// again.
func findCircle(rules []Forward, path []int) []int {
	if len(path) > maxCircle {
		return nil
	}
	for _, to := range rules[path[len(path)-1]].Targets() {
		for next, r := range rules {
			if r.Kind != to.Kind || !matches(r.Pattern, to.Name) {
				continue
			}
			if next == path[0] {
				return path
			}
			if slices.Contains(path, next) {
				continue
			}
			if circle := findCircle(rules, append(slices.Clone(path), next)); circle != nil {
				return circle
			}
		}
	}
	return nil
}

func describeCircle(rules []Forward, circle []int) string {
	var names []string
	for _, i := range append(slices.Clone(circle), circle[0]) {
		names = append(names, string(rules[i].Kind)+"://"+rules[i].Pattern)
	}
	return strings.Join(names, " -> ")
}

func forwardReference(b *strings.Builder) {
	fmt.Fprintf(b, "\n## [[forward]]\n\n%s\n\n", forwardDoc)
	b.WriteString("| Key | Default | Meaning |\n| --- | --- | --- |\n")
	row(b, "`queue` or `topic`", "", "Pattern of the destinations the rule is for.")
	defaults := defaultForward()
	for _, k := range forwardKeys() {
		row(b, "`"+k.name+"`", "`"+k.bind(&defaults).literal()+"`", k.doc)
	}
}
