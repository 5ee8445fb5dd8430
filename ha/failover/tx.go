package failover

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-stomp/stomp/v3/frame"
)

// Tx is a transaction of one connection to one broker (STOMP 1.2 BEGIN). When
// that connection ends, so does the transaction: its methods then give
// ErrInterrupted and the program begins a new one. It must be ended with
// Commit or Abort.
type Tx struct {
	c     *Conn
	id    string
	epoch uint64

	// Guarded by Conn.mu.
	err  error // why it cannot be used any more
	open int   // frames without RECEIPT
}

// errTxDone is the error of a transaction that was committed or aborted.
var errTxDone = errors.New("transaction: it was committed or aborted before; begin a new one")

// Begin starts a transaction on the present connection, waiting for one until
// ctx ends.
func (c *Conn) Begin(ctx context.Context) (*Tx, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.waitLocked(ctx, func() bool { return c.sess != nil && !c.draining || c.closing })
	if err == nil {
		err = c.waitForRoom(ctx, &item{})
	}
	if err == nil && c.sess == nil {
		err = ErrInterrupted
	}
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	tx := &Tx{c: c, id: c.nextID("t"), epoch: c.epoch}
	tx.pushTracked(&item{frame: frame.New(frame.BEGIN, frame.Transaction, tx.id)})
	return tx, nil
}

// pushTracked queues a frame whose RECEIPT Commit waits for. Holds mu.
func (tx *Tx) pushTracked(it *item) {
	it.tx = tx
	it.receipt = tx.c.nextID("r")
	it.frame.Header.Add(frame.Receipt, it.receipt)
	it.done = tx.track()
	tx.c.pushLocked(it)
}

// track counts a frame as open and returns what is to be told its outcome.
// Holds mu.
func (tx *Tx) track() func(error) {
	tx.open++
	return func(err error) {
		tx.c.mu.Lock()
		defer tx.c.mu.Unlock()
		tx.open--
		if err != nil && tx.err == nil {
			tx.err = asInterrupted(err)
		}
		tx.c.notify()
	}
}

// asInterrupted words the loss of a frame before COMMIT: since the broker drops
// the transaction with its connection, nothing is in doubt.
func asInterrupted(err error) error {
	if errors.Is(err, ErrInDoubt) {
		return ErrInterrupted
	}
	return err
}

// usable says whether frames can be added. Holds mu.
func (tx *Tx) usable() error {
	switch {
	case tx.err != nil:
		return tx.err
	case tx.c.err != nil:
		return tx.c.err
	case tx.c.sess == nil || tx.c.epoch != tx.epoch:
		tx.err = ErrInterrupted
	}
	return tx.err
}

// Send adds a message to the transaction; it is sent to nobody before Commit.
// The body must not be changed before Commit or Abort returned. A refusal by
// the broker shows at a later Send, Ack or Commit.
func (tx *Tx) Send(ctx context.Context, destination, contentType string, body []byte, opts ...SendOpt) error {
	tx.c.mu.Lock()
	err := tx.usable()
	var done func(error)
	if err == nil {
		done = tx.track()
	}
	tx.c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("transaction: send to %s: %w", destination, err)
	}
	if _, err := tx.c.enqueueSend(ctx, tx, destination, contentType, body, done, opts); err != nil {
		tx.untrack()
		return fmt.Errorf("transaction: %w", err)
	}
	return nil
}

// untrack undoes track for a frame that was not queued.
func (tx *Tx) untrack() {
	tx.c.mu.Lock()
	defer tx.c.mu.Unlock()
	tx.open--
	tx.c.notify()
}

