package failover

import (
	"context"
	"sync"
)

// standby looks for a better broker (priorityBackup) and keeps a spare
// connection (backup) while a session is in use. Its goroutine ends with stop,
// or by itself once a better broker was found.
type standby struct {
	c       *Conn
	brokers *pool
	current Address

	cancel context.CancelFunc
	wg     sync.WaitGroup
	better chan struct{} // closed when found is a preferred broker's session

	// Written by the goroutine only, read after its end.
	found *session // connection to a preferred broker
	spare *session // connection to any other
}

// standBy starts to prepare for the end of s, if the policy asks for it.
func (c *Conn) standBy(ctx context.Context, s *session, brokers *pool) *standby {
	ctx, cancel := context.WithCancel(ctx)
	b := &standby{c: c, brokers: brokers, current: s.addr, cancel: cancel, better: make(chan struct{})}
	if b.wantsBetter() || c.policy.Backup {
		b.wg.Go(func() { b.run(ctx) })
	}
	return b
}

// wantsBetter says whether the current broker is only second choice.
func (b *standby) wantsBetter() bool {
	return b.c.policy.PriorityBackup && !b.brokers.isPriority(b.current)
}

// stop ends the goroutine and hands over the best session it has, if any is
// alive.
func (b *standby) stop() *session {
	b.cancel()
	b.wg.Wait()
	if b.found != nil && b.found.alive() {
		b.dropSpare()
		return b.found
	}
	if b.found != nil {
		b.found.end(ErrClosed)
	}
	if b.spare != nil && !b.spare.alive() {
		b.dropSpare()
	}
	return b.spare
}

func (b *standby) dropSpare() {
	if b.spare != nil {
		b.spare.end(ErrClosed)
		b.spare = nil
	}
}

func (b *standby) run(ctx context.Context) {
	delays := &backoff{policy: b.c.policy}
	for ctx.Err() == nil {
		if b.wantsBetter() && b.findBetter(ctx) {
			close(b.better)
			return
		}
		if b.c.policy.Backup && b.keepSpare(ctx) {
			delays.reset()
		}
		b.pause(ctx, delays)
	}
}

// pause waits for the next look: until the spare dies if that is all there is
// to watch, otherwise for the next delay of the policy.
func (b *standby) pause(ctx context.Context, delays *backoff) {
	if b.spare == nil || b.wantsBetter() {
		_ = sleep(ctx, delays.next()) // run looks at ctx
		return
	}
	select {
	case <-b.spare.dead:
	case <-ctx.Done():
	}
}

// findBetter tries the preferred brokers.
func (b *standby) findBetter(ctx context.Context) bool {
	for _, a := range b.brokers.order() {
		if !b.brokers.isPriority(a) {
			continue
		}
		s, err := b.c.connect(ctx, a)
		if err == nil {
			b.found = s
			return true
		}
		b.c.opts.Logger.Debug("preferred broker not available", "addr", a.HostPort(), "err", err)
	}
	return false
}

// keepSpare makes a spare connection to another broker unless there is one; it
// reports whether it made one.
func (b *standby) keepSpare(ctx context.Context) bool {
	if b.spare != nil && b.spare.alive() {
		return false
	}
	b.dropSpare()
	for _, a := range b.brokers.order() {
		if a.same(b.current) {
			continue
		}
		s, err := b.c.connect(ctx, a)
		if err == nil {
			b.spare = s
			return true
		}
		b.c.opts.Logger.Debug("no spare connection", "addr", a.HostPort(), "err", err)
	}
	return false
}
