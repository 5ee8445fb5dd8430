package failover

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-stomp/stomp/v3/frame"
)

const (
	readBuffer  = 64 << 10
	writeBuffer = 64 << 10

	maxHeaderBlock = 1 << 20 // bytes of command and headers of one frame
	maxHeaders     = 2000    // headers of one frame
)

// frameReader reads STOMP 1.1/1.2 server frames within fixed bounds.
type frameReader struct {
	br      *bufio.Reader
	maxBody int
	block   []byte // command and headers of the frame being read, reused
}

func newFrameReader(r io.Reader, maxBody int) *frameReader {
	return &frameReader{br: bufio.NewReaderSize(r, readBuffer), maxBody: maxBody}
}

// read returns the next frame, nil for one end of line between frames (a
// heart-beat).
func (r *frameReader) read() (*frame.Frame, error) {
	if err := r.readBlock(); err != nil {
		return nil, err
	}
	if len(r.block) == 0 {
		return nil, nil
	}
	f, err := parseBlock(string(r.block))
	if err != nil {
		return nil, err
	}
	f.Body, err = r.readBody(f.Header)
	return f, err
}

// readBlock fills block with the lines up to the empty one that ends the
// headers; it leaves block empty when the first line is the empty one.
func (r *frameReader) readBlock() error {
	r.block = r.block[:0]
	start := 0 // of the line being read
	for {
		part, err := r.br.ReadSlice('\n')
		if len(r.block)+len(part) > maxHeaderBlock {
			return protocolError("command and headers of more than %d bytes", maxHeaderBlock)
		}
		r.block = append(r.block, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return err
		}
		if line := r.block[start:]; len(line) == 1 || string(line) == "\r\n" {
			r.block = r.block[:start]
			return nil
		}
		start = len(r.block)
	}
}

func parseBlock(block string) (*frame.Frame, error) {
	command, rest := cutLine(block)
	if strings.Trim(command, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || command == "" {
		return nil, protocolError("a frame that begins with %q, which is no command", shorten(command))
	}
	f := &frame.Frame{Command: command}
	escaped := command != frame.CONNECTED // STOMP 1.2 "Value Encoding"
	count := strings.Count(rest, "\n")
	if count > maxHeaders {
		return nil, protocolError("%s with more than %d headers", shorten(command), maxHeaders)
	}
	pairs := make([]string, 0, 2*count)
	for rest != "" {
		var line string
		line, rest = cutLine(rest)
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, protocolError("%s has a header line without a name", shorten(command))
		}
		if escaped {
			var err error
			if name, err = unescape(name); err != nil {
				return nil, err
			}
			if value, err = unescape(value); err != nil {
				return nil, err
			}
		}
		pairs = append(pairs, name, value)
	}
	f.Header = frame.NewHeader(pairs...)
	return f, nil
}

func cutLine(s string) (line, rest string) {
	line, rest, _ = strings.Cut(s, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}

// unescape undoes STOMP 1.2 value encoding; an undefined escape is an error.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", protocolError("header ends in a lone backslash")
		}
		at := strings.IndexByte(`rnc\`, s[i])
		if at < 0 {
			return "", protocolError(`undefined escape \%c in a header`, s[i])
		}
		b.WriteByte("\r\n:\\"[at])
	}
	return b.String(), nil
}

func (r *frameReader) readBody(h *frame.Header) ([]byte, error) {
	text, ok := h.Contains(frame.ContentLength)
	if !ok {
		return r.readToNUL()
	}
	size, err := strconv.ParseUint(strings.TrimSpace(text), 10, 63)
	if err != nil {
		return nil, protocolError("content-length %q is not a number", shorten(text))
	}
	if size > uint64(r.maxBody) {
		return nil, protocolError("a body of %d bytes is more than the %d of MaxMessageSize", size, r.maxBody)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r.br, body); err != nil {
		return nil, err
	}
	end, err := r.br.ReadByte()
	if err == nil && end != 0 {
		err = protocolError("no NUL after a body of %d bytes", size)
	}
	return body, err
}

func (r *frameReader) readToNUL() ([]byte, error) {
	var body []byte
	for {
		part, err := r.br.ReadSlice(0)
		if len(body)+len(part) > r.maxBody+1 {
			return nil, protocolError("a body of more than the %d bytes of MaxMessageSize", r.maxBody)
		}
		body = append(body, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return body[:len(body)-1], nil
	}
}

// shorten bounds text of the broker before it goes into an error.
func shorten(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// writeConnect writes a CONNECT frame unescaped, as STOMP 1.2 demands. The
// headers have been checked by checkConnectHeaders.
func writeConnect(w io.Writer, headers []Header) error {
	var b bytes.Buffer
	b.WriteString(frame.CONNECT + "\n")
	for _, h := range headers {
		fmt.Fprintf(&b, "%s:%s\n", h.Name, h.Value)
	}
	b.WriteString("\n\x00")
	_, err := w.Write(b.Bytes())
	return err
}

// frameWriter gathers frames in one buffer; go-stomp's writer, which encodes
// them, would flush after each.
type frameWriter struct {
	bw  *bufio.Writer
	enc *frame.Writer
}

// unflushed hides the type of bw, so that frame.Writer keeps a buffer of its
// own and its flush ends here.
type unflushed struct{ io.Writer }

func newFrameWriter(w io.Writer) *frameWriter {
	bw := bufio.NewWriterSize(w, writeBuffer)
	return &frameWriter{bw: bw, enc: frame.NewWriter(unflushed{bw})}
}

// write buffers a frame, or a heart-beat when f is nil.
func (w *frameWriter) write(f *frame.Frame) error { return w.enc.Write(f) }

func (w *frameWriter) flush() error { return w.bw.Flush() }
