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
// as in flight.
func (b *Broker) expireLater(q *queue, e *entry) {
	b.later(func() { b.expire([]settle{{q: q, e: e, ack: Ack{Kind: AckDeadLetter}}}) })
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
		b.sweepStore(durable)
		if b.temp != nil {
			b.sweepStore(transient)
		}
		b.sweepMemory()
	}
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
		for i := range refs {
			if st, ok := b.takeExpired(src, &refs[i]); ok {
				list = append(list, st)
			}
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
	if q == nil {
		return settle{}, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	ln := &q.lanes[src][r.Lane]
	e := ln.ready.take(r.Seq)
	if e == nil {
		if _, taken := q.out[r.Seq]; taken || !ln.paged || ln.loading || r.Seq <= ln.pagedAfter || r.Seq > ln.maxSeq {
			return settle{}, false
		}
		fresh, err := q.stored(r, src)
		if err != nil {
			return settle{}, false
		}
		e = fresh
		if q.out == nil {
			q.out = map[store.Seq]struct{}{}
		}
		q.out[r.Seq] = struct{}{}
		e.out = true
	}
	q.takeOff(e)
	return settle{q: q, e: e, ack: Ack{Kind: AckDeadLetter}}, true
}

// sweepMemory looks at the non-persistent messages that are only in memory.
func (b *Broker) sweepMemory() {
	b.destMu.RLock()
	var queues []*queue
	for _, q := range b.queues {
		queues = append(queues, q)
	}
	b.destMu.RUnlock()
	now := b.now().UnixMilli()
	for _, q := range queues {
		if list := q.takeExpiredMemory(now); len(list) > 0 {
			b.expire(list)
		}
	}
}

func (q *queue) takeExpiredMemory(now int64) (list []settle) {
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
