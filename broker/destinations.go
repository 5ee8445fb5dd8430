package broker

import (
	"runtime"
	"slices"

	"treadmq/store"
)

// queueFor returns a queue and makes it when there is none. Temporary queues are
// made by CreateTemp only.
func (b *Broker) queueFor(d Destination, c *Conn) (*queue, error) {
	if c != nil && c.lastQ != nil && c.lastDst == d {
		if q := c.lastQ; !q.deleted.Load() {
			return q, nil
		}
	}
	b.destMu.RLock()
	q := b.queues[d]
	b.destMu.RUnlock()
	if q == nil {
		var err error
		if q, err = b.createQueue(d, Hints{}); err != nil {
			return nil, err
		}
	}
	if c != nil {
		c.lastDst, c.lastQ = d, q
	}
	return q, nil
}

func (b *Broker) createQueue(d Destination, h Hints) (*queue, error) {
	if d.Kind == TempQueue {
		return nil, Errorf(CodeNoDestination, "the temporary queue %s is gone, or never was", d.Name)
	}
	if d.Kind == DurableSub {
		return nil, Errorf(CodeNoDestination, "there is no durable subscription %q; subscribe to its topic to make it", d.Name)
	}
	b.destMu.Lock()
	if err := d.Check(b.sharedPattern(d)); err != nil {
		b.destMu.Unlock()
		return nil, err
	}
	if q := b.queues[d]; q != nil {
		b.destMu.Unlock()
		return q, nil
	}
	if len(b.queues)+len(b.topics) >= b.opt.MaxDestinations {
		b.destMu.Unlock()
		return nil, Errorf(CodeLimit, "there are %d destinations already, the most allowed; delete some", b.opt.MaxDestinations)
	}
	if err := b.mayCreate(d); err != nil {
		b.destMu.Unlock()
		return nil, err
	}
	b.nextDest++
	q := b.newQueue(d, store.DestID(b.nextDest))
	q.setHints(h)
	put := &store.Batch{Lazy: true, Done: func(*store.Batch, error) {}}
	if b.isFed(q) {
		q.listed = make(chan struct{})
		put.Lazy, put.Done = false, func(*store.Batch, error) { close(q.listed) }
	}
	b.putQueue(put, q)
	// Appended under the lock: nobody sends to the queue before its name is in the journal.
	if err := b.store.Append(put); err != nil {
		b.destMu.Unlock()
		return nil, b.storeError(err)
	}
	b.queues[d], b.byID[q.id] = q, q
	b.connectFeeds(q)
	wild := slices.Clone(b.wild)
	b.destMu.Unlock()
	b.log.Info("queue created", "dest", d.Name)
	b.adviseDestination(d, "created")
	for _, s := range wild {
		switch {
		case !s.wants(d):
		case s.opt.Browser:
			q.follow(s)
		default:
			_ = b.attachQueue(s, q) // it may be deleted already, or be somebody's own
		}
	}
	return q, nil
}

func (b *Broker) createTemp(d Destination, c *Conn) {
	b.adviseDestination(d, "created")
	b.destMu.Lock()
	defer b.destMu.Unlock()
	if d.Kind == TempTopic {
		b.topics[d] = newTopic(b, d, c)
		return
	}
	b.nextDest++
	q := b.newQueue(d, store.DestID(b.nextDest))
	q.owner = c
	b.queues[d], b.byID[q.id] = q, q
}

func (b *Broker) deleteTemp(d Destination) {
	b.adviseDestination(d, "deleted")
	b.destMu.Lock()
	q := b.queues[d]
	delete(b.queues, d)
	delete(b.topics, d)
	if q != nil {
		delete(b.byID, q.id)
	}
	b.destMu.Unlock()
	if q != nil {
		q.clearDeleted()
	}
}

// TempOwner returns the serial of the connection that a temporary destination belongs to.
func (b *Broker) TempOwner(d Destination) (conn uint64, ok bool) {
	b.destMu.RLock()
	defer b.destMu.RUnlock()
	if q := b.queues[d]; q != nil && q.owner != nil {
		return q.owner.serial, true
	}
	if t := b.topics[d]; t != nil && t.owner != nil {
		return t.owner.serial, true
	}
	return 0, false
}

