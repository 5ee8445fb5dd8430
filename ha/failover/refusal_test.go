package failover

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-stomp/stomp/v3/frame"
)

func TestRefusedLoginIsNotRepeated(t *testing.T) {
	down, a := newBroker(t), newBroker(t)
	down.stop()
	for name, headers := range map[string][]string{
		"by words":  {"message", "Authentication failed: user or password wrong"},
		"by x-code": {"message", "no", "x-code", "login"},
	} {
		t.Run(name, func(t *testing.T) {
			wait := dialing(t, failoverTo("", down, a), Options{Login: "joe", Passcode: "a:b\\c"})
			p := a.accept()
			p.expectRaw("login:joe\n", "passcode:a:b\\c\n") // CONNECT is not escaped
			p.write(frame.ERROR, headers...)
			_, err := wait()
			wantErr(t, err, ErrLogin)
			if e, ok := errors.AsType[*ServerError](err); !ok || !strings.Contains(err.Error(), headers[1]) || e.Header == nil {
				t.Errorf("error %v does not hold the broker's words", err)
			}
		})
	}
}

// expectRaw reads a CONNECT frame byte by byte and checks for pieces of it.
func (p *peer) expectRaw(pieces ...string) {
	p.t.Helper()
	var text []byte
	for b := make([]byte, 1); len(text) == 0 || text[len(text)-1] != 0; text = append(text, b...) {
		if _, err := p.nc.Read(b); err != nil {
			p.t.Fatal(err)
		}
	}
	for _, want := range pieces {
		if !strings.Contains(string(text), want) {
			p.t.Errorf("CONNECT %q lacks %q", text, want)
		}
	}
}

func TestAnotherBrokerMayTakeTheLogin(t *testing.T) {
	a, b := newBroker(t), newBroker(t)
	wait := dialing(t, failoverTo("", a, b), Options{})
	p := a.accept()
	p.expect(frame.CONNECT)
	p.write(frame.ERROR, "message", "access denied")
	b.serve()
	c, err := wait()
	must(t, err)
	if c.Addr() != b.addr() {
		t.Errorf("connected to %s", c.Addr())
	}
}

func TestOtherRefusalsOfConnectAreRepeated(t *testing.T) {
	a := newBroker(t)
	wait := dialing(t, failoverTo("", a), Options{})
	for range 3 {
		p := a.accept()
		p.expect(frame.CONNECT)
		p.write(frame.ERROR, "message", "too many connections")
	}
	a.serve()
	_, err := wait()
	must(t, err)
}

func TestNoCommonVersion(t *testing.T) {
	a := newBroker(t)
	wait := dialing(t, failoverTo("", a), Options{})
	p := a.accept()
	p.expect(frame.CONNECT)
	p.write(frame.ERROR, "message", "unsupported", "version", "1.0")
	_, err := wait()
	wantErr(t, err, ErrProtocol)
}

func TestNotAStompPort(t *testing.T) {
	for _, answer := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n\x00", "CONNECTED\nversion:1.0\n\n\x00", "CONNECTED\nversion:1.2\nheart-beat:a\n\n\x00", "\n", ""} {
		a := newBroker(t)
		wait := dialing(t, a.addr(), Options{})
		p := a.accept()
		p.expect(frame.CONNECT)
		if _, err := p.nc.Write([]byte(answer)); err != nil {
			t.Fatal(err)
		}
		p.close()
		_, err := wait()
		wantErr(t, err, ErrUnreachable)
	}
}

func TestRefusedMessageFailsAndIsNotRepeated(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, failoverTo("", a), Options{})
	ctx := testContext(t)
	results := map[string]chan error{}
	for _, body := range []string{"good", "bad", "next"} {
		results[body] = make(chan error, 1)
		c.SendAsync(ctx, "/queue/q", "", []byte(body), func(err error) { results[body] <- err })
	}
	p.receipt(p.expectSend("good"))
	bad := p.expectSend("bad")
	p.expectSend("next")
	p.writeBody(frame.ERROR, "queue is full", "message", "refused", "x-code", "queue-full", "receipt-id", bad.Header.Get("receipt"))
	p.expectEnd()
	must(t, <-results["good"])
	e, ok := errors.AsType[*ServerError](<-results["bad"])
	if !ok || e.Code != "queue-full" || e.Detail != "queue is full" || e.Message != "refused" {
		t.Errorf("got %+v", e)
	}
	p = a.serve()
	p.receipt(p.expectSend("next"))
	must(t, <-results["next"])
}

func TestRefusalThatKeepsTheConnection(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, failoverTo("", a), Options{Headers: []Header{H("x-errors", "soft")}})
	ctx := testContext(t)
	bad := background(func() error { return c.Send(ctx, "/queue/q", "", []byte("bad")) })
	f := p.expectSend("bad")
	p.write(frame.ERROR, "message", "no", "x-fatal", "false", "receipt-id", f.Header.Get("receipt"))
	if _, ok := errors.AsType[*ServerError](bad()); !ok {
		t.Error("the refusal did not arrive")
	}
	good := background(func() error { return c.Send(ctx, "/queue/q", "", []byte("good")) })
	p.receipt(p.expectSend("good"))
	must(t, good())
}

