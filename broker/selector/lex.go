package selector

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// SyntaxError says what is wrong with a selector and where.
type SyntaxError struct {
	Column  int    // position of the offending text in code points, from 1; prefixes count
	Message string // what is wrong and, where it helps, what to write instead
	Near    string // the text at Column, shortened; empty at the end of the selector
}

// Error returns one line for a person.
func (e *SyntaxError) Error() string {
	if e.Near == "" {
		return fmt.Sprintf("selector, column %d (its end): %s", e.Column, e.Message)
	}
	return fmt.Sprintf("selector, column %d, near %q: %s", e.Column, e.Near, e.Message)
}

// near returns the beginning of s, at most 24 code points of it.
func near(s string) string {
	const most = 24
	count := 0
	for i := range s {
		if count == most {
			return s[:i]
		}
		count++
	}
	return s
}

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokIdentifier
	tokKeyword // text in capitals
	tokString
	tokNumber
	tokSymbol
)

type token struct {
	kind   tokenKind
	text   string // the meaning: without quotes, keywords in capitals
	offset int    // of the first byte
	quoted bool   // an identifier in double quotes
}

func (t token) is(kind tokenKind, text string) bool { return t.kind == kind && t.text == text }

// lexer cuts the text of a selector into tokens.
type lexer struct {
	text    string
	pos     int
	hyphens bool // '-' inside a word belongs to the identifier
}

func (l *lexer) errorAt(offset int, format string, args ...any) *SyntaxError {
	return &SyntaxError{
		Column:  utf8.RuneCountInString(l.text[:offset]) + 1,
		Message: fmt.Sprintf(format, args...),
		Near:    near(l.text[offset:]),
	}
}

// next returns the token at the current position and moves behind it.
func (l *lexer) next() (token, error) {
	if err := l.skipBlank(); err != nil {
		return token{}, err
	}
	start := l.pos
	if start == len(l.text) {
		return token{kind: tokEnd, offset: start}, nil
	}
	switch c := l.text[start]; {
	case isLetter(c):
		return l.word(), nil
	case isDigit(c), c == '.' && isDigit(l.at(1)):
		return l.number(), nil
	case c == '\'':
		s, err := l.quoted("a string needs a closing '")
		return token{kind: tokString, text: s, offset: start}, err
	case c == '"':
		s, err := l.quoted("an identifier needs a closing \"")
		if err == nil && s == "" {
			err = l.errorAt(start, "an identifier cannot be empty")
		}
		return token{kind: tokIdentifier, text: s, offset: start, quoted: true}, err
	}
	return l.symbol()
}

// at returns the byte n places on, 0 behind the end.
func (l *lexer) at(n int) byte {
	if l.pos+n < len(l.text) {
		return l.text[l.pos+n]
	}
	return 0
}

// skipBlank moves over white space and comments.
func (l *lexer) skipBlank() error {
	for l.pos < len(l.text) {
		switch rest := l.text[l.pos:]; {
		case isSpace(rest[0]):
			l.pos++
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexAny(rest, "\r\n")
			if end < 0 {
				end = len(rest)
			}
			l.pos += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return l.errorAt(l.pos, "a comment needs a closing */")
			}
			l.pos += end + 4
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) word() token {
	start := l.pos
	for isWord(l.at(0)) || l.hyphens && l.at(0) == '-' && isWord(l.at(1)) {
		l.pos++
	}
	text := l.text[start:l.pos]
	if k := keyword(text); k != "" {
		return token{kind: tokKeyword, text: k, offset: start}
	}
	return token{kind: tokIdentifier, text: text, offset: start}
}

// number takes everything that could belong to a number; the parser says whether it is one.
func (l *lexer) number() token {
	start := l.pos
	for {
		c := l.at(0)
		sign := (c == '+' || c == '-') && takesSign(l.text[start:l.pos])
		if !isWord(c) && c != '.' && !sign {
			return token{kind: tokNumber, text: l.text[start:l.pos], offset: start}
		}
		l.pos++
	}
}

// takesSign reports whether a sign may follow the beginning of a number: 6E, but not 0x6E.
func takesSign(s string) bool {
	hex := len(s) > 1 && (s[1] == 'x' || s[1] == 'X')
	last := s[max(0, len(s)-1):]
	return !hex && (last == "e" || last == "E")
}

// quoted reads text in quotes, where two quotes stand for one.
func (l *lexer) quoted(unclosed string) (string, error) {
	start := l.pos
	quote := l.text[start : start+1]
	for l.pos++; ; l.pos += 2 {
		end := strings.Index(l.text[l.pos:], quote)
		if end < 0 {
			return "", l.errorAt(start, "%s", unclosed)
		}
		l.pos += end
		if l.at(1) != quote[0] {
			break
		}
	}
	inner := l.text[start+1 : l.pos]
	l.pos++
	return strings.ReplaceAll(inner, quote+quote, quote), nil
}

func (l *lexer) symbol() (token, error) {
	start := l.pos
	rest := l.text[start:]
	for _, wrong := range [...][2]string{{"!=", "<>"}, {"==", "="}, {"=<", "<="}, {"=>", ">="}, {"&&", "AND"}, {"||", "OR"}, {"!", "NOT"}} {
		if strings.HasPrefix(rest, wrong[0]) {
			return token{}, l.errorAt(start, "there is no operator %s, write %s", wrong[0], wrong[1])
		}
	}
	for _, s := range [...]string{"<>", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", ","} {
		if strings.HasPrefix(rest, s) {
			l.pos += len(s)
			return token{kind: tokSymbol, text: s, offset: start}, nil
		}
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return token{}, l.errorAt(start, "unexpected character %q; names of headers that hold others than letters, digits, _ and $ go in double quotes", r)
}

// keyword returns the keyword in capitals that the word is in any case, or "".
func keyword(word string) string {
	if len(word) > len("BETWEEN") {
		return ""
	}
	switch k := strings.ToUpper(word); k {
	case "AND", "OR", "NOT", "BETWEEN", "LIKE", "ESCAPE", "IN", "IS", "NULL", "TRUE", "FALSE":
		return k
	}
	return ""
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '$'
}
func isWord(c byte) bool { return isLetter(c) || isDigit(c) }
