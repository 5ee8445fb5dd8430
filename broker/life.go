package broker

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"treadmq/store"
)

// The life of a message: what is known of one, put together when somebody asks.
//
// What went wrong, or was done by hand, is noted always: it is rare, so the way of a message that goes well pays nothing.
// What goes well (received, delivered, acknowledged) is noted for queues that somebody traces, for a while. Both go to
// rings of a fixed size, the newest replace the oldest; nothing is kept over a restart but what the message itself carries.

// LifeKind says what happened to a message.
type LifeKind string

// What happens to messages.
const (
	LifeReceived     LifeKind = "received"      // became visible in a queue; traced queues, and from the message itself
	LifeStored       LifeKind = "stored"        // is on disk, in a group on a quorum
	LifeDelivered    LifeKind = "delivered"     // handed to a consumer; traced queues
	LifeAcknowledged LifeKind = "acknowledged"  // left its queue; traced queues
	LifeRejected     LifeKind = "rejected"      // a consumer did not take it
	LifeReturned     LifeKind = "returned"      // its consumer left without an answer
	LifeDelayed      LifeKind = "delayed"       // waits before it is delivered again
	LifeDeadLettered LifeKind = "dead-lettered" // went to a dead-letter queue, or was dropped there
	LifeMoved        LifeKind = "moved"         // by hand
	LifeCopied       LifeKind = "copied"        // by hand
	LifeRetried      LifeKind = "retried"       // by hand, back to where it became a dead letter
	LifeDeleted      LifeKind = "deleted"       // by hand
	LifeRestored     LifeKind = "restored"      // from the trash
	LifeReady        LifeKind = "ready"         // now: waits for a consumer
	LifeInFlight     LifeKind = "in-flight"     // now: a consumer has it
	LifeWaiting      LifeKind = "waiting"       // now: for its next delivery
)

// LifeEvent is one thing that happened to a message, or how it is now.
type LifeEvent struct {
	At           time.Time // zero: not known when
	Kind         LifeKind
	Dest         Destination // where
	To           Destination // where it went to; no kind: nowhere
	Connection   uint64      // whose, 0: nobody's
	Remote, User string      // of the connection
	Subscription uint32
	Position     uint64 // in the journal, of LifeStored; 0: not known
	Detail       string // what went wrong, in the words of who says so
}

// Bounds of what is noted, and of tracing.
const (
	lifeEvents   = 8192 // of each ring
	MaxTraceTime = time.Hour
)

type lifeEntry struct {
	id uint64
	LifeEvent
}

// lifeRing keeps the latest events. Its memory is taken with the first one.
type lifeRing struct {
	mu    sync.Mutex // guards what follows; nothing is locked under it
	items []lifeEntry
	n     int // events ever
}

func (r *lifeRing) add(e lifeEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.items == nil {
		r.items = make([]lifeEntry, lifeEvents)
	}
	r.items[r.n%lifeEvents] = e
	r.n++
}

// of appends the events of a message, oldest first.
func (r *lifeRing) of(id uint64, list []LifeEvent) []LifeEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := max(0, r.n-lifeEvents); i < r.n; i++ {
		if e := &r.items[i%lifeEvents]; e.id == id {
			list = append(list, e.LifeEvent)
		}
	}
	return list
}

// note keeps what went wrong or was done by hand. Any lock or none.
func (b *Broker) note(id uint64, e LifeEvent) {
	e.At = b.now()
	b.troubles.add(lifeEntry{id, e})
}

// traced keeps what goes well, in a queue that is traced. queue.mu may be held.
func (q *queue) traced(id uint64, e LifeEvent) {
	e.At, e.Dest = q.b.now(), q.dest
	if e.At.UnixMilli() < q.traceUntil.Load() {
		q.b.traces.add(lifeEntry{id, e})
	}
}

// isTraced is what the way of every message pays.
func (q *queue) isTraced() bool { return q.traceUntil.Load() != 0 }

// by fills in whose doing it is.
func (e LifeEvent) by(s *Subscription) LifeEvent {
	e.Connection, e.Remote, e.User, e.Subscription = s.c.serial, s.c.opt.Remote, s.c.opt.User, s.serial
	return e
}

// from is by for who sent a message.
func (e LifeEvent) from(c *Conn) LifeEvent {
	if c != nil {
		e.Connection, e.Remote, e.User = c.serial, c.opt.Remote, c.opt.User
	}
	return e
}

