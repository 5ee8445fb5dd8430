package stomp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"treadmq/broker"
)

// The PROXY protocol, versions 1 and 2, as HAProxy describes it: what a proxy says of its client before the client's own
// bytes. https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt

const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n" // of version 2
	maxProxyLine   = 107                      // bytes of a header of version 1
	maxProxyHeader = 4096                     // bytes of one of version 2 behind its length
)

var errNoProxy = errors.New("it does not begin with a header of the PROXY protocol")

// proxied reads the proxy's header and takes the client's address from it. It reports false when the session cannot go on;
// the socket is closed then.
func (s *session) proxied() bool {
	s.armRead()
	client, err := readProxyHeader(s.raw)
	if err != nil {
		s.log().Warn("connection refused: this listener is for proxies that say who their client is (proxyProtocol)", "err", err)
		s.hangUp(false)
		return false
	}
	if !client.IsValid() {
		return true // the proxy's own connection, or nothing that has an address
	}
	if full := s.srv.rehome(s, client); full != nil {
		s.log().Warn("connection refused", "client", client.String(), "code", full.code, "err", full.Error())
		refuseConn(s.raw, full)
		return false
	}
	return true
}

// rehome counts a session for another address than the socket's.
func (srv *Server) rehome(s *session, client netip.AddrPort) *fault {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	perAddr := srv.opts.MaxConnectionsPerAddress
	if perAddr > 0 && srv.byAddr[client.Addr()] >= perAddr {
		return protocolFault(broker.CodeLimit, "too many connections", "%v has %d connections, the most allowed for one address", client.Addr(), perAddr)
	}
	srv.uncount(s.remote.Addr())
	s.remote = client
	srv.byAddr[client.Addr()]++
	return nil
}

// uncount takes a connection off its address. mu is held.
func (srv *Server) uncount(addr netip.Addr) {
	if srv.byAddr[addr]--; srv.byAddr[addr] == 0 {
		delete(srv.byAddr, addr)
	}
}

// uncountName takes a connection off what it counts for.
func uncountName(counts map[string]int, name string) {
	if counts[name]--; counts[name] == 0 {
		delete(counts, name)
	}
}

// readProxyHeader reads one header and not a byte more. An address that is not valid means that there is none to know.
func readProxyHeader(r io.Reader) (netip.AddrPort, error) {
	start := make([]byte, len(proxySignature)) // a header of version 1 is longer
	if _, err := io.ReadFull(r, start); err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", errNoProxy, err)
	}
	switch {
	case string(start) == proxySignature:
		return readProxyV2(r)
	case strings.HasPrefix(string(start), "PROXY "):
		return readProxyV1(r, start)
	}
	return netip.AddrPort{}, errNoProxy
}

// readProxyV1 reads the rest of a line like PROXY TCP4 192.0.2.1 192.0.2.2 50000 61613.
func readProxyV1(r io.Reader, line []byte) (netip.AddrPort, error) {
	var b [1]byte
	for b[0] != '\n' {
		if len(line) == maxProxyLine {
			return netip.AddrPort{}, fmt.Errorf("the line of the PROXY protocol has more than %d bytes", maxProxyLine)
		}
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return netip.AddrPort{}, err
		}
		line = append(line, b[0])
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	f := strings.Split(text, " ")
	switch {
	case ok && f[1] == "UNKNOWN":
		return netip.AddrPort{}, nil
	case ok && len(f) == 6 && (f[1] == "TCP4" || f[1] == "TCP6"):
		addr, err1 := netip.ParseAddr(f[2])
		client, err2 := netip.ParseAddrPort("0.0.0.0:" + f[4])
		if err1 == nil && err2 == nil && addr.Is4() == (f[1] == "TCP4") && addr.Zone() == "" {
			return netip.AddrPortFrom(addr.Unmap(), client.Port()), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("%q is no line of the PROXY protocol", line)
}

// readProxyV2 reads what comes behind the signature.
func readProxyV2(r io.Reader) (netip.AddrPort, error) {
	var head [4]byte // version and command, family and protocol, length
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return netip.AddrPort{}, err
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	if head[0]>>4 != 2 || head[0]&15 > 1 || n > maxProxyHeader {
		return netip.AddrPort{}, fmt.Errorf("the header of the PROXY protocol has version and command %#x and %d bytes", head[0], n)
	}
	rest := make([]byte, n)
	if _, err := io.ReadFull(r, rest); err != nil {
		return netip.AddrPort{}, err
	}
	size := map[byte]int{0x11: 4, 0x21: 16}[head[1]] // TCP over IPv4, IPv6
	if head[0]&15 == 0 || size == 0 {
		return netip.AddrPort{}, nil
	}
	if n < 2*size+4 {
		return netip.AddrPort{}, fmt.Errorf("the header of the PROXY protocol has %d bytes, too few for its addresses", n)
	}
	addr, _ := netip.AddrFromSlice(rest[:size])
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(rest[2*size:])), nil
}
