package broker

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Sink is the front end's side of a connection. Its methods never block and may
// be called from any goroutine.
type Sink interface {
	// Wake says that Output has something, or that parked sends went through.
	Wake()
	// Kill asks the front end to tell the client why and to close in order.
	Kill(err error)
}

// Prober is a Sink that can find out whether its client is still there.
type Prober interface {
	// Alive sends the client something that means nothing and reports whether its system
	// answered within patience. It may block so long. What cannot be found out is alive.
	Alive(patience time.Duration) bool
}

// Conflict says what happens when a connection comes with a client id that another one has.
type Conflict uint8

// Choices for Conflict.
const (
	ConflictReject Conflict = iota // the newcomer is refused
	ConflictProbe                  // it is refused unless the other one's Sink is a Prober and not alive
	ConflictSteal                  // the other one is ended
)

// ConnOptions describe a connection to the registry.
type ConnOptions struct {
	Protocol string // "STOMP 1.2"
	Listener string
	Remote   string
	Local    string
	User     string
	ClientID string
	Conflict Conflict // over the client id
	TLS      bool
	Beats    HeartBeats
	// Trusted connections may do everything, whatever the Guard says.
	Trusted bool
	Sink    Sink
}

// HeartBeats are how often the two ends of a connection show each other that they are there; 0: never.
type HeartBeats struct {
	ToClient   time.Duration // the server sends something at least as often
	FromClient time.Duration // the client does; a little more than twice as long without is the end
}

// Conn is one client connection: the owner of subscriptions, transactions and
// temporary destinations. Frames of a connection are handled by one goroutine (the
// reader), output is taken by another (the writer); methods say which.
type Conn struct {
	b       *Broker
	serial  uint64
	opt     ConnOptions
	since   time.Time
	auto    *Work                // writer's: acknowledgements of auto mode
	spare   atomic.Pointer[Work] // the one before, when it is done
	lastDst Destination
	lastQ   *queue      // reader's: what lastDst was resolved to
	topics  topicPolicy // reader's
	grants  grants      // reader's

	// Reader's: what it sends where, see Produced.
	lastProduced Destination
	lastProducer *producer
	producing    map[Destination]*producer

	// mu guards what follows and everything of the connection's subscriptions.
	// Order: queue.mu before Conn.mu.
	mu     sync.Mutex
	closed bool
	out    []Delivery // waiting for the writer
	dirty  bool       // a wake-up is owed
	subs   []*Subscription
	nsubs  uint32
	txs    map[string]*Tx
	temps  []Destination
	ntemp  uint32

	parked   int           // bytes of sends that wait for room, guarded by Broker.parkMu
	sent     atomic.Uint64 // deliveries written
	received atomic.Uint64 // messages taken
}

// Connect registers a connection.
func (b *Broker) Connect(o ConnOptions) (*Conn, error) {
	if o.Sink == nil {
		return nil, Errorf(CodeInternal, "a connection needs a Sink")
	}
	c := &Conn{b: b, opt: o, since: b.now(), txs: map[string]*Tx{}}
	b.connMu.Lock()
	defer b.connMu.Unlock()
	if b.closing {
		return nil, Errorf(CodeClosing, "the broker is shutting down")
	}
	if o.ClientID != "" {
		if err := b.awaitClientID(&o); err != nil {
			return nil, err
		}
		b.clientIDs[o.ClientID] = c
	}
	b.nconns++
	c.serial = b.nconns
	c.auto = c.NewWork()
	b.conns[c.serial] = c
	b.advise(advisory{what: "Connection", plain: true, event: "started", conn: c})
	return c, nil
}

// How long a newcomer waits for the connection that has its client id: one that was
// just closed is often still being taken down when its client is back.
const (
	clientIDGrace = 500 * time.Millisecond
	clientIDSteal = 10 * time.Second // it was told to go
	clientIDProbe = 3 * time.Second  // for a sign of life
)

// awaitClientID waits until nobody has the client id. connMu is held, but not while
// it waits.
func (b *Broker) awaitClientID(o *ConnOptions) error {
	other := b.clientIDs[o.ClientID]
	if other == nil {
		return nil
	}
	patience := clientIDGrace
	steal := o.Conflict == ConflictSteal
	if p, ok := other.opt.Sink.(Prober); ok && o.Conflict == ConflictProbe {
		b.connMu.Unlock()
		steal = !p.Alive(clientIDProbe)
		b.connMu.Lock()
	}
	if steal {
		patience = clientIDSteal
		other.opt.Sink.Kill(Errorf(CodeInUse, "a connection from %s has taken over the client id %q", o.Remote, o.ClientID))
	}
	late := false // guarded by connMu
	timer := time.AfterFunc(patience, func() {
		b.connMu.Lock()
		defer b.connMu.Unlock()
		late = true
		b.connGone.Broadcast()
	})
	defer timer.Stop()
	for b.clientIDs[o.ClientID] == other && !late && !b.closing {
		b.connGone.Wait()
	}
	switch now := b.clientIDs[o.ClientID]; {
	case b.closing:
		return Errorf(CodeClosing, "the broker is shutting down")
	case now != nil:
		return Errorf(CodeInUse, "the client id %q is in use by the connection from %s", o.ClientID, now.opt.Remote)
	}
	return nil
}

