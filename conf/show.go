package conf

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed treadmq.toml
var example string // never changed

// Example is the configuration file as it is shipped: every key, commented out
// at its default, with its documentation.
func Example() []byte { return []byte(example) }

// Entry is one key for `config show`.
type Entry struct {
	Key     string // dotted; keys of rules as policy[0].maxBytes
	Value   string // as --set takes it
	Literal string // as the file takes it
	Default string // as --set takes it
	Env     string // environment variable; empty for keys of rules
	Origin  Origin
	Doc     string
}

// Keys lists every key with its value, its origin and its documentation, in the
// order of the file. Of [[policy]] rules only the keys that are set appear.
func (c *Config) Keys() []Entry {
	defaults := Default()
	var all []Entry
	for _, k := range keys() {
		v := k.bind(c)
		e := Entry{
			Key: k.name, Value: v.text(), Literal: v.literal(), Default: k.bind(defaults).text(),
			Env: envName(k.name), Origin: c.Origin(k.name), Doc: k.doc,
		}
		if c.sealed[k.name] {
			e.Value, e.Literal = HiddenSecret, quote(HiddenSecret)
		}
		all = append(all, e)
	}
	for i, rule := range c.Policies {
		all = append(all, rule.entries(index("policy", i))...)
	}
	for i, f := range c.Forwards {
		all = append(all, f.entries(index("forward", i))...)
	}
	for i, g := range c.Authorization {
		all = append(all, g.entries(index("authorization", i))...)
	}
	return all
}

func (r Rule) entries(prefix string) []Entry {
	defaults := DefaultPolicy()
	origin := Origin{FromFile, r.Where}
	all := []Entry{{
		Key: join(prefix, string(r.Kind)), Value: r.Pattern, Literal: quote(r.Pattern), Origin: origin, Doc: "Pattern of the rule.",
	}}
	set := map[string]bool{}
	for _, name := range r.set {
		set[name] = true
	}
	for _, k := range policyKeys() {
		if v := k.bind(&r.values); set[k.name] {
			all = append(all, Entry{
				Key: prefix + "." + k.name, Value: v.text(), Literal: v.literal(), Default: k.bind(&defaults).text(),
				Origin: origin, Doc: k.doc,
			})
		}
	}
	return all
}

// Origin tells where the value of a key came from.
func (c *Config) Origin(key string) Origin {
	if from, ok := c.origins[key]; ok {
		return from
	}
	return Origin{Kind: FromDefault}
}

// Doc is the reference of all keys in Markdown, one table for each section.
func Doc() string {
	var b strings.Builder
	defaults := Default()
	for _, s := range sections() {
		heading(&b, s)
		b.WriteString("| Key | Default | Environment | Meaning |\n| --- | --- | --- | --- |\n")
		for _, k := range keys() {
			if sectionOf(k.name) == s.name {
				row(&b, "`"+k.name+"`", "`"+k.bind(defaults).literal()+"`", "`"+envName(k.name)+"`", k.doc)
			}
		}
	}
	policyReference(&b)
	forwardReference(&b)
	authorizationReference(&b)
	return b.String()
}

func heading(b *strings.Builder, s section) {
	if s.name == "" {
		b.WriteString("## General\n\n")
		return
	}
	fmt.Fprintf(b, "\n## [%s]\n\n%s\n\n", s.name, s.doc)
}

func policyReference(b *strings.Builder) {
	fmt.Fprintf(b, "\n## [[policy]]\n\n%s\n\n", policyDoc)
	b.WriteString("| Key | Default | For | Meaning |\n| --- | --- | --- | --- |\n")
	row(b, "`queue`, `topic` or `durable`", "", "", "Pattern of the destinations the rule is for.")
	defaults := DefaultPolicy()
	for _, k := range policyKeys() {
		kinds := "queues, topics"
		if k.kind != "" {
			kinds = k.kind.plural()
		}
		row(b, "`"+k.name+"`", "`"+k.bind(&defaults).literal()+"`", kinds, k.doc)
	}
}

func row(b *strings.Builder, cells ...string) {
	for _, text := range cells {
		b.WriteString("| " + strings.ReplaceAll(text, "|", `\|`) + " ")
	}
	b.WriteString("|\n")
}

// sectionOf is the part of a key before its last dot.
func sectionOf(key string) string {
	return key[:max(0, strings.LastIndexByte(key, '.'))]
}
