package ha

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"treadmq/ha/replica/wire"
)

// selfSigned is a certificate for 127.0.0.1, for servers and clients, and the pool that trusts it.
func selfSigned(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestTLS: members talk over TLS with certificates on both sides, and whoever has none is refused.
func TestTLS(t *testing.T) {
	cert, pool := selfSigned(t)
	g := newGroup(t, 3, memory(), func(o *Options) {
		o.TLSServer = &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
		o.TLSClient = func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool} }
	})
	m := g.master()
	tr := g.traffic(2)
	tr.more()
	m.die()
	g.master(m)
	tr.more()
	m.start()
	tr.check()

	m = g.master()
	for name, dial := range map[string]func() (net.Conn, error){
		"plain": func() (net.Conn, error) { return join(t, m, DefaultGroup, "secret", wire.Link) },
		"without a certificate": func() (net.Conn, error) {
			c := tls.Client(dialPort(t, m), &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
			h := wire.Dial([]byte("secret"), DefaultGroup, wire.Link, [wire.NonceSize]byte{1})
			return c, converse(c, h, h.Start())
		},
	} {
		if c, err := dial(); err == nil {
			t.Errorf("%s: it was let in", name)
		} else {
			c.Close()
		}
		eventually(t, name+": the refusal is an alarm", func() bool { return strings.Contains(m.node.port.refusal(time.Hour), "TLS") })
	}
}
