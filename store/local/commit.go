package local

import (
	"fmt"
	"sync"

	"treadmq/store"
	"treadmq/store/journal"
)

// groupQueue hands groups from the sync loop to the commit loop, in order.
type groupQueue struct {
	mu     sync.Mutex // guards everything below
	cond   sync.Cond
	groups []*group
	bytes  int64 // of the groups that are pushed and not done
	closed bool
}

// push adds a group, and first waits while more than limit bytes are not done.
func (q *groupQueue) push(g *group, n, limit int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.bytes > limit {
		q.cond.Wait()
	}
	q.groups = append(q.groups, g)
	q.bytes += n
	q.cond.Broadcast()
}

// pop waits for the next group; nil when the queue is closed and empty.
func (q *groupQueue) pop() *group {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.groups) == 0 && !q.closed {
		q.cond.Wait()
	}
	if len(q.groups) == 0 {
		return nil
	}
	g := q.groups[0]
	q.groups = q.groups[:copy(q.groups, q.groups[1:])]
	return g
}

func (q *groupQueue) done(n int64) {
	q.mu.Lock()
	q.bytes -= n
	q.cond.Broadcast()
	q.mu.Unlock()
}

func (q *groupQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.cond.Broadcast()
	q.mu.Unlock()
}

// commitLoop applies groups when they are committed and calls Done of their batches.
func (s *Store) commitLoop() {
	defer s.wg.Done()
	defer close(s.committed)
	for {
		g := s.commits.pop()
		if g == nil {
			return
		}
		s.commit(g)
		s.commits.done(int64(g.size))
		s.recycle(g)
	}
}

func (s *Store) commit(g *group) {
	if g.ok > 0 {
		if err := s.gateAndApply(g); err != nil {
			g.err, g.ok = s.fail(err), 0
		}
	}
	n := 0
	if g.ok > 0 {
		n = g.chunks[g.ok-1].batches
	}
	for i, b := range g.batches {
		done := b.Done
		if done == nil {
			continue
		}
		if i < n {
			done(b, nil)
		} else {
			done(b, g.err)
		}
	}
	if s.opts.OnGroup != nil {
		s.opts.OnGroup()
	}
}

func (s *Store) gateAndApply(g *group) error {
	if err := s.failed(); err != nil {
		return err
	}
	if s.opts.Gate != nil {
		if err := s.opts.Gate.Wait(g.end); err != nil {
			return fmt.Errorf("commit up to %d: %w", g.end, err)
		}
	}
	if err := s.applyBehind(); err != nil {
		return err
	}
	t := s.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	from := 0
	for i := range g.chunks[:g.ok] {
		c := &g.chunks[i]
		for _, b := range g.batches[from:c.batches] {
			if err := s.applyBatch(g, c, b); err != nil {
				return err
			}
		}
		from = c.batches
		t.nextSeq = max(t.nextSeq, c.nextSeq)
	}
	t.pos, t.chain = g.end, g.chain
	s.limitTail()
	return nil
}

// applyBehind applies what was in the journal before this epoch began: it is
// committed with the epoch's start.
func (s *Store) applyBehind() error {
	if s.behind == 0 {
		return nil
	}
	var buf []byte
	var rec journal.Record
	if err := s.applyJournal(s.behind, &buf, &rec); err != nil {
		return err
	}
	s.behind = 0
	return nil
}

// limitTail asks for a checkpoint when the tail is long, and waits for it when it
// is twice as long. Called with tail.mu held.
func (s *Store) limitTail() {
	t := s.tail
	if int64(t.pos-t.frozenAt) <= s.opts.TailLimit {
		return
	}
	signal(s.checkpointNow)
	for int64(t.pos-t.frozenAt) > 2*s.opts.TailLimit && s.failed() == nil {
		signal(s.checkpointNow)
		s.thawed.Wait()
	}
}

func (s *Store) applyBatch(g *group, c *chunk, b *store.Batch) error {
	t := s.applier
	for i := range b.Ops {
		op := &b.Ops[i]
		var err error
		switch op.Kind {
		case store.OpEnqueue:
			op.Loc.Pos += c.pos
			t.enqueue(&op.Message, op.Refs, b.Seq(op.First), placed{body: op.Loc, crc: op.N, length: uint32(op.Until)})
		case store.OpRemove:
			err = t.remove(op.Ref, op.Loc.Size)
		case store.OpAttempts:
			t.attempts(op.Ref, op.N)
		case store.OpMark:
			t.setMark(op.Ref)
		case store.OpLink:
			err = t.link(op.Ref, op.ID, nil, op.Refs, b.Seq(op.First), placed{pos: c.pos + op.Loc.Pos, length: op.Loc.Size})
		case store.OpPurge:
			err = t.purge(op.Ref.Dest, op.Ref.Seq, op.Keep)
		case store.OpDrop:
			err = t.drop(op.Ref.Dest, op.Ref.Seq)
		case store.OpPut:
			t.put(string(op.Key), append([]byte{}, op.Value...))
		case store.OpDelete:
			t.delete(string(op.Key))
		case store.OpMove:
			err = s.applyRecord(g, c, op)
		case store.OpEpochStart:
			t.epochs = t.epochs.Add(c.begins, c.pos)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// applyRecord applies an operation that only its record describes.
func (s *Store) applyRecord(g *group, c *chunk, op *store.Op) error {
	var rec journal.Record
	b := g.buf[c.off+int(op.Loc.Pos):]
	if _, err := journal.Decode(&rec, b[:op.Loc.Size], c.pos+op.Loc.Pos, c.base); err != nil {
		return err
	}
	return s.applier.record(&rec)
}
