package local

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"treadmq/store"
	"treadmq/store/journal"
	"treadmq/store/vfs"
)

// group is what one sync covers.
type group struct {
	buf     []byte // pad bytes that mean nothing, then the chunks, one behind the other
	pad     int    // puts each byte at the place in its page of memory that it gets in its page on disk
	chunks  []chunk
	known   []journal.Known // large messages, by their place in their chunk
	batches []*store.Batch
	urgent  bool // somebody waits: do not delay
	moves   bool // an OpMove is applied from its bytes: buf is needed until then
	size    int  // bytes of the chunks when it was taken

	ok    int   // chunks that were written and synced
	err   error // why the others were not
	chain uint32
	end   store.Position
}

// chunk is one physical batch in the making: some appended batches that are atomic together.
type chunk struct {
	off, end int // in group.buf, with the header
	base     store.Seq
	records  uint32
	batches  int // batches of the group up to and including this chunk
	known    int // known messages likewise
	special  bool
	begins   store.Epoch // that begins with its first record, or 0
	nextSeq  store.Seq
	pos      store.Position // set when it is sealed
	chain    uint32         // value behind it, set when it is sealed
}

const (
	// chunkSize is about how many bytes of batches become one physical batch.
	chunkSize = 1 << 20
	// maxKept is the largest buffer that is kept for reuse, in bytes.
	maxKept = 32 << 20
	// pageSize is what the disk writes in whole units of, past the page cache, if memory is aligned likewise.
	pageSize = 4 << 10
	// batchSlack is left for headers when a batch is measured against journal.MaxBatch.
	batchSlack = 1 << 16
)

func (g *group) reset() {
	clear(g.batches)
	*g = group{chunks: g.chunks[:0], known: g.known[:0], batches: g.batches[:0]}
}

// giveBuffer keeps a buffer for the next group. Called with mu held.
func (s *Store) giveBuffer(b []byte) {
	if cap(b) <= maxKept && len(s.buffers) < 3 {
		s.buffers = append(s.buffers, b[:0])
	}
}

// Append implements store.Store. It may wait while more than MaxPending bytes are
// not yet written, so a Done must not call it.
func (s *Store) Append(b *store.Batch) error {
	size, err := s.prepare(b)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for (s.pending > s.opts.MaxPending || s.paused) && s.failure == nil && !s.closing {
		s.room.Wait()
	}
	if err := s.refuse(b); err != nil {
		return err
	}
	s.join(b, size)
	return nil
}

// join adds a batch to the next group. Called with mu held.
func (s *Store) join(b *store.Batch, size int) {
	g := s.cur
	first := len(g.batches) == 0
	n := uint64(b.Refs())
	b.SetBase(store.Seq(s.opts.Seq.Add(n) - n))
	s.encode(g, b, size)
	if first || (!b.Lazy && !g.urgent) {
		g.urgent = g.urgent || !b.Lazy
		signal(s.wake)
	}
	s.appends++
}

// signal wakes the one goroutine that waits on c, now or when it next looks.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// refuse says why a batch cannot be taken. Called with mu held.
func (s *Store) refuse(b *store.Batch) error {
	switch {
	case s.failure != nil:
		return s.failure
	case s.closing:
		return store.ErrClosed
	case b.Grows() && s.full.Load():
		return s.fullError()
	}
	return nil
}

// prepare does what needs no lock: checksums, where linked messages are, and an
// upper bound of the bytes.
func (s *Store) prepare(b *store.Batch) (size int, err error) {
	for i := range b.Ops {
		op := &b.Ops[i]
		switch op.Kind {
		case store.OpEnqueue:
			op.N = journal.Checksum(op.Message.Encoded)
		case store.OpLink:
			if err := s.hint(op); err != nil {
				return 0, err
			}
		}
		size += journal.OpSize(op)
	}
	if size > journal.MaxBatch-batchSlack {
		return 0, fmt.Errorf("%w: %d bytes, limit %d: send less in one transaction", store.ErrTooLarge, size, journal.MaxBatch-batchSlack)
	}
	return size, nil
}

// hint notes in an OpLink where the message is now, for a rebuild of the index
// that no longer finds the reference it is linked from.
func (s *Store) hint(op *store.Op) error {
	op.Loc, op.N, op.Message = store.Loc{}, 0, store.Message{ID: op.ID}
	e, err := s.lookup(op.Ref)
	if errors.Is(err, store.ErrNotFound) {
		return nil // not committed yet, or gone: the journal says which when it is applied
	}
	if err != nil {
		return err
	}
	op.Loc, op.N = store.Loc{Pos: e.Pos, Size: e.Size}, e.CRC
	op.Message = store.Message{ID: cmp.Or(op.ID, e.ID), Flags: e.Flags, Expiry: e.Expiry}
	return nil
}

