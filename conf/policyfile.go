package conf

import (
	"maps"
	"slices"
	"strings"
)

// policies takes the [[policy]] entries of a file.
func (l *loader) policies(d document, v any) {
	entries, ok := v.([]any)
	if !ok {
		l.problem(d.where("policy"), "policies are a list: write [[policy]] with two brackets")
		return
	}
	defined := map[string]string{} // pattern to place
	for i, entry := range entries {
		path := index("policy", i)
		fields, ok := entry.(map[string]any)
		if !ok {
			l.problem(d.where("policy"), "entry %d of policy is %s: write [[policy]]", i+1, kindOf(entry))
			continue
		}
		rule := l.rule(d, path, fields)
		name := string(rule.Kind) + " " + rule.Pattern
		if earlier, twice := defined[name]; twice && rule.Kind != "" {
			l.problem(d.where(path), "%s = %s has a policy already, at %s: put the keys together", rule.Kind, quote(rule.Pattern), earlier)
		}
		defined[name] = d.where(path)
		l.config.Policies = append(l.config.Policies, rule)
	}
}

// rule takes one entry. What is wrong in it is reported and left out.
func (l *loader) rule(d document, path string, fields map[string]any) Rule {
	r := Rule{Where: d.where(path)}
	l.pattern(d, path, "policy", []Kind{Queue, Topic, Durable}, fields, &r, checkPattern)
	l.ruleTable(d, path, "", fields, &r)
	return r
}

// pattern takes the one key of an entry that says what it is for: queue, topic or durable.
func (l *loader) pattern(d document, path, what string, kinds []Kind, fields map[string]any, r *Rule, check func(string) error) {
	var found []Kind
	var choices []string
	for _, kind := range kinds {
		choices = append(choices, string(kind)+` = "pattern"`)
		if _, ok := fields[string(kind)]; ok {
			found = append(found, kind)
		}
	}
	if len(found) != 1 {
		l.problem(d.where(path), "a %s needs either %s", what, strings.Join(choices, " or "))
		return
	}
	r.Kind = found[0]
	key := join(path, string(r.Kind))
	l.accept(text(&r.Pattern, check), string(r.Kind), fields[string(r.Kind)], d.where(key))
}

func (l *loader) ruleTable(d document, path, prefix string, fields map[string]any, r *Rule) {
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		name, here, v := join(prefix, field), join(path, field), fields[field]
		sub, isTable := v.(map[string]any)
		switch {
		case name == string(Queue), name == string(Topic), name == string(Durable):
		case isTable && isPolicyTable(name):
			l.ruleTable(d, here, name, sub, r)
		default:
			l.ruleKey(d.where(here), name, v, r)
		}
	}
}

func isPolicyTable(name string) bool {
	return slices.ContainsFunc(policyTables(), func(s section) bool { return s.name == name })
}

func (l *loader) ruleKey(where, name string, v any, r *Rule) {
	i := slices.IndexFunc(policyKeys(), func(k policyKey) bool { return k.name == name || k.alias == name && name != "" })
	if i < 0 && isPolicyTable(name) {
		l.problem(where, "%s is a group of keys and has no value of its own: write them below [policy.%s]", name, name)
		return
	}
	if i < 0 {
		l.problem(where, "unknown policy key %s%s", name, suggest(name, policyNames()))
		return
	}
	k := policyKeys()[i]
	switch {
	case r.Kind != "" && !k.fits(r.Kind):
		l.problem(where, "%s is for %s, but the rule is for %s", name, k.kind.plural(), r.Kind.plural())
		return
	case slices.Contains(r.set, k.name):
		l.problem(where, "%s is set twice, in two spellings", k.name)
		return
	}
	l.accept(k.bind(&r.values), name, v, where)
	r.set = append(r.set, k.name)
}

func policyNames() []string {
	names := []string{string(Queue), string(Topic), string(Durable)}
	for _, k := range policyKeys() {
		names = append(names, k.name)
		if table, _, ok := strings.Cut(k.name, "."); ok && !slices.Contains(names, table) {
			names = append(names, table)
		}
	}
	return names
}
