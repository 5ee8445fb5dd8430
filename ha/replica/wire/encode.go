package wire

import (
	"encoding/binary"
	"fmt"

	"treadmq/ha/replica"
	"treadmq/store"
)

type encoder struct {
	b   []byte
	err error
}

func (e *encoder) u8(v uint8)   { e.b = append(e.b, v) }
func (e *encoder) u16(v uint16) { e.b = binary.LittleEndian.AppendUint16(e.b, v) }
func (e *encoder) u32(v uint32) { e.b = binary.LittleEndian.AppendUint32(e.b, v) }
func (e *encoder) u64(v uint64) { e.b = binary.LittleEndian.AppendUint64(e.b, v) }

func (e *encoder) uvarint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }

func (e *encoder) pos(v replica.Position) { e.u64(uint64(v)) }

func (e *encoder) bool(v bool) {
	var b uint8
	if v {
		b = 1
	}
	e.u8(b)
}

func (e *encoder) text(s string) {
	if len(s) > 255 {
		e.err = fmt.Errorf("%w: a name of %d bytes, limit 255", ErrFrame, len(s))
		return
	}
	e.u8(uint8(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) head(typ uint8, group string, epoch replica.Epoch) {
	e.u8(typ)
	e.text(group)
	e.uvarint(uint64(epoch))
}

func (e *encoder) epochs(l store.EpochList) {
	if len(l) > maxEpochs {
		e.err = fmt.Errorf("%w: %d epochs, limit %d", ErrFrame, len(l), maxEpochs)
		return
	}
	e.u16(uint16(len(l)))
	for _, s := range l {
		e.u64(uint64(s.Epoch))
		e.pos(s.Start)
	}
}

func (e *encoder) message(m any, body int) {
	if body < 0 || body > MaxBody {
		e.err = fmt.Errorf("%w: a body of %d bytes, limit %d", ErrFrame, body, MaxBody)
		return
	}
	switch m := m.(type) {
	case *replica.Hello:
		e.hello(m)
	case *replica.Welcome:
		e.welcome(m)
	case *replica.Data:
		e.data(m, body)
	case *replica.Ack:
		e.head(typeAck, m.Group, m.Epoch)
		e.u64(m.Session)
		e.pos(m.Written)
		e.pos(m.Stable)
		e.pos(m.Applied)
		e.bool(m.NoVote)
	case *replica.Heartbeat:
		e.head(typeHeartbeat, m.Group, m.Epoch)
		e.pos(m.Commit)
		e.bool(m.Active)
	case *replica.Refuse:
		e.head(typeRefuse, m.Group, m.Epoch)
		e.u8(uint8(m.Reason))
	case *Get:
		e.head(typeGet, m.Group, m.Epoch)
		e.part(m.Offer, m.Part, m.Segment, m.Offset)
		e.u32(m.Length)
	case *Piece:
		e.head(typePiece, m.Group, m.Epoch)
		e.part(m.Offer, m.Part, m.Segment, m.Offset)
		e.bool(m.Last)
		e.u32(m.Sum)
		e.u32(m.Length)
	default:
		e.err = fmt.Errorf("%w: no encoding for %T", ErrFrame, m)
	}
}

func (e *encoder) data(m *replica.Data, body int) {
	if m.Commit > m.End || m.End-m.Pos != replica.Position(body) {
		e.err = fmt.Errorf("%w: %d bytes from %d to %d, committed up to %d", ErrFrame, body, m.Pos, m.End, m.Commit)
		return
	}
	e.head(typeData, m.Group, m.Epoch)
	e.uvarint(m.Session)
	e.uvarint(uint64(m.Pos))
	e.uvarint(uint64(body))
	e.uvarint(uint64(m.End - m.Commit))
}

func (e *encoder) part(offer uint64, p Part, segment replica.Position, offset uint64) {
	e.u64(offer)
	e.u8(uint8(p))
	e.pos(segment)
	e.u64(offset)
}

func (e *encoder) hello(m *replica.Hello) {
	e.head(typeHello, m.Group, m.Promised)
	e.text(m.Cluster)
	e.text(string(m.Node))
	e.u16(m.Min)
	e.u16(m.Max)
	e.u64(m.Session)
	e.pos(m.Tail)
	e.pos(m.End)
	e.pos(m.Stable)
	e.pos(m.Applied)
	e.pos(m.Known)
	e.bool(m.Snapshot)
	e.u32(uint32(m.Feature))
	e.epochs(m.Epochs)
}

func (e *encoder) welcome(m *replica.Welcome) {
	e.head(typeWelcome, m.Group, m.Epoch)
	e.u16(m.Version)
	e.u64(m.Session)
	e.pos(m.TruncateTo)
	e.u32(m.Chain)
	e.pos(m.Commit)
	e.bool(m.Active)
	e.epochs(m.Epochs)
	e.bool(m.Snapshot != nil)
	if s := m.Snapshot; s != nil {
		e.u64(s.ID)
		e.pos(s.At)
		e.pos(s.End)
		e.pos(s.Commit)
		e.bool(s.Active)
	}
}
