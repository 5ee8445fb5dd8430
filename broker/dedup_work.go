package broker

import (
	"errors"
	"fmt"

	"treadmq/store"
)

// onceSend is a message in a Work whose repeats are recognised.
type onceSend struct {
	m     *Message
	dests []Destination
	op    int // of its Enqueue in Work.sb, -1 = it is not stored
	first int // of its targets, n of them
	n     int
	plan  *plan
	waits bool // it is not in the Work, as it seems to be a repeat of what is on its way
}

// claimed is a claim that a Work has made.
type claimed struct {
	c  *claim
	m  *Message
	op int // of the message
}

// onceWork is what a Work has to do with messages whose repeats are recognised.
type onceWork struct {
	sends   []onceSend
	claims  []claimed
	numbers []numbered // of producers
	stale   []store.Ref
}

// errUnclaimed says that ids could not be looked up or noted: nothing was sent.
var errUnclaimed = errors.New("repeats cannot be recognised")

// fresh returns to which of the destinations the message was not sent before. None: it is a
// repeat, and w says so when it is done. p is its schedule, nil for at once.
//
// While the first one is on its way nothing is decided: it may not be appended yet, and the store may
// refuse it. Then claim decides, which comes after that.
func (w *Work) fresh(dests []Destination, m *Message, p *plan) ([]Destination, error) {
	left, pending, err := w.b.fresh(w.c, dests, m, false)
	switch {
	case err != nil:
		return nil, err
	case !pending:
		w.b.countDuplicates(dests, left)
		return left, nil
	}
	m.dedup.duplicate, m.dedup.first = false, nil
	if len(left) > 0 {
		return dests, nil
	}
	w.once.sends = append(w.once.sends, onceSend{m: m, dests: dests, op: -1, first: len(w.targets), plan: p, waits: true})
	return nil, nil
}

// fresh is for a look before a message is routed, or again while it is claimed. pending: the
// first one is not committed yet.
func (b *Broker) fresh(c *Conn, dests []Destination, m *Message, again bool) (left []Destination, pending bool, err error) {
	d := m.dedup
	if !again {
		if err := CheckDedup(d); err != nil {
			return nil, false, err
		}
	}
	if d.ID == "" {
		return b.freshNumber(c, dests, d)
	}
	x := &b.dedup
	since := d.mark
	if !again {
		x.mu.Lock()
		d.mark = x.recent.made
		x.mu.Unlock()
	}
	var first *claim
	left = dests[:0:0]
	for _, dest := range dests {
		if dest.Kind == Service {
			return nil, false, Errorf(CodeBadRequest, "%s is answered by the broker itself, which remembers no ids; send to it without such an id", dest.Name)
		}
		w, err := b.window(dest)
		if err != nil {
			return nil, false, err
		}
		known, err := b.known(w, d.ID, since, again)
		if err != nil {
			return nil, false, err
		}
		if known == nil {
			left = append(left, dest)
			continue
		}
		first = known
		pending = pending || !b.isCommitted(known)
	}
	if len(left) == 0 {
		d.duplicate, d.first = true, first
	}
	return left, pending, nil
}

func (b *Broker) isCommitted(c *claim) bool {
	b.dedup.mu.Lock()
	defer b.dedup.mu.Unlock()
	return c.committed
}

// noteOnce remembers to claim the ids of a message that was added last, with targets from first on.
func (w *Work) noteOnce(dests []Destination, m *Message, op, first int, p *plan) {
	w.once.sends = append(w.once.sends, onceSend{m: m, dests: dests, op: op, first: first, n: len(w.targets) - first, plan: p})
}

// flushOnce is Flush for a Work with messages whose repeats are recognised.
func (w *Work) flushOnce(k *wakes) {
	order := &w.b.dedup.order
	err := w.lookAgain()
	order.Lock()
	if err == nil {
		err = w.claim()
	}
	claimed := err == nil
	if claimed {
		err = w.submit(k)
	}
	if err != nil {
		w.unclaim(claimed)
	}
	order.Unlock()
	if !claimed && !w.atomic { // else submit did that, or refused will
		w.unblock(k)
		k.flush()
	}
	if err != nil {
		w.refused(err)
	}
}

// lookRounds is how often a Work looks up what may have been claimed and forgotten since it looked last.
const lookRounds = 4

// lookAgain looks up the ids that may have been claimed, and forgotten, since that was done: while a transaction was
// open, or a send waited for room. It comes before dedups.order is taken, which everybody with an id needs, as the disk
// may be slow; claim asks for what little is left.
func (w *Work) lookAgain() error {
	for range lookRounds {
		again := false
		for i := range w.once.sends {
			s := &w.once.sends[i]
			if len(s.dests) == 0 || !w.b.outdated(s.m.dedup) {
				continue
			}
			again = true
			left, pending, err := w.b.fresh(w.c, s.dests, s.m, false)
			switch {
			case err != nil:
			case pending: // claim decides
				s.m.dedup.duplicate, s.m.dedup.first = false, nil
			case len(left) < len(s.dests):
				err = w.leaveOut(s, left, false)
				s.dests = left
			}
			if err != nil {
				return fmt.Errorf("%w: %w", errUnclaimed, err)
			}
		}
		if !again {
			break
		}
	}
	return nil
}

// outdated reports whether an id may have been claimed and forgotten since it was looked up.
func (b *Broker) outdated(d *Dedup) bool {
	b.dedup.mu.Lock()
	defer b.dedup.mu.Unlock()
	return d.ID != "" && b.dedup.recent.forgotten > d.mark
}

