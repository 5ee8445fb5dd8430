package failover

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// go-stomp's server, used in one test, cannot be stopped.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/go-stomp/stomp/v3/server.(*requestProcessor).Serve"))
}

// patience bounds waits of tests; it is reached only when a test fails.
const patience = 20 * time.Second

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// broker is a listener whose connections a test plays by hand.
type broker struct {
	t  *testing.T
	ln net.Listener
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return &broker{t, ln}
}

func (b *broker) addr() string { return b.ln.Addr().String() }

// stop refuses connections from now on.
func (b *broker) stop() { b.ln.Close() }

// accept waits for the next connection.
func (b *broker) accept() *peer {
	b.t.Helper()
	if err := b.ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
		b.t.Fatal(err)
	}
	nc, err := b.ln.Accept()
	if err != nil {
		b.t.Fatal("no connection came:", err)
	}
	return newPeer(b.t, nc)
}

// serve accepts and answers CONNECT.
func (b *broker) serve(headers ...string) *peer {
	b.t.Helper()
	p := b.accept()
	p.connected(headers...)
	return p
}

// peer is the broker's end of one connection, on go-stomp's codec.
type peer struct {
	t  *testing.T
	nc net.Conn
	r  *frame.Reader
	w  *frame.Writer
	// virtual is true in a synctest bubble, where a wait that never ends is
	// found without a deadline.
	virtual bool
}

func newPeer(t *testing.T, nc net.Conn) *peer {
	t.Cleanup(func() { nc.Close() })
	return &peer{t: t, nc: nc, r: frame.NewReader(nc), w: frame.NewWriter(nc)}
}

func (p *peer) close() { p.nc.Close() }

// read returns the next frame that is no heart-beat.
func (p *peer) read() (*frame.Frame, error) {
	if !p.virtual {
		if err := p.nc.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return nil, err
		}
	}
	for {
		f, err := p.r.Read()
		if err != nil || f != nil {
			return f, err
		}
	}
}

func (p *peer) expect(command string) *frame.Frame {
	p.t.Helper()
	f, err := p.read()
	if err != nil {
		p.t.Fatalf("waiting for %s: %v", command, err)
	}
	if f.Command != command {
		p.t.Fatalf("got %s %v, want %s", f.Command, f.Header, command)
	}
	return f
}

func (p *peer) expectSend(body string) *frame.Frame {
	p.t.Helper()
	f := p.expect(frame.SEND)
	if string(f.Body) != body {
		p.t.Fatalf("SEND of %q, want %q", f.Body, body)
	}
	return f
}

// expectEnd checks that the client closes without another frame.
func (p *peer) expectEnd() {
	p.t.Helper()
	f, err := p.read()
	if err == nil {
		p.t.Fatalf("got %s %v, want the end of the connection", f.Command, f.Header)
	}
	if !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") && !errors.Is(err, io.ErrClosedPipe) {
		p.t.Fatalf("got %v, want the end of the connection", err)
	}
}

func (p *peer) write(command string, headers ...string) {
	p.t.Helper()
	p.writeBody(command, "", headers...)
}

func (p *peer) writeBody(command, body string, headers ...string) {
	p.t.Helper()
	f := frame.New(command, headers...)
	f.Body = []byte(body)
	if err := p.w.Write(f); err != nil {
		p.t.Fatalf("writing %s: %v", command, err)
	}
}

func (p *peer) connected(headers ...string) *frame.Frame {
	p.t.Helper()
	f := p.expect(frame.CONNECT)
	p.write(frame.CONNECTED, append(headers, "version", "1.2")...)
	return f
}

// receipt confirms a frame.
func (p *peer) receipt(f *frame.Frame) {
	p.t.Helper()
	id, ok := f.Header.Contains(frame.Receipt)
	if !ok {
		p.t.Fatalf("%s %v asks for no receipt", f.Command, f.Header)
	}
	p.write(frame.RECEIPT, frame.ReceiptId, id)
}

// subscribed expects and confirms SUBSCRIBE.
func (p *peer) subscribed() *frame.Frame {
	p.t.Helper()
	f := p.expect(frame.SUBSCRIBE)
	p.receipt(f)
	return f
}

func (p *peer) message(sub *frame.Frame, id, body string) {
	p.t.Helper()
	p.writeBody(frame.MESSAGE, body, "subscription", sub.Header.Get("id"), "message-id", id,
		"ack", "ack-"+id, "destination", sub.Header.Get("destination"))
}

// goodbye confirms DISCONNECT.
func (p *peer) goodbye() {
	p.t.Helper()
	p.receipt(p.expect(frame.DISCONNECT))
	p.expectEnd()
}

func mustParse(t *testing.T, text string) *URL {
	t.Helper()
	u, err := ParseURL(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// failoverTo makes a failover address in fixed order; extra starts with &.
func failoverTo(extra string, brokers ...*broker) string {
	var list []string
	for _, b := range brokers {
		list = append(list, "tcp://"+b.addr())
	}
	return "failover:(" + strings.Join(list, ",") + ")?randomize=false&initialReconnectDelay=1" + extra
}

// dialing starts Dial; the result comes from the function returned.
func dialing(t *testing.T, url string, o Options) func() (*Conn, error) {
	t.Helper()
	u := mustParse(t, url)
	type result struct {
		c   *Conn
		err error
	}
	ch := make(chan result, 1)
	ctx := testContext(t)
	go func() {
		c, err := Dial(ctx, u, o)
		ch <- result{c, err}
	}()
	return func() (*Conn, error) {
		r := <-ch
		if r.c != nil {
			t.Cleanup(func() { r.c.Close() })
		}
		return r.c, r.err
	}
}

// dial connects to b, which is the first broker of the address.
func dial(t *testing.T, b *broker, url string, o Options) (*Conn, *peer) {
	t.Helper()
	wait := dialing(t, url, o)
	p := b.serve()
	c, err := wait()
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

// background runs f and returns a function that waits for its error.
func background(f func() error) func() error {
	ch := make(chan error, 1)
	go func() { ch <- f() }()
	return func() error {
		select {
		case err := <-ch:
			return err
		case <-time.After(patience):
			return errors.New("test: the call did not return")
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}
