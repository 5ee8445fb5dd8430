package local

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"

	"treadmq/store"
	"treadmq/store/journal"
)

// Feed is the journal as other members of a group read it. It is safe for
// concurrent use, beside the writer.
type Feed struct {
	journal *journal.Journal
	pins    *pins
}

// Read appends to dst whole batches from a position on, as journal.ReadBatches.
// io.EOF at the end; store.ErrNotFound when the position is no longer kept.
func (f Feed) Read(dst []byte, at store.Position, limit int) ([]byte, error) {
	b, err := f.journal.ReadBatches(dst, at, limit)
	if errors.Is(err, journal.ErrNoSegment) {
		err = fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	return b, err
}

// Chain returns the chain value at a position where a batch begins or ends.
// Two journals with the same value at a position are the same up to there.
func (f Feed) Chain(at store.Position) (uint32, error) {
	c, err := f.journal.ChainBefore(at)
	if errors.Is(err, journal.ErrNoSegment) {
		err = fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	return c, err
}

// Start is the first position from which everything to the end is kept.
func (f Feed) Start() store.Position {
	segs := f.journal.Segments()
	start := store.Position(0)
	for i, s := range segs {
		if i == 0 || segs[i-1].End != s.First {
			start = s.First
		}
	}
	return start
}

// Segments lists the segments in order.
func (f Feed) Segments() []journal.Segment { return f.journal.Segments() }

// ReadAt reads raw bytes of a segment, for a copy of it.
func (f Feed) ReadAt(p []byte, at store.Position) error {
	_, _, err := f.journal.ReadAt(p, at)
	if errors.Is(err, journal.ErrNoSegment) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	return err
}

// Pin keeps every segment that now reaches beyond a position, until release is called.
func (f Feed) Pin(from store.Position) (release func()) { return f.pins.add(from) }

// pins are positions that somebody still reads from.
type pins struct {
	mu   sync.Mutex // guards from
	from map[*byte]store.Position
}

func (p *pins) add(from store.Position) (release func()) {
	key := new(byte)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.from == nil {
		p.from = map[*byte]store.Position{}
	}
	p.from[key] = from
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.from, key)
	})
}

// keep lowers a position to the lowest that is pinned.
func (p *pins) keep(at store.Position) store.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	for from := range maps.Values(p.from) {
		at = min(at, from)
	}
	return at
}
