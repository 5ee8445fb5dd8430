package local

import (
	"errors"
	"slices"

	"treadmq/store"
)

// purgeChunk is how many references one index write deletes for a purge.
const purgeChunk = 10_000

// purges deletes the references that purges hide from the index, chunk by chunk,
// until none is left or a checkpoint is wanted.
func (c *checkpointer) purges() error {
	for len(c.due) > 0 {
		p := c.due[0]
		more, err := c.purgeSome(p)
		if err != nil {
			return err
		}
		if !more {
			c.due = c.due[1:]
		}
		if more && (len(c.store.checkpointNow) > 0 || c.store.stopping()) {
			return nil
		}
	}
	return nil
}

// purgeSome deletes a chunk of what p hides and reports whether there may be more.
func (c *checkpointer) purgeSome(p *purge) (more bool, err error) {
	c.begin()
	left := purgeChunk
	for n := range store.Lane(store.Lanes) {
		l := c.store.tail.laneForRead(p.dest, n)
		if l == nil || left == 0 {
			continue
		}
		if err := c.purgeLane(l, p, &left); err != nil {
			return false, err
		}
	}
	if left > 0 {
		c.batch.DeletePurge(p.dest, p.upto)
	}
	if err := c.commit(c.store.index.State()); err != nil {
		return false, c.recover(err) // if it was written after all, the next round finds nothing left
	}
	c.purged(p, left > 0)
	return left == 0, nil
}

func (c *checkpointer) purgeLane(l *lane, p *purge, left *int) error {
	fix := laneFix{lane: l, low: l.low}
	it := c.store.index.Refs(l.id.Dest, l.id.Lane, l.low, p.upto)
	whole := true
	for *left > 0 && it.Next() {
		e := it.Entry()
		if !p.hides(e.Seq) {
			whole = false
			continue
		}
		if err := c.deleteRef(e); err != nil {
			return errors.Join(err, it.Close())
		}
		c.countEntry(e, -1)
		fix.keys--
		*left--
		if whole {
			fix.low = e.Seq + 1
		}
	}
	if err := it.Close(); err != nil {
		return err
	}
	fix.saved = l.saved
	fix.saved.Keys += fix.keys
	fix.saved.Low = fix.low
	if fix.saved.Keys == 0 && fix.saved.Mark == 0 {
		c.batch.DeleteLane(l.id.Dest, l.id.Lane)
	} else {
		c.batch.PutLane(l.id.Dest, l.id.Lane, fix.saved)
	}
	c.fixes = append(c.fixes, fix)
	return nil
}

// purged notes in the tail what was deleted.
func (c *checkpointer) purged(p *purge, complete bool) {
	t := c.store.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range c.fixes {
		f := &c.fixes[i]
		f.lane.keys += f.keys
		f.lane.low = f.low
		f.lane.saved = f.saved
		t.forgetIfEmpty(f.lane)
	}
	if !complete {
		return
	}
	t.purges[p.dest] = slices.DeleteFunc(t.purges[p.dest], func(q *purge) bool { return q == p })
	if len(t.purges[p.dest]) == 0 {
		delete(t.purges, p.dest)
	}
	t.version++
}

// forgetIfEmpty drops a lane of which nothing is known. Called with mu held.
func (t *tail) forgetIfEmpty(l *lane) {
	if l.act != nil || l.frz != nil || l.keys != 0 || l.mark != 0 {
		return
	}
	delete(t.lanes, l.id)
	if t.last == l {
		t.last = nil
	}
}

// laneForRead is peek for other goroutines than the commit loop.
func (t *tail) laneForRead(d store.DestID, n store.Lane) *lane {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.peek(d, n)
}
