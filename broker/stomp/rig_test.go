package stomp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"treadmq/broker"
	"treadmq/store"
	"treadmq/store/local"
	"treadmq/store/vfs"
)

// goleveldb's mpoolDrain ends by itself, up to 30 s after the database was closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"),
		goleak.IgnoreAnyFunction("github.com/go-stomp/stomp/v3.waitWithTimeout.func1")) // see unsubscribe
}

// patience is how long a test waits for what must come before it gives up.
const patience = 20 * time.Second

// rig is a server on a real broker whose store lives in memory.
type rig struct {
	t        testing.TB
	b        *broker.Broker
	srv      *Server
	addr     string
	log      *logBuffer
	opts     Options
	policy   func(broker.Destination) broker.Policy
	wrap     func(store.Store) store.Store // of the store for durable queues
	listener ListenerOptions
	served   chan error
}

// logBuffer collects log lines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func withOptions(change func(*Options)) func(*rig) { return func(r *rig) { change(&r.opts) } }

func withDialect(d Dialect) func(*rig) { return func(r *rig) { r.listener.Dialect = d } }

func withPolicy(change func(broker.Destination, *broker.Policy)) func(*rig) {
	return func(r *rig) {
		r.policy = func(d broker.Destination) broker.Policy {
			p := broker.DefaultPolicy()
			change(d, &p)
			return p
		}
	}
}

func newRig(t testing.TB, change ...func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, log: &logBuffer{}, opts: Options{Anonymous: true, ServerHeader: "TreadMQ/test"}}
	r.opts.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	for _, f := range change {
		f(r)
	}
	r.b = newBroker(t, r.policy, r.wrap)
	r.opts.Broker = r.b
	srv, err := New(r.opts)
	if err != nil {
		t.Fatal(err)
	}
	r.srv = srv
	r.listener.Name = "test"
	r.listen(r.listener)
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// listen opens a port and serves it.
func (r *rig) listen(o ListenerOptions) string {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr, r.served = l.Addr().String(), make(chan error, 1)
	served := r.served
	go func() { served <- r.srv.Serve(l, o) }()
	return r.addr
}

// newBroker makes a broker on stores in memory, closed after the test.
func newBroker(t testing.TB, policy func(broker.Destination) broker.Policy, wrap func(store.Store) store.Store) *broker.Broker {
	t.Helper()
	var ready atomic.Pointer[broker.Broker]
	group := func() {
		if b := ready.Load(); b != nil {
			b.OnGroup()
		}
	}
	seq, fs := new(atomic.Uint64), vfs.NewMem()
	open := func(dir string, temporary bool, onGroup func()) *local.Store {
		s, err := local.Open(local.Options{FS: fs, Dir: dir, Seq: seq, OnGroup: onGroup, Temporary: temporary,
			SegmentSize: 4 << 20, BootID: "test"})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	main, temp := open("store", false, group), open("temp", true, nil)
	var durable store.Store = main
	if wrap != nil {
		durable = wrap(main)
	}
	b, err := broker.New(broker.Options{Store: durable, Temp: temp, Sequence: seq, Node: "test", Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	ready.Store(b)
	t.Cleanup(func() {
		b.Close(time.Second)
		if err := main.Close(); err != nil {
			t.Error(err)
		}
		if err := temp.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// client is a socket that speaks raw STOMP.
type client struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
	// early are messages that came before the receipt of what this client sent itself; read gives them first.
	early []got
}

func (r *rig) dial() *client {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	return newClient(r.t, nc)
}

func (r *rig) dialTLS(c *tls.Config) *client {
	r.t.Helper()
	nc, err := tls.Dial("tcp", r.addr, c)
	if err != nil {
		r.t.Fatal(err)
	}
	return newClient(r.t, nc)
}

func newClient(t testing.TB, nc net.Conn) *client {
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, nc: nc, r: bufio.NewReader(nc)}
}

// connected dials and logs in with version 1.2 and further headers, each with its LF.
func (r *rig) connected(headers string) *client {
	r.t.Helper()
	c := r.dial()
	c.send("CONNECT\naccept-version:1.2\nhost:test\n" + headers + "\n\x00")
	c.expect("CONNECTED")
	return c
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.nc, s); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// got is a frame as a client sees it.
type got struct {
	command string
	headers []string
	body    string
}

func (g got) get(name string) string {
	for _, h := range g.headers {
		if v, ok := strings.CutPrefix(h, name+":"); ok {
			return v
		}
	}
	return ""
}

func (g got) String() string {
	return g.command + "\n" + strings.Join(g.headers, "\n") + "\n\n" + g.body
}

// read reads a frame and skips heart-beats.
func (c *client) read() (got, error) {
	if len(c.early) > 0 {
		g := c.early[0]
		c.early = c.early[1:]
		return g, nil
	}
	return c.readFrame()
}

func (c *client) readFrame() (got, error) {
	var g got
	for g.command == "" {
		line, err := c.r.ReadString('\n')
		if err != nil {
			if line != "" {
				return g, fmt.Errorf("after %q: %w", line, err)
			}
			return g, err
		}
		g.command = strings.TrimSuffix(line, "\n")
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return g, fmt.Errorf("in %v: %w", g, err)
		}
		if line = strings.TrimSuffix(line, "\n"); line == "" {
			break
		}
		g.headers = append(g.headers, line)
	}
	var body []byte
	if n, err := strconv.Atoi(g.get("content-length")); err == nil {
		body = make([]byte, n+1)
		if _, err := io.ReadFull(c.r, body); err != nil {
			return g, fmt.Errorf("in the body of %v: %w", g, err)
		}
	} else if body, err = c.r.ReadBytes(0); err != nil {
		return g, fmt.Errorf("in the body of %v: %w", g, err)
	}
	if body[len(body)-1] != 0 {
		return g, fmt.Errorf("no NUL after the body of %v", g)
	}
	g.body = string(body[:len(body)-1])
	if b, err := c.r.ReadByte(); err != nil || b != '\n' { // see frameEnd
		return g, fmt.Errorf("no line end after %v, but %q %v", g, b, err)
	}
	return g, nil
}

// expect reads a frame that must have the command.
func (c *client) expect(command string) got {
	c.t.Helper()
	g, err := c.read()
	if err != nil {
		c.t.Fatalf("waiting for %s: %v", command, err)
	}
	if g.command != command {
		c.t.Fatalf("want %s, got %v", command, g)
	}
	return g
}

// expectReceipt reads a RECEIPT that must have the id.
func (c *client) expectReceipt(id string) {
	c.t.Helper()
	if g := c.expect("RECEIPT"); g.get("receipt-id") != id {
		c.t.Fatalf("want receipt %s, got %v", id, g)
	}
}

// expectError reads an ERROR that must have the code, and the end of the connection.
func (c *client) expectError(code string) got {
	c.t.Helper()
	g := c.expect("ERROR")
	if g.get("x-code") != code {
		c.t.Fatalf("want code %s, got %v", code, g)
	}
	c.expectEnd()
	return g
}

// expectEnd reads the orderly end of the connection.
func (c *client) expectEnd() {
	c.t.Helper()
	if g, err := c.read(); err != io.EOF {
		c.t.Fatalf("want the end of the connection, got %v %v", g, err)
	}
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: did not happen", what)
		case <-tick.C:
		}
	}
}