func (b *Broker) topicFor(d Destination) (*topic, error) {
	b.destMu.RLock()
	t := b.topics[d]
	b.destMu.RUnlock()
	if t != nil {
		return t, nil
	}
	if d.Kind == TempTopic {
		return nil, Errorf(CodeNoDestination, "the temporary topic %s is gone, or never was", d.Name)
	}
	if err := CheckName(d.Name, false); err != nil {
		return nil, err
	}
	b.destMu.Lock()
	defer b.destMu.Unlock()
	if t := b.topics[d]; t != nil {
		return t, nil
	}
	if len(b.queues)+len(b.topics) >= b.opt.MaxDestinations {
		return nil, Errorf(CodeLimit, "there are %d destinations already, the most allowed; delete some", b.opt.MaxDestinations)
	}
	if err := b.mayCreate(d); err != nil {
		return nil, err
	}
	t = newTopic(b, d, nil)
	t.fan.Store(b.topicFan(d))
	b.topics[d] = t
	if !isAdvisory(d) {
		b.adviseDestination(d, "created")
	}
	for _, s := range b.wild {
		if s.wants(d) {
			t.add(s)
		}
	}
	return t, nil
}

// wants reports whether one of the subscription's patterns matches.
func (s *Subscription) wants(d Destination) bool {
	for _, p := range s.patterns {
		if p.Kind == d.Kind && p.Covers(d.Name) && (mayHear(p) || !isAdvisory(d)) {
			return true
		}
	}
	return false
}

func (b *Broker) checkSubscribe(c *Conn, o *SubscribeOptions) error {
	for _, d := range o.Dests {
		switch d.Kind {
		case DurableSub:
			if _, err := b.existing(d); err != nil {
				return err
			}
		case Queue, Topic:
			if err := CheckName(d.Name, true); err != nil {
				return err
			}
			if err := b.MayName(d); err != nil {
				return err
			}
		case TempQueue, TempTopic:
			owner, ok := b.TempOwner(d)
			if !ok {
				return Errorf(CodeNoDestination, "the %s %s is gone, or never was", d.Kind, d.Name)
			}
			if owner != c.serial && !b.policy(d).StealTemp {
				return Errorf(CodeNotAuthorized, "the %s %s belongs to another connection; only its owner may consume from it", d.Kind, d.Name)
			}
		default:
			return Errorf(CodeBadDestination, "a subscription to kind %d is not possible", d.Kind)
		}
	}
	if o.Browser {
		for _, d := range o.Dests {
			if !d.Kind.IsQueue() {
				return Errorf(CodeBadRequest, "%s is a topic, which keeps nothing to browse", d.Name)
			}
		}
	}
	return nil
}

// attach connects a subscription to its destinations, present and future.
func (b *Broker) attach(s *Subscription) error {
	for _, d := range s.opt.Dests {
		if d.IsPattern() {
			continue // below
		}
		var err error
		if d.Kind.IsQueue() {
			err = b.joinQueue(s, d)
		} else {
			err = b.joinTopic(s, d)
		}
		if err != nil {
			return err
		}
	}
	if len(s.patterns) == 0 {
		return nil
	}
	for _, q := range b.joinWild(s) {
		_ = b.attachQueue(s, q) // as above
	}
	return b.sharePatterns(s)
}

// joinWild makes a subscription with patterns known, so that it is told of what is made later. It subscribes to the topics that
// there are and returns the queues.
func (b *Broker) joinWild(s *Subscription) (queues []*queue) {
	b.destMu.Lock()
	defer b.destMu.Unlock()
	b.wild = append(b.wild, s)
	for d, q := range b.queues {
		if s.wants(d) {
			queues = append(queues, q)
		}
	}
	for d, t := range b.topics {
		if s.wants(d) {
			t.add(s)
		}
	}
	return queues
}

