package broker

import (
	"bytes"
	"errors"
	"runtime"
	"strconv"
	"time"

	"treadmq/store"
)

// Action is what somebody who looks after a queue does with messages in it.
type Action uint8

// Actions.
const (
	ActDelete Action = iota
	ActMove          // to another queue, as the same message
	ActCopy          // to another queue, as a message of its own
	ActRetry         // back to the queue where it became a dead letter
)

// MaxAct is the most messages of one call of Act.
const MaxAct = 500

// PropRetryCount counts how often a dead letter was sent back to its queue.
const PropRetryCount = "x-retry-count"

// Acted says what became of the messages that Act was asked for.
type Acted struct {
	Done     int
	InFlight int // a consumer has them: left alone
	Gone     int // consumed, expired or removed meanwhile
	NoOrigin int // ActRetry: no dead letters of a queue, left alone
}

// Add sums up.
func (a *Acted) Add(b Acted) {
	a.Done += b.Done
	a.InFlight += b.InFlight
	a.Gone += b.Gone
	a.NoOrigin += b.NoOrigin
}

// Act carries out an action on the messages at up to MaxAct places of the queue d,
// as a browser has shown them, in one batch: what is moved is in one queue or the
// other at any time. to is for ActMove and ActCopy; bin, if not nil, keeps what
// ActDelete removes. It returns when all is on disk. Where the target is full the
// rest is left alone and the error says so.
func (b *Broker) Act(d Destination, places []Cursor, kind Action, to Destination, bin *TrashBin) (Acted, error) {
	return b.ActNaming(d, places, kind, to, bin, nil)
}

// ActNaming is Act for who has to know which places were left alone: left, if not nil, is told
// each, with held if a consumer has the message and without if it is gone.
func (b *Broker) ActNaming(d Destination, places []Cursor, kind Action, to Destination, bin *TrashBin, left func(place Cursor, held bool)) (Acted, error) {
	q, err := b.existing(d)
	if err != nil {
		return Acted{}, err
	}
	switch {
	case len(places) > MaxAct:
		return Acted{}, Errorf(CodeLimit, "at most %d messages at a time, not %d", MaxAct, len(places))
	case (kind == ActMove || kind == ActCopy) && to.Kind != Queue:
		return Acted{}, Errorf(CodeBadRequest, "messages are moved and copied to queues, not to a %s", to.Kind)
	case kind == ActMove && to == d:
		return Acted{}, Errorf(CodeBadRequest, "the messages are in the queue %q already", d.Name)
	}
	if kind == ActMove || kind == ActCopy {
		if err := b.MayName(to); err != nil {
			return Acted{}, err
		}
	}
	a := act{b: b, q: q, w: b.internalWork(), kind: kind, to: to, bin: bin, left: left}
	if bin != nil {
		if err := b.roomInTrash(d, int64(len(places)), 0); err != nil {
			return Acted{}, err
		}
	}
	a.w.lazy = false
	var full error
	for _, p := range places {
		if full = a.one(p); full != nil {
			break
		}
	}
	if err := a.flush(); err != nil {
		return Acted{}, err
	}
	return a.sum, full
}

// act is one call of Act.
type act struct {
	b    *Broker
	q    *queue
	w    *Work
	kind Action
	to   Destination
	bin  *TrashBin
	sum  Acted
	left func(place Cursor, held bool) // nil: nobody asks
}

// flush carries out what was gathered and waits for the disk.
func (a *act) flush() error {
	done := make(chan error, 1)
	a.w.Flush(func(err error) { done <- err })
	return <-done
}

// one deals with one message. An error means that nothing more can be done.
func (a *act) one(p Cursor) error {
	if a.kind == ActCopy {
		return a.copy(p)
	}
	e, held := a.q.takeAt(p)
	if e == nil {
		if held {
			a.sum.InFlight++
		} else {
			a.sum.Gone++
		}
		if a.left != nil {
			a.left(p, held)
		}
		return nil
	}
	st := settle{q: a.q, e: e, ack: Ack{Kind: AckDiscard}}
	over, exp := e.overlay, e.expiry
	var err error
	switch a.kind {
	case ActDelete:
		err = a.keep(e)
	case ActMove:
		st.ack.Kind = AckAccept
		err = a.link(a.to, e, e.id, over, exp, 0)
	case ActRetry:
		st.ack.Kind = AckAccept
		origin, ok := Origin(over)
		if !ok || origin == a.q.dest {
			a.sum.NoOrigin++
			st.ack.Kind = AckRelease
			break
		}
		err = a.link(origin, e, e.id, retryOverlay(over), 0, 0)
	}
	if err != nil {
		st.ack.Kind = AckRelease
	}
	if st.ack.Kind != AckRelease {
		a.sum.Done++
		a.note(e.id, over)
	}
	a.w.settled = append(a.w.settled, st)
	return err
}

