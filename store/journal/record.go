package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"treadmq/store"
)

// A record is kind u8, length u32 of the payload, payload. Record payloads are
// described in DESIGN.md, section Records.

// RecordHeader is the size of a record's kind and length.
const RecordHeader = 5

// Bits in the options byte of a message.
const (
	optExpiry   = 1 << 0
	optProducer = 1 << 1
	optDedup    = 1 << 2
	optID       = 1 << 3
	optBody     = 1 << 4 // OpMove: the message itself is in the record
)

// Bits beside the lane of a reference.
const (
	laneMask    = 0x0f
	refAttempts = 1 << 4
	refOverlay  = 1 << 5
	refExpiry   = 1 << 6
	refID       = 1 << 7 // OpMove: its identity is not the message's
)

var errRecord = errors.New("malformed record")

// Moved is one reference of an OpMove: where it lives and all that is known about it.
type Moved struct {
	store.Ref
	ID       uint64 // 0 = the record's
	Expiry   int64
	Attempts uint32
	Overlay  []byte
}

// Record is a decoded record. Slices point into the bytes it was decoded from.
type Record struct {
	store.Op                // First counts from Seq; Ref.Seq of Purge and Drop is the last one that goes
	Seq      store.Seq      // OpEnqueue, OpLink: of the first new reference
	Body     store.Loc      // OpEnqueue, OpMove: where the message is; OpLink: where it was when the batch was made, if Size > 0
	CRC      uint32         // of the message
	Moved    []Moved        // OpMove
	Pos      store.Position // of the record
	Len      uint32         // bytes of the record
	Epoch    store.Epoch    // OpEpochStart
	Meta     *Metadata      // OpCatalog
}

// AppendOp appends the record of op to b. base is the Base of the batch, seq the
// sequence number of the op's first new reference. For OpEnqueue op.N must hold
// the message's checksum; for OpLink op.Loc, op.N and op.Message may say where the
// message is. It returns the offset in b of the message's first byte, 0 if none.
func AppendOp(b []byte, op *store.Op, base, seq store.Seq) ([]byte, int) {
	start, body := len(b), 0
	b = append(b, byte(op.Kind), 0, 0, 0, 0)
	switch op.Kind {
	case store.OpEnqueue:
		b = appendMessage(b, &op.Message, uint64(seq-base))
		b = appendRefs(b, op.Refs)
		b = binary.LittleEndian.AppendUint32(b, op.N)
		body = len(b)
		b = append(b, op.Message.Encoded...)
	case store.OpLink:
		b = appendRef(b, op.Ref)
		b = binary.AppendUvarint(b, uint64(seq-base))
		b = binary.AppendUvarint(b, uint64(op.Loc.Pos))
		b = binary.AppendUvarint(b, uint64(op.Loc.Size))
		b = binary.LittleEndian.AppendUint32(b, op.N)
		b = append(b, byte(op.Message.Flags))
		b = binary.AppendUvarint(b, op.Message.ID)
		b = binary.AppendVarint(b, op.Message.Expiry)
		b = appendRefs(b, op.Refs)
	case store.OpRemove, store.OpMark:
		b = appendRef(b, op.Ref)
	case store.OpAttempts:
		b = appendRef(b, op.Ref)
		b = binary.LittleEndian.AppendUint32(b, op.N)
		b = binary.LittleEndian.AppendUint64(b, uint64(op.Until))
	case store.OpPurge, store.OpDrop:
		b = appendRef(b, op.Ref)
		for _, k := range op.Keep {
			b = binary.LittleEndian.AppendUint64(b, uint64(k))
		}
	case store.OpPut:
		b = binary.AppendUvarint(b, uint64(len(op.Key)))
		b = append(b, op.Key...)
		b = append(b, op.Value...)
	case store.OpDelete:
		b = append(b, op.Key...)
	default: // records that the store itself makes bring their payload
		b = append(b, op.Value...)
	}
	binary.LittleEndian.PutUint32(b[start+1:], uint32(len(b)-start-RecordHeader))
	return b, body
}

