package stomp

import (
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipeListener hands out the server's ends of pipes.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours
}

// beatRig is a server on pipes within a bubble of synctest.
func beatRig(t *testing.T, change func(*Options)) *pipeListener {
	t.Cleanup(func() { time.Sleep(2 * time.Minute) }) // of the bubble's time: goleveldb's mpoolDrain takes that to end
	o := Options{Broker: newBroker(t, nil, nil), Anonymous: true}
	if change != nil {
		change(&o)
	}
	srv, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l, ListenerOptions{}) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return l
}

// connectWith logs in with a heart-beat header and returns the client.
func connectWith(t *testing.T, l *pipeListener, beat string) *client {
	nc := l.dial()
	c := newClient(t, nc)
	_ = nc.SetDeadline(time.Time{})
	c.send("CONNECT\naccept-version:1.2\nheart-beat:" + beat + "\n\n\x00")
	c.expect("CONNECTED")
	return c
}

// An idle connection gets an EOL at least every interval, and not much more often.
func TestServerHeartBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := beatRig(t, nil)
		for _, ms := range []int{500, 1000, 10_000, 300_000} {
			interval := time.Duration(ms) * time.Millisecond
			c := connectWith(t, l, "0,"+strconv.Itoa(ms))
			last := time.Now()
			for range 5 {
				b, err := c.r.ReadByte()
				if err != nil || b != '\n' {
					t.Fatal(b, err)
				}
				gap := time.Since(last)
				if gap > interval*9/10 || gap < interval*6/10 {
					t.Errorf("interval %v: heart-beat after %v", interval, gap)
				}
				last = time.Now()
			}
			_ = c.nc.Close()
		}
	})
}

// A connection on which something is written anyway gets no heart-beat.
func TestNoHeartBeatBesideTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connectWith(t, beatRig(t, nil), "0,1000")
		for range 10 {
			time.Sleep(500 * time.Millisecond)
			c.send("BEGIN\ntransaction:t\nreceipt:1\n\n\x00")
			if b, err := c.r.Peek(1); err != nil || b[0] != 'R' {
				t.Fatalf("%q %v", b, err)
			}
			c.expectReceipt("1")
			c.send("ABORT\ntransaction:t\n\n\x00")
		}
	})
}

// A client that promised heart-beats and is silent for max(2n, n+3s) is dropped, with words; one that sends EOLs is not.
func TestSilentClient(t *testing.T) {
	for _, test := range []struct{ n, deadline time.Duration }{
		{500 * time.Millisecond, 3500 * time.Millisecond}, {10 * time.Second, 20 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := connectWith(t, beatRig(t, nil), strconv.Itoa(int(test.n.Milliseconds()))+",0")
			for range 20 {
				time.Sleep(test.n * 3 / 2) // late, within the tolerance
				c.send("\n")
			}
			start := time.Now()
			if g := c.expect("ERROR"); g.get("x-code") != "timeout" {
				t.Fatalf("got %v", g)
			}
			if gone := time.Since(start); gone != test.deadline {
				t.Errorf("dropped after %v, want %v", gone, test.deadline)
			}
			c.expectEnd()
		})
	}
}

// No heart-beat agreed on: silence is no reason to end a connection.
func TestSilenceWithoutHeartBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connectWith(t, beatRig(t, nil), "0,0")
		_ = c.nc.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := c.r.ReadByte(); !os.IsTimeout(err) {
			t.Fatalf("want silence, got %v", err)
		}
		_ = c.nc.SetReadDeadline(time.Time{})
		c.send("DISCONNECT\nreceipt:1\n\n\x00")
		c.expectReceipt("1")
	})
}

// CONNECT has to come in time, even if bytes trickle in.
func TestConnectDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := beatRig(t, nil)
		c := newClient(t, l.dial())
		_ = c.nc.SetDeadline(time.Time{})
		start := time.Now()
		go func() {
			for {
				if _, err := c.nc.Write([]byte("\n")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		if g := c.expect("ERROR"); g.get("x-code") != "timeout" {
			t.Fatalf("got %v", g)
		}
		if d := time.Since(start); d != defaultConnectTimeout {
			t.Errorf("dropped after %v", d)
		}
		c.expectEnd()
	})
}
