package failover

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/go-stomp/stomp/v3/frame"
)

// begin starts a transaction and returns its BEGIN, not yet confirmed.
func begin(t *testing.T, c *Conn, p *peer) (*Tx, *frame.Frame) {
	t.Helper()
	tx, err := c.Begin(testContext(t))
	must(t, err)
	return tx, p.expect(frame.BEGIN)
}

func TestCommit(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, failoverTo("", a), Options{})
	ctx := testContext(t)
	var sub *Subscription
	wait := background(func() (err error) {
		sub, err = c.Subscribe(ctx, "/queue/in", AckClientIndividual)
		return err
	})
	s := p.subscribed()
	must(t, wait())
	p.message(s, "1", "one")
	m, err := sub.Receive(ctx)
	must(t, err)

	tx, b := begin(t, c, p)
	id := b.Header.Get(frame.Transaction)
	must(t, tx.Send(ctx, "/queue/out", "text/plain", []byte("result"), H("k", "v")))
	must(t, tx.Ack(ctx, m))
	commit := background(func() error { return tx.Commit(ctx, H("x-commit-id", "7")) })
	send := p.expectSend("result")
	ack := p.expect(frame.ACK)
	for _, f := range []*frame.Frame{send, ack} {
		if f.Header.Get(frame.Transaction) != id || id == "" {
			t.Errorf("%s is not part of the transaction %q: %v", f.Command, id, f.Header)
		}
	}
	p.receipt(b)
	p.receipt(send)
	p.receipt(ack) // only now COMMIT may come
	f := p.expect(frame.COMMIT)
	if f.Header.Get(frame.Transaction) != id || f.Header.Get("x-commit-id") != "7" {
		t.Errorf("COMMIT %v", f.Header)
	}
	p.receipt(f)
	must(t, commit())
	for _, err := range []error{tx.Commit(ctx), tx.Send(ctx, "/queue/out", "", nil), tx.Ack(ctx, m)} {
		wantErr(t, err, errTxDone)
	}
	must(t, tx.Abort(ctx)) // as in a deferred call
}

func TestCommitWaitsForItsParts(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, failoverTo("", a), Options{})
	ctx := testContext(t)
	tx, _ := begin(t, c, p)
	must(t, tx.Send(ctx, "/queue/out", "", []byte("x")))
	commit := background(func() error { return tx.Commit(ctx) })
	f := p.expectSend("x")
	p.write(frame.ERROR, "message", "too large", "receipt-id", f.Header.Get("receipt"))
	p.expectEnd() // no COMMIT
	err := commit()
	if _, ok := errors.AsType[*ServerError](err); !ok || errors.Is(err, ErrInDoubt) {
		t.Errorf("Commit gives %v", err)
	}
}

func TestTransactionEndsWithItsConnection(t *testing.T) {
	a, b := newBroker(t), newBroker(t)
	ev := make(events, 10)
	c, p := dial(t, a, failoverTo("", a, b), ev.options())
	ctx := testContext(t)
	var txs []*Tx
	for range 3 {
		tx, _ := begin(t, c, p)
		must(t, tx.Send(ctx, "/queue/out", "", []byte("x")))
		p.expectSend("x")
		txs = append(txs, tx)
	}
	waiting := background(func() error { return txs[2].Commit(ctx) })
	a.stop()
	p.close()
	q := b.serve()
	ev.expect(t, "interrupted "+a.addr(), "resumed "+b.addr())
	wantErr(t, waiting(), ErrInterrupted)
	wantErr(t, txs[0].Send(ctx, "/queue/out", "", nil), ErrInterrupted)
	wantErr(t, txs[0].Commit(ctx), ErrInterrupted)
	must(t, txs[1].Abort(ctx))

	// The second attempt of the program works, and nothing of the first came.
	tx, bg := begin(t, c, q)
	q.receipt(bg)
	abort := background(func() error { return tx.Abort(ctx) })
	q.receipt(q.expect(frame.ABORT))
	must(t, abort())
}

func TestCommitInDoubt(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, failoverTo("", a), Options{})
	ctx := testContext(t)
	tx, b := begin(t, c, p)
	commit := background(func() error { return tx.Commit(ctx) })
	p.receipt(b)
	p.expect(frame.COMMIT)
	p.close()
	err := commit()
	wantErr(t, err, ErrInDoubt)
	if errors.Is(err, ErrInterrupted) {
		t.Errorf("%v claims that nothing was done", err)
	}
}

func TestCommitGivenUp(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, failoverTo("", a), Options{})

	ctx, cancel := context.WithCancel(testContext(t))
	tx, _ := begin(t, c, p)
	commit := background(func() error { return tx.Commit(ctx) })
	cancel() // before COMMIT was written: BEGIN has no receipt yet
	err := commit()
	wantErr(t, err, context.Canceled)
	if errors.Is(err, ErrInDoubt) {
		t.Errorf("%v, although COMMIT was not written", err)
	}
	p.expect(frame.ABORT)

	ctx, cancel = context.WithCancel(testContext(t))
	tx, b := begin(t, c, p)
	commit = background(func() error { return tx.Commit(ctx) })
	p.receipt(b)
	p.expect(frame.COMMIT)
	cancel()
	err = commit()
	wantErr(t, err, context.Canceled)
	wantErr(t, err, ErrInDoubt)
}

func TestCommitGivenUpBeforeItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a:1")
		c, p := n.connect("a:1", "a:1", Options{HeartBeat: -1})
		tx, b := begin(t, c, p)
		p.receipt(b)
		synctest.Wait()
		large := make([]byte, 2*writeBuffer)
		c.SendAsync(context.Background(), "/queue/q", "", large, nil) // holds the writer
		synctest.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		commit := background(func() error { return tx.Commit(ctx) })
		synctest.Wait()
		cancel()
		err := commit()
		wantErr(t, err, context.Canceled)
		if errors.Is(err, ErrInDoubt) {
			t.Errorf("%v, although COMMIT was not written", err)
		}
		p.expect(frame.SEND)
		p.expect(frame.ABORT) // and no COMMIT
	})
}

func TestTransactionRefusesAutoAck(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, failoverTo("", a), Options{})
	ctx := testContext(t)
	var sub *Subscription
	wait := background(func() (err error) {
		sub, err = c.Subscribe(ctx, "/queue/in", AckAuto)
		return err
	})
	s := p.subscribed()
	must(t, wait())
	p.message(s, "1", "one")
	m, err := sub.Receive(ctx)
	must(t, err)
	tx, _ := begin(t, c, p)
	if tx.Ack(ctx, m) == nil || m.Nack(ctx) == nil {
		t.Error("a message in mode auto was acknowledged")
	}
	must(t, m.Ack(ctx))
	must(t, m.AckReceipt(ctx))
}