// OpSize bounds the bytes of the record of op from above.
func OpSize(op *store.Op) int {
	n := RecordHeader + 96 + len(op.Message.Encoded) + len(op.Message.Producer) + len(op.Message.DedupKey) +
		len(op.Key) + len(op.Value) + 8*len(op.Keep)
	for i := range op.Refs {
		n += refSize(op.Refs[i].Overlay)
	}
	return n
}

func refSize(overlay []byte) int { return 32 + len(overlay) }

func appendRef(b []byte, r store.Ref) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(r.Dest))
	b = append(b, byte(r.Lane))
	return binary.LittleEndian.AppendUint64(b, uint64(r.Seq))
}

func appendMessage(b []byte, m *store.Message, delta uint64) []byte {
	opt := len(b) + 1
	b = append(b, byte(m.Flags), 0)
	b = binary.AppendUvarint(b, delta)
	if m.ID != 0 {
		b[opt] |= optID
		b = binary.AppendUvarint(b, m.ID)
	}
	if m.Expiry != 0 {
		b[opt] |= optExpiry
		b = binary.AppendVarint(b, m.Expiry)
	}
	if m.Producer != "" || m.ProducerSeq != 0 {
		b[opt] |= optProducer
		b = binary.AppendUvarint(b, uint64(len(m.Producer)))
		b = append(b, m.Producer...)
		b = binary.AppendUvarint(b, m.ProducerSeq)
	}
	if m.DedupKey != "" {
		b[opt] |= optDedup
		b = binary.AppendUvarint(b, uint64(len(m.DedupKey)))
		b = append(b, m.DedupKey...)
	}
	return b
}

func appendRefs(b []byte, refs []store.NewRef) []byte {
	b = binary.AppendUvarint(b, uint64(len(refs)))
	for i := range refs {
		r := &refs[i]
		b = appendRefFields(b, r.Dest, r.Lane, nil, 0, r.Attempts, r.Overlay, r.Expiry, r.OwnExpiry)
	}
	return b
}

func appendRefFields(b []byte, d store.DestID, l store.Lane, seq *store.Seq, id uint64, attempts uint32, overlay []byte, expiry int64, own bool) []byte {
	b = binary.AppendUvarint(b, uint64(d))
	at := len(b)
	b = append(b, byte(l))
	if seq != nil {
		b = binary.AppendUvarint(b, uint64(*seq))
	}
	if id != 0 {
		b[at] |= refID
		b = binary.AppendUvarint(b, id)
	}
	if attempts != 0 {
		b[at] |= refAttempts
		b = binary.AppendUvarint(b, uint64(attempts))
	}
	if len(overlay) > 0 {
		b[at] |= refOverlay
		b = binary.AppendUvarint(b, uint64(len(overlay)))
		b = append(b, overlay...)
	}
	if own {
		b[at] |= refExpiry
		b = binary.AppendVarint(b, expiry)
	}
	return b
}

// Move describes an OpMove: references whose message is written again, or, when
// Encoded is nil, whose own records are written again while the message stays at Body.
type Move struct {
	ID      uint64
	Flags   store.Flags
	Refs    []Moved
	CRC     uint32
	Body    store.Loc
	Encoded []byte
	Key     string // of the message, store.Message.DedupKey
}

// AppendMove appends the payload of an OpMove to b.
func AppendMove(b []byte, m *Move) []byte {
	opt := byte(0)
	if m.Encoded != nil {
		opt = optBody
	}
	if m.Key != "" {
		opt |= optDedup
	}
	b = append(b, byte(m.Flags), opt)
	b = binary.AppendUvarint(b, m.ID)
	if m.Key != "" {
		b = append(binary.AppendUvarint(b, uint64(len(m.Key))), m.Key...)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Refs)))
	for i := range m.Refs {
		r := &m.Refs[i]
		b = appendRefFields(b, r.Dest, r.Lane, &r.Seq, r.ID, r.Attempts, r.Overlay, r.Expiry, r.Expiry != 0)
	}
	if m.Encoded == nil {
		b = binary.AppendUvarint(b, uint64(m.Body.Pos))
		b = binary.AppendUvarint(b, uint64(m.Body.Size))
	}
	b = binary.LittleEndian.AppendUint32(b, m.CRC)
	return append(b, m.Encoded...)
}

