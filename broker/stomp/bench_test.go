package stomp

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// deaf is a socket that swallows what is written and repeats one frame for ever.
type deaf struct {
	net.Conn
	in   []byte
	pos  int
	left int // frames to give
}

func (d *deaf) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if d.pos == 0 {
			if d.left == 0 {
				break
			}
			d.left--
		}
		m := copy(p[n:], d.in[d.pos:])
		n += m
		d.pos = (d.pos + m) % len(d.in)
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (d *deaf) Write(p []byte) (int, error)      { return len(p), nil }
func (d *deaf) SetReadDeadline(time.Time) error  { return nil }
func (d *deaf) SetWriteDeadline(time.Time) error { return nil }
func (d *deaf) Close() error                     { return nil }
func (d *deaf) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (d *deaf) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// benchSession is a session that has logged in, without goroutines.
func benchSession(b testing.TB, nc net.Conn) *session {
	core := newBroker(b, nil, nil)
	srv, err := New(Options{Broker: core, Anonymous: true})
	if err != nil {
		b.Fatal(err)
	}
	s := newSession(srv, ListenerOptions{}, nc)
	s.frames = frame.NewReader(s, frame.ReaderOptions{Limits: frame.LoginLimits()})
	login := frame.Frame{Command: frame.CONNECT, Headers: []frame.Header{{Name: []byte("accept-version"), Value: []byte("1.2")}}}
	if err := s.logIn(&login); err != nil {
		b.Fatal(err)
	}
	return s
}

func sendFrame(dest, receipt string) []byte {
	return []byte("SEND\ndestination:" + dest + "\ncontent-type:application/json\npersistent:true\ncorrelation-id:c-123\n" +
		"customer:4711\nregion:eu" + receipt + "\n\n" + strings.Repeat("x", 256) + "\x00")
}

// From bytes to messages in a topic that nobody listens to: what the session and the core's memory path cost.
func BenchmarkSendTopic(b *testing.B) { benchSend(b, sendFrame("/topic/t", "")) }

// The same into a durable queue on a store in memory, with receipts.
func BenchmarkSendQueueReceipt(b *testing.B) { benchSend(b, sendFrame("/queue/q", "\nreceipt:r-1234")) }

func benchSend(b *testing.B, in []byte) {
	nc := &deaf{in: in}
	s := benchSession(b, nc)
	nc.left = b.N
	b.ReportAllocs()
	b.ResetTimer()
	if why := s.loop(); !why.quiet {
		b.Fatal(why.fault)
	}
	b.StopTimer()
	s.end(&ending{quiet: true})
}

// From a delivery of a queue to bytes.
func BenchmarkDeliveryQueue(b *testing.B) { benchDelivery(b, broker.Queue) }

// From a delivery of a topic with many subscribers to bytes.
func BenchmarkDeliveryTopic(b *testing.B) { benchDelivery(b, broker.Topic) }

func benchDelivery(b *testing.B, kind broker.Kind) {
	s := benchSession(b, &deaf{})
	defer s.end(&ending{quiet: true})
	var f frame.Frame
	if err := frame.NewReader(bytes.NewReader(sendFrame("/queue/q", "")), frame.ReaderOptions{Version: frame.V12}).Read(&f); err != nil {
		b.Fatal(err)
	}
	var h sendHeaders
	if err := h.read(&f); err != nil {
		b.Fatal(err)
	}
	dest := broker.Destination{Kind: kind, Name: "q"}
	m, err := s.build(&f, &h, []broker.Destination{dest})
	if err != nil {
		b.Fatal(err)
	}
	core, err := s.conn.Subscribe(broker.SubscribeOptions{Dests: []broker.Destination{dest}})
	if err != nil {
		b.Fatal(err)
	}
	s.enlist(&subscription{core: core, id: "sub-0", mode: modeIndividual, version: frame.V12, header: []byte("subscription:sub-0\n")})
	d := broker.Delivery{Sub: core, Message: m, Dest: dest, Tag: 1234, Seq: 1<<40 + 5678, Attempts: 1}
	w := &writer{}
	b.ReportAllocs()
	for b.Loop() {
		w.buf = w.buf[:0]
		s.appendDelivery(w, &d)
	}
}

// Over loopback, on a store in memory: one client sends with receipts, 64 in flight, another takes and acknowledges.
func BenchmarkEndToEnd(b *testing.B) {
	r := newRig(b)
	p, c := r.connected(""), r.connected("")
	for _, x := range []*client{p, c} {
		if err := x.nc.SetDeadline(time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/q\nack:client-individual\nreceipt:s\n\n\x00")
	c.expectReceipt("s")
	in := sendFrame("/queue/q", "\nreceipt:r")
	b.ReportAllocs()
	b.ResetTimer()
	var clients sync.WaitGroup
	clients.Go(func() {
		window := make(chan struct{}, 64)
		clients.Go(func() {
			for range b.N {
				if _, err := p.r.ReadSlice(0); err != nil {
					b.Error(err)
					return
				}
				<-window
			}
		})
		var burst []byte
		for i := range b.N {
			burst = append(burst, in...)
			if i%16 == 15 || i == b.N-1 {
				p.send(string(burst))
				burst = burst[:0]
			}
			window <- struct{}{}
		}
	})
	var acks []byte
	for i := range b.N {
		m, err := c.r.ReadBytes(0)
		if err == nil {
			_, err = c.r.Discard(1) // the line end
		}
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := bytes.Cut(m, []byte("\nack:"))
		id, _, _ := bytes.Cut(rest, []byte("\n"))
		acks = append(append(append(acks, "ACK\nid:"...), id...), "\n\n\x00"...)
		if c.r.Buffered() == 0 || i == b.N-1 {
			c.send(string(acks))
			acks = acks[:0]
		}
	}
	clients.Wait()
}
