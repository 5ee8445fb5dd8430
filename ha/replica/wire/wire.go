// Package wire is the encoding of the replication link: frames with limits and
// checksums, and the handshake before the first of them. It knows no connection.
//
// A frame, little endian, a uvarint as encoding/binary has it:
//
//	length u32   of all that follows, the body of Data and Piece not counted
//	type u8
//	group        length u8, bytes
//	epoch uvarint
//	fields       by type
//	crc u32      CRC-32C of all before it, the length included
//	body         of Data and Piece only; its length is among the fields
//
// The fields of Data are uvarints and say how far the commit position lies behind its end: a group of
// one small message costs its followers few bytes more than it has.
//
// Bodies of Data are whole batches of the journal, which carry checksums of their own; those of
// Piece are checked by a checksum among the fields.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"treadmq/ha/replica"
	"treadmq/store"
)

// Limits of a frame.
const (
	MaxControl = 256 << 10 // bytes of a frame without its body; a list of 4096 epochs takes 64 KiB
	MaxBody    = 257 << 20 // bytes of a body: the largest batch that a journal takes
	MaxPiece   = 1 << 20   // bytes of a piece of a snapshot

	// MaxData is how many bytes the frame of a Data has at most, without its body.
	MaxData = 4 + 1 + 1 + 255 + 5*binary.MaxVarintLen64 + 4

	overhead = 4 + 1 + 1 + 1 + 4
)

// ErrFrame says that what was received is no frame. The link must be closed.
var ErrFrame = errors.New("bad frame on the replication link")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Types of frames.
const (
	typeHello     = 1
	typeWelcome   = 2
	typeData      = 3
	typeAck       = 4
	typeHeartbeat = 5
	typeRefuse    = 6
	typeGet       = 7
	typePiece     = 8
)

// Part is what a snapshot consists of.
type Part uint8

// Parts.
const (
	PartList    Part = iota + 1 // the segments: first position and end of each, u64
	PartSegment                 // bytes of one segment
	PartIndex                   // keys and values of the index, in order
)

// Get asks for a piece of the snapshot of an offer, follower to master. The shell
// answers it; it never reaches the core.
type Get struct {
	Group   string
	Epoch   replica.Epoch
	Offer   uint64 // Manifest.ID
	Part    Part
	Segment replica.Position // first position, of PartSegment
	Offset  uint64
	Length  uint32 // at most MaxPiece
}

// Piece answers Get with the bytes that follow, master to follower.
type Piece struct {
	Group   string
	Epoch   replica.Epoch
	Offer   uint64
	Part    Part
	Segment replica.Position
	Offset  uint64
	Last    bool   // of the part
	Sum     uint32 // CRC-32C of the body
	Length  uint32 // of the body
}

// Checksum is the one of [Piece.Sum].
func Checksum(body []byte) uint32 { return crc32.Checksum(body, castagnoli) }

// Append encodes a frame without its body: a [replica.Message], *Get or *Piece.
// For *replica.Data body is the length of the bytes that the caller writes behind it.
func Append(dst []byte, m any, body int) ([]byte, error) {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	e := encoder{b: dst}
	e.message(m, body)
	if e.err == nil && len(e.b)-start+4 > MaxControl {
		e.err = fmt.Errorf("%w: %T has %d bytes, limit %d", ErrFrame, m, len(e.b)-start, MaxControl)
	}
	if e.err != nil {
		return dst[:start], e.err
	}
	binary.LittleEndian.PutUint32(e.b[start:], uint32(len(e.b)-start)) // the checksum's 4 bytes stand for the length's
	return binary.LittleEndian.AppendUint32(e.b, crc32.Checksum(e.b[start:], castagnoli)), nil
}

// Frame is what was read: Message and, for Data and Piece, the length of the body
// that follows on the link.
type Frame struct {
	Message any // a replica.Message, *Get or *Piece
	Body    int
}

// Read reads the next frame, but not its body, into buf, which grows as needed up to
// MaxControl and is returned. io.EOF only between frames.
func Read(r io.Reader, buf []byte) (Frame, []byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, buf, err
	}
	n := int(binary.LittleEndian.Uint32(head[:]))
	if n < overhead-4 || n > MaxControl-4 {
		return Frame{}, buf, fmt.Errorf("%w: length %d", ErrFrame, n)
	}
	if cap(buf) < n+4 {
		buf = make([]byte, n+4)
	}
	buf = buf[:n+4]
	copy(buf, head[:])
	if _, err := io.ReadFull(r, buf[4:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, buf, err
	}
	f, err := Decode(buf)
	return f, buf, err
}

// Decode decodes one whole frame without its body.
func Decode(b []byte) (Frame, error) {
	if len(b) < overhead || len(b) > MaxControl || int(binary.LittleEndian.Uint32(b)) != len(b)-4 {
		return Frame{}, fmt.Errorf("%w: length", ErrFrame)
	}
	end := len(b) - 4
	if crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
		return Frame{}, fmt.Errorf("%w: checksum", ErrFrame)
	}
	d := decoder{b: b[4:end]}
	f := d.message()
	if d.err == nil && len(d.b) != 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	if d.err != nil {
		return Frame{}, d.err
	}
	return f, nil
}

// maxEpochs bounds the lists in Hello and Welcome.
const maxEpochs = store.MaxEpochs
