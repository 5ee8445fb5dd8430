package selector

import "unicode/utf8"

// compare parses a value or a condition about one: the rule compare of the grammar.
func (p *parser) compare() (node, error) {
	start := p.token.offset
	n, err := p.sum()
	if err != nil {
		return nil, err
	}
	op := opNone
	if p.token.kind == tokSymbol {
		op = operatorOf(p.token.text)
	}
	if op == opNone && !p.atPredicate() {
		return n, nil
	}
	left, err := p.operand(n, start)
	if err != nil {
		return nil, err
	}
	var c cond
	if op != opNone {
		c, err = p.comparison(left, op)
	} else {
		c, err = p.predicate(left)
	}
	if err != nil {
		return nil, err
	}
	if p.token.kind == tokSymbol && operatorOf(p.token.text) != opNone || p.atPredicate() {
		return nil, p.unexpected("comparisons cannot be chained; join them with AND")
	}
	return c, nil
}

// atPredicate reports whether the token begins a predicate behind its operand. REGEX is a keyword only here, so that a header
// of that name keeps working.
func (p *parser) atPredicate() bool {
	switch {
	case p.token.kind == tokKeyword:
		switch p.token.text {
		case "IS", "NOT", "BETWEEN", "IN", "LIKE":
			return true
		}
	case p.token.kind == tokIdentifier:
		return p.atRegex()
	}
	return false
}

func (p *parser) atRegex() bool {
	return p.token.kind == tokIdentifier && !p.token.quoted && equalFold(p.token.text, "regex")
}

func (p *parser) comparison(left expr, op operator) (cond, error) {
	right, err := p.right()
	if err != nil {
		return nil, err
	}
	left, right = asDestination(left, right), asDestination(right, left)
	how := rules{convert: p.convert, exact: isText(left) || isText(right)}
	return newComparison(op, left, right, how), nil
}

// right moves over an operator and parses the value behind it.
func (p *parser) right() (expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	start := p.token.offset
	n, err := p.sum()
	if err != nil {
		return nil, err
	}
	return p.operand(n, start)
}

func isText(e expr) bool {
	l, ok := e.(*literal)
	return ok && l.val.kind == KindString
}

// asDestination rewrites a string literal that is compared with a destination.
func asDestination(e, with expr) expr {
	if !isText(e) {
		return e
	}
	return &literal{String(destinationTextFor(with, e.(*literal).val.str))}
}

// destinationTextFor rewrites text of the selector if the expression it is compared with is a destination.
func destinationTextFor(with expr, text string) string {
	if id, ok := with.(*identifier); ok && isDestination(id.Text) {
		return destinationText(text)
	}
	return text
}

// predicate parses what begins with IS, NOT, BETWEEN, IN, LIKE or REGEX.
func (p *parser) predicate(of expr) (cond, error) {
	if p.token.is(tokKeyword, "IS") {
		return p.isNull(of)
	}
	negate, err := p.accept(tokKeyword, "NOT")
	if err != nil {
		return nil, err
	}
	switch {
	case p.token.is(tokKeyword, "BETWEEN"):
		return p.between(of, negate)
	case p.token.is(tokKeyword, "IN"):
		return p.in(of, negate)
	case p.token.is(tokKeyword, "LIKE"):
		return p.like(of, negate)
	case p.atRegex():
		return p.regex(of, negate)
	}
	return nil, p.unexpected("expected BETWEEN, IN, LIKE or REGEX behind NOT")
}

func (p *parser) isNull(of expr) (cond, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	negate, err := p.accept(tokKeyword, "NOT")
	if err != nil {
		return nil, err
	}
	return &isNull{of: of, negate: negate}, p.expect(tokKeyword, "NULL")
}

func (p *parser) between(of expr, negate bool) (cond, error) {
	low, err := p.right()
	if err != nil {
		return nil, err
	}
	if !p.token.is(tokKeyword, "AND") {
		return nil, p.unexpected("expected AND and the upper bound of BETWEEN")
	}
	high, err := p.right()
	if err != nil {
		return nil, err
	}
	how := rules{convert: p.convert, orderText: true}
	return &between{of: of, low: asDestination(low, of), high: asDestination(high, of), rules: how, negate: negate}, nil
}

func (p *parser) in(of expr, negate bool) (cond, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.expect(tokSymbol, "("); err != nil {
		return nil, err
	}
	var list []Value
	for more := true; more; {
		v, err := p.listed()
		if err != nil {
			return nil, err
		}
		v.str = destinationTextFor(of, v.str)
		list = append(list, v)
		if more, err = p.accept(tokSymbol, ","); err != nil {
			return nil, err
		}
	}
	if !p.token.is(tokSymbol, ")") {
		return nil, p.unexpected("expected a comma or ) in the list of IN")
	}
	return newIn(of, list, p.convert, negate), p.advance()
}

// listed parses one string or number of an IN list.
func (p *parser) listed() (v Value, err error) {
	minus := p.token.is(tokSymbol, "-")
	if minus || p.token.is(tokSymbol, "+") {
		if err := p.advance(); err != nil {
			return v, err
		}
		if p.token.kind != tokNumber {
			return v, p.unexpected("expected a number behind the sign")
		}
	}
	switch p.token.kind {
	case tokString:
		v = String(p.token.text)
	case tokNumber:
		if v, err = p.numberLiteral(p.token, minus); err != nil {
			return v, err
		}
	default:
		return v, p.unexpected("the list of IN holds strings and numbers only")
	}
	return v, p.advance()
}

const patternTooLong = "the pattern is longer than %d bytes; shorten it"

// pattern moves over a keyword and parses the string behind it.
func (p *parser) pattern(word string) (string, error) {
	if err := p.advance(); err != nil {
		return "", err
	}
	if p.token.kind != tokString {
		return "", p.unexpected(word + " needs a string in single quotes")
	}
	return p.token.text, nil
}

func (p *parser) like(of expr, negate bool) (cond, error) {
	pattern, err := p.pattern("LIKE")
	if err != nil {
		return nil, err
	}
	start := p.token.offset
	if err := p.advance(); err != nil {
		return nil, err
	}
	escape := ""
	if p.token.is(tokKeyword, "ESCAPE") {
		if escape, err = p.pattern("ESCAPE"); err != nil {
			return nil, err
		}
		if utf8.RuneCountInString(escape) != 1 {
			return nil, p.unexpected("ESCAPE needs exactly one character")
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	pattern = destinationTextFor(of, pattern)
	if len(pattern) > MaxPattern {
		return nil, p.errorAt(start, patternTooLong, MaxPattern)
	}
	return &like{of: of, pattern: pattern, escape: escape, matcher: newLikeMatcher(pattern, escape), negate: negate}, nil
}

func (p *parser) regex(of expr, negate bool) (cond, error) {
	pattern, err := p.pattern("REGEX")
	if err != nil {
		return nil, err
	}
	if len(pattern) > MaxPattern {
		return nil, p.errorAt(p.token.offset, patternTooLong, MaxPattern)
	}
	re, size, err := compileRegex(pattern, MaxRegexSize-p.regexSize())
	if err != nil {
		return nil, p.unexpected(err.Error())
	}
	n := &regex{of: of, pattern: re, size: size, negate: negate}
	p.regexes = append(p.regexes, n)
	return n, p.advance()
}
