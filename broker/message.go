package broker

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
)

// BodyKind is the JMS kind of a message's body.
type BodyKind uint8

// Kinds of bodies. The numbers are in stored messages.
const (
	BodyNone BodyKind = iota
	BodyText
	BodyBytes
	BodyMap
	BodyStream
	BodyObject
	BodyFigures // the broker's own answer: an object in JSON, for front ends to show in other forms too
)

// MessageFlags are bits of a message, kept with it.
type MessageFlags uint8

// Bits of MessageFlags. The numbers are in stored messages.
const (
	FlagPersistent MessageFlags = 1 << iota // survives a restart
	FlagHasLength                           // the STOMP sender gave a content-length
	FlagGroup                               // it has FieldGroup; set by Builder
	FlagRetain                              // its topic keeps it for those who subscribe later
	FlagUnretain                            // its topic keeps no message any more
)

// Field is a message field that not every message has.
type Field uint8

// Fields. The numbers are in stored messages.
const (
	fieldEnd           Field = 0
	FieldDestination   Field = 1 // name of the destination it was sent to
	FieldCorrelationID Field = 2
	FieldReplyTo       Field = 3 // kind byte (0 = free text) and name
	FieldType          Field = 4 // JMSType
	FieldGroup         Field = 5 // JMSXGroupID
	FieldGroupSeq      Field = 6 // JMSXGroupSeq, decimal text
	FieldUserID        Field = 7 // JMSXUserID, set by the broker only
	FieldContentType   Field = 8
	FieldBodyEncoding  Field = 9
	FieldProducer      Field = 10
	FieldProducerSeq   Field = 11 // 8 bytes, big endian
)

const (
	messageVersion = 1
	headerSize     = 25
)

var errBadMessage = errors.New("stored message cannot be decoded")

// Message is one message, encoded once when it arrives. That form is what the
// journal stores and what every subscription writes from. A Message does not
// change and is shared by all who deliver it.
type Message struct {
	enc  []byte
	dest Destination
	id   uint64

	dedup *Dedup // the sender's, until it is sent

	// wire is a place for a front end to keep the message in its protocol's form,
	// so that a topic with many subscribers encodes once.
	wire atomic.Value
}

/*
Encoding, big endian:

	0  version u8 = 1     1 body kind u8     2 flags u8     3 priority u8
	4  timestamp i64, ms since 1970          12 expiration i64, ms since 1970, 0 never
	20 offset of the body u32                24 kind of destination u8
	25 fields: {field u8, length uvarint, bytes}*, ended by field 0
	   number of properties uvarint, then {type u8, name, value}*; a name is length uvarint and bytes
	   body, to the end
*/

// DecodeMessage reads a message from its encoded form, which it keeps.
func DecodeMessage(enc []byte, id uint64) (*Message, error) {
	if len(enc) < headerSize || enc[0] != messageVersion {
		return nil, errBadMessage
	}
	if off := binary.BigEndian.Uint32(enc[20:]); off < headerSize || uint64(off) > uint64(len(enc)) {
		return nil, errBadMessage
	}
	m := &Message{enc: enc, id: id}
	name, ok := m.Field(FieldDestination)
	if !ok {
		return nil, errBadMessage
	}
	m.dest = Destination{Kind(enc[24]), string(name)}
	return m, nil
}

// ID is the message's identity: the same over deliveries, consumers, restarts and moves.
func (m *Message) ID() uint64 { return m.id }

// Destination is where the message was sent to.
func (m *Message) Destination() Destination { return m.dest }

// Encoded is the stored form.
func (m *Message) Encoded() []byte { return m.enc }

// Size is the length of the stored form in bytes.
func (m *Message) Size() int { return len(m.enc) }

// BodyKind is the kind of the body.
func (m *Message) BodyKind() BodyKind { return BodyKind(m.enc[1]) }

// Flags are the message's bits.
func (m *Message) Flags() MessageFlags { return MessageFlags(m.enc[2]) }

// Persistent reports whether the message is meant to survive a restart.
func (m *Message) Persistent() bool { return m.Flags()&FlagPersistent != 0 }

