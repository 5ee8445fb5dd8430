package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
)

// Header is one header of a frame. It can be given to Send, Subscribe, Ack and
// the others.
type Header struct{ Name, Value string }

// H makes a Header.
func H(name, value string) Header { return Header{name, value} }

// SendOpt changes one message: a Header adds itself; see also NoReceipt and
// NoContentLength.
type SendOpt interface{ apply(*sendConfig) }

type sendConfig struct {
	headers   []Header
	noReceipt bool
	noLength  bool
	repeat    func(first string)
}

func (h Header) apply(s *sendConfig) { s.headers = append(s.headers, h) }

type sendOptFunc func(*sendConfig)

func (f sendOptFunc) apply(s *sendConfig) { f(s) }

// NoReceipt sends without waiting for the broker: the call succeeds when the
// message is on its way and a message lost with its connection stays lost,
// unless the address says trackMessages=true.
func NoReceipt() SendOpt { return sendOptFunc(func(s *sendConfig) { s.noReceipt = true }) }

// OnRepeat calls told before the outcome of a message that the broker had already and left out,
// by its x-dedup-id or the like, with the id of the first one, "" if that is not known. What
// this connection itself sent again is no repeat. told must not block.
func OnRepeat(told func(first string)) SendOpt {
	return sendOptFunc(func(s *sendConfig) { s.repeat = told })
}

// NoContentLength leaves out content-length, by which ActiveMQ's clients tell
// text from bytes. The body must not hold NUL.
func NoContentLength() SendOpt { return sendOptFunc(func(s *sendConfig) { s.noLength = true }) }

// Send sends a message (STOMP 1.2 SEND) and waits for the broker's RECEIPT,
// over reconnects if need be. destination is as the broker spells it, such as
// /queue/orders; contentType may be empty. The body must not be changed before
// Send returns. When ctx ends first, the error is ctx.Err(), joined with
// ErrInDoubt if the message had been written.
func (c *Conn) Send(ctx context.Context, destination, contentType string, body []byte, opts ...SendOpt) error {
	result := make(chan error, 1)
	it, err := c.enqueueSend(ctx, nil, destination, contentType, body, func(err error) { result <- err }, opts)
	if err != nil {
		return err
	}
	return c.await(ctx, it, result, "send to "+destination)
}

// SendAsync sends without waiting for the RECEIPT; done is told the outcome
// exactly once, in most cases by the goroutine that reads from the broker, so
// it must not block. SendAsync itself waits while the window is full; ctx
// bounds only that wait. The body must not be changed before done was called.
// Messages of one goroutine arrive in the order of its calls.
func (c *Conn) SendAsync(ctx context.Context, destination, contentType string, body []byte, done func(error), opts ...SendOpt) {
	if _, err := c.enqueueSend(ctx, nil, destination, contentType, body, done, opts); err != nil && done != nil {
		done(err)
	}
}

