//go:build crash

package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"treadmq/scripts/internal/history"
	"treadmq/scripts/internal/rawstomp"
)

const (
	login    = "tester"
	passcode = "secret"

	perRound     = 2000 // messages of a producer in a round, so that the backlog stays bounded
	largeBody    = 100 << 10
	drainTimeout = 60 * time.Second
)

// client is what all workers have.
type client struct {
	addr string
	log  *recorder
	rand *rand.Rand
}

func (c *client) dial(headers ...string) (*rawstomp.Conn, error) {
	return rawstomp.Dial(c.addr, login, passcode, headers...)
}

// subscribe connects and subscribes.
func (c *client) subscribe(queue string, more ...string) (*rawstomp.Conn, error) {
	connect, subscribe := subscribeTo(queue)
	conn, err := c.dial(connect...)
	if err != nil {
		return nil, err
	}
	headers := slices.Concat([]string{"id", "1", "ack", "client-individual"}, subscribe, more)
	if err := conn.Send("SUBSCRIBE", nil, headers...); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// refused records an ERROR frame, or a login that was answered by one.
func (c *client) refused(f *rawstomp.Frame) {
	c.log.add(history.Event{Kind: history.Refused, Note: fmt.Sprintf("%s: %s", f.Get("message"), f.Body)})
}

func (c *client) failed(err error) {
	if refusal := (*rawstomp.Error)(nil); errors.As(err, &refusal) {
		c.refused(refusal.Frame)
	}
}

// body makes a message's body, now and then a large one.
func (c *client) body(k history.Key) []byte {
	n := c.rand.IntN(500)
	if c.rand.IntN(200) == 0 {
		n = c.rand.IntN(largeBody)
	}
	return history.Body(c.rand, k, n)
}

// producer sends until the broker dies, with at most window receipts open.
type producer struct {
	client
	id     int
	window int
	queues []string // of transactions both, otherwise the first

	conn *rawstomp.Conn
	open chan struct{} // one element for each receipt that is awaited
	dead chan struct{} // closed when nothing more can be read
}

func (p *producer) work() {
	var err error
	if p.conn, err = p.dial(); err != nil {
		p.failed(err)
		return
	}
	defer p.conn.Close()
	p.open, p.dead = make(chan struct{}, p.window), make(chan struct{})
	var producing sync.WaitGroup
	producing.Go(p.produce)
	p.readReceipts()
	producing.Wait()
}

func (p *producer) produce() {
	for range perRound {
		select {
		case p.open <- struct{}{}:
		case <-p.dead:
			return
		}
		if p.rand.IntN(10) == 0 {
			p.transaction()
		} else {
			p.send(p.queues[0], 0)
		}
		if p.conn.Flush() != nil {
			return
		}
	}
}

// send appends a SEND; outside a transaction with a receipt.
func (p *producer) send(queue string, tx int) {
	k := history.Key{Producer: p.id, Seq: p.log.Next(series), Queue: queue}
	p.log.add(history.Event{Kind: history.Sent, Key: k, Tx: tx})
	headers := sendTo(queue, p.rand.IntN(maxDelay))
	if tx == 0 {
		headers = append(headers, "receipt", k.Text())
	} else {
		headers = append(headers, "transaction", strconv.Itoa(tx))
	}
	p.conn.Append("SEND", p.body(k), headers...)
}

// transaction appends one over both queues, which is committed or aborted. Now and then its parts go out one by
// one, so that the broker can die between them.
func (p *producer) transaction() {
	tx := p.log.Next(seriesTx)
	name := strconv.Itoa(tx)
	slow := p.rand.IntN(2) == 0
	p.conn.Append("BEGIN", nil, "transaction", name)
	for range 1 + p.rand.IntN(3) {
		for _, q := range p.queues {
			p.send(q, tx)
			if slow {
				_ = p.conn.Flush() // an error shows again at the end
			}
		}
	}
	end := "COMMIT"
	if p.rand.IntN(5) == 0 {
		end = "ABORT"
	} else {
		p.log.add(history.Event{Kind: history.Committing, Tx: tx})
	}
	p.conn.Append(end, nil, "transaction", name, "receipt", end+name)
}

func (p *producer) readReceipts() {
	defer close(p.dead)
	for {
		f, err := p.conn.Receive()
		if err != nil {
			return
		}
		if f.Command != "RECEIPT" {
			p.refused(f)
			return
		}
		id := f.Get("receipt-id")
		if tx, ok := strings.CutPrefix(id, "COMMIT"); ok {
			n, _ := strconv.Atoi(tx)
			p.log.add(history.Event{Kind: history.Committed, Tx: n})
		} else if k, err := history.ParseKey(id); err == nil {
			p.log.add(history.Event{Kind: history.Receipted, Key: k})
		}
		<-p.open
	}
}

// consumer takes messages until the broker dies. It refuses some and acknowledges
// the rest, not always in order and not always at once.
type consumer struct {
	client
	queue string
	held  [][2]string // ack header and key of messages not yet acknowledged
}

func (c *consumer) work() {
	conn, err := c.subscribe(c.queue, "activemq.prefetchSize", "50")
	if err != nil {
		c.failed(err)
		return
	}
	defer conn.Close()
	for {
		f, err := conn.Receive()
		if err != nil {
			return
		}
		if !c.take(conn, f) {
			return
		}
	}
}

// take handles a frame. Errors of writing are left to the reader: what lies in the socket is still to be read.
func (c *consumer) take(conn *rawstomp.Conn, f *rawstomp.Frame) bool {
	switch f.Command {
	case "RECEIPT":
		if k, err := history.ParseKey(f.Get("receipt-id")); err == nil {
			c.log.add(history.Event{Kind: history.Acked, Key: k})
		}
		return true
	case "MESSAGE":
	default:
		c.refused(f)
		return false
	}
	k, err := history.ParseBody(f.Body, c.queue)
	if err != nil {
		c.log.add(history.Event{Kind: history.Garbled, Note: err.Error()})
		return true
	}
	c.log.add(history.Event{Kind: history.Delivered, Key: k, Redelivered: f.Get("redelivered") == "true"})
	if c.rand.IntN(50) == 0 {
		c.log.add(history.Event{Kind: history.Nacked, Key: k})
		_ = conn.Send("NACK", nil, "id", f.Get("ack"), "requeue", "true")
		return true
	}
	c.held = append(c.held, [2]string{f.Get("ack"), k.Text()})
	if c.rand.IntN(4) == 0 {
		c.acknowledge(conn)
	}
	return true
}

func (c *consumer) acknowledge(conn *rawstomp.Conn) {
	c.rand.Shuffle(len(c.held), func(i, j int) { c.held[i], c.held[j] = c.held[j], c.held[i] })
	for _, h := range c.held {
		conn.Append("ACK", nil, "id", h[0], "receipt", h[1])
	}
	c.held = c.held[:0]
	_ = conn.Flush()
}

// drainer sends a last message into a queue and consumes up to it.
type drainer struct {
	client
	queue       string
	last        history.Key
	nothingElse bool // whatever comes before it should not be there
}

func (d *drainer) run() error {
	connect, subscribe := subscribeTo(d.queue)
	conn, err := d.dial(connect...)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(drainTimeout)); err != nil {
		return err
	}
	d.log.add(history.Event{Kind: history.Sent, Key: d.last})
	if err := conn.Send("SEND", d.body(d.last), append(sendTo(d.queue, lastDelay), "receipt", "last")...); err != nil {
		return err
	}
	if f, err := conn.Receive(); err != nil || f.Command != "RECEIPT" {
		return fmt.Errorf("no receipt: %v %v", f, err)
	}
	d.log.add(history.Event{Kind: history.Receipted, Key: d.last})
	if err := conn.Send("SUBSCRIBE", nil, append(subscribe, "id", "1", "ack", "client-individual")...); err != nil {
		return err
	}
	for open, seen := 0, false; !seen || open > 0; {
		f, err := conn.Receive()
		switch {
		case err != nil:
			return err
		case f.Command == "RECEIPT":
			open--
			if k, err := history.ParseKey(f.Get("receipt-id")); err == nil {
				d.log.add(history.Event{Kind: history.Acked, Key: k})
			}
			continue
		case f.Command != "MESSAGE":
			return &rawstomp.Error{Frame: f}
		}
		k, err := history.ParseBody(f.Body, d.queue)
		if err != nil {
			d.log.add(history.Event{Kind: history.Garbled, Note: err.Error()})
			continue
		}
		if d.nothingElse && k != d.last {
			d.log.add(history.Event{Kind: history.Left, Key: k})
		}
		d.log.add(history.Event{Kind: history.Delivered, Key: k, Redelivered: f.Get("redelivered") == "true"})
		seen = seen || k == d.last
		open++
		if err := conn.Send("ACK", nil, "id", f.Get("ack"), "receipt", k.Text()); err != nil {
			return err
		}
	}
	return nil
}
