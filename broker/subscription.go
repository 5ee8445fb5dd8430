package broker

import (
	"slices"
	"time"

	"treadmq/store"
)

// SubscribeOptions say what a subscription wants.
type SubscribeOptions struct {
	ID            string        // the front end's name, for people
	Dests         []Destination // names may be patterns
	Selector      string
	SelectorMode  SelectorMode
	Auto          bool  // acknowledged when written
	Prefetch      int   // window in messages, 0 = policy
	PrefetchBytes int64 // window in bytes, 0 = policy
	Exclusive     bool
	Private       bool // no other connection's consumers on its queues
	Priority      int  // higher is served first
	NoLocal       bool
	Browser       bool
	Tail          bool          // a browser that goes on with what arrives
	AckTimeout    time.Duration // instead of the policy's; 0 = as it says
	PendingLimit  int           // topics: backlog in messages, 0 = policy
	Retroactive   bool          // topics: what the topic keeps comes first
	Most          uint64        // deliveries in all, then it is as after Stop; 0 = no limit
	// Durable makes it the consumer of a durable subscription, which is made if there is
	// none. Dests, Selector and NoLocal are not looked at.
	Durable *DurableOptions
	Shared  bool // lets other consumers of a durable subscription that ask for the same be there too
}

// Subscription delivers messages of queues and topics to a connection, as far as
// its credit goes. It keeps what is in flight in order of delivery.
type Subscription struct {
	c        *Conn
	serial   uint32
	opt      SubscribeOptions
	auto     bool
	patterns []Destination
	filter   *filter // nil: all messages

	// Guarded by c.mu.
	started     bool
	stopped     bool // for good
	closed      bool
	window      int
	windowBytes int64
	credit      int
	creditBytes int64
	slots       []slot // from head on in order of tag: in flight, or free
	head        int
	live        int    // slots that are not free
	next        uint64 // tag of the next delivery
	turn        int    // the queue that is dispatched first
	queues      []*queue
	topics      []*topic
	browser     *browser
	backlog     backlog // topics: what waits for credit
	spill       *spill  // topics: what waits behind that, on disk; nil: nothing ever
	spillFailed bool    // the temporary store refused the last message
	delivered   uint64
	acked       uint64
	evictedErr  bool
	slow        bool          // messages were dropped for it, and none was fed since
	hears       bool          // listens to advisories; does not change after Subscribe
	ackTimeout  time.Duration // 0 = none
	overdue     Overdue
	overdueTo   uint64    // last tag that was found overdue
	marks       []tagMark // when tags were handed out, oldest first; sweep's
}

// Delivery is a message on its way to a client.
type Delivery struct {
	Sub         *Subscription
	Message     *Message
	Dest        Destination // where it was delivered from
	Tag         uint64      // names the delivery within the subscription; 0 = needs no ack
	Seq         store.Seq
	Attempts    uint32 // 1 = first delivery
	Redelivered bool
	Expiration  int64  // ms since 1970, 0 = never; of this delivery, not of the message
	Overlay     []byte // encoded properties that win over the message's own
	GroupFirst  bool   // the first message of its group for this consumer
	BrowseEnd   bool
}

// Serial is the subscription's number within its connection.
func (s *Subscription) Serial() uint32 { return s.serial }

// Options returns what the subscription was made with.
func (s *Subscription) Options() SubscribeOptions { return s.opt }

// offer gives an entry to the subscription if it has credit. queue.mu is held.
func (s *Subscription) offer(q *queue, e *entry, k *wakes) bool {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.started || s.closed || s.credit <= 0 || s.creditBytes <= 0 {
		return false
	}
	s.credit--
	s.creditBytes -= int64(e.size)
	s.countDelivery()
	q.dispatched(e) // while the writer, who may forget the body, is kept out
	tag := s.push(slot{e: e, q: q, id: e.id, size: e.size, state: slotOut})
	c.out = append(c.out, Delivery{
		Sub: s, Message: e.msg, Dest: q.shownDest(e.msg, e.overlay), Tag: tag, Seq: e.seq, Attempts: e.attempts + 1,
		Redelivered: e.attempts > 0, Expiration: e.expiry, Overlay: e.overlay,
		GroupFirst: e.grp != nil && e.grp.offered(e.msg),
	})
	if q.isTraced() {
		q.traced(e.id, LifeEvent{Kind: LifeDelivered}.by(s))
	}
	k.note(c)
	return true
}