// await waits for the outcome of an item, or gives it up when ctx ends.
func (c *Conn) await(ctx context.Context, it *item, result <-chan error, what string) error {
	select {
	case err := <-result:
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	late, written := it.finished, it.sentIn > 0
	c.finish(it, nil) // done is not called: nobody reads result any more
	c.mu.Unlock()
	switch {
	case late:
		if err := <-result; err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	case written:
		return fmt.Errorf("%s: %w (%w)", what, ctx.Err(), ErrInDoubt)
	}
	return fmt.Errorf("%s: %w", what, ctx.Err())
}

func (c *Conn) enqueueSend(ctx context.Context, tx *Tx, destination, contentType string, body []byte, done func(error), opts []SendOpt) (*item, error) {
	var config sendConfig
	for _, o := range opts {
		o.apply(&config)
	}
	if err := config.check(destination, contentType, body); err != nil {
		return nil, err
	}
	it := &item{message: true, size: len(body), done: done, resend: tx == nil, tx: tx, repeat: config.repeat}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.waitForRoom(ctx, it); err != nil {
		return nil, fmt.Errorf("send to %s: %w", destination, err)
	}
	if tx != nil {
		if err := tx.usable(); err != nil {
			return nil, err
		}
	}
	if !config.noReceipt || c.policy.TrackMessages || tx != nil {
		it.receipt = c.nextID("r")
	}
	it.frame = c.sendFrame(&config, tx, it.receipt, destination, contentType, body)
	c.pushLocked(it)
	return it, nil
}

// check refuses what cannot be sent, before anything is queued: a frame that
// every broker refuses would be sent over and over.
func (s *sendConfig) check(destination, contentType string, body []byte) error {
	if destination == "" {
		return errors.New("send: the destination is empty")
	}
	if strings.ContainsRune(destination+contentType, 0) {
		return errors.New("send: destination and content type cannot hold NUL")
	}
	if s.noLength && slices.Contains(body, 0) {
		return fmt.Errorf("send to %s: a body with NUL needs its content-length", destination)
	}
	return checkHeaders("send", s.headers, frame.Destination, frame.Receipt, frame.Transaction, frame.ContentLength)
}

// checkHeaders refuses reserved and unsendable headers.
func checkHeaders(what string, headers []Header, reserved ...string) error {
	for _, h := range headers {
		if h.Name == "" || strings.ContainsRune(h.Name+h.Value, 0) {
			return fmt.Errorf("%s: header %q: the name is empty or NUL occurs", what, h.Name)
		}
		if slices.Contains(reserved, h.Name) {
			return fmt.Errorf("%s: header %q is set by the client", what, h.Name)
		}
	}
	return nil
}

// dedupHeader names the header by which a broker recognises a repeated message.
const dedupHeader = "x-dedup-id"

// sendFrame builds SEND. Holds mu, for the serial number.
func (c *Conn) sendFrame(s *sendConfig, tx *Tx, receipt, destination, contentType string, body []byte) *frame.Frame {
	pairs := make([]string, 0, 12+2*len(s.headers))
	pairs = append(pairs, frame.Destination, destination)
	if contentType != "" {
		pairs = append(pairs, frame.ContentType, contentType)
	}
	if !s.noLength {
		pairs = append(pairs, frame.ContentLength, strconv.Itoa(len(body)))
	}
	if tx != nil {
		pairs = append(pairs, frame.Transaction, tx.id)
	}
	if receipt != "" {
		pairs = append(pairs, frame.Receipt, receipt)
	}
	own := false
	for _, h := range s.headers {
		pairs = append(pairs, h.Name, h.Value)
		own = own || h.Name == dedupHeader || h.Name == "_AMQ_DUPL_ID"
	}
	if c.dedup != "" && tx == nil && receipt != "" && !own {
		pairs = append(pairs, dedupHeader, c.dedup+receipt[1:])
	}
	return &frame.Frame{Command: frame.SEND, Header: frame.NewHeader(pairs...), Body: body}
}

// waitForRoom waits until the item fits the window. Holds mu.
func (c *Conn) waitForRoom(ctx context.Context, it *item) error {
	if c.closing {
		return c.closedError()
	}
	fits := func() bool {
		switch {
		case c.closing:
			return true
		case !it.message:
			return c.out.controls < maxControls
		case c.out.messages == 0:
			return true
		}
		return c.out.messages < c.opts.Window && c.out.bytes+it.size <= c.opts.WindowBytes
	}
	if err := c.waitLocked(ctx, fits); err != nil {
		return err
	}
	if c.closing {
		return ErrClosed
	}
	return nil
}

// pushLocked queues an item and wakes the writer. Holds mu.
func (c *Conn) pushLocked(it *item) {
	c.out.push(it)
	if it.receipt != "" {
		c.readerMayGoOn()
	}
	if c.sess == nil {
		c.armTimeout(it)
		return
	}
	c.sess.poke()
}

// armTimeout bounds how long a message waits without a connection. Holds mu.
func (c *Conn) armTimeout(it *item) {
	if c.policy.Timeout < 0 || !it.message || it.finished {
		return
	}
	var own *time.Timer // told apart from a later timer of the same item
	own = time.AfterFunc(c.policy.Timeout, func() {
		c.mu.Lock()
		var o outcome
		if c.sess == nil && it.timer == own {
			o = c.finish(it, fmt.Errorf("%w (%v)", ErrTimeout, c.policy.Timeout))
		}
		c.mu.Unlock()
		report(o)
	})
	it.timer = own
}

// disarmTimeout is the end of armTimeout. Holds mu.
func disarmTimeout(it *item) {
	if it.timer != nil {
		it.timer.Stop()
		it.timer = nil
	}
}

func formatSerial(n uint64) string { return strconv.FormatUint(n, 10) }
