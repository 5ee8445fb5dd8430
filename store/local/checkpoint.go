package local

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"treadmq/store"
	"treadmq/store/index"
)

// checkpointer writes frozen generations to the index and keeps the live counts
// of segments. One goroutine at a time uses it.
type checkpointer struct {
	store *Store
	batch index.Batch

	mu   sync.Mutex                    // guards live, which others read
	live map[store.Position]index.Live // by first position of the segment, as the index has it

	dirty map[store.Position]bool // segments whose count changed in this batch
	first []store.Position        // segments in order, during a write
	fixes []laneFix
	due   []*purge // noted in the index, references not yet deleted
}

// laneFix is what a written generation changed in a lane beside what is known at commit.
type laneFix struct {
	lane  *lane
	count store.Count // to add: removals that found nothing, or another size
	keys  int64       // to add
	low   store.Seq
	saved index.Lane
}

// freeze makes the present generation the frozen one. It returns nil when nothing
// happened since the last time. A generation that could not be written stays frozen.
func (t *tail) freeze(encodeEpochs func() []byte, force bool) *generation {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.frz != nil {
		return t.frz
	}
	if t.pos == t.frozenAt && !force {
		return nil
	}
	g := t.act
	for _, l := range g.lanes {
		l.frz, l.act = l.act, nil
		l.frz.count, l.frz.mark = l.count, l.mark
	}
	g.state = index.State{Applied: t.pos, Chain: t.chain, NextSeq: t.nextSeq, Epochs: encodeEpochs()}
	t.frz, t.act = g, newGeneration()
	t.frozenAt = t.pos
	return g
}

// run writes what is committed to the index. Nothing to do is no error.
func (c *checkpointer) run() error { return c.runIf(false) }

// flush is run, also in the middle of a batch.
func (c *checkpointer) flush() error { return c.runIf(true) }

func (c *checkpointer) runIf(force bool) error {
	s := c.store
	g := s.tail.freeze(s.encodeEpochs, force)
	if g == nil {
		return nil
	}
	before := s.index.State().Number
	if err := c.write(g); err != nil {
		err = c.recover(err)
		if !errors.Is(err, errRetry) || s.index.State().Number == before {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	c.thaw(g)
	s.checkpoints.Add(1)
	return nil
}

// errRetry says that a write of the index failed for want of space and may be
// tried again later: nothing is lost, the journal has it all.
var errRetry = errors.New("no space for the index")

// recover makes the index usable again after a failed write if it only lacked
// space, and returns why it was.
func (c *checkpointer) recover(cause error) error {
	if !errors.Is(cause, syscall.ENOSPC) || errors.Is(cause, index.ErrSync) {
		return cause
	}
	c.store.giveReserve()
	if err := c.store.index.Reopen(); err != nil {
		return errors.Join(cause, err)
	}
	if err := c.reload(); err != nil {
		return errors.Join(cause, err)
	}
	return fmt.Errorf("%w: %w", errRetry, cause)
}

// reload reads the live counts again: after a write that failed, and at the start.
func (c *checkpointer) reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.live)
	return c.store.index.Segments(func(first store.Position, n index.Live) error {
		c.live[first] = n
		return nil
	})
}

func (c *checkpointer) write(g *generation) error {
	c.begin()
	for _, l := range g.lanes {
		if err := c.lane(l); err != nil {
			return err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(g.catalog)) {
		if v := g.catalog[k]; v != nil {
			c.batch.PutCatalog(k, v)
		} else {
			c.batch.DeleteCatalog(k)
		}
	}
	for _, p := range g.purges {
		c.batch.PutPurge(p.dest, p.upto, p.keep)
	}
	return c.commit(g.state)
}

// begin starts an index write.
func (c *checkpointer) begin() {
	c.batch.Reset()
	clear(c.dirty)
	c.fixes = c.fixes[:0]
	c.first = c.first[:0]
	for _, seg := range c.store.journal.Segments() {
		c.first = append(c.first, seg.First)
	}
}

// commit writes the batch with the live counts that changed.
func (c *checkpointer) commit(state index.State) error {
	for first := range c.dirty {
		if n := c.liveIn(first); n.Refs != 0 {
			c.batch.PutSegment(first, n)
		} else {
			c.batch.DeleteSegment(first)
		}
	}
	return c.store.index.Write(&c.batch, state)
}

// count adds live references and bytes to the segment that holds a position.
func (c *checkpointer) count(at store.Position, refs, bytes int64) {
	i, ok := slices.BinarySearch(c.first, at)
	if !ok {
		i--
	}
	if i < 0 {
		return
	}
	first := c.first[i]
	n := c.liveIn(first)
	c.setLive(first, &index.Live{Refs: n.Refs + refs, Bytes: n.Bytes + bytes})
	c.dirty[first] = true
}

// liveIn returns what is alive in a segment.
func (c *checkpointer) liveIn(first store.Position) index.Live {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live[first]
}

// setLive changes it; nil forgets the segment.
func (c *checkpointer) setLive(first store.Position, n *index.Live) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == nil {
		delete(c.live, first)
	} else {
		c.live[first] = *n
	}
}

func (t *tail) applied() store.Position {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.appliedAt
}

