package failover

import (
	"context"
	"net"
	"testing"

	"github.com/go-stomp/stomp/v3/frame"
)

// discardBroker confirms all SENDs at once and counts them.
func discardBroker(b *testing.B) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		r, w := newFrameReader(nc, 1<<20), newFrameWriter(nc)
		for {
			f, err := r.read()
			if err != nil {
				return
			}
			switch {
			case f == nil:
			case f.Command == frame.CONNECT:
				_ = w.write(frame.New(frame.CONNECTED, "version", "1.2"))
			default:
				_ = w.write(frame.New(frame.RECEIPT, frame.ReceiptId, f.Header.Get(frame.Receipt)))
			}
			if r.br.Buffered() == 0 {
				_ = w.flush()
			}
		}
	}()
	return ln.Addr().String()
}

// BenchmarkSendAsync measures pipelined sends of 256 bytes with receipts; the
// broker's side, in the same process, only parses and confirms.
func BenchmarkSendAsync(b *testing.B) {
	c, err := Dial(context.Background(), &URL{Failover: true, Policy: defaultPolicy(), Addresses: mustAddresses(b, discardBroker(b))}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	body := make([]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		c.SendAsync(context.Background(), "/queue/q", "", body, nil)
	}
	if err := c.Disconnect(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSend measures one send after the other.
func BenchmarkSend(b *testing.B) {
	c, err := Dial(context.Background(), &URL{Addresses: mustAddresses(b, discardBroker(b))}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	body := make([]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Send(context.Background(), "/queue/q", "", body); err != nil {
			b.Fatal(err)
		}
	}
}

func mustAddresses(b *testing.B, addr string) []Address {
	u, err := ParseURL(addr)
	if err != nil {
		b.Fatal(err)
	}
	return u.Addresses
}

// BenchmarkReceive measures receiving 256 bytes with an ACK each, from a peer
// in the same process that keeps 1,000 messages under way.
func BenchmarkReceive(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go feed(ln, 1000)
	ctx := context.Background()
	c, err := Dial(ctx, &URL{Addresses: mustAddresses(b, ln.Addr().String())}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	sub, err := c.Subscribe(ctx, "/queue/q", AckClientIndividual, H("id", "s"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m, err := sub.Receive(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Ack(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// feed serves one connection: messages as fast as they are acknowledged.
func feed(ln net.Listener, prefetch int) {
	nc, err := ln.Accept()
	if err != nil {
		return
	}
	defer nc.Close()
	r, w := newFrameReader(nc, 1<<20), newFrameWriter(nc)
	message := frame.New(frame.MESSAGE, "subscription", "s", "message-id", "ID-a-1", "ack", "ID-a-1", "destination", "/queue/q", "content-length", "256")
	message.Body = make([]byte, 256)
	for {
		f, err := r.read()
		if err != nil {
			return
		}
		switch {
		case f == nil:
		case f.Command == frame.CONNECT:
			_ = w.write(frame.New(frame.CONNECTED, "version", "1.2"))
		case f.Command == frame.SUBSCRIBE:
			_ = w.write(frame.New(frame.RECEIPT, frame.ReceiptId, f.Header.Get(frame.Receipt)))
			for range prefetch {
				_ = w.write(message)
			}
		case f.Command == frame.ACK:
			_ = w.write(message)
		}
		if r.br.Buffered() == 0 {
			_ = w.flush()
		}
	}
}
