package ha

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"treadmq/ha/replica"
	"treadmq/ha/replica/wire"
)

// Limits of the replication port.
const (
	maxConns       = 4 * replica.MaxMembers // accepted and not closed
	maxStrangers   = 64                     // of them, without a finished handshake
	handshakeTime  = 3 * time.Second        // for a connection to prove itself
	userTimeout    = 5 * time.Second        // for bytes that the other side's kernel does not confirm
	maxRefusals    = 1024                   // addresses that are remembered
	refusalSilence = time.Minute            // between two lines of the log about one address
)

// port is the replication port: it accepts connections, finds out who dials, and dials others.
type port struct {
	n        *Node
	listener net.Listener
	next     atomic.Uint64 // replica.LinkID
	wg       sync.WaitGroup

	mu        sync.Mutex // guards everything below
	conns     map[net.Conn]bool
	strangers int
	closed    bool
	refusals  map[string]time.Time
	refused   int       // in all
	last      time.Time // of a refusal
	why       string    // the same
}

func listen(n *Node) (*port, error) {
	addr, err := bindAddress(n.opt.Bind)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("the replication port: %w", err)
	}
	return &port{n: n, listener: l, conns: map[net.Conn]bool{}, refusals: map[string]time.Time{}}, nil
}

// run accepts connections until the port is closed, and waits for all that serve one.
func (p *port) run(ctx context.Context) {
	defer p.wg.Wait()
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptors, say
			p.n.log.Warn("no connection is accepted on the replication port", "err", err)
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-ctx.Done():
				return
			}
		}
		if !p.admit(c) {
			c.Close()
			continue
		}
		p.spawn(func() {
			defer p.forget(c)
			p.serve(c)
		})
	}
}

// admit counts a connection; false when there are too many.
func (p *port) admit(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.conns) >= maxConns || p.strangers >= maxStrangers {
		return false
	}
	p.conns[c] = true
	p.strangers++
	return true
}

// known says that a connection has proved itself.
func (p *port) known() {
	p.mu.Lock()
	p.strangers--
	p.mu.Unlock()
}

// keep remembers a connection that this side dialled; false when the port is closed.
func (p *port) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *port) forget(c net.Conn) {
	c.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// close ends the port and all connections.
func (p *port) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.listener.Close()
	for c := range p.conns {
		c.Close()
	}
}

// spawn runs f on a goroutine that the port's end waits for; not at all when it has ended.
func (p *port) spawn(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.wg.Go(f)
	}
}

// serve finds out who dialled and what for.
func (p *port) serve(raw net.Conn) {
	limit := time.Now().Add(handshakeTime)
	var nonce [wire.NonceSize]byte
	rand.Read(nonce[:])
	h := wire.Accept(p.n.opt.Token, p.n.opt.Group, nonce)
	c, err := p.secure(raw, limit, "")
	if err == nil {
		err = converse(c, h, nil)
	}
	p.known()
	if err != nil {
		p.refuse(raw, err)
		return
	}
	c.SetDeadline(time.Time{})
	switch h.Purpose() {
	case wire.Link:
		l := p.link(c)
		p.n.post(linkUp{link: l})
		l.run()
	case wire.Ping:
		p.echo(c)
	case wire.Bulk:
		p.n.serveBulk(c)
	}
}

// secure sets a connection up: its limits, and TLS if it is asked for. host is that of
// the side that was dialled, "" on that side.
func (p *port) secure(c net.Conn, limit time.Time, host string) (net.Conn, error) {
	setUserTimeout(c, userTimeout)
	if err := c.SetDeadline(limit); err != nil {
		return nil, err
	}
	switch {
	case p.n.opt.TLSServer == nil:
		return c, nil
	case host == "":
		return handshake(tls.Server(c, p.n.opt.TLSServer))
	}
	cfg := p.n.opt.TLSClient()
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	return handshake(tls.Client(c, cfg))
}

func handshake(c *tls.Conn) (net.Conn, error) {
	if err := c.Handshake(); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return c, nil
}

