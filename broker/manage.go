package broker

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"treadmq/store"
)

// clearDeleted marks a queue as deleted and forgets what it holds in memory.
func (q *queue) clearDeleted() {
	q.deleted.Store(true)
	defer q.resumeParked() // they find the name gone, or make the queue anew
	q.mu.Lock()
	defer q.mu.Unlock()
	for src := range sources {
		for l := range store.Lanes {
			for _, e := range q.lanes[src][l].ready.reset() {
				q.release(e)
			}
		}
	}
	q.dropIndex()
	q.clearTimed()
	if q.b.temp != nil {
		sb := &store.Batch{Lazy: true, Done: func(*store.Batch, error) {}}
		sb.Drop(q.id)
		if err := q.b.temp.Append(sb); err != nil {
			q.b.log.Warn("the temporary store keeps a deleted queue's messages", "dest", q.dest.String(), "err", err)
		}
	}
}

// clearTimed forgets the delayed entries. Their timers find nothing. q.mu is held.
func (q *queue) clearTimed() {
	for _, e := range q.timed {
		q.release(e)
		if e.grp != nil {
			e.grp.delayed--
		}
		delete(q.out, e.seq)
	}
	clear(q.timed)
	q.delayed, q.held = 0, 0
}

// CreateQueue makes a queue if there is none.
func (b *Broker) CreateQueue(name string) error {
	if strings.Contains(name, ",") {
		return Errorf(CodeBadDestination, "the queue's name %q has a comma, which separates names", name)
	}
	d := Destination{Queue, name}
	if err := b.MayName(d); err != nil {
		return err
	}
	_, err := b.queueFor(d, nil)
	return err
}

func (b *Broker) existing(d Destination) (*queue, error) {
	b.destMu.RLock()
	q := b.queues[d]
	b.destMu.RUnlock()
	if q == nil {
		return nil, Errorf(CodeNoDestination, "there is no %s %q", d.Kind, d.Name)
	}
	return q, nil
}

// Purge removes every message of a queue that no consumer holds and returns how
// many. done is called when that is on disk.
func (b *Broker) Purge(d Destination, done func(error)) (int64, error) {
	q, err := b.existing(d)
	if err != nil {
		return 0, err
	}
	q.mu.Lock()
	e := q.empty()
	q.mu.Unlock()
	q.purgeSpilled(&e)
	if !q.durable {
		done(nil)
	} else {
		sb := &store.Batch{Done: func(_ *store.Batch, err error) { done(err) }}
		sb.Purge(q.id, e.upto[durable], e.kept[durable])
		if err := b.store.Append(sb); err != nil {
			return 0, b.storeError(err)
		}
	}
	q.resumeParked()
	return e.n, nil
}

// emptied is what a purge took off a queue: everything with sequence numbers up to upto but kept.
type emptied struct {
	n        int64
	upto     [sources]store.Seq
	kept     [sources][]store.Seq  // consumers hold them; in order
	volatile [store.Lanes][]*entry // in no store; in order
}

func keptSet(kept [][]store.Seq) map[store.Seq]bool {
	set := map[store.Seq]bool{}
	for _, list := range kept {
		for _, s := range list {
			set[s] = true
		}
	}
	return set
}

// empty takes everything off the queue but for what consumers hold. The stores have it until somebody removes it
// there; the queue looks no longer at it. q.mu is held.
func (q *queue) empty() (x emptied) {
	for _, s := range q.subs {
		s.c.mu.Lock()
		for i := s.head; i < len(s.slots); i++ {
			if sl := &s.slots[i]; sl.state != slotFree && sl.q == q && sl.e != nil {
				x.kept[sl.e.src] = append(x.kept[sl.e.src], sl.e.seq)
			}
		}
		s.c.mu.Unlock()
	}
	q.purges++
	x.n = q.depth.Load() - q.inflight
	x.volatile = q.volatileEntries()
	for src := range sources {
		slices.Sort(x.kept[src])
		for l := range store.Lanes {
			ln := &q.lanes[src][l]
			for _, e := range ln.ready.reset() {
				q.release(e)
				delete(q.out, e.seq)
			}
			if ln.paged {
				if ln.pagedAfter = ln.maxSeq; ln.index != nil {
					ln.index.trim(ln.pagedAfter)
				}
			}
			x.upto[src] = max(x.upto[src], ln.maxSeq)
		}
	}
	q.clearTimed()
	q.purgeGroups()
	if q.last != nil {
		q.last.purged(keptSet(x.kept[:]))
	}
	q.depth.Store(q.inflight)
	q.bytes.Store(q.heldBytes)
	q.stats.dropped += uint64(max(x.n, 0))
	return x
}

// volatileEntries are messages that no consumer holds and no store has. q.mu is held.
func (q *queue) volatileEntries() (lists [store.Lanes][]*entry) {
	add := func(e *entry) {
		if !e.stored && e.msg != nil {
			lists[e.lane] = append(lists[e.lane], e)
		}
	}
	for l := range store.Lanes {
		for _, e := range q.lanes[transient][l].ready.all() {
			add(e)
		}
	}
	for _, e := range q.timed {
		add(e)
	}
	for _, list := range lists {
		slices.SortFunc(list, func(a, b *entry) int { return cmp.Compare(a.seq, b.seq) })
	}
	return lists
}

// purgeSpilled removes what a purge hid in the temporary store.
func (q *queue) purgeSpilled(e *emptied) {
	if q.b.temp == nil || e.upto[transient] == 0 {
		return
	}
	tb := &store.Batch{Lazy: true, Done: func(*store.Batch, error) {}}
	tb.Purge(q.id, e.upto[transient], e.kept[transient])
	if err := q.b.temp.Append(tb); err != nil {
		q.b.log.Warn("the temporary store keeps purged messages", "dest", q.dest.String(), "err", err)
	}
}