// note tells what was done with a message.
func (a *act) note(id uint64, over []byte) {
	e := LifeEvent{Kind: LifeDeleted, Dest: a.q.dest}
	switch a.kind {
	case ActMove:
		e.Kind, e.To = LifeMoved, a.to
	case ActCopy:
		e.Kind, e.To = LifeCopied, a.to
	case ActRetry:
		e.Kind = LifeRetried
		e.To, _ = Origin(over)
	}
	a.b.note(id, e)
}

// copy gives another queue the message too.
func (a *act) copy(p Cursor) error {
	r, err := a.b.store.Find(store.Ref{Dest: a.q.id, Lane: p.Lane, Seq: p.Seq})
	if a.q.durable && err == nil {
		e, err := a.q.stored(&r, durable)
		if err != nil {
			return Errorf(CodeInternal, "a stored message of %s cannot be decoded: %w", a.q.dest.Name, err)
		}
		if err := a.link(a.to, e, a.b.nextID(), e.overlay, e.expiry, 0); err != nil {
			return err
		}
		a.sum.Done++
		a.note(r.ID, nil)
		return nil
	}
	list, _, _, err := a.b.Browse(a.q.dest, Cursor{Lane: p.Lane, Seq: p.Seq - 1}, 1, 1)
	if err != nil {
		return err
	}
	if len(list) == 0 || list[0].Seq != p.Seq || list[0].Lane != p.Lane {
		a.sum.Gone++
		return nil
	}
	m := &list[0]
	e := &entry{msg: m.Message, id: m.Message.id, expiry: m.Expiration, size: uint32(m.Message.Size()), lane: m.Lane, src: transient}
	if err := a.link(a.to, e, a.b.nextID(), m.Overlay, m.Expiration, 0); err != nil {
		return err
	}
	a.sum.Done++
	return nil
}

// link adds a reference to an entry's message, with an id and a number of deliveries, to a queue.
func (a *act) link(to Destination, e *entry, id uint64, over []byte, exp int64, attempts uint32) error {
	dst, err := a.b.reserveRoom(to, e)
	if err != nil {
		return err
	}
	t := target{q: dst, op: -1, over: over, exp: exp, attempts: attempts}
	if e.src == durable && dst.durable {
		from := e.copy()
		from.id = id
		t.from, t.op = from, len(a.w.sb.Ops)
		ref := store.NewRef{Dest: dst.id, Lane: e.lane, Attempts: attempts, Overlay: over, Expiry: exp, OwnExpiry: true}
		if t.msg = a.b.shownTo(dst, a.q, e); id == e.id {
			t.ref = a.w.sb.Link(a.q.ref(e), ref)
		} else {
			if t.ref = a.w.sb.LinkAs(id, a.q.ref(e), ref); t.msg != nil {
				t.msg = &Message{enc: t.msg.enc, dest: t.msg.dest, id: id}
			}
		}
	} else {
		m, err := a.b.body(a.q, e)
		if err != nil {
			dst.unreserve(int64(e.size))
			return Errorf(CodeInternal, "a message of %s cannot be read: %w", a.q.dest.Name, err)
		}
		t.msg = &Message{enc: m.enc, dest: m.dest, id: id}
	}
	a.w.targets = append(a.w.targets, t)
	return nil
}

// reserveRoom returns a queue with room reserved for a message, as its policy allows.
func (b *Broker) reserveRoom(d Destination, e *entry) (*queue, error) {
	size := int64(e.size)
	for {
		q, err := b.queueFor(d, nil)
		if err != nil {
			return nil, err
		}
		if e.src == transient && !q.mayKeep(size) {
			return nil, Errorf(CodeStoreFull, "there is no memory left for non-persistent messages in the queue %s", d.Name)
		}
		if p := q.policy.Load(); !q.reserveWithin(p, size, limitsHold) {
			return nil, q.fullError(p)
		}
		if !q.deleted.Load() {
			return q, nil
		}
		q.unreserve(size)
		runtime.Gosched()
	}
}

// Origin is the queue, or durable subscription, where a dead letter with this overlay was before.
func Origin(overlay []byte) (Destination, bool) {
	for it := IterProperties(overlay); it.Next(); {
		if string(it.Name) == PropOriginalDestination {
			d, ok := it.Destination()
			return d, ok && (d.Kind == Queue || d.Kind == DurableSub)
		}
	}
	return Destination{}, false
}

// retryOverlay is what stays of a dead letter's overlay when it is sent back: its
// history, and how often that was done.
func retryOverlay(old []byte) []byte {
	var p Properties
	count := 0
	for it := IterProperties(old); it.Next(); {
		switch string(it.Name) {
		case PropDeathReason, PropDeathQueue, PropDeathCount:
			p.AddString(it.Name, it.Bytes)
		case PropSentTo, PropScheduleID:
			keepOrigin(&p, &it)
		case PropRetryCount:
			count, _ = strconv.Atoi(string(it.Bytes))
		}
	}
	p.Add(PropRetryCount, strconv.Itoa(count+1))
	return p.AppendTo(nil)
}

