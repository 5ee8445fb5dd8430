package selector

import (
	"cmp"
	"slices"
	"strings"
)

type operator uint8

const (
	opNone operator = iota
	opEqual
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
)

func operatorOf(symbol string) operator {
	switch symbol {
	case "=":
		return opEqual
	case "<>":
		return opNotEqual
	case "<":
		return opLess
	case "<=":
		return opLessEqual
	case ">":
		return opGreater
	case ">=":
		return opGreaterEqual
	}
	return opNone
}

func (op operator) String() string {
	return [...]string{"", "=", "<>", "<", "<=", ">", ">="}[op]
}

func (op operator) isOrder() bool { return op >= opLess }

// rules say how values of unlike types, and texts, compare.
type rules struct {
	convert   bool // text converts to what it is compared with, and two texts to numbers if both are
	exact     bool // = and <> compare two texts as texts: one of them is a string in the selector
	orderText bool // texts that are not numbers have an order too: BETWEEN
}

// compare returns the truth value of l op r. NULL makes it UNKNOWN; unlike types that do not convert make it FALSE,
// whatever the operator.
func compare(op operator, l, r Value, how rules) Tri {
	if l.kind == KindNull || r.kind == KindNull {
		return Unknown
	}
	if l.kind == KindString && r.kind == KindString {
		return compareText(op, l, r, how)
	}
	if how.convert {
		l, r = l.like(r.kind), r.like(l.kind)
	}
	switch {
	case l.isNumber() && r.isNumber():
		return compareNumbers(op, l, r)
	case l.kind == KindBool && r.kind == KindBool && !op.isOrder():
		return triOf((l.num == r.num) == (op == opEqual))
	}
	return False
}

func compareText(op operator, l, r Value, how rules) Tri {
	if how.convert && (op.isOrder() || !how.exact) {
		if a, ok := parseNumber(l.str); ok {
			if b, ok := parseNumber(r.str); ok {
				return compareNumbers(op, a, b)
			}
		}
	}
	if op.isOrder() {
		return triOf(how.orderText && holds(op, strings.Compare(l.str, r.str)))
	}
	return triOf((l.str == r.str) == (op == opEqual))
}

// compareNumbers compares as float64 unless both are integers. NaN follows IEEE 754: it differs from everything and has no
// order.
func compareNumbers(op operator, l, r Value) Tri {
	if l.kind == KindInt && r.kind == KindInt {
		return triOf(holds(op, cmp.Compare(l.Int(), r.Int())))
	}
	a, b := l.Float(), r.Float()
	if a != a || b != b {
		return triOf(op == opNotEqual)
	}
	return triOf(holds(op, cmp.Compare(a, b)))
}

// holds reports whether the operator holds for an order of -1, 0 or 1.
func holds(op operator, order int) bool {
	switch op {
	case opEqual:
		return order == 0
	case opNotEqual:
		return order != 0
	case opLess:
		return order < 0
	case opLessEqual:
		return order <= 0
	case opGreater:
		return order > 0
	}
	return order >= 0
}

// comparison is one of = <> < <= > >=.
type comparison struct {
	op          operator
	left, right expr
	rules       rules

	// The commonest case, a name on the left and a literal on the right, goes a shorter way to the same result.
	name    *identifier // nil in all other cases
	literal Value
}

func newComparison(op operator, left, right expr, how rules) *comparison {
	n := &comparison{op: op, left: left, right: right, rules: how}
	if lit, ok := right.(*literal); ok {
		n.literal = lit.val
		n.name, _ = left.(*identifier)
	}
	return n
}

func (n *comparison) test(src Source) Tri {
	if n.name == nil {
		return compare(n.op, n.left.value(src), n.right.value(src), n.rules)
	}
	v := src.Lookup(n.name.Name)
	switch {
	case n.literal.kind == KindString:
		if v.kind == KindString && !n.op.isOrder() { // rules.exact: one of them is a string in the selector
			return triOf((v.str == n.literal.str) == (n.op == opEqual))
		}
	case n.literal.isNumber():
		if v.kind == KindString && n.rules.convert {
			v = v.asNumber(true)
		}
		if v.isNumber() {
			return compareNumbers(n.op, v, n.literal)
		}
	}
	return compare(n.op, v, n.literal, n.rules)
}

