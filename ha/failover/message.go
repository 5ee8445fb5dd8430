package failover

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"
)

// Message is a received message (STOMP 1.2 MESSAGE).
type Message struct {
	Destination string
	ContentType string // empty when the sender gave none
	Header      *frame.Header
	Body        []byte

	sub     *Subscription
	epoch   uint64 // connection it came over
	version stomp.Version
}

// messageOverhead is what a buffered message is counted for beside its body.
const messageOverhead = 256

// ID returns the message-id.
func (m *Message) ID() string { return m.Header.Get(frame.MessageId) }

// Subscription returns the subscription it was received by.
func (m *Message) Subscription() *Subscription { return m.sub }

// Ack acknowledges the message, in mode client all earlier ones of the
// subscription too. It returns when the ACK is on its way; see AckReceipt. In
// mode auto it does nothing. ErrStale tells that the connection it came over
// has ended; the present one is not disturbed.
func (m *Message) Ack(ctx context.Context, headers ...Header) error {
	if m.sub.mode == AckAuto {
		return nil
	}
	_, err := m.settle(ctx, frame.ACK, nil, false, nil, headers)
	return err
}

// AckReceipt is Ack with a wait for the broker's RECEIPT. ErrInDoubt tells
// that the connection ended before it: the message may come again.
func (m *Message) AckReceipt(ctx context.Context, headers ...Header) error {
	if m.sub.mode == AckAuto {
		return nil
	}
	return m.settleAndWait(ctx, frame.ACK, headers)
}

// Nack tells the broker that the message was not processed. What the broker
// does then is its policy; headers such as x-delay may choose. In mode auto it
// is an error.
func (m *Message) Nack(ctx context.Context, headers ...Header) error {
	if m.sub.mode == AckAuto {
		return errors.New("nack: a message received in ack mode auto is gone already; subscribe with client or client-individual")
	}
	_, err := m.settle(ctx, frame.NACK, nil, false, nil, headers)
	return err
}

func (m *Message) settleAndWait(ctx context.Context, command string, headers []Header) error {
	result := make(chan error, 1)
	it, err := m.settle(ctx, command, nil, true, func(err error) { result <- err }, headers)
	if err != nil {
		return err
	}
	return m.sub.c.await(ctx, it, result, "acknowledge "+m.ID())
}

// settle queues ACK or NACK.
func (m *Message) settle(ctx context.Context, command string, tx *Tx, receipt bool, done func(error), headers []Header) (*item, error) {
	if err := checkHeaders(command, headers, frame.Id, frame.MessageId, frame.Subscription, frame.Transaction, frame.Receipt, frame.ContentLength); err != nil {
		return nil, err
	}
	f, err := m.settleFrame(command, headers)
	if err != nil {
		return nil, err
	}
	it := &item{frame: f, done: done, tx: tx}
	c := m.sub.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.waitForRoom(ctx, it); err != nil {
		return nil, fmt.Errorf("acknowledge %s: %w", m.ID(), err)
	}
	if c.sess == nil || m.epoch != c.epoch || m.sub.err != nil {
		return nil, fmt.Errorf("acknowledge %s: %w", m.ID(), ErrStale)
	}
	if tx != nil {
		if err := tx.usable(); err != nil {
			return nil, err
		}
		f.Header.Add(frame.Transaction, tx.id)
	}
	if receipt {
		it.receipt = c.nextID("r")
		f.Header.Add(frame.Receipt, it.receipt)
	}
	c.pushLocked(it)
	return it, nil
}

// settleFrame addresses the message as the protocol version wants it.
func (m *Message) settleFrame(command string, headers []Header) (*frame.Frame, error) {
	f := frame.New(command)
	if m.version == stomp.V12 {
		id, ok := m.Header.Contains(frame.Ack)
		if !ok {
			return nil, protocolError("MESSAGE %s has no ack header, so it cannot be acknowledged", shorten(m.ID()))
		}
		f.Header.Add(frame.Id, id)
	} else {
		f.Header.Add(frame.MessageId, m.ID())
		f.Header.Add(frame.Subscription, m.sub.id)
	}
	for _, h := range headers {
		f.Header.Add(h.Name, h.Value)
	}
	return f, nil
}

// deliver buffers a MESSAGE for its subscription.
func (c *Conn) deliver(s *session, f *frame.Frame) error {
	id, ok := f.Header.Contains(frame.Subscription)
	if !ok {
		return protocolError("MESSAGE without a subscription header")
	}
	m := &Message{
		Destination: f.Header.Get(frame.Destination),
		ContentType: f.Header.Get(frame.ContentType),
		Header:      f.Header,
		Body:        f.Body,
		version:     s.version,
	}
	c.mu.Lock()
	o := c.bufferMessage(s, id, m)
	c.mu.Unlock()
	report(o)
	return nil
}

// bufferMessage puts a message into its subscription. Holds mu.
func (c *Conn) bufferMessage(s *session, id string, m *Message) (o outcome) {
	sub := c.subByID[id]
	if c.sess != s || sub == nil {
		return outcome{} // sent before the broker saw our UNSUBSCRIBE; it takes it back
	}
	if sub.asked != nil {
		o = c.finish(sub.asked, nil) // as good as the RECEIPT, which some brokers leave out
	}
	s.useful = true
	m.sub, m.epoch = sub, s.epoch
	sub.buf = append(sub.buf, m)
	c.bufMessages++
	c.bufBytes += len(m.Body) + messageOverhead
	sub.signal()
	return o
}

// uncount takes a message out of the buffer's bounds. Holds mu.
func (c *Conn) uncount(m *Message) {
	c.bufMessages--
	c.bufBytes -= len(m.Body) + messageOverhead
}
