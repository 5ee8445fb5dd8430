package stomp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"

	"treadmq/broker/stomp/frame"
)

// sniffBytes are enough to tell TLS, HTTP and STOMP apart.
const sniffBytes = 4

// sniff finds out what the client speaks and takes up TLS and WebSocket if that is it. It reports false when there is
// nothing to talk about; the socket is closed then.
func (s *session) sniff() bool {
	s.armRead()
	first := make([]byte, sniffBytes)
	n, err := io.ReadAtLeast(s.nc, first, 1)
	if errors.Is(err, os.ErrDeadlineExceeded) && (s.tls || !s.listener.TLSRequired) {
		return true // the reader runs into it too, and the client is told
	}
	if err != nil {
		return s.giveUp("no data before the connection ended", err)
	}
	if first[0] == 'G' { // GET or garbage: the rest decides
		m, _ := io.ReadFull(s.nc, first[n:])
		n += m
	}
	s.pre = first[:n]
	switch protocol := frame.Sniff(s.pre); {
	case protocol == frame.ProtocolTLS && !s.tls:
		return s.startTLS() && s.sniff()
	case protocol == frame.ProtocolHTTP && (!s.listener.WebSocket || s.listener.TLSRequired && !s.tls):
		return s.refuseHTTP()
	case protocol == frame.ProtocolHTTP:
		return s.upgrade()
	case s.listener.TLSRequired && !s.tls:
		s.log().Warn("connection without TLS refused: the listener requires TLS")
		refuseConn(s.raw, protocolFault(codeTLS, "TLS required", "this port takes connections with TLS only"))
		return false
	}
	return true
}

func (s *session) giveUp(why string, err error) bool {
	s.debug(why, "err", err)
	s.hangUp(false)
	return false
}

// handshakeFailure is a TLS alert of level fatal, so that a client is told at once that there is no TLS here.
var handshakeFailure = []byte{0x15, 3, 3, 0, 2, 2, 40}

func (s *session) startTLS() bool {
	conf := s.srv.opts.TLS
	if conf == nil {
		s.log().Warn("TLS connection refused: no certificate is configured, the listener speaks plain STOMP")
		s.armWrite()
		_, _ = s.raw.Write(handshakeFailure) // a courtesy
		s.hangUp(true)
		return false
	}
	tc := tls.Server(&prefixed{Conn: s.raw, pre: s.pre}, conf)
	ctx, cancel := context.WithDeadline(context.Background(), s.deadline)
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		s.log().Warn("TLS handshake failed", "err", err)
		s.hangUp(true)
		return false
	}
	s.nc, s.pre, s.tls = tc, nil, true
	s.certUser = certUser(tc.ConnectionState(), &s.srv.opts)
	return true
}

// certUser is the user that a verified client certificate names, or "".
func certUser(state tls.ConnectionState, o *Options) string {
	if len(state.VerifiedChains) == 0 {
		return ""
	}
	subject := state.PeerCertificates[0].Subject
	switch {
	case o.CertUser == "cn":
		return subject.CommonName
	case o.CertUser == "dn" && o.CertUsers != nil:
		return o.CertUsers(subject.String())
	case o.CertUser == "dn":
		return subject.String()
	case o.CertUser == "san":
		return altName(state.PeerCertificates[0])
	}
	return ""
}

// altName is the first name among the certificate's alternative names: of a host, else of mail, else a URI.
func altName(c *x509.Certificate) string {
	switch {
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case len(c.EmailAddresses) > 0:
		return c.EmailAddresses[0]
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	}
	return ""
}

const httpRefusal = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 46\r\nConnection: close\r\n\r\n" +
	"This port speaks STOMP, not HTTP or WebSocket\n"

func (s *session) refuseHTTP() bool {
	s.log().Warn("HTTP request refused: the listener speaks STOMP, and WebSocket is not offered")
	s.armWrite()
	_, _ = s.nc.Write([]byte(httpRefusal)) // a courtesy
	s.hangUp(true)
	return false
}

// prefixed is a socket of which something has been read already.
type prefixed struct {
	net.Conn
	pre []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.pre) > 0 {
		n := copy(b, p.pre)
		p.pre = p.pre[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// CloseWrite lets tls.Conn.NetConn be shut in one direction.
func (p *prefixed) CloseWrite() error {
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}