// Serial is the connection's number, unique while the broker runs.
func (c *Conn) Serial() uint64 { return c.serial }

// Info returns what the connection was registered with.
func (c *Conn) Info() ConnOptions { return c.opt }

// Close ends the connection: its transactions are aborted, what it holds goes
// back to the queues, its temporary destinations are deleted. Idempotent.
func (c *Conn) Close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	var back []settle
	for _, t := range c.txs {
		t.end()
		back = append(back, t.giveUp()...)
	}
	subs, temps := slices.Clone(c.subs), c.temps
	c.mu.Unlock()
	c.returnAll(back)
	c.b.dropParked(c)
	c.b.producerGone(c)
	defer c.b.advise(advisory{what: "Connection", plain: true, event: "stopped", conn: c})
	for _, s := range subs {
		s.Close()
	}
	for _, d := range temps {
		c.b.deleteTemp(d)
	}
	c.b.connMu.Lock()
	delete(c.b.conns, c.serial)
	if c.opt.ClientID != "" && c.b.clientIDs[c.opt.ClientID] == c {
		delete(c.b.clientIDs, c.opt.ClientID)
	}
	c.b.connGone.Broadcast()
	c.b.connMu.Unlock()
}

// returnAll puts deliveries back into their queues.
func (c *Conn) returnAll(back []settle) {
	w := c.NewWork()
	w.settled, w.lazy = back, true
	w.Flush(nil)
}

// Output appends the deliveries that wait and forgets them. Writer only.
func (c *Conn) Output(buf []Delivery) []Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = false
	for i := range c.out {
		d := &c.out[i]
		if s := d.Sub.slot(d.Tag); s != nil {
			s.taken = true
		}
	}
	buf = append(buf, c.out...)
	clear(c.out)
	c.out = c.out[:0]
	if cap(c.out) > 4096 {
		c.out = nil
	}
	return buf
}

// Written says that the bytes of these deliveries left the front end's buffer:
// auto mode acknowledges here, and bodies that can be read again leave memory.
// Writer only.
func (c *Conn) Written(ds []Delivery) {
	acks := false
	c.mu.Lock()
	for i := range ds {
		d := &ds[i]
		s := d.Sub
		if s.auto {
			acks = true
			continue
		}
		if sl := s.slot(d.Tag); sl != nil && sl.e != nil && sl.e.stored {
			sl.q.release(sl.e)
			sl.e.msg = nil
		}
	}
	c.mu.Unlock()
	c.sent.Add(uint64(len(ds)))
	if !acks {
		return
	}
	w := c.auto
	for i := range ds {
		if s := ds[i].Sub; s.auto {
			w.ackOne(&ds[i])
		}
	}
	if w.Empty() {
		return
	}
	w.lazy = true
	if c.auto = c.spare.Swap(nil); c.auto == nil {
		c.auto = c.NewWork()
	}
	w.Flush(func(error) { c.spare.Store(w) })
}

// CreateTemp makes a temporary destination that belongs to the connection. Reader only.
func (c *Conn) CreateTemp(k Kind) (Destination, error) {
	if !k.IsTemporary() {
		return Destination{}, Errorf(CodeBadDestination, "%s is not temporary", k)
	}
	if err := c.Authorize(RightAdmin, Destination{Kind: k}); err != nil {
		return Destination{}, err
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return Destination{}, Errorf(CodeClosing, "the connection is closed")
	}
	c.ntemp++
	d := Destination{k, fmt.Sprintf("%s.%d-%d", c.b.node, c.serial, c.ntemp)}
	c.temps = append(c.temps, d)
	c.mu.Unlock()
	c.b.createTemp(d, c)
	c.mu.Lock()
	gone := c.closed
	c.mu.Unlock()
	if gone { // Close may have looked for it before it was there
		c.b.deleteTemp(d)
		return Destination{}, Errorf(CodeClosing, "the connection is closed")
	}
	return d, nil
}

// wakes collects connections that are owed a wake-up.
type wakes struct{ conns []*Conn }

// note is called with c.mu held.
func (k *wakes) note(c *Conn) {
	if !c.dirty {
		c.dirty = true
		k.conns = append(k.conns, c)
	}
}

func (k *wakes) flush() {
	for i, c := range k.conns {
		c.opt.Sink.Wake()
		k.conns[i] = nil
	}
	k.conns = k.conns[:0]
}
