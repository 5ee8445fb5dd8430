package broker

import (
	"math"
	"strconv"
	"sync"

	"treadmq/broker/selector"
)

// SelectorMode says how a selector treats text: STOMP headers are all text, JMS
// properties are typed.
type SelectorMode = selector.Mode

// Modes of selectors.
const (
	SelectorSTOMP  = selector.STOMP
	SelectorStrict = selector.Strict
)

// filter is a compiled selector; nil lets everything through.
type filter struct{ sel *selector.Selector }

func newFilter(text string, mode SelectorMode) (*filter, error) {
	sel, err := selector.Parse(text, mode)
	if err != nil {
		return nil, Errorf(CodeBadSelector, "the selector is not valid: %w", err)
	}
	if sel == nil {
		return nil, nil
	}
	return &filter{sel}, nil
}

// matches reports whether a message in this state passes.
func (f *filter) matches(b *Broker, m *Message, dest Destination, attempts uint32, expiry int64, overlay []byte) bool {
	if f == nil {
		return true
	}
	src := selectorSources.Get().(*selectorSource)
	src.b, src.m, src.dest, src.attempts, src.expiry, src.overlay = b, m, dest, attempts, expiry, overlay
	ok := f.sel.Matches(src)
	src.reset()
	selectorSources.Put(src)
	return ok
}

// selectorSources are used again: one is needed for each message that a selector tests.
var selectorSources = sync.Pool{New: func() any { return new(selectorSource) }}

// selectorSource gives a selector the fields and properties of a message.
type selectorSource struct {
	b        *Broker
	m        *Message
	dest     Destination
	attempts uint32
	expiry   int64
	overlay  []byte

	// What was read of the message's properties. The first few are kept for the next look-up.
	begun bool
	rest  PropIter
	n     int
	props [maxKnownProps]Property
}

// maxKnownProps is how many properties of a message a selector reads once only.
const maxKnownProps = 16

// reset lets go of the message.
func (s *selectorSource) reset() {
	clear(s.props[:s.n])
	s.b, s.m, s.dest, s.overlay, s.begun, s.rest, s.n = nil, nil, Destination{}, nil, false, PropIter{}, 0
}

// property looks a property of the message up.
func (s *selectorSource) property(name string) (selector.Value, bool) {
	for i := range s.props[:s.n] {
		if string(s.props[i].Name) == name {
			return propertyValue(&s.props[i]), true
		}
	}
	if !s.begun {
		s.begun, s.rest = true, s.m.Properties()
	}
	for s.n < maxKnownProps {
		if !s.rest.Next() {
			return selector.Value{}, false
		}
		p := &s.props[s.n]
		*p = s.rest.Property
		if s.n++; string(p.Name) == name {
			return propertyValue(p), true
		}
	}
	return findProperty(s.rest, name)
}

// Lookup implements selector.Source: the JMS names, then the message's own
// properties, then the names that STOMP headers have (semantics 2.8).
func (s *selectorSource) Lookup(name string) selector.Value {
	if f, ok := selector.Canonical(name); ok {
		return s.field(f)
	}
	if len(s.overlay) > 0 {
		if v, ok := findProperty(IterProperties(s.overlay), name); ok {
			return v
		}
	}
	if f, ok := textHeader(name); ok { // no property has such a name
		return s.text(f)
	}
	if v, ok := s.property(name); ok {
		return v
	}
	if f, ok := stompNames[name]; ok {
		return s.field(f)
	}
	return selector.Value{}
}

// textHeader are the STOMP headers that a message keeps as fields of text.
func textHeader(name string) (Field, bool) {
	switch name {
	case "type":
		return FieldType, true
	case "correlation-id":
		return FieldCorrelationID, true
	case "content-type":
		return FieldContentType, true
	}
	return 0, false
}

// stompNames are the other STOMP headers that are fields here.
var stompNames = map[string]selector.Field{
	"message-id": selector.FieldMessageID,
	"priority":   selector.FieldPriority, "timestamp": selector.FieldTimestamp, "expires": selector.FieldExpiration,
	"persistent": selector.FieldDurable, "redelivered": selector.FieldRedelivered,
	"reply-to": selector.FieldReplyTo, "destination": selector.FieldDestination,
}

func (s *selectorSource) field(f selector.Field) selector.Value {
	m := s.m
	switch f {
	case selector.FieldMessageID:
		return selector.Bytes(s.b.AppendMessageID(nil, m.id))
	case selector.FieldCorrelationID:
		return s.text(FieldCorrelationID)
	case selector.FieldType:
		return s.text(FieldType)
	case selector.FieldPriority:
		return selector.Int(int64(m.Priority()))
	case selector.FieldTimestamp:
		return selector.Int(m.Timestamp())
	case selector.FieldExpiration:
		return selector.Int(s.expiry)
	case selector.FieldDeliveryMode:
		if m.Persistent() {
			return selector.String("PERSISTENT")
		}
		return selector.String("NON_PERSISTENT")
	case selector.FieldDurable:
		if m.Persistent() {
			return selector.String("DURABLE")
		}
		return selector.String("NON_DURABLE")
	case selector.FieldRedelivered:
		return selector.Bool(s.attempts > 0)
	case selector.FieldDeliveryCount:
		return selector.Int(int64(s.attempts) + 1)
	case selector.FieldGroupID:
		return s.text(FieldGroup)
	case selector.FieldGroupSeq:
		v, ok := m.Field(FieldGroupSeq)
		n, err := strconv.ParseInt(string(v), 10, 64)
		if !ok || err != nil {
			return selector.Value{}
		}
		return selector.Int(n)
	case selector.FieldUserID:
		return s.text(FieldUserID)
	case selector.FieldReplyTo:
		d, ok := m.ReplyTo()
		if !ok {
			return selector.Value{}
		}
		return selector.String(d.String())
	case selector.FieldDestination:
		return selector.String(s.dest.String())
	case selector.FieldAddress:
		return selector.String(s.dest.Name)
	case selector.FieldSize:
		return selector.Int(int64(len(m.Body())))
	}
	return selector.Value{}
}

func (s *selectorSource) text(f Field) selector.Value {
	v, ok := s.m.Field(f)
	if !ok {
		return selector.Value{}
	}
	return selector.Bytes(v)
}

func findProperty(it PropIter, name string) (selector.Value, bool) {
	for it.Next() {
		if string(it.Name) == name {
			return propertyValue(&it.Property), true
		}
	}
	return selector.Value{}, false
}

func propertyValue(p *Property) selector.Value {
	switch p.Type {
	case PropNull:
		return selector.Value{}
	case PropBool:
		return selector.Bool(p.Num != 0)
	case PropInt8, PropInt16, PropInt32, PropInt64:
		return selector.Int(p.Num)
	case PropFloat, PropDouble:
		return selector.Float(math.Float64frombits(uint64(p.Num)))
	case PropString:
		return selector.Bytes(p.Bytes)
	}
	return selector.Bytes(p.AppendText(nil))
}