// DeleteQueue removes a queue with its messages. Unless force is set it is refused
// while somebody is subscribed; with force the subscriptions stay without a
// source. done is called when it is on disk.
func (b *Broker) DeleteQueue(d Destination, force bool, done func(error)) error {
	if d.Kind != Queue {
		return Errorf(CodeBadRequest, "a %s is deleted in another way", d.Kind)
	}
	return b.deletePatiently(d, force, nil, done)
}

func (b *Broker) deletePatiently(d Destination, force bool, bin *trashItem, done func(error)) error {
	mayDelete := func(q *queue) error {
		if len(q.subs) > 0 && !force {
			return Errorf(CodeInUse, "the %s %q has %d consumers; end them first or use force", d.Kind, d.Name, len(q.subs))
		}
		return nil
	}
	err := b.deleteQueue(d, mayDelete, bin, done)
	for tries := 0; err == errSending && tries < 200; tries++ {
		time.Sleep(10 * time.Millisecond) // senders hold a reservation for one commit
		err = b.deleteQueue(d, mayDelete, bin, done)
	}
	return err
}

var errSending error = Errorf(CodeInUse, "somebody is sending to the queue at this moment; try again")

// deleteQueue deletes a queue if mayDelete, called with q.mu held, has nothing
// against it. Its messages go to bin unless that is nil.
func (b *Broker) deleteQueue(d Destination, mayDelete func(*queue) error, bin *trashItem, done func(error)) error {
	subs, q, err := b.unlist(d, mayDelete, bin, done)
	if err != nil {
		return err
	}
	if bin != nil {
		w := trashWriter{b: b, item: bin}
		if err := w.finish(q, q.remains()); err != nil {
			b.log.Warn("non-persistent messages of a deleted queue are lost, the trash did not take them", "dest", d.Name, "err", err)
		}
	}
	q.clearDeleted()
	for _, s := range subs {
		s.lost(q)
	}
	b.log.Info(d.Kind.String()+" deleted", "dest", d.Name)
	b.adviseDestination(d, "deleted")
	return nil
}

// unlist takes a queue off the registry and the catalog. The name may be used
// again at once: that comes later in the journal.
func (b *Broker) unlist(d Destination, mayDelete func(*queue) error, bin *trashItem, done func(error)) ([]*Subscription, *queue, error) {
	b.destMu.Lock()
	defer b.destMu.Unlock()
	q := b.queues[d]
	if q == nil {
		return nil, nil, Errorf(CodeNoDestination, "there is no %s %q", d.Kind, d.Name)
	}
	subs, err := q.condemn(mayDelete)
	if err != nil {
		return nil, nil, err
	}
	delete(b.queues, d)
	delete(b.byID, q.id)
	b.disconnectFeeds(q)
	sb := &store.Batch{Done: func(_ *store.Batch, err error) { done(err) }}
	sb.Delete(catalogKey(d))
	sb.Delete(pausedKey(d))
	if bin == nil {
		sb.Drop(q.id)
	} else {
		bin.id = q.id // nothing moves: only the catalog no longer calls it a queue
		sb.Put(bin.key(), bin.value())
		b.listTrash(bin)
	}
	if err := b.store.Append(sb); err != nil {
		b.later(func() { done(b.storeError(err)) })
	}
	return subs, q, nil
}

// remains is what a deleted queue has that is not in the store.
func (q *queue) remains() *emptied {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := emptied{volatile: q.volatileEntries()}
	e.upto[transient] = ^store.Seq(0)
	return &e
}

// condemn marks a queue as deleted and takes its consumers.
func (q *queue) condemn(mayDelete func(*queue) error) ([]*Subscription, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := mayDelete(q); err != nil {
		return nil, err
	}
	q.deleted.Store(true)
	if q.reserved.Load() > 0 {
		q.deleted.Store(false)
		return nil, errSending
	}
	subs := q.subs
	q.subs, q.scans = nil, nil
	return subs, nil
}

// lost takes a deleted queue and what it had in flight from a subscription, and
// lets its other queues have the credit.
func (s *Subscription) lost(q *queue) {
	s.c.mu.Lock()
	s.queues = slices.DeleteFunc(s.queues, func(x *queue) bool { return x == q })
	for i := s.head; i < len(s.slots); i++ {
		if sl := &s.slots[i]; sl.state == slotOut && sl.q == q {
			q.release(sl.e)
			s.credit++
			s.creditBytes += int64(sl.size)
			s.free(sl)
		}
	}
	s.trim()
	s.c.mu.Unlock()
	s.pump()
}

// DeleteTopic forgets a topic that nobody is subscribed to.
func (b *Broker) DeleteTopic(d Destination) error {
	b.destMu.Lock()
	defer b.destMu.Unlock()
	t := b.topics[d]
	switch {
	case t == nil:
		return Errorf(CodeNoDestination, "there is no %s %q", d.Kind, d.Name)
	case t.owner != nil:
		return Errorf(CodeBadRequest, "a %s is deleted with its connection", d.Kind)
	case len(*t.subs.Load()) > 0:
		return Errorf(CodeInUse, "the topic %q has %d subscribers; end them first", d.Name, len(*t.subs.Load()))
	}
	delete(b.topics, d)
	b.adviseDestination(d, "deleted")
	b.forgetRetained(t)
	return nil
}
