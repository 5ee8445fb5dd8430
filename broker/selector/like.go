package selector

import (
	"strings"
	"unicode/utf8"
)

// like is x LIKE 'pattern' ESCAPE 'e'. What is not text does not match.
type like struct {
	of              expr
	pattern, escape string // as written, for the canonical text
	matcher         likeMatcher
	negate          bool
}

func (n *like) test(src Source) Tri {
	v := n.of.value(src)
	if v.kind == KindNull {
		return Unknown
	}
	return triOf(v.kind == KindString && n.matcher.match(v.str)).negateIf(n.negate)
}

func (n *like) level() int { return levelCompare }

func (n *like) write(b *strings.Builder) {
	writeAt(b, n.of, levelAdd)
	b.WriteByte(' ')
	writeNot(b, n.negate)
	b.WriteString("LIKE ")
	(&literal{String(n.pattern)}).write(b)
	if n.escape != "" {
		b.WriteString(" ESCAPE ")
		(&literal{String(n.escape)}).write(b)
	}
}

// likeMatcher is a compiled LIKE pattern. The pattern is cut at its % into pieces. The first piece must begin the text, the
// last must end it, and each piece between is taken at the first place where it fits: every piece matches a fixed number of
// code points, so a later place could not help the rest. Thus the text is read once and nothing is tried again.
//
// A code point is a byte that is no UTF-8 continuation byte, with the continuation bytes behind it.
type likeMatcher struct {
	first  piece
	middle []finder
	last   piece
	whole  bool // no %: the first piece is all
}

// piece is a part of a pattern without %: runs of literal text, each behind a number of code points to skip for _.
type piece []run

type run struct {
	skip int
	text string
}

// newLikeMatcher compiles a pattern. escape is empty or one code point, which makes a %, _ or escape behind it literal and
// is literal itself before everything else. Both are valid UTF-8.
func newLikeMatcher(pattern, escape string) likeMatcher {
	pieces := splitPattern(pattern, escape)
	m := likeMatcher{first: pieces[0], whole: len(pieces) == 1}
	if m.whole {
		return m
	}
	m.last = pieces[len(pieces)-1]
	for _, p := range pieces[1 : len(pieces)-1] {
		if len(p) > 0 {
			m.middle = append(m.middle, newFinder(p))
		}
	}
	return m
}

func splitPattern(pattern, escape string) []piece {
	var pieces []piece
	var current piece
	var text strings.Builder
	skip := 0
	endRun := func() {
		if skip > 0 || text.Len() > 0 {
			current = append(current, run{skip, text.String()})
		}
		skip = 0
		text.Reset()
	}
	for i := 0; i < len(pattern); {
		_, size := utf8.DecodeRuneInString(pattern[i:])
		c := pattern[i : i+size]
		i += size
		if c == escape {
			if next := escaped(pattern[i:], escape); next != "" {
				c, i = next, i+len(next)
			}
			text.WriteString(c)
			continue
		}
		switch c {
		case "%":
			endRun()
			pieces, current = append(pieces, current), nil
		case "_":
			if text.Len() > 0 {
				endRun()
			}
			skip++
		default:
			text.WriteString(c)
		}
	}
	endRun()
	return append(pieces, current)
}

// escaped returns what the escape character in front of rest makes literal, or "".
func escaped(rest, escape string) string {
	for _, c := range [...]string{"%", "_", escape} {
		if strings.HasPrefix(rest, c) {
			return c
		}
	}
	return ""
}

