package broker

import (
	"errors"
	"time"

	"treadmq/store"
)

// byPolicy turns a plain NACK into what the queue's policy takes it for (nackDefault).
func (st *settle) byPolicy() {
	if st.ack.Kind != AckRetry || st.ack.HasDelay {
		return
	}
	switch st.q.policy.Load().Nack {
	case NackDeadLetter:
		st.ack.Kind = AckDeadLetter
	case NackRequeue:
		st.ack.Kind = AckRequeue
	case NackDiscard:
		st.ack.Kind = AckDiscard
	}
}

// failed decides about a delivery that was not consumed and records it.
func (w *Work) failed(st *settle) {
	q, e := st.q, st.e
	if st.taken {
		e.attempts++
		w.noteFailure(st)
	}
	p := q.policy.Load()
	kind := st.ack.Kind
	reason, cause := reasonRejected, CauseRejected
	switch {
	case e.expiry != 0 && e.expiry <= w.b.now().UnixMilli():
		kind, reason, cause = AckDeadLetter, reasonExpired, CauseExpired
	case kind == AckDeadLetter:
	case p.Redelivery.exhausted(e.attempts) && st.taken && !q.isDeadLetterQueue():
		kind, reason, cause = AckDeadLetter, reasonExhausted, exhaustedText(e.attempts)
	case kind == AckRetry && st.ack.HasDelay:
		st.ack.Delay = max(st.ack.Delay, 0)
	case kind == AckRetry:
		st.ack.Delay = p.Redelivery.delay(e.attempts)
	default:
		st.ack.Delay = 0
	}
	if kind == AckDeadLetter {
		if w.bury(q, e, p, reason, cause, st.ack.Reason) {
			st.ack.Kind, st.why = AckDiscard, reason
			return
		}
		st.ack.Kind, st.ack.Delay = AckRelease, max(p.Redelivery.delay(e.attempts), minBuryDelay)
	}
	if e.src == durable && st.taken {
		w.sb.Attempts(q.ref(e), e.attempts, 0)
	}
	if st.ack.Delay > 0 {
		w.b.note(e.id, LifeEvent{Kind: LifeDelayed, Dest: q.dest, Detail: st.ack.Delay.String()})
	}
}

// minBuryDelay is the least pause before a message is offered again that should be
// a dead letter and cannot.
const minBuryDelay = time.Second

// bury makes a dead letter. What expires in a dead-letter queue is dropped; what
// is rejected there stays.
func (w *Work) bury(q *queue, e *entry, p *Policy, reason, cause, note string) bool {
	if !q.isDeadLetterQueue() {
		return w.deadLetter(q, e, p, reason, cause, note)
	}
	if reason != reasonExpired {
		return false
	}
	w.remove(q, e)
	return true
}

// unblock takes settled deliveries off their queues' books, puts back what came
// back, and dispatches, since credit was freed.
func (w *Work) unblock(k *wakes) {
	w.serveStarved(k)
	for i := 0; i < len(w.settled); {
		q := w.settled[i].q
		q.mu.Lock()
		for ; i < len(w.settled) && w.settled[i].q == q; i++ {
			st := &w.settled[i]
			q.settled(st)
			if st.e.grp != nil {
				q.groupSettled(st.e.grp)
			}
			if st.owed != nil {
				w.repay(st, k)
			}
		}
		q.dispatch(k)
		q.mu.Unlock()
		q.resumeParked()
	}
	w.serveStarved(k)
}

// serveStarved offers the messages of all their queues to subscriptions that have
// credit again.
func (w *Work) serveStarved(k *wakes) {
	for _, s := range w.starved {
		s.dispatchAll(k)
	}
	w.starved = w.starved[:0]
}

