package admin

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"treadmq/broker"
)

// What is shown of a body; more is behind a link, and all of it can be downloaded.
const (
	shownBody = 64 << 10
	allBody   = 1 << 20
)

type messageData struct {
	Name, Kind string
	At         string
	Message    messageView
	View       string // "text", "json", "xml" or "hex"
	Body       string
	Shown      int  // bytes of the body that are shown
	Cut        bool // there is more
	More       bool // and it may be asked for
	Life       lifeView
}

func (s *Server) messagePage(w http.ResponseWriter, r *http.Request) error {
	release, err := s.takeHeavy(r.Context())
	if err != nil {
		return err
	}
	defer release()
	d, err := s.pageQueue(r)
	if err != nil {
		return err
	}
	r = s.narrow(r, d)
	v := r.URL.Query()
	m, err := s.one(d, v.Get("at"))
	if err != nil {
		return err
	}
	data := messageData{Name: d.Name, Kind: kindName(d.Kind), At: v.Get("at"), Message: s.messageView(m, false)}
	if data.Life, err = s.messageLife(m, d); err != nil {
		return err
	}
	if userOf(r).may(permBody) {
		data.show(m.Message.Body(), v.Get("view"), v.Get("all") == "true", data.Message.Headers.get("content-type"))
	}
	return s.render(w, r, http.StatusOK, "message", "message.title", data)
}

// show puts the body into words.
func (d *messageData) show(body []byte, view string, all bool, contentType string) {
	if view == "" {
		view = bestView(body, contentType)
	}
	limit := shownBody
	if all {
		limit = allBody
	}
	d.View = view
	d.Cut = len(body) > limit
	d.More = d.Cut && !all
	if d.Cut {
		body = body[:limit]
	}
	d.Shown = len(body)
	switch view {
	case "hex":
		d.Body = hex.Dump(body)
	case "json":
		if text, ok := indented(body); ok {
			d.Body = text
			return
		}
		d.text(body)
	case "xml":
		if text, ok := indentedXML(body); ok && !d.Cut {
			d.Body = text
			return
		}
		d.text(body)
	default:
		d.text(body)
	}
}

// text shows the body as it is.
func (d *messageData) text(body []byte) {
	d.View = "text"
	if d.Cut {
		body = wholeRunes(body)
	}
	d.Body = strings.ToValidUTF8(string(body), string(utf8.RuneError))
}

// Bounds of what is indented: every level is paid for on every line.
const (
	maxIndented = 256 << 10 // bytes
	maxDepth    = 32        // levels
)

// indented lays JSON out for people. ok is false if it is none, or too much.
func indented(body []byte) (text string, ok bool) {
	if len(body) > maxIndented || depth(body) > maxDepth {
		return "", false
	}
	var b bytes.Buffer
	if json.Indent(&b, body, "", "  ") != nil {
		return "", false
	}
	return b.String(), true
}

// depth is how deep the brackets of JSON are nested.
func depth(body []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
			if c == '\\' {
				i++
			}
		case c == '[' || c == '{':
			now++
			deepest = max(deepest, now)
		case c == ']' || c == '}':
			now--
		}
	}
	return deepest
}

// bestView guesses how a body is read best.
func bestView(body []byte, contentType string) string {
	if !readable(body) {
		return "hex"
	}
	start := bytes.TrimLeft(body, " \t\r\n")
	if strings.Contains(contentType, "json") || (len(start) > 0 && (start[0] == '{' || start[0] == '[')) {
		if len(body) <= shownBody && json.Valid(body) {
			return "json"
		}
	}
	if strings.Contains(contentType, "xml") || bytes.HasPrefix(start, []byte("<?xml")) {
		if _, ok := indentedXML(body); ok && len(body) <= shownBody {
			return "xml"
		}
	}
	return "text"
}

// indentedXML lays XML out for people: each element on a line of its own, unless
// it holds text only. Nothing else about it changes. ok is false if it is none, or
// too much.
func indentedXML(body []byte) (text string, ok bool) {
	if len(body) > maxIndented {
		return "", false
	}
	dec := xml.NewDecoder(bytes.NewReader(body))
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	var b strings.Builder
	level, inline := 0, false // inline: the element's text stays beside it
	line := func() {
		if b.Len() > 0 && !inline {
			b.WriteByte('\n')
			b.WriteString(strings.Repeat("  ", level))
		}
	}
	for from := int64(0); ; from = dec.InputOffset() {
		token, err := dec.RawToken()
		if err != nil {
			return b.String(), err == io.EOF && level == 0 && b.Len() > 0
		}
		raw := body[from:dec.InputOffset()]
		switch t := token.(type) {
		case xml.StartElement:
			inline = false
			line()
			b.Write(raw)
			if level++; level > maxDepth {
				return "", false
			}
			inline = true
		case xml.EndElement:
			if level--; level < 0 {
				return "", false
			}
			line()
			b.Write(raw)
			inline = false
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				line()
				b.Write(raw)
			}
		default:
			inline = false
			line()
			b.Write(raw)
		}
	}
}

// readable reports whether bytes are text that people can read.
func readable(body []byte) bool {
	if len(body) > shownBody {
		body = wholeRunes(body[:shownBody])
	}
	for len(body) > 0 {
		c, size := utf8.DecodeRune(body)
		if c == utf8.RuneError && size == 1 {
			return false
		}
		if unicode.IsControl(c) && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
		body = body[size:]
	}
	return true
}

// wholeRunes takes a character off the end that was cut in two.
func wholeRunes(b []byte) []byte {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if start := len(b) - i; utf8.RuneStart(b[start]) {
			if !utf8.FullRune(b[start:]) {
				return b[:start]
			}
			break
		}
	}
	return b
}

// preview is the beginning of a body on one line.
func preview(body []byte) string {
	cut := len(body) > previewBytes
	if cut {
		body = wholeRunes(body[:previewBytes])
	}
	text := strings.ToValidUTF8(string(body), string(utf8.RuneError))
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, text)
	if cut {
		text += "…"
	}
	return text
}

// messageBody answers with a body as a file to be kept: never as something that a
// browser would show or run.
func (s *Server) messageBody(w http.ResponseWriter, r *http.Request) error {
	release, err := s.takeHeavy(r.Context())
	if err != nil {
		return err
	}
	defer release()
	d, err := s.pageQueue(r)
	if err != nil {
		return err
	}
	if !userOf(s.narrow(r, d)).may(permBody) {
		return s.forbidden(s.narrow(r, d), permBody)
	}
	m, err := s.one(d, r.URL.Query().Get("at"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+fileName(s.b, m)+`"`)
	_, _ = w.Write(m.Message.Body()) // the client may be gone
	return nil
}

func fileName(b *broker.Broker, m *broker.Browsed) string {
	safe := strings.Map(func(c rune) rune {
		if c == '-' || c == '.' || ('0' <= c && c <= '9') || ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') {
			return c
		}
		return '_'
	}, string(b.AppendMessageID(nil, m.Message.ID())))
	return safe + ".bin"
}
