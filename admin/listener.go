package admin

import (
	"net"
	"sync"
)

// limitedListener has at most so many connections open; others wait in the
// system's queue. One address, unless it is this machine's own, where proxies are,
// has a part of them: who opens connections and says nothing shuts out nobody else.
type limitedListener struct {
	net.Listener
	slots chan struct{}
	done  chan struct{} // closed by Close
	once  sync.Once

	host  int // connections of one address
	mu    sync.Mutex
	hosts map[string]int // guarded by mu
}

func limitListener(l net.Listener, n int) net.Listener {
	return &limitedListener{Listener: l, slots: make(chan struct{}, n), done: make(chan struct{}), host: max(1, n/perHost), hosts: map[string]int{}}
}

// Accept waits for a slot and for a connection.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		host := foreignHost(c.RemoteAddr())
		if l.enter(host) {
			return &limitedConn{Conn: c, release: sync.OnceFunc(func() { l.leave(host); <-l.slots })}, nil
		}
		_ = c.Close() // it has too many
	}
}

// foreignHost is the address that connections are counted by, "" if they are not.
func foreignHost(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsLoopback() {
		return ""
	}
	return host
}

func (l *limitedListener) enter(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if host == "" {
		return true
	}
	if l.hosts[host] >= l.host {
		return false
	}
	l.hosts[host]++
	return true
}

func (l *limitedListener) leave(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hosts[host]--; l.hosts[host] <= 0 {
		delete(l.hosts, host)
	}
}

// Close ends Accept.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

// Close gives the slot back.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