// sharePatterns makes the queues of those patterns that consume from virtual
// topics: Consumer.A.VirtualTopic.> gets what all topics that it covers are sent.
func (b *Broker) sharePatterns(s *Subscription) error {
	for _, d := range s.patterns {
		b.destMu.RLock()
		shared := b.sharedPattern(d)
		b.destMu.RUnlock()
		if !shared {
			continue
		}
		if err := b.joinQueue(s, d); err != nil {
			return err
		}
	}
	return nil
}

// sharedPattern reports whether a pattern of queues names a consumer of virtual
// topics. Such a queue has a name with wildcards. destMu is held.
func (b *Broker) sharedPattern(d Destination) bool {
	if d.Kind != Queue || !d.IsPattern() {
		return false
	}
	for i := range b.routing.Virtual {
		if who, _, ok := b.routing.Virtual[i].consumer(d.Name); ok && !IsPattern(who[:len(who)-1]) {
			return true
		}
	}
	return false
}

// joinQueue attaches a subscription to a queue, which may be deleted and made
// again meanwhile.
func (b *Broker) joinQueue(s *Subscription, d Destination) error {
	for {
		q, err := b.queueFor(d, nil)
		if err != nil {
			return err
		}
		if err := b.attachQueue(s, q); err != errDeleted {
			if q.listed != nil {
				<-q.listed // what is published from now on is kept for it, also after a power cut
			}
			return err
		}
		runtime.Gosched()
	}
}

func (b *Broker) joinTopic(s *Subscription, d Destination) error {
	for {
		t, err := b.topicFor(d)
		if err != nil {
			return err
		}
		b.destMu.RLock()
		listed := b.topics[d] == t
		if listed {
			t.add(s)
		}
		b.destMu.RUnlock()
		if listed {
			return nil
		}
	}
}

// errDeleted says that a queue was deleted meanwhile.
var errDeleted error = Errorf(CodeNoDestination, "the queue was deleted at this moment; try again")

// admits says why a subscription may not join, or nil. q.mu is held.
func (q *queue) admits(s *Subscription) error {
	foreign := func(x *Subscription) bool { return x.c != s.c }
	switch {
	case q.deleted.Load():
		return errDeleted
	case q.private != nil && q.private != s.c:
		return Errorf(CodeInUse, "the queue %q is another connection's own (exclusive) as long as that has a consumer", q.dest.Name)
	case s.opt.Private && slices.ContainsFunc(q.subs, foreign):
		return Errorf(CodeInUse, "the queue %q has consumers of other connections, so it cannot be this connection's own (exclusive)", q.dest.Name)
	}
	return q.mayJoin(s)
}

// attachQueue makes a subscription a consumer of the queue. errDeleted: it is gone.
func (b *Broker) attachQueue(s *Subscription, q *queue) error {
	var k wakes
	q.mu.Lock()
	if err := q.admits(s); err != nil {
		q.mu.Unlock()
		return err
	}
	s.c.mu.Lock()
	add := !s.closed && !slices.Contains(s.queues, q)
	if add {
		s.queues = append(s.queues, q)
	}
	s.c.mu.Unlock()
	if add {
		q.attended = true
		if s.opt.Private {
			q.private = s.c
		}
		if q.dsub != nil {
			q.dsub.last.Store(s.c)
		}
		q.addConsumer(s)
		q.dispatch(&k)
	}
	n := len(q.subs)
	q.mu.Unlock()
	k.flush()
	if add {
		b.adviseConsumer(q.dest, s, "started", n)
	}
	return nil
}

func (b *Broker) detach(s *Subscription, queues []*queue, topics []*topic) {
	if len(s.patterns) > 0 {
		b.destMu.Lock()
		b.wild = slices.DeleteFunc(b.wild, func(x *Subscription) bool { return x == s })
		b.destMu.Unlock()
		b.unfollow(s)
	}
	for _, q := range queues {
		q.mu.Lock()
		q.removeConsumer(s)
		n := len(q.subs)
		q.mu.Unlock()
		b.adviseConsumer(q.dest, s, "stopped", n)
		q.left()
	}
	for _, t := range topics {
		t.remove(s)
	}
}
