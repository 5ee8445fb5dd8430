package admin

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"treadmq/broker"
)

// Bounds of what receiving over HTTP keeps between requests.
const (
	maxRestClients = 1000            // kept subscriptions to topics
	maxRestOfUser  = 100             // of those of one user
	restIdle       = 5 * time.Minute // without a request, then a kept subscription ends
	maxLeases      = 1000            // messages that wait for their acknowledgement
)

// restKey names a client: two users may choose the same id.
type restKey struct{ user, client string }

// restSub is one kept subscription of a client.
type restSub struct {
	restKey
	dest     broker.Destination
	selector string
}

// restClients are the subscriptions to topics that last longer than a request, and the
// messages that were handed out until they are acknowledged.
type restClients struct {
	waiting chan struct{} // a slot for each request that waits for a message
	idle    time.Duration

	mu     sync.Mutex // guards what follows
	kept   map[restSub]*receiver
	leases map[string]*leased
	closed bool
}

// leased is a message that a client has to acknowledge.
type leased struct {
	user  string
	rc    *receiver
	timer *time.Timer
}

func newRestClients() *restClients {
	return &restClients{waiting: make(chan struct{}, maxReceivers), idle: restIdle, kept: map[restSub]*receiver{}, leases: map[string]*leased{}}
}

// receiver is a subscription that takes one message at a time. One request uses it.
type receiver struct {
	conn  *broker.Conn
	sub   *broker.Subscription
	sink  *restSink
	held  []broker.Delivery // handed out by the broker and not acknowledged
	again bool              // the first of held was written before, to a client that did not get it

	// Of those that are kept:
	all   *restClients
	key   restSub
	timer *time.Timer // ends it when nobody asks any more

	// Guarded by all.mu:
	busy   chan struct{} // a request uses it, which closes this at its end; nil: none does
	handed bool          // that has its message, so that its client may ask for the next already
}

// restSink is woken by the broker.
type restSink struct {
	wake chan struct{}
	once sync.Once
	dead chan struct{} // closed by Kill
	err  error         // why; set before dead is closed
}

func newRestSink() *restSink {
	return &restSink{wake: make(chan struct{}, 1), dead: make(chan struct{})}
}

// Wake implements broker.Sink.
func (k *restSink) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Kill implements broker.Sink.
func (k *restSink) Kill(err error) {
	k.once.Do(func() {
		k.err = err
		close(k.dead)
	})
}

// killed reports whether somebody asked the connection to go.
func (k *restSink) killed() bool {
	select {
	case <-k.dead:
		return true
	default:
		return false
	}
}

