package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"treadmq/store"
	"treadmq/store/index"
	"treadmq/store/journal"
)

// crcSize is the message's checksum, which lies right before it in the journal.
const crcSize = 4

// Read implements store.Store.
func (s *Store) Read(l store.Loc) ([]byte, error) {
	if l.Pos < crcSize || l.Size > journal.MaxBatch {
		return nil, fmt.Errorf("read message at %d: %w", l.Pos, store.ErrNotFound)
	}
	b := make([]byte, crcSize+int(l.Size))
	path, off, err := s.journal.ReadAt(b, l.Pos-crcSize)
	switch {
	case errors.Is(err, journal.ErrNoSegment):
		return nil, fmt.Errorf("read message: %w: %w", store.ErrMoved, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("read message: %w: %w", store.ErrCorrupt, err)
	case err != nil:
		return nil, fmt.Errorf("read message: %w", err)
	}
	if journal.Checksum(b[crcSize:]) != binary.LittleEndian.Uint32(b) {
		return nil, badMessage(path, off+crcSize, l)
	}
	return b[crcSize:], nil
}

func badMessage(path string, off int64, l store.Loc) error {
	return fmt.Errorf("%w: %s, offset %d: message of %d bytes at position %d fails its checksum; run 'treadmq store check'",
		store.ErrCorrupt, path, off, l.Size, l.Pos)
}

// readSpan is how many bytes one read covers when messages lie close together.
const readSpan = 256 << 10

// loadMessages reads the messages of a page until they exceed maxBytes. Messages
// that lie close together are read at once.
func (s *Store) loadMessages(dst []store.Stored, p page, maxBytes int) ([]store.Stored, bool, error) {
	var span []byte
	more := p.more
	for i := 0; i < len(p.found); {
		if maxBytes <= 0 {
			return dst, true, nil
		}
		n, end := spanOf(p.found[i:], maxBytes)
		first := p.found[i].Pos
		if size := int(end - first); cap(span) < size {
			span = make([]byte, size)
		}
		span = span[:end-first]
		path, off, err := s.journal.ReadAt(span, first)
		if n == 1 && errors.Is(err, journal.ErrNoSegment) {
			if dst, err = s.loadMoved(dst, &p.found[i], &maxBytes); err != nil {
				return dst, false, err
			}
			i++
			continue
		}
		if errors.Is(err, journal.ErrNoSegment) || errors.Is(err, io.ErrUnexpectedEOF) { // some of it is gone: one by one
			n, end = 1, first+store.Position(p.found[i].Size)
			span = span[:end-first]
			if path, off, err = s.journal.ReadAt(span, first); errors.Is(err, journal.ErrNoSegment) {
				if dst, err = s.loadMoved(dst, &p.found[i], &maxBytes); err != nil {
					return dst, false, err
				}
				i++
				continue
			}
		}
		if err != nil {
			return dst, false, fmt.Errorf("load messages: %w", err)
		}
		for _, e := range p.found[i : i+n] {
			m := span[e.Pos-first:][:e.Size]
			if journal.Checksum(m) != e.CRC {
				return dst, false, badMessage(path, off+int64(e.Pos-first), store.Loc{Pos: e.Pos, Size: e.Size})
			}
			dst = append(dst, withMessage(&e, slices.Clone(m)))
			maxBytes -= int(e.Size)
		}
		i += n
	}
	return dst, more, nil
}

func withMessage(e *index.Entry, m []byte) store.Stored {
	st := stored(e)
	if st.Message = m; m == nil {
		st.Message = []byte{}
	}
	return st
}

// spanOf returns how many of the entries are read at once and where the read ends:
// rising positions, close together, within the bytes that are wanted.
func spanOf(es []index.Entry, maxBytes int) (n int, end store.Position) {
	first := es[0].Pos
	end = first + store.Position(es[0].Size)
	maxBytes -= int(es[0].Size)
	for n = 1; n < len(es) && maxBytes > 0; n++ {
		e := &es[n]
		to := e.Pos + store.Position(e.Size)
		if e.Pos < end || e.Pos-end > readSpan/16 || to-first > readSpan {
			break
		}
		end = to
		maxBytes -= int(e.Size)
	}
	return n, end
}

// loadMoved appends a reference whose segment went away since it was looked up,
// if it is still alive.
func (s *Store) loadMoved(dst []store.Stored, e *index.Entry, maxBytes *int) ([]store.Stored, error) {
	for {
		now, err := s.lookup(e.Ref)
		if errors.Is(err, store.ErrNotFound) {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
		m, err := s.Read(store.Loc{Pos: now.Pos, Size: now.Size})
		if errors.Is(err, store.ErrMoved) && now.Pos != e.Pos {
			e.Pos = now.Pos
			continue
		}
		if err != nil {
			return dst, err
		}
		*maxBytes -= len(m)
		return append(dst, withMessage(&now, m)), nil
	}
}
