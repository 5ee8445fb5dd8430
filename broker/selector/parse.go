package selector

import (
	"errors"
	"math"
	"strconv"
)

// parser is a recursive-descent parser with one token of look-ahead. Each method of a grammar rule starts at the rule's first
// token and stops at the first token behind it.
//
//	or      = and { OR and }
//	and     = not { AND not }
//	not     = NOT not | compare
//	compare = sum [ op sum | IS [NOT] NULL | [NOT] (BETWEEN sum AND sum | IN (list) | LIKE 'p' [ESCAPE 'e'] | REGEX 'r') ]
//	sum     = product { (+ | -) product }
//	product = sign { (* | / | %) sign }
//	sign    = (+ | -) sign | primary
//	primary = identifier | literal | ( or )
type parser struct {
	lexer
	token   token
	convert bool // the rules of STOMP
	depth   int
	terms   int
	regexes []*regex
	names   map[string]int // their place in order
	order   []string       // names in the order of their appearance
}

// selector parses the whole text; a blank one gives nil.
func (p *parser) selector() (cond, error) {
	if err := p.advance(); err != nil || p.token.kind == tokEnd {
		return nil, err
	}
	start := p.token.offset
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.token.kind != tokEnd {
		return nil, p.unexpected("expected AND, OR or the end of the selector")
	}
	for _, r := range p.regexes {
		r.maxText = MaxRegexSteps / p.regexSize()
	}
	return p.condition(n, start)
}

// regexSize returns the size of all REGEX patterns so far.
func (p *parser) regexSize() int {
	size := 0
	for _, r := range p.regexes {
		size += r.size
	}
	return size
}

func (p *parser) advance() (err error) {
	p.token, err = p.next()
	return err
}

// accept moves over the token if it is the one asked for.
func (p *parser) accept(kind tokenKind, text string) (bool, error) {
	if !p.token.is(kind, text) {
		return false, nil
	}
	return true, p.advance()
}

func (p *parser) expect(kind tokenKind, text string) error {
	ok, err := p.accept(kind, text)
	if !ok && err == nil {
		err = p.unexpected("expected " + text)
	}
	return err
}

func (p *parser) unexpected(message string) error {
	return p.errorAt(p.token.offset, "%s", message)
}

