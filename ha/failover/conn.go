package failover

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/go-stomp/stomp/v3/frame"
)

// hardBuffer is how many times the buffer bounds may be exceeded while a
// RECEIPT is awaited.
const hardBuffer = 4

// maxControls bounds frames other than messages (acks, subscriptions,
// transactions) that wait to be written or confirmed.
const maxControls = 1 << 16

// Conn is a connection to whichever broker of the list serves. All methods may
// be used by any number of goroutines.
type Conn struct {
	url    *URL
	policy Policy // of url; for a plain address one attempt, no reconnect
	opts   Options
	dedup  string // prefix of x-dedup-id, empty for none

	cancel context.CancelFunc // stops the supervisor
	ended  chan struct{}      // closed when the supervisor and all sessions ended

	mu       sync.Mutex // guards what follows and the unexported state of items, subscriptions and transactions
	sess     *session   // nil while there is no connection
	epoch    uint64     // number of connections so far
	err      error      // why the Conn ended, set once
	lastErr  error      // of the latest failed round, for Dial
	closing  bool       // Disconnect was called: nothing new is taken
	leaving  bool       // DISCONNECT is under way: the end of the connection is wished
	draining bool       // the writer takes nothing: a change of broker is near
	out      outbox
	subs     []*Subscription // in the order of Subscribe
	subByID  map[string]*Subscription
	serial   uint64        // last number of a receipt, subscription or transaction
	changed  chan struct{} // closed and replaced when something changed that waiters wait for
	waiters  int

	bufMessages, bufBytes int        // received and not yet fetched
	readable              *sync.Cond // on mu: the reader may go on
	readerWaits           bool
}

// Dial connects to a broker of the list and returns when one has accepted the
// login. It keeps trying as the failover options say, at most until ctx ends;
// afterwards ctx has no influence. The Conn must be ended with Close or
// Disconnect.
func Dial(ctx context.Context, u *URL, o Options) (*Conn, error) {
	if u == nil || len(u.Addresses) == 0 {
		return nil, errors.New("failover address without a broker; use ParseURL")
	}
	o, err := o.withDefaults(u)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.Background())
	c := &Conn{
		url: u, policy: u.Policy, opts: o,
		cancel:  cancel,
		ended:   make(chan struct{}),
		subByID: map[string]*Subscription{},
		out:     outbox{waiting: map[string]*item{}},
		changed: make(chan struct{}),
	}
	c.readable = sync.NewCond(&c.mu)
	if !u.Failover {
		c.policy = Policy{Timeout: -1, StartupMaxReconnectAttempts: -1}
	}
	if u.Failover && o.DedupID {
		c.dedup = rand.Text() + "-"
	}
	go c.run(life)
	if err := c.awaitFirst(ctx); err != nil {
		_ = c.Close() // never fails before a connection
		return nil, err
	}
	return c, nil
}

// awaitFirst waits for the first connection.
func (c *Conn) awaitFirst(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.waitLocked(ctx, func() bool { return c.epoch > 0 })
	if err != nil && ctx.Err() != nil && c.lastErr != nil {
		return fmt.Errorf("%w: %w (%w)", ErrUnreachable, c.lastErr, err)
	}
	return err
}

// Close ends the connection at once. Messages without RECEIPT fail with
// ErrClosed; unacknowledged ones go back to their queues. It waits until all
// goroutines ended and always returns nil.
func (c *Conn) Close() error {
	c.cancel()
	<-c.ended
	return nil
}

// Disconnect lets all messages be confirmed, says goodbye to the broker (STOMP
// 1.2 DISCONNECT with receipt) and closes. Nothing new is taken from its start
// on. It returns the first failure, such as the end of ctx, after having closed
// all the same.
func (c *Conn) Disconnect(ctx context.Context) error {
	err := c.flush(ctx)
	if err == nil {
		err = c.goodbye(ctx)
	}
	_ = c.Close() // always nil
	return err
}

