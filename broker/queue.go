package broker

import (
	"sync"
	"sync/atomic"
	"time"

	"treadmq/store"
)

// queue holds messages until one consumer each has acknowledged them. It lives
// on disk (durable) or, for temporary queues, in memory. In memory it keeps a
// window of each lane's head; the rest is read from the store when it is needed.
type queue struct {
	b       *Broker
	dest    Destination
	id      store.DestID
	durable bool
	owner   *Conn // of a temporary queue
	created time.Time
	policy  atomic.Pointer[Policy]
	listed  chan struct{}       // of one that topics feed: closed when the catalog has it; nil if it had it at the start
	dsub    *durableSub         // of a durable subscription
	fan     atomic.Pointer[fan] // nil: feeds nothing
	hints   Hints               // does not change
	// audience are the selectors of the consumers; of those it had last, if it has none.
	audience atomic.Pointer[[]*filter]
	private  *Conn // nobody else's consumers are let in; guarded by mu
	// attended says that it had a consumer since it was made or read; recovered, that it is from an earlier run. Guarded by mu.
	attended, recovered bool

	duplicates atomic.Uint64 // repeats that were left out
	// reserved counts what senders have handed in and is not visible yet.
	reserved      atomic.Int64
	reservedBytes atomic.Int64
	mem           atomic.Int64 // bytes of messages in memory
	depth         atomic.Int64 // visible messages: ready, in flight, delayed, paged
	bytes         atomic.Int64
	traceUntil    atomic.Int64 // ms since 1970; 0: not traced
	fullTold      atomic.Int64 // when it was last told that the queue is full, s since 1970
	// deleted is set before reserved is looked at; senders reserve before they look at it.
	deleted    atomic.Bool
	lastValued atomic.Bool // last is not nil

	// Touched by the sweep only.
	sweepDue     bool
	sweepAt      time.Time
	idleSince    time.Time
	unusedSince  time.Time // without a consumer
	seenEnqueued uint64

	// mu guards what follows. Order: queue.mu before Conn.mu.
	mu        sync.Mutex
	paused    bool
	lanes     [sources][store.Lanes]lane
	out       map[store.Seq]struct{} // paged references that are being taken out
	reads     int                    // reads of the store under way whose result may be older than out
	released  []store.Seq            // left out while a read was under way
	timed     map[store.Seq]*entry   // delayed
	subs      []*Subscription        // by priority, highest first
	tails     []tailer               // browsers that wait for what arrives
	scans     []*scan                // of those with a selector, and with groups of all; in the order of subs
	filters   int                    // consumers with a selector
	groups    map[string]*group
	last      *lastValues   // nil: not a last-value queue
	headers   *headerIndex  // nil: none
	replaced  []settle      // older values that are to be removed
	replacing sync.Mutex    // held, without mu, while they are
	stalled   bool          // a scan waits for the number of groups to fall
	sole      bool          // only subs[0] is served
	flat      bool          // priorities of consumers do not count
	strict    bool          // one consumer is filled before the next
	elected   *Subscription // the sole consumer
	handover  bool          // the sole consumer waits until nothing is in flight
	gated     bool          // no dispatch yet: consumersBeforeDispatchStarts
	gates     int           // gates so far
	purges    int           // how often it was emptied
	expiring  []settle      // expired entries that are to be settled
	next      int           // round robin
	inflight  int64         // given to a consumer and not settled
	heldBytes int64         // of those in flight
	delayed   int64
	paged     int // lanes that are paged
	held      int // delayed entries that block the queue (redeliveryBlocks)
	parked    []*parkedSend
	stats     queueStats
	loadErr   time.Time // do not load again before
}

// queueStats count since the start; guarded by queue.mu.
type queueStats struct {
	enqueued, dequeued, dispatched, redelivered, expired, deadLettered, dropped uint64

	waits WaitTimes
}

func (b *Broker) newQueue(d Destination, id store.DestID) *queue {
	now := b.now()
	q := &queue{b: b, dest: d, id: id, durable: d.Kind == Queue || d.Kind == DurableSub, created: now, idleSince: now,
		unusedSince: now, timed: map[store.Seq]*entry{}}
	p := b.policy(d)
	q.policy.Store(&p)
	q.applyPolicy()
	return q
}

