package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"treadmq/store"
)

// Physical batch header, little endian:
//
//	 0 magic    u32
//	 4 length   u32  bytes of the batch with this header
//	 8 type     u8
//	 9 flags    u8
//	10 version  u16
//	12 records  u32  number of records in the body
//	16 epoch    u64
//	24 position u64  of the first byte of this header
//	32 base     u64  sequence numbers in the body count from here
//	40 chain    u32  CRC-32C over the previous batch's chain and crc
//	44 crc      u32  CRC-32C over bytes 0-43 and the body
//	48 body
//	length-4 trailer u32  endMagic XOR length, in no checksum
//
// A killed process leaves a write torn in one way only: some of it from the front.
// The trailer then is not there, which tells a torn batch from a damaged one.
const (
	HeaderSize  = 48
	TrailerSize = 4
	endMagic    = 0xe55ea1ed // the last byte on disk is never 0, whatever the length
	Magic       = 0x514d5254 // "TRMQ"
	Version     = 1

	// MaxBatch bounds a physical batch in bytes, and so what a reader allocates.
	MaxBatch = 256 << 20
)

// Batch flags.
const (
	// FlagSegment marks the metadata batch that opens each segment. Whoever copies
	// the journal begins a new segment with it, so that all copies are cut alike.
	FlagSegment = 1 << 0
)

// TypeRecords is the only type of batch so far: its body is a run of records.
const TypeRecords = 1

// errNotBatch says that the bytes are no batch of this position. It wraps what is wrong.
var errNotBatch = errors.New("not a batch")

// Header is the decoded header of a physical batch.
type Header struct {
	Length     uint32
	Type       uint8
	Flags      uint8
	Version    uint16
	Records    uint32
	Epoch      store.Epoch
	Position   store.Position
	Base       store.Seq
	Chain, CRC uint32
}

// End is the position behind the batch.
func (h *Header) End() store.Position { return h.Position + store.Position(h.Length) }

// NextChain is the chain value of the batch that follows.
func (h *Header) NextChain() uint32 { return nextChain(h.Chain, h.CRC) }

func nextChain(chain, crc uint32) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint32(b[:], chain)
	binary.LittleEndian.PutUint32(b[4:], crc)
	return crc32.Checksum(b[:], castagnoli)
}

// seal writes the header in front of the body that b already holds, and the trailer behind it. The checksums of some parts
// of the body may be known.
func (h *Header) seal(b []byte, known []Known) {
	le := binary.LittleEndian
	le.PutUint32(b, Magic)
	le.PutUint32(b[4:], uint32(len(b)))
	b[8], b[9] = h.Type, h.Flags
	le.PutUint16(b[10:], Version)
	le.PutUint32(b[12:], h.Records)
	le.PutUint64(b[16:], uint64(h.Epoch))
	le.PutUint64(b[24:], uint64(h.Position))
	le.PutUint64(b[32:], uint64(h.Base))
	le.PutUint32(b[40:], h.Chain)
	h.CRC = batchCRC(b, known...)
	le.PutUint32(b[44:], h.CRC)
	le.PutUint32(b[len(b)-TrailerSize:], endMagic^uint32(len(b)))
	h.Length = uint32(len(b))
	h.Version = Version
}

func batchCRC(b []byte, known ...Known) uint32 {
	crc := crc32.Update(0, castagnoli, b[:44])
	at := HeaderSize
	for _, k := range known {
		crc = crc32.Update(crc, castagnoli, b[at:k.Off])
		crc = join(crc, k.CRC, k.Len)
		at = k.Off + k.Len
	}
	return crc32.Update(crc, castagnoli, b[at:len(b)-TrailerSize])
}

// decodeHeader reads a header and checks what can be checked without the body.
func decodeHeader(b []byte, at store.Position) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: %d bytes are left", errNotBatch, len(b))
	}
	le := binary.LittleEndian
	if m := le.Uint32(b); m != Magic {
		return Header{}, fmt.Errorf("%w: magic is %#x", errNotBatch, m)
	}
	h := Header{
		Length: le.Uint32(b[4:]), Type: b[8], Flags: b[9], Version: le.Uint16(b[10:]), Records: le.Uint32(b[12:]),
		Epoch: store.Epoch(le.Uint64(b[16:])), Position: store.Position(le.Uint64(b[24:])), Base: store.Seq(le.Uint64(b[32:])),
		Chain: le.Uint32(b[40:]), CRC: le.Uint32(b[44:]),
	}
	switch {
	case h.Position != at:
		return Header{}, fmt.Errorf("%w: it belongs to position %d", errNotBatch, h.Position)
	case h.Length < HeaderSize+TrailerSize || h.Length > MaxBatch:
		return Header{}, fmt.Errorf("%w: length %d", errNotBatch, h.Length)
	}
	return h, nil
}

// checkBatch verifies a whole batch that lies at position at and follows chain.
func checkBatch(b []byte, at store.Position, chain uint32) (Header, error) {
	h, err := decodeHeader(b, at)
	switch {
	case err != nil:
		return Header{}, err
	case int(h.Length) > len(b):
		return Header{}, fmt.Errorf("%w: length %d, %d bytes are left", errNotBatch, h.Length, len(b))
	}
	if crc := batchCRC(b[:h.Length]); crc != h.CRC {
		return Header{}, fmt.Errorf("%w: checksum is %#x, not %#x", errNotBatch, crc, h.CRC)
	}
	if h.Chain != chain {
		return Header{}, fmt.Errorf("%w: chain is %#x, not %#x", errNotBatch, h.Chain, chain)
	}
	if h.Version != Version || h.Type != TypeRecords {
		return Header{}, fmt.Errorf("batch at %d has version %d and type %d, which this program does not know: use a newer one", at, h.Version, h.Type)
	}
	return h, nil
}
