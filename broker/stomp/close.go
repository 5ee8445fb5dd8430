package stomp

import (
	"crypto/tls"
	"io"
	"net"
	"time"

	"treadmq/broker/stomp/frame"
)

// end carries out what was received, tells the client how the session ended, and closes the socket in order.
func (s *session) end(why *ending) {
	s.srv.beats.remove(s)
	expired := false // guarded by out.mu
	timer := time.AfterFunc(settleTimeout, func() {
		s.out.mu.Lock()
		defer s.out.mu.Unlock()
		expired = true
		s.out.cond.Broadcast()
	})
	defer timer.Stop()
	s.submit()
	if failed := s.out.finish(why.bye, &expired); failed != nil && !why.quiet {
		why = failed
	}
	if s.conn != nil {
		s.conn.Close()
	}
	s.logEnd(why)
	clean := s.out.last(s.lastFrame(why), &expired)
	s.hangUp(clean && !why.quiet)
	s.out.rest()
}

// lastFrame is what the client is told at the end.
func (s *session) lastFrame(why *ending) []byte {
	switch {
	case why.fault != nil:
		return appendError(nil, s.version, why.fault, why.receipt, false)
	case why.bye && why.receipt != nil:
		return appendReceiptLine(nil, why.receipt)
	}
	return nil
}

func (s *session) logEnd(why *ending) {
	switch {
	case why.fault != nil && why.fault.logged:
		s.srv.stats.Errors.Add(1)
	case why.fault != nil:
		s.srv.stats.Errors.Add(1)
		s.log().Warn("error sent, connection closed", "code", why.fault.code, "err", why.fault.Error())
	case s.out.brokenBy() != nil:
		s.log().Info("connection lost while writing", "err", s.out.brokenBy())
	default:
		s.debug("disconnected", "orderly", why.bye, "err", why.err)
	}
}

// hangUp closes the socket. If the client is to see our last frame, our side is shut first, and what is still on its
// way to us is read and dropped, since a reset would take that frame from it. STOMP 1.2, Connection Lingering.
func (s *session) hangUp(linger bool) {
	if linger {
		shutWrite(s.nc)
		_ = s.raw.SetReadDeadline(time.Now().Add(drainTime))
		drain(s.raw)
	}
	_ = s.raw.Close() // nothing can be done about an error
	if s.ws != nil {
		_ = s.ws.ws.CloseNow() // the library lets go of it
	}
}

// shutWrite says that nothing more will come.
func shutWrite(nc net.Conn) {
	if t, ok := nc.(*tls.Conn); ok {
		_ = t.CloseWrite() // fails if the handshake did not finish; the socket's end says the same
		nc = t.NetConn()
	}
	if c, ok := nc.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // fails if the client is gone, which the next read tells
	}
}

// drain reads and drops until the client closes, the deadline passes or it has sent too much.
func drain(r io.Reader) {
	buf := make([]byte, 4<<10)
	for left := drainBytes; left > 0; {
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		left -= n
	}
}

// refuseConn tells a client that its connection is not wanted, and closes it.
func refuseConn(nc net.Conn, f *fault) {
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(drainTime))
	if _, err := nc.Write(appendError(nil, frame.V10, f, nil, false)); err != nil {
		return
	}
	shutWrite(nc)
	drain(nc)
}
