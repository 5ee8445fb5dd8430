package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"treadmq/ha/failover"
)

// goodbyeTimeout bounds how long a command that ends waits for the broker's last
// confirmations.
const goodbyeTimeout = 10 * time.Second

// sender sends one body after the other and keeps count of what was confirmed.
type sender struct {
	conn        *failover.Conn
	destination string
	contentType string
	opts        []failover.SendOpt
	pace        pacer
	progress    *progress

	ctx       context.Context // ends with the first refusal
	stop      context.CancelCauseFunc
	open      sync.WaitGroup // messages without outcome
	sent      int64
	confirmed atomic.Int64
	repeats   atomic.Int64
	first     atomic.Pointer[string] // id of what the last repeat was one of
}

func newSender(ctx context.Context, c *failover.Conn, destination string, o *sendOptions, opts []failover.SendOpt) *sender {
	s := &sender{conn: c, destination: destination, contentType: o.contentType, opts: opts, pace: pacer{rate: o.rate}}
	s.ctx, s.stop = context.WithCancelCause(ctx)
	s.opts = append(s.opts[:len(s.opts):len(s.opts)], failover.OnRepeat(func(first string) {
		s.repeats.Add(1)
		s.first.Store(&first)
	}))
	return s
}

// errRefused is the cause with which a message that was not confirmed ends the rest.
type errRefused struct{ error }

func (e errRefused) Unwrap() error { return e.error }

// run sends all that next gives and waits until the broker has confirmed it.
func (s *sender) run(cmd *cobra.Command, next func(context.Context) ([]byte, error)) error {
	defer s.stop(nil)
	err := s.loop(next)
	if isEnd(err) {
		err = nil
	}
	s.await()
	s.progress.end()
	var refused errRefused
	if errors.As(context.Cause(s.ctx), &refused) {
		return stompError(fmt.Sprintf("%s confirmed, then one was not", s.did()), refused.error)
	}
	if err != nil && cmd.Context().Err() != nil {
		return canceled(cmd.Context(), s.did()+" confirmed")
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), goodbyeTimeout)
	defer cancel()
	if err := s.conn.Disconnect(ctx); err != nil {
		talk(cmd, "all was confirmed, but the goodbye failed: %v", err)
	}
	talk(cmd, "sent %s to %s%s", s.did(), s.destination, s.left())
	return nil
}

// left says what the broker had already and did not store again.
func (s *sender) left() string {
	n := s.repeats.Load()
	switch {
	case n == 0:
		return ""
	case s.confirmed.Load() > 1:
		return fmt.Sprintf("; the broker had %d of them already and left them out", n)
	case *s.first.Load() == "":
		return "; the broker had it already and left it out"
	}
	return fmt.Sprintf("; the broker had it already, as %s, and left it out", *s.first.Load())
}

func (s *sender) did() string { return plural(int(s.confirmed.Load()), "message") }

func (s *sender) loop(next func(context.Context) ([]byte, error)) error {
	for {
		body, err := next(s.ctx)
		if err != nil {
			return err
		}
		if err := s.pace.wait(s.ctx); err != nil {
			return err
		}
		s.sent++
		s.open.Add(1)
		s.conn.SendAsync(s.ctx, s.destination, s.contentType, body, s.outcome, s.opts...)
	}
}

// outcome is told by the connection what became of a message.
func (s *sender) outcome(err error) {
	defer s.open.Done()
	switch {
	case err == nil:
		s.progress.set(s.confirmed.Add(1))
	case s.ctx.Err() == nil:
		s.stop(errRefused{err})
	}
}

// await waits for the outcome of all messages under way; after an interruption only a
// while, and then gives them up.
func (s *sender) await() {
	all := make(chan struct{})
	go func() { s.open.Wait(); close(all) }()
	select {
	case <-all:
		return
	case <-s.ctx.Done():
	}
	limit := time.NewTimer(goodbyeTimeout)
	defer limit.Stop()
	select {
	case <-all:
	case <-limit.C:
		s.conn.Close() // gives every message its outcome
		<-all
	}
}

// pacer spreads events evenly: rate of them in a second, 0 without limit.
type pacer struct {
	rate float64
	n    int64
	from time.Time
}

// wait returns when the next event is due.
func (p *pacer) wait(ctx context.Context) error {
	if p.rate <= 0 {
		return nil
	}
	if p.n == 0 {
		p.from = time.Now()
	}
	due := p.from.Add(time.Duration(float64(p.n) / p.rate * float64(time.Second)))
	p.n++
	wait := time.Until(due)
	if wait <= 0 {
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