func (n *comparison) level() int { return levelCompare }

func (n *comparison) write(b *strings.Builder) {
	writeAt(b, n.left, levelAdd)
	b.WriteString(" " + n.op.String() + " ")
	writeAt(b, n.right, levelAdd)
}

// between is x BETWEEN low AND high: x >= low AND x <= high.
type between struct {
	of, low, high expr
	rules         rules
	negate        bool
}

func (n *between) test(src Source) Tri {
	v := n.of.value(src)
	in := compare(opGreaterEqual, v, n.low.value(src), n.rules)
	if in != False {
		in = in.And(compare(opLessEqual, v, n.high.value(src), n.rules))
	}
	return in.negateIf(n.negate)
}

func (n *between) level() int { return levelCompare }

func (n *between) write(b *strings.Builder) {
	writeAt(b, n.of, levelAdd)
	b.WriteByte(' ')
	writeNot(b, n.negate)
	b.WriteString("BETWEEN ")
	writeAt(b, n.low, levelAdd)
	b.WriteString(" AND ")
	writeAt(b, n.high, levelAdd)
}

// in is x IN (a, b, ...): x = a OR x = b OR ..., by binary search.
type in struct {
	of          expr
	list        []Value // as written, for the canonical text
	texts       []string
	numbers     numberSet
	textNumbers numberSet // the texts that convert to numbers
	textBools   [2]bool   // whether a text converts to FALSE, to TRUE
	convert     bool
	negate      bool
}

func newIn(of expr, list []Value, convert, negate bool) *in {
	n := &in{of: of, list: list, convert: convert, negate: negate}
	for _, v := range list {
		if v.isNumber() {
			n.numbers.add(v)
			continue
		}
		n.texts = append(n.texts, v.str)
		if !convert {
			continue
		}
		if f, ok := parseNumber(v.str); ok {
			n.textNumbers.add(f)
		}
		if b, ok := parseBool(v.str); ok {
			n.textBools[Bool(b).num] = true
		}
	}
	slices.Sort(n.texts)
	n.numbers.sort()
	n.textNumbers.sort()
	return n
}

func (n *in) test(src Source) Tri {
	v := n.of.value(src)
	if v.kind == KindNull {
		return Unknown
	}
	return triOf(n.has(v)).negateIf(n.negate)
}

func (n *in) has(v Value) bool {
	switch v.kind {
	case KindString:
		if _, found := slices.BinarySearch(n.texts, v.str); found {
			return true
		}
		return !n.numbers.isEmpty() && n.numbers.has(v.asNumber(n.convert))
	case KindInt, KindFloat:
		return n.numbers.has(v) || n.textNumbers.has(v)
	case KindBool:
		return n.textBools[v.num]
	}
	return false
}

func (n *in) level() int { return levelCompare }

func (n *in) write(b *strings.Builder) {
	writeAt(b, n.of, levelAdd)
	b.WriteByte(' ')
	writeNot(b, n.negate)
	b.WriteString("IN (")
	for i, v := range n.list {
		if i > 0 {
			b.WriteString(", ")
		}
		(&literal{v}).write(b)
	}
	b.WriteByte(')')
}

// numberSet holds numbers in ascending order.
type numberSet struct {
	ints   []int64
	floats []float64
}

func (s *numberSet) add(v Value) {
	if v.kind == KindInt {
		s.ints = append(s.ints, v.Int())
	} else {
		s.floats = append(s.floats, v.Float())
	}
}

func (s *numberSet) sort() {
	slices.Sort(s.ints)
	slices.Sort(s.floats)
}

func (s *numberSet) isEmpty() bool { return len(s.ints)+len(s.floats) == 0 }

// has reports whether the set holds a number that equals v by the rule of compareNumbers.
func (s *numberSet) has(v Value) bool {
	if !v.isNumber() {
		return false
	}
	if _, found := slices.BinarySearch(s.floats, v.Float()); found {
		return true
	}
	if v.kind == KindInt {
		_, found := slices.BinarySearch(s.ints, v.Int())
		return found
	}
	// Conversion to float64 keeps the order of the integers.
	_, found := slices.BinarySearchFunc(s.ints, v.Float(), func(i int64, f float64) int {
		return cmp.Compare(float64(i), f)
	})
	return found
}
