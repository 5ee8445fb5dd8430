package failover

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/go-stomp/stomp/v3/frame"
)

// events records what OnInterrupted and OnResumed are told.
type events chan string

func (e events) options() Options {
	return Options{
		OnInterrupted: func(addr string, err error) { e <- "interrupted " + addr },
		OnResumed:     func(addr string) { e <- "resumed " + addr },
	}
}

func (e events) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-e:
			if got != w {
				t.Fatalf("event %q, want %q", got, w)
			}
		case <-testContext(t).Done():
			t.Fatalf("no event, want %q", w)
		}
	}
}

func TestUnreceiptedAreResentInOrderAtTheNextBroker(t *testing.T) {
	a, b := newBroker(t), newBroker(t)
	ev := make(events, 10)
	o := ev.options()
	o.DedupID = true
	c, p := dial(t, a, failoverTo("", a, b), o)
	ctx := testContext(t)
	var repeats []string // read after the outcomes
	results := make([]chan error, 5)
	for i := range results {
		results[i] = make(chan error, 1)
		c.SendAsync(ctx, "/queue/q", "text/plain", []byte(strconv.Itoa(i)), func(err error) { results[i] <- err }, H("n", fmt.Sprint(i)),
			OnRepeat(func(first string) { repeats = append(repeats, fmt.Sprint(i, " of ", first)) }))
	}
	var first []*frame.Frame
	for i := range results {
		first = append(first, p.expectSend(strconv.Itoa(i)))
	}
	// The second and the first are confirmed, out of order; the rest is not.
	p.write(frame.RECEIPT, frame.ReceiptId, first[1].Header.Get(frame.Receipt), "x-duplicate", "true", "x-message-id", "ID-b-1")
	p.receipt(first[0])
	must(t, <-results[1])
	must(t, <-results[0])
	a.stop()
	p.close()

	q := b.serve()
	ev.expect(t, "interrupted "+a.addr(), "resumed "+b.addr())
	for i := 2; i < 5; i++ {
		again := q.expectSend(strconv.Itoa(i))
		if !slices.Equal(headerText(again), headerText(first[i])) {
			t.Errorf("resent with headers %v, first %v", headerText(again), headerText(first[i]))
		}
		if again.Header.Get("x-dedup-id") == "" {
			t.Error("no x-dedup-id")
		}
		q.write(frame.RECEIPT, frame.ReceiptId, again.Header.Get(frame.Receipt), "x-duplicate", "true") // the first broker had it stored
		must(t, <-results[i])
	}
	if got := fmt.Sprint(repeats); got != "[1 of ID-b-1]" {
		t.Errorf("repeats are %s: what was sent again is none", got)
	}
	wait := background(func() error { return c.Disconnect(ctx) })
	q.goodbye()
	must(t, wait())
	if len(ev) > 0 {
		t.Errorf("unexpected event %q after Disconnect", <-ev)
	}
}

func headerText(f *frame.Frame) []string {
	var lines []string
	for i := range f.Header.Len() {
		k, v := f.Header.GetAt(i)
		lines = append(lines, k+":"+v)
	}
	return lines
}

