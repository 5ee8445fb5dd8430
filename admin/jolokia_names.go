package admin

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// objectName is the name of an MBean: a domain and keys with values. In a pattern, values
// and the domain may hold * and ?, and more says that other keys may follow.
type objectName struct {
	domain string
	keys   []objectKey
	more   bool
}

type objectKey struct{ key, value string }

// parseObjectName reads a name as JMX writes it. Values may be quoted.
func parseObjectName(text string) (objectName, error) {
	domain, rest, ok := strings.Cut(text, ":")
	if !ok || rest == "" {
		return objectName{}, fmt.Errorf("%q has no domain with keys, as in org.apache.activemq:type=Broker,brokerName=%s", text, "localhost")
	}
	n := objectName{domain: domain}
	for rest != "" {
		if rest == "*" || strings.HasPrefix(rest, "*,") {
			n.more, rest = true, strings.TrimPrefix(rest[1:], ",")
			continue
		}
		key, after, ok := strings.Cut(rest, "=")
		if !ok || key == "" {
			return n, fmt.Errorf("%q is no key with a value", rest)
		}
		value, left, err := cutObjectValue(after)
		if err != nil {
			return n, err
		}
		n.keys, rest = append(n.keys, objectKey{key, value}), left
	}
	return n, nil
}

// cutObjectValue takes a value off the front of a list of keys.
func cutObjectValue(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		value, rest, _ = strings.Cut(text, ",")
		return value, rest, nil
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] == 'n' {
				b.WriteByte('\n')
			} else {
				b.WriteByte(text[i])
			}
		case c == '"':
			rest, ok := strings.CutPrefix(text[i+1:], ",")
			if !ok && rest != "" {
				return "", "", errors.New("there is something behind a quoted value")
			}
			return b.String(), rest, nil
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("a quoted value does not end")
}

// quoteObjectValue writes a value so that it is read as it is.
func quoteObjectValue(v string) string {
	if v != "" && !strings.ContainsAny(v, ",=:\"*?\n\\") {
		return v
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `*`, `\*`, `?`, `\?`, "\n", `\n`).Replace(v) + `"`
}

// amqObjectValue is how ActiveMQ writes a destination's name: what JMX reserves is replaced.
func amqObjectValue(v string) string {
	return strings.NewReplacer(":", "_", ",", "_", "'", "_", `"`, "_", "?", "&qe;", "=", "&eq;", "*", "&ast;").Replace(v)
}

// String is the name with its keys in their order.
func (n objectName) String() string { return n.domain + ":" + n.list(n.keys) }

// canonical is the name with its keys sorted.
func (n objectName) canonical() string {
	keys := slices.Clone(n.keys)
	slices.SortFunc(keys, func(a, b objectKey) int { return strings.Compare(a.key, b.key) })
	return n.domain + ":" + n.list(keys)
}

func (n objectName) list(keys []objectKey) string {
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(k.key + "=" + quoteObjectValue(k.value))
	}
	return b.String()
}

func (n objectName) get(key string) string {
	for _, k := range n.keys {
		if k.key == key {
			return k.value
		}
	}
	return ""
}

// isPattern reports whether a name stands for any number of MBeans.
func (n objectName) isPattern() bool {
	return n.more || strings.ContainsAny(n.domain, "*?") || slices.ContainsFunc(n.keys, func(k objectKey) bool { return strings.ContainsAny(k.value, "*?") })
}

// matches reports whether a name or pattern means an MBean. The broker is found as
// localhost too, ActiveMQ's default name: there is one broker here, and scripts have that
// name in them.
func (n objectName) matches(bean objectName) bool {
	if !globMatch(n.domain, bean.domain) || len(n.keys) > len(bean.keys) || len(n.keys) < len(bean.keys) && !n.more {
		return false
	}
	for _, k := range n.keys {
		i := slices.IndexFunc(bean.keys, func(b objectKey) bool { return b.key == k.key })
		if i < 0 {
			return false
		}
		v := bean.keys[i].value
		if !globMatch(k.value, v) && k.value != v && k.value != amqObjectValue(v) && (k.key != "brokerName" || k.value != "localhost") {
			return false
		}
	}
	return true
}

// globMatch matches * to any text and ? to any byte, in time proportional to the product
// of the lengths.
func globMatch(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
