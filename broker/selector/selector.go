// Package selector parses and evaluates message selectors: the SQL-92 subset of JMS 1.1 section 3.8.1, with the
// REGEX operator added.
//
// A selector is parsed and compiled once, when a consumer subscribes, and then tested against every message:
//
//	sel, err := selector.Parse("type = 'order' AND weight > 2.5", selector.STOMP)
//	...
//	if sel.Matches(message) { deliver }
//
// The logic has three values: what is compared with a missing header is UNKNOWN, and a message matches on TRUE only.
// In mode STOMP, where every header is text, text is converted to what it is compared with; in mode Strict a comparison
// of unlike types is FALSE, as JMS says. A Selector never changes after Parse and may be used by many goroutines.
// Evaluation does not allocate, except for a header that holds a number beyond the range of a float64.
//
// The package knows neither messages nor frames: a Source gives it the values of identifiers.
package selector

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what Parse takes from a client.
const (
	// MaxText is the greatest length of a selector in bytes.
	MaxText = 64 << 10
	// MaxDepth bounds the nesting of parentheses, NOT and signs.
	MaxDepth = 256
	// MaxTerms bounds the identifiers and literals, those inside IN lists not counted. It also bounds the stack that
	// evaluation needs.
	MaxTerms = 2048
	// MaxPattern is the greatest length of one LIKE or REGEX pattern in bytes.
	MaxPattern = 1 << 10
	// MaxRegexSize bounds the compiled size, in instructions, of all REGEX patterns of one selector together.
	MaxRegexSize = 1000
	// MaxRegexSteps bounds the time of the REGEX conditions of one evaluation: text longer than this divided by the
	// compiled size of the selector's patterns is UNKNOWN to REGEX. A small pattern still takes text of 32 KiB.
	MaxRegexSteps = 1 << 20
)

// Prefixes of a selector's text that other brokers know. Artemis and ActiveMQ: convert_string_expressions; Artemis:
// hyphenated_props.
const (
	prefixConvert = "convert_string_expressions:"
	prefixHyphens = "hyphenated_props:"
)

// Mode says how values of unlike types are compared.
type Mode uint8

const (
	// STOMP converts text to a number or boolean where it meets one, since STOMP headers are always text.
	STOMP Mode = iota
	// Strict compares only like types, as JMS 1.1 section 3.8.1.2 says: a comparison of text with a number is FALSE.
	// The prefix "convert_string_expressions:" in the text switches to the rules of STOMP.
	Strict
)

// Name is an identifier of a selector.
type Name struct {
	Text  string // as written in the selector, without the double quotes
	Index int    // its place in Identifiers, by which a Source can find what it worked out once for the selector
}

// Source gives the values of identifiers during an evaluation. Canonical tells the names that JMS and Artemis define from
// plain headers. A name without a value is the zero Value, Null.
type Source interface {
	Lookup(n Name) Value
}

// Selector is a compiled selector. A nil Selector is "no selector" and matches everything.
type Selector struct {
	root   cond
	names  []string
	prefix string // what the canonical text needs in front of it to mean the same in the mode given to Parse
}

// Parse compiles a selector. Text that is empty, blank or only comments gives a nil Selector, which matches everything.
// Whatever is wrong with the text is reported as a *SyntaxError.
func Parse(text string, mode Mode) (*Selector, error) {
	if len(text) > MaxText {
		return nil, &SyntaxError{Column: 1, Near: near(text),
			Message: fmt.Sprintf("the selector is %d bytes long, the limit is %d; shorten it", len(text), MaxText)}
	}
	p := parser{lexer: lexer{text: text}, convert: mode == STOMP, names: map[string]int{}}
	sel := &Selector{}
	p.pos, p.hyphens, p.convert = prefixes(text, p.convert)
	if p.convert && mode == Strict {
		sel.prefix = prefixConvert
	}
	if at := invalidUTF8(text); at >= 0 {
		return nil, p.errorAt(at, "the text is not valid UTF-8")
	}
	root, err := p.selector()
	if root == nil || err != nil {
		return nil, err
	}
	sel.root, sel.names = root, p.order
	return sel, nil
}

// prefixes reads the prefixes of the text and returns the offset behind them and what they switch on.
func prefixes(text string, convert bool) (pos int, hyphens, conv bool) {
	for {
		for pos < len(text) && isSpace(text[pos]) {
			pos++
		}
		switch rest := text[pos:]; {
		case strings.HasPrefix(rest, prefixConvert):
			pos, convert = pos+len(prefixConvert), true
		case strings.HasPrefix(rest, prefixHyphens):
			pos, hyphens = pos+len(prefixHyphens), true
		default:
			return pos, hyphens, convert
		}
	}
}

// invalidUTF8 returns the offset of the first byte that is not valid UTF-8, or -1.
func invalidUTF8(text string) int {
	for i, r := range text {
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)) {
			return i
		}
	}
	return -1
}

// Matches reports whether the selector is TRUE for the message behind src; UNKNOWN does not match.
func (s *Selector) Matches(src Source) bool {
	return s == nil || s.root.test(src) == True
}

// Eval returns the selector's truth value for the message behind src.
func (s *Selector) Eval(src Source) Tri {
	if s == nil {
		return True
	}
	return s.root.test(src)
}

// String returns the selector's canonical text: keywords in capitals, no comments, no needless parentheses. Parsed again
// in the same mode it gives an equal selector, with the same canonical text, unless the added spaces lift it over MaxText.
func (s *Selector) String() string {
	if s == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString(s.prefix)
	s.root.write(&b)
	return b.String()
}

// Identifiers returns the distinct identifiers of the selector in the order of their first appearance.
func (s *Selector) Identifiers() []string {
	if s == nil {
		return nil
	}
	return slices.Clone(s.names)
}