// A broker that is not master any more, or that stops because its store failed, refuses what another takes.
func TestMessageRefusedByAFormerMasterGoesToTheNext(t *testing.T) {
	for _, code := range []string{"not-master", "closing"} {
		t.Run(code, func(t *testing.T) {
			a, b := newBroker(t), newBroker(t)
			c, p := dial(t, a, failoverTo("", a, b), Options{})
			wait := background(func() error { return c.Send(testContext(t), "/queue/q", "", []byte("x")) })
			f := p.expectSend("x")
			p.write(frame.ERROR, "message", "go elsewhere", "x-code", code, "receipt-id", f.Header.Get("receipt"))
			q := b.serve() // a is up, but lost last
			q.receipt(q.expectSend("x"))
			must(t, wait())
		})
	}
}

func TestErrorWithoutReceiptStrikesTheOldest(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, failoverTo("", a), Options{})
	ctx := testContext(t)
	poison := background(func() error { return c.Send(ctx, "/queue/q", "", []byte("poison")) })
	for i := range maxStrikes {
		p.expectSend("poison")
		if i == 1 { // a loss without ERROR is no strike
			p.close()
			p = a.serve()
			p.expectSend("poison")
			p.write(frame.ERROR, "message", "going down", "x-code", "closing") // nor is one that is about the broker
			p.expectEnd()
			p = a.serve()
			p.expectSend("poison")
		}
		p.write(frame.ERROR, "message", "something is wrong")
		p.expectEnd()
		p = a.serve()
	}
	if _, ok := errors.AsType[*ServerError](poison()); !ok {
		t.Error("the ERROR did not arrive")
	}
	good := background(func() error { return c.Send(ctx, "/queue/q", "", []byte("good")) })
	p.receipt(p.expectSend("good"))
	must(t, good())
}

func TestRefusedSubscription(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, failoverTo("", a), Options{})
	ctx := testContext(t)
	subscribe := func() (sub *Subscription, wait func() error) {
		return sub, background(func() (err error) {
			sub, err = c.Subscribe(ctx, "/queue/q", AckClient)
			return err
		})
	}
	_, wait := subscribe()
	f := p.expect(frame.SUBSCRIBE)
	p.write(frame.ERROR, "message", "bad selector", "receipt-id", f.Header.Get("receipt"))
	if _, ok := errors.AsType[*ServerError](wait()); !ok {
		t.Fatal("the refusal did not arrive")
	}
	p = a.serve()

	// Accepted first, refused when resumed: Receive tells.
	var sub *Subscription
	wait = background(func() (err error) {
		sub, err = c.Subscribe(ctx, "/queue/q", AckClient)
		return err
	})
	p.subscribed() // and not the first one again
	must(t, wait())
	p.close()
	p = a.serve()
	f = p.expect(frame.SUBSCRIBE)
	p.write(frame.ERROR, "message", "you may not", "receipt-id", f.Header.Get("receipt"))
	_, err := sub.Receive(ctx)
	if _, ok := errors.AsType[*ServerError](err); !ok {
		t.Errorf("Receive gives %v", err)
	}
	p = a.serve()
	_, wait = subscribe()
	for range maxStrikes { // an ERROR without receipt-id ends a subscription too
		p.expect(frame.SUBSCRIBE)
		p.write(frame.ERROR, "message", "you may not")
		p = a.serve()
	}
	if _, ok := errors.AsType[*ServerError](wait()); !ok {
		t.Error("the ERROR did not arrive")
	}
}

func TestSubscribeGivenUp(t *testing.T) {
	a := newBroker(t)
	c, p := dial(t, a, failoverTo("", a), Options{})
	ctx, cancel := context.WithCancel(testContext(t))
	wait := background(func() error {
		_, err := c.Subscribe(ctx, "/queue/q", AckAuto)
		return err
	})
	f := p.expect(frame.SUBSCRIBE)
	cancel()
	wantErr(t, wait(), context.Canceled)
	if g := p.expect(frame.UNSUBSCRIBE); g.Header.Get("id") != f.Header.Get("id") {
		t.Errorf("UNSUBSCRIBE %v", g.Header)
	}
	p.receipt(f) // too late, harmless
	p.message(f, "1", "stray")
	good := background(func() error { return c.Send(testContext(t), "/queue/q", "", []byte("good")) })
	p.receipt(p.expectSend("good"))
	must(t, good())
}

func TestInvalidFramesEndTheConnectionOnly(t *testing.T) {
	a := newBroker(t)
	ev := make(events, 100)
	_, p := dial(t, a, failoverTo("&maxReconnectDelay=1", a), ev.options())
	for _, bad := range []string{
		"MESSAGE\nmessage-id:1\n\n\x00",                // no subscription
		"NONSENSE\n\n\x00",                             // unknown command
		"MESSAGE\nno colon\n\n\x00",                    //
		"MESSAGE\nsubscription:\\t\n\n\x00",            // undefined escape
		"MESSAGE\ncontent-length:4000000000\n\n",       // too large
		"MESSAGE\ncontent-length:-1\n\n\x00",           //
		"MESSAGE\ncontent-length:1\n\nxyz\x00",         // no NUL
		"MESSAGE\n" + strings.Repeat("a:b\n", 3000),    // too many headers
		"MESSAGE\na:" + strings.Repeat("b", 2<<20),     // endless line
		"CONNECTED\nversion:1.2\n\n\x00",               // twice
		"MESSAGE\n" + strings.Repeat("a:b\n", 300_000), // endless headers
	} {
		_, _ = p.nc.Write([]byte(bad + "\n\n\x00")) // the client may close before all is written
		p.expectEnd()
		p = a.serve()
		ev.expect(t, "interrupted "+a.addr(), "resumed "+a.addr())
	}
}
