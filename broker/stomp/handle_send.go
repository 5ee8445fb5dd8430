package stomp

import (
	"bytes"
	"errors"
	"slices"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
	"treadmq/broker/stomp/sendheader"
)

// handleSend carries out SEND. STOMP 1.2, SEND.
func (s *session) handleSend(f *frame.Frame) error {
	var h sendHeaders
	if err := h.read(f); err != nil {
		return err
	}
	if (h.has(hSchedule) || string(h.destination) == schedulesDest) && isSchedulerRequest(f, &h) {
		return s.handleScheduler(f, &h)
	}
	dests, err := s.sendDests(&h)
	if err != nil {
		return err
	}
	var when *broker.Schedule
	if h.has(hSchedule) {
		if when, err = sendheader.ReadSchedule(headerGetter(f)); err != nil {
			return badHeader(err)
		}
	}
	if h.has(hHint) {
		if err := s.declare(f, dests); err != nil {
			return err
		}
	}
	m, err := s.build(f, &h, dests)
	if err != nil {
		return err
	}
	var once *broker.Dedup
	if h.seen&(1<<hDedupID|1<<hProducerID|1<<hProducerSeq) != 0 {
		if once, err = s.dedup(&h); err != nil {
			return err
		}
		m.SetDedup(once)
	}
	s.conn.Produced(dests)
	if h.has(hTransaction) {
		return s.sendInTx(&h, dests, m, when, once)
	}
	t := s.gather()
	if when == nil {
		err = t.work.Send(dests, m)
	} else {
		err = t.work.Schedule(dests, m, when)
	}
	switch {
	case err == nil:
		if h.has(hReceipt) {
			t.receipts = appendReceipt(t.receipts, s.version, h.receipt)
			if once != nil {
				t.once = append(t.once, onceReceipt{len(t.receipts), once})
			}
		}
		return nil
	case errors.Is(err, broker.ErrWouldBlock):
		s.park(&h, dests, m, once)
		return nil
	case goneTemp(err, dests) && !h.has(hReceipt):
		s.srv.stats.Dropped.Add(1) // semantics 3: a reply that nobody waits for any more
		return nil
	}
	return err
}

// goneTemp reports whether a SEND failed because its temporary destination is gone.
func goneTemp(err error, dests []broker.Destination) bool {
	var e *broker.Error
	return len(dests) == 1 && dests[0].Kind.IsTemporary() && errors.As(err, &e) && e.Code == broker.CodeNoDestination
}

func (s *session) sendInTx(h *sendHeaders, dests []broker.Destination, m *broker.Message, when *broker.Schedule, once *broker.Dedup) error {
	tx, err := s.openTx(h.transaction)
	if err != nil {
		return err
	}
	if when == nil {
		err = tx.Send(dests, m)
	} else {
		err = tx.Schedule(dests, m, when)
	}
	if goneTemp(err, dests) && !h.has(hReceipt) {
		s.srv.stats.Dropped.Add(1)
		err = nil
	}
	if err == nil && h.has(hReceipt) {
		s.flush() // its receipt says that all earlier frames were carried out too
		s.out.receipt(s.version, h.receipt, s.repeat(once), nil)
	}
	return err
}

// park leaves a SEND to wait for room in a full destination. What follows it is carried out meanwhile, so its receipt
// may be overtaken.
func (s *session) park(h *sendHeaders, dests []broker.Destination, m *broker.Message, once *broker.Dedup) {
	var receipt []byte
	if h.has(hReceipt) {
		receipt = appendReceipt(nil, s.version, h.receipt)
	}
	s.flush() // what came before goes first
	s.out.parkedMore(1)
	s.conn.SendWhenRoom(dests, m, func(err error) {
		if line := s.repeat(once); err == nil && receipt != nil && line != nil {
			receipt = appendToReceipt(nil, receipt, line)
		}
		s.out.unparked(err, receipt)
	})
}

// unparked is called when a parked SEND was carried out or failed.
func (o *output) unparked(err error, receipt []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.parked--
	o.cond.Broadcast()
	switch {
	case o.closing && err != nil, o.failed != nil:
	case err != nil:
		o.fail(err, receipt)
	case receipt != nil:
		o.control = append(o.control, receipt...)
		o.startWriter()
	}
}

