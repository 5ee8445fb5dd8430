package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
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

// PropType is the type of a property.
type PropType uint8

// Types of properties. The numbers are in stored messages.
const (
	PropNull PropType = iota
	PropBool
	PropInt8
	PropInt16
	PropInt32
	PropInt64
	PropFloat
	PropDouble
	PropChar
	PropString
	PropBytes
	PropDestination // kind byte and name; front ends show it in their own form
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

// Property is a typed property of a message. Numbers are in Num (float and double
// as their bits), strings and bytes in Bytes.
type Property struct {
	Name  []byte
	Type  PropType
	Num   int64
	Bytes []byte
}

// AppendText appends the property's value as STOMP shows it.
func (p *Property) AppendText(dst []byte) []byte {
	switch p.Type {
	case PropString, PropBytes:
		return append(dst, p.Bytes...)
	case PropNull:
		return dst
	case PropDestination:
		d, _ := p.Destination()
		return append(dst, d.String()...)
	}
	return appendNumber(dst, p)
}

// Destination returns the value of a PropDestination.
func (p *Property) Destination() (Destination, bool) {
	if p.Type != PropDestination || len(p.Bytes) == 0 {
		return Destination{}, false
	}
	return Destination{Kind(p.Bytes[0]), string(p.Bytes[1:])}, true
}

// PropIter walks over properties.
type PropIter struct {
	Property
	left uint64
	rest []byte
}

// Properties returns an iterator over the properties in the order in which the
// sender gave them.
func (m *Message) Properties() PropIter { return IterProperties(m.encodedProperties()) }

// encodedProperties is what IterProperties reads.
func (m *Message) encodedProperties() []byte {
	rest := m.enc[headerSize:m.bodyOffset()]
	for n := shortField(rest); n > 0; n = shortField(rest) {
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

// IterProperties returns an iterator over encoded properties, such as the
// overlay of a delivery.
func IterProperties(enc []byte) PropIter {
	n, rest := propertyCount(enc)
	return PropIter{left: n, rest: rest}
}

// propertyCount cuts the number of properties off; 0 if there is none.
func propertyCount(enc []byte) (n uint64, rest []byte) {
	n, w := binary.Uvarint(enc)
	if w <= 0 {
		return 0, nil
	}
	return n, enc[w:]
}

// Next moves to the next property.
func (it *PropIter) Next() bool {
	if it.left == 0 || len(it.rest) == 0 {
		return false
	}
	it.left--
	if it.short() {
		return true
	}
	t := PropType(it.rest[0])
	name, rest, ok := cutBytes(it.rest[1:])
	if !ok {
		it.left = 0
		return false
	}
	it.Property = Property{Name: name, Type: t}
	switch t {
	case PropNull:
	case PropString, PropBytes, PropDestination:
		it.Bytes, rest, ok = cutBytes(rest)
	case PropBool, PropInt8, PropInt16, PropInt32, PropInt64, PropChar:
		var w int
		it.Num, w = binary.Varint(rest)
		if ok = w > 0; ok {
			rest = rest[w:]
		}
	case PropFloat, PropDouble:
		if ok = len(rest) >= 8; ok {
			it.Num, rest = int64(binary.BigEndian.Uint64(rest)), rest[8:]
		}
	default:
		ok = false
	}
	if !ok {
		it.left = 0
		return false
	}
	it.rest = rest
	return true
}

// short reads the next property if it is the most common kind.
func (it *PropIter) short() bool {
	name, value, n := shortText(it.rest)
	if n > 0 {
		it.Property = Property{Name: name, Type: PropString, Bytes: value}
		it.rest = it.rest[n:]
	}
	return n > 0
}

// shortText takes the first of encoded properties apart if it is the most common kind: text, with lengths of one byte. n is its
// length, 0 if it is not.
func shortText(r []byte) (name, value []byte, n int) {
	if len(r) < 3 || PropType(r[0]) != PropString || r[1] >= 0x80 {
		return nil, nil, 0
	}
	at := 2 + int(r[1])
	if at >= len(r) || r[at] >= 0x80 {
		return nil, nil, 0
	}
	if n = at + 1 + int(r[at]); n > len(r) {
		return nil, nil, 0
	}
	return r[2:at], r[at+1 : n], n
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

// Builder makes messages. It may be used again after Build; it is not safe for
// concurrent use.
type Builder struct {
	Kind       BodyKind
	Flags      MessageFlags
	Priority   uint8
	Timestamp  int64 // ms since 1970
	Expiration int64 // ms since 1970, 0 never
	fields     []byte
	props      Properties
	head       []byte // scratch of Build
}

// DefaultPriority is the JMS default.
const DefaultPriority = 4

// Reset empties the builder.
func (b *Builder) Reset() {
	*b = Builder{Priority: DefaultPriority, fields: b.fields[:0], props: b.props, head: b.head}
	b.props.Reset()
}

// SetField sets a field. The caller must not set one twice.
func (b *Builder) SetField(f Field, v []byte) {
	if f == FieldGroup && len(v) > 0 {
		b.Flags |= FlagGroup
	}
	b.fields = append(b.fields, byte(f))
	b.fields = binary.AppendUvarint(b.fields, uint64(len(v)))
	b.fields = append(b.fields, v...)
}

// SetReplyTo sets where replies go. Kind 0 keeps the name as free text.
func (b *Builder) SetReplyTo(d Destination) {
	b.fields = append(b.fields, byte(FieldReplyTo))
	b.fields = binary.AppendUvarint(b.fields, uint64(len(d.Name)+1))
	b.fields = append(b.fields, byte(d.Kind))
	b.fields = append(b.fields, d.Name...)
}

// AddString adds a string property. Names may repeat; whoever reads takes the first.
func (b *Builder) AddString(name, value []byte) { b.props.AddString(name, value) }

// Props gives access to typed properties.
func (b *Builder) Props() *Properties { return &b.props }

// Build makes the message. The body is copied.
func (b *Builder) Build(dest Destination, body []byte) *Message {
	off := b.headSize(dest)
	b.head = b.appendHead(b.head[:0], dest, off)
	if len(body) == 0 {
		return &Message{enc: bytes.Clone(b.head), dest: dest}
	}
	return &Message{enc: append(b.head[:off:off], body...), dest: dest} // append does not clear what it fills
}

// BuildIn is Build for a body that is the last size bytes of memory, which the caller gives away: where the rest of
// it has room for what comes before a body (HeadRoom), the body is not copied.
func (b *Builder) BuildIn(dest Destination, memory []byte, size int) *Message {
	off, start := b.headSize(dest), len(memory)-size
	if start < off {
		return b.Build(dest, memory[start:])
	}
	enc := memory[start-off:]
	b.appendHead(enc[:0], dest, off)
	return &Message{enc: enc, dest: dest}
}

// HeadRoom is about how many bytes a message has before its body if it was sent with so many headers, of so many bytes
// with their names and the destination.
func HeadRoom(head, headers int) int { return headerSize + head + 16*(headers+4) }

// headSize is the number of bytes before the body.
func (b *Builder) headSize(dest Destination) int {
	return headerSize + 1 + uvarintSize(uint64(len(dest.Name))) + len(dest.Name) + len(b.fields) + 1 + b.props.encodedSize()
}

// appendHead appends what comes before the body, off bytes.
func (b *Builder) appendHead(enc []byte, dest Destination, off int) []byte {
	enc = append(enc, messageVersion, byte(b.Kind), byte(b.Flags), min(b.Priority, 9))
	enc = binary.BigEndian.AppendUint64(enc, uint64(b.Timestamp))
	enc = binary.BigEndian.AppendUint64(enc, uint64(b.Expiration))
	enc = binary.BigEndian.AppendUint32(enc, uint32(off))
	enc = append(enc, byte(dest.Kind), byte(FieldDestination))
	enc = binary.AppendUvarint(enc, uint64(len(dest.Name)))
	enc = append(enc, dest.Name...)
	enc = append(enc, b.fields...)
	enc = append(enc, byte(fieldEnd))
	return b.props.AppendTo(enc)
}

func uvarintSize(n uint64) int {
	var tmp [binary.MaxVarintLen64]byte
	return binary.PutUvarint(tmp[:], n)
}

// Properties builds an encoded list of properties.
type Properties struct {
	n   uint64
	buf []byte
}

// Reset empties the list.
func (p *Properties) Reset() { p.n, p.buf = 0, p.buf[:0] }

// Len returns the number of properties.
func (p *Properties) Len() int { return int(p.n) }

func (p *Properties) name(t PropType, name []byte) {
	p.n++
	p.buf = append(p.buf, byte(t))
	p.buf = binary.AppendUvarint(p.buf, uint64(len(name)))
	p.buf = append(p.buf, name...)
}

// AddString adds a string.
func (p *Properties) AddString(name, value []byte) { p.addBytes(PropString, name, value) }

// Add adds a string, given as strings.
func (p *Properties) Add(name, value string) { p.addBytes(PropString, []byte(name), []byte(value)) }

// AddBytes adds a byte array.
func (p *Properties) AddBytes(name, value []byte) { p.addBytes(PropBytes, name, value) }

// AddDestination adds a destination.
func (p *Properties) AddDestination(name string, d Destination) {
	p.addBytes(PropDestination, []byte(name), append([]byte{byte(d.Kind)}, d.Name...))
}

func (p *Properties) addBytes(t PropType, name, value []byte) {
	p.name(t, name)
	p.buf = binary.AppendUvarint(p.buf, uint64(len(value)))
	p.buf = append(p.buf, value...)
}

// AddInt adds a bool (0 or 1), an integer or a char.
func (p *Properties) AddInt(t PropType, name []byte, v int64) {
	p.name(t, name)
	p.buf = binary.AppendVarint(p.buf, v)
}

// AddFloat adds a float or a double.
func (p *Properties) AddFloat(t PropType, name []byte, v float64) {
	p.name(t, name)
	p.buf = binary.BigEndian.AppendUint64(p.buf, math.Float64bits(v))
}

// AddNull adds a null.
func (p *Properties) AddNull(name []byte) { p.name(PropNull, name) }

func (p *Properties) encodedSize() int {
	return uvarintSize(p.n) + len(p.buf)
}

// AppendTo appends the encoded list.
func (p *Properties) AppendTo(dst []byte) []byte {
	return append(binary.AppendUvarint(dst, p.n), p.buf...)
}