func (m *likeMatcher) match(s string) bool {
	s, ok := m.first.cutFront(s)
	if !ok || m.whole {
		return ok && s == ""
	}
	for i := range m.middle {
		end := m.middle[i].find(s)
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	return m.last.endsIn(s)
}

// cutFront matches the piece at the front of s and returns what is behind it.
func (p piece) cutFront(s string) (rest string, ok bool) {
	for _, r := range p {
		for range r.skip {
			if s == "" || isContinuation(s[0]) {
				return s, false
			}
			s = s[1:]
			s = s[continuations(s):]
		}
		if s, ok = strings.CutPrefix(s, r.text); !ok {
			return s, false
		}
	}
	return s, true
}

// endsIn matches the piece at the end of s.
func (p piece) endsIn(s string) bool {
	for i := len(p) - 1; i >= 0; i-- {
		var ok bool
		if s, ok = strings.CutSuffix(s, p[i].text); !ok {
			return false
		}
		for range p[i].skip {
			end := len(s)
			for end > 0 && isContinuation(s[end-1]) {
				end--
			}
			if end == 0 {
				return false
			}
			s = s[:end-1]
		}
	}
	return true
}

func isContinuation(c byte) bool { return c&0xC0 == 0x80 }

// continuations returns the number of continuation bytes at the front of s.
func continuations(s string) int {
	n := 0
	for n < len(s) && isContinuation(s[n]) {
		n++
	}
	return n
}

// finderWords is the number of words that hold a bit for each byte of the longest pattern.
const finderWords = MaxPattern / 64

// finder looks for a piece in a text. Without _ that is a search for text.
type finder struct {
	text      string
	positions *positions // nil if the piece has no _
}

func newFinder(p piece) finder {
	if len(p) == 1 && p[0].skip == 0 {
		return finder{text: p[0].text}
	}
	return finder{positions: newPositions(p)}
}

// find returns the end of the first place in s where the piece fits, or -1.
func (f finder) find(s string) int {
	if f.positions != nil {
		return f.positions.find(s)
	}
	at := strings.Index(s, f.text)
	if at < 0 {
		return -1
	}
	return at + len(f.text)
}

// positions looks for a piece with _ by running all its positions side by side, one bit each (the shift-and method of
// Baeza-Yates and Gonnet), so that the time is linear in the text.
type positions struct {
	class [256]uint8 // of a byte; bytes that the piece does not tell apart share one
	words int        // words of bits that the positions need
	takes []uint64   // per class, words of bits: the positions that take such a byte
	stay  []uint64   // the positions of _, where continuation bytes stay
	last  uint64     // the bit of the last position, in the last word
}

// The classes of bytes that stand nowhere in the piece.
const (
	classContinuation = iota
	classOther
	classesElsewhere
)

func newPositions(p piece) *positions {
	size := 0
	for _, r := range p {
		size += r.skip + len(r.text)
	}
	m := &positions{words: (size + 63) / 64, last: 1 << ((size - 1) % 64)}
	classes := m.classify(p)
	bits := make([]uint64, (classes+1)*m.words)
	m.takes, m.stay = bits[:classes*m.words], bits[classes*m.words:]
	at := 0
	for _, r := range p {
		for range r.skip {
			m.addSkip(at)
			at++
		}
		for i := range len(r.text) {
			m.takes[int(m.class[r.text[i]])*m.words+at/64] |= 1 << (at % 64)
			at++
		}
	}
	return m
}

// classify gives every byte its class and returns the number of classes.
func (m *positions) classify(p piece) int {
	for c := range m.class {
		m.class[c] = classOther
		if isContinuation(byte(c)) {
			m.class[c] = classContinuation
		}
	}
	classes := classesElsewhere
	for _, r := range p {
		for i := range len(r.text) {
			if c := r.text[i]; m.class[c] < classesElsewhere {
				m.class[c] = uint8(classes)
				classes++
			}
		}
	}
	return classes
}

// addSkip makes a position take every byte that begins a code point.
func (m *positions) addSkip(at int) {
	word, bit := at/64, uint64(1)<<(at%64)
	m.stay[word] |= bit
	for c, class := range m.class {
		if !isContinuation(byte(c)) {
			m.takes[int(class)*m.words+word] |= bit
		}
	}
}

// find returns the end of the first place in s where the piece fits, or -1. After a final _ the end may leave continuation
// bytes behind, which no other piece can take.
func (m *positions) find(s string) int {
	var buffer [finderWords]uint64
	reached := buffer[:m.words]
	for i := range len(s) {
		m.step(reached, s[i])
		if reached[len(reached)-1]&m.last != 0 {
			return i + 1
		}
	}
	return -1
}

// step moves every reached position on over one byte, and starts the piece anew.
func (m *positions) step(reached []uint64, c byte) {
	takes := m.takes[int(m.class[c])*m.words:]
	carry := uint64(1)
	for w, old := range reached {
		now := (old<<1 | carry) & takes[w]
		if isContinuation(c) {
			now |= old & m.stay[w]
		}
		reached[w] = now
		carry = old >> 63
	}
}
