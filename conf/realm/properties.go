package realm

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"treadmq/notice"
)

// property is an entry of a Java properties file.
type property struct {
	line       int // of its first line, from 1
	key, value string
	problem    notice.Notice // why the entry cannot be used; empty if it can
}

// decodeText reads bytes as UTF-8 if they are valid UTF-8, else as ISO-8859-1.
func decodeText(data []byte) string {
	if utf8.Valid(data) {
		return strings.TrimPrefix(string(data), "\ufeff")
	}
	var b strings.Builder
	b.Grow(len(data) + len(data)/8)
	for _, c := range data {
		b.WriteRune(rune(c))
	}
	return b.String()
}

// parseProperties reads the syntax of java.util.Properties.load.
func parseProperties(text string) []property {
	var all []property
	lines := naturalLines(text)
	for i := 0; i < len(lines); i++ {
		line := strings.TrimLeft(lines[i], blanks)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		first := i
		for continued(line) {
			line = line[:len(line)-1]
			if i++; i == len(lines) {
				break
			}
			line += strings.TrimLeft(lines[i], blanks)
		}
		all = append(all, parseEntry(first+1, line))
	}
	return all
}

const blanks = " \t\f"

// naturalLines splits at LF, CR and CR LF.
func naturalLines(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n")
}

// continued reports whether a line ends in an odd number of backslashes.
func continued(line string) bool {
	rest := strings.TrimRight(line, `\`)
	return (len(line)-len(rest))%2 == 1
}

func parseEntry(number int, line string) property {
	end := keyEnd(line)
	rest := strings.TrimLeft(line[end:], blanks)
	if rest != "" && (rest[0] == ':' || rest[0] == '=') {
		rest = strings.TrimLeft(rest[1:], blanks)
	}
	p := property{line: number}
	var err error
	if p.key, err = unescape(line[:end]); err == nil {
		p.value, err = unescape(rest)
	}
	if err != nil {
		p.problem = notice.Of(err)
	}
	return p
}

// keyEnd is where the first separator without a backslash stands.
func keyEnd(line string) int {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case ' ', '\t', '\f', ':', '=':
			return i
		}
	}
	return len(line)
}

// unescape resolves backslashes. \uXXXX are UTF-16 units, so that two of them
// can make one character.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	var units []uint16 // of escapes that follow each other
	flush := func() {
		b.WriteString(string(utf16.Decode(units)))
		units = units[:0]
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i == len(s)-1 {
			flush()
			if s[i] != '\\' { // one at the very end escapes nothing
				b.WriteByte(s[i])
			}
			continue
		}
		i++
		if s[i] == 'u' {
			unit, err := hexUnit(s[i+1:])
			if err != nil {
				return "", err
			}
			units = append(units, unit)
			i += 4
			continue
		}
		flush()
		b.WriteByte(escaped(s[i]))
	}
	flush()
	return b.String(), nil
}

func hexUnit(s string) (uint16, error) {
	s = s[:min(4, len(s))]
	n, err := strconv.ParseUint(s, 16, 16)
	if err != nil || len(s) < 4 {
		return 0, notice.New("realm.backslash", "\\u%s is not a character: \\u needs four hex digits, and a plain backslash is written \\\\", s)
	}
	return uint16(n), nil
}

func escaped(c byte) byte {
	switch c {
	case 't':
		return '\t'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 'f':
		return '\f'
	}
	return c
}

// escape writes a key or a value so that parseProperties reads it back. ASCII is
// enough, so that the file means the same in every encoding.
func escape(s string, key bool) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\\' || key && strings.ContainsRune(":=#! ", r) || r == ' ' && i == 0:
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r > '~':
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04X`, unit)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
