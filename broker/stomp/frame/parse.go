package frame

import "bytes"

// parse goes on with the frame at buf[start] as far as the buffer reaches, and reports whether the frame is whole. It
// changes neither the buffer nor, after an error, its own state.
func (r *Reader) parse() (bool, error) {
	if r.phase == between && !r.skipLineEnds() {
		return false, nil
	}
	if r.phase == command {
		if ok, err := r.parseCommandLine(); !ok || err != nil {
			return false, err
		}
	}
	if r.phase == headers {
		if ok, err := r.parseHeaders(); !ok || err != nil {
			return false, err
		}
	}
	if r.phase == body {
		return r.parseBody()
	}
	return r.phase == complete, nil
}

// skipLineEnds skips what may lie between frames, and reports whether a frame begins. STOMP 1.2, Heart-beating.
func (r *Reader) skipLineEnds() bool {
	for ; r.start < r.end; r.start++ {
		switch r.buf[r.start] {
		case '\n', '\r', 0:
		default:
			r.phase = command
			return true
		}
	}
	return false
}

// line finds the line at pos, without its LF. A line longer than limit, or one with a NUL, is an error, and the same
// error whether the line's end has arrived or not.
func (r *Reader) line(limit int, tooLong func(*Reader) *Error) (line []byte, ok bool, err error) {
	data := r.buf[r.start:r.end]
	fresh := data[r.seen:]
	n := bytes.IndexByte(fresh, '\n')
	if n < 0 {
		line = data[r.pos:]
	} else {
		fresh = fresh[:n]
		line = data[r.pos : r.seen+n]
	}
	if over := len(line) - limit; over > 1 {
		fresh = fresh[:max(0, len(fresh)-over+1)]
	}
	if bytes.IndexByte(fresh, 0) >= 0 {
		return nil, false, syntaxError("NUL in the head of a frame",
			"a NUL came before the blank line that ends the headers; send an empty line before the body")
	}
	if len(line) > limit {
		return nil, false, tooLong(r)
	}
	if n < 0 {
		r.seen = len(data)
		return nil, false, nil
	}
	return line, true, nil
}

func (r *Reader) longCommand() *Error {
	return limitError("command line too long", "the limit is %d bytes; is this STOMP?", r.limits.CommandLine)
}

func (r *Reader) longHeader() *Error {
	return limitError("header line too long", "the limit is %d bytes", r.limits.HeaderLine)
}

func (r *Reader) longHead() *Error {
	return limitError("headers too long", "the limit is %d bytes for all headers of a frame", r.limits.Headers)
}

// parseCommandLine reads the command line. STOMP 1.2, Augmented BNF.
func (r *Reader) parseCommandLine() (bool, error) {
	line, ok, err := r.line(r.limits.CommandLine, (*Reader).longCommand)
	if !ok {
		return false, err
	}
	next := r.pos + len(line) + 1
	name := bytes.TrimSuffix(line, []byte{'\r'})
	cmd := parseCommand(name)
	if cmd == unknown {
		return false, &Error{
			Kind:    UnknownCommand,
			Message: "unknown command",
			Detail:  string(appendQuoted(nil, name)) + " is not a STOMP command; commands are upper case, one to a line",
		}
	}
	r.cmd, r.crlf = cmd, len(name) < len(line)
	if cap(r.spans) > maxKeptHeaders && len(r.spans) <= maxKeptHeaders {
		r.spans = nil
	}
	r.spans, r.length = r.spans[:0], -1
	r.phase, r.pos, r.seen, r.lines = headers, next, next, next
	return true, nil
}

// parseHeaders reads header lines up to and including the blank line.
func (r *Reader) parseHeaders() (bool, error) {
	stripCR := r.version == V12 || r.crlf
	for {
		limit, tooLong := r.limits.HeaderLine, (*Reader).longHeader
		if left := r.lines + r.limits.Headers - r.pos - 1; left < limit {
			limit, tooLong = max(left, 0), (*Reader).longHead
		}
		line, ok, err := r.line(limit, tooLong)
		if !ok {
			return false, err
		}
		next := r.pos + len(line) + 1
		if n := len(line); stripCR && n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		if len(line) == 0 {
			return true, r.beginBody(next)
		}
		if err := r.parseHeader(line); err != nil {
			return false, err
		}
		r.pos, r.seen = next, next
	}
}

// parseHeader notes the header line at pos.
func (r *Reader) parseHeader(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	switch {
	case colon < 0:
		return syntaxError("header without colon", "the line %q has no colon between name and value", quoted(line))
	case colon == 0:
		return syntaxError("header without name", "the line %q begins with its colon", quoted(line))
	case len(r.spans) >= r.limits.HeaderCount:
		return limitError("too many headers", "the limit is %d headers in a frame", r.limits.HeaderCount)
	}
	if colon == len(contentLength) && r.length < 0 && string(line[:colon]) == contentLength {
		n, err := parseLength(line[colon+1:])
		if err != nil {
			return err
		}
		r.length = n
	}
	r.spans = append(r.spans, span{int32(r.pos), int32(r.pos + colon), int32(r.pos + len(line))})
	return nil
}

// beginBody is called when the head is whole; next is the offset of the body.
func (r *Reader) beginBody(next int) error {
	if r.length > r.bodyLimit() {
		return r.tooLarge()
	}
	r.phase, r.pos, r.seen = body, next, next
	return nil
}

// strayBody is the limit, in bytes, of a body where none belongs: enough to see that it is only line ends, or to drop.
const strayBody = 4 << 10

// bodyLimit is the limit of the current frame's body.
func (r *Reader) bodyLimit() int64 {
	if r.cmd.hasBody() {
		return r.limits.Body
	}
	return min(r.limits.Body, strayBody)
}

func (r *Reader) tooLarge() *Error {
	detail := "the limit is " + itoa(r.bodyLimit()) + " bytes"
	if r.length >= 0 {
		detail = "content-length announces " + itoa(r.length) + " bytes; " + detail
	}
	return &Error{Kind: TooLarge, Message: "body too large", Detail: detail}
}

// parseBody looks for the end of a body that lies in the buffer.
func (r *Reader) parseBody() (bool, error) {
	data := r.buf[r.start:r.end]
	if r.length >= 0 {
		end := r.pos + int(r.length)
		if end >= len(data) {
			return false, nil
		}
		if data[end] != 0 {
			return false, r.noNUL()
		}
		r.phase, r.size = complete, end+1
		return true, nil
	}
	n := bytes.IndexByte(data[r.seen:], 0)
	end := len(data)
	if n >= 0 {
		end = r.seen + n
	}
	if int64(end-r.pos) > r.bodyLimit() {
		return false, r.tooLarge()
	}
	if n < 0 {
		r.seen = end
		return false, nil
	}
	r.phase, r.size = complete, end+1
	return true, nil
}

func (r *Reader) noNUL() *Error {
	return syntaxError("no NUL after the body",
		"content-length announces %d bytes but no NUL follows them; it must count octets, not characters", r.length)
}
