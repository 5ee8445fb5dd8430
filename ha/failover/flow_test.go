package failover

import (
	"context"
	"errors"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
)

func TestWindowHoldsSendersBack(t *testing.T) {
	for name, o := range map[string]Options{
		"messages": {Window: 2, HeartBeat: -1},
		"bytes":    {WindowBytes: 7, HeartBeat: -1}, // two bodies of three bytes
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t, "a:1")
				c, p := n.connect("a:1", "a:1", o)
				entered := 0
				ctx, cancel := context.WithCancel(context.Background())
				wait := background(func() error {
					for range 3 {
						c.SendAsync(ctx, "/queue/q", "", []byte("abc"), nil)
						entered++
					}
					result := make(chan error, 1)
					c.SendAsync(ctx, "/queue/q", "", []byte("abc"), func(err error) { result <- err })
					return <-result
				})
				first := p.expectSend("abc")
				p.expectSend("abc")
				synctest.Wait()
				if entered != 2 {
					t.Fatalf("%d messages entered a window of 2", entered)
				}
				p.receipt(first)
				p.expectSend("abc")
				synctest.Wait()
				if entered != 3 {
					t.Fatalf("%d messages entered after a receipt", entered)
				}
				cancel()
				wantErr(t, wait(), context.Canceled)
			})
		})
	}
}

func TestLargeMessagePassesASmallWindow(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, a.addr(), Options{WindowBytes: 10})
	body := strings.Repeat("x", 100_000)
	wait := background(func() error { return c.Send(testContext(t), "/queue/q", "", []byte(body)) })
	p.receipt(p.expectSend(body))
	must(t, wait())
}

func TestReadingPausesWhenTheProgramIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a:1")
		c, p := n.connect("a:1", "a:1", Options{BufferMessages: 3, HeartBeat: -1})
		ctx := context.Background()
		var sub *Subscription
		wait := background(func() (err error) {
			sub, err = c.Subscribe(ctx, "/topic/t", AckAuto)
			return err
		})
		s := p.subscribed()
		must(t, wait())
		written := make(chan int, 100)
		go func() {
			for i := range 20 {
				// Larger than the client's read buffer, so that each needs a read.
				p.writeBody(frame.MESSAGE, strings.Repeat("x", 2*readBuffer), "subscription", s.Header.Get("id"), "message-id", strconv.Itoa(i))
				written <- i
			}
		}()
		synctest.Wait()
		if got := len(written); got != 3 {
			t.Fatalf("%d messages were read, the bound is 3", got)
		}
		// While a receipt is awaited reading goes on, up to four times as far.
		send := background(func() error { return c.Send(ctx, "/queue/q", "", []byte("x")) })
		f := p.expectSend("x")
		synctest.Wait()
		if got := len(written); got != 3*hardBuffer {
			t.Fatalf("%d messages were read, the bound is %d", got, 3*hardBuffer)
		}
		for i := range 20 {
			m, err := sub.Receive(ctx)
			must(t, err)
			if m.ID() != strconv.Itoa(i) {
				t.Fatalf("message %s, want %d", m.ID(), i)
			}
		}
		synctest.Wait()
		p.receipt(f)
		must(t, send())
	})
}

func TestPausedReaderDoesNotMissTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a:1")
		c, p := n.connect("failover:(a:1)", "a:1", Options{BufferMessages: 1, HeartBeat: -1})
		var sub *Subscription
		wait := background(func() (err error) {
			sub, err = c.Subscribe(context.Background(), "/topic/t", AckAuto)
			return err
		})
		s := p.subscribed()
		must(t, wait())
		p.message(s, "1", "one")
		synctest.Wait()
		must(t, c.Close())
		if m, err := sub.Receive(context.Background()); err != nil || m.ID() != "1" {
			t.Errorf("what was received in mode auto is lost: %v", err)
		}
		_, err := sub.Receive(context.Background())
		wantErr(t, err, ErrClosed)
	})
}