// noteFailure notes a delivery that was not consumed.
func (w *Work) noteFailure(st *settle) {
	e := LifeEvent{Kind: LifeRejected, Dest: st.q.dest, Detail: st.ack.Reason}
	if st.ack.Kind == AckRelease {
		e.Kind = LifeReturned
	}
	w.b.note(st.e.id, e.from(w.c))
}

// Trace notes for a while whatever happens to messages of a queue; 0 ends it. The longest is MaxTraceTime.
func (b *Broker) Trace(d Destination, span time.Duration) error {
	q, err := b.existing(d)
	if err != nil {
		return err
	}
	switch {
	case span < 0 || span > MaxTraceTime:
		return Errorf(CodeBadRequest, "a queue is traced for at most %s, not %s", MaxTraceTime, span)
	case span == 0:
		q.traceUntil.Store(0)
	default:
		q.traceUntil.Store(b.now().Add(span).UnixMilli())
	}
	return nil
}

// endTrace spares a queue the look at the clock when its time is over.
func (q *queue) endTrace(now time.Time) {
	if at := q.traceUntil.Load(); at != 0 && at <= now.UnixMilli() {
		q.traceUntil.CompareAndSwap(at, 0)
	}
}

// Noted returns what has been noted of a message, wherever it was, oldest first.
func (b *Broker) Noted(id uint64) []LifeEvent {
	list := b.traces.of(id, b.troubles.of(id, nil))
	slices.SortStableFunc(list, func(a, b LifeEvent) int { return a.At.Compare(b.At) })
	return list
}

// Life returns what is known of a message that is in a queue: what it carries itself, what was noted, how it is now.
func (b *Broker) Life(m *Browsed, d Destination) ([]LifeEvent, error) {
	q, err := b.existing(d)
	if err != nil {
		return nil, err
	}
	noted := b.Noted(m.Message.id)
	first := LifeEvent{At: time.UnixMilli(m.Message.Timestamp()), Kind: LifeReceived, Dest: d}
	if origin, ok := Origin(m.Overlay); ok {
		first.Dest = origin
	}
	if len(noted) > 0 && noted[0].Kind == LifeReceived {
		first, noted = noted[0], noted[1:]
	}
	list := []LifeEvent{first}
	if m.Persistent {
		e := LifeEvent{Kind: LifeStored, Dest: d}
		if r, err := b.store.Find(store.Ref{Dest: q.id, Lane: m.Lane, Seq: m.Seq}); err == nil {
			e.Position = uint64(r.Pos)
		}
		list = append(list, e)
	}
	if !slices.ContainsFunc(noted, func(e LifeEvent) bool { return e.Kind == LifeDeadLettered }) {
		list = appendDeath(list, m.Overlay, d)
	}
	list = append(list, noted...)
	return append(list, q.lifeNow(m)), nil
}

// appendDeath adds what a dead letter itself says.
func appendDeath(list []LifeEvent, overlay []byte, d Destination) []LifeEvent {
	e := LifeEvent{Kind: LifeDeadLettered, To: d}
	for it := IterProperties(overlay); it.Next(); {
		switch string(it.Name) {
		case PropDeathTime:
			if ms, err := strconv.ParseInt(string(it.Bytes), 10, 64); err == nil {
				e.At = time.UnixMilli(ms)
			}
		case PropOriginalDestination:
			e.Dest, _ = it.Destination()
		case PropFailureCause:
			e.Detail = string(it.Bytes)
		}
	}
	if e.At.IsZero() {
		return list
	}
	return append(list, e)
}

// lifeNow says where the message is in its queue.
func (q *queue) lifeNow(m *Browsed) LifeEvent {
	e := LifeEvent{Kind: LifeReady, Dest: q.dest, At: q.b.now()}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.timed[m.Seq] != nil {
		e.Kind = LifeWaiting
		return e
	}
	for _, s := range q.subs {
		s.c.mu.Lock()
		held := slices.ContainsFunc(s.slots[s.head:], func(sl slot) bool {
			return sl.state != slotFree && sl.q == q && sl.e != nil && sl.e.seq == m.Seq
		})
		s.c.mu.Unlock()
		if held {
			e.Kind = LifeInFlight
			return e.by(s)
		}
	}
	return e
}
