package admin

import (
	"errors"
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
