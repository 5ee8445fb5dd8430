package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"treadmq/broker"
	"treadmq/broker/stomp/sendheader"
)

// outgoing is a message that somebody sends by the API or the form.
type outgoing struct {
	Headers    headerList `json:"headers"`
	Body       *string    `json:"body"`
	BodyBase64 *string    `json:"bodyBase64"`
	Persistent *bool      `json:"persistent"` // default true
	Priority   *int       `json:"priority"`   // 0 to 9, default 4
	TTLMs      *int64     `json:"ttlMs"`      // 0: never expires

	bytes []byte // the body as it came, when there is neither Body nor BodyBase64
}

// quietSink is the front end of a connection that only sends.
type quietSink struct{}

func (quietSink) Wake()      {}
func (quietSink) Kill(error) {}

// connect is a connection to send by, in the user's name.
func (s *Server) connect(r *http.Request) (*broker.Conn, error) {
	return s.b.Connect(broker.ConnOptions{
		Protocol: "HTTP", Listener: "console", Remote: r.RemoteAddr, User: userOf(r).Name, Sink: quietSink{},
		Trusted: userOf(r).may(permManage),
	})
}

// send sends a message in the user's name and returns its id when it is stored.
// The message may be a repeat of an earlier one, whose id that is then, "" if it is not known any more.
func (s *Server) send(r *http.Request, d broker.Destination, o *outgoing) (id string, repeat bool, err error) {
	defer func() { s.audit(r, "send", destPath(d), err, "id", id) }()
	if err := checkTarget(s.b, d); err != nil {
		return "", false, err
	}
	conn, err := s.connect(r)
	if err != nil {
		return "", false, err
	}
	defer conn.Close()
	m, once, when, err := buildMessage(conn, d, o, s.b.Now())
	if err != nil {
		return "", false, err
	}
	w := conn.NewWork()
	dests := []broker.Destination{d}
	if when == nil {
		err = w.Send(dests, m)
	} else {
		err = w.Schedule(dests, m, when)
	}
	if err != nil {
		if errors.Is(err, broker.ErrWouldBlock) {
			err = broker.Errorf(broker.CodeFull, "the %s %s is full, and its policy makes senders wait, which this one does not: consume some messages or send later", d.Kind, d.Name)
		}
		return "", false, err
	}
	done := make(chan error, 1)
	w.Flush(func(err error) { done <- err })
	if err := committed(r.Context(), done); err != nil {
		return "", false, err
	}
	id, repeat = s.sentID(m, once)
	return id, repeat, nil
}

// sentID is the id of a message that is stored; of a repeat that of the first one, "" if it is not known any more.
func (s *Server) sentID(m *broker.Message, once *broker.Dedup) (id string, repeat bool) {
	number := m.ID()
	if once != nil {
		if first, is := once.Duplicate(); is {
			number, repeat = first, true
		}
	}
	if number == 0 {
		return "", repeat
	}
	return string(s.b.AppendMessageID(nil, number)), repeat
}

// committed waits until something is on disk: the store says so on done, which has
// room for one answer, so that a late one holds nothing up.
func committed(ctx context.Context, done <-chan error) error {
	timer := time.NewTimer(commitTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return refuse(http.StatusServiceUnavailable, "timeout", "error.givenup", "The request was given up before the disk had answered. It may yet be carried out.")
	case <-timer.C:
		return refuse(http.StatusServiceUnavailable, "timeout", "error.timeout", "The disk has not answered for %s. It may yet be carried out; look at the log.", commitTimeout)
	}
}

// sendFields is what the headers of a message say to the broker.
type sendFields struct {
	schedule   *broker.Schedule // nil = at once
	persistent bool
	priority   int
	expiration int64 // ms since 1970
	ttl        int64 // ms
	once       broker.Dedup
	replyTo    string
}

