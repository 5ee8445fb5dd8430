package selector

// Need is a condition that every message meets for which a selector is TRUE, built of equalities only: an index over
// headers can tell by it where a match cannot be. It is one of three: Name has the value Value; All of the parts are
// met; Any of them is.
type Need struct {
	Name     string
	Value    Value // a literal: Bool, Int, Float or String
	All, Any []Need
}

// Need returns what the selector needs of the headers that are indexed, and false when it says nothing of them. It
// sees = and IN, an identifier that stands alone, AND and OR.
func (s *Selector) Need(indexed func(name string) bool) (Need, bool) {
	if s == nil {
		return Need{}, false
	}
	return needOf(s.root, indexed)
}

func needOf(c cond, indexed func(string) bool) (Need, bool) {
	switch n := c.(type) {
	case *comparison:
		return needOfComparison(n, indexed)
	case *in:
		return needOfIn(n, indexed)
	case *truth:
		if id, ok := n.of.(*identifier); ok && indexed(id.Text) {
			return Need{Name: id.Text, Value: Bool(true)}, true
		}
	case *conjunction:
		var all []Need
		for _, t := range n.terms {
			if need, ok := needOf(t, indexed); ok {
				all = append(all, need)
			}
		}
		return Need{All: all}, len(all) > 0
	case *disjunction:
		var any []Need
		for _, t := range n.terms {
			need, ok := needOf(t, indexed)
			if !ok {
				return Need{}, false
			}
			any = append(any, need)
		}
		return Need{Any: any}, true
	}
	return Need{}, false
}

func needOfComparison(c *comparison, indexed func(string) bool) (Need, bool) {
	left, right := c.left, c.right
	if _, ok := left.(*literal); ok {
		left, right = right, left
	}
	id, isID := left.(*identifier)
	lit, isLit := right.(*literal)
	if c.op != opEqual || !isID || !isLit || !indexed(id.Text) {
		return Need{}, false
	}
	return Need{Name: id.Text, Value: lit.val}, true
}

func needOfIn(n *in, indexed func(string) bool) (Need, bool) {
	id, ok := n.of.(*identifier)
	if !ok || n.negate || !indexed(id.Text) {
		return Need{}, false
	}
	var any []Need
	for _, v := range n.list {
		any = append(any, Need{Name: id.Text, Value: v})
	}
	return Need{Any: any}, true
}

// AppendKeys appends what a header of this value is found by: the Key of every literal that equals it is among
// them, in both modes. It returns false when there is no such list, because the value is not text: typed values equal many
// texts. A missing header equals nothing.
func AppendKeys(dst []Value, header Value) ([]Value, bool) {
	switch header.kind {
	case KindNull:
		return dst, true
	case KindString:
		dst = append(dst, header)
		if n, ok := parseNumber(header.str); ok {
			dst = append(dst, n.Key())
		}
		if b, ok := parseBool(header.str); ok {
			dst = append(dst, Bool(b))
		}
		return dst, true
	}
	return dst, false
}

// Key returns the form of a literal under which AppendKeys has it: numbers that are equal have one.
func (v Value) Key() Value {
	if v.isNumber() {
		return Float(v.Float() + 0) // minus zero becomes zero
	}
	return v
}

// Bits returns the bits of a number or boolean.
func (v Value) Bits() uint64 { return v.num }