// Ack acknowledges a message as part of the transaction.
func (tx *Tx) Ack(ctx context.Context, m *Message, headers ...Header) error {
	if m.sub.mode == AckAuto {
		return errors.New("transaction: a message received in ack mode auto cannot be acknowledged; subscribe with client or client-individual")
	}
	tx.c.mu.Lock()
	err := tx.usable()
	var done func(error)
	if err == nil {
		done = tx.track()
	}
	tx.c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("transaction: acknowledge %s: %w", m.ID(), err)
	}
	if _, err := m.settle(ctx, frame.ACK, tx, true, done, headers); err != nil {
		tx.untrack()
		return fmt.Errorf("transaction: %w", err)
	}
	return nil
}

// Commit makes the transaction take effect as a whole and waits for the
// broker's RECEIPT. It first waits until the broker has confirmed everything
// before it, so that a refusal of any part means that nothing was done. Errors:
// ErrInterrupted, nothing was done, repeat the whole; ErrInDoubt, COMMIT was
// written and its RECEIPT not seen; a ServerError, the broker refused. Headers
// such as x-commit-id are sent with COMMIT.
func (tx *Tx) Commit(ctx context.Context, headers ...Header) error {
	if err := checkHeaders("commit", headers, frame.Transaction, frame.Receipt, frame.ContentLength); err != nil {
		return err
	}
	if err := tx.settled(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return tx.finish(ctx, frame.COMMIT, headers)
}

// settled waits until everything before COMMIT is confirmed. Without success
// the transaction is aborted.
func (tx *Tx) settled(ctx context.Context) error {
	c := tx.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := tx.usable(); err != nil {
		tx.dropLocked()
		return err
	}
	err := c.waitLocked(ctx, func() bool { return tx.open == 0 || tx.err != nil })
	if err == nil {
		err = tx.usable()
	}
	if err != nil {
		tx.dropLocked()
	}
	return err
}

// dropLocked ends a failed transaction, at the broker too if it still has it.
// Holds mu.
func (tx *Tx) dropLocked() {
	if tx.err != errTxDone {
		tx.abandonLocked()
	}
	tx.err = errTxDone
}

// Abort undoes the transaction and waits for the broker's RECEIPT. When the
// connection has ended the broker has done so itself, and Abort returns nil.
func (tx *Tx) Abort(ctx context.Context) error {
	tx.c.mu.Lock()
	err := tx.usable()
	if err != nil {
		tx.dropLocked()
	}
	tx.c.mu.Unlock()
	if err != nil {
		return nil
	}
	err = tx.finish(ctx, frame.ABORT, nil)
	if errors.Is(err, ErrInterrupted) || errors.Is(err, ErrInDoubt) && ctx.Err() == nil {
		return nil
	}
	return err
}

// finish writes COMMIT or ABORT and waits for its outcome.
func (tx *Tx) finish(ctx context.Context, command string, headers []Header) error {
	c := tx.c
	result := make(chan error, 1)
	it := &item{done: func(err error) { result <- err }}
	c.mu.Lock()
	if err := tx.usable(); err != nil {
		c.mu.Unlock()
		return fmt.Errorf("%s: %w", command, err)
	}
	tx.err = errTxDone
	it.receipt = c.nextID("r")
	it.frame = frame.New(command, frame.Transaction, tx.id, frame.Receipt, it.receipt)
	for _, h := range headers {
		it.frame.Header.Add(h.Name, h.Value)
	}
	c.pushLocked(it)
	c.mu.Unlock()
	err := c.await(ctx, it, result, command)
	if err != nil && ctx.Err() != nil && !errors.Is(err, ErrInDoubt) {
		tx.abandon() // given up before it was written
	}
	return err
}

// abandon tells the broker to drop a transaction that will not be committed.
func (tx *Tx) abandon() {
	tx.c.mu.Lock()
	defer tx.c.mu.Unlock()
	tx.abandonLocked()
}

// abandonLocked is abandon for who holds mu.
func (tx *Tx) abandonLocked() {
	c := tx.c
	if c.err == nil && c.sess != nil && c.epoch == tx.epoch {
		c.pushLocked(&item{frame: frame.New(frame.ABORT, frame.Transaction, tx.id)})
	}
}