// claim claims the ids of all messages and leaves out those that others have claimed. dedups.order is held.
func (w *Work) claim() error {
	o := &w.once
	for _, s := range o.sends {
		if len(s.dests) == 0 {
			continue // lookAgain left it out
		}
		left, pending, err := w.b.fresh(w.c, s.dests, s.m, true)
		if err == nil && (s.waits || len(left) < len(s.dests)) {
			err = w.leaveOut(&s, left, pending)
		}
		if err == nil && len(left) > 0 {
			err = w.take(&s, left)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errUnclaimed, err)
		}
	}
	w.writeNumbers()
	return nil
}

// leaveOut takes a message out of the Work again, and adds it for the destinations that are left.
func (w *Work) leaveOut(s *onceSend, left []Destination, pending bool) error {
	w.b.countDuplicates(s.dests, left)
	for i := s.first; i < s.first+s.n; i++ {
		if t := &w.targets[i]; t.q != nil {
			t.q.unreserve(t.size())
			t.q.resumeParked()
		}
		w.targets[i] = target{}
	}
	if s.op >= 0 {
		w.sb.Ops[s.op] = store.Op{Kind: store.OpRemove} // nothing
	} else if pending {
		w.sb.Remove(store.Ref{}, store.Loc{})
	}
	if len(left) == 0 {
		return nil
	}
	again := onceSend{m: s.m, dests: left, first: len(w.targets), op: -1, plan: s.plan}
	if s.plan != nil {
		p := *s.plan
		p.dests = left
		again.op = w.putPlan(s.m, &p)
	} else {
		routes, err := w.b.route(w.c, w.c, nil, left, s.m, limitsOff)
		if err != nil {
			return err
		}
		again.op = w.put(routes, s.m)
		again.n = len(w.targets) - again.first
	}
	*s = again
	return nil
}

// take claims the ids of one message.
func (w *Work) take(s *onceSend, dests []Destination) error {
	d := s.m.dedup
	if d.ID == "" {
		return w.takeNumber(s)
	}
	b, x := w.b, &w.b.dedup
	now := b.now().UnixMilli()
	for _, dest := range dests {
		win, err := b.window(dest)
		if err != nil {
			return err
		}
		c := &claim{w: win, key: d.ID, at: now, id: s.m.id, committed: s.op < 0 && !w.atomic, volatile: s.op < 0}
		if !c.volatile {
			if err := b.storeWindow(win); err != nil {
				return err
			}
			w.enqueueEntry(store.Message{DedupKey: d.ID}, win.id, s, now, nil)
		}
		x.mu.Lock()
		if c.volatile {
			x.volatile.add(c)
		} else {
			x.recent.add(c)
			win.count++
		}
		x.mu.Unlock()
		w.once.claims = append(w.once.claims, claimed{c, s.m, s.op})
	}
	return nil
}

// enqueueEntry adds the reference that remembers a message.
func (w *Work) enqueueEntry(e store.Message, id store.DestID, s *onceSend, now int64, rest []byte) (first int) {
	e.Encoded, e.ID = entryBody, s.m.id
	back := uint64(0)
	if e.ID == 0 { // then it will be the number of the message's first reference
		back = uint64(w.sb.Refs() - w.sb.Ops[s.op].First)
	}
	info := appendEntryInfo(make([]byte, 0, 24+len(rest)), now, back)
	return w.sb.Enqueue(e, store.NewRef{Dest: id, Overlay: append(info, rest...)})
}

// unclaim gives back what was claimed: the store did not take the batch. published: what is only in memory was taken
// all the same, and stays claimed. dedups.order is held.
func (w *Work) unclaim(published bool) {
	o, x := &w.once, &w.b.dedup
	w.sb.Ops = w.sb.Ops[:w.asked]
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range o.claims {
		if c := o.claims[i].c; !published || !c.committed {
			x.undo(c)
		}
	}
	x.undoNumbers(o, published)
	o.claims, o.numbers, o.stale = nil, nil, nil
}

// undo forgets a claim that came to nothing. mu is held.
func (x *dedups) undo(c *claim) {
	c.gone = true
	x.recent.remove(c)
	x.volatile.remove(c)
	if !c.volatile {
		c.w.count--
	}
}

// settleClaims notes what became of the claims: the batch is committed, or never will be.
func (w *Work) settleClaims(err error) {
	o, b, x := &w.once, w.b, &w.b.dedup
	if len(o.sends) == 0 {
		return
	}
	for i := range o.sends {
		o.sends[i].m.dedup = nil // what is kept of the message need not hold it
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, k := range o.claims {
		switch {
		case k.c.committed: // in memory, at once
		case err != nil:
			x.undo(k.c)
		default:
			k.c.committed, k.c.id = true, w.idOf(k.m, k.op)
			if k.c.w.count > k.c.w.policy.Count {
				b.evictLater(k.c.w)
			}
		}
	}
	w.settleNumbers(err)
}

// idOf is the id of a message that is committed.
func (w *Work) idOf(m *Message, op int) uint64 {
	if m.id != 0 || op < 0 {
		return m.id
	}
	return uint64(w.sb.Seq(w.sb.Ops[op].First))
}

// countDuplicates counts what destinations were spared: those that are not left, in the same order.
func (b *Broker) countDuplicates(dests, left []Destination) {
	if len(left) == len(dests) {
		return
	}
	b.destMu.RLock()
	defer b.destMu.RUnlock()
	for _, d := range dests {
		if len(left) > 0 && left[0] == d {
			left = left[1:]
		} else if q := b.queues[d]; q != nil {
			q.duplicates.Add(1)
		} else if t := b.topics[d]; t != nil {
			t.duplicates.Add(1)
		}
	}
}
