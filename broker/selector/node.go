package selector

import (
	"math"
	"strconv"
	"strings"
)

// A selector is compiled to a small tree of nodes. Conditions have a truth value, expressions a value; an identifier and
// TRUE and FALSE are expressions that the parser wraps in a truth where a condition is wanted.
type node interface {
	write(b *strings.Builder) // canonical text
	level() int               // how tightly the node's operator binds
}

type cond interface {
	node
	test(src Source) Tri
}

type expr interface {
	node
	value(src Source) Value
}

// Levels of precedence, from loose to tight. JMS 1.1 section 3.8.1.1.
const (
	levelOr = iota
	levelAnd
	levelNot
	levelCompare
	levelAdd
	levelMultiply
	levelSign
	levelPrimary
)

// writeAt writes n, in parentheses if it binds less tightly than its place needs.
func writeAt(b *strings.Builder, n node, level int) {
	if n.level() >= level {
		n.write(b)
		return
	}
	b.WriteByte('(')
	n.write(b)
	b.WriteByte(')')
}

// writeNot writes the NOT of NOT LIKE and its kind.
func writeNot(b *strings.Builder, negate bool) {
	if negate {
		b.WriteString("NOT ")
	}
}

type identifier struct{ Name }

func (n *identifier) value(src Source) Value { return src.Lookup(n.Name) }
func (n *identifier) level() int             { return levelPrimary }

func (n *identifier) write(b *strings.Builder) {
	if isPlainName(n.Text) {
		b.WriteString(n.Text)
		return
	}
	b.WriteString(`"` + strings.ReplaceAll(n.Text, `"`, `""`) + `"`)
}

// isPlainName reports whether a name needs no double quotes.
func isPlainName(name string) bool {
	for i := range len(name) {
		if !isWord(name[i]) {
			return false
		}
	}
	return isLetter(name[0]) && keyword(name) == ""
}

type literal struct{ val Value }

func (n *literal) value(Source) Value { return n.val }
func (n *literal) level() int         { return levelPrimary }

func (n *literal) write(b *strings.Builder) {
	switch v := n.val; v.kind {
	case KindBool:
		b.WriteString(triOf(v.Bool()).String())
	case KindInt:
		b.WriteString(strconv.FormatInt(v.Int(), 10))
	case KindFloat:
		s := strconv.FormatFloat(v.Float(), 'g', -1, 64)
		b.WriteString(s)
		if !strings.ContainsAny(s, ".e") {
			b.WriteString(".0")
		}
	default:
		b.WriteString("'" + strings.ReplaceAll(v.str, "'", "''") + "'")
	}
}

// truth is an identifier or TRUE or FALSE where a condition is wanted.
type truth struct {
	of      expr
	convert bool
}

func (n *truth) test(src Source) Tri {
	v := n.of.value(src)
	if v.kind == KindNull {
		return Unknown
	}
	if n.convert {
		v = v.like(KindBool)
	}
	return triOf(v.Bool())
}

func (n *truth) level() int               { return n.of.level() }
func (n *truth) write(b *strings.Builder) { n.of.write(b) }

type negation struct{ of cond }

func (n *negation) test(src Source) Tri { return n.of.test(src).Not() }
func (n *negation) level() int          { return levelNot }

func (n *negation) write(b *strings.Builder) {
	b.WriteString("NOT ")
	writeAt(b, n.of, levelNot)
}

type conjunction struct{ terms []cond }

func (n *conjunction) test(src Source) Tri {
	all := True
	for _, t := range n.terms {
		if all = all.And(t.test(src)); all == False {
			break
		}
	}
	return all
}

func (n *conjunction) level() int               { return levelAnd }
func (n *conjunction) write(b *strings.Builder) { writeJoined(b, n.terms, " AND ", levelNot) }

type disjunction struct{ terms []cond }

func (n *disjunction) test(src Source) Tri {
	any := False
	for _, t := range n.terms {
		if any = any.Or(t.test(src)); any == True {
			break
		}
	}
	return any
}

func (n *disjunction) level() int               { return levelOr }
func (n *disjunction) write(b *strings.Builder) { writeJoined(b, n.terms, " OR ", levelAnd) }

