package conf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Temporary is the kind of an [[authorization]] entry for temporary destinations.
const Temporary Kind = "temporary"

// Roles that mean something in [[authorization]] without the realm file.
const (
	EveryRole     = "*"         // of every client
	AnonymousRole = "anonymous" // of a client without login
)

// userMark in the pattern of an [[authorization]] entry stands for the user's name.
const userMark = "${user}"

// Grant is one [[authorization]] of the file: what roles may do with the destinations of
// a pattern.
type Grant struct {
	Kind               Kind   // Queue, Topic or Temporary
	Pattern            string // empty for Temporary
	Read, Write, Admin []string
	Where              string // file:line
}

// String names the entry as it stands in the file.
func (g Grant) String() string {
	if g.Kind == Temporary {
		return "temporary = true (" + g.Where + ")"
	}
	return string(g.Kind) + " = " + quote(g.Pattern) + " (" + g.Where + ")"
}

// Rights are what somebody may do with a destination.
type Rights struct{ Read, Write, Admin bool }

// Authorization is what all entries say. Without entries everybody may do everything.
type Authorization []Grant

// Rights adds up what the entries that cover a destination give to a user who has these
// roles, as ActiveMQ does. A name with wildcards is covered by an entry that covers all
// that it matches. user is empty for a client without login, which has the role
// AnonymousRole. kind is Queue, Topic or Temporary; without an entry for them temporary
// destinations are everybody's.
func (a Authorization) Rights(user string, roles []string, kind Kind, name string) Rights {
	all := Rights{true, true, true}
	if len(a) == 0 {
		return all
	}
	if user == "" {
		roles = []string{AnonymousRole}
	}
	var r Rights
	found := false
	for i := range a {
		g := &a[i]
		if g.Kind != kind || kind != Temporary && !covers(g.Pattern, name, user) {
			continue
		}
		found = true
		r.Read = r.Read || given(g.Read, roles)
		r.Write = r.Write || given(g.Write, roles)
		r.Admin = r.Admin || given(g.Admin, roles)
	}
	if !found && kind == Temporary {
		return all
	}
	return r
}

// given reports whether one of the roles is on the list.
func given(list, roles []string) bool {
	return slices.ContainsFunc(list, func(role string) bool { return role == EveryRole || slices.Contains(roles, role) })
}

// covers reports whether the pattern of an entry matches a name, or all that a name with
// wildcards (*, > and, as subscriptions have it, #) matches. ${user} in the pattern is
// the user's name, and nothing where that is not one plain segment of a name.
func covers(pattern, name, user string) bool {
	for {
		p, restOfPattern, morePattern := strings.Cut(pattern, ".")
		if p == ">" {
			return true
		}
		n, restOfName, moreName := strings.Cut(name, ".")
		if n == "#" || strings.HasPrefix(n, ">") || p != "*" && (n == "*" || !segmentIs(p, n, user)) {
			return false
		}
		if !morePattern || !moreName {
			return !moreName && (!morePattern || restOfPattern == ">")
		}
		pattern, name = restOfPattern, restOfName
	}
}

// segmentIs compares a segment of a pattern without wildcards with one of a name.
func segmentIs(p, n, user string) bool {
	if !strings.Contains(p, userMark) {
		return p == n
	}
	return isSegment(user) && strings.ReplaceAll(p, userMark, user) == n
}

// isSegment reports whether a user's name can be one segment of a destination's name. One
// with a dot in it would share the destinations of another user.
func isSegment(user string) bool {
	return user != "" && !strings.ContainsAny(user, ".*>#,") && !strings.ContainsFunc(user, unicode.IsControl)
}

// grantKey is one row of the table of keys inside [[authorization]].
type grantKey struct {
	name string
	doc  string
	bind func(*Grant) value
}

const authorizationDoc = `Authorization of STOMP clients: who may do what with which destination, as ActiveMQ's authorizationEntry. ` +
	`Without an entry everybody who can connect may do everything. With one, only what entries give is allowed; what several entries give ` +
	`for a destination adds up. Roles are those of the realm file; "*" is every client, and "anonymous" one without login. ` +
	`In a pattern ${user} is the name of the user. See security.md. A reload takes effect at once.`

func grantKeys() []grantKey {
	return []grantKey{
		{"read", "Roles that may consume and browse. A subscription with wildcards needs entries that cover everything it matches.",
			func(g *Grant) value { return list(&g.Read, checkRole) }},
		{"write", "Roles that may send.",
			func(g *Grant) value { return list(&g.Write, checkRole) }},
		{"admin", "Roles that may make a destination: by naming one that is not there, in SEND or SUBSCRIBE.",
			func(g *Grant) value { return list(&g.Admin, checkRole) }},
	}
}

