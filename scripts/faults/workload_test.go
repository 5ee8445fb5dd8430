//go:build faults && linux

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"treadmq/ha/failover"
	"treadmq/scripts/internal/history"
	"treadmq/scripts/internal/places"
)

// Where messages are sent to.
const (
	queueA  = "faults.a"
	queueB  = "faults.b"
	shared  = "faults" + places.Shared
	later   = "faults" + places.Later
	virtual = "faults" + places.Virtual
	durable = "faults" + places.Durable
)

func queues() []string { return []string{queueA, queueB, shared, later, virtual, durable} }

const (
	maxDelay  = 500  // milliseconds
	lastDelay = 1500 // of the message that is to be the last
	pace      = 25 * time.Millisecond
	largeBody = 64 << 10
	series    = "messages"
	seriesTx  = "transactions"
)

// clientID names the client of a subscription that outlives its connections.
func clientID(queue string) string {
	if queue == durable {
		return "faults"
	}
	return ""
}

// body makes a message's body, now and then a large one.
func body(r *rand.Rand, k history.Key) []byte {
	n := r.IntN(400)
	if r.IntN(100) == 0 {
		n = r.IntN(largeBody)
	}
	return history.Body(r, k, n)
}

// headers are those of a SEND to a queue, and how long its delivery is put off.
func target(queue string, delay int) (dest string, opts []failover.SendOpt, due time.Duration) {
	dest, pairs := places.SendTo(queue, delay)
	opts = append(opts, failover.H("persistent", "true"))
	for i := 0; i+1 < len(pairs); i += 2 {
		opts = append(opts, failover.H(pairs[i], pairs[i+1]))
		due = time.Duration(delay) * time.Millisecond
	}
	return dest, opts, due
}

// producer sends until it is told to stop. Each has its own rand: it is used by one goroutine.
type producer struct {
	*client
	w      *world
	rand   *rand.Rand
	id     int
	window int
	queues []string // of transactions both, otherwise the first
	open   sync.WaitGroup
}

func (p *producer) work(ctx context.Context, stop <-chan struct{}) error {
	var err error
	if p.client, err = dialOnce(ctx, p.w, "", "", p.window, p.once()); err != nil {
		return err
	}
	defer p.Close()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return p.settle(ctx)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if p.rand.IntN(10) == 0 {
			p.transaction(ctx)
		} else {
			p.send(ctx)
		}
	}
}

// once says whether the producer's messages are not to be there twice, also when they were sent twice: every second one's.
func (p *producer) once() bool { return p.id%2 == 1 }

// settle waits for all receipts that are open.
func (p *producer) settle(ctx context.Context) error {
	done := make(chan struct{})
	go func() { p.open.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("producer %d waits for receipts: %w", p.id, ctx.Err())
	}
}

// send sends one message and records its receipt when it comes.
func (p *producer) send(ctx context.Context) {
	k := history.Key{Producer: p.id, Seq: p.w.log.Next(series), Queue: p.queues[0]}
	dest, opts, due := target(k.Queue, p.rand.IntN(maxDelay))
	e := p.event(history.Sent, k)
	e.Due, e.Once = p.w.due(due), p.once()
	b := body(p.rand, k)
	p.log.Add(e)
	began := p.log.Now()
	p.open.Add(1)
	p.SendAsync(ctx, dest, "application/octet-stream", b, func(err error) {
		defer p.open.Done()
		if err == nil {
			p.log.Add(p.since(began, history.Receipted, k))
			return
		}
		p.refused("SEND", err)
	}, opts...)
}

// transaction sends some messages over two queues, which are committed or aborted.
func (p *producer) transaction(ctx context.Context) {
	tx, err := p.Begin(ctx)
	if err != nil {
		return
	}
	id := p.w.log.Next(seriesTx)
	for range 1 + p.rand.IntN(4) {
		for _, q := range p.queues {
			k := history.Key{Producer: p.id, Seq: p.w.log.Next(series), Queue: q}
			dest, opts, due := target(q, p.rand.IntN(maxDelay))
			e := p.event(history.Sent, k)
			e.Tx, e.Due, e.Once = id, p.w.due(due), true
			p.log.Add(e)
			if err := tx.Send(ctx, dest, "", body(p.rand, k), opts...); err != nil {
				p.refused("SEND in a transaction", err)
				_ = tx.Abort(ctx) // it is over in any case
				return
			}
		}
	}
	if p.rand.IntN(10) == 0 {
		_ = tx.Abort(ctx)
		return
	}
	p.commit(ctx, tx, id)
}

// commit commits and records what is known of the outcome.
func (c *client) commit(ctx context.Context, tx *failover.Tx, id int) bool {
	c.log.Add(history.Event{Kind: history.Committing, Tx: id, Epoch: c.epoch.Load()})
	began := c.log.Now()
	err := tx.Commit(ctx)
	e := c.since(began, history.Committed, history.Key{})
	e.Tx = id
	switch {
	case err == nil:
		c.log.Add(e)
		return true
	case errors.Is(err, failover.ErrInDoubt):
	case errors.Is(err, failover.ErrInterrupted):
		e.Kind = history.Undone
		c.log.Add(e)
	default:
		c.refused("COMMIT", err)
	}
	return false
}

