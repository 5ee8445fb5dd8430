package stomp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.key = newKey(t)
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) issue(name string) tls.Certificate {
	key := newKey(a.t)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"Test"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{name + ".example.com"},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) server(change func(*tls.Config)) func(*rig) {
	c := &tls.Config{Certificates: []tls.Certificate{a.issue("server")}, ClientCAs: a.pool}
	if change != nil {
		change(c)
	}
	return withOptions(func(o *Options) { o.TLS = c })
}

const connect12 = "CONNECT\naccept-version:1.2\nhost:test\n\n\x00"

func TestTLSAndPlainOnOnePort(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, a.server(nil))
	secure, plain := r.dialTLS(&tls.Config{RootCAs: a.pool}), r.dial()
	for _, c := range []*client{secure, plain} {
		c.send(connect12)
		c.expect("CONNECTED")
	}
	big := strings.Repeat("0123456789abcdef", 3*largeBody/16)
	secure.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nreceipt:s\n\n\x00")
	secure.expectReceipt("s")
	plain.send("SEND\ndestination:/queue/a\n\n" + big + "\x00")
	if g := secure.expect("MESSAGE"); g.body != big {
		t.Fatal("body differs")
	}
	secure.send("DISCONNECT\nreceipt:bye\n\n\x00")
	secure.expectReceipt("bye")
	secure.expectEnd()
	if infos := r.b.Connections(); len(infos) != 1 {
		t.Fatalf("connections: %+v", infos)
	}
}

func TestTLSHandshakeErrorThenERROR(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, a.server(func(c *tls.Config) { c.ClientAuth = tls.RequireAndVerifyClientCert }))
	nc, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: a.pool})
	if err == nil { // TLS 1.3: the refusal comes with the first read
		c := newClient(t, nc)
		_, err = c.read()
	}
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("want an alert about the certificate, got %v", err)
	}
	until(t, "log line", func() bool { return strings.Contains(r.log.String(), "TLS handshake failed") })
}

func TestClientCertificateNamesUser(t *testing.T) {
	a := newAuthority(t)
	for _, test := range []struct {
		name, certUser, headers, want string
		auth                          tls.ClientAuthType
		cert                          bool
	}{
		{"cn", "cn", "", "carol", tls.RequireAndVerifyClientCert, true},
		{"san", "san", "", "carol.example.com", tls.RequireAndVerifyClientCert, true},
		{"dn", "dn", "", "CN=carol,O=Test", tls.VerifyClientCertIfGiven, true},
		{"login wins", "cn", "login:alice\npasscode:se:cret\n", "alice", tls.VerifyClientCertIfGiven, true},
		{"want but none", "cn", "login:alice\npasscode:se:cret\n", "alice", tls.VerifyClientCertIfGiven, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, a.server(func(c *tls.Config) { c.ClientAuth = test.auth }), withOptions(func(o *Options) {
				o.Anonymous, o.Auth, o.CertUser = false, testUsers{}, test.certUser
			}))
			conf := &tls.Config{RootCAs: a.pool}
			if test.cert {
				conf.Certificates = []tls.Certificate{a.issue("carol")}
			}
			c := r.dialTLS(conf)
			c.send("CONNECT\naccept-version:1.2\n" + test.headers + "\n\x00")
			c.expect("CONNECTED")
			infos := r.b.Connections()
			if len(infos) != 1 || infos[0].ConnOptions.User != test.want || !infos[0].ConnOptions.TLS {
				t.Fatalf("connections: %+v", infos)
			}
		})
	}
}

// With certOnly it is the certificate that says who the client is, and nothing else.
func TestCertificateOnly(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, a.server(func(c *tls.Config) { c.ClientAuth = tls.VerifyClientCertIfGiven }), withOptions(func(o *Options) {
		o.Auth, o.CertUser, o.CertOnly = testUsers{}, "cn", true // and anonymous clients are let in otherwise
	}))
	const alice = "CONNECT\naccept-version:1.2\nlogin:alice\npasscode:se:cret\n\n\x00"
	c := r.dialTLS(&tls.Config{RootCAs: a.pool, Certificates: []tls.Certificate{a.issue("carol")}})
	c.send(alice)
	c.expect("CONNECTED")
	if infos := r.b.Connections(); len(infos) != 1 || infos[0].ConnOptions.User != "carol" {
		t.Fatalf("connections: %+v", infos)
	}
	for _, connect := range []string{alice, connect12} {
		c := r.dialTLS(&tls.Config{RootCAs: a.pool})
		c.send(connect)
		c.expectError("login")
		c = r.dial()
		c.send(connect)
		c.expectError("login")
	}
}

func TestCertificateReload(t *testing.T) {
	a := newAuthority(t)
	var current atomic.Pointer[tls.Config]
	set := func(name string) {
		current.Store(&tls.Config{Certificates: []tls.Certificate{a.issue(name)}})
	}
	set("first")
	r := newRig(t, withOptions(func(o *Options) {
		o.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return current.Load(), nil }}
	}))
	for _, name := range []string{"first", "second"} {
		set(name)
		c := r.dialTLS(&tls.Config{RootCAs: a.pool})
		c.send(connect12)
		c.expect("CONNECTED")
		if got := c.nc.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName; got != name {
			t.Fatalf("certificate of %s, want %s", got, name)
		}
	}
}

func TestTLSRequired(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, a.server(nil))
	r.listen(ListenerOptions{Name: "secure", TLSRequired: true})
	c := r.dial()
	c.send(connect12)
	c.expectError("tls-required")
	secure := r.dialTLS(&tls.Config{RootCAs: a.pool})
	secure.send(connect12)
	secure.expect("CONNECTED")
}

func TestTLSOnPlainPort(t *testing.T) {
	r := newRig(t)
	_, err := tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true})
	if err == nil || !strings.Contains(err.Error(), "handshake failure") {
		t.Fatalf("want an alert, got %v", err)
	}
	until(t, "log line", func() bool { return strings.Contains(r.log.String(), "no certificate is configured") })
}

func TestHTTPOnSTOMPPort(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	all, err := io.ReadAll(c.r)
	if err != nil || string(all) != httpRefusal {
		t.Fatalf("got %q, %v", all, err)
	}
	if i := strings.Index(httpRefusal, "\r\n\r\n"); !strings.Contains(httpRefusal, "Content-Length: 46") || len(httpRefusal)-i-4 != 46 {
		t.Fatalf("content length is %d", len(httpRefusal)-i-4)
	}
}
