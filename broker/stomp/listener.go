package stomp

import (
	"errors"
	"net"
	"time"

	"treadmq/broker"
)

// Bounds of the pause after a failed accept, such as one for want of file descriptors.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Serve accepts connections from l until it is closed or fails, and closes it. It returns ErrStopped after Stop,
// Shutdown or Close.
func (srv *Server) Serve(l net.Listener, o ListenerOptions) error {
	if o.Name == "" {
		o.Name = l.Addr().String()
	}
	if !srv.register(l, o) {
		return errors.Join(ErrStopped, l.Close())
	}
	defer srv.unregister(l)
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = 0
			if now, ok := srv.listening(l); ok {
				o = now
			}
			srv.accept(nc, o)
			continue
		}
		if _, ok := srv.listening(l); !ok {
			return ErrStopped
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
		srv.log.Error("accept failed; trying again", "listener", o.Name, "err", err, "pause", pause)
		time.Sleep(pause)
	}
}

func (srv *Server) register(l net.Listener, o ListenerOptions) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.closed {
		return false
	}
	srv.listeners[l] = o
	srv.accepting++
	return true
}

func (srv *Server) unregister(l net.Listener) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	_ = l.Close() // mostly it is closed already
	delete(srv.listeners, l)
	srv.accepting--
	srv.gone.Broadcast()
}

// listening returns what holds for l at present, if it is open.
func (srv *Server) listening(l net.Listener) (ListenerOptions, bool) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	o, ok := srv.listeners[l]
	return o, ok
}

// SetListener changes what holds for a listener that is being served, for connections from now on.
func (srv *Server) SetListener(l net.Listener, o ListenerOptions) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if _, ok := srv.listeners[l]; ok {
		srv.listeners[l] = o
	}
}

// accept starts a session, or refuses the connection.
func (srv *Server) accept(nc net.Conn, o ListenerOptions) {
	if tc, ok := nc.(*net.TCPConn); ok {
		// Failing options leave a connection that works all the same.
		_ = tc.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: tcpKeepAlive, Interval: tcpKeepAlive, Count: 3})
		_ = tc.SetNoDelay(true)
	}
	s := newSession(srv, o, nc)
	if full := srv.admit(s); full != nil {
		srv.reject(s, full)
		return
	}
	srv.stats.Accepted.Add(1)
	go func() {
		defer srv.dismiss(s)
		s.serve()
	}()
}

// admit puts s on the list, or says which limit is in the way.
func (srv *Server) admit(s *session) *fault {
	addr := s.remote.Addr()
	perAddr := srv.opts.MaxConnectionsPerAddress
	srv.mu.Lock()
	defer srv.mu.Unlock()
	switch {
	case srv.closed || len(srv.listeners) == 0:
		return protocolFault(broker.CodeClosing, "shutting down", "the broker is shutting down; connect again later")
	case len(srv.sessions) >= srv.opts.MaxConnections:
		return protocolFault(broker.CodeLimit, "too many connections", "the broker has %d connections, the most allowed; try again later", len(srv.sessions))
	case perAddr > 0 && srv.byAddr[addr] >= perAddr && !s.listener.ProxyProtocol: // the proxy's own address does not count
		return protocolFault(broker.CodeLimit, "too many connections", "%v has %d connections, the most allowed for one address", addr, perAddr)
	}
	if most := s.listener.MaxConnections; most > 0 && srv.byPort[s.listener.Name] >= most {
		return protocolFault(broker.CodeLimit, "too many connections", "the listener %s has %d connections, the most allowed; try again later", s.listener.Name, most)
	}
	srv.sessions[s] = struct{}{}
	srv.byAddr[addr]++
	srv.byPort[s.listener.Name]++
	return nil
}

// admitUser counts a connection for the user who logged in, or says that there are too many.
func (srv *Server) admitUser(s *session, user string) *fault {
	if user == "" {
		return nil
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if most := srv.opts.MaxConnectionsPerUser; most > 0 && srv.byUser[user] >= most {
		return protocolFault(broker.CodeLimit, "too many connections", "the user %s has %d connections, the most allowed; close one first", user, most)
	}
	srv.byUser[user]++
	s.counted = user
	return nil
}

// dismiss takes an ended session off the list.
func (srv *Server) dismiss(s *session) {
	addr := s.remote.Addr()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.sessions, s)
	srv.uncount(addr)
	uncountName(srv.byPort, s.listener.Name)
	if s.counted != "" {
		uncountName(srv.byUser, s.counted)
	}
	srv.gone.Broadcast()
}

// reject tells a client why it is not let in, as long as few others are being told the same; in a flood the socket is
// just closed.
func (srv *Server) reject(s *session, why *fault) {
	if srv.stats.Rejected.Add(1)%100 == 1 { // a flood of connections is not to become a flood of lines
		s.log().Warn("connection refused", "code", why.code, "err", why.Error(), "refused", srv.stats.Rejected.Load())
	}
	select {
	case srv.refusal <- struct{}{}:
	default:
		s.hangUp(false)
		return
	}
	srv.mu.Lock()
	srv.accepting++
	srv.mu.Unlock()
	go func() {
		refuseConn(s.raw, why)
		<-srv.refusal
		srv.mu.Lock()
		defer srv.mu.Unlock()
		srv.accepting--
		srv.gone.Broadcast()
	}()
}