// about is an event about a message that came.
func (c *client) about(kind history.Kind, k history.Key, m *failover.Message) history.Event {
	e := c.event(kind, k)
	e.MessageID = m.ID()
	return e
}

// consumer consumes a queue until it is told to stop. It acknowledges most messages, not always in
// order, refuses some, and now and then leaves without a word.
type consumer struct {
	*client
	w        *world
	rand     *rand.Rand
	queue    string
	prefetch string
	acks     sync.WaitGroup
}

func (c *consumer) work(ctx context.Context, stop <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	for ctx.Err() == nil {
		if err := c.life(ctx); err != nil && ctx.Err() == nil {
			c.log.Add(history.Event{Kind: history.Remark, Note: fmt.Sprintf("consumer of %s: %v", c.queue, err)})
			c.refused("SUBSCRIBE", err)
		}
	}
	return nil
}

// life is one connection's worth of consuming; reconnects count as the same.
func (c *consumer) life(ctx context.Context) error {
	var err error
	if c.client, err = dial(ctx, c.w, c.queue, clientID(c.queue), 0); err != nil {
		return err
	}
	defer func() {
		c.interrupted()
		c.Close()
		c.acks.Wait()
	}()
	sub, err := c.consume(ctx, c.queue, failover.H("activemq.prefetchSize", c.prefetch))
	if err != nil {
		return err
	}
	for {
		m, err := sub.Receive(ctx)
		if err != nil {
			return err
		}
		if c.rand.IntN(400) == 0 {
			return nil // with what is held
		}
		c.take(ctx, m)
	}
}

func (c *consumer) take(ctx context.Context, m *failover.Message) {
	k, err := history.ParseBody(m.Body, c.queue)
	if err != nil {
		c.log.Add(history.Event{Kind: history.Garbled, Note: err.Error()})
		return
	}
	e := c.about(history.Delivered, k, m)
	e.Redelivered = m.Header.Get("redelivered") == "true"
	c.log.Add(e)
	if c.rand.IntN(50) == 0 {
		c.log.Add(c.about(history.Nacked, k, m))
		_ = m.Nack(ctx, failover.H("requeue", "true")) // if it is lost with the connection, so is the delivery
		return
	}
	c.acks.Go(func() {
		began := c.log.Now()
		if err := m.AckReceipt(ctx); err == nil {
			e := c.about(history.Acked, k, m)
			e.Began = began
			c.log.Add(e)
		} else {
			c.refused("ACK", err)
		}
	})
}

// consume subscribes to a place.
func (c *client) consume(ctx context.Context, place string, headers ...failover.Header) (*failover.Subscription, error) {
	from, pairs := places.SubscribeTo(place)
	for i := 0; i+1 < len(pairs); i += 2 {
		headers = append(headers, failover.H(pairs[i], pairs[i+1]))
	}
	return c.Subscribe(ctx, from, failover.AckClientIndividual, headers...)
}

// drainer sends a last message into a queue and consumes up to it. With nothingElse all
// that comes before it should not be there.
type drainer struct {
	w           *world
	rand        *rand.Rand
	queue       string
	nothingElse bool
	first       bool // only subscribes: there was nothing before
}

func (d *drainer) run(ctx context.Context) error {
	c, err := dial(ctx, d.w, d.queue, clientID(d.queue), 0)
	if err != nil {
		return err
	}
	defer c.Close()
	if d.first {
		_, err := c.consume(ctx, d.queue)
		return err
	}
	last := history.Key{Producer: 1000, Seq: d.w.log.Next(series), Queue: d.queue}
	dest, opts, due := target(d.queue, lastDelay)
	e := c.event(history.Sent, last)
	e.Due = d.w.due(due)
	c.log.Add(e)
	if err := c.Send(ctx, dest, "", body(d.rand, last), opts...); err != nil {
		return err
	}
	c.log.Add(c.event(history.Receipted, last))
	sub, err := c.consume(ctx, d.queue)
	if err != nil {
		return err
	}
	for {
		m, err := sub.Receive(ctx)
		if err != nil {
			return err
		}
		k, err := history.ParseBody(m.Body, d.queue)
		if err != nil {
			c.log.Add(history.Event{Kind: history.Garbled, Note: err.Error()})
			continue
		}
		e := c.about(history.Delivered, k, m)
		e.Redelivered = m.Header.Get("redelivered") == "true"
		if d.nothingElse && k != last {
			e.Kind = history.Left
		}
		c.log.Add(e)
		began := c.log.Now()
		if err := m.AckReceipt(ctx); err != nil {
			if errors.Is(err, failover.ErrStale) || errors.Is(err, failover.ErrInDoubt) {
				continue // it comes again
			}
			return err
		}
		acked := c.about(history.Acked, k, m)
		acked.Began = began
		c.log.Add(acked)
		if k == last {
			return nil
		}
	}
}
