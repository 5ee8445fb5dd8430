package admin

import (
	"errors"
	"io"
	"net"
	"testing"
)

// pipes is a listener whose connections come from a channel.
type pipes struct {
	net.Listener
	in chan net.Conn
}

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.in
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error { close(p.in); return nil }

func TestConnectionsAreLimited(t *testing.T) {
	p := pipes{in: make(chan net.Conn, 3)}
	for range 3 {
		a, b := net.Pipe()
		defer b.Close()
		p.in <- a
	}
	l := limitListener(p, 2)
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	third := make(chan error)
	go func() {
		_, err := l.Accept()
		third <- err
	}()
	if len(p.in) != 1 {
		t.Fatal("more connections were taken than allowed")
	}
	for range 2 { // closing twice gives one slot back
		_ = first.Close()
	}
	if err := <-third; err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := l.Accept()
		third <- err
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-third; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// from is a connection that says where it comes from.
type from struct {
	net.Conn
	addr string
}

func (f from) RemoteAddr() net.Addr { return address(f.addr) }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// One address does not take all connections; this machine, where proxies are, may.
func TestConnectionsOfOneAddress(t *testing.T) {
	p := pipes{in: make(chan net.Conn, 20)}
	others := map[net.Conn]net.Conn{}
	come := func(addr string) net.Conn {
		a, b := net.Pipe()
		t.Cleanup(func() { a.Close(); b.Close() })
		others[a] = b
		p.in <- from{a, addr}
		return b
	}
	l := limitListener(p, 8) // 2 for each
	accept := func(want string) net.Conn {
		t.Helper()
		c, err := l.Accept()
		if err != nil || c.RemoteAddr().String() != want {
			t.Fatal(c, err)
		}
		return c
	}
	come("192.0.2.1:1")
	come("192.0.2.1:2")
	first := accept("192.0.2.1:1")
	accept("192.0.2.1:2")
	refused := come("192.0.2.1:3")
	come("[2001:db8::1]:1")
	accept("[2001:db8::1]:1") // the one before was closed
	if _, err := refused.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the third of an address: %v", err)
	}
	for range 3 {
		come("127.0.0.1:1")
		accept("127.0.0.1:1")
	}
	_ = first.Close()
	_ = first.Close()
	come("192.0.2.1:4")
	accept("192.0.2.1:4")
	over := come("192.0.2.1:5")
	come("[::1]:1")
	accept("[::1]:1")
	if _, err := over.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("closing twice made room for two: %v", err)
	}
}
