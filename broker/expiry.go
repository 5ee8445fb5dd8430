package broker

import (
	"errors"
	"time"

	"treadmq/store"
)

// Bounds of the search for expired messages.
const (
	sweepInterval = time.Second
	sweepBatch    = 1000
)

// expireLater settles an expired entry that was taken from its queue and counted
// as in flight, together with others. q.mu is held.
func (q *queue) expireLater(e *entry) {
	q.expiring = append(q.expiring, settle{q: q, e: e, ack: Ack{Kind: AckDeadLetter}})
	if len(q.expiring) == 1 {
		q.b.later(q.expireTaken)
	}
}

// cameTooLate gives up, at once, a message that had expired when it came. The search for expired ones finds those for which
// there is no room in memory, and a last value, which is a key's newest all the same. q.mu is held.
func (q *queue) cameTooLate(e *entry) bool {
	if e.expiry == 0 || q.last != nil || len(q.expiring) >= maxExpiring || e.expiry > q.b.now().UnixMilli() {
		return false
	}
	q.takeOff(e)
	q.expireLater(e)
	return true
}

func (q *queue) expireTaken() {
	q.mu.Lock()
	list := q.expiring
	q.expiring = nil
	q.mu.Unlock()
	q.b.expire(list)
}

func (b *Broker) expire(list []settle) {
	w := b.internalWork()
	w.settled = list
	w.Flush(nil)
}

// sweep looks for expired messages once a second, wherever in their queue they are.
func (b *Broker) sweep() {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-tick.C:
		}
		b.tick.Store(b.now().UnixMilli())
		queues := b.planSweep()
		b.sweepStore(durable)
		if b.temp != nil {
			b.sweepStore(transient)
		}
		for _, q := range queues {
			if list := q.takeExpiredMemory(b.now().UnixMilli()); len(list) > 0 {
				b.expire(list)
			}
		}
		b.collect(queues)
		stats := b.store.Stats()
		b.storeUse.Store(storeUse(stats, b.opt.StoreLimit))
		if b.temp != nil && b.opt.TempLimit > 0 {
			b.tempFull.Store(b.temp.Stats().LiveBytes >= b.opt.TempLimit)
		}
		b.sweepTrash(b.now(), stats.Full)
		b.sweepDedup()
		b.checkOverdue()
	}
}

// planSweep notes which queues are due by their policies.
func (b *Broker) planSweep() []*queue {
	b.destMu.RLock()
	defer b.destMu.RUnlock()
	now := b.now()
	queues := make([]*queue, 0, len(b.queues))
	for _, q := range b.queues {
		period := q.policy.Load().ExpirePeriod
		q.endTrace(now)
		q.sweepDue = period > 0 && !now.Before(q.sweepAt)
		if q.sweepDue {
			q.sweepAt = now.Add(period - sweepInterval/2) // ticks come a little early or late
		}
		queues = append(queues, q)
	}
	return queues
}

func (b *Broker) sweepStore(src source) {
	now := b.now().UnixMilli()
	var cursor []byte
	for {
		refs, next, err := b.storeOf(src).Expired(nil, now, cursor, sweepBatch)
		if err != nil {
			if !errors.Is(err, store.ErrClosed) {
				b.log.Error("expired messages cannot be looked up", "err", err)
			}
			return
		}
		var list []settle
		var trashed store.Batch
		for i := range refs {
			if st, ok := b.takeExpired(src, &refs[i]); ok {
				list = append(list, st)
			} else if src == durable && b.inTrash(refs[i].Dest) {
				trashed.Remove(refs[i].Ref, refs[i].Loc)
			}
		}
		if !trashed.Empty() {
			trashed.Lazy, trashed.Done = true, func(*store.Batch, error) {}
			_ = b.store.Append(&trashed) // if it fails, so does everything else
		}
		if len(list) > 0 {
			b.expire(list)
		}
		if cursor = next; cursor == nil {
			return
		}
	}
}

// takeExpired takes a reference from its queue, unless a consumer holds it or it
// is delayed.
func (b *Broker) takeExpired(src source, r *store.Stored) (settle, bool) {
	b.destMu.RLock()
	q := b.byID[r.Dest]
	b.destMu.RUnlock()
	if q == nil || !q.sweepDue {
		return settle{}, false
	}
	e, _ := q.takeStored(src, r)
	return settle{q: q, e: e, ack: Ack{Kind: AckDeadLetter}}, e != nil
}

// takeExpiredMemory takes non-persistent messages that are only in memory.
func (q *queue) takeExpiredMemory(now int64) (list []settle) {
	if !q.sweepDue {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for l := range store.Lanes {
		ready := &q.lanes[transient][l].ready
		var gone []*entry
		for _, e := range ready.all() {
			if !e.stored && e.expiry != 0 && e.expiry <= now {
				gone = append(gone, e)
			}
		}
		for _, e := range gone {
			ready.take(e.seq)
			q.takeOff(e)
			list = append(list, settle{q: q, e: e, ack: Ack{Kind: AckDeadLetter}})
		}
	}
	return list
}

// collect deletes queues and topics that are empty and unused for as long as
// their policy says (gcInactiveDestinations).
func (b *Broker) collect(queues []*queue) {
	now := b.now()
	for _, q := range queues {
		if !q.hints.IsZero() {
			q.mu.Lock()
			why := q.forsaken(now)
			q.mu.Unlock()
			if why != "" {
				b.vanish(q, why)
				continue
			}
		}
		limit := q.policy.Load().InactiveGC
		if limit <= 0 || q.owner != nil {
			continue
		}
		q.mu.Lock()
		busy := len(q.subs) > 0 || len(q.parked) > 0 || q.depth.Load() > 0 || q.reserved.Load() > 0
		if busy || q.stats.enqueued != q.seenEnqueued {
			q.idleSince, q.seenEnqueued = now, q.stats.enqueued
		}
		idle := now.Sub(q.idleSince)
		q.mu.Unlock()
		if idle < limit {
			continue
		}
		if err := b.deleteQueue(q.dest, unused, nil, func(error) {}); err == nil {
			b.log.Info("queue deleted, it was empty and unused", "dest", q.dest.Name, "for", idle.Round(time.Second))
		}
	}
	for _, t := range b.topicList() {
		limit := b.policy(t.dest).InactiveGC
		if limit <= 0 || t.owner != nil {
			continue
		}
		if n := t.published.Load(); len(*t.subs.Load()) > 0 || n != t.seenPublished || t.retains() {
			t.idleSince, t.seenPublished = now, n
		}
		if now.Sub(t.idleSince) >= limit && b.DeleteTopic(t.dest) == nil {
			b.log.Info("topic deleted, it was unused", "dest", t.dest.Name)
		}
	}
}

// unused says why a queue must not be collected. q.mu is held.
func unused(q *queue) error {
	if len(q.subs) > 0 || len(q.parked) > 0 || q.depth.Load() > 0 {
		return Errorf(CodeInUse, "the queue %q is in use again", q.dest.Name)
	}
	return nil
}

func (b *Broker) topicList() []*topic {
	b.destMu.RLock()
	defer b.destMu.RUnlock()
	list := make([]*topic, 0, len(b.topics))
	for _, t := range b.topics {
		list = append(list, t)
	}
	return list
}
