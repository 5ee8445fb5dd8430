package embed

import (
	"errors"
	"net"
	"sync"
	"time"
)

// pipeConn is one end of a connection in memory. Each direction is a pipe of its own, so that one can end before the other.
type pipeConn struct {
	in, out net.Conn
}

// newPipe returns the two ends.
func newPipe() (a, b *pipeConn) {
	r1, w1 := net.Pipe()
	r2, w2 := net.Pipe()
	return &pipeConn{in: r1, out: w2}, &pipeConn{in: r2, out: w1}
}

func (c *pipeConn) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *pipeConn) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c *pipeConn) Close() error                { return errors.Join(c.out.Close(), c.in.Close()) }

// CloseWrite ends the direction to the other side.
func (c *pipeConn) CloseWrite() error { return c.out.Close() }

func (c *pipeConn) LocalAddr() net.Addr  { return memory{} }
func (c *pipeConn) RemoteAddr() net.Addr { return memory{} }

func (c *pipeConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
func (c *pipeConn) SetReadDeadline(t time.Time) error  { return c.in.SetReadDeadline(t) }
func (c *pipeConn) SetWriteDeadline(t time.Time) error { return c.out.SetWriteDeadline(t) }

// memory is the address of everything in memory.
type memory struct{}

func (memory) Network() string { return "memory" }
func (memory) String() string  { return "memory" }

// pipeListener hands connections in memory to who accepts.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{} // closed by Close
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) dial() (net.Conn, error) {
	ours, theirs := newPipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.done:
		return nil, errors.New("dial: the broker is closed")
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return memory{} }
