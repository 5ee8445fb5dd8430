package selector

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The model is a second, naive evaluator. A generator draws a selector from the grammar and returns its text and a function
// that says what it means; values are nil, bool, int64, float64, string, or wrong for arithmetic on what is no number.
type (
	wrong     struct{}
	modelCond func(properties) Tri
	modelExpr func(properties) any
)

type gen struct {
	t      *rapid.T
	strict bool
}

var modelNames = []string{"a", "b", "c", "d"}

var modelTexts = []string{"", "1", "2", "-3", "2.5", "1e2", "2.50", "010", "9223372036854775807", "99999999999999999999", "abc", "aab", "a%b", "a_b", "TRUE", "true", "false", "naïve", "𝄞", "it's", " 1", "0x1", "1L", "-", "."}

var modelNumber = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

func (g gen) value(label string) Value {
	switch rapid.IntRange(0, 6).Draw(g.t, label) {
	case 0:
		return Value{}
	case 1:
		return Bool(rapid.Bool().Draw(g.t, "bool"))
	case 2:
		return Int(rapid.SampledFrom([]int64{0, 1, 2, -3, 10, math.MaxInt64, math.MinInt64}).Draw(g.t, "int"))
	case 3:
		return Float(rapid.SampledFrom([]float64{0, 1, 2.5, -3, 100, math.Inf(1), math.NaN()}).Draw(g.t, "float"))
	}
	return String(rapid.SampledFrom(modelTexts).Draw(g.t, "text"))
}

func plain(v Value) any {
	switch v.Kind() {
	case KindBool:
		return v.Bool()
	case KindInt:
		return v.Int()
	case KindFloat:
		return v.Float()
	case KindString:
		return v.Text()
	}
	return nil
}

// one draws one of several productions.
func (g gen) one(n int) int { return rapid.IntRange(0, n-1).Draw(g.t, "rule") }

// word draws a spelling of a keyword, with blanks or a comment around it.
func (g gen) word(k string) string {
	blank := rapid.SampledFrom([]string{" ", "\n\t", " /* ' */ ", " -- x\n"}).Draw(g.t, "blank")
	if rapid.Bool().Draw(g.t, "lower") {
		k = strings.ToLower(k)
	}
	return " " + k + blank
}

func (g gen) or(depth int) (string, modelCond) {
	return g.joined(depth, "OR", g.and, func(l, r Tri) Tri {
		switch {
		case l == True || r == True:
			return True
		case l == Unknown || r == Unknown:
			return Unknown
		}
		return False
	})
}

func (g gen) and(depth int) (string, modelCond) {
	return g.joined(depth, "AND", g.not, func(l, r Tri) Tri {
		switch {
		case l == False || r == False:
			return False
		case l == Unknown || r == Unknown:
			return Unknown
		}
		return True
	})
}

func (g gen) joined(depth int, word string, operand func(int) (string, modelCond), join func(l, r Tri) Tri) (string, modelCond) {
	text, all := operand(depth)
	for range g.one(3) {
		t, next := operand(depth)
		sofar := all
		text += g.word(word) + t
		all = func(m properties) Tri { return join(sofar(m), next(m)) }
	}
	return text, all
}

func (g gen) not(depth int) (string, modelCond) {
	if g.one(4) > 0 {
		return g.condition(depth)
	}
	text, c := g.not(depth)
	return g.word("NOT") + text, func(m properties) Tri { return flip(c(m)) }
}

func (g gen) condition(depth int) (string, modelCond) {
	if depth > 0 && g.one(4) == 0 {
		text, c := g.or(depth - 1)
		return "(" + text + ")", c
	}
	switch g.one(6) {
	case 0:
		return g.bare()
	case 1:
		return g.isNull(depth)
	case 2:
		return g.between(depth)
	case 3:
		return g.in(depth)
	case 4:
		return g.like(depth)
	}
	return g.comparison(depth)
}

func (g gen) bare() (string, modelCond) {
	name := rapid.SampledFrom(modelNames).Draw(g.t, "name")
	return name, func(m properties) Tri {
		switch v := plain(m[name]).(type) {
		case nil:
			return Unknown
		case bool:
			return triOf(v)
		case string:
			return triOf(!g.strict && strings.ToLower(v) == "true")
		}
		return False
	}
}

