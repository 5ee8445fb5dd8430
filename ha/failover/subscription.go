package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-stomp/stomp/v3/frame"
)

// Subscription receives messages of one destination. It outlives connections;
// it ends with Unsubscribe, with its Conn, or when a broker refuses to resume
// it. All methods may be used by any number of goroutines.
type Subscription struct {
	c       *Conn
	id      string
	dest    string
	mode    AckMode
	headers []Header

	notify chan struct{} // one token: there may be messages
	ended  chan struct{} // closed with err

	// Guarded by Conn.mu.
	buf       []*Message
	asked     *item // the latest SUBSCRIBE, nil once confirmed
	err       error // why it ended
	confirmed bool  // a broker has accepted it once
	strikes   int
}

// Subscribe starts to receive from a destination (STOMP 1.2 SUBSCRIBE) and
// waits for the broker's RECEIPT. Headers such as selector or
// activemq.prefetchSize are sent as they are, again with each reconnect; an id
// header replaces the id made here. With AckAuto the broker sends as fast as
// TCP allows, and messages under way when a connection ends are lost.
func (c *Conn) Subscribe(ctx context.Context, destination string, mode AckMode, headers ...Header) (*Subscription, error) {
	if destination == "" || mode < AckAuto || mode > AckClientIndividual {
		return nil, errors.New("subscribe: the destination is empty or the ack mode not known")
	}
	if err := checkHeaders("subscribe", headers, frame.Destination, frame.Ack, frame.Receipt, frame.Transaction, frame.ContentLength); err != nil {
		return nil, err
	}
	sub := &Subscription{
		c: c, dest: destination, mode: mode,
		headers: slices.DeleteFunc(slices.Clone(headers), func(h Header) bool { return h.Name == frame.Id }),
		notify:  make(chan struct{}, 1),
		ended:   make(chan struct{}),
	}
	if err := c.register(ctx, sub, headers); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", destination, err)
	}
	c.mu.Lock()
	err := c.waitLocked(ctx, func() bool { return sub.confirmed || sub.err != nil })
	if err == nil {
		err = sub.err
	}
	c.mu.Unlock()
	if err != nil {
		sub.abandon()
		return nil, fmt.Errorf("subscribe to %s: %w", destination, err)
	}
	return sub, nil
}

// register adds the subscription and writes SUBSCRIBE, if there is a
// connection to write to; attach does it later otherwise.
func (c *Conn) register(ctx context.Context, sub *Subscription, headers []Header) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.waitForRoom(ctx, &item{}); err != nil {
		return err
	}
	sub.id = c.nextID("s")
	for _, h := range headers {
		if h.Name == frame.Id {
			sub.id = h.Value
		}
	}
	if c.subByID[sub.id] != nil {
		return fmt.Errorf("the id %q is in use by another subscription of this connection", sub.id)
	}
	c.subs = append(c.subs, sub)
	c.subByID[sub.id] = sub
	if c.sess != nil {
		c.pushLocked(sub.subscribeItem())
	}
	return nil
}

// subscribeItem makes the SUBSCRIBE for the present connection. Holds mu.
func (s *Subscription) subscribeItem() *item {
	it := &item{sub: s, receipt: s.c.nextID("r")}
	pairs := []string{frame.Id, s.id, frame.Destination, s.dest, frame.Ack, s.mode.String(), frame.Receipt, it.receipt}
	for _, h := range s.headers {
		pairs = append(pairs, h.Name, h.Value)
	}
	it.frame = frame.New(frame.SUBSCRIBE, pairs...)
	it.done = s.subscribed
	s.asked = it
	return it
}

// subscribed takes the outcome of one SUBSCRIBE. A lost connection is none:
// the next one subscribes again.
func (s *Subscription) subscribed(err error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	switch {
	case err == nil:
		s.asked = nil
		s.confirmed = true
		s.strikes = 0
	case errors.Is(err, ErrInterrupted) || errors.Is(err, ErrInDoubt):
		return
	default:
		s.c.forget(s)
		s.endLocked(err)
	}
	s.c.notify()
}

