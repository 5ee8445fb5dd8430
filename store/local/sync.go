package local

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"treadmq/store"
	"treadmq/store/journal"
)

// syncLoop writes and syncs one group after the other and hands them to the
// commit loop. It alone writes to the journal.
func (s *Store) syncLoop() {
	defer s.wg.Done()
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		g := s.take(timer)
		if g == nil {
			s.commits.close()
			return
		}
		s.writeGroup(g)
		s.mu.Lock()
		s.writing = false
		s.pending -= int64(g.size - len(g.chunks)*(journal.HeaderSize+journal.TrailerSize))
		if !g.moves {
			s.giveBuffer(g.buf)
			g.buf = nil
		}
		s.room.Broadcast()
		s.mu.Unlock()
		s.commits.push(g, int64(g.size), s.opts.MaxLag)
	}
}

// writeGroup writes and syncs the chunks of a group. What could not be is left in
// g.ok and g.err.
func (s *Store) writeGroup(g *group) {
	if g.err = s.failed(); g.err != nil {
		return
	}
	from, known := 0, 0 // first chunk that is sealed and not written; first known message of the next to be sealed
	sealed := func(to int) []byte {
		if from == to {
			return nil
		}
		p := g.buf[g.chunks[from].off:g.chunks[to-1].end]
		from = to
		return p
	}
	for i := range g.chunks {
		c := &g.chunks[i]
		if c.begins != 0 {
			s.epoch.Store(uint64(c.begins))
		}
		if !s.journal.Fits(c.end - c.off) {
			if err := s.journal.Write(sealed(i)); err != nil {
				g.err, g.ok = s.fail(err), 0
				return
			}
			if g.err = s.makeRoom(c); g.err != nil {
				break
			}
		}
		c.pos = s.journal.Seal(g.buf[c.off:c.end:c.end], journal.Header{Records: c.records, Epoch: s.Epoch(), Base: c.base},
			g.known[known:c.known]...)
		known = c.known
		c.chain = s.journal.Chain()
		s.shadowChunk(g, i)
		g.ok = i + 1
	}
	if err := s.writeSync(sealed(g.ok)); err != nil {
		g.err, g.ok = err, 0
	}
	if g.ok > 0 {
		c := &g.chunks[g.ok-1]
		g.end, g.chain = c.pos+store.Position(c.end-c.off), c.chain
	}
	if g.err != nil && !errors.Is(g.err, store.ErrFull) {
		g.err = s.fail(g.err)
	}
}

// makeRoom makes room for a chunk: a new segment. The first batch of an epoch goes
// into the present one in any case, so that nothing of the epoch comes before it.
func (s *Store) makeRoom(c *chunk) error {
	n := c.end - c.off
	if c.begins != 0 && s.journal.Begun() {
		return s.withReserve(func() error { return s.journal.Extend(n) })
	}
	return s.withReserve(func() error { return s.journal.Roll(s.Epoch(), s.shadow, n) })
}

// withReserve does what needs room. Without room it gives the reserve up and tries once more.
func (s *Store) withReserve(do func() error) error {
	err := do()
	if errors.Is(err, syscall.ENOSPC) {
		if s.giveReserve() {
			err = do()
		}
		if errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("%w: %w", s.fullError(), err)
		}
	}
	return err
}

// writeSync writes the rest of a group and brings the journal to stable storage. With a gate these are two steps:
// the other members read what is written while it is synced here.
func (s *Store) writeSync(p []byte) error {
	if s.opts.Gate == nil {
		return s.measure(func() error { return s.journal.WriteSync(p) })
	}
	if err := s.journal.Write(p); err != nil {
		return err
	}
	s.opts.Gate.Written(s.Epoch(), s.journal.End())
	return s.sync()
}

// sync brings the journal to stable storage and tells the gate.
func (s *Store) sync() error {
	if err := s.measure(s.journal.Sync); err != nil {
		return err
	}
	if s.opts.Gate != nil {
		s.opts.Gate.Synced(s.Epoch(), s.journal.Synced())
	}
	return nil
}

// measure notes how long a sync took, in which the write may be included.
func (s *Store) measure(sync func() error) error {
	start := time.Now()
	if err := sync(); err != nil {
		return err
	}
	d := time.Since(start)
	s.syncs.Add(1)
	s.syncNanos.Add(uint64(d))
	if uint64(d) > s.maxSync.Load() {
		s.maxSync.Store(uint64(d))
	}
	if d > s.opts.SlowSync {
		s.log.Warn("slow sync of the journal", "took", d, "dir", s.opts.Dir)
	}
	return nil
}

// shadowChunk keeps the metadata that the next segment opens with.
func (s *Store) shadowChunk(g *group, i int) {
	c := &g.chunks[i]
	s.shadow.NextSeq = max(s.shadow.NextSeq, c.nextSeq)
	if !c.special {
		return
	}
	from := 0
	if i > 0 {
		from = g.chunks[i-1].batches
	}
	for _, b := range g.batches[from:c.batches] {
		for j := range b.Ops {
			s.shadowOp(&b.Ops[j], c)
		}
	}
}

func (s *Store) shadowOp(op *store.Op, c *chunk) {
	switch op.Kind {
	case store.OpPut:
		s.shadow.Catalog[string(op.Key)] = append([]byte{}, op.Value...)
	case store.OpDelete:
		delete(s.shadow.Catalog, string(op.Key))
	case store.OpMark:
		s.shadow.Mark(op.Ref)
	case store.OpDrop:
		s.shadow.Drop(op.Ref.Dest)
	case store.OpEpochStart:
		s.shadow.Epochs = s.shadow.Epochs.Add(c.begins, c.pos)
	}
}