func (g gen) isNull(depth int) (string, modelCond) {
	text, e, _ := g.sum(depth)
	if g.one(2) == 0 {
		return text + g.word("IS") + g.word("NULL"), func(m properties) Tri { return triOf(e(m) == nil) }
	}
	return text + g.word("IS") + g.word("NOT") + g.word("NULL"), func(m properties) Tri { return triOf(e(m) != nil) }
}

// negatable draws the NOT of NOT IN and its kind.
func (g gen) negatable(c modelCond) (string, modelCond) {
	if g.one(3) > 0 {
		return "", c
	}
	return g.word("NOT"), func(m properties) Tri { return flip(c(m)) }
}

func (g gen) between(depth int) (string, modelCond) {
	x, ex, _ := g.sum(depth)
	lo, el, _ := g.sum(depth)
	hi, eh, _ := g.sum(depth)
	not, c := g.negatable(func(m properties) Tri {
		l, h := g.compare(">=", ex(m), el(m), false, true), g.compare("<=", ex(m), eh(m), false, true)
		if l == False || h == False {
			return False
		}
		if l == Unknown || h == Unknown {
			return Unknown
		}
		return True
	})
	return x + not + g.word("BETWEEN") + lo + g.word("AND") + hi, c
}

func (g gen) in(depth int) (string, modelCond) {
	x, e, _ := g.sum(depth)
	var texts []string
	var values []any
	for range 1 + g.one(4) {
		t, v := g.literal(false)
		texts, values = append(texts, t), append(values, v)
	}
	not, c := g.negatable(func(m properties) Tri {
		got, any := e(m), False
		if got == nil {
			return Unknown
		}
		for _, v := range values {
			_, exact := v.(string)
			any = max(any, g.compare("=", got, v, exact, false))
		}
		return any
	})
	return x + not + g.word("IN") + "(" + strings.Join(texts, ", ") + ")", c
}