// sendDests reads the destination header. Connections send to the same few again and again.
func (s *session) sendDests(h *sendHeaders) ([]broker.Destination, error) {
	if !h.has(hDestination) {
		return nil, requestFault(broker.CodeBadDestination, "no destination", "SEND needs a header destination")
	}
	if dests, ok := s.dests[string(h.destination)]; ok && !h.has(hDestinationType) {
		return dests, nil
	}
	bare, err := bareKind(h.destinationType)
	if err != nil {
		return nil, err
	}
	parsed, err := parseDest(string(h.destination), bare, false, s)
	if err != nil {
		return nil, err
	}
	if err := s.conn.Authorize(broker.RightWrite, parsed.dests...); err != nil {
		return nil, err // before anything is said of what there is
	}
	if err := s.mustExist(parsed.present); err != nil {
		return nil, err
	}
	for _, d := range parsed.dests {
		if err := s.srv.opts.Broker.MayName(d); err != nil {
			return nil, err
		}
	}
	if slices.ContainsFunc(parsed.dests, func(d broker.Destination) bool { return d.Kind == broker.Service }) {
		s.flush() // the answer knows of what came before
		s.out.drained()
		return parsed.dests, nil
	}
	s.conn.Produces(parsed.dests)
	if h.has(hDestinationType) || len(parsed.present) > 0 || len(h.destination) > maxCachedDest {
		return parsed.dests, nil
	}
	if s.dests == nil || len(s.dests) >= maxCachedDests {
		s.dests = make(map[string][]broker.Destination)
	}
	s.dests[string(h.destination)] = parsed.dests
	return parsed.dests, nil
}

// build makes the message. Headers as semantics 2.3.
func (s *session) build(f *frame.Frame, h *sendHeaders, dests []broker.Destination) (*broker.Message, error) {
	b := &s.builder
	b.Reset()
	if s.readAt == 0 {
		s.readAt = s.srv.opts.Broker.Now().UnixMilli()
	}
	b.Timestamp = s.readAt
	b.Priority = h.prio
	if h.keep && !allTemporary(dests) {
		b.Flags |= broker.FlagPersistent
	}
	if f.HasLength {
		b.Flags |= broker.FlagHasLength
	}
	b.Kind = bodyKind(h.msgType, f)
	if s.listener.Dialect == DialectApollo && !h.has(hTTL) {
		h.apolloTTL(f)
	}
	expiration, err := s.expiration(h, b.Timestamp)
	if err != nil {
		return nil, err
	}
	var rules broker.SendRules
	b.Expiration, rules = s.conn.Expiry(dests, expiration, b.Timestamp)
	if err := s.applyRules(b, h, rules); err != nil {
		return nil, err
	}
	if err := s.setFields(b, h); err != nil {
		return nil, err
	}
	for i := range f.Headers {
		x := &f.Headers[i]
		if h.isUser(i, x.Name) && !repeated(f.Headers, i) {
			b.AddString(x.Name, x.Value)
		}
	}
	var m *broker.Message
	if f.Memory != nil {
		m = b.BuildIn(dests[0], f.Memory, len(f.Body))
	} else {
		m = b.Build(dests[0], f.Body)
	}
	if h.bytes > maxKeptHeader {
		*b = broker.Builder{}
	}
	return m, nil
}

// applyRules sets what policies let the sender say, or say about the sender, and what its topic is to keep.
func (s *session) applyRules(b *broker.Builder, h *sendHeaders, rules broker.SendRules) (err error) {
	if rules.TrustTimestamp && h.has(hTimestamp) {
		if b.Timestamp, err = number("timestamp", h.timestamp); err != nil {
			return err
		}
	}
	if rules.UserID {
		if user := s.conn.Info().User; user != "" {
			b.SetField(broker.FieldUserID, []byte(user))
		}
	}
	if !h.has(hRetain) {
		return nil
	}
	set, remove, ok := sendheader.IsRetain(string(h.retain))
	switch {
	case !ok:
		return requestFault(broker.CodeBadRequest, "bad header retain", "retain is %q; it must be set or remove", h.retain)
	case set:
		b.Flags |= broker.FlagRetain
	case remove:
		b.Flags |= broker.FlagUnretain
	}
	return nil
}

