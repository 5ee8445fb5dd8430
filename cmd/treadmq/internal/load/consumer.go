package load

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// consumer is one receiving connection with a subscription for each of its destinations.
type consumer struct {
	cfg      *Config
	conn     *conn
	dests    []int
	tracks   []*track // by subscription; they belong to consume until it has ended
	latency  histogram
	received atomic.Int64
	last     atomic.Int64 // Unix time in ns of the last message
	stopping atomic.Bool  // set once by stop; messages after that are left to the broker
	ended    chan<- error // told once, when consume has ended
}

// ErrForeign means that a destination holds messages that no load has sent. They are
// not acknowledged.
var ErrForeign = errors.New("the destination holds messages that are not of a load; choose another, or empty it")

// ackEvery is how many messages one cumulative ACK covers at most.
const ackEvery = 50

func newConsumer(cfg *Config, run uint32, c *conn, dests []int, ended chan<- error) *consumer {
	k := &consumer{cfg: cfg, conn: c, dests: dests, latency: newHistogram(), ended: ended}
	for range dests {
		k.tracks = append(k.tracks, newTrack(run, cfg.Mode == Drain))
	}
	return k
}

// subscribe asks for the messages and waits for the broker's receipts. consume must be
// called afterwards.
func (k *consumer) subscribe() error {
	for i, d := range k.dests {
		c := k.conn.command("SUBSCRIBE").raw("id", strconv.Itoa(i)).header("destination", k.cfg.destination(d)).raw("ack", k.cfg.Ack)
		if k.cfg.Prefetch > 0 {
			c.raw("activemq.prefetchSize", strconv.Itoa(k.cfg.Prefetch))
		}
		if i == len(k.dests)-1 {
			c.raw("receipt", "subscribed")
		}
		c.end(nil)
	}
	if err := k.conn.flush(); err != nil {
		return err
	}
	k.conn.SetReadDeadline(time.Now().Add(connectTimeout))
	var f inFrame
	a := acker{k: k}
	for {
		if err := k.conn.read(&f); err != nil {
			return err
		}
		if f.command == "RECEIPT" {
			return k.conn.SetReadDeadline(time.Time{})
		}
		if err := a.frame(&f); err != nil { // of the subscriptions before the last
			return err
		}
		if err := a.settle(); err != nil {
			return err
		}
	}
}

// consume takes messages until stop was called and the broker has answered, or the
// connection fails.
func (k *consumer) consume(giveUp context.Context) {
	unwatch := context.AfterFunc(giveUp, func() { k.conn.Close() })
	err := k.loop()
	unwatch()
	k.conn.Close()
	k.ended <- err
}

func (k *consumer) loop() error {
	var f inFrame
	a := acker{k: k}
	for {
		if err := k.conn.read(&f); err != nil {
			return err
		}
		if f.command == "RECEIPT" {
			return nil // of the goodbye
		}
		if k.stopping.Load() {
			continue // not acknowledged: it stays in its queue
		}
		if err := a.frame(&f); err != nil {
			return err
		}
		if k.conn.drained() || len(k.conn.out) >= flushSize {
			if err := a.settle(); err != nil {
				return err
			}
		}
	}
}

// stop says goodbye to the broker; consume ends when it answers.
func (k *consumer) stop() {
	k.stopping.Store(true)
	k.conn.SetDeadline(time.Now().Add(goodbyeTimeout))
	k.conn.Write([]byte(goodbye)) // what fails here, the reader sees as well
}

// acker notes messages and acknowledges them.
type acker struct {
	k       *consumer
	pending int    // messages since the last cumulative ACK
	last    []byte // ack id of the latest of them
	lastSub int
}

func (a *acker) frame(f *inFrame) error {
	k := a.k
	if f.command != "MESSAGE" {
		return fmt.Errorf("the broker sent %s to a consumer", f.command)
	}
	s, ok := parseStamp(f.body)
	if !ok {
		return ErrForeign
	}
	sub, err := strconv.Atoi(string(f.subscription))
	if err != nil || sub < 0 || sub >= len(k.tracks) {
		return fmt.Errorf("the broker sent a message for subscription %q, which there is not", f.subscription)
	}
	now := time.Now().UnixNano()
	k.last.Store(now)
	if k.tracks[sub].message(s, f.redelivered) {
		k.latency.record(now - s.at)
		k.received.Add(1)
	}
	a.ack(f, sub)
	return nil
}

func (a *acker) ack(f *inFrame, sub int) {
	switch a.k.cfg.Ack {
	case "client-individual":
		a.write(f.ack)
	case "client":
		if a.pending > 0 && (a.lastSub != sub || a.pending >= ackEvery) {
			a.write(a.last)
			a.pending = 0
		}
		a.last, a.lastSub = append(a.last[:0], f.ack...), sub
		a.pending++
	}
}

func (a *acker) write(id []byte) {
	b := append(a.k.conn.out, "ACK\nid:"...)
	b = append(b, id...)
	a.k.conn.out = append(b, "\n\n\x00"...)
}

// settle acknowledges what is still open and brings it out.
func (a *acker) settle() error {
	if a.pending > 0 {
		a.write(a.last)
		a.pending = 0
	}
	return a.k.conn.flush()
}
