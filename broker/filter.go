package broker

import (
	"math"
	"strconv"
	"sync/atomic"

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
type filter struct {
	sel   *selector.Selector
	names nameTable
	idle  atomic.Pointer[selectorSource] // used again: one is needed for each message that is tested
}

func newFilter(text string, mode SelectorMode) (*filter, error) {
	sel, err := selector.Parse(text, mode)
	if err != nil {
		return nil, Errorf(CodeBadSelector, "the selector is not valid: %w", err)
	}
	if sel == nil {
		return nil, nil
	}
	return &filter{sel: sel, names: newNameTable(sel.Identifiers())}, nil
}

// matches reports whether a message in this state passes.
func (f *filter) matches(b *Broker, m *Message, dest Destination, attempts uint32, expiry int64, overlay []byte) bool {
	if f == nil {
		return true
	}
	src := f.idle.Swap(nil)
	if src == nil { // another goroutine has it
		src = &selectorSource{names: &f.names}
	}
	src.b, src.m, src.dest, src.attempts, src.expiry, src.overlay = b, m, dest, attempts, expiry, overlay
	ok := f.sel.Matches(src)
	src.reset()
	f.idle.Store(src)
	return ok
}

// selectorSource gives a selector the fields and properties of a message.
type selectorSource struct {
	b        *Broker
	m        *Message
	names    *nameTable
	dest     Destination
	attempts uint32
	expiry   int64
	overlay  []byte
	props    wantedProps
}

// reset lets go of the message.
func (s *selectorSource) reset() {
	s.props.reset(len(s.names.slots))
	s.b, s.m, s.dest, s.overlay = nil, nil, Destination{}, nil
}

// Lookup implements selector.Source.
func (s *selectorSource) Lookup(n selector.Name) selector.Value {
	use := &s.names.uses[n.Index]
	if use.slot >= 0 && len(s.overlay) == 0 { // the commonest case, a property, goes a shorter way to the same result
		if v, ok := s.props.get(s.m, s.names, use.slot); ok {
			return v
		}
	}
	return s.value(n.Text, use)
}

// value looks a name up: the JMS names, then the message's own properties, then the names that STOMP headers have
// (semantics 2.8).
func (s *selectorSource) value(name string, use *nameUse) selector.Value {
	switch {
	case use.jms && use.text != fieldEnd:
		return s.text(use.text)
	case use.jms:
		return s.field(use.field)
	}
	if len(s.overlay) > 0 {
		if v, ok := findProperty(IterProperties(s.overlay), name); ok {
			return v
		}
	}
	if use.text != fieldEnd {
		return s.text(use.text)
	}
	if v, ok := s.property(name, use); ok {
		return v
	}
	if use.field != selector.FieldNone {
		return s.field(use.field)
	}
	switch name { // STOMP has these as text
	case headerPersistent:
		return selector.String(strconv.FormatBool(s.m.Persistent()))
	case headerRedelivered:
		return selector.String(strconv.FormatBool(s.attempts > 0))
	}
	return selector.Value{}
}

// STOMP's headers that are true or false as text there, and something else in JMS.
const (
	headerPersistent  = "persistent"
	headerRedelivered = "redelivered"
)

// property looks a property of the message up.
func (s *selectorSource) property(name string, use *nameUse) (selector.Value, bool) {
	if use.slot < 0 {
		return findProperty(s.m.Properties(), name)
	}
	return s.props.get(s.m, s.names, use.slot)
}

func (s *selectorSource) field(f selector.Field) selector.Value {
	m := s.m
	switch f {
	case selector.FieldMessageID:
		return selector.Bytes(s.b.AppendMessageID(nil, m.id))
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
	case selector.FieldGroupSeq:
		v, ok := m.Field(FieldGroupSeq)
		n, err := strconv.ParseInt(string(v), 10, 64)
		if !ok || err != nil {
			return selector.Value{}
		}
		return selector.Int(n)
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