func TestSubscriptionsAreResumed(t *testing.T) {
	a, b := newBroker(t), newBroker(t)
	c, p := dial(t, a, failoverTo("", a, b), Options{})
	ctx := testContext(t)
	var sub *Subscription
	wait := background(func() (err error) {
		sub, err = c.Subscribe(ctx, "/queue/q", AckClientIndividual, H("selector", "x = 1"), H("id", "mine"))
		return err
	})
	first := p.subscribed()
	must(t, wait())
	p.message(first, "1", "one")
	p.message(first, "2", "two")
	p.message(first, "3", "three")
	m1, err := sub.Receive(ctx)
	must(t, err)
	must(t, m1.Ack(ctx))
	if f := p.expect(frame.ACK); f.Header.Get("id") != "ack-1" {
		t.Fatalf("ACK %v", f.Header)
	}
	m2, err := sub.Receive(ctx)
	must(t, err)
	a.stop()
	p.close()

	q := b.serve()
	second := q.subscribed()
	for _, name := range []string{"id", "destination", "ack", "selector"} {
		if got, want := second.Header.Get(name), first.Header.Get(name); got != want || got == "" {
			t.Errorf("resumed with %s %q, first %q", name, got, want)
		}
	}
	// 3 was buffered, 2 was held: both come again, 3 only once.
	wantErr(t, m2.Ack(ctx), ErrStale)
	wantErr(t, m2.Nack(ctx), ErrStale)
	wantErr(t, m2.AckReceipt(ctx), ErrStale)
	q.message(second, "2", "two")
	q.message(second, "3", "three")
	for _, want := range []string{"2", "3"} {
		m, err := sub.Receive(ctx)
		must(t, err)
		if m.ID() != want || m.Subscription() != sub || m.Destination != "/queue/q" {
			t.Fatalf("message %s of %s, want %s", m.ID(), m.Destination, want)
		}
		wait := background(func() error { return m.AckReceipt(ctx) })
		f := q.expect(frame.ACK)
		if f.Header.Get("id") != "ack-"+want {
			t.Fatalf("ACK %v: a stale acknowledgement reached the broker", f.Header)
		}
		q.receipt(f)
		must(t, wait())
	}
	wait = background(func() error { return sub.Unsubscribe(ctx) })
	f := q.expect(frame.UNSUBSCRIBE)
	if f.Header.Get("id") != "mine" {
		t.Fatalf("UNSUBSCRIBE %v", f.Header)
	}
	q.receipt(f)
	must(t, wait())
	_, err = sub.Receive(ctx)
	wantErr(t, err, ErrClosed)
}

func TestSendWaitsForTheNextConnection(t *testing.T) {
	a, b := newBroker(t), newBroker(t)
	ev := make(events, 10)
	c, p := dial(t, a, failoverTo("", a, b), ev.options())
	a.stop()
	p.close()
	ev.expect(t, "interrupted "+a.addr())
	wait := background(func() error { return c.Send(testContext(t), "/queue/q", "", []byte("later")) })
	q := b.serve()
	q.receipt(q.expectSend("later"))
	must(t, wait())
}

func TestPlainAddressDoesNotReconnect(t *testing.T) {
	a := newBroker(t)
	ev := make(events, 10)
	c, p := dial(t, a, a.addr(), ev.options())
	wait := background(func() error { return c.Send(testContext(t), "/queue/q", "", []byte("x")) })
	f := p.expectSend("x")
	if id, has := f.Header.Contains("x-dedup-id"); has {
		t.Errorf("x-dedup-id %s on a connection that repeats nothing", id)
	}
	p.close()
	wantErr(t, wait(), ErrInDoubt)
	ev.expect(t, "interrupted "+a.addr())
	<-c.Done()
	wantErr(t, c.Err(), ErrUnreachable)
	wantErr(t, c.Send(testContext(t), "/queue/q", "", nil), ErrUnreachable)
}

func TestMaxReconnectAttempts(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, failoverTo("&maxReconnectAttempts=3", a), Options{})
	wait := background(func() error { return c.Send(testContext(t), "/queue/q", "", []byte("x")) })
	p.expectSend("x")
	a.stop()
	p.close()
	err := wait()
	wantErr(t, err, ErrUnreachable)
	wantErr(t, err, ErrInDoubt)
}

func TestStartupMaxReconnectAttempts(t *testing.T) {
	a := newBroker(t)
	a.stop()
	_, err := dialing(t, failoverTo("&startupMaxReconnectAttempts=2", a), Options{})()
	wantErr(t, err, ErrUnreachable)
	_, err = dialing(t, "tcp://"+a.addr(), Options{})()
	wantErr(t, err, ErrUnreachable)
}