// flush stops new calls and waits for the outcome of all earlier ones.
func (c *Conn) flush(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.closedError()
	}
	c.closing = true
	c.notify()
	err := c.waitLocked(ctx, func() bool { return c.out.messages == 0 && c.out.controls == 0 })
	if err != nil {
		return fmt.Errorf("disconnect: %d messages and %d other requests are not confirmed: %w", c.out.messages, c.out.controls, err)
	}
	return nil
}

func (c *Conn) goodbye(ctx context.Context) error {
	result := make(chan error, 1)
	c.mu.Lock()
	if c.sess == nil {
		c.mu.Unlock()
		return nil // no broker to tell, nothing open
	}
	c.leaving = true
	it := &item{receipt: c.nextID("r"), done: func(err error) { result <- err }}
	it.frame = frame.New(frame.DISCONNECT, frame.Receipt, it.receipt)
	c.out.push(it)
	c.sess.poke()
	c.mu.Unlock()
	select {
	case err := <-result:
		if errors.Is(err, ErrInterrupted) || errors.Is(err, ErrInDoubt) {
			return nil // the connection is gone, which was the wish
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("disconnect: no receipt from the broker: %w", ctx.Err())
	}
}

// Done is closed when the Conn ended for good; Err then says why.
func (c *Conn) Done() <-chan struct{} { return c.ended }

// Err is nil while the Conn lives, also between two connections; afterwards it
// is ErrClosed or why there will be no further connection.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Addr is the host:port of the broker in use, empty while there is none.
func (c *Conn) Addr() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sess == nil {
		return ""
	}
	return c.sess.addr.HostPort()
}

// closedError is the error for calls after the end. Holds mu.
func (c *Conn) closedError() error {
	if c.err != nil {
		return c.err
	}
	return ErrClosed
}

// nextID returns a new receipt, subscription or transaction name. Holds mu.
func (c *Conn) nextID(kind string) string {
	c.serial++
	return kind + formatSerial(c.serial)
}

// waitLocked waits until ready, the end of the Conn or of ctx. It holds mu
// when called and when it returns, and releases it meanwhile.
func (c *Conn) waitLocked(ctx context.Context, ready func() bool) error {
	for {
		if c.err != nil {
			return c.err
		}
		if ready() {
			return nil
		}
		changed := c.changed
		c.waiters++
		c.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = ctx.Err()
		}
		c.mu.Lock()
		c.waiters--
		if err != nil {
			return err
		}
	}
}

// notify wakes all waiters to look again. Holds mu.
func (c *Conn) notify() {
	if c.waiters > 0 {
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// finish ends an item and wakes who waits for room. Holds mu; the caller
// reports the outcome after releasing it.
func (c *Conn) finish(it *item, err error) outcome {
	o := c.out.finish(it, err)
	c.notify()
	return o
}

// takeFrames gives the writer of the connection in use its next frames.
func (c *Conn) takeFrames(s *session, frames []*frame.Frame) []*frame.Frame {
	c.mu.Lock()
	if c.sess != s || c.draining {
		c.mu.Unlock()
		return frames
	}
	frames, outcomes := c.out.take(s.epoch, frames, maxBatch)
	if len(outcomes) > 0 {
		c.notify()
	}
	c.mu.Unlock()
	report(outcomes...)
	return frames
}

// mayRead blocks the reader while the program is behind; false ends it.
func (c *Conn) mayRead(s *session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s.alive() && c.sess == s && c.bufferFull() {
		c.readerWaits = true
		c.readable.Wait()
	}
	return s.alive()
}

// bufferFull says whether reading should pause. Holds mu.
func (c *Conn) bufferFull() bool {
	factor := 1
	if len(c.out.waiting) > 0 {
		factor = hardBuffer
	}
	return c.bufMessages >= factor*c.opts.BufferMessages || c.bufBytes >= factor*c.opts.BufferBytes
}

// readerMayGoOn wakes a paused reader. Holds mu.
func (c *Conn) readerMayGoOn() {
	if c.readerWaits {
		c.readerWaits = false
		c.readable.Broadcast()
	}
}

// sessionEnded wakes all who wait for what a dead session will not bring.
func (c *Conn) sessionEnded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notify()
	c.readerMayGoOn()
}