// countEntry counts a reference in (sign 1) or out (sign -1) of its segments.
func (c *checkpointer) countEntry(e *index.Entry, sign int64) {
	c.count(e.Pos, sign, sign*int64(e.Share))
	if e.RefPos != 0 {
		c.count(e.RefPos, sign, sign*int64(e.Own))
	}
}

// lane adds what the generation did to one lane.
func (c *checkpointer) lane(l *lane) error {
	g := l.frz
	fix := laneFix{lane: l, low: l.low}
	if err := c.changes(l, &fix); err != nil {
		return err
	}
	for i := g.head; i < len(g.entries); i++ {
		e := &g.entries[i]
		if e.bits&entryDead != 0 {
			continue
		}
		if l.keys+fix.keys == 0 {
			fix.low = e.seq
		}
		fix.keys++
		x := g.toIndex(l.id, e)
		c.batch.PutRef(&x)
		if x.Key != "" {
			c.batch.PutKey(&x)
		}
		c.countEntry(&x, 1)
	}
	n := index.Lane{Count: g.count, Keys: l.keys + fix.keys, Mark: g.mark, Low: fix.low}
	n.Count.Refs += fix.count.Refs
	n.Count.Bytes += fix.count.Bytes
	if n.Keys == 0 && n.Mark == 0 {
		c.batch.DeleteLane(l.id.Dest, l.id.Lane)
	} else {
		c.batch.PutLane(l.id.Dest, l.id.Lane, n)
	}
	fix.saved = n
	c.fixes = append(c.fixes, fix)
	return nil
}

// seekGap is how far apart changed references may lie, in steps of a walk, before
// it is cheaper to seek.
const seekGap = 16

// changes walks over the references of a lane that changed and are in the index.
func (c *checkpointer) changes(l *lane, fix *laneFix) error {
	g := l.frz
	if len(g.changes) == 0 {
		return nil
	}
	seqs := slices.Sorted(maps.Keys(g.changes))
	it := c.store.index.Refs(l.id.Dest, l.id.Lane, l.low, seqs[len(seqs)-1])
	whole := true // everything seen from the low water on was removed
	have := it.Next()
	for _, seq := range seqs {
		for n := 0; have && it.Entry().Seq < seq; n++ {
			whole = false
			if n < seekGap {
				have = it.Next()
			} else {
				have = it.Seek(seq)
			}
		}
		ch := g.changes[seq]
		if !have || it.Entry().Seq != seq {
			if ch.bits&(changeRemoved|changeCounted) == changeRemoved { // it was not there: give back what commit took off
				fix.count.Refs++
				fix.count.Bytes += int64(ch.size)
			}
			continue
		}
		e := it.Entry()
		if ch.bits&changeRemoved != 0 {
			if err := c.deleteRef(e); err != nil {
				return errors.Join(err, it.Close())
			}
			c.countEntry(e, -1)
			fix.keys--
			if ch.bits&changeCounted == 0 {
				fix.count.Bytes += int64(ch.size) - int64(e.Size)
			}
		} else {
			whole = false
			c.countEntry(e, -1)
			c.batch.Unlink(e)
			ch.applyTo(e)
			c.countEntry(e, 1)
			c.batch.PutRef(e)
		}
		if whole {
			fix.low = seq + 1
		}
		have = it.Next()
	}
	return it.Close()
}

// thaw drops a generation that is now in the index.
func (c *checkpointer) thaw(g *generation) {
	t := c.store.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range c.fixes {
		f := &c.fixes[i]
		l := f.lane
		if !l.recounted {
			l.count.Refs += f.count.Refs
			l.count.Bytes += f.count.Bytes
		}
		l.recounted = false
		l.keys += f.keys
		l.low = f.low
		l.saved = f.saved
		t.retire(l, l.frz)
		l.frz = nil
		t.forgetIfEmpty(l)
	}
	c.due = append(c.due, g.purges...)
	t.frz = nil
	t.appliedAt = g.state.Applied
	t.indexSeq = g.state.NextSeq
	t.version++
	c.store.thawed.Broadcast()
}

// checkpointLoop writes checkpoints at intervals and when asked, deletes purged
// references and dead segments, and watches the disk.
func (s *Store) checkpointLoop() {
	tick := time.NewTicker(s.opts.CheckpointInterval)
	defer tick.Stop()
	for {
		var reply chan error
		select {
		case <-s.stop:
			return
		case <-tick.C:
		case <-s.checkpointNow:
		case reply = <-s.checkpointAsk:
		case f := <-s.between:
			f()
			continue
		}
		err := s.housekeep()
		if reply != nil {
			reply <- err
		}
	}
}

// housekeep is one round of the checkpoint loop.
func (s *Store) housekeep() error {
	if err := s.failed(); err != nil {
		return err
	}
	s.watchDisk()
	err := s.check.run()
	if err == nil {
		err = s.check.purges()
	}
	if err == nil {
		err = s.check.reclaim()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errRetry):
		s.log.Warn("the index cannot be written now", "dir", s.opts.Dir, "err", err)
		return err
	}
	return s.fail(s.damaged(err))
}

// Checkpoint implements store.Store.
func (s *Store) Checkpoint() error {
	reply := make(chan error, 1)
	select {
	case s.checkpointAsk <- reply:
		return <-reply
	case <-s.stop:
		return store.ErrClosed
	}
}