func (q *queue) isDeadLetterQueue() bool {
	p := q.policy.Load()
	return q.dest == p.DeadLetter.queueFor(q.dest) || q.dest.Name == p.DeadLetter.Queue
}

// release takes an entry's message off the memory's books. Any lock or none.
func (q *queue) release(e *entry) {
	if e.charged {
		e.charged = false
		q.mem.Add(-e.cost())
		q.b.mem.Add(-e.cost())
	}
}

func (q *queue) charge(e *entry) {
	if !e.charged && e.msg != nil {
		e.charged = true
		q.mem.Add(e.cost())
		q.b.mem.Add(e.cost())
	}
}

// roomFor reports whether a message of that size may stay in memory.
func (q *queue) roomFor(size int64) bool {
	used := q.mem.Load()
	return used+size <= q.policy.Load().MemoryLimit && q.b.mem.Load()+size <= q.b.memLimit
}

// forget takes an entry off the queue's books. q.mu is held.
func (q *queue) forget(e *entry) {
	q.release(e)
	q.depth.Add(-1)
	q.bytes.Add(-int64(e.size))
	if e.grp != nil {
		q.groupChanged(e.grp)
	}
	if q.last != nil {
		q.last.left(e.seq)
	}
}

func (q *queue) unreserve(size int64) {
	q.reserved.Add(-1)
	q.reservedBytes.Add(-size)
}

func (q *queue) count(size int64) {
	q.depth.Add(1)
	q.bytes.Add(size)
	q.stats.enqueued++
	if len(q.subs) == 0 {
		q.b.advise(advisory{what: "NoConsumer", about: q.dest})
	}
}

// arrive makes a committed message visible. q.mu is held.
func (q *queue) arrive(seq store.Seq, loc store.Loc, t *target) {
	if q.deleted.Load() {
		return
	}
	m := t.msg
	q.count(int64(m.Size()))
	if q.isTraced() {
		q.traced(m.id, LifeEvent{Kind: LifeReceived}.from(t.conn))
	}
	e := &entry{seq: seq, loc: loc, msg: m, id: m.id, expiry: t.exp, overlay: t.over,
		size: uint32(m.Size()), lane: laneOf(m), src: durable, stored: true}
	q.admit(e)
	q.news(e.lane)
	if q.last != nil {
		q.arrived(e, t.msg)
	}
}

// arriveLink makes visible what is a further reference to another queue's
// message. q.mu is held.
func (q *queue) arriveLink(t *target, seq store.Seq) {
	if q.deleted.Load() {
		return
	}
	q.count(int64(t.from.size))
	f := t.from
	if q.isTraced() {
		q.traced(f.id, LifeEvent{Kind: LifeReceived})
	}
	e := &entry{seq: seq, loc: f.loc, msg: t.msg, id: f.id, expiry: t.exp, overlay: t.over,
		size: f.size, lane: f.lane, src: durable, stored: true, attempts: t.attempts}
	q.admit(e)
	q.news(e.lane)
	if q.last != nil {
		q.arrived(e, t.msg)
	}
}

// admit keeps a stored entry in memory or leaves it to be read later. q.mu is held.
func (q *queue) admit(e *entry) {
	ln := &q.lanes[e.src][e.lane]
	if ln.paged && e.seq <= ln.pagedAfter {
		return // the loader was faster
	}
	ln.maxSeq = max(ln.maxSeq, e.seq)
	if !ln.paged && (ln.ready.len() >= maxReady || !q.roomFor(e.cost())) {
		ln.paged, ln.pagedAfter = true, e.seq-1
		q.paged++
	}
	if ln.paged {
		if q.headers != nil {
			q.indexed(ln, e)
		}
		return
	}
	if q.cameTooLate(e) {
		return
	}
	q.charge(e)
	q.enlist(e)
	ln.ready.insert(e)
	q.rewind(e) // what was spilled may arrive after what stayed in memory
}

// first returns the lane that is served next. q.mu is held.
func (q *queue) first() *lane {
	for l := range store.Lanes {
		a, c := &q.lanes[durable][l], &q.lanes[transient][l]
		an, cn := a.hasHead(), c.hasHead()
		switch {
		case an && cn:
			if c.ready.first().seq < a.ready.first().seq {
				return c
			}
			return a
		case an:
			return a
		case cn:
			return c
		case a.waits() || c.waits():
			return nil // its head is on its way from or to the disk
		}
	}
	return nil
}