func allTemporary(dests []broker.Destination) bool {
	for i := range dests {
		if !dests[i].Kind.IsTemporary() {
			return false
		}
	}
	return true
}

// repeated reports whether a header came before. STOMP 1.2, Repeated Header Entries.
func repeated(headers []frame.Header, i int) bool {
	name := headers[i].Name
	for j := range headers[:i] {
		if len(headers[j].Name) == len(name) && bytes.Equal(headers[j].Name, name) {
			return true
		}
	}
	return false
}

// setFields sets what has a place of its own in a message.
func (s *session) setFields(b *broker.Builder, h *sendHeaders) error {
	set := func(f broker.Field, id headerID, v []byte) {
		if h.has(id) {
			b.SetField(f, v)
		}
	}
	set(broker.FieldCorrelationID, hCorrelationID, h.correlationID)
	set(broker.FieldType, hType, h.msgTypeName)
	set(broker.FieldGroup, hGroup, h.group)
	set(broker.FieldGroupSeq, hGroupSeq, h.groupSeq)
	set(broker.FieldContentType, hContentType, h.contentType)
	if !h.has(hReplyTo) {
		return nil
	}
	reply, err := s.replyTo(string(h.replyTo))
	if err != nil {
		return err
	}
	if s.listener.Dialect == DialectRabbitMQ && reply.Kind == broker.TempQueue {
		if err := s.awaitReplies(string(h.replyTo), reply); err != nil {
			return err
		}
	}
	b.SetReplyTo(reply)
	return nil
}

// replyTo reads a reply-to header. What is no destination is kept as text.
func (s *session) replyTo(text string) (broker.Destination, error) {
	d, ok, err := parsePrefixed(text, s)
	switch {
	case err != nil:
		return d, err
	case ok && d.Check(false) == nil:
		return d, nil
	}
	return broker.Destination{Name: text}, nil
}

// Below this an expires header in ms since 1970 would lie before March 1973: the sender meant a time to live.
const suspectExpires = 100_000_000_000

// expiration works out when the message expires, in ms since 1970; 0 is never.
func (s *session) expiration(h *sendHeaders, now int64) (int64, error) {
	switch {
	case h.has(hExpires):
		n, err := number("expires", h.expires)
		if n > 0 && n < suspectExpires && !s.warned && err == nil {
			s.warned = true
			s.log().Warn("expires looks like a time to live; it is ms since 1970, use x-ttl for a time to live", "expires", n)
		}
		return n, err
	case h.has(hTTL):
		return relative("x-ttl", h.ttl, now)
	case h.has(hExpiration):
		return relative("expiration", h.expiration, now)
	}
	return 0, nil
}

// relative turns a time to live in ms into a time; 0 is never.
func relative(name string, value []byte, now int64) (int64, error) {
	n, err := number(name, value)
	if err != nil || n == 0 {
		return 0, err
	}
	return now + min(n, 1<<62), nil
}

// number reads a header that must be a number and not negative.
func number(name string, value []byte) (int64, error) {
	n, ok := parseNumber(bytes.Trim(value, " "))
	if !ok {
		return 0, requestFault(broker.CodeBadRequest, "bad header "+name, "%s is %q; it must be a number that is not negative", name, value)
	}
	return n, nil
}

// bodyKind is the JMS kind of the body: what amq-msg-type says, else bytes if a length was announced, else text.
func bodyKind(msgType []byte, f *frame.Frame) broker.BodyKind {
	switch {
	case bytes.EqualFold(msgType, []byte("text")):
		return broker.BodyText
	case bytes.EqualFold(msgType, []byte("bytes")):
		return broker.BodyBytes
	case bytes.EqualFold(msgType, []byte("map")):
		return broker.BodyMap
	case f.HasLength:
		return broker.BodyBytes
	}
	return broker.BodyText
}