// abandon ends a subscription whose Subscribe failed.
func (s *Subscription) abandon() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.err != nil {
		return
	}
	s.c.forget(s)
	s.endLocked(ErrClosed)
	if s.c.sess != nil {
		// A broker that did subscribe would go on sending.
		s.c.pushLocked(&item{frame: frame.New(frame.UNSUBSCRIBE, frame.Id, s.id)})
	}
}

// forget takes a subscription out of those to resume. Holds mu.
func (c *Conn) forget(s *Subscription) {
	if c.subByID[s.id] != s {
		return // ended before
	}
	delete(c.subByID, s.id)
	c.subs = slices.DeleteFunc(c.subs, func(o *Subscription) bool { return o == s })
}

// endLocked ends Receive with err after what is buffered in mode auto. Holds mu.
func (s *Subscription) endLocked(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	s.dropUnacked()
	close(s.ended)
}

// dropUnacked throws away buffered messages that the broker delivers again.
// Holds mu.
func (s *Subscription) dropUnacked() {
	if s.mode == AckAuto {
		return
	}
	for _, m := range s.buf {
		s.c.uncount(m)
	}
	s.buf = nil
}

// ID returns the id of SUBSCRIBE.
func (s *Subscription) ID() string { return s.id }

// Destination returns the destination subscribed to.
func (s *Subscription) Destination() string { return s.dest }

// Receive returns the next message, waiting for it at most until ctx ends. It
// waits over reconnects. After the end of the subscription it gives the
// reason: ErrClosed, a ServerError, or that of the Conn.
func (s *Subscription) Receive(ctx context.Context) (*Message, error) {
	for {
		m, err := s.next()
		if m != nil || err != nil {
			return m, err
		}
		select {
		case <-s.notify:
		case <-s.ended:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// next takes a buffered message; nil and nil when there is none yet.
func (s *Subscription) next() (*Message, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if len(s.buf) == 0 {
		return nil, s.err
	}
	m := s.buf[0]
	s.buf[0] = nil
	s.buf = s.buf[1:]
	s.c.uncount(m)
	if !s.c.bufferFull() {
		s.c.readerMayGoOn()
	}
	if len(s.buf) > 0 {
		s.signal() // for another goroutine in Receive
	}
	return m, nil
}

func (s *Subscription) signal() {
	select {
	case s.notify <- struct{}{}:
	default: // a token is there already
	}
}

// Unsubscribe ends the subscription (STOMP 1.2 UNSUBSCRIBE) and waits for the
// broker's RECEIPT; without a connection there is nothing to tell. Messages
// not acknowledged go back to the destination. Headers such as
// activemq.subscriptionName are sent as they are.
func (s *Subscription) Unsubscribe(ctx context.Context, headers ...Header) error {
	if err := checkHeaders("unsubscribe", headers, frame.Id, frame.Receipt, frame.ContentLength); err != nil {
		return err
	}
	c := s.c
	result := make(chan error, 1)
	it := &item{done: func(err error) { result <- err }}
	c.mu.Lock()
	if s.err != nil || c.sess == nil {
		c.forget(s)
		s.endLocked(ErrClosed)
		c.mu.Unlock()
		return nil
	}
	c.forget(s)
	s.endLocked(ErrClosed)
	it.receipt = c.nextID("r")
	it.frame = frame.New(frame.UNSUBSCRIBE, frame.Id, s.id, frame.Receipt, it.receipt)
	for _, h := range headers {
		it.frame.Header.Add(h.Name, h.Value)
	}
	c.pushLocked(it)
	c.mu.Unlock()
	select {
	case err := <-result:
		if err == nil || errors.Is(err, ErrInterrupted) || errors.Is(err, ErrInDoubt) {
			return nil // in the latter cases the subscription went with its connection
		}
		return fmt.Errorf("unsubscribe from %s: %w", s.dest, err)
	case <-ctx.Done(): // UNSUBSCRIBE stays on its way
		return fmt.Errorf("unsubscribe from %s: no receipt: %w", s.dest, ctx.Err())
	}
}
