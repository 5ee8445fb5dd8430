package conf

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// document is a decoded TOML file that remembers where each key stands.
type document struct {
	path   string
	places map[string]place // by dotted key, list entries as name[index]
}

// place is a line and a column, both from 1.
type place struct{ line, column int }

// where is file:line:column of a key.
func (d document) where(key string) string {
	p := d.places[key]
	return fmt.Sprintf("%s:%d:%d", d.path, p.line, p.column)
}

// toml takes the settings of a file.
func (l *loader) toml(path string, data []byte) {
	tree := map[string]any{}
	if err := toml.Unmarshal(data, &tree); err != nil {
		l.syntax(path, err)
		return
	}
	d := document{path, places(data)}
	first := len(l.problems)
	l.table(d, "", tree)
	slices.SortStableFunc(l.problems[first:], func(a, b Problem) int {
		return comparePlaces(a.Where, b.Where)
	})
}

func (l *loader) syntax(path string, err error) {
	var decode *toml.DecodeError
	if !errors.As(err, &decode) {
		l.problem(path, "%v", err)
		return
	}
	line, column := decode.Position()
	l.problem(fmt.Sprintf("%s:%d:%d", path, line, column), "%s", strings.TrimPrefix(decode.Error(), "toml: "))
}

// comparePlaces orders file:line:column by line and column.
func comparePlaces(a, b string) int {
	number := func(where string) (line, column int) {
		parts := strings.Split(where, ":")
		if len(parts) >= 3 {
			line, _ = strconv.Atoi(parts[len(parts)-2])
			column, _ = strconv.Atoi(parts[len(parts)-1])
		}
		return line, column
	}
	lineA, columnA := number(a)
	lineB, columnB := number(b)
	if lineA != lineB {
		return lineA - lineB
	}
	return columnA - columnB
}

// table takes the entries of one table outside [[policy]].
func (l *loader) table(d document, prefix string, entries map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		path, v := join(prefix, name), entries[name]
		sub, isTable := v.(map[string]any)
		switch {
		case path == "policy":
			l.policies(d, v)
		case path == "forward":
			l.forwards(d, v)
		case path == "authorization":
			l.authorization(d, v)
		case isTable && l.isSection(path):
			l.config.Replicated.Enabled = l.config.Replicated.Enabled || path == replicatedSection
			l.table(d, path, sub)
		default:
			l.entry(d, path, v)
		}
	}
}

func (l *loader) entry(d document, path string, v any) {
	where := d.where(path)
	k, ok := l.keys[path]
	switch {
	case ok:
		l.accept(k.bind(l.config), path, v, where)
		l.config.origins[path] = Origin{FromFile, where}
		if s, ok := v.(string); ok {
			l.config.sealed[path] = isSealed(s)
		}
	case kindOf(v) == "a table":
		l.problem(where, "unknown section [%s]%s", path, suggest(path, sectionNames()))
	default:
		l.problem(where, "unknown key %s%s", path, l.unknown(path))
	}
}

// accept sets a value from TOML, with ${...} replaced in its strings.
func (l *loader) accept(to value, name string, v any, where string) {
	v, expanded, err := l.expandAll(v)
	if err == nil {
		err = to.accept(v, expanded)
	}
	if err != nil {
		l.problem(where, "%s: %v", name, err)
	}
}

func (l *loader) expandAll(v any) (result any, expanded bool, err error) {
	switch v := v.(type) {
	case string:
		return errorLast(l.env.expand(v))
	case []any:
		all := make([]any, len(v))
		for i, item := range v {
			got, replaced, err := l.expandAll(item)
			if err != nil {
				return nil, false, err
			}
			all[i], expanded = got, expanded || replaced
		}
		return all, expanded, nil
	}
	return v, false, nil
}

func errorLast(text string, replaced bool, err error) (any, bool, error) {
	return text, replaced, err
}

func sectionNames() []string {
	var names []string
	for _, s := range sections()[1:] {
		names = append(names, s.name)
	}
	return append(names, "policy", "forward", "authorization")
}

// isSection reports whether a table is one of ours, or only holds some.
func (l *loader) isSection(path string) bool {
	return slices.ContainsFunc(sectionNames(), func(name string) bool { return name == path || strings.HasPrefix(name, path+".") })
}

// join makes a dotted key; a name that is not a bare TOML key stays quoted, so
// that "stomp.maxBody" in quotes is not mistaken for maxBody in [stomp].
func join(prefix, name string) string {
	bare := name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
	if !bare {
		name = quote(name)
	}
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// places finds every key and table of a document that is known to be valid.
func places(data []byte) map[string]place {
	f := finder{places: map[string]place{}, lists: map[string]int{}}
	f.parser.Reset(data)
	table := ""
	for f.parser.NextExpression() {
		switch e := f.parser.Expression(); e.Kind {
		case unstable.Table:
			table = f.path("", e.Key())
		case unstable.ArrayTable:
			table = f.listEntry(e.Key())
		case unstable.KeyValue:
			f.keyValue(table, e)
		}
	}
	return f.places
}

type finder struct {
	parser unstable.Parser
	places map[string]place
	lists  map[string]int // how many entries each array of tables has so far
}

// path follows a dotted key from prefix and notes where each part is first met.
// A part that is an array of tables stands for its last entry.
func (f *finder) path(prefix string, parts unstable.Iterator) string {
	for parts.Next() {
		prefix = join(prefix, string(parts.Node().Data))
		f.note(prefix, parts.Node())
		if n := f.lists[prefix]; n > 0 {
			prefix = index(prefix, n-1)
		}
	}
	return prefix
}

// listEntry opens a new entry of an array of tables.
func (f *finder) listEntry(parts unstable.Iterator) string {
	path := ""
	var last *unstable.Node
	for parts.Next() {
		if n := f.lists[path]; n > 0 {
			path = index(path, n-1)
		}
		last = parts.Node()
		path = join(path, string(last.Data))
		f.note(path, last)
	}
	entry := index(path, f.lists[path])
	f.lists[path]++
	f.note(entry, last)
	return entry
}

func (f *finder) keyValue(prefix string, n *unstable.Node) {
	path := f.path(prefix, n.Key())
	f.inside(path, n.Value())
}

// inside looks for keys in inline tables.
func (f *finder) inside(path string, v *unstable.Node) {
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			f.keyValue(path, it.Node())
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			if it.Node().Kind == unstable.InlineTable {
				entry := index(path, i)
				f.note(entry, it.Node())
				f.inside(entry, it.Node())
			}
		}
	}
}

func (f *finder) note(path string, n *unstable.Node) {
	if _, seen := f.places[path]; !seen {
		at := f.parser.Shape(n.Raw).Start
		f.places[path] = place{at.Line, at.Column}
	}
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
