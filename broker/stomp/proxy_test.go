package stomp

import (
	"bytes"
	"crypto/tls"
	"io"
	"strings"
	"testing"
)

const (
	proxyV2TCP4  = proxySignature + "\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\xc3\x50\xf0\xad"
	proxyV2Local = proxySignature + "\x20\x00\x00\x00"
)

// The client's address is what the proxy says; then everything goes on as ever: STOMP, TLS, WebSocket.
func TestProxyProtocol(t *testing.T) {
	v6 := proxySignature + "\x21\x21\x00\x27\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x09" + strings.Repeat("\x00", 16) + "\xc3\x50\xf0\xad" + "\x04\x00\x00" // with a TLV
	for header, want := range map[string]string{
		"PROXY TCP4 192.0.2.7 127.0.0.1 50000 61613\r\n": "192.0.2.7:50000",
		"PROXY TCP6 2001:db8::9 ::1 50000 61613\r\n":     "[2001:db8::9]:50000",
		"PROXY UNKNOWN\r\n":                              "127.0.0.1:",
		"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n":  "127.0.0.1:",
		proxyV2TCP4:                            "192.0.2.7:50000",
		v6:                                     "[2001:db8::9]:50000",
		proxyV2Local:                           "127.0.0.1:",
		proxySignature + "\x21\x31\x00\x03abc": "127.0.0.1:", // a local socket
	} {
		r := newRig(t, func(r *rig) { r.listener.ProxyProtocol = true })
		c := r.dial()
		c.send(header + connect12)
		c.expect("CONNECTED")
		if got := r.b.Connections()[0].ConnOptions.Remote; !strings.HasPrefix(got, want) {
			t.Errorf("%q: the client is %s, not %s", header, got, want)
		}
	}
}

func TestProxyProtocol_TLS(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, a.server(nil), func(r *rig) { r.listener.ProxyProtocol = true })
	c := r.dial()
	c.send(proxyV2TCP4)
	tc := newClient(t, tls.Client(c.nc, &tls.Config{RootCAs: a.pool, ServerName: "127.0.0.1"}))
	tc.send(connect12)
	tc.expect("CONNECTED")
}

// Without a header that can be read there is no session, and nothing is said that a client could take for an answer.
func TestProxyProtocol_Refused(t *testing.T) {
	r := newRig(t, func(r *rig) { r.listener.ProxyProtocol = true })
	for _, start := range []string{
		connect12, "PROXY TCP4 192.0.2.7 127.0.0.1 50000\r\n", "PROXY TCP4 2001:db8::9 ::1 1 2\r\n", "PROXY TCP4 192.0.2.7 127.0.0.1 99999 1\r\n",
		"PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n", "PROXY TCP4 192.0.2.7 127.0.0.1 50000 61613\n", proxySignature + "\x31\x11\x00\x00",
		proxySignature + "\x21\x11\x00\x04abcd", proxySignature + "\x21\x11\xff\xff", "PROXY TCP5 a b c d\r\n",
	} {
		c := r.dial()
		c.send(start)
		_ = c.nc.(interface{ CloseWrite() error }).CloseWrite()
		if said, _ := io.ReadAll(c.nc); len(said) > 0 { // closed or reset
			t.Errorf("%q is answered with %q", start, said)
		}
	}
	until(t, "all are gone", func() bool { return r.srv.Connections() == 0 })
}

// Connections are counted for the client's address, not for the proxy's.
func TestProxyProtocol_LimitPerAddress(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.MaxConnectionsPerAddress = 1 }), func(r *rig) { r.listener.ProxyProtocol = true })
	first := r.dial()
	first.send(proxyV2TCP4 + connect12)
	first.expect("CONNECTED")
	other := r.dial()
	other.send("PROXY TCP4 192.0.2.8 127.0.0.1 1 2\r\n" + connect12)
	other.expect("CONNECTED")
	second := r.dial()
	second.send(proxyV2TCP4 + connect12)
	second.expectError("limit")
	first.bye()
	until(t, "it is gone", func() bool { return r.srv.Connections() == 1 })
	again := r.dial()
	again.send(proxyV2TCP4 + connect12)
	again.expect("CONNECTED")
}

func FuzzProxyHeader(f *testing.F) {
	for _, s := range []string{"PROXY TCP4 192.0.2.7 127.0.0.1 50000 61613\r\nrest", "PROXY UNKNOWN\r\n", proxyV2TCP4 + "rest", proxyV2Local} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		addr, err := readProxyHeader(r)
		if read := len(data) - r.Len(); err == nil && (read < len(proxySignature) || read > len(proxySignature)+4+maxProxyHeader) {
			t.Fatalf("%v after %d bytes", addr, read)
		}
	})
}