func TestNoReceipt(t *testing.T) {
	for track, want := range map[string][]string{"false": {"2"}, "true": {"1", "2"}} {
		a := newBroker(t)
		ev := make(events, 10)
		c, p := dial(t, a, failoverTo("&trackMessages="+track, a), ev.options())
		ctx := testContext(t)
		wait := background(func() error { return c.Send(ctx, "/queue/q", "", []byte("1"), NoReceipt()) })
		f := p.expectSend("1")
		if track == "true" {
			if _, ok := f.Header.Contains(frame.Receipt); !ok {
				t.Error("tracked without receipt")
			}
		}
		if track == "false" {
			must(t, wait())
		}
		p.close()
		ev.expect(t, "interrupted "+a.addr())
		c.SendAsync(ctx, "/queue/q", "", []byte("2"), nil)
		p = a.serve()
		var got []string
		for range want {
			f := p.expect(frame.SEND)
			got = append(got, string(f.Body))
			p.receipt(f)
		}
		if !slices.Equal(got, want) {
			t.Errorf("trackMessages=%s: %v came, want %v", track, got, want)
		}
		if track == "true" {
			must(t, wait())
		}
		must(t, c.Close())
	}
}

func TestSendGivenUp(t *testing.T) {
	a := newBroker(t)
	ev := make(events, 10)
	c, p := dial(t, a, failoverTo("", a), ev.options())
	ctx, cancel := context.WithCancel(testContext(t))
	wait := background(func() error { return c.Send(ctx, "/queue/q", "", []byte("1")) })
	p.expectSend("1")
	cancel()
	err := wait()
	wantErr(t, err, context.Canceled)
	wantErr(t, err, ErrInDoubt)
	p.close()
	ev.expect(t, "interrupted "+a.addr())
	err = c.Send(ctx, "/queue/q", "", []byte("2"))
	wantErr(t, err, context.Canceled)
	if errors.Is(err, ErrInDoubt) {
		t.Errorf("%v, although nothing was written", err)
	}
	p = a.serve()
	third := background(func() error { return c.Send(testContext(t), "/queue/q", "", []byte("3")) })
	p.receipt(p.expectSend("3")) // neither 1 nor 2
	must(t, third())
}

func TestDisconnectFlushesOverAReconnect(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, failoverTo("", a), Options{})
	ctx := testContext(t)
	sent := make(chan error, 1)
	c.SendAsync(ctx, "/queue/q", "", []byte("1"), func(err error) { sent <- err })
	p.expectSend("1")
	wait := background(func() error { return c.Disconnect(ctx) })
	p.close()
	p = a.serve()
	p.receipt(p.expectSend("1"))
	must(t, <-sent)
	p.goodbye()
	must(t, wait())
	wantErr(t, c.Send(ctx, "/queue/q", "", nil), ErrClosed)
	wantErr(t, c.Disconnect(ctx), ErrClosed)
}

func TestDisconnectIsBoundByItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a:1")
		c, p := n.connect("a:1", "a:1", Options{HeartBeat: -1})
		sent := background(func() error { return c.Send(context.Background(), "/queue/q", "", []byte("1")) })
		p.expectSend("1")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := c.Disconnect(ctx)
		wantErr(t, err, context.DeadlineExceeded)
		if !strings.Contains(err.Error(), "1 messages") {
			t.Error(err)
		}
		err = sent()
		wantErr(t, err, ErrClosed)
		wantErr(t, err, ErrInDoubt)
	})
}

func TestCloseWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a:1")
		c, p := n.connect("failover:(a:1)", "a:1", Options{})
		sent := background(func() error { return c.Send(context.Background(), "/queue/q", "", []byte("1")) })
		p.expectSend("1")
		p.close()
		n.accept("a:1") // no answer to CONNECT
		synctest.Wait()
		must(t, c.Close())
		wantErr(t, sent(), ErrClosed)
	})
}

