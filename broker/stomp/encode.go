package stomp

import (
	"bytes"
	"strconv"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// frameEnd ends every frame of ours. The protocol asks for the NUL only and allows line ends behind it; ActiveMQ and
// RabbitMQ write one, and PHP's stomp extension takes the byte behind the NUL for it, whatever that is.
const frameEnd = "\x00\n"

// wireForm is the part of a MESSAGE frame that is the same for every subscription: headers and blank line. It is kept
// with messages of topics.
type wireForm struct {
	version frame.Version
	dialect Dialect
	head    []byte
}

// seenOnce marks a topic's message that was encoded once, for which keeping the form pays from now on.
var seenOnce = &wireForm{}

// appendDelivery appends a MESSAGE frame. STOMP 1.2, MESSAGE; headers as semantics 2.6.
func (s *session) appendDelivery(w *writer, d *broker.Delivery) {
	if w.sub == nil || w.sub.core != d.Sub {
		w.sub = s.subscriptionOf(d.Sub)
	}
	if w.sub == nil {
		return // closed meanwhile; the message has gone back
	}
	if d.BrowseEnd {
		w.buf = appendBrowseEnd(w.buf, w.sub)
		return
	}
	if d.Message.BodyKind() == broker.BodyFigures {
		s.appendFigures(w, d)
		return
	}
	s.appendMessage(w, d)
}

// appendMessage appends a MESSAGE for the subscription w.sub.
func (s *session) appendMessage(w *writer, d *broker.Delivery) {
	w.buf = append(w.buf, "MESSAGE\n"...)
	w.buf = append(w.buf, w.sub.header...)
	w.buf = s.appendDynamic(w.buf, w.sub, d)
	w.buf = s.appendStatic(w.buf, d)
	body := d.Message.Body()
	if len(body) >= largeBody {
		w.cuts = append(w.cuts, cutIn{at: len(w.buf), body: body})
		w.large += len(body)
	} else {
		w.buf = append(w.buf, body...)
	}
	w.buf = append(w.buf, frameEnd...)
}

// appendBrowseEnd appends the mark behind the last message of a browser.
func appendBrowseEnd(dst []byte, sub *subscription) []byte {
	dst = append(dst, "MESSAGE\n"...)
	dst = append(dst, sub.header...)
	dst = append(dst, "message-id:0\n"...)
	dst = frame.AppendHeader(dst, sub.version, "destination", sub.destination)
	return append(append(dst, "browser:end\n\n"...), frameEnd...)
}

// appendDynamic appends the headers that depend on the delivery.
func (s *session) appendDynamic(dst []byte, sub *subscription, d *broker.Delivery) []byte {
	start := len(dst) + len("destination:")
	dst = append(dst, "destination:"...)
	dst = s.aliases.appendDest(dst, d.Dest)
	dst = s.escapeTail(dst, start)
	dst = append(dst, '\n')
	if s.version == frame.V12 && sub.mode != modeAuto && d.Tag != 0 {
		dst = append(dst, "ack:"...)
		dst = ackID{conn: s.number, sub: d.Sub.Serial(), seq: uint64(d.Seq), tag: d.Tag}.append(dst)
		dst = append(dst, '\n')
	}
	if d.GroupFirst {
		dst = append(dst, "JMSXGroupFirstForConsumer:true\n"...)
	}
	if d.Redelivered {
		dst = append(dst, "redelivered:true\n"...)
	} else if s.listener.Dialect.alwaysRedelivered() {
		dst = append(dst, "redelivered:false\n"...)
	}
	if d.Attempts > 1 {
		dst = frame.AppendHeaderInt(dst, "JMSXDeliveryCount", int64(d.Attempts))
		if s.listener.Dialect == DialectRabbitMQ {
			dst = frame.AppendHeaderInt(dst, "x-delivery-count", int64(d.Attempts-1))
		}
	}
	dst = frame.AppendHeaderInt(dst, "expires", d.Expiration)
	for it := broker.IterProperties(d.Overlay); it.Next(); {
		if string(it.Name) == broker.PropSentTo {
			continue // is the header destination
		}
		dst = s.appendProperty(dst, &it.Property)
	}
	return dst
}

// escapeTail escapes what was appended since start, which hardly ever needs it.
func (s *session) escapeTail(dst []byte, start int) []byte {
	if bytes.IndexByte(dst[start:], ':') < 0 && bytes.IndexByte(dst[start:], '\\') < 0 {
		return dst
	}
	raw := bytes.Clone(dst[start:])
	line := frame.AppendHeader(nil, s.version, "x", raw)
	return append(dst[:start], line[2:len(line)-1]...)
}

// appendStatic appends the headers that are the message's own, and the blank line.
func (s *session) appendStatic(dst []byte, d *broker.Delivery) []byte {
	m := d.Message
	if d.Dest.Kind.IsQueue() || len(d.Overlay) > 0 {
		return s.appendHead(dst, m, d.Overlay)
	}
	form, _ := m.Wire().(*wireForm)
	switch {
	case form == nil:
		m.SetWire(seenOnce)
	case form == seenOnce:
		if reply, ok := m.ReplyTo(); ok && reply.Kind.IsTemporary() {
			break // its owner sees it differently
		}
		form = &wireForm{version: s.version, dialect: s.listener.Dialect, head: s.appendHead(nil, m, nil)}
		m.SetWire(form)
		return append(dst, form.head...)
	case form.version == s.version && form.dialect == s.listener.Dialect:
		return append(dst, form.head...)
	}
	return s.appendHead(dst, m, nil)
}

// fieldHeaders are the headers in which fields show. Those without are not shown, or in a way of their own.
var fieldHeaders = [...]string{
	broker.FieldCorrelationID: "correlation-id",
	broker.FieldType:          "type",
	broker.FieldGroup:         "JMSXGroupID",
	broker.FieldGroupSeq:      "JMSXGroupSeq",
	broker.FieldUserID:        "JMSXUserID",
	broker.FieldContentType:   "content-type",
}

// appendHead encodes the headers that are the message's own. Properties that the overlay has as well are left out.
func (s *session) appendHead(dst []byte, m *broker.Message, overlay []byte) []byte {
	v := s.version
	dst = append(dst, "message-id:"...)
	dst = s.srv.opts.Broker.AppendMessageID(dst, m.ID())
	dst = append(dst, "\ntimestamp:"...)
	dst = strconv.AppendInt(dst, m.Timestamp(), 10)
	dst = append(dst, "\npriority:"...)
	dst = append(dst, '0'+min(m.Priority(), 9), '\n')
	if m.Persistent() {
		dst = append(dst, "persistent:true\n"...)
	}
	for it := m.Fields(); it.Next(); {
		if it.Field == broker.FieldReplyTo {
			dst = s.appendReplyTo(dst, m)
			continue
		}
		if int(it.Field) < len(fieldHeaders) && fieldHeaders[it.Field] != "" {
			dst = frame.AppendHeader(dst, v, fieldHeaders[it.Field], it.Value)
		}
	}
	for it := m.Properties(); it.Next(); {
		if len(overlay) == 0 || !hasProperty(overlay, it.Name) {
			dst = s.appendProperty(dst, &it.Property)
		}
	}
	body := m.Body()
	if m.Flags()&broker.FlagHasLength != 0 || s.listener.Dialect.alwaysLength() && len(body) > 0 || bytes.IndexByte(body, 0) >= 0 {
		dst = frame.AppendHeaderInt(dst, "content-length", int64(len(body)))
	}
	return append(dst, '\n')
}

// appendReplyTo appends the header reply-to as this connection sees the destination.
func (s *session) appendReplyTo(dst []byte, m *broker.Message) []byte {
	reply, ok := m.ReplyTo()
	if !ok {
		return dst
	}
	var tmp [64]byte
	return frame.AppendHeader(dst, s.version, "reply-to", s.aliases.appendDest(tmp[:0], reply))
}

func hasProperty(enc, name []byte) bool {
	for it := broker.IterProperties(enc); it.Next(); {
		if bytes.Equal(it.Name, name) {
			return true
		}
	}
	return false
}

func (s *session) appendProperty(dst []byte, p *broker.Property) []byte {
	if p.Type == broker.PropString {
		return frame.AppendHeader(dst, s.version, p.Name, p.Bytes)
	}
	var tmp [64]byte
	if d, ok := p.Destination(); ok {
		return frame.AppendHeader(dst, s.version, p.Name, s.aliases.appendDest(tmp[:0], d))
	}
	return frame.AppendHeader(dst, s.version, p.Name, p.AppendText(tmp[:0]))
}
