package local

import (
	"fmt"

	"treadmq/store"
	"treadmq/store/index"
)

// SegmentInfo names bytes of one segment.
type SegmentInfo struct {
	First, End store.Position
}

// Snapshot is a store as it was at one moment, for a member that lacks too much of
// the journal: the index at At, and all segments. It keeps them on disk until it is
// released; the store goes on meanwhile. Methods are for one goroutine.
type Snapshot struct {
	At       store.Position // the index reflects the journal up to here
	End      store.Position // of the segments
	Segments []SegmentInfo  // in order; from the one that holds At on without a gap

	store   *Store
	index   *index.Snapshot
	release func()
}

// Snapshot takes a snapshot.
func (s *Store) Snapshot() (*Snapshot, error) {
	reply := make(chan error, 1)
	p := &Snapshot{store: s}
	select { // where the index is written, so that it is not written meanwhile
	case s.between <- func() { reply <- p.take() }:
	case <-s.stop:
		return nil, store.ErrClosed
	}
	if err := <-reply; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Snapshot) take() error {
	s := p.store
	p.release = s.pins.add(0)
	var err error
	if p.index, err = s.index.Snapshot(); err != nil {
		p.release()
		return err
	}
	p.At = p.index.State.Applied
	for _, seg := range s.journal.Segments() {
		p.Segments = append(p.Segments, SegmentInfo{seg.First, seg.End})
		p.End = seg.End
	}
	return nil
}

// Release gives the snapshot up.
func (p *Snapshot) Release() {
	p.index.Release()
	p.release()
}

// ReadSegment reads bytes of the segments.
func (p *Snapshot) ReadSegment(b []byte, at store.Position) error {
	if at+store.Position(len(b)) > p.End {
		return fmt.Errorf("read the snapshot at %d: %w: it ends at %d", at, store.ErrNotFound, p.End)
	}
	return p.store.Feed().ReadAt(b, at)
}

// ReadIndex reads the index: see index.Snapshot.Read.
func (p *Snapshot) ReadIndex(dst, after []byte, limit int) (pairs, last []byte, err error) {
	return p.index.Read(dst, after, limit)
}