// reader takes a payload apart; the first short read makes it bad for good.
type reader struct {
	b   []byte
	off int
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)-r.off) {
		r.bad = true
		return nil
	}
	p := r.b[r.off : r.off+int(n) : r.off+int(n)]
	r.off += int(n)
	return p
}

func (r *reader) rest() []byte { return r.take(uint64(len(r.b) - r.off)) }

func (r *reader) u8() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	if r.bad {
		return 0
	}
	v, n := binary.Uvarint(r.b[r.off:])
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.off += n
	return v
}

func (r *reader) varint() int64 {
	if r.bad {
		return 0
	}
	v, n := binary.Varint(r.b[r.off:])
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.off += n
	return v
}

func (r *reader) small(limit uint64) uint64 {
	v := r.uvarint()
	if v > limit {
		r.bad = true
		return 0
	}
	return v
}

func (r *reader) lane(b byte) store.Lane {
	if b &= laneMask; b < store.Lanes {
		return store.Lane(b)
	}
	r.bad = true
	return 0
}

func (r *reader) ref() store.Ref {
	d := store.DestID(r.u32())
	l := r.lane(r.u8())
	return store.Ref{Dest: d, Lane: l, Seq: store.Seq(r.u64())}
}

func (r *reader) message(m *store.Message, base store.Seq) store.Seq {
	m.Flags = store.Flags(r.u8())
	opt := r.u8()
	seq := base + store.Seq(r.uvarint())
	if opt&optID != 0 {
		m.ID = r.uvarint()
	}
	if opt&optExpiry != 0 {
		m.Expiry = r.varint()
	}
	if opt&optProducer != 0 {
		m.Producer = string(r.take(r.uvarint()))
		m.ProducerSeq = r.uvarint()
	}
	if opt&optDedup != 0 {
		m.DedupKey = string(r.take(r.uvarint()))
	}
	return seq
}

// count reads a number of items that need at least two bytes each.
func (r *reader) count() int { return int(r.small(uint64(len(r.b)-r.off) / 2)) }

func (r *reader) refs(out []store.NewRef) []store.NewRef {
	out = out[:0]
	for n := r.count(); n > 0 && !r.bad; n-- {
		d := store.DestID(r.small(math.MaxUint32))
		bits := r.u8()
		ref := store.NewRef{Dest: d, Lane: r.lane(bits)}
		ref.Attempts, ref.Overlay, ref.Expiry, ref.OwnExpiry = r.refFields(bits)
		out = append(out, ref)
	}
	return out
}

func (r *reader) refFields(bits byte) (attempts uint32, overlay []byte, expiry int64, own bool) {
	if bits&refAttempts != 0 {
		attempts = uint32(r.small(math.MaxUint32))
	}
	if bits&refOverlay != 0 {
		overlay = r.take(r.uvarint())
	}
	if bits&refExpiry != 0 {
		expiry, own = r.varint(), true
	}
	return attempts, overlay, expiry, own
}

func (r *reader) moved(out []Moved) []Moved {
	out = out[:0]
	for n := r.count(); n > 0 && !r.bad; n-- {
		d := store.DestID(r.small(math.MaxUint32))
		bits := r.u8()
		m := Moved{Ref: store.Ref{Dest: d, Lane: r.lane(bits), Seq: store.Seq(r.uvarint())}}
		if bits&refID != 0 {
			m.ID = r.uvarint()
		}
		m.Attempts, m.Overlay, m.Expiry, _ = r.refFields(bits)
		out = append(out, m)
	}
	return out
}