// Priority is the JMS priority, 0 to 9.
func (m *Message) Priority() uint8 { return m.enc[3] }

// Timestamp is when the broker received the message, in ms since 1970.
func (m *Message) Timestamp() int64 { return int64(binary.BigEndian.Uint64(m.enc[4:])) }

// Expiration is when the message expires, in ms since 1970; 0 is never.
func (m *Message) Expiration() int64 { return int64(binary.BigEndian.Uint64(m.enc[12:])) }

func (m *Message) bodyOffset() uint32 { return binary.BigEndian.Uint32(m.enc[20:]) }

// Body is the body. It must not be changed.
func (m *Message) Body() []byte { return m.enc[m.bodyOffset():] }

// Wire returns what SetWire kept, or nil.
func (m *Message) Wire() any { return m.wire.Load() }

// SetWire keeps a front end's encoded form. All front ends that use it must use
// one concrete type; a lost race between two that set it does no harm.
func (m *Message) SetWire(v any) { m.wire.Store(v) }

// Field returns a field's value and whether the message has it. The slice must
// not be changed.
func (m *Message) Field(f Field) ([]byte, bool) {
	rest := m.enc[headerSize:m.bodyOffset()]
	for {
		n := shortField(rest)
		if n == 0 {
			break
		}
		if Field(rest[0]) == f {
			return rest[2:n], true
		}
		rest = rest[n:]
	}
	for it := (FieldIter{rest: rest}); it.Next(); {
		if it.Field == f {
			return it.Value, true
		}
	}
	return nil, false
}

// shortField is the length of the field that encoded fields begin with, if it has a length of one byte; else 0.
func shortField(fields []byte) int {
	if len(fields) < 2 || Field(fields[0]) == fieldEnd || fields[1] >= 0x80 || 2+int(fields[1]) > len(fields) {
		return 0
	}
	return 2 + int(fields[1])
}

// Text returns a field as a string, "" if the message does not have it.
func (m *Message) Text(f Field) string {
	v, _ := m.Field(f)
	return string(v)
}

// ReplyTo returns the destination to reply to. A reply-to that is no destination
// has kind 0 and its text as name.
func (m *Message) ReplyTo() (Destination, bool) {
	v, ok := m.Field(FieldReplyTo)
	if !ok || len(v) == 0 {
		return Destination{}, false
	}
	return Destination{Kind(v[0]), string(v[1:])}, true
}

// FieldIter walks over the fields of a message.
type FieldIter struct {
	Field Field
	Value []byte
	rest  []byte
}

// Fields returns an iterator over the fields in the order in which they were set.
func (m *Message) Fields() FieldIter {
	return FieldIter{rest: m.enc[headerSize:m.bodyOffset()]}
}

// Next moves to the next field.
func (it *FieldIter) Next() bool {
	if len(it.rest) == 0 || Field(it.rest[0]) == fieldEnd {
		return false
	}
	it.Field = Field(it.rest[0])
	var ok bool
	it.Value, it.rest, ok = cutBytes(it.rest[1:])
	return ok
}

// Properties returns an iterator over the properties in the order in which the
// sender gave them.
func (m *Message) Properties() PropIter { return IterProperties(m.encodedProperties()) }

// encodedProperties is what IterProperties reads.
func (m *Message) encodedProperties() []byte {
	rest := m.enc[headerSize:m.bodyOffset()]
	for len(rest) > 0 {
		if Field(rest[0]) == fieldEnd {
			return rest[1:]
		}
		n := shortField(rest)
		if n == 0 {
			break
		}
		rest = rest[n:]
	}
	it := FieldIter{rest: rest}
	for it.Next() {
	}
	if len(it.rest) == 0 {
		return nil
	}
	return it.rest[1:]
}

func cutBytes(b []byte) (v, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < 0x80 && int(b[0]) < len(b) { // a length of one byte
		n := 1 + int(b[0])
		return b[1:n], b[n:], true
	}
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n)], b[w+int(n):], true
}