func TestArgumentsAreChecked(t *testing.T) {
	a := newBroker(t)
	c, _ := dial(t, a, failoverTo("", a), Options{})
	ctx := testContext(t)
	for _, err := range []error{
		c.Send(ctx, "", "", nil),
		c.Send(ctx, "/queue/\x00", "", nil),
		c.Send(ctx, "/queue/q", "", nil, H("receipt", "1")),
		c.Send(ctx, "/queue/q", "", nil, H("", "1")),
		c.Send(ctx, "/queue/q", "", nil, H("a", "\x00")),
		c.Send(ctx, "/queue/q", "", []byte{0}, NoContentLength()),
	} {
		if err == nil {
			t.Error("no error")
		}
	}
	for _, s := range []func() (*Subscription, error){
		func() (*Subscription, error) { return c.Subscribe(ctx, "", AckAuto) },
		func() (*Subscription, error) { return c.Subscribe(ctx, "/queue/q", 9) },
		func() (*Subscription, error) { return c.Subscribe(ctx, "/queue/q", AckAuto, H("ack", "x")) },
	} {
		if _, err := s(); err == nil {
			t.Error("no error")
		}
	}
	for _, o := range []Options{
		{Window: -1}, {ClientID: "a\nb"}, {Headers: []Header{H("a:b", "c")}}, {Login: "a\nb"}, {CAFile: "/does/not/exist"},
	} {
		if _, err := Dial(ctx, mustParse(t, a.addr()), o); err == nil {
			t.Errorf("no error for %+v", o)
		}
	}
	if _, err := Dial(ctx, mustParse(t, "failover:(a)?backup=true"), Options{ClientID: "x"}); err == nil {
		t.Error("backup with a client id was accepted")
	}
	if _, err := Dial(ctx, &URL{}, Options{}); err == nil {
		t.Error("an empty URL was accepted")
	}
}

func TestDisconnectTakesNothingNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a:1")
		ev := make(events, 10)
		o := ev.options()
		o.HeartBeat = -1
		c, p := n.connect("failover:(a:1)", "a:1", o)
		ctx := context.Background()
		sent := background(func() error { return c.Send(ctx, "/queue/q", "", []byte("1")) })
		f := p.expectSend("1")
		wait := background(func() error { return c.Disconnect(ctx) })
		synctest.Wait()
		wantErr(t, c.Send(ctx, "/queue/q", "", []byte("2")), ErrClosed)
		_, err := c.Subscribe(ctx, "/queue/q", AckAuto)
		wantErr(t, err, ErrClosed)
		_, err = c.Begin(ctx)
		wantErr(t, err, ErrClosed)
		p.receipt(f)
		must(t, sent())
		p.expect(frame.DISCONNECT)
		p.close() // without RECEIPT: the connection is gone as was wished
		must(t, wait())
		if len(ev) > 0 {
			t.Errorf("event %q although the end was wished", <-ev)
		}
	})
}

// TestSeveralReceivers: of two calls of Receive that found nothing, the one that
// gets the only token for two messages passes it on.
func TestSeveralReceivers(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, a.addr(), Options{})
	ctx := testContext(t)
	var sub *Subscription
	wait := background(func() (err error) {
		sub, err = c.Subscribe(ctx, "/queue/q", AckAuto)
		return err
	})
	p.subscribed()
	must(t, wait())
	c.mu.Lock()
	for range 2 {
		c.bufferMessage(c.sess, sub.id, &Message{Header: frame.NewHeader()})
	}
	c.mu.Unlock()
	<-sub.notify
	if m, err := sub.next(); m == nil || err != nil || len(sub.notify) != 1 {
		t.Errorf("message %v, error %v, %d tokens for the message that is left", m, err, len(sub.notify))
	}
	if m, err := sub.next(); m == nil || err != nil {
		t.Errorf("message %v, error %v", m, err)
	}
}

func TestImports(t *testing.T) {
	files, err := filepath.Glob("*.go")
	must(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		must(t, err)
		for _, spec := range parsed.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			first, _, _ := strings.Cut(path, "/")
			if first == "treadmq" || strings.Contains(first, ".") && !strings.HasPrefix(path, "github.com/go-stomp/stomp/v3") {
				t.Errorf("%s imports %s; the client stands on go-stomp and the standard library alone", file, path)
			}
		}
	}
}
