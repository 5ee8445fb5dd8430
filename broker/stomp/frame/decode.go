package frame

import (
	"bytes"
	"math"
	"strconv"
)

// decodeHead fills in f's command and headers from the spans, resolving escapes within the buffer. After an error f
// holds the headers before the faulty one.
func (r *Reader) decodeHead(f *Frame) error {
	f.Command = r.cmd
	escaped := false
	if r.version != V10 && !r.cmd.raw() {
		escaped = bytes.IndexByte(r.buf[r.start+r.lines:r.start+r.pos], '\\') >= 0
	}
	for _, s := range r.spans {
		name := r.section(s.name, s.colon)
		value := r.section(s.colon+1, s.end)
		if escaped {
			n, err := unescape(name)
			if err != nil {
				return err
			}
			v, err := unescape(value)
			if err != nil {
				return err
			}
			name, value = name[:n], value[:v]
		}
		f.Headers = append(f.Headers, Header{Name: name, Value: value})
	}
	if r.trims(f) {
		for i := range f.Headers {
			f.Headers[i].Value = trimSpaces(f.Headers[i].Value)
		}
	}
	return nil
}

// section is a part of the frame, given by offsets.
func (r *Reader) section(from, to int32) []byte {
	a, b := r.start+int(from), r.start+int(to)
	return r.buf[a:b:b]
}

// trims reports whether values lose their padding: in 1.0, whose clients pad. 1.1 and 1.2 forbid it. The frames that
// settle the version count as 1.0 if they do not name one.
func (r *Reader) trims(f *Frame) bool {
	named := false
	switch r.cmd {
	case CONNECT, STOMP:
		_, named = f.Get("accept-version")
	case CONNECTED:
		_, named = f.Get("version")
	default:
		return r.version == V10
	}
	return !named
}

// trimSpaces cuts spaces off both ends.
func trimSpaces(b []byte) []byte {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return b
}

// parseLength reads the value of a content-length header. Numbers beyond an int64 count as its maximum, which is over
// every limit.
func parseLength(value []byte) (int64, error) {
	digits := bytes.Trim(value, " \t\r")
	if len(digits) == 0 {
		return 0, lengthError(value)
	}
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, lengthError(value)
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

func lengthError(value []byte) *Error {
	return syntaxError("bad content-length", "%q is not a number of octets; send digits only", quoted(value))
}

func appendQuoted(dst, b []byte) []byte { return strconv.AppendQuoteToASCII(dst, string(quoted(b))) }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