// buildMessage makes the message, and says when it is to be delivered. Headers mean what they mean in SEND (semantics 2.3).
func buildMessage(conn *broker.Conn, d broker.Destination, o *outgoing, at time.Time) (*broker.Message, *broker.Dedup, *broker.Schedule, error) {
	body, kind, flags, err := o.content()
	if err != nil {
		return nil, nil, nil, err
	}
	now := at.UnixMilli()
	var b broker.Builder
	b.Reset()
	f := sendFields{persistent: true, priority: broker.DefaultPriority}
	if err := f.headers(&b, o.Headers); err != nil {
		return nil, nil, nil, err
	}
	if err := f.override(o); err != nil {
		return nil, nil, nil, err
	}
	if f.replyTo != "" {
		b.SetReplyTo(parseReplyTo(f.replyTo))
	}
	if f.ttl > 0 {
		f.expiration = now + min(f.ttl, 1<<62)
	}
	if f.persistent && !d.Kind.IsTemporary() {
		flags |= broker.FlagPersistent
	}
	b.Kind, b.Priority, b.Timestamp = kind, uint8(f.priority), now
	b.Flags |= flags
	b.Expiration, _ = conn.Expiry([]broker.Destination{d}, f.expiration, now)
	m := b.Build(d, body)
	if f.once == (broker.Dedup{}) {
		return m, nil, f.schedule, nil
	}
	m.SetDedup(&f.once)
	return m, &f.once, f.schedule, broker.CheckDedup(&f.once)
}

// content is the body: text as such, or bytes in base 64.
func (o *outgoing) content() ([]byte, broker.BodyKind, broker.MessageFlags, error) {
	if o.BodyBase64 == nil {
		switch {
		case o.Body == nil && utf8.Valid(o.bytes):
			return o.bytes, broker.BodyText, 0, nil
		case o.Body == nil:
			return o.bytes, broker.BodyBytes, broker.FlagHasLength, nil
		}
		return []byte(*o.Body), broker.BodyText, 0, nil
	}
	if o.Body != nil {
		return nil, 0, 0, badRequest("Give body or bodyBase64, not both.")
	}
	raw, err := base64.StdEncoding.DecodeString(*o.BodyBase64)
	if err != nil {
		return nil, 0, 0, bad("error.base", "The body is not base 64: %s.", err)
	}
	return raw, broker.BodyBytes, broker.FlagHasLength, nil
}

// headers takes the headers up, the first of each; JMS names count where the STOMP name is missing.
func (f *sendFields) headers(b *broker.Builder, list headerList) error {
	var seen [sendheader.JMSType + 1]bool
	for _, jms := range []bool{false, true} {
		for _, h := range list {
			id := sendheader.Of([]byte(h.Name))
			standard := id.Standard()
			if (id != standard) != jms || id != sendheader.User && seen[standard] {
				continue
			}
			seen[standard] = true
			if err := f.header(b, id, h); err != nil {
				return err
			}
		}
	}
	if seen[sendheader.Schedule] {
		return f.when(list)
	}
	return nil
}

// when reads when the message is to be delivered.
func (f *sendFields) when(list headerList) (err error) {
	f.schedule, err = sendheader.ReadSchedule(func(name string) string {
		for _, h := range list {
			if h.Name == name {
				return h.Value
			}
		}
		return ""
	})
	if wrong := (*sendheader.BadHeader)(nil); errors.As(err, &wrong) {
		return badRequest("The header " + wrong.Error() + ".")
	}
	return err
}

