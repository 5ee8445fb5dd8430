package admin

import (
	"bytes"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"treadmq/broker"
)

// What ActiveMQ's MessageServlet does, at the same addresses and with the same
// parameters: POST sends a message, GET and DELETE receive one. Unlike there, a message
// is acknowledged only when its answer has been written, so that an answer that breaks
// loses nothing.

// Where the messages of a destination are sent and received: slashes in the rest of the
// path stand for dots, or the parameter destination names it.
const (
	restPath = "/api/message/{path:.*}"
	restBare = "/api/message"
)

// Bounds of receiving.
const (
	maxReadTimeout = 20 * time.Second // ActiveMQ's maximumReadTimeout, and what holds without readTimeout
	restWrite      = 30 * time.Second // for an answer to be taken
	maxReceivers   = 256              // requests that wait for a message at the same time
)

// restPriority is the servlet's default for JMSPriority; everywhere else it is 4.
const restPriority = 5

// restParams are the parameters of a request: those of the address, and of a form.
type restParams struct {
	url.Values
	raw  []byte // the request's body
	kind string // its media type
	form bool   // the body is a form: parameters only
}

// readRest reads a request's body and parameters.
func readRest(r *http.Request) (restParams, error) {
	p := restParams{Values: r.URL.Query()}
	var err error
	if p.raw, err = io.ReadAll(r.Body); err != nil {
		return p, err
	}
	p.kind, _, _ = mime.ParseMediaType(r.Header.Get("Content-Type"))
	// What has no "=" is no form, whatever curl calls it: then it is the message.
	if p.kind != "application/x-www-form-urlencoded" || !bytes.ContainsRune(p.raw, '=') {
		return p, nil
	}
	form, err := url.ParseQuery(string(p.raw))
	if err != nil {
		return p, badRequest("The form cannot be read: " + err.Error() + ".")
	}
	p.form = true
	for name, values := range form {
		p.Values[name] = append(p.Values[name], values...)
	}
	return p, nil
}

// restDest is the destination a request names: in the parameter destination, or in the
// path. It is a topic unless the name or the parameter type says otherwise.
func restDest(r *http.Request, v url.Values) (broker.Destination, error) {
	name := v.Get("destination")
	if name == "" {
		raw := strings.ReplaceAll(strings.Trim(mux.Vars(r)["path"], "/"), "/", ".")
		var err error
		if name, err = url.PathUnescape(raw); err != nil {
			return broker.Destination{}, badRequest("The name in the path is not percent-encoded properly.")
		}
	}
	d := broker.Destination{Kind: broker.Topic, Name: name}
	if kind := v.Get("type"); kind != "" && !strings.EqualFold(kind, "topic") {
		d.Kind = broker.Queue
	}
	if scheme, rest, ok := strings.Cut(name, "://"); ok {
		d.Name = rest
		switch scheme {
		case "topic":
			d.Kind = broker.Topic
		case "queue", "channel":
			d.Kind = broker.Queue
		default:
			return d, badRequest("A destination is queue://NAME or topic://NAME, not " + strconv.Quote(name) + ".")
		}
	}
	if d.Name == "" {
		return d, badRequest("Name a destination: /api/message/NAME?type=queue, or destination=queue://NAME.")
	}
	return d, nil
}

// restWords are parameters that belong to the request and are no properties of a message.
var restWords = map[string]bool{
	"destination": true, "type": true, "body": true, "clientId": true, "action": true, "sync": true,
	"readTimeout": true, "oneShot": true, "json": true, "xml": true, "ack": true, "lease": true,
	"JMSDeliveryMode": true, "JMSPriority": true, "JMSTimeToLive": true, "JMSReplyTo": true, "JMSExpiration": true,
}

// outgoing is the message that a request sends.
func (p restParams) outgoing() (*outgoing, error) {
	o := &outgoing{}
	for _, name := range slices.Sorted(maps.Keys(p.Values)) {
		if !restWords[name] && len(p.Values[name]) == 1 { // as there: a property has one value
			o.Headers.add(name, p.Get(name))
		}
	}
	if len(o.Headers) > maxSendHeaders {
		return nil, badRequest("A message has at most " + strconv.Itoa(maxSendHeaders) + " properties.")
	}
	if reply := p.Get("JMSReplyTo"); reply != "" {
		if !strings.Contains(reply, "://") && !strings.HasPrefix(reply, "/") {
			reply = "queue://" + reply
		}
		o.Headers.add("reply-to", reply)
	}
	if at := p.Get("JMSExpiration"); at != "" && at != "0" {
		o.Headers.add("expires", at)
	}
	priority, err := p.number("JMSPriority", restPriority)
	if err != nil {
		return nil, err
	}
	ttl, err := p.number("JMSTimeToLive", 0)
	if err != nil {
		return nil, err
	}
	level := int(max(-1, min(priority, 10))) // what is out of range stays out of range
	o.Priority, o.TTLMs = &level, &ttl
	mode := strings.TrimSpace(p.Get("JMSDeliveryMode"))
	persistent := mode == "" || mode == "2" || strings.EqualFold(mode, "persistent")
	o.Persistent = &persistent
	p.content(o)
	return o, nil
}

// content takes up the message's body: the parameter body, or else what the request carries.
func (p restParams) content(o *outgoing) {
	if p.Has("body") || p.form {
		text := p.Get("body")
		o.Body = &text
		return
	}
	o.bytes = p.raw
	if p.kind != "" && p.kind != "application/x-www-form-urlencoded" {
		o.Headers.add("content-type", p.kind)
	}
}

func (p restParams) number(name string, def int64) (int64, error) {
	text := p.Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, badRequest(name + " is a number, not " + strconv.Quote(text) + ".")
	}
	return n, nil
}

// restSend is POST: it sends a message, or with action=unsubscribe ends a client.
func (s *Server) restSend(w http.ResponseWriter, r *http.Request) error {
	release, err := s.takeHeavy(r.Context())
	if err != nil {
		return err
	}
	defer release()
	p, err := readRest(r)
	if err != nil {
		return err
	}
	if id := p.Get("clientId"); id != "" && p.Get("action") == "unsubscribe" {
		s.rest.end(restKey{userOf(r).Name, id})
		w.WriteHeader(http.StatusOK)
		return nil
	}
	d, err := restDest(r, p.Values)
	if err != nil {
		return err
	}
	o, err := p.outgoing()
	if err != nil {
		return err
	}
	id, repeat, err := s.send(r, d, o)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("messageID", id)
	if repeat {
		h.Set("X-Duplicate", "true")
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "Message sent") // the client may be gone
	return nil
}
