package failover

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
)

// network joins a Conn to brokers played by a test, without sockets, so that
// time can be virtual.
type network struct {
	t *testing.T

	mu    sync.Mutex
	up    map[string]chan net.Conn // brokers that take connections
	tries []string                 // addresses dialled
	when  []time.Duration          // since the start
	start time.Time
}

func newNetwork(t *testing.T, up ...string) *network {
	n := &network{t: t, up: map[string]chan net.Conn{}, start: time.Now()}
	for _, addr := range up {
		n.raise(addr)
	}
	return n
}

func (n *network) raise(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up[addr] = make(chan net.Conn, 10)
}

func (n *network) drop(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.up, addr)
}

func (n *network) dial(_ context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tries = append(n.tries, addr)
	n.when = append(n.when, time.Since(n.start))
	ch, ok := n.up[addr]
	if !ok {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	ch <- theirs
	return ours, nil
}

func (n *network) dialled() ([]string, []time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.tries), slices.Clone(n.when)
}

func (n *network) accept(addr string) *peer {
	n.mu.Lock()
	ch := n.up[addr]
	n.mu.Unlock()
	p := newPeer(n.t, <-ch)
	p.virtual = true
	return p
}

func (n *network) serve(addr string, headers ...string) *peer {
	p := n.accept(addr)
	p.connected(headers...)
	return p
}

// dialPlain connects over n in a bubble; first is the broker that accepts.
func (n *network) connect(url, first string, o Options, headers ...string) (*Conn, *peer) {
	n.t.Helper()
	u := mustParse(n.t, url)
	o.DialContext = n.dial
	var c *Conn
	wait := background(func() (err error) {
		c, err = Dial(context.Background(), u, o)
		return err
	})
	p := n.serve(first, headers...)
	must(n.t, wait())
	n.t.Cleanup(func() { c.Close() })
	return c, p
}

// swallow reads and drops all frames until the connection ends.
func (p *peer) swallow() {
	for {
		if _, err := p.r.Read(); err != nil {
			return
		}
	}
}

func ms(n ...int) []time.Duration {
	var d []time.Duration
	for _, x := range n {
		d = append(d, time.Duration(x)*time.Millisecond)
	}
	return d
}

func TestBackOff(t *testing.T) {
	for query, want := range map[string][]time.Duration{
		"": ms(0, 10, 30, 70, 150, 310),
		"&initialReconnectDelay=100&maxReconnectDelay=300":           ms(0, 100, 300, 600, 900, 1200),
		"&useExponentialBackOff=false":                               ms(0, 10, 20, 30, 40, 50),
		"&reconnectDelayExponent=1.5":                                ms(0, 10, 25), // 10, 15, 22.5
		"&initialReconnectDelay=500&maxReconnectDelay=100":           ms(0, 500, 1000, 1500),
		"&startupMaxReconnectAttempts=2":                             ms(0, 10),
		"&maxReconnectAttempts=3":                                    ms(0, 10, 30),
		"&maxReconnectAttempts=0":                                    ms(0),
		"&maxReconnectAttempts=3&startupMaxReconnectAttempts=1":      ms(0),
		"&reconnectDelayExponent=1000&maxReconnectDelay=99999999999": ms(0, 10, 10010, 10_010_010),
	} {
		t.Run(query, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				bound := want[len(want)-1] + time.Nanosecond
				if strings.Contains(query, "Attempts") {
					bound = time.Hour // it has to end by itself
				}
				ctx, cancel := context.WithTimeout(context.Background(), bound)
				defer cancel()
				_, err := Dial(ctx, mustParse(t, "failover:(a:1)?randomize=false"+query), Options{DialContext: n.dial})
				wantErr(t, err, ErrUnreachable)
				if _, when := n.dialled(); !slices.Equal(when, want) {
					t.Errorf("attempts at %v, want %v", when, want)
				}
			})
		})
	}
}

func TestReconnectDelayStartsOverAfterAUsefulConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a:1")
		c, p := n.connect("failover:(a:1)?initialReconnectDelay=100", "a:1", Options{HeartBeat: -1})
		sent := background(func() error { return c.Send(context.Background(), "/queue/q", "", []byte("x")) })
		p.receipt(p.expectSend("x"))
		must(t, sent())
		for range 3 { // accepted and thrown out at once: the delay grows
			p.close()
			p = n.serve("a:1")
		}
		if _, when := n.dialled(); !slices.Equal(when, ms(0, 100, 300, 700)) {
			t.Errorf("attempts at %v", when)
		}
		sent = background(func() error { return c.Send(context.Background(), "/queue/q", "", []byte("y")) })
		p.receipt(p.expectSend("y"))
		must(t, sent())
		p.close()
		p = n.serve("a:1")
		if _, when := n.dialled(); when[len(when)-1] != 800*time.Millisecond {
			t.Errorf("attempts at %v, want the last at 800ms", when)
		}
		p.close()
	})
}

func TestSilentBrokerIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a:1", "b:1")
		type loss struct {
			at  time.Duration
			err error
		}
		lost := make(chan loss, 1)
		o := Options{HeartBeat: time.Second, OnInterrupted: func(_ string, err error) { lost <- loss{time.Since(n.start), err} }}
		_, p := n.connect("failover:(a:1,b:1)?randomize=false", "a:1", o, frame.HeartBeat, "1500,1000")
		go p.swallow()
		time.Sleep(2 * time.Second)
		must(t, p.w.Write(nil)) // a beat, the last one
		got := <-lost
		if want := 5 * time.Second; got.at != want || !errors.Is(got.err, ErrHeartBeat) {
			t.Errorf("lost after %v (%v), want after %v", got.at, got.err, want)
		}
		n.serve("b:1").close()
	})
}

func TestHeartBeatsAreSentInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a:1")
		c, p := n.connect("a:1", "a:1", Options{HeartBeat: time.Second}, frame.HeartBeat, "0,2000")
		var beats []time.Duration
		for range 3 {
			f, err := p.r.Read()
			if err != nil || f != nil {
				t.Fatal(f, err)
			}
			beats = append(beats, time.Since(n.start))
		}
		if !slices.Equal(beats, ms(1600, 3200, 4800)) { // 0.8 of max(1 s, 2 s)
			t.Errorf("beats at %v", beats)
		}
		wait := background(func() error { return c.Send(context.Background(), "/queue/q", "", nil) })
		f := p.expectSend("")
		sent := time.Since(n.start)
		p.receipt(f)
		must(t, wait())
		if f, err := p.r.Read(); f != nil || err != nil || time.Since(n.start) != sent+1600*time.Millisecond {
			t.Errorf("after a frame at %v the next beat came at %v (%v %v)", sent, time.Since(n.start), f, err)
		}
	})
}

func TestTimeoutWithoutConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a:1")
		ctx := context.Background()
		c, p := n.connect("failover:(a:1)?timeout=3000", "a:1", Options{HeartBeat: -1})
		early := background(func() error { return c.Send(ctx, "/queue/q", "", []byte("early")) })
		p.expectSend("early")
		time.Sleep(time.Minute) // with a connection nothing times out
		n.drop("a:1")
		p.close()
		lost := time.Now()
		time.Sleep(time.Second)
		late := background(func() error { return c.Send(ctx, "/queue/q", "", []byte("late")) })
		wantErr(t, early(), ErrTimeout)
		if got := time.Since(lost); got != 3*time.Second {
			t.Errorf("the message written before timed out after %v", got)
		}
		wantErr(t, late(), ErrTimeout)
		if got := time.Since(lost); got != 4*time.Second {
			t.Errorf("the message given later timed out after %v", got)
		}
		third := background(func() error { return c.Send(ctx, "/queue/q", "", []byte("third")) })
		n.raise("a:1")
		q := n.serve("a:1")
		f := q.expectSend("third") // those that timed out are not sent
		time.Sleep(time.Minute)
		q.receipt(f)
		must(t, third())
	})
}

func TestSilentPortIsLeftForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a:1", "b:1")
		start := time.Now()
		c, _ := n.connect("failover:(a:1,b:1)?randomize=false&nested.connectionTimeout=700", "b:1", Options{})
		if got := time.Since(start); got != 700*time.Millisecond || c.Addr() != "b:1" {
			t.Errorf("connected to %s after %v", c.Addr(), got)
		}
		n.accept("a:1").close()
	})
}

func TestReturnToPriorityBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "b:1")
		ev := make(events, 10)
		o := ev.options()
		o.HeartBeat = -1
		c, p := n.connect("failover:(a:1,b:1)?priorityBackup=true", "b:1", o)
		ctx := context.Background()
		wait := background(func() error { return c.Send(ctx, "/queue/q", "", []byte("x")) })
		f := p.expectSend("x")
		time.Sleep(time.Hour)
		n.raise("a:1")
		q := n.serve("a:1")
		synctest.Wait() // the client now wants to leave b, but x is unconfirmed
		later := background(func() error { return c.Send(ctx, "/queue/q", "", []byte("y")) })
		synctest.Wait()
		p.receipt(f)
		must(t, wait())
		p.expectEnd() // y is not sent to b
		q.receipt(q.expectSend("y"))
		must(t, later())
		ev.expect(t, "interrupted b:1", "resumed a:1")
		if c.Addr() != "a:1" {
			t.Errorf("connected to %s", c.Addr())
		}
		before, _ := n.dialled()
		time.Sleep(time.Hour)
		if after, _ := n.dialled(); len(after) != len(before) {
			t.Errorf("dialled %v although the preferred broker is in use", after[len(before):])
		}
	})
}

func TestReturnToPriorityBrokerWaitsBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "b:1")
		c, p := n.connect("failover:(b:1,a:1)?priorityBackup=true&priorityURIs=tcp://a:1", "b:1", Options{HeartBeat: -1})
		wait := background(func() error { return c.Send(context.Background(), "/queue/q", "", []byte("x")) })
		p.expectSend("x")
		n.raise("a:1")
		q := n.serve("a:1")
		start := time.Now()
		p.expectEnd()
		if got := time.Since(start); got != drainTime {
			t.Errorf("waited %v for the receipt", got)
		}
		q.receipt(q.expectSend("x"))
		must(t, wait())
	})
}

func TestBackupTakesOverAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a:1", "b:1")
		c, p := n.connect("failover:(a:1,b:1)?randomize=false&backup=true&initialReconnectDelay=5000", "a:1", Options{HeartBeat: -1})
		spare := n.serve("b:1")
		synctest.Wait()
		wait := background(func() error { return c.Send(context.Background(), "/queue/q", "", []byte("x")) })
		p.expectSend("x")
		start := time.Now()
		p.close()
		spare.receipt(spare.expectSend("x"))
		must(t, wait())
		if got := time.Since(start); got != 0 {
			t.Errorf("takeover after %v", got)
		}
		// A spare that dies is replaced.
		next := n.serve("a:1")
		synctest.Wait()
		next.close()
		next = n.serve("a:1")
		synctest.Wait()
		n.drop("a:1")
		next.close()
		synctest.Wait()
		spare.close() // no spare is left: back to the ordinary way
		again := n.serve("b:1")
		wait = background(func() error { return c.Send(context.Background(), "/queue/q", "", []byte("y")) })
		again.receipt(again.expectSend("y"))
		must(t, wait())
	})
}