// Patience with a lane that is being loaded from the store.
const (
	takeTries = 500
	takePause = 2 * time.Millisecond
)

// takeAt takes the message at a place out of the queue, wherever it is, and counts
// it as in flight. Without one, held says that a consumer has it.
func (q *queue) takeAt(p Cursor) (e *entry, held bool) {
	for range takeTries {
		e, busy := q.tryTakeAt(p)
		if e != nil {
			return e, false
		}
		if !busy {
			break
		}
		time.Sleep(takePause)
	}
	return nil, q.holds(p.Seq)
}

// tryTakeAt looks in memory, then behind the window. busy: try again.
func (q *queue) tryTakeAt(p Cursor) (e *entry, busy bool) {
	if e := q.takeFromMemory(p); e != nil {
		return e, false
	}
	for src := range sources {
		st := q.b.storeOf(src)
		if st == nil || (src == durable && !q.durable) {
			continue
		}
		r, err := st.Find(store.Ref{Dest: q.id, Lane: p.Lane, Seq: p.Seq})
		if err != nil {
			if !errors.Is(err, store.ErrNotFound) {
				return nil, false
			}
			continue
		}
		return q.takeStored(src, &r)
	}
	return nil, false
}

func (q *queue) takeFromMemory(p Cursor) *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	for src := range sources {
		if e := q.lanes[src][p.Lane].ready.take(p.Seq); e != nil {
			q.takeOff(e)
			return e
		}
	}
	e := q.timed[p.Seq]
	if e == nil || e.lane != p.Lane {
		return nil
	}
	q.endDelay(e)
	q.takeOff(e)
	return e
}

// takeStored takes a reference of the store out of the queue, unless a consumer
// holds it or it is delayed. busy: its lane is being loaded, it will be in memory.
func (q *queue) takeStored(src source, r *store.Stored) (e *entry, busy bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ln := &q.lanes[src][r.Lane]
	if e = ln.ready.take(r.Seq); e != nil {
		q.takeOff(e)
		return e, false
	}
	if _, taken := q.out[r.Seq]; taken || !ln.paged || r.Seq <= ln.pagedAfter || r.Seq > ln.maxSeq {
		return nil, false
	}
	if ln.loading {
		return nil, true
	}
	e, err := q.stored(r, src)
	if err != nil {
		return nil, false
	}
	// It is behind the window and nobody's. What was read may be older than that.
	e.out = true
	q.hide(e)
	purges := q.purges
	q.mu.Unlock()
	_, err = q.b.storeOf(src).Find(r.Ref)
	q.mu.Lock()
	if err != nil || purges != q.purges {
		delete(q.out, r.Seq)
		return nil, false
	}
	q.takeOff(e)
	return e, false
}

// holds reports whether a consumer of the queue has the message.
func (q *queue) holds(seq store.Seq) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.subs {
		s.c.mu.Lock()
		for _, sl := range s.slots[s.head:] {
			if sl.state != slotFree && sl.q == q && sl.e != nil && sl.e.seq == seq {
				s.c.mu.Unlock()
				return true
			}
		}
		s.c.mu.Unlock()
	}
	return false
}

// CloseSubscription ends a subscription of a connection and reports whether there
// was one. What it holds goes back. The client is not told: it gets nothing more.
func (b *Broker) CloseSubscription(conn uint64, serial uint32) bool {
	b.connMu.Lock()
	c := b.conns[conn]
	b.connMu.Unlock()
	if c == nil {
		return false
	}
	var found *Subscription
	c.mu.Lock()
	for _, s := range c.subs {
		if s.serial == serial {
			found = s
		}
	}
	c.mu.Unlock()
	if found == nil {
		return false
	}
	found.Close()
	return true
}

// Matcher picks messages by a selector and by a text in their bodies.
type Matcher struct {
	b    *Broker
	f    *filter
	text []byte
}

// NewMatcher makes a Matcher; an empty selector or text lets everything through.
func (b *Broker) NewMatcher(selector, text string) (*Matcher, error) {
	f, err := newFilter(selector, SelectorSTOMP)
	if err != nil {
		return nil, err
	}
	return &Matcher{b: b, f: f, text: []byte(text)}, nil
}

// All reports whether the Matcher lets everything through.
func (m *Matcher) All() bool { return m.f == nil && len(m.text) == 0 }

// Matches reports whether a message is meant.
func (m *Matcher) Matches(x *Browsed) bool {
	if len(m.text) > 0 && !bytes.Contains(x.Message.Body(), m.text) {
		return false
	}
	return m.f.matches(m.b, x.Message, x.Dest, x.Attempts, x.Expiration, x.Overlay)
}

// NextSeq is a lower bound of the sequence number that the next message gets.
func (b *Broker) NextSeq() store.Seq { return b.store.NextSeq() }