// enter counts one level of nesting; leave ends it.
func (p *parser) enter() error {
	if p.depth++; p.depth > MaxDepth {
		return p.errorAt(p.token.offset, "the selector is nested more than %d levels deep; simplify it", MaxDepth)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// term counts one identifier or literal.
func (p *parser) term() error {
	if p.terms++; p.terms > MaxTerms {
		return p.errorAt(p.token.offset, "the selector has more than %d identifiers and literals; use IN for long lists", MaxTerms)
	}
	return nil
}

// condition returns n as a condition; offset is where n starts, for the error.
func (p *parser) condition(n node, offset int) (cond, error) {
	switch n := n.(type) {
	case cond:
		return n, nil
	case *identifier:
		return &truth{of: n, convert: p.convert}, nil
	case *literal:
		if n.val.kind == KindBool {
			return &truth{of: n}, nil
		}
	}
	return nil, p.errorAt(offset, "expected a condition, found a value; compare it with something")
}

// operand returns n as a value.
func (p *parser) operand(n node, offset int) (expr, error) {
	if e, ok := n.(expr); ok {
		return e, nil
	}
	return nil, p.errorAt(offset, "expected a value, found a condition; join conditions with AND or OR")
}

// number returns n as an operand of arithmetic.
func (p *parser) number(n node, offset int) (expr, error) {
	if l, ok := n.(*literal); ok && !l.val.isNumber() {
		return nil, p.errorAt(offset, "arithmetic needs numbers")
	}
	return p.operand(n, offset)
}

func (p *parser) or() (node, error) {
	terms, only, err := p.joined("OR", p.and, func(c cond) []cond {
		if n, ok := c.(*disjunction); ok {
			return n.terms
		}
		return []cond{c}
	})
	if only != nil || err != nil {
		return only, err
	}
	return &disjunction{terms}, nil
}

func (p *parser) and() (node, error) {
	terms, only, err := p.joined("AND", p.not, func(c cond) []cond {
		if n, ok := c.(*conjunction); ok {
			return n.terms
		}
		return []cond{c}
	})
	if only != nil || err != nil {
		return only, err
	}
	return &conjunction{terms}, nil
}

// joined parses operands joined by a keyword. A single operand, which need not be a condition, comes back as only. flat gives
// the terms of an operand that is itself a join by the same keyword, so that long chains make wide trees and not deep ones.
func (p *parser) joined(word string, operand func() (node, error), flat func(cond) []cond) (terms []cond, only node, err error) {
	for {
		start := p.token.offset
		n, err := operand()
		if err != nil {
			return nil, nil, err
		}
		more, err := p.accept(tokKeyword, word)
		if err != nil || !more && len(terms) == 0 {
			return nil, n, err
		}
		c, err := p.condition(n, start)
		if err != nil {
			return nil, nil, err
		}
		if terms = append(terms, flat(c)...); !more {
			return terms, nil, nil
		}
	}
}

func (p *parser) not() (node, error) {
	negate, err := p.accept(tokKeyword, "NOT")
	if err != nil {
		return nil, err
	}
	if !negate {
		return p.compare()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	start := p.token.offset
	n, err := p.not()
	if err != nil {
		return nil, err
	}
	c, err := p.condition(n, start)
	if err != nil {
		return nil, err
	}
	return &negation{c}, nil
}

func (p *parser) sum() (node, error)     { return p.arithmetic("+", "-", "", p.product) }
func (p *parser) product() (node, error) { return p.arithmetic("*", "/", "%", p.sign) }

// arithmetic parses operands joined by up to three left-associative operators.
func (p *parser) arithmetic(op1, op2, op3 string, operand func() (node, error)) (node, error) {
	start := p.token.offset
	left, err := operand()
	for err == nil && p.token.kind == tokSymbol && (p.token.text == op1 || p.token.text == op2 || p.token.text == op3) {
		n := &arithmetic{op: p.token.text[0], convert: p.convert}
		if n.left, err = p.number(left, start); err != nil {
			return nil, err
		}
		if err = p.advance(); err != nil {
			return nil, err
		}
		at := p.token.offset
		right, err := operand()
		if err != nil {
			return nil, err
		}
		if n.right, err = p.number(right, at); err != nil {
			return nil, err
		}
		left = n
	}
	return left, err
}

func (p *parser) sign() (node, error) {
	minus := p.token.is(tokSymbol, "-")
	if !minus && !p.token.is(tokSymbol, "+") {
		return p.primary(false)
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if err := p.advance(); err != nil {
		return nil, err
	}
	if minus && p.token.kind == tokNumber {
		return p.primary(true)
	}
	start := p.token.offset
	n, err := p.sign()
	if err != nil {
		return nil, err
	}
	of, err := p.number(n, start)
	if err != nil {
		return nil, err
	}
	if l, ok := of.(*literal); ok {
		if minus {
			return &literal{negated(l.val)}, nil
		}
		return l, nil
	}
	return &signed{of: of, minus: minus, convert: p.convert}, nil
}

// primary parses an identifier, a literal, whose sign has been read already if negative, or parentheses.
func (p *parser) primary(negative bool) (node, error) {
	t := p.token
	if t.is(tokSymbol, "(") {
		return p.parentheses()
	}
	n, err := p.leaf(t, negative)
	if err != nil {
		return nil, err
	}
	if err := p.term(); err != nil {
		return nil, err
	}
	return n, p.advance()
}

func (p *parser) leaf(t token, negative bool) (node, error) {
	switch t.kind {
	case tokIdentifier:
		i, known := p.names[t.text]
		if !known {
			i = len(p.order)
			p.names[t.text] = i
			p.order = append(p.order, t.text)
		}
		return &identifier{Name{t.text, i}}, nil
	case tokString:
		return &literal{String(t.text)}, nil
	case tokNumber:
		v, err := p.numberLiteral(t, negative)
		return &literal{v}, err
	case tokKeyword:
		if t.text == "TRUE" || t.text == "FALSE" {
			return &literal{Bool(t.text == "TRUE")}, nil
		}
		if t.text == "NULL" {
			return nil, p.unexpected("NULL is no value; write IS NULL or IS NOT NULL")
		}
		return nil, p.unexpected("expected a value; a header of that name goes in double quotes")
	}
	return nil, p.unexpected("expected a value")
}

func (p *parser) parentheses() (node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if err := p.advance(); err != nil {
		return nil, err
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	return n, p.expect(tokSymbol, ")")
}

// numberLiteral reads a number of the selector: decimal, hex or octal integers with an optional L, or a float. JMS 1.1
// section 3.8.1.1, which takes Java's syntax.
func (p *parser) numberLiteral(t token, negative bool) (Value, error) {
	d, ok := scanDecimal(t.text)
	if ok && !d.whole {
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return Value{}, p.errorAt(t.offset, "the number is beyond the range of a 64-bit float")
		}
		if negative {
			f = -f
		}
		return Float(f), nil
	}
	digits, base := t.text, 10
	if last := digits[len(digits)-1]; last == 'L' || last == 'l' {
		digits = digits[:len(digits)-1]
	}
	if len(digits) > 1 && digits[0] == '0' {
		if digits, base = digits[1:], 8; digits[0] == 'x' || digits[0] == 'X' {
			digits, base = digits[1:], 16
		}
	}
	n, err := strconv.ParseUint(digits, base, 64)
	limit := uint64(math.MaxInt64)
	if negative {
		limit++
	}
	switch {
	case err == nil && n <= limit:
		if negative {
			return Int(-int64(n)), nil
		}
		return Int(int64(n)), nil
	case err == nil, errors.Is(err, strconv.ErrRange):
		return Value{}, p.errorAt(t.offset, "the number is beyond the range of a 64-bit integer; write it with a decimal point")
	case base == 8 && d.whole:
		return Value{}, p.errorAt(t.offset, "a number with a leading 0 is octal and has only digits 0 to 7; leave the 0 off")
	}
	return Value{}, p.errorAt(t.offset, "this is not a number")
}
