//go:build faults && linux

package faults

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"treadmq/ha/failover"
	"treadmq/scripts/internal/history"
)

// fate is what is known of an operation's outcome.
type fate int

const (
	done fate = iota + 1
	undone
	unknown
)

func outcome(err error) fate {
	switch {
	case err == nil:
		return done
	case errors.Is(err, failover.ErrInterrupted):
		return undone
	}
	return unknown
}

// tokenQueue holds one message, the token. Who gets it takes it out and puts another in,
// in one transaction: a register with compare-and-set.
const tokenQueue = "/queue/faults.token"

// tokens collects what was done to the token.
type tokens struct {
	log *history.Recorder

	mu    sync.Mutex // guards swaps
	swaps []swap
}

func (t *tokens) add(s swap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.swaps = append(t.swaps, s)
}

// found puts the first token in.
func (t *tokens) found(ctx context.Context, w *world) error {
	c, err := dial(ctx, w, "", "", 0)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Send(ctx, tokenQueue, "", []byte("0"), failover.H("persistent", "true"))
}

// pass takes the token and puts another in, again and again.
func (t *tokens) pass(ctx context.Context, w *world, stop <-chan struct{}) error {
	c, err := dial(ctx, w, "", "", 0)
	if err != nil {
		return err
	}
	defer c.Close()
	sub, err := c.Subscribe(ctx, tokenQueue, failover.AckClientIndividual, failover.H("activemq.prefetchSize", "1"))
	if err != nil {
		return err
	}
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		short, cancel := context.WithTimeout(ctx, time.Second) // to look at stop
		m, err := sub.Receive(short)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if short.Err() != nil {
				continue
			}
			return fmt.Errorf("the token's consumer: %w", err)
		}
		from, err := strconv.Atoi(string(m.Body))
		if err != nil {
			return err
		}
		t.swap(ctx, c, m, from)
		if err := nap(ctx, pace); err != nil {
			return err
		}
	}
}

func (t *tokens) swap(ctx context.Context, c *client, m *failover.Message, from int) {
	s := swap{from: from, to: t.log.Next("tokens"), began: t.log.Now()}
	tx, err := c.Begin(ctx)
	if err != nil {
		return
	}
	if err := tx.Ack(ctx, m); err != nil {
		_ = tx.Abort(ctx)
		return
	}
	if err := tx.Send(ctx, tokenQueue, "", []byte(strconv.Itoa(s.to)), failover.H("persistent", "true")); err != nil {
		_ = tx.Abort(ctx)
		return
	}
	switch outcome(tx.Commit(ctx)) {
	case done:
		s.ended = t.log.Now()
		t.add(s)
	case unknown:
		t.add(s)
	}
}

// last is what the queue holds when all is over.
func (t *tokens) last(ctx context.Context, w *world) error {
	c, err := dial(ctx, w, "", "", 0)
	if err != nil {
		return err
	}
	defer c.Close()
	began := t.log.Now()
	sub, err := c.Subscribe(ctx, tokenQueue, failover.AckClientIndividual)
	if err != nil {
		return err
	}
	m, err := sub.Receive(ctx)
	if err != nil {
		return fmt.Errorf("the token is gone: %w", err)
	}
	value, err := strconv.Atoi(string(m.Body))
	if err != nil {
		return err
	}
	t.add(swap{from: value, to: value, began: began, ended: t.log.Now()})
	return m.AckReceipt(ctx)
}