// converse exchanges the messages of a handshake. first is what this side begins with.
func converse(c net.Conn, h *wire.Handshake, first []byte) error {
	if first != nil {
		if err := writeAuth(c, first); err != nil {
			return err
		}
	}
	for {
		msg, err := readAuth(c)
		if err != nil {
			return err
		}
		reply, done, err := h.Take(msg)
		if err != nil {
			return err
		}
		if reply != nil {
			if err := writeAuth(c, reply); err != nil {
				return err
			}
		}
		if done {
			return nil
		}
	}
}

func writeAuth(c net.Conn, msg []byte) error {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(msg)))
	_, err := c.Write(append(b, msg...))
	return err
}

func readAuth(c net.Conn) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, fmt.Errorf("it said nothing that a member says: %w", err)
	}
	n := binary.BigEndian.Uint16(head[:])
	if n > wire.MaxAuth {
		return nil, fmt.Errorf("%w: not a member of a group", wire.ErrAuth)
	}
	msg := make([]byte, n)
	if _, err := io.ReadFull(c, msg); err != nil {
		return nil, fmt.Errorf("it ended in the middle of the handshake: %w", err)
	}
	return msg, nil
}

// refuse says in the log why a connection was refused, once per address and minute.
func (p *port) refuse(c net.Conn, err error) {
	select {
	case <-p.n.ended:
		return
	default:
	}
	host, _, splitErr := net.SplitHostPort(c.RemoteAddr().String())
	if splitErr != nil {
		host = c.RemoteAddr().String()
	}
	p.mu.Lock()
	p.refused++
	p.last, p.why = time.Now(), fmt.Sprintf("%s: %v", host, err)
	p.mu.Unlock()
	p.complain(host, "a connection to the replication port was refused", err)
}

// complain logs a line about an address once a minute.
func (p *port) complain(addr, text string, err error) {
	now := time.Now()
	p.mu.Lock()
	level := slog.LevelDebug
	if now.Sub(p.refusals[addr]) >= refusalSilence {
		level = slog.LevelWarn
		if len(p.refusals) >= maxRefusals {
			clear(p.refusals)
		}
		p.refusals[addr] = now
	}
	p.mu.Unlock()
	p.n.log.Log(context.Background(), level, text, "addr", addr, "err", err)
}

// refusal returns the last refusal within a time, "" if there was none.
func (p *port) refusal(within time.Duration) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused == 0 || time.Since(p.last) > within {
		return ""
	}
	return p.why
}

// connect dials another member's port and proves itself. The connection is kept until forget.
func (p *port) connect(ctx context.Context, addr string, purpose wire.Purpose) (net.Conn, error) {
	limit := time.Now().Add(dialTimeout)
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if !p.keep(raw) {
		raw.Close()
		return nil, errStopped
	}
	host, _, _ := net.SplitHostPort(addr)
	c, err := p.secure(raw, limit, host)
	if err == nil {
		var nonce [wire.NonceSize]byte
		rand.Read(nonce[:])
		h := wire.Dial(p.n.opt.Token, p.n.opt.Group, purpose, nonce)
		err = converse(c, h, h.Start())
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		p.forget(raw)
		err = fmt.Errorf("handshake with %s: %w", addr, err)
		p.complain(addr, "a member of the group does not know this one: set the same securityToken, TLS and group on all", err)
		return nil, err
	}
	return &kept{c, p, raw}, nil
}

// kept is a connection that the port forgets when it is closed.
type kept struct {
	net.Conn
	p   *port
	raw net.Conn
}

func (k *kept) Close() error {
	err := k.Conn.Close()
	k.p.forget(k.raw)
	return err
}

// dial answers the core's Dial.
func (p *port) dial(a replica.Dial) {
	p.spawn(func() {
		c, err := p.connect(context.Background(), a.Addr, wire.Link)
		if err != nil {
			p.n.log.Debug("the master was not reached", "node", a.Node, "addr", a.Addr, "err", err)
			p.n.post(replica.Dialed{Op: a.Op})
			return
		}
		defer c.Close()
		l := p.link(c)
		l.node, l.addr = a.Node, a.Addr
		p.n.post(linkUp{l, a.Op})
		l.run()
	})
}

func (p *port) link(c net.Conn) *link {
	return newLink(p.n, replica.LinkID(p.next.Add(1)), c)
}