// Decode decodes the record at the head of b, which lies at position pos in a
// batch with the given base, into rec and returns the record's length. rec's slices
// are reused.
func Decode(rec *Record, b []byte, pos store.Position, base store.Seq) (int, error) {
	if len(b) < RecordHeader {
		return 0, fmt.Errorf("%w at %d: %d bytes are left", errRecord, pos, len(b))
	}
	n := uint64(binary.LittleEndian.Uint32(b[1:])) + RecordHeader
	if n > uint64(len(b)) {
		return 0, fmt.Errorf("%w at %d: %d bytes long, %d are left", errRecord, pos, n, len(b))
	}
	*rec = Record{Op: store.Op{Kind: store.OpKind(b[0]), Refs: rec.Refs[:0], Keep: rec.Keep[:0]}, Moved: rec.Moved[:0], Pos: pos, Len: uint32(n)}
	r := reader{b: b[:n], off: RecordHeader}
	rec.decode(&r, base)
	if r.bad || r.off != len(r.b) {
		return 0, fmt.Errorf("%w at %d: kind %d, %d bytes", errRecord, pos, rec.Kind, n)
	}
	return int(n), nil
}

func (rec *Record) decode(r *reader, base store.Seq) {
	switch rec.Kind {
	case store.OpEnqueue:
		rec.Seq = r.message(&rec.Message, base)
		rec.Refs = r.refs(rec.Refs)
		rec.CRC = r.u32()
		rec.body(r)
	case store.OpLink:
		rec.Ref = r.ref()
		rec.Seq = base + store.Seq(r.uvarint())
		rec.Body = store.Loc{Pos: store.Position(r.uvarint()), Size: uint32(r.small(math.MaxUint32))}
		rec.CRC = r.u32()
		rec.Message.Flags = store.Flags(r.u8())
		rec.Message.ID = r.uvarint()
		rec.Message.Expiry = r.varint()
		rec.Refs = r.refs(rec.Refs)
	case store.OpMove:
		rec.move(r)
	case store.OpRemove, store.OpMark:
		rec.Ref = r.ref()
	case store.OpAttempts:
		rec.Ref = r.ref()
		rec.N = r.u32()
		rec.Until = int64(r.u64())
	case store.OpPurge, store.OpDrop:
		rec.Ref = r.ref()
		for !r.bad && r.off < len(r.b) {
			rec.Keep = append(rec.Keep, store.Seq(r.u64()))
		}
	case store.OpPut:
		rec.Key = r.take(r.uvarint())
		rec.Value = r.rest()
	case store.OpDelete:
		rec.Key = r.rest()
	case store.OpEpochStart:
		rec.Epoch = store.Epoch(r.u64())
		rec.Value = r.rest()
	case store.OpCatalog:
		rec.Meta = r.metadata()
	case store.OpPrepare, store.OpOutcome:
		rec.Value = r.rest()
	default:
		r.bad = true
	}
}

func (rec *Record) body(r *reader) {
	rec.Body.Pos = rec.Pos + store.Position(r.off)
	rec.Message.Encoded = r.rest()
	rec.Body.Size = uint32(len(rec.Message.Encoded))
}

func (rec *Record) move(r *reader) {
	rec.Message.Flags = store.Flags(r.u8())
	opt := r.u8()
	rec.Message.ID = r.uvarint()
	if opt&optDedup != 0 {
		rec.Message.DedupKey = string(r.take(r.uvarint()))
	}
	rec.Moved = r.moved(rec.Moved)
	if opt&optBody == 0 {
		rec.Body = store.Loc{Pos: store.Position(r.uvarint()), Size: uint32(r.small(math.MaxUint32))}
		rec.CRC = r.u32()
		return
	}
	rec.CRC = r.u32()
	rec.body(r)
}
