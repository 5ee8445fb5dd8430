package failover

import (
	"errors"
	"fmt"

	"github.com/go-stomp/stomp/v3/frame"
)

// maxStrikes is how many connections may end with an ERROR that names no
// receipt before the oldest unconfirmed operation is held to be its cause.
const maxStrikes = 3

// handle takes one frame from the broker; an error ends the session.
func (c *Conn) handle(s *session, f *frame.Frame) error {
	switch f.Command {
	case frame.MESSAGE:
		return c.deliver(s, f)
	case frame.RECEIPT:
		c.confirm(s, f.Header)
		return nil
	case frame.ERROR:
		return c.refused(s, newServerError(f))
	}
	return protocolError("unexpected %q", shorten(f.Command))
}

func (c *Conn) confirm(s *session, h *frame.Header) {
	c.mu.Lock()
	var o outcome
	if it := c.out.waiting[h.Get(frame.ReceiptId)]; it != nil && it.sentIn == s.epoch {
		o = c.finish(it, nil)
		if it.repeat != nil && !it.again && h.Get("x-duplicate") == "true" {
			first := h.Get("x-message-id")
			o.repeat = func() { it.repeat(first) }
		}
		s.useful = true
	}
	c.mu.Unlock()
	report(o)
}

// refused fails the operation that an ERROR names. The session ends unless
// the broker says that it goes on.
func (c *Conn) refused(s *session, e *ServerError) error {
	c.mu.Lock()
	var o outcome
	if it := c.out.waiting[e.ReceiptID]; it != nil && it.sentIn == s.epoch && !(e.elsewhere() && c.mayReconnect()) {
		o = c.finish(it, e)
	}
	c.mu.Unlock()
	report(o)
	if e.Header.Get("x-fatal") == "false" {
		c.opts.Logger.Debug("refused by the broker", "addr", s.addr.HostPort(), "err", e)
		return nil
	}
	return e
}

// mayReconnect says whether a lost connection is replaced.
func (c *Conn) mayReconnect() bool { return c.policy.MaxReconnectAttempts != 0 }

// attach makes s the connection in use: subscriptions first, then all that is
// unconfirmed in its old order.
func (c *Conn) attach(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	s.epoch = c.epoch
	c.sess = s
	for _, it := range c.out.unfinished() {
		disarmTimeout(it)
	}
	var again []*item
	for _, sub := range c.subs {
		again = append(again, sub.subscribeItem())
	}
	c.out.restart(again)
	c.notify()
	s.poke()
}

// detach takes an ended session out of use. What belongs to it fails, the rest
// waits for the next.
func (c *Conn) detach(s *session) {
	c.mu.Lock()
	c.sess = nil
	c.draining = false
	outcomes := c.strike(s)
	for _, it := range c.out.unfinished() {
		if it.resend && c.mayReconnect() {
			c.armTimeout(it)
			continue
		}
		outcomes = append(outcomes, c.out.finish(it, lossOf(it, s)))
	}
	for _, sub := range c.subs {
		sub.dropUnacked()
	}
	c.notify()
	c.readerMayGoOn()
	c.mu.Unlock()
	report(outcomes...)
}

// lossOf words the fate of an operation that ends with its connection.
func lossOf(it *item, s *session) error {
	kind := ErrInterrupted
	if it.sentIn == s.epoch {
		kind = ErrInDoubt
	}
	return fmt.Errorf("%w (%w)", kind, s.err)
}

// strike counts an ERROR without receipt-id against the oldest operation it
// may have been meant for. Holds mu.
func (c *Conn) strike(s *session) []outcome {
	e, ok := errors.AsType[*ServerError](s.err)
	if !ok || e.ReceiptID != "" || e.elsewhere() {
		return nil
	}
	it := c.out.oldestSent(s.epoch)
	if it == nil {
		return nil
	}
	count := &it.strikes
	if it.sub != nil {
		count = &it.sub.strikes
	}
	if *count++; *count < maxStrikes {
		return nil
	}
	return []outcome{c.out.finish(it, e)}
}

// shutdown is the end of the Conn: everything still open fails with err.
func (c *Conn) shutdown(err error) {
	c.mu.Lock()
	c.err = err
	var outcomes []outcome
	for _, it := range c.out.unfinished() {
		fate := err
		if it.sentIn > 0 {
			fate = fmt.Errorf("%w (%w)", err, ErrInDoubt)
		}
		outcomes = append(outcomes, c.out.finish(it, fate))
	}
	for _, sub := range c.subs {
		sub.endLocked(err)
	}
	c.subs = nil
	c.notify()
	c.readerMayGoOn()
	c.mu.Unlock()
	report(outcomes...)
}