// receiver returns the subscription for a request: a topic's is kept for a client with
// an id, so that nothing is missed between its requests; everything else lasts for the
// request.
func (c *restClients) receiver(s *Server, r *http.Request, a restAsk) (*receiver, error) {
	if a.client == "" || a.oneShot || a.dest.Kind.IsQueue() {
		return s.openReceiver(r, a)
	}
	if len(a.client) > maxCredential {
		return nil, badRequest("The clientId is too long.")
	}
	key := restSub{restKey{userOf(r).Name, a.client}, a.dest, a.selector}
	for {
		rc, wait, err := c.keep(s, r, a, key)
		if wait == nil {
			return rc, err
		}
		select {
		case <-wait: // the request before, which only has to acknowledge
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// keep returns the kept subscription for a request, or what to wait for before asking again.
func (c *restClients) keep(s *Server, r *http.Request, a restAsk, key restSub) (rc *receiver, wait <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rc = c.kept[key]
	switch {
	case rc == nil:
	case rc.busy != nil && rc.handed:
		return nil, rc.busy, nil
	case rc.busy != nil:
		return nil, nil, broker.Errorf(broker.CodeInUse, "another request of the client %q waits for this destination", a.client)
	case rc.sink.killed(): // somebody closed its connection: begin anew
		c.drop(rc)
	default:
		rc.timer.Stop()
		rc.busy, rc.handed = make(chan struct{}), false
		return rc, nil, nil
	}
	if err := c.room(key.user); err != nil {
		return nil, nil, err
	}
	if rc, err = s.openReceiver(r, a); err != nil {
		return nil, nil, err
	}
	rc.all, rc.key, rc.busy = c, key, make(chan struct{})
	rc.timer = time.AfterFunc(c.idle, func() { c.expire(rc) })
	rc.timer.Stop()
	c.kept[key] = rc
	return rc, nil, nil
}

// room says whether a user may have another kept subscription. c.mu is held.
func (c *restClients) room(user string) error {
	mine := 0
	for k := range c.kept {
		if k.user == user {
			mine++
		}
	}
	switch {
	case c.closed:
		return broker.Errorf(broker.CodeClosing, "the broker is shutting down")
	case mine >= maxRestOfUser || len(c.kept) >= maxRestClients:
		return broker.Errorf(broker.CodeLimit, "too many clients receive from topics over HTTP; end some with action=unsubscribe, or leave out the clientId")
	}
	return nil
}

// openReceiver subscribes.
func (s *Server) openReceiver(r *http.Request, a restAsk) (*receiver, error) {
	rc := &receiver{sink: newRestSink()}
	var err error
	rc.conn, err = s.b.Connect(broker.ConnOptions{
		Protocol: "HTTP", Listener: "console", Remote: r.RemoteAddr, User: userOf(r).Name, TLS: r.TLS != nil, Sink: rc.sink,
		Trusted: userOf(r).may(permManage),
	})
	if err != nil {
		return nil, err
	}
	o := broker.SubscribeOptions{ID: a.client, Dests: []broker.Destination{a.dest}, Selector: a.selector, Prefetch: 1}
	if a.dest.Kind.IsQueue() {
		o.Most = 1
	}
	if rc.sub, err = rc.conn.Subscribe(o); err != nil {
		rc.conn.Close()
		return nil, err
	}
	rc.sub.Start()
	return rc, nil
}

// next waits for a message, which stays the first of held until settle. It is nil if
// none came in time.
func (rc *receiver) next(ctx context.Context, stopping <-chan struct{}, wait time.Duration) (*broker.Delivery, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	late := false
	for {
		if len(rc.held) == 0 {
			rc.held = rc.conn.Output(rc.held)
		}
		if len(rc.held) > 0 {
			if rc.again {
				rc.held[0].Redelivered, rc.held[0].Attempts = true, rc.held[0].Attempts+1
			}
			return &rc.held[0], nil
		}
		if late {
			return nil, nil
		}
		select {
		case <-rc.sink.wake:
		case <-timer.C:
			late = true // looks once more: with readTimeout=0 too
		case <-rc.sink.dead:
			return nil, rc.sink.err
		case <-stopping:
			return nil, broker.Errorf(broker.CodeClosing, "the broker is shutting down")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// handing says that the client is about to get its message.
func (rc *receiver) handing() {
	if rc.all != nil {
		rc.all.mu.Lock()
		defer rc.all.mu.Unlock()
		rc.handed = true
	}
}

// broken says that the first message of held did not reach the client.
func (rc *receiver) broken() { rc.again = true }

// settle acknowledges the first message of held and waits for the disk.
func (rc *receiver) settle(ctx context.Context) error {
	w := rc.conn.NewWork()
	w.Ack(rc.sub, rc.held[0].Tag, rc.held[0].Tag, broker.Ack{})
	done := make(chan error, 1)
	w.Flush(func(err error) { done <- err })
	rc.held, rc.again = rc.held[1:], false
	return committed(ctx, done)
}

// done ends the use of a receiver by a request. What it still holds goes back to its
// queue; a kept one goes on.
func (rc *receiver) done() {
	if rc.all == nil {
		rc.conn.Close()
		return
	}
	rc.all.mu.Lock()
	defer rc.all.mu.Unlock()
	close(rc.busy)
	rc.busy = nil
	if rc.all.kept[rc.key] != rc {
		rc.conn.Close() // it was ended meanwhile
		return
	}
	rc.timer.Reset(rc.all.idle)
}

// expire ends a kept subscription that nobody has asked for lately.
func (c *restClients) expire(rc *receiver) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rc.busy == nil {
		c.drop(rc)
	}
}

// drop forgets a kept subscription. One in use ends with its request. c.mu is held.
func (c *restClients) drop(rc *receiver) {
	if c.kept[rc.key] != rc {
		return
	}
	delete(c.kept, rc.key)
	rc.timer.Stop()
	if rc.busy != nil {
		rc.sink.Kill(broker.Errorf(broker.CodeClosing, "the client has unsubscribed"))
		return
	}
	rc.conn.Close()
}

// end ends all subscriptions of a client.
func (c *restClients) end(key restKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, rc := range c.kept {
		if k.restKey == key {
			c.drop(rc)
		}
	}
}

// lend keeps a receiver until its message is acknowledged, or the lease ends.
func (c *restClients) lend(user string, rc *receiver, lease time.Duration) (id string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.leases) >= maxLeases {
		return "", broker.Errorf(broker.CodeLimit, "%d messages wait for their acknowledgement over HTTP, the most there can be; acknowledge some", maxLeases)
	}
	id = rand.Text()
	l := &leased{user: user, rc: rc}
	l.timer = time.AfterFunc(lease, func() {
		if rc := c.take(user, id); rc != nil {
			rc.done()
		}
	})
	c.leases[id] = l
	return id, nil
}

// take ends a lease of a user and returns its receiver, nil if there is none.
func (c *restClients) take(user, id string) *receiver {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.leases[id]
	if l == nil || l.user != user {
		return nil
	}
	delete(c.leases, id)
	l.timer.Stop()
	return l.rc
}

// close ends everything.
func (c *restClients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, rc := range c.kept {
		c.drop(rc)
	}
	for id, l := range c.leases {
		delete(c.leases, id)
		l.timer.Stop()
		l.rc.conn.Close()
	}
}
