package selector

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// This file is what the model says values mean; model_test.go draws selectors and checks.

func flip(t Tri) Tri {
	switch t {
	case True:
		return False
	case False:
		return True
	}
	return Unknown
}

// likeRegexp says by a regular expression what a pattern means.
func likeRegexp(pattern, escape string) *regexp.Regexp {
	var b strings.Builder
	rs := []rune(pattern)
	for i := 0; i < len(rs); i++ {
		c := string(rs[i])
		switch {
		case c == escape:
			if i+1 < len(rs) && (rs[i+1] == '%' || rs[i+1] == '_' || string(rs[i+1]) == escape) {
				i++
			}
			b.WriteString(regexp.QuoteMeta(string(rs[i])))
		case c == "%":
			b.WriteString(".*")
		case c == "_":
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(c))
		}
	}
	return regexp.MustCompile(`\A(?s:` + b.String() + `)\z`)
}

func (g gen) compare(op string, l, r any, exact, orderText bool) Tri {
	if l == nil || r == nil {
		return Unknown
	}
	ls, lIsText := l.(string)
	rs, rIsText := r.(string)
	equality := op == "=" || op == "<>"
	if lIsText && rIsText {
		a, b := g.number(l), g.number(r)
		if !g.strict && a != (wrong{}) && b != (wrong{}) && !(equality && exact) {
			return order(op, a, b)
		}
		if !equality && !orderText {
			return False
		}
		return holdsText(op, ls, rs)
	}
	_, lIsBool := l.(bool)
	_, rIsBool := r.(bool)
	if lIsBool || rIsBool {
		a, okA := g.boolean(l)
		b, okB := g.boolean(r)
		return triOf(okA && okB && equality && (a == b) == (op == "="))
	}
	a, b := g.number(l), g.number(r)
	if a == (wrong{}) || b == (wrong{}) || g.strict && (lIsText || rIsText) {
		return False
	}
	return order(op, a, b)
}

func holdsText(op, l, r string) Tri {
	return triOf(map[string]bool{"=": l == r, "<>": l != r, "<": l < r, "<=": l <= r, ">": l > r, ">=": l >= r}[op])
}

func order(op string, l, r any) Tri {
	a, okA := l.(int64)
	b, okB := r.(int64)
	if okA && okB {
		return triOf(map[string]bool{"=": a == b, "<>": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op])
	}
	x, y := asFloat(l), asFloat(r)
	return triOf(map[string]bool{"=": x == y, "<>": x != y, "<": x < y, "<=": x <= y, ">": x > y, ">=": x >= y}[op])
}

func asFloat(v any) float64 {
	if i, ok := v.(int64); ok {
		return float64(i)
	}
	return v.(float64)
}

func (g gen) boolean(v any) (bool, bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		low := strings.ToLower(v)
		return low == "true", !g.strict && (low == "true" || low == "false")
	}
	return false, false
}

// number converts to int64 or float64, or says wrong; nil stays.
func (g gen) number(v any) any {
	switch v := v.(type) {
	case nil, int64, float64:
		return v
	case string:
		if !g.strict && modelNumber.MatchString(v) {
			if i, err := strconv.ParseInt(v, 10, 64); err == nil {
				return i
			}
			f, _ := strconv.ParseFloat(v, 64)
			return f
		}
	}
	return wrong{}
}

func calculate(op string, l, r any) any {
	if l == nil || r == nil {
		return nil
	}
	if l == (wrong{}) || r == (wrong{}) {
		return wrong{}
	}
	a, okA := l.(int64)
	b, okB := r.(int64)
	if (op == "/" || op == "%") && asFloat(r) == 0 {
		return nil
	}
	if okA && okB {
		x, y, z := big.NewInt(a), big.NewInt(b), new(big.Int)
		switch op {
		case "+":
			z.Add(x, y)
		case "-":
			z.Sub(x, y)
		case "*":
			z.Mul(x, y)
		case "/":
			z.Quo(x, y)
		case "%":
			z.Rem(x, y)
		}
		if z.IsInt64() {
			return z.Int64()
		}
	}
	x, y := asFloat(l), asFloat(r)
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "/":
		return x / y
	}
	return math.Mod(x, y)
}
