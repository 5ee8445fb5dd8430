package admin

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"treadmq/broker"
	"treadmq/broker/stomp/sendheader"
)

// sendForm is the form as somebody filled it in.
type sendForm struct {
	Name, Kind    string
	What          string // "queue" or "topic"
	Body          string
	Encoding      string // "text" or "base64"
	Headers       string // one "name: value" a line
	ContentType   string
	CorrelationID string
	ReplyTo       string
	Type          string
	Priority      string
	TTL           string // seconds
	Persistent    bool
	Delay         string // seconds
	Repeat        string // how often it is sent
	Error         *problem
}

func (s *Server) queueSendPage(w http.ResponseWriter, r *http.Request) error {
	d, err := s.pageQueue(r)
	if err != nil {
		return err
	}
	return s.sendPage(w, r, http.StatusOK, d, sendForm{Encoding: "text", Priority: "4", Persistent: true})
}

func (s *Server) topicSendPage(w http.ResponseWriter, r *http.Request) error {
	d, err := s.pageTopic(r)
	if err != nil {
		return err
	}
	return s.sendPage(w, r, http.StatusOK, d, sendForm{Encoding: "text", Priority: "4"})
}

func (s *Server) sendPage(w http.ResponseWriter, r *http.Request, status int, d broker.Destination, f sendForm) error {
	f.Name, f.Kind, f.What = d.Name, kindName(d.Kind), whatOf(d)
	return s.render(w, r, status, "send", "send.title", f)
}

// whatOf is the part of the console a destination is shown in.
func whatOf(d broker.Destination) string {
	if d.Kind.IsQueue() {
		return "queue"
	}
	return "topic"
}

func (s *Server) queueSend(w http.ResponseWriter, r *http.Request) error {
	d, err := s.pageQueue(r)
	if err != nil {
		return err
	}
	return s.formSend(w, r, d)
}

func (s *Server) topicSend(w http.ResponseWriter, r *http.Request) error {
	d, err := s.pageTopic(r)
	if err != nil {
		return err
	}
	return s.formSend(w, r, d)
}

// formSend sends what the form says. When that fails the form comes back as it was.
func (s *Server) formSend(w http.ResponseWriter, r *http.Request, d broker.Destination) error {
	release, err := s.takeHeavy(r.Context())
	if err != nil {
		return err
	}
	defer release()
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	f := readSendForm(r.PostForm)
	o, err := f.outgoing()
	id, n, repeats := "", 1, 0
	if err == nil {
		n, err = f.times()
	}
	for range n {
		if err != nil {
			break
		}
		var repeat bool
		if id, repeat, err = s.send(r, d, o); repeat {
			repeats++
		}
	}
	if err != nil {
		p := problemOf(err)
		f.Error = &p
		return s.sendPage(w, r, p.Status, d, f)
	}
	switch {
	case repeats == 0:
		s.flash(r, "flash.sent", id)
	case n > 1:
		s.flash(r, "flash.repeats", formatNumber(n), formatNumber(repeats))
	default:
		s.flash(r, "flash.repeat", cmp.Or(id, "–"))
	}
	if !s.exists(d) { // the message is to come later, and makes it then
		http.Redirect(w, r, s.ui.url("/admin/schedules"), http.StatusSeeOther)
		return nil
	}
	http.Redirect(w, r, s.ui.url("/admin/"+whatOf(d), "name", d.Name, "kind", kindName(d.Kind)), http.StatusSeeOther)
	return nil
}

func readSendForm(v url.Values) sendForm {
	return sendForm{
		// Browsers end the lines of a form with CR LF, whatever was typed.
		Body:     strings.ReplaceAll(v.Get("body"), "\r\n", "\n"),
		Headers:  strings.ReplaceAll(v.Get("headers"), "\r\n", "\n"),
		Encoding: v.Get("encoding"), ContentType: v.Get("content-type"), CorrelationID: v.Get("correlation-id"),
		ReplyTo: v.Get("reply-to"), Type: v.Get("type"), Priority: v.Get("priority"), TTL: v.Get("ttl"),
		Persistent: v.Get("persistent") == "true",
		Delay:      v.Get("delay"), Repeat: v.Get("repeat"),
	}
}

// outgoing is the message that the form describes.
func (f *sendForm) outgoing() (*outgoing, error) {
	o := &outgoing{Persistent: &f.Persistent}
	if f.Encoding == "base64" {
		o.BodyBase64 = new(strings.Join(strings.Fields(f.Body), ""))
	} else {
		o.Body = &f.Body
	}
	priority, err := strconv.Atoi(f.Priority)
	if err != nil {
		return nil, bad("error.priority", "The priority is a number from 0 to 9.")
	}
	o.Priority = &priority
	if f.TTL != "" {
		seconds, err := strconv.ParseFloat(f.TTL, 64)
		if err != nil || seconds < 0 || seconds > 1e9 {
			return nil, bad("error.ttl", "The time to live is a number of seconds.")
		}
		o.TTLMs = new(int64(seconds * 1000))
	}
	for _, h := range []header{
		{"content-type", f.ContentType}, {"correlation-id", f.CorrelationID}, {"reply-to", f.ReplyTo}, {"type", f.Type},
	} {
		if h.Value != "" {
			o.Headers.add(h.Name, h.Value)
		}
	}
	if f.Delay != "" {
		seconds, err := strconv.ParseFloat(f.Delay, 64)
		if err != nil || seconds < 0 || seconds > 1e9 {
			return nil, bad("error.delay", "The delay is a number of seconds.")
		}
		o.Headers.add(sendheader.Delay, strconv.FormatInt(int64(seconds*1000), 10))
	}
	return o, f.readHeaders(o)
}

// maxRepeat is how often the form sends a message at most.
const maxRepeat = 100

// times is how often the message is sent.
func (f *sendForm) times() (int, error) {
	if f.Repeat == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(f.Repeat)
	if err != nil || n < 1 || n > maxRepeat {
		return 0, bad("error.repeat", "A message is sent 1 to %d times.", maxRepeat)
	}
	return n, nil
}

// readHeaders reads the lines of the form's own headers.
func (f *sendForm) readHeaders(o *outgoing) error {
	for line := range strings.SplitSeq(f.Headers, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return bad("error.header", "A header is written as name: value, not %q.", line)
		}
		if len(o.Headers) >= maxSendHeaders {
			return bad("error.headers", "A message has at most %d headers.", maxSendHeaders)
		}
		o.Headers.add(name, strings.TrimSpace(value))
	}
	return nil
}
