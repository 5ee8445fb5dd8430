package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"treadmq/store"
)

// Entry is what the index knows about a live reference.
type Entry struct {
	store.Ref
	Pos      store.Position // of the encoded message
	Size     uint32         // bytes of the encoded message
	CRC      uint32         // CRC-32C of the encoded message
	Share    uint32         // bytes that this reference keeps alive where the message is
	RefPos   store.Position // of the reference's own record if it is not the message's, else 0
	Own      uint32         // bytes that this reference keeps alive at RefPos
	ID       uint64
	Expiry   int64 // milliseconds since 1970, 0 = never
	Attempts uint32
	Flags    store.Flags
	Overlay  []byte
	Key      string // by which the reference is found, "" for none
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errValue says that a value is not what was written under its key.
var errValue = errors.New("damaged index value")

// seal appends the checksum over key and value. Every value of the index ends with it.
func seal(key, value []byte) []byte {
	crc := crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, value)
	return binary.LittleEndian.AppendUint32(value, crc)
}

// unseal checks and cuts off the checksum.
func unseal(key, value []byte) ([]byte, error) {
	n := len(value) - 4
	if n < 0 {
		return nil, fmt.Errorf("%w: key %x has %d bytes", errValue, key, len(value))
	}
	crc := crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, value[:n])
	if crc != binary.LittleEndian.Uint32(value[n:]) {
		return nil, fmt.Errorf("%w: key %x fails its checksum", errValue, key)
	}
	return value[:n], nil
}

// Bits of an entry's first byte.
const (
	hasRefPos = 1 << iota
	hasExpiry
	hasAttempts
	hasOverlay
	hasKey
)

func appendEntry(b []byte, e *Entry) []byte {
	at := len(b)
	b = append(b, 0, byte(e.Flags))
	b = binary.AppendUvarint(b, uint64(e.Pos))
	b = binary.AppendUvarint(b, uint64(e.Size))
	b = binary.LittleEndian.AppendUint32(b, e.CRC)
	b = binary.AppendUvarint(b, uint64(e.Share))
	b = binary.AppendUvarint(b, e.ID)
	if e.RefPos != 0 {
		b[at] |= hasRefPos
		b = binary.AppendUvarint(b, uint64(e.RefPos))
		b = binary.AppendUvarint(b, uint64(e.Own))
	}
	if e.Expiry != 0 {
		b[at] |= hasExpiry
		b = binary.AppendVarint(b, e.Expiry)
	}
	if e.Attempts != 0 {
		b[at] |= hasAttempts
		b = binary.AppendUvarint(b, uint64(e.Attempts))
	}
	if e.Key != "" {
		b[at] |= hasKey
		b = append(binary.AppendUvarint(b, uint64(len(e.Key))), e.Key...)
	}
	if len(e.Overlay) > 0 {
		b[at] |= hasOverlay
		b = append(b, e.Overlay...)
	}
	return b
}

// numbers takes varints from the head of a value.
type numbers struct {
	b   []byte
	bad bool
}

func (n *numbers) next() uint64 {
	v, k := binary.Uvarint(n.b)
	if k <= 0 {
		n.bad = true
		return 0
	}
	n.b = n.b[k:]
	return v
}

func (n *numbers) signed() int64 {
	v, k := binary.Varint(n.b)
	if k <= 0 {
		n.bad = true
		return 0
	}
	n.b = n.b[k:]
	return v
}

func (n *numbers) u32() uint32 {
	if len(n.b) < 4 {
		n.bad = true
		return 0
	}
	v := binary.LittleEndian.Uint32(n.b)
	n.b = n.b[4:]
	return v
}

func (n *numbers) text() string {
	size := n.next()
	if size > uint64(len(n.b)) {
		n.bad = true
		return ""
	}
	s := string(n.b[:size])
	n.b = n.b[size:]
	return s
}

// decodeEntry decodes a sealed reference value. The overlay points into value.
func decodeEntry(e *Entry, key, value []byte) error {
	v, err := unseal(key, value)
	if err != nil {
		return err
	}
	if len(v) < 2 || len(key) != refKeySize {
		return fmt.Errorf("%w: key %x is too short", errValue, key)
	}
	bits := v[0]
	*e = Entry{Ref: parseRef(key[1:]), Flags: store.Flags(v[1])}
	n := numbers{b: v[2:]}
	e.Pos = store.Position(n.next())
	e.Size = uint32(n.next())
	e.CRC = n.u32()
	e.Share = uint32(n.next())
	e.ID = n.next()
	if bits&hasRefPos != 0 {
		e.RefPos = store.Position(n.next())
		e.Own = uint32(n.next())
	}
	if bits&hasExpiry != 0 {
		e.Expiry = n.signed()
	}
	if bits&hasAttempts != 0 {
		e.Attempts = uint32(n.next())
	}
	if bits&hasKey != 0 {
		e.Key = n.text()
	}
	if bits&hasOverlay != 0 {
		e.Overlay, n.b = n.b, nil
	}
	if n.bad || len(n.b) > 0 {
		return fmt.Errorf("%w: key %x is malformed", errValue, key)
	}
	return nil
}

// Lane is what the index knows about a lane.
type Lane struct {
	Count store.Count // live references, purged ones not counted
	Keys  int64       // references in the index, purged ones counted
	Mark  store.Seq
	Low   store.Seq // no reference in the index is below
}

// Live counts what is alive in a segment.
type Live struct {
	Refs  int64
	Bytes int64
}

// State says what the index reflects.
type State struct {
	Number  uint64         // of the batch that wrote it
	Applied store.Position // journal position
	Chain   uint32         // chain value there
	NextSeq store.Seq
	Epochs  []byte // the journal's epoch list, in its encoding
}

func (s *State) encode() []byte {
	b := binary.AppendUvarint(nil, s.Number)
	b = binary.AppendUvarint(b, uint64(s.Applied))
	b = binary.AppendUvarint(b, uint64(s.Chain))
	b = binary.AppendUvarint(b, uint64(s.NextSeq))
	return append(b, s.Epochs...)
}

func decodeState(v []byte) (State, error) {
	n := numbers{b: v}
	s := State{Number: n.next(), Applied: store.Position(n.next()), Chain: uint32(n.next()), NextSeq: store.Seq(n.next())}
	s.Epochs = append([]byte{}, n.b...)
	if n.bad {
		return State{}, fmt.Errorf("%w: state", errValue)
	}
	return s, nil
}
