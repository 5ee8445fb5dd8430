//go:build unix

package zk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/go-zookeeper/zk"

	"treadmq/ha/coord"
	"treadmq/ha/coord/coordtest"
	"treadmq/ha/zk/zktest"
)

func ensemble(t *testing.T, nodes int) *zktest.Ensemble {
	t.Helper()
	e, err := zktest.Start(t.Context(), zktest.Options{Dir: t.TempDir(), Nodes: nodes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func coordinator(t *testing.T, o Options) *Coordinator {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestContract(t *testing.T) {
	e := ensemble(t, 1)
	var n atomic.Int32
	coordtest.Run(t, func(t *testing.T) coord.Coordinator {
		return coordinator(t, Options{Servers: e.Addrs(), Path: "/treadmq/test", Group: fmt.Sprint("g", n.Add(1)), Password: "secret", Timeout: 2 * time.Second})
	})
}

func TestThePasswordProtectsTheNodes(t *testing.T) {
	e := ensemble(t, 1)
	opt := Options{Servers: e.Addrs(), Path: "/treadmq", Group: "g", Password: "secret"}
	s := coordtest.Open(t, coordinator(t, opt))
	if r := s.Write(t.Context(), coord.Change{Version: coord.NoRegister, Register: []byte("r")}); r.Outcome != coord.Done {
		t.Fatal(r.Err)
	}
	for _, password := range []string{"", "wrong"} {
		opt.Password = password
		_, err := coordinator(t, opt).Open(t.Context())
		if err == nil || !strings.Contains(err.Error(), "zkPassword") {
			t.Errorf("password %q: %v, want a refusal that names zkPassword", password, err)
		}
	}
	// Not only our own program is kept out.
	conn, _, err := client.Connect(e.Addrs(), 5*time.Second, client.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Set("/treadmq/g/state", []byte("x"), -1); !errors.Is(err, client.ErrNoAuth) {
		t.Errorf("a stranger sets the register: %v", err)
	}
	if _, _, err := conn.Get("/treadmq/g/state"); !errors.Is(err, client.ErrNoAuth) {
		t.Errorf("a stranger reads the register: %v", err)
	}
	if err := conn.Delete("/treadmq/g/state", -1); !errors.Is(err, client.ErrNoAuth) {
		t.Errorf("a stranger deletes the register: %v", err)
	}
}

// A paused server answers nothing and closes nothing. Changes end as unknown, the
// view says that it is not connected, and what was asked for meanwhile in vain
// does not disturb what comes after.
func TestAPausedServer(t *testing.T) {
	e := ensemble(t, 1)
	s := coordtest.Open(t, coordinator(t, Options{Servers: e.Addrs(), Path: "/treadmq", Group: "g", Timeout: 3 * time.Second}))
	v := s.Write(t.Context(), coord.Change{Version: coord.NoRegister, Register: []byte("r0")}).Version
	coordtest.Until(t, s, "the register", func(v coord.View) bool { return v.Connected && v.Exists })
	if err := e.Servers[0].Pause(); err != nil {
		t.Fatal(err)
	}
	r := s.Write(t.Context(), coord.Change{Version: v, Register: []byte("r1")})
	if r.Outcome != coord.Unknown || r.Err == nil {
		t.Errorf("a change without answer is %v (%v)", r.Outcome, r.Err)
	}
	coordtest.Until(t, s, "that it is not connected", func(v coord.View) bool { return !v.Connected })
	if err := e.Servers[0].Resume(); err != nil {
		t.Fatal(err)
	}
	coordtest.Until(t, coordtest.Open(t, s.(*session).c), "the register again", func(v coord.View) bool { return v.Connected && v.Exists })
}

// Expiry is learnt from a server only. The session that has ended answers nothing
// any more, although the client library would go on with another.
func TestExpiry(t *testing.T) {
	e := ensemble(t, 1)
	var cut atomic.Bool
	dial := func(network, addr string, limit time.Duration) (net.Conn, error) {
		if cut.Load() {
			return nil, errors.New("cut off by the test")
		}
		return net.DialTimeout(network, addr, limit)
	}
	opt := Options{Servers: e.Addrs(), Path: "/treadmq", Group: "g", Timeout: 10 * time.Second}
	other := coordtest.Open(t, coordinator(t, opt))
	opt.Dial, opt.Timeout = dial, time.Second
	s := coordtest.Open(t, coordinator(t, opt)).(*session)
	s.Publish(t.Context(), "n1", []byte("x"))
	v := s.Write(t.Context(), coord.Change{Version: coord.NoRegister, Register: []byte("r"), CreateLease: []byte("l")}).Version
	coordtest.Until(t, other, "lease and member", func(v coord.View) bool { return v.Leased && len(v.Members) == 1 })
	cut.Store(true)
	e.Servers[0].Kill() // every connection breaks, and ours cannot come back
	if err := e.Servers[0].Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	coordtest.Until(t, other, "that both have vanished", func(v coord.View) bool { return v.Connected && !v.Leased && len(v.Members) == 0 })
	select {
	case <-s.Lost():
		t.Error("the session knows of its end although no server can have said so")
	default:
	}
	cut.Store(false)
	select {
	case <-s.Lost():
	case <-time.After(time.Minute):
		t.Fatal("never told that the session has ended")
	}
	if r := s.Reclaim(t.Context(), v, []byte("l")); r.Outcome != coord.Unknown || !errors.Is(r.Err, coord.ErrLost) {
		t.Errorf("a session that has ended answers %v, %v", r.Outcome, r.Err)
	}
	if s.View().Connected {
		t.Error("a session that has ended looks connected")
	}
}

func TestTheSessionOutlivesZooKeepersLeader(t *testing.T) {
	e := ensemble(t, 3)
	s := coordtest.Open(t, coordinator(t, Options{Servers: e.Addrs(), Path: "/treadmq", Group: "g"}))
	v := s.Write(t.Context(), coord.Change{Version: coord.NoRegister, Register: []byte("r0"), CreateLease: []byte("l")}).Version
	e.Servers[e.Leader()].Kill()
	for {
		r := s.Write(t.Context(), coord.Change{Version: v, Register: []byte("r1")})
		if r.Outcome == coord.Done {
			break
		}
		if r.Outcome == coord.Conflict { // the answer to an earlier one was lost
			w := coordtest.Until(t, s, "the change", func(w coord.View) bool { return w.Version > v })
			if string(w.Register) != "r1" {
				t.Fatalf("the register is %q", w.Register)
			}
			break
		}
		if errors.Is(r.Err, coord.ErrLost) {
			t.Fatal("the session was lost")
		}
	}
	if w := coordtest.Until(t, s, "the register", func(w coord.View) bool { return string(w.Register) == "r1" }); !w.Own {
		t.Error("the lease was lost with ZooKeeper's leader")
	}
}

// The library keeps each watch until it fires: reading again must not add more.
func TestOneWatchPerNode(t *testing.T) {
	e := ensemble(t, 1)
	s := coordtest.Open(t, coordinator(t, Options{Servers: e.Addrs(), Path: "/treadmq", Group: "g"})).(*session)
	s.Publish(t.Context(), "n1", []byte("x"))
	s.Write(t.Context(), coord.Change{Version: coord.NoRegister, Register: []byte("r")})
	coordtest.Until(t, s, "all", func(v coord.View) bool { return v.Exists && len(v.Members) == 1 })
	for range 100 {
		if _, err := s.read(); err != nil && !errors.Is(err, errMoved) {
			t.Fatal(err)
		}
	}
	conn, err := net.Dial("tcp", e.Servers[0].Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "wchs")
	answer := make([]byte, 4096)
	n, _ := conn.Read(answer)
	var connections, paths, watches int
	if _, err := fmt.Sscanf(string(answer[:n]), "%d connections watching %d paths\nTotal watches:%d", &connections, &paths, &watches); err != nil {
		t.Fatalf("%q: %v", answer[:n], err)
	}
	if watches > paths || paths > 8 {
		t.Errorf("one session holds %d watches on %d nodes", watches, paths)
	}
}

func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	c := coordinator(t, Options{Servers: []string{addr}, Path: "/treadmq", Group: "g", Timeout: time.Second})
	defer cancel()
	if _, err := c.Open(ctx); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("no server: %v, want an error that names %s", err, addr)
	}
}

func TestBadOptions(t *testing.T) {
	good := Options{Servers: []string{"127.0.0.1:2181"}, Path: "/treadmq", Group: "g"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Options){
		"zkAddress":        func(o *Options) { o.Servers = []string{"host"} },
		"zkAddress names":  func(o *Options) { o.Servers = nil },
		"zkPath is":        func(o *Options) { o.Path = "treadmq" },
		"zkPath":           func(o *Options) { o.Path = "/a//b" },
		"at least one":     func(o *Options) { o.Path = "/" },
		"ZooKeeper's own":  func(o *Options) { o.Path = "/zookeeper/x" },
		"name of a group":  func(o *Options) { o.Group = "a/b" },
		"zkSessionTimeout": func(o *Options) { o.Timeout = time.Millisecond },
		"zkPassword":       func(o *Options) { o.Password = "a\nb" },
	} {
		o := good
		spoil(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRemovedNodes: whoever removes the group's nodes under a session is seen.
func TestRemovedNodes(t *testing.T) {
	e := ensemble(t, 1)
	s := coordtest.Open(t, coordinator(t, Options{Servers: e.Addrs(), Path: "/treadmq", Group: "g"}))
	if r := s.Write(t.Context(), coord.Change{Version: coord.NoRegister, Register: []byte("r")}); r.Outcome != coord.Done {
		t.Fatal(r.Err)
	}
	coordtest.Until(t, s, "the register is there", func(v coord.View) bool { return v.Exists })
	conn, _, err := client.Connect(e.Addrs(), 5*time.Second, client.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, node := range []string{"state", "members", "suspect", ""} {
		if err := conn.Delete(strings.TrimSuffix("/treadmq/g/"+node, "/"), -1); err != nil {
			t.Fatal(node, err)
		}
	}
	coordtest.Until(t, s, "the register is gone", func(v coord.View) bool { return v.Read && !v.Exists })
}