func checkRole(s string) error {
	if s == "" || strings.TrimSpace(s) != s || strings.Contains(s, ",") || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf(`%q is no role: write each role in quotes of its own, without blanks around it (["shop", "stock"])`, s)
	}
	return nil
}

// checkGrantPattern takes a pattern in which ${user} may stand.
func checkGrantPattern(s string) error {
	plain := strings.ReplaceAll(s, userMark, "user")
	if strings.Contains(plain, "${") {
		return fmt.Errorf("%q has a ${ in it that is not ${user}", s)
	}
	if slices.Contains(strings.Split(plain, "."), "#") {
		return errors.New("# is a wildcard of subscriptions only: write > for the whole rest")
	}
	return checkPattern(plain)
}

// authorization takes the [[authorization]] entries of a file.
func (l *loader) authorization(d document, v any) {
	entries, ok := v.([]any)
	if !ok {
		l.problem(d.where("authorization"), "authorization is a list: write [[authorization]] with two brackets")
		return
	}
	for i, entry := range entries {
		fields, ok := entry.(map[string]any)
		if !ok {
			l.problem(d.where("authorization"), "entry %d of authorization is %s: write [[authorization]]", i+1, kindOf(entry))
			continue
		}
		l.config.Authorization = append(l.config.Authorization, l.grant(d, index("authorization", i), fields))
	}
}

func (l *loader) grant(d document, path string, fields map[string]any) Grant {
	g := Grant{Where: d.where(path)}
	l.grantKind(d, path, fields, &g)
	names := []string{string(Queue), string(Topic), string(Temporary)}
	gives := false
	for _, k := range grantKeys() {
		names = append(names, k.name)
		if v, ok := fields[k.name]; ok {
			gives = true
			l.accept(k.bind(&g), k.name, v, d.where(join(path, k.name)))
		}
	}
	for name := range fields {
		if !slices.Contains(names, name) {
			l.problem(d.where(join(path, name)), "unknown authorization key %s%s", name, suggest(name, names))
		}
	}
	if !gives {
		l.problem(g.Where, `an authorization needs read, write or admin, each a list of roles: read = ["shop"]`)
	}
	return g
}

// grantKind takes the one key of an entry that says what it is for.
func (l *loader) grantKind(d document, path string, fields map[string]any, g *Grant) {
	temporary, here := fields[string(Temporary)]
	if !here {
		if text, ok := fields[string(Queue)].(string); ok {
			fields[string(Queue)] = keepUserMark(text)
		}
		if text, ok := fields[string(Topic)].(string); ok {
			fields[string(Topic)] = keepUserMark(text)
		}
		r := Rule{}
		l.pattern(d, path, "authorization", []Kind{Queue, Topic}, fields, &r, checkGrantPattern)
		g.Kind, g.Pattern = r.Kind, r.Pattern
		return
	}
	g.Kind = Temporary
	_, queue := fields[string(Queue)]
	_, topic := fields[string(Topic)]
	if temporary != true || queue || topic {
		l.problem(d.where(join(path, string(Temporary))), "temporary = true is for all temporary destinations: write it alone, without a pattern")
	}
}

// keepUserMark keeps ${user} from being replaced as ${env:NAME} is.
func keepUserMark(pattern string) string {
	return strings.ReplaceAll(strings.ReplaceAll(pattern, "$"+userMark, userMark), userMark, "$"+userMark)
}

func (g Grant) entries(prefix string) []Entry {
	origin := Origin{FromFile, g.Where}
	first := Entry{Key: join(prefix, string(g.Kind)), Value: g.Pattern, Literal: quote(g.Pattern), Origin: origin, Doc: "Pattern of the entry."}
	if g.Kind == Temporary {
		first.Value, first.Literal, first.Doc = "true", "true", "The entry is for temporary destinations."
	}
	all := []Entry{first}
	for _, k := range grantKeys() {
		v := k.bind(&g)
		all = append(all, Entry{Key: prefix + "." + k.name, Value: v.text(), Literal: v.literal(),
			Default: k.bind(&Grant{}).text(), Origin: origin, Doc: k.doc})
	}
	return all
}

func authorizationReference(b *strings.Builder) {
	fmt.Fprintf(b, "\n## [[authorization]]\n\n%s\n\n", authorizationDoc)
	b.WriteString("| Key | Default | Meaning |\n| --- | --- | --- |\n")
	row(b, "`queue` or `topic`", "", "Pattern of the destinations the entry is for.")
	row(b, "`temporary`", "", "true: the entry is for temporary queues and topics. Without such an entry they are everybody's.")
	for _, k := range grantKeys() {
		row(b, "`"+k.name+"`", "`"+k.bind(&Grant{}).literal()+"`", k.doc)
	}
}
