package frame

import (
	"bytes"
	"fmt"
)

// Unescape returns b with the escapes of version v resolved, in new memory if there were any. It is for the values of
// CONNECT, which the Reader leaves alone: some clients escape them although the specification says not to. The error
// is an *Error. STOMP 1.2, Value Encoding.
func Unescape(b []byte, v Version) ([]byte, error) {
	if v == V10 || bytes.IndexByte(b, '\\') < 0 {
		return b, nil
	}
	out := bytes.Clone(b)
	n, err := unescape(out)
	if err != nil {
		return nil, err
	}
	return out[:n], nil
}

// unescape resolves escapes in place and returns the new length. It holds for 1.1 and 1.2 alike: 1.1 does not define
// \r, but clients send it.
func unescape(b []byte) (int, error) {
	w := bytes.IndexByte(b, '\\')
	if w < 0 {
		return len(b), nil
	}
	for i := w; i < len(b); i++ {
		c := b[i]
		if c == '\\' {
			i++
			if i == len(b) {
				return 0, escapeError(b[i-1:])
			}
			switch b[i] {
			case 'r':
				c = '\r'
			case 'n':
				c = '\n'
			case 'c':
				c = ':'
			case '\\':
			default:
				return 0, escapeError(b[i-1 : i+1])
			}
		}
		b[w] = c
		w++
	}
	return w, nil
}

func escapeError(seq []byte) *Error {
	return &Error{
		Kind:    Syntax,
		Message: "undefined escape in header",
		Detail: fmt.Sprintf("%q is not an escape sequence; those of the protocol are \\n, \\r, \\c and \\\\. "+
			"Write a backslash as two", seq),
	}
}
