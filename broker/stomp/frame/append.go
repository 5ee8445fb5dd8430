package frame

import (
	"bytes"
	"strconv"
)

// text is what names and values may come as.
type text interface{ ~string | ~[]byte }

// AppendCommand appends the command line.
func AppendCommand(dst []byte, c Command) []byte {
	return append(append(dst, c.String()...), '\n')
}

// AppendHeader appends a header line, with name and value escaped as version v demands. For CONNECT, STOMP and
// CONNECTED, which are never escaped, pass V10. STOMP 1.2, Value Encoding. What a version cannot express is replaced:
//
//   - 1.0 has no escapes: CR and LF become a space, a colon within a name becomes an underscore.
//   - 1.1 has none for CR: it is written as it is, which is legal, while \r is fatal to a strict client.
//   - A NUL becomes a space in every version, for clients that look for the end of the frame first.
//
// A header without a name cannot be written and is left out.
func AppendHeader[N, V text](dst []byte, v Version, name N, value V) []byte {
	if len(name) == 0 {
		return dst
	}
	if plain(name) {
		dst = append(dst, name...)
	} else {
		dst = appendEscaped(dst, v, name, '_')
	}
	dst = append(dst, ':')
	if plain(value) {
		dst = append(dst, value...)
	} else {
		dst = appendEscaped(dst, v, value, ':')
	}
	return append(dst, '\n')
}

// AppendHeaderInt appends a header line whose value is a decimal number. The name is written as it is.
func AppendHeaderInt(dst []byte, name string, value int64) []byte {
	dst = append(append(dst, name...), ':')
	return append(strconv.AppendInt(dst, value, 10), '\n')
}

// AppendEnd appends the blank line that ends the headers.
func AppendEnd(dst []byte) []byte { return append(dst, '\n') }

// AppendBody appends the body and the NUL that ends the frame. A body that holds a NUL needs a content-length header.
func AppendBody[B text](dst []byte, body B) []byte {
	return append(append(dst, body...), 0)
}

// AppendFrame appends a whole frame. It writes a content-length if f has one among its headers (corrected), if
// HasLength is set, or if the body holds a NUL.
func AppendFrame(dst []byte, v Version, f *Frame) []byte {
	if f.Command.raw() {
		v = V10
	}
	length := f.HasLength || bytes.IndexByte(f.Body, 0) >= 0
	dst = AppendCommand(dst, f.Command)
	for _, h := range f.Headers {
		if string(h.Name) == contentLength {
			dst = AppendHeaderInt(dst, contentLength, int64(len(f.Body)))
			length = false
			continue
		}
		dst = AppendHeader(dst, v, h.Name, h.Value)
	}
	if length {
		dst = AppendHeaderInt(dst, contentLength, int64(len(f.Body)))
	}
	return AppendBody(AppendEnd(dst), f.Body)
}

// special marks the bytes that some version cannot write as they are.
var special = [256]bool{0: true, '\n': true, '\r': true, ':': true, '\\': true}

// plain reports whether s can be written as it is in every version.
func plain[T text](s T) bool {
	for i := 0; i < len(s); i++ {
		if special[s[i]] {
			return false
		}
	}
	return true
}

// appendEscaped appends s byte by byte; colon is what stands for a colon in 1.0.
func appendEscaped[T text](dst []byte, v Version, s T, colon byte) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case !special[c]:
			dst = append(dst, c)
		case c == 0:
			dst = append(dst, ' ')
		case v == V10:
			dst = append(dst, in10(c, colon))
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == ':':
			dst = append(dst, '\\', 'c')
		case c == '\\':
			dst = append(dst, '\\', '\\')
		case v == V11:
			dst = append(dst, '\r')
		default:
			dst = append(dst, '\\', 'r')
		}
	}
	return dst
}

// in10 returns what stands for the special byte c in 1.0.
func in10(c, colon byte) byte {
	switch c {
	case '\r', '\n':
		return ' '
	case ':':
		return colon
	}
	return c
}