func writeJoined(b *strings.Builder, terms []cond, word string, level int) {
	for i, t := range terms {
		if i > 0 {
			b.WriteString(word)
		}
		writeAt(b, t, level)
	}
}

// isNull is IS NULL and, negated, IS NOT NULL: the only condition that sees NULL.
type isNull struct {
	of     expr
	negate bool
}

func (n *isNull) test(src Source) Tri {
	return triOf((n.of.value(src).kind == KindNull) != n.negate)
}

func (n *isNull) level() int { return levelCompare }

func (n *isNull) write(b *strings.Builder) {
	writeAt(b, n.of, levelAdd)
	b.WriteString(" IS ")
	writeNot(b, n.negate)
	b.WriteString("NULL")
}

// signed is a unary plus or minus.
type signed struct {
	of      expr
	minus   bool
	convert bool
}

func (n *signed) value(src Source) Value {
	v := n.of.value(src).asNumber(n.convert)
	if n.minus {
		return negated(v)
	}
	return v
}

// negated returns -v; the one integer without a negative becomes a float.
func negated(v Value) Value {
	switch {
	case v.kind == KindInt && v.Int() != math.MinInt64:
		return Int(-v.Int())
	case v.isNumber():
		return Float(-v.Float())
	}
	return v
}

func (n *signed) level() int { return levelSign }

func (n *signed) write(b *strings.Builder) {
	sign := "+"
	if n.minus {
		sign = "-"
	}
	b.WriteString(sign)
	if inner, ok := n.of.(*signed); ok && inner.minus && n.minus {
		b.WriteByte(' ') // two minus signs would begin a comment
	}
	writeAt(b, n.of, levelSign)
}

// arithmetic is a binary operation. NULL gives NULL, what is not a number an invalid value.
type arithmetic struct {
	op          byte // one of + - * / %
	left, right expr
	convert     bool
}

func (n *arithmetic) value(src Source) Value {
	l, r := n.left.value(src).asNumber(n.convert), n.right.value(src).asNumber(n.convert)
	switch {
	case l.kind == KindNull || r.kind == KindNull:
		return Value{}
	case l.kind == kindInvalid || r.kind == kindInvalid:
		return Value{kind: kindInvalid}
	case n.op == '/' || n.op == '%':
		return divide(n.op, l, r)
	case l.kind == KindInt && r.kind == KindInt:
		if i, ok := calculateInt(n.op, l.Int(), r.Int()); ok {
			return Int(i)
		}
	}
	return Float(calculateFloat(n.op, l.Float(), r.Float()))
}

func (n *arithmetic) level() int {
	if n.op == '+' || n.op == '-' {
		return levelAdd
	}
	return levelMultiply
}

func (n *arithmetic) write(b *strings.Builder) {
	writeAt(b, n.left, n.level())
	b.WriteString(" " + string(n.op) + " ")
	writeAt(b, n.right, n.level()+1)
}

// divide returns the quotient or remainder, NULL if r is zero. Two integers give an integer, rounded towards zero.
func divide(op byte, l, r Value) Value {
	if r.Float() == 0 {
		return Value{}
	}
	if l.kind == KindInt && r.kind == KindInt {
		a, b := l.Int(), r.Int()
		switch {
		case op == '%':
			return Int(a % b)
		case a != math.MinInt64 || b != -1:
			return Int(a / b)
		}
	}
	if op == '%' {
		return Float(math.Mod(l.Float(), r.Float()))
	}
	return Float(l.Float() / r.Float())
}

// calculateInt returns ok = false when the result does not fit; the caller then goes on with floats.
func calculateInt(op byte, a, b int64) (result int64, ok bool) {
	switch op {
	case '+':
		sum := a + b
		return sum, (sum > a) == (b > 0)
	case '-':
		diff := a - b
		return diff, (diff < a) == (b > 0)
	}
	product := a * b
	if a == 0 || a == -1 && b == math.MinInt64 {
		return product, a == 0
	}
	return product, product/a == b
}

func calculateFloat(op byte, a, b float64) float64 {
	switch op {
	case '+':
		return a + b
	case '-':
		return a - b
	}
	return a * b
}