// dispatch pairs ready messages with credit. q.mu is held.
func (q *queue) dispatch(k *wakes) {
	if len(q.subs) == 0 || q.paused || q.gated || (q.handover && !q.handedOver()) || q.last.isReading() || q.deleted.Load() || q.held > 0 || q.delayed >= int64(q.b.opt.MaxDelayed) {
		return
	}
	var now int64
	for {
		ln := q.first()
		if ln == nil {
			break
		}
		e := ln.ready.first()
		if e.expiry != 0 {
			if now == 0 {
				now = q.b.now().UnixMilli()
			}
			if e.expiry <= now {
				if len(q.expiring) >= maxExpiring {
					break
				}
				q.takeOff(e)
				ln.ready.pop()
				q.expireLater(e)
				continue
			}
		}
		if e.msg == nil {
			q.loadBodies(ln, 0)
			break
		}
		if e.src == durable && e.seq > ln.mark {
			q.askMark(ln, e.seq)
			break
		}
		if !q.give(e, k) {
			break
		}
		q.takeOff(e)
		ln.ready.pop()
		if e.src == durable && e.seq+markLead/2 > ln.asked {
			q.askMark(ln, e.seq)
		}
	}
	if (q.filters > 0 || len(q.groups) > 0) && q.hasReady() {
		q.dispatchSelective(k)
	}
	q.loadMore()
}

// hasReady reports whether something waits in the queue. q.mu is held.
func (q *queue) hasReady() bool {
	for src := range sources {
		for l := range store.Lanes {
			if q.lanes[src][l].waits() {
				return true
			}
		}
	}
	return false
}

// takeOff counts an entry as in flight. q.mu is held.
func (q *queue) takeOff(e *entry) {
	q.inflight++
	q.heldBytes += int64(e.size)
	if e.grp != nil {
		e.grp.held++
	}
}

// give offers an entry to the consumers: highest priority first, round robin
// among equals. q.mu is held.
func (q *queue) give(e *entry, k *wakes) bool {
	if e.grp != nil {
		return q.giveGrouped(e, k)
	}
	n := len(q.subs)
	if n == 1 || q.sole {
		return q.subs[0].accepts(q, e) && q.subs[0].offer(q, e, k)
	}
	for lo := 0; lo < n; {
		hi := q.peers(lo, n, func(i int) *Subscription { return q.subs[i] })
		for i := range hi - lo {
			at := lo + (q.next+i)%(hi-lo)
			if q.subs[at].accepts(q, e) && q.subs[at].offer(q, e, k) {
				if q.next = at - lo; !q.strict {
					q.next++
				}
				return true
			}
		}
		lo = hi
	}
	return false
}

// accepts reports whether the subscription's selector lets an entry through.
func (s *Subscription) accepts(q *queue, e *entry) bool {
	return s.filter == nil || s.wantsEntry(q, e)
}

// Delivery marks: before a reference of the store is handed out, the journal
// says that everything up to some sequence number may have been. After a crash
// just those come back flagged as redelivered. The mark runs ahead, so that it
// costs one small record per markLead sequence numbers and no waiting.
const markLead = 8192

// askMark asks for a mark ahead of seq. q.mu is held.
func (q *queue) askMark(ln *lane, seq store.Seq) {
	if seq <= ln.asked && seq+markLead/2 <= ln.asked {
		return
	}
	upto := seq + markLead
	ln.asked = upto
	b := q.b
	ref := store.Ref{Dest: q.id, Lane: q.laneNumber(ln), Seq: upto}
	b.later(func() {
		mb := &store.Batch{Done: func(_ *store.Batch, err error) {
			if err != nil {
				return
			}
			q.mu.Lock()
			ln.mark = max(ln.mark, upto)
			q.dispatch(&b.commitWakes)
			q.mu.Unlock()
		}}
		mb.Mark(ref)
		if err := b.store.Append(mb); err != nil {
			b.log.Error("delivery mark refused by the store", "dest", q.dest.String(), "err", err)
		}
	})
}

func (q *queue) laneNumber(ln *lane) store.Lane {
	for l := range store.Lanes {
		if ln == &q.lanes[durable][l] || ln == &q.lanes[transient][l] {
			return store.Lane(l)
		}
	}
	panic("lane of another queue")
}