// Subscribe makes a subscription. Nothing is delivered before Start.
func (c *Conn) Subscribe(o SubscribeOptions) (*Subscription, error) {
	if o.Durable != nil {
		if err := c.authorizeDurable(o.Durable); err != nil {
			return nil, err
		}
		if err := c.b.OpenDurable(*o.Durable); err != nil {
			return nil, err
		}
		o.Dests, o.Selector, o.NoLocal = []Destination{{DurableSub, o.Durable.Name}}, "", false
	}
	if len(o.Dests) == 0 {
		return nil, Errorf(CodeBadDestination, "the subscription names no destination")
	}
	if err := c.b.checkSubscribe(c, &o); err != nil {
		return nil, err
	}
	sel, err := newFilter(o.Selector, o.SelectorMode)
	if err != nil {
		return nil, err
	}
	p := c.b.policy(o.Dests[0])
	if o.Durable != nil && len(o.Durable.Topics) > 0 {
		p.DurablePrefetch = c.b.policy(Destination{Topic, o.Durable.Topics[0]}).DurablePrefetch
	}
	s := &Subscription{c: c, opt: o, filter: sel, auto: o.Auto, next: 1, window: o.Prefetch, windowBytes: o.PrefetchBytes}
	if s.window <= 0 {
		s.window = max(p.prefetchFor(&o), 1)
	}
	if s.windowBytes <= 0 {
		s.windowBytes = p.PrefetchBytes
	}
	if s.windowBytes <= 0 {
		s.windowBytes = 1 << 62
	}
	s.credit, s.creditBytes = s.window, s.windowBytes
	s.applyPolicy(&p)
	for _, d := range o.Dests { // before anybody else can see the subscription
		if d.IsPattern() && !o.Browser || o.Tail {
			s.patterns = append(s.patterns, d)
		}
		s.hears = s.hears || mayHear(d)
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, Errorf(CodeClosing, "the connection is closed")
	}
	c.nsubs++
	s.serial = c.nsubs
	c.subs = append(c.subs, s)
	c.b.listen(s)
	c.mu.Unlock()
	attach := c.b.attach
	switch {
	case o.Tail:
		attach = c.b.follow
	case o.Browser:
		attach = c.b.startBrowser
	}
	err = c.Authorize(RightRead, o.Dests...) // after it is listed: from now on SetGuard finds it
	if err == nil {
		err = attach(s)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	c.mu.Lock()
	gone, watched := s.closed, s.ackTimeout > 0 && !s.auto // a changed policy may set it from now on
	c.mu.Unlock()
	if watched {
		c.b.watch(s)
	}
	if gone { // with its connection, perhaps before it was listed everywhere
		c.b.detach(s, nil, nil)
		return nil, Errorf(CodeClosing, "the connection is closed")
	}
	if s.hears { // too late to hear of the start
		c.b.advise(advisory{what: "MasterBroker", plain: true, event: "started"})
	}
	return s, nil
}

// Start lets deliveries begin. Topic messages count from Subscribe on.
func (s *Subscription) Start() {
	s.c.mu.Lock()
	if s.closed || s.stopped || s.started {
		s.c.mu.Unlock()
		return
	}
	s.started = true
	s.c.mu.Unlock()
	s.pump()
}

// countDelivery counts a delivery; the last that is wanted ends dispatch. c.mu is held.
func (s *Subscription) countDelivery() {
	if s.delivered++; s.delivered == s.opt.Most {
		s.started, s.stopped = false, true
	}
}

// Stop ends dispatch for good: Output has no Delivery of the subscription afterwards. What the writer has taken already
// may still be written and acknowledged; when it has been, Close returns only what nobody has seen.
func (s *Subscription) Stop() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.started, s.stopped = false, true
	s.c.out = slices.DeleteFunc(s.c.out, func(d Delivery) bool { return d.Sub == s })
}

// Close ends the subscription. What it holds goes back to the queues: what the
// writer had taken counts as delivered once, what it had not is as before. No
// Delivery of it comes out of Output afterwards.
func (s *Subscription) Close() {
	c := s.c
	c.mu.Lock()
	if s.closed {
		c.mu.Unlock()
		return
	}
	s.closed = true
	var back []settle
	for i := s.head; i < len(s.slots); i++ {
		if sl := &s.slots[i]; sl.state == slotOut && sl.e != nil { // an open transaction keeps its own
			back = append(back, settle{q: sl.q, e: sl.e, ack: Ack{Kind: AckRelease}, taken: sl.taken})
		}
	}
	s.slots, s.head, s.live = nil, 0, 0
	c.out = slices.DeleteFunc(c.out, func(d Delivery) bool { return d.Sub == s })
	c.subs = slices.DeleteFunc(c.subs, func(x *Subscription) bool { return x == s })
	s.backlog.clear()
	s.endSpill()
	queues, topics := s.queues, s.topics
	c.mu.Unlock()
	c.b.deaf(s)

	c.returnAll(back)
	c.b.detach(s, queues, topics) // now the next exclusive consumer finds all in order
	var k wakes
	for _, q := range queues {
		q.mu.Lock()
		q.dispatch(&k)
		q.mu.Unlock()
	}
	k.flush()
}
