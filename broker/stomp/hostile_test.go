package stomp

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"treadmq/broker"
)

// unaffected shows that other clients can still send and receive.
func unaffected(t testing.TB, r *rig) {
	t.Helper()
	c := r.connected("")
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/unaffected\nack:auto\nreceipt:s\n\n\x00")
	c.expectReceipt("s")
	c.send("SEND\ndestination:/queue/unaffected\n\nx\x00")
	c.expect("MESSAGE")
	c.send("DISCONNECT\nreceipt:bye\n\n\x00")
	c.expectReceipt("bye")
	c.expectEnd()
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// Hundreds of clients that announce 50 MB and stall cost little and block nobody.
func TestAnnounceAndStall(t *testing.T) {
	const clients, limit = 300, 64 << 20
	r := newRig(t, withOptions(func(o *Options) { o.UnfinishedLimit = limit }))
	before := liveHeap()
	for range clients {
		c := r.connected("")
		c.send("SEND\ndestination:/queue/a\ncontent-length:50000000\n\n" + strings.Repeat("x", 200_000))
	}
	until(t, "the bodies arrive", func() bool { return r.srv.budget.InUse() > 0 })
	unaffected(t, r)
	if used := r.srv.budget.InUse(); used > limit {
		t.Errorf("%d bytes of unfinished frames, limit %d", used, limit)
	}
	if after := liveHeap(); after > before+limit+clients*64<<10 {
		t.Errorf("%d MB in use after %d MB", after>>20, before>>20)
	}
}

// A large frame gets through although stalled ones hold all the memory.
func TestStalledFramesGiveWay(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.UnfinishedLimit = 8 << 20 }))
	const size = 5 << 20
	var stalled []*client
	for range 3 {
		c := r.connected("")
		c.send(fmt.Sprintf("SEND\ndestination:/queue/a\ncontent-length:%d\n\n", size) + strings.Repeat("x", 1<<20))
		stalled = append(stalled, c)
	}
	until(t, "the bodies arrive", func() bool { return r.srv.budget.InUse() >= 1<<20 })
	c := r.connected("")
	c.send(fmt.Sprintf("SEND\ndestination:/queue/big\nreceipt:r\ncontent-length:%d\n\n", size) + strings.Repeat("y", size) + "\x00")
	c.expectReceipt("r")
	gone := 0
	for _, c := range stalled {
		_ = c.nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if g, err := c.read(); err == nil && g.command == "ERROR" && (g.get("x-code") == "stalled" || g.get("x-code") == "no-memory") {
			gone++
		}
	}
	if gone == 0 {
		t.Error("no stalled client was told that it had to give way")
	}
}

// A client that does not read loses its connection, and its messages go to others; nobody else notices.
func TestSlowReader(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.WriteTimeout = 2 * time.Second })) // who reads on a busy machine must keep up
	slow := r.dial()
	if err := slow.nc.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	slow.send(connect12)
	slow.expect("CONNECTED")
	slow.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\nprefetch-count:1000\nconsumer-window-size:100000000\nreceipt:s\n\n\x00")
	slow.expectReceipt("s")
	p := r.connected("")
	body := strings.Repeat("z", 100<<10)
	for i := range 200 {
		p.send(fmt.Sprintf("SEND\ndestination:/queue/a\nreceipt:%d\n\n%s\x00", i, body))
		p.expectReceipt(fmt.Sprint(i))
	}
	until(t, "the slow client's connection ends", func() bool { return len(r.b.Connections()) == 1 })
	until(t, "log line", func() bool { return strings.Contains(r.log.String(), "connection lost while writing") })
	c := r.connected("")
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:auto\n\n\x00")
	for i := range 200 {
		if g := c.expect("MESSAGE"); g.body != body {
			t.Fatalf("message %d differs", i)
		}
	}
}

// A client that sends without reading its receipts is held back, not buffered for.
func TestReceiptsNotRead(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.WriteTimeout, o.OutboundLimit = 300*time.Millisecond, 64<<10 }))
	c := r.dial()
	if err := c.nc.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	c.send(connect12)
	c.expect("CONNECTED")
	begin := "BEGIN\ntransaction:t\nreceipt:" + strings.Repeat("r", 4000) + "\n\n\x00ABORT\ntransaction:t\n\n\x00"
	for { // until the server, whose writer is stuck, gives the connection up
		if _, err := io.WriteString(c.nc, begin); err != nil {
			break
		}
	}
	until(t, "the connection ends", func() bool { return len(r.b.Connections()) == 0 })
	unaffected(t, r)
}

// What waits for a client that does not read its receipts is bounded, however long the client may take to read them.
func TestReceiptsNotReadAreBounded(t *testing.T) {
	const limit = 64 << 10
	r := newRig(t, withOptions(func(o *Options) { o.WriteTimeout, o.OutboundLimit = time.Hour, limit }))
	c := r.connected("")
	begin := []byte(strings.Repeat("BEGIN\ntransaction:t\nreceipt:"+strings.Repeat("r", 4000)+"\n\n\x00ABORT\ntransaction:t\n\n\x00", 16))
	for sent := 0; sent < 64<<20; sent += len(begin) { // more than the sockets hold
		_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := c.nc.Write(begin); err != nil {
			break // nobody reads any more
		}
	}
	r.srv.mu.Lock()
	defer r.srv.mu.Unlock()
	for s := range r.srv.sessions {
		s.out.mu.Lock()
		waiting := len(s.out.control)
		s.out.mu.Unlock()
		if waiting > 2*limit+writeChunk {
			t.Errorf("%d bytes of receipts wait, the limit is %d", waiting, limit)
		}
	}
}

