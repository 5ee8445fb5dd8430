package broker

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"

	"treadmq/store"
)

// Reasons of dead letters, as RabbitMQ words them (semantics 2.5).
const (
	reasonRejected  = "rejected"
	reasonExpired   = "expired"
	reasonExhausted = "max-deliveries"
	reasonFull      = "maxlen"
)

// Names of the properties that a dead letter carries.
const (
	PropOriginalDestination  = "original-destination"
	PropOriginalExpiration   = "originalExpiration"
	PropOriginalDeliveryMode = "originalDeliveryMode"
	PropFailureCause         = "dlqDeliveryFailureCause"
	PropDeathReason          = "x-first-death-reason"
	PropDeathQueue           = "x-first-death-queue"
	PropDeathTime            = "x-death-time"
	PropDeathCount           = "x-death-count"
	PropReason               = "x-reason"
)

// Causes of death in the words of PropFailureCause, with a colon and the client's own words behind them where it gave some.
const (
	CauseRejected  = "the consumer rejected it"
	CauseExpired   = "it expired"
	causeExhausted = "it was delivered %d times and never acknowledged"
)

func exhaustedText(attempts uint32) string { return fmt.Sprintf(causeExhausted, attempts) }

// Exhausted reads the number of deliveries out of a cause; ok is false for other causes.
func Exhausted(cause string) (attempts uint32, ok bool) {
	n, err := fmt.Sscanf(cause, causeExhausted, &attempts)
	return attempts, err == nil && n == 1 && cause == exhaustedText(attempts)
}

// deadLetter moves an entry to its dead-letter queue, or drops it where the
// policy says so. It reports false when the entry has to stay.
func (w *Work) deadLetter(q *queue, e *entry, p *Policy, reason, cause, note string) bool {
	dl := &p.DeadLetter
	persistent := e.src == durable
	if dl.Strategy == DeadLetterDiscard || (reason == reasonExpired && !dl.ProcessExpired) || (!persistent && !dl.ProcessNonPersistent) {
		w.b.note(e.id, LifeEvent{Kind: LifeDeadLettered, Dest: q.dest, Detail: cause})
		w.remove(q, e)
		return true
	}
	size := int64(e.size)
	to, err := w.b.reserveQueue(dl.queueFor(q.dest), size)
	if err != nil {
		w.b.log.Error("no dead-letter queue", "dest", q.dest.String(), "dlq", dl.queueFor(q.dest).Name, "err", err)
		return false
	}
	over := w.b.deathOverlay(q.dest, e.overlay, e.expiry, persistent, reason, cause, note)
	exp := w.b.deathExpiry(dl)
	ref := store.NewRef{Dest: to.id, Lane: e.lane, Overlay: over, Expiry: exp, OwnExpiry: true}
	t := target{q: to, op: len(w.sb.Ops), over: over, exp: exp}
	if persistent {
		t.from, t.msg = e.copy(), w.b.shownTo(to, q, e)
		t.ref = w.sb.Link(q.ref(e), ref)
	} else {
		m, err := w.b.body(q, e)
		if err != nil {
			w.b.log.Error("dead letter cannot be read", "dest", q.dest.String(), "err", err)
			to.unreserve(size)
			return false
		}
		t.msg, t.dead = m.asPersistent(), true
		t.ref = w.sb.Enqueue(store.Message{ID: m.id, Flags: store.Flags(t.msg.Flags()), Encoded: t.msg.enc}, ref)
	}
	w.targets = append(w.targets, t)
	w.b.note(e.id, LifeEvent{Kind: LifeDeadLettered, Dest: q.dest, To: to.dest, Detail: cause})
	w.remove(q, e)
	w.b.advise(advisory{what: "MessageDLQd", about: q.dest, msgID: e.id, why: reason})
	return true
}

// shownTo returns the message of an entry for another queue that gets a link to it. If it is not in memory it is read
// only for one that looks into its messages; nil: then that one goes without.
func (b *Broker) shownTo(to, q *queue, e *entry) *Message {
	if p := to.policy.Load(); e.msg != nil || (p.LastValueKey == "" && len(p.IndexHeaders) == 0) {
		return e.msg
	}
	m, err := b.readBody(q, e)
	if err != nil {
		b.log.Warn("a message goes to a queue that cannot see its headers", "dest", to.dest.String(), "from", q.dest.String(), "err", err)
	}
	return m
}

// reserveQueue returns a queue with room reserved in it, so that it is not deleted
// before the message is there.
func (b *Broker) reserveQueue(d Destination, size int64) (*queue, error) {
	for {
		q, err := b.queueFor(d, nil)
		if err != nil {
			return nil, err
		}
		q.reserve(size)
		if !q.deleted.Load() {
			return q, nil
		}
		q.unreserve(size)
		runtime.Gosched()
	}
}

// deathExpiry is when a dead letter of now expires, in ms since 1970; 0 = never.
func (b *Broker) deathExpiry(dl *DeadLetter) int64 {
	if dl.Expiration <= 0 {
		return 0
	}
	return b.now().Add(dl.Expiration).UnixMilli()
}

func (e *entry) copy() *entry {
	c := *e
	c.charged = false
	return &c
}

// asPersistent is the same message with the persistent bit set.
func (m *Message) asPersistent() *Message {
	if m.Persistent() {
		return m
	}
	enc := slices.Clone(m.enc)
	enc[2] |= byte(FlagPersistent)
	return &Message{enc: enc, dest: m.dest, id: m.id}
}

// deathOverlay makes the properties of a dead letter. The first death's reason
// and queue stay; the count goes up.
func (b *Broker) deathOverlay(from Destination, old []byte, expiry int64, persistent bool, reason, cause, note string) []byte {
	first, firstQueue, count := reason, from.Name, 1
	for it := IterProperties(old); it.Next(); {
		switch string(it.Name) {
		case PropDeathReason:
			first = string(it.Bytes)
		case PropDeathQueue:
			firstQueue = string(it.Bytes)
		case PropDeathCount:
			if n, err := strconv.Atoi(string(it.Bytes)); err == nil {
				count = n + 1
			}
		}
	}
	var p Properties
	for it := IterProperties(old); it.Next(); {
		keepOrigin(&p, &it)
	}
	p.AddDestination(PropOriginalDestination, from)
	p.Add(PropFailureCause, cause)
	if expiry != 0 {
		p.Add(PropOriginalExpiration, strconv.FormatInt(expiry, 10))
	}
	mode := "NON_PERSISTENT"
	if persistent {
		mode = "PERSISTENT"
	}
	p.Add(PropOriginalDeliveryMode, mode)
	p.Add(PropDeathReason, first)
	p.Add(PropDeathQueue, firstQueue)
	p.Add(PropDeathTime, strconv.FormatInt(b.now().UnixMilli(), 10))
	p.Add(PropDeathCount, strconv.Itoa(count))
	if note != "" {
		p.Add(PropReason, note)
	}
	return p.AppendTo(nil)
}
