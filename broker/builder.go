package broker

import (
	"bytes"
	"encoding/binary"
)

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