// header takes one header up.
func (f *sendFields) header(b *broker.Builder, id sendheader.ID, h header) (err error) {
	value := []byte(h.Value)
	if h.Name == "" {
		return badRequest("A header has no name.")
	}
	switch id.Standard() {
	case sendheader.User:
		b.AddString([]byte(h.Name), value)
	case sendheader.DedupID:
		f.once.ID = h.Value
	case sendheader.ProducerID:
		f.once.Producer = h.Value
	case sendheader.ProducerSeq:
		f.once.Seq, err = strconv.ParseUint(h.Value, 10, 64)
	case sendheader.Drop, sendheader.Destination, sendheader.DestinationType, sendheader.Receipt, sendheader.Transaction,
		sendheader.MsgType, sendheader.Timestamp, sendheader.Hint, sendheader.Schedule:
		// The broker's own, or said by the request itself.
	case sendheader.CorrelationID:
		b.SetField(broker.FieldCorrelationID, value)
	case sendheader.Type:
		b.SetField(broker.FieldType, value)
	case sendheader.Group:
		b.SetField(broker.FieldGroup, value)
	case sendheader.GroupSeq:
		b.SetField(broker.FieldGroupSeq, value)
	case sendheader.ContentType:
		b.SetField(broker.FieldContentType, value)
	case sendheader.ReplyTo:
		f.replyTo = h.Value
	case sendheader.Retain:
		set, remove, ok := sendheader.IsRetain(h.Value)
		switch {
		case !ok:
			return bad("error.retain", "The header %s must be set or remove, not %q.", h.Name, h.Value)
		case set:
			b.Flags |= broker.FlagRetain
		case remove:
			b.Flags |= broker.FlagUnretain
		}
	case sendheader.Persistent:
		f.persistent = !strings.EqualFold(h.Value, "false") && (id != sendheader.JMSDeliveryMode || !sendheader.NonPersistent(value))
	case sendheader.Priority:
		f.priority, err = strconv.Atoi(h.Value)
	case sendheader.Expires:
		f.expiration, err = strconv.ParseInt(h.Value, 10, 64)
	case sendheader.Expiration, sendheader.TTL:
		f.ttl, err = strconv.ParseInt(h.Value, 10, 64)
	default: // SEND refuses it too, or carries out what cannot be asked for here: nobody is to rely on it
		return broker.Errorf(broker.CodeNotOffered, "this version does not carry out the header %s; the message was not sent", h.Name)
	}
	if err != nil {
		return bad("error.number", "The header %s must be a number, not %q.", h.Name, h.Value)
	}
	return nil
}

// override takes up what was given besides the headers, which wins.
func (f *sendFields) override(o *outgoing) error {
	if o.Persistent != nil {
		f.persistent = *o.Persistent
	}
	if o.Priority != nil {
		f.priority = *o.Priority
	}
	if o.TTLMs != nil {
		f.ttl = *o.TTLMs
	}
	switch {
	case f.priority < 0 || f.priority > 9:
		return bad("error.priority", "The priority is a number from 0 to 9.")
	case f.ttl < 0 || f.expiration < 0:
		return bad("error.negative", "The time to live is not negative.")
	}
	return nil
}

// parseReplyTo reads a destination as STOMP clients write it; anything else is kept as text.
func parseReplyTo(text string) broker.Destination {
	for _, p := range []struct {
		prefix string
		kind   broker.Kind
	}{
		{"/queue/", broker.Queue}, {"/topic/", broker.Topic}, {"queue://", broker.Queue}, {"topic://", broker.Topic},
		{"/remote-temp-queue/", broker.TempQueue}, {"/remote-temp-topic/", broker.TempTopic},
	} {
		name, ok := strings.CutPrefix(text, p.prefix)
		if d := (broker.Destination{Kind: p.kind, Name: name}); ok && d.Check(false) == nil {
			return d
		}
	}
	return broker.Destination{Name: text}
}

// checkTarget refuses names that cannot be sent to, and to make a destination that only RabbitMQ's dialect could name.
func checkTarget(b *broker.Broker, d broker.Destination) error {
	if strings.Contains(d.Name, ",") && !b.Exists(d) {
		return broker.Errorf(broker.CodeBadDestination, "the name %q has a comma, which separates names", d.Name)
	}
	if err := d.Check(false); err != nil {
		return err
	}
	if _, err := broker.SendTarget(d); err != nil {
		return err
	}
	return b.MayName(d)
}