// settled is called with q.mu held.
func (q *queue) settled(st *settle) {
	e := st.e
	q.inflight--
	q.heldBytes -= int64(e.size)
	switch st.ack.Kind {
	case AckAccept:
		q.stats.dequeued++
		if q.isTraced() {
			q.traced(e.id, LifeEvent{Kind: LifeAcknowledged})
		}
		q.forget(e)
	case AckDiscard:
		switch st.why {
		case "":
			q.stats.dropped++
		case reasonExpired:
			q.stats.expired++
			q.b.advise(advisory{what: "Expired", about: q.dest, msgID: e.id})
		default:
			q.stats.deadLettered++
		}
		q.forget(e)
	default:
		if e.attempts > 0 {
			q.stats.redelivered++
		}
		if q.deleted.Load() {
			q.forget(e)
			return
		}
		if st.ack.Delay > 0 {
			q.delayed++
			if e.grp != nil {
				e.grp.delayed++ // nothing of the group overtakes it
			} else if q.policy.Load().Redelivery.Blocks {
				q.held++
			}
			q.b.timers.add(q, e, q.b.now().Add(st.ack.Delay))
			q.timed[e.seq] = e
			return
		}
		q.giveBack(e)
	}
}

// giveBack puts an entry into its place again. q.mu is held.
func (q *queue) giveBack(e *entry) {
	if e.msg == nil && !e.stored {
		q.b.log.Error("a message without a body came back and is lost", "dest", q.dest.String(), "seq", uint64(e.seq))
		q.forget(e)
		return
	}
	if q.last != nil && q.outdated(e) {
		return
	}
	q.charge(e)
	q.enlist(e)
	q.lanes[e.src][e.lane].ready.insert(e)
	q.rewind(e)
}

// due is called when the delay of an entry is over.
func (q *queue) due(e *entry) {
	var k wakes
	q.mu.Lock()
	if q.timed[e.seq] == e {
		q.endDelay(e)
		q.giveBack(e)
		q.dispatch(&k)
	}
	q.mu.Unlock()
	k.flush()
}

// endDelay takes an entry off those that are delayed. q.mu is held.
func (q *queue) endDelay(e *entry) {
	delete(q.timed, e.seq)
	q.delayed--
	if g := e.grp; g != nil {
		g.delayed--
		q.lookAgain(g)
	} else if q.held > 0 {
		q.held--
	}
}

// publishMemory makes visible what does not wait for the disk: messages that have
// no part in the store.
func (w *Work) publishMemory(k *wakes) {
	for i := 0; i < len(w.targets); {
		t := &w.targets[i]
		n := i + 1
		stored := t.op >= 0
		for n < len(w.targets) && w.targets[n].msg == t.msg && t.from == nil {
			stored = stored || w.targets[n].op >= 0
			n++
		}
		if !stored {
			for j := i; j < n; j++ {
				w.b.arriveMemory(&w.targets[j], k)
				w.targets[j] = target{}
			}
		}
		i = n
	}
}

// publish makes the targets visible. Those of the store are committed.
func (w *Work) publish(k *wakes) {
	for i := 0; i < len(w.targets); {
		t := &w.targets[i]
		switch {
		case t.q == nil && t.t == nil:
			i++
		case t.op < 0:
			w.b.arriveMemory(t, k)
			i++
		default:
			i = w.publishStored(i, k)
		}
	}
}

// publishStored makes consecutive targets of one queue visible under one lock.
func (w *Work) publishStored(i int, k *wakes) int {
	q := w.targets[i].q
	q.mu.Lock()
	for ; i < len(w.targets) && w.targets[i].q == q && w.targets[i].op >= 0; i++ {
		t := &w.targets[i]
		seq := w.sb.Seq(t.ref)
		q.reserved.Add(-1)
		q.reservedBytes.Add(-t.size())
		if t.from != nil {
			ref := store.Ref{Dest: q.id, Lane: t.from.lane, Seq: seq}
			if _, err := w.b.store.Find(ref); !errors.Is(err, store.ErrNotFound) { // it was purged before the link
				q.arriveLink(t, seq)
			}
			continue
		}
		if t.msg.id == 0 {
			t.msg.id = uint64(w.sb.Seq(w.sb.Ops[t.op].First))
		}
		q.arrive(seq, w.sb.Ops[t.op].Loc, t)
	}
	q.dispatch(k)
	q.mu.Unlock()
	return i
}

func (q *queue) ref(e *entry) store.Ref {
	return store.Ref{Dest: q.id, Lane: e.lane, Seq: e.seq}
}
