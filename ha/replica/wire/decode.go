package wire

import (
	"encoding/binary"
	"fmt"

	"treadmq/ha/replica"
	"treadmq/store"
)

// decoder takes fields off b; after the first error it returns zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrFrame, fmt.Sprintf(format, args...))
	}
	d.b = nil
}

func (d *decoder) take(n int) []byte {
	if len(d.b) < n {
		d.fail("it ends early")
		return make([]byte, n) // n is a constant or at most 255
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) u8() uint8   { return d.take(1)[0] }
func (d *decoder) u16() uint16 { return binary.LittleEndian.Uint16(d.take(2)) }
func (d *decoder) u32() uint32 { return binary.LittleEndian.Uint32(d.take(4)) }
func (d *decoder) u64() uint64 { return binary.LittleEndian.Uint64(d.take(8)) }

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 { // one number has one encoding
		d.fail("a number that is none")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) pos() replica.Position { return replica.Position(d.u64()) }
func (d *decoder) text() string          { return string(d.take(int(d.u8()))) }

func (d *decoder) bool() bool {
	switch d.u8() {
	case 0:
		return false
	case 1:
		return true
	}
	d.fail("a flag that is neither 0 nor 1")
	return false
}

func (d *decoder) epochs() store.EpochList {
	n := int(d.u16())
	if n > maxEpochs || n*16 > len(d.b) {
		d.fail("%d epochs", n)
		return nil
	}
	if n == 0 {
		return nil
	}
	l := make(store.EpochList, n)
	for i := range l {
		l[i] = store.EpochStart{Epoch: replica.Epoch(d.u64()), Start: d.pos()}
		if i > 0 && (l[i].Epoch <= l[i-1].Epoch || l[i].Start < l[i-1].Start) {
			d.fail("epochs that do not rise")
			return nil
		}
	}
	return l
}

func (d *decoder) message() Frame {
	typ := d.u8()
	group := d.text()
	epoch := replica.Epoch(d.uvarint())
	switch typ {
	case typeHello:
		return Frame{Message: d.hello(group, epoch)}
	case typeWelcome:
		return Frame{Message: d.welcome(group, epoch)}
	case typeData:
		return d.data(group, epoch)
	case typeAck:
		return Frame{Message: &replica.Ack{Group: group, Epoch: epoch, Session: d.u64(), Written: d.pos(), Stable: d.pos(), Applied: d.pos(), NoVote: d.bool()}}
	case typeHeartbeat:
		return Frame{Message: &replica.Heartbeat{Group: group, Epoch: epoch, Commit: d.pos(), Active: d.bool()}}
	case typeRefuse:
		return Frame{Message: &replica.Refuse{Group: group, Epoch: epoch, Reason: replica.Reason(d.u8())}}
	case typeGet:
		m := &Get{Group: group, Epoch: epoch, Offer: d.u64(), Part: d.part(), Segment: d.pos(), Offset: d.u64(), Length: d.u32()}
		if m.Length > MaxPiece {
			d.fail("a piece of %d bytes, limit %d", m.Length, MaxPiece)
		}
		return Frame{Message: m}
	case typePiece:
		m := &Piece{Group: group, Epoch: epoch, Offer: d.u64(), Part: d.part(), Segment: d.pos(), Offset: d.u64(), Last: d.bool(), Sum: d.u32(), Length: d.u32()}
		if m.Length > MaxPiece {
			d.fail("a piece of %d bytes, limit %d", m.Length, MaxPiece)
		}
		return Frame{Message: m, Body: int(m.Length)}
	}
	d.fail("type %d", typ)
	return Frame{}
}

func (d *decoder) part() Part {
	p := Part(d.u8())
	if p < PartList || p > PartIndex {
		d.fail("part %d", p)
	}
	return p
}

// data checks that what follows has a length, and positions that are some.
func (d *decoder) data(group string, epoch replica.Epoch) Frame {
	m := &replica.Data{Group: group, Epoch: epoch, Session: d.uvarint(), Pos: replica.Position(d.uvarint())}
	n, behind := d.uvarint(), d.uvarint()
	m.End = m.Pos + replica.Position(n)
	m.Commit = m.End - replica.Position(behind)
	if n == 0 || n > MaxBody || m.End <= m.Pos || replica.Position(behind) > m.End {
		d.fail("%d bytes from %d on, committed %d before their end", n, m.Pos, behind)
	}
	return Frame{Message: m, Body: int(min(n, MaxBody))}
}

func (d *decoder) hello(group string, promised replica.Epoch) *replica.Hello {
	m := &replica.Hello{Group: group, Promised: promised, Cluster: d.text(), Node: replica.NodeID(d.text()), Min: d.u16(), Max: d.u16(), Session: d.u64()}
	m.Tail, m.End, m.Stable, m.Applied, m.Known = d.pos(), d.pos(), d.pos(), d.pos(), d.pos()
	m.Snapshot = d.bool()
	m.Feature = int(d.u32())
	m.Epochs = d.epochs()
	switch {
	case m.Node == "":
		d.fail("a node without identity")
	case m.Min > m.Max:
		d.fail("versions %d to %d", m.Min, m.Max)
	case m.Stable > m.End || m.Tail > m.End || m.Applied > m.End || len(m.Epochs) > 0 && m.Epochs[len(m.Epochs)-1].Start > m.End:
		d.fail("positions of a log that contradict each other")
	}
	return m
}

func (d *decoder) welcome(group string, epoch replica.Epoch) *replica.Welcome {
	m := &replica.Welcome{Group: group, Epoch: epoch, Version: d.u16(), Session: d.u64(), TruncateTo: d.pos(), Chain: d.u32(),
		Commit: d.pos(), Active: d.bool(), Epochs: d.epochs()}
	if d.bool() {
		m.Snapshot = &replica.Manifest{ID: d.u64(), At: d.pos(), End: d.pos(), Commit: d.pos(), Active: d.bool()}
		if m.Snapshot.End < m.Snapshot.At {
			d.fail("a snapshot that ends before it begins")
		}
	}
	return m
}
