package failover

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// drainTime bounds the wait for receipts before a wished change of broker.
const drainTime = 2 * time.Second

// errBetterBroker ends a session in favour of a preferred broker.
var errBetterBroker = errors.New("a preferred broker is back")

// run is the supervisor: the only goroutine that begins and ends the use of
// sessions. It ends with ctx or when there will be no further connection.
func (c *Conn) run(ctx context.Context) {
	defer close(c.ended)
	defer c.cancel()
	err := c.supervise(ctx)
	if ctx.Err() != nil {
		err = ErrClosed
	}
	c.shutdown(err)
}

func (c *Conn) supervise(ctx context.Context) error {
	brokers := newPool(c.url, c.policy, c.opts.shuffle)
	delays := &backoff{policy: c.policy}
	s, err := c.establish(ctx, brokers, delays, c.startupLimit())
	for err == nil {
		s, err = c.use(ctx, s, brokers, delays)
	}
	return err
}

// use keeps one session in use to its end and returns its successor.
func (c *Conn) use(ctx context.Context, s *session, brokers *pool, delays *backoff) (*session, error) {
	addr := s.addr.HostPort()
	if c.policy.UpdateURIsSupported {
		brokers.learn(s.cluster, s.addr)
	}
	c.attach(s)
	c.resumed(s, addr)
	began := time.Now()
	next := c.watch(ctx, s, brokers)
	c.detach(s)
	if err := c.over(ctx, s); err != nil {
		return nil, err
	}
	c.opts.Logger.Warn("connection lost", "addr", addr, "err", s.err)
	if c.opts.OnInterrupted != nil {
		c.opts.OnInterrupted(addr, s.err)
	}
	brokers.lost(s.addr)
	if next != nil {
		return next, nil
	}
	if !c.mayReconnect() {
		return nil, fmt.Errorf("%w: connection to %s lost: %w", ErrUnreachable, addr, s.err)
	}
	if s.useful || time.Since(began) > c.policy.MaxReconnectDelay {
		delays.reset()
	}
	if err := sleep(ctx, delays.next()); err != nil {
		return nil, err
	}
	return c.establish(ctx, brokers, delays, c.policy.MaxReconnectAttempts)
}

// resumed tells the world about a session that was attached.
func (c *Conn) resumed(s *session, addr string) {
	c.opts.Logger.Info("connected", "addr", addr)
	if s.epoch > 1 && c.opts.OnResumed != nil { // only the supervisor writes epoch
		c.opts.OnResumed(addr)
	}
}

// over returns ErrClosed when the session ended because the program wants so.
func (c *Conn) over(ctx context.Context, s *session) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil || c.leaving {
		return ErrClosed
	}
	return nil
}

// watch waits for the end of a session and ends it; it returns a session that
// stands ready to replace it, or nil.
func (c *Conn) watch(ctx context.Context, s *session, brokers *pool) *session {
	by := c.standBy(ctx, s, brokers)
	why := ErrClosed
	select {
	case <-ctx.Done():
	case <-s.dead:
	case <-by.better:
		c.drain(ctx, s)
		why = errBetterBroker
	}
	s.end(why)
	next := by.stop()
	if next != nil && (ctx.Err() != nil || c.over(ctx, s) != nil) {
		next.end(ErrClosed)
		return nil
	}
	return next
}

// drain stops writing and waits a little for the receipts on their way, so
// that a wished change of broker repeats no message.
func (c *Conn) drain(ctx context.Context, s *session) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	// Without success the rest is sent again, as after any loss.
	_ = c.waitLocked(ctx, func() bool { return c.out.oldestSent(s.epoch) == nil || !s.alive() })
}

// startupLimit is the number of rounds for the first connection.
func (c *Conn) startupLimit() int {
	if c.policy.StartupMaxReconnectAttempts >= 0 {
		return c.policy.StartupMaxReconnectAttempts
	}
	return c.policy.MaxReconnectAttempts
}

// establish makes rounds over the brokers until one accepts or limit rounds
// failed; a negative limit is none.
func (c *Conn) establish(ctx context.Context, brokers *pool, delays *backoff, limit int) (*session, error) {
	for attempt := 1; ; attempt++ {
		s, err := c.round(ctx, brokers)
		if err == nil {
			return s, nil
		}
		if errors.Is(err, ErrLogin) || errors.Is(err, errNoVersion) {
			return nil, err
		}
		if limit >= 0 && attempt >= limit {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		c.mu.Lock()
		c.lastErr = err
		c.mu.Unlock()
		if w := c.policy.WarnAfterReconnectAttempts; w > 0 && attempt%w == 0 {
			c.opts.Logger.Warn("still no connection", "attempts", attempt, "err", err)
		}
		if err := sleep(ctx, delays.next()); err != nil {
			return nil, err
		}
	}
}

// round tries each broker once.
func (c *Conn) round(ctx context.Context, brokers *pool) (*session, error) {
	var failures, refusals []error
	for _, a := range brokers.order() {
		s, err := c.connect(ctx, a)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.opts.Logger.Debug("broker not available", "addr", a.HostPort(), "err", err)
		failures = append(failures, err)
		if kind := refusal(err); kind != nil {
			refusals = append(refusals, fmt.Errorf("%w: %w", kind, err))
		}
	}
	if len(refusals) > 0 {
		return nil, joined(refusals)
	}
	return nil, joined(failures)
}

// errNoVersion is a refusal that no later attempt can change.
var errNoVersion = fmt.Errorf("%w: no protocol version in common", ErrProtocol)

// refusal classifies a broker's answer to CONNECT that will not change by
// trying again; nil for all other failures.
func refusal(err error) error {
	e, ok := errors.AsType[*ServerError](err)
	switch {
	case !ok:
		return nil
	case e.refusesVersion():
		return errNoVersion
	case e.refusesLogin():
		return ErrLogin
	}
	return nil
}

// joined words several errors on one line.
func joined(errs []error) error {
	err := errs[0]
	for _, e := range errs[1:] {
		err = fmt.Errorf("%w; %w", err, e)
	}
	return err
}

// backoff yields the waits between rounds.
type backoff struct {
	policy Policy
	delay  time.Duration // of the previous call, valid when begun
	begun  bool
}

// next returns how long to wait now.
func (b *backoff) next() time.Duration {
	switch {
	case !b.begun:
		b.begun = true
		b.delay = b.policy.InitialReconnectDelay
	case b.policy.UseExponentialBackOff:
		grown := float64(b.delay) * b.policy.ReconnectDelayExponent
		b.delay = time.Duration(min(grown, math.MaxInt64/2))
	}
	b.delay = min(b.delay, max(b.policy.MaxReconnectDelay, b.policy.InitialReconnectDelay))
	return b.delay
}

func (b *backoff) reset() { b.begun = false }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