func (g gen) like(depth int) (string, modelCond) {
	x, e, _ := g.sum(depth)
	pattern := rapid.StringOf(rapid.SampledFrom([]rune("ab1%_é%_\\"))).Draw(g.t, "pattern")
	escape, clause := "", ""
	if g.one(2) == 0 {
		escape = rapid.SampledFrom([]string{`\`, "a", "é", "%", "_"}).Draw(g.t, "escape")
		clause = g.word("ESCAPE") + "'" + escape + "'"
	}
	re := likeRegexp(pattern, escape)
	not, c := g.negatable(func(m properties) Tri {
		switch v := e(m).(type) {
		case nil:
			return Unknown
		case string:
			return triOf(re.MatchString(v))
		}
		return False
	})
	return x + not + g.word("LIKE") + "'" + pattern + "'" + clause, c
}

func (g gen) comparison(depth int) (string, modelCond) {
	l, el, litL := g.sum(depth)
	r, er, litR := g.sum(depth)
	op := rapid.SampledFrom([]string{"=", "<>", "<", "<=", ">", ">="}).Draw(g.t, "op")
	return l + " " + op + " " + r, func(m properties) Tri { return g.compare(op, el(m), er(m), litL || litR, false) }
}

// sum draws an arithmetic expression; isText says that it is a string literal.
func (g gen) sum(depth int) (text string, e modelExpr, isText bool) {
	return g.arithmetic(depth, []string{"+", "-"}, func(d int) (string, modelExpr, bool) {
		return g.arithmetic(d, []string{"*", "/", "%"}, g.sign)
	})
}

func (g gen) arithmetic(depth int, ops []string, operand func(int) (string, modelExpr, bool)) (string, modelExpr, bool) {
	text, e, isText := operand(depth)
	if isText || text == "TRUE" || text == "FALSE" || g.one(4) > 0 {
		return text, e, isText
	}
	for range 1 + g.one(2) {
		t, next, isText := operand(depth)
		if isText || t == "TRUE" || t == "FALSE" {
			continue
		}
		op := rapid.SampledFrom(ops).Draw(g.t, "op")
		l := e
		text += " " + op + " " + t
		e = func(m properties) any { return calculate(op, g.number(l(m)), g.number(next(m))) }
	}
	return text, e, false
}

func (g gen) sign(depth int) (string, modelExpr, bool) {
	text, e, isText := g.primary(depth)
	if isText || text == "TRUE" || text == "FALSE" || g.one(5) > 0 {
		return text, e, isText
	}
	if g.one(2) == 0 {
		return "+ " + text, func(m properties) any { return g.number(e(m)) }, false
	}
	return "- " + text, func(m properties) any {
		switch v := g.number(e(m)).(type) {
		case int64:
			return calculate("-", int64(0), v)
		case float64:
			return -v
		default:
			return v
		}
	}, false
}

func (g gen) primary(depth int) (string, modelExpr, bool) {
	if depth > 0 && g.one(6) == 0 {
		text, e, isText := g.sum(depth - 1)
		if isText || text == "TRUE" || text == "FALSE" {
			return text, e, isText
		}
		return "(" + text + ")", e, false
	}
	if g.one(2) == 0 {
		text, v := g.literal(true)
		_, isText := v.(string)
		return text, func(properties) any { return v }, isText
	}
	name := rapid.SampledFrom(modelNames).Draw(g.t, "name")
	return name, func(m properties) any { return plain(m[name]) }, false
}

func (g gen) literal(bools bool) (string, any) {
	switch g.one(4) {
	case 0:
		i := rapid.SampledFrom([]int64{0, 1, 2, 3, 8, 10, 255, math.MaxInt64}).Draw(g.t, "int")
		return fmt.Sprintf(rapid.SampledFrom([]string{"%d", "%dL", "0x%x", "0%o"}).Draw(g.t, "format"), i), i
	case 1:
		f := rapid.SampledFrom([]float64{0.5, 1, 2.5, 100, 9223372036854775808}).Draw(g.t, "float")
		return strconv.FormatFloat(f, 'e', -1, 64), f
	case 2:
		if bools {
			b := rapid.Bool().Draw(g.t, "bool")
			return strings.ToUpper(strconv.FormatBool(b)), b
		}
	}
	s := rapid.SampledFrom(modelTexts).Draw(g.t, "text")
	return "'" + strings.ReplaceAll(s, "'", "''") + "'", s
}

func TestAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := gen{t: t, strict: rapid.Bool().Draw(t, "strict")}
		mode := STOMP
		if g.strict {
			mode = Strict
		}
		text, want := g.or(2)
		s, err := Parse(text, mode)
		if err != nil {
			t.Fatalf("Parse(%q): %v", text, err)
		}
		again, err := Parse(s.String(), mode)
		if err != nil || again.String() != s.String() {
			t.Fatalf("canonical text %q of %q: %v, %v", s, text, again, err)
		}
		for range 4 {
			m := properties{}
			for _, name := range modelNames {
				m[name] = g.value(name)
			}
			w := want(m)
			if got := s.Eval(m); got != w {
				t.Fatalf("%s with %v = %v, want %v", text, m, got, w)
			}
			if got := again.Eval(m); got != w {
				t.Fatalf("canonical %s with %v = %v, want %v", again, m, got, w)
			}
			checkNeed(t, s, m, w)
		}
	})
}

// checkNeed proves what an index relies on: a message that matches meets the selector's need, by the keys of its headers.
func checkNeed(t *rapid.T, s *Selector, m properties, got Tri) {
	need, ok := s.Need(func(name string) bool { return name != "d" })
	if got != True || !ok {
		return
	}
	if !met(need, m) {
		t.Fatalf("%s matches %v, which does not meet %v", s, m, need)
	}
}

// met is what an index answers that knows one message.
func met(n Need, m properties) bool {
	switch {
	case len(n.All) > 0:
		return !slices.ContainsFunc(n.All, func(n Need) bool { return !met(n, m) })
	case len(n.Any) > 0:
		return slices.ContainsFunc(n.Any, func(n Need) bool { return met(n, m) })
	}
	keys, ok := AppendKeys(nil, m[n.Name])
	return !ok || slices.Contains(keys, n.Value.Key())
}

func TestLikeAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOf(rapid.SampledFrom([]rune("aab%%__é𝄞"))).Draw(t, "pattern")
		if rapid.Bool().Draw(t, "long") { // more than a word of positions
			pattern = "%" + strings.Repeat(rapid.StringOfN(rapid.SampledFrom([]rune("aa_é")), 1, 8, -1).Draw(t, "part"), 20) + "%" + pattern
		}
		m := newLikeMatcher(pattern, "")
		re := likeRegexp(pattern, "")
		for range 8 {
			text := strings.Repeat(rapid.StringOf(rapid.SampledFrom([]rune("aaabé𝄞\n"))).Draw(t, "text"), rapid.IntRange(1, 30).Draw(t, "times"))
			if got, want := m.match(text), re.MatchString(text); got != want {
				t.Fatalf("%q LIKE %q = %v, want %v", text, pattern, got, want)
			}
		}
	})
}