// Who is told of an error while it goes on sending reads the ERROR and then the end, not a reset.
func TestErrorReachesClientThatGoesOnSending(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	if _, err := io.WriteString(c.nc, "FOO\n\n\x00"+strings.Repeat("x", 4<<20)); err != nil {
		t.Fatal(err)
	}
	c.expectError("unknown-command")
	c.expectEnd()
}

func TestGarbage(t *testing.T) {
	r := newRig(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 50 {
		c := r.dial()
		if i%2 == 0 {
			c.send(connect12)
			c.expect("CONNECTED")
		}
		junk := make([]byte, 1+rnd.IntN(4000))
		for i := range junk {
			junk[i] = byte(rnd.Uint32())
		}
		junk[0] = 'x' // neither TLS nor HTTP
		c.send(string(junk))
		_ = c.nc.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, c.r); err != nil {
			t.Fatalf("junk %d: %v", i, err)
		}
	}
	unaffected(t, r)
}

// Half a frame and a vanished client leave nothing behind.
func TestHalfFrames(t *testing.T) {
	r := newRig(t)
	whole := connect12 + "SUBSCRIBE\nid:1\ndestination:/queue/a\n\n\x00SEND\ndestination:/queue/a\ncontent-length:3\n\nabc\x00"
	for n := range len(whole) {
		c := r.dial()
		c.send(whole[:n])
		_ = c.nc.Close()
	}
	until(t, "all connections end", func() bool { return r.srv.Connections() == 0 && len(r.b.Connections()) == 0 })
	unaffected(t, r)
}

func TestConnectionLimit(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.MaxConnections = 5 }))
	var in []*client
	for range 5 {
		in = append(in, r.connected(""))
	}
	over := r.dial()
	over.expectError("limit")
	_ = in[0].nc.Close()
	until(t, "a place is free", func() bool { return r.srv.Connections() == 4 })
	r.connected("")
}

func TestConnectionLimitPerAddress(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.MaxConnectionsPerAddress = 2 }))
	r.connected("")
	r.connected("")
	r.dial().expectError("limit")
}

// One user's connections are counted, whoever else is there.
func TestConnectionLimitPerUser(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.Auth, o.MaxConnectionsPerUser = testUsers{}, 2 }))
	alice := func() *client {
		c := r.dial()
		c.send("CONNECT\naccept-version:1.2\nlogin:alice\npasscode:se:cret\n\n\x00")
		return c
	}
	first := alice()
	first.expect("CONNECTED")
	alice().expect("CONNECTED")
	alice().expectError("limit")
	for range 3 {
		r.connected("") // without login
	}
	first.bye()
	until(t, "a place is free", func() bool { return r.srv.Connections() == 4 })
	alice().expect("CONNECTED")
}

// A listener may have a limit of its own.
func TestConnectionLimitOfAListener(t *testing.T) {
	r := newRig(t)
	wide := r.addr
	narrow := r.listen(ListenerOptions{Name: "narrow", MaxConnections: 1})
	in := r.connected("")
	r.dial().expectError("limit")
	r.addr = wide
	r.connected("")
	r.addr = narrow
	in.bye()
	until(t, "a place is free", func() bool { return r.srv.Connections() == 1 })
	r.connected("")
}

// A flood of connections is turned away, and those who are in do not notice.
func TestConnectionFlood(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.MaxConnections = 20 }))
	c := r.connected("")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				nc, err := net.Dial("tcp", r.addr)
				if err != nil {
					continue // the backlog is full
				}
				_, _ = io.WriteString(nc, connect12)
				_ = nc.Close()
			}
		})
	}
	for i := range 50 {
		c.send(fmt.Sprintf("SEND\ndestination:/queue/a\nreceipt:%d\n\nx\x00", i))
		c.expectReceipt(fmt.Sprint(i))
	}
	wg.Wait()
	until(t, "the flood is over", func() bool { return r.srv.Connections() == 1 })
}

func TestConnectTimeout(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.ConnectTimeout = 50 * time.Millisecond }))
	silent := r.dial()
	silent.expectError("timeout")
	half := r.dial()
	half.send("CONNECT\naccept")
	half.expectError("timeout")
}

func TestKillTellsWhy(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	infos := r.b.Connections()
	if !r.b.Kill(infos[0].Serial, "closed by an administrator") {
		t.Fatal("no such connection")
	}
	if g := c.expect("ERROR"); !strings.Contains(g.body, "closed by an administrator") {
		t.Fatalf("got %v", g)
	}
	c.expectEnd()
}

func TestStopAndServeAgain(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	addr := r.addr
	if err := r.srv.Stop(t.Context(), broker.Errorf(broker.CodeNotMaster, "this node is not the master any more")); err != nil {
		t.Fatal(err)
	}
	if g := c.expectError("not-master"); g.get("message") != "this node is not the master any more" {
		t.Fatalf("got %v", g)
	}
	if err := <-r.served; err != ErrStopped {
		t.Fatalf("Serve returned %v", err)
	}
	if nc, err := net.Dial("tcp", addr); err == nil {
		_ = nc.Close()
		t.Fatal("a stopped server still listens")
	}
	r.listen(ListenerOptions{Name: "again"})
	unaffected(t, r)
}

func TestBrokerCloseEndsSessions(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	r.b.Close(patience)
	c.expectError("closing")
}