// encode appends the records of b to the group. Called with mu held.
func (s *Store) encode(g *group, b *store.Batch, size int) {
	base := b.Seq(0)
	if len(g.chunks) == 0 {
		g.pad = s.pad
		g.buf = grow(g.buf[:0], g.pad)[:g.pad]
	}
	g.buf = grow(g.buf, size+2*journal.TrailerSize+journal.HeaderSize)
	if len(g.chunks) == 0 || len(g.buf)-g.chunks[len(g.chunks)-1].off+size > chunkSize {
		g.closeChunk()
		g.chunks = append(g.chunks, chunk{off: len(g.buf), base: base})
		g.buf = append(g.buf, zeroHeader[:]...)
	}
	c := &g.chunks[len(g.chunks)-1]
	before, next := len(g.buf), base
	for i := range b.Ops {
		op := &b.Ops[i]
		switch op.Kind {
		case store.OpPurge, store.OpDrop: // what comes later is not touched
			if op.Kind == store.OpDrop || op.Ref.Seq >= next {
				op.Ref.Seq = next - 1
			}
			c.special = true
		case store.OpPut, store.OpDelete, store.OpMark:
			c.special = true
		case store.OpEpochStart:
			c.special, c.begins = true, store.Epoch(binary.LittleEndian.Uint64(op.Value))
		}
		next += store.Seq(len(op.Refs))
		start := len(g.buf)
		var body int
		g.buf, body = journal.AppendOp(g.buf, op, c.base, base+store.Seq(op.First))
		switch op.Kind {
		case store.OpEnqueue: // until it is committed, Pos counts from the chunk
			op.Loc = store.Loc{Pos: store.Position(body - c.off), Size: uint32(len(op.Message.Encoded))}
			op.Until = int64(len(g.buf) - start)
			if n := len(op.Message.Encoded); n >= journal.KnownMin {
				g.known = append(g.known, journal.Known{Off: body - c.off, Len: n, CRC: op.N})
			}
		case store.OpLink, store.OpMove, store.OpEpochStart:
			op.Loc = store.Loc{Pos: store.Position(start - c.off), Size: uint32(len(g.buf) - start)}
			g.moves = g.moves || op.Kind == store.OpMove
		}
	}
	c.records += uint32(len(b.Ops))
	c.end = len(g.buf)
	c.nextSeq = base + store.Seq(b.Refs())
	g.batches = append(g.batches, b)
	c.batches, c.known = len(g.batches), len(g.known)
	s.pending += int64(len(g.buf) - before)
}

// grow makes room for n more bytes.
func grow(buf []byte, n int) []byte {
	if cap(buf)-len(buf) >= n {
		return buf
	}
	return append(vfs.Buffer(max(len(buf)+n, cap(buf)+cap(buf)/2)), buf...)
}

// closeChunk makes room for the last chunk's trailer.
func (g *group) closeChunk() {
	if n := len(g.chunks); n > 0 {
		g.buf = append(g.buf, zeroHeader[:journal.TrailerSize]...)
		g.chunks[n-1].end = len(g.buf)
	}
}

var zeroHeader [journal.HeaderSize]byte

// take waits for the next group; nil when the store is closing and nothing is left.
func (s *Store) take(timer *time.Timer) *group {
	due := false
	for {
		s.mu.Lock()
		g := s.cur
		if len(g.batches) > 0 && (g.urgent || due || s.closing) {
			s.cur, s.writing = s.freeGroup(), true
			g.closeChunk()
			g.size = len(g.buf) - g.pad
			s.pad = int(s.journal.Offset()+int64(g.size)) & (pageSize - 1) // unless a segment begins in between
			s.mu.Unlock()
			return g
		}
		closing, lazy := s.closing, len(g.batches) > 0
		s.mu.Unlock()
		switch {
		case closing:
			return nil
		case lazy:
			timer.Reset(s.opts.LazyDelay)
			select {
			case <-s.wake:
				timer.Stop()
			case <-timer.C:
				due = true
			}
		default:
			<-s.wake
		}
	}
}

// freeGroup returns an empty group. Called with mu held.
func (s *Store) freeGroup() *group {
	g := &group{}
	if n := len(s.free); n > 0 {
		g = s.free[n-1]
		s.free = s.free[:n-1]
	}
	if n := len(s.buffers); n > 0 {
		g.buf = s.buffers[n-1]
		s.buffers = s.buffers[:n-1]
	}
	return g
}

// recycle takes a group back that nobody uses any more.
func (s *Store) recycle(g *group) {
	buf := g.buf
	g.reset()
	s.mu.Lock()
	if buf != nil {
		s.giveBuffer(buf)
	}
	if len(s.free) < 4 {
		s.free = append(s.free, g)
	}
	s.mu.Unlock()
}
