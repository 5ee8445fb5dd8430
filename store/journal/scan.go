package journal

import (
	"errors"
	"fmt"
	"io"

	"treadmq/store"
	"treadmq/store/vfs"
)

// IsEnd reports whether a Scan ended because no valid batch followed: in the last
// segment that is the end of the journal, anywhere else it is damage.
func IsEnd(err error) bool { return errors.Is(err, errNotBatch) }

// scanner reads the batches of one segment in order and verifies them.
type scanner struct {
	file  vfs.File
	first store.Position // of the segment
	limit store.Position // where the file ends or the next segment begins
	at    store.Position // of the next batch
	chain uint32
	// adopt takes the chain value of the first batch as given: what came before is gone.
	adopt bool
	buf   []byte // bytes from the file
	have  []byte // part of buf that is not yet consumed, begins at at
}

// scanWindow is how much a scanner reads at once, in bytes.
const scanWindow = 1 << 20

// next returns the next batch with its header. io.EOF at limit; an error that
// wraps errNotBatch when there is no valid batch. The bytes are valid until the next call.
func (s *scanner) next() (Header, []byte, error) {
	if s.at == s.limit {
		return Header{}, nil, io.EOF
	}
	if err := s.fill(HeaderSize); err != nil {
		return Header{}, nil, err
	}
	h, err := decodeHeader(s.have, s.at)
	if err != nil {
		return Header{}, nil, err
	}
	if h.End() > s.limit {
		return Header{}, nil, fmt.Errorf("%w: length %d passes the end of the segment", errNotBatch, h.Length)
	}
	if err := s.fill(int(h.Length)); err != nil {
		return Header{}, nil, err
	}
	if s.adopt {
		s.chain, s.adopt = h.Chain, false
	}
	if _, err := checkBatch(s.have, s.at, s.chain); err != nil {
		return Header{}, nil, err
	}
	b := s.have[:h.Length]
	s.have = s.have[h.Length:]
	s.at = h.End()
	s.chain = h.NextChain()
	return h, b, nil
}

// fill makes have at least n bytes long, less only where the segment ends.
func (s *scanner) fill(n int) error {
	if len(s.have) >= n {
		return nil
	}
	want := int(min(uint64(max(n, scanWindow)), uint64(s.limit-s.at)))
	if cap(s.buf) < want {
		s.buf = make([]byte, want) // want <= MaxBatch or scanWindow
	}
	got := copy(s.buf[:want], s.have)
	m, err := s.file.ReadAt(s.buf[got:want], int64(s.at-s.first)+int64(got))
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read at %d: %w", s.at, err)
	}
	s.have = s.buf[:got+m]
	return nil
}

// EachRecord decodes the records of a batch and calls fn for each. rec and what
// it points to are valid during the call.
func EachRecord(h *Header, batch []byte, rec *Record, fn func(*Record) error) error {
	off := HeaderSize
	batch = batch[:len(batch)-TrailerSize]
	for i := range h.Records {
		n, err := Decode(rec, batch[off:], h.Position+store.Position(off), h.Base)
		if err != nil {
			return fmt.Errorf("batch at %d, record %d of %d: %w", h.Position, i+1, h.Records, err)
		}
		if err := fn(rec); err != nil {
			return err
		}
		off += n
	}
	if off != len(batch) {
		return fmt.Errorf("batch at %d: %w: %d bytes behind the last record", h.Position, errRecord, len(batch)-off)
	}
	return nil
}
