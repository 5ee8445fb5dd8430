//go:build cluster

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"treadmq/scripts/internal/group"
)

// authority signs certificates of members.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.pem, _, a.key = a.make(template, template, nil)
	block, _ := pem.Decode(a.pem)
	var err error
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	return a
}

// make signs a certificate with a new key; by nil it signs itself.
func (a *authority) make(template, parent *x509.Certificate, by *ecdsa.PrivateKey) (cert, key []byte, private *ecdsa.PrivateKey) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if by == nil {
		by = private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	b, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: b}), private
}

// files writes a member's certificate and key into a folder, and the authorities that it is to trust, and returns the settings.
func (a *authority) files(dir string, trust ...*authority) []string {
	a.t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "member"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	cert, key, _ := a.make(template, a.cert, a.key)
	var trusted []byte
	for _, o := range trust {
		trusted = append(trusted, o.pem...)
	}
	var set []string
	for name, text := range map[string][]byte{"cert": cert, "key": key, "ca": trusted} {
		path := filepath.Join(dir, name+".pem")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			a.t.Fatal(err)
		}
		set = append(set, "persistence.replicatedLevelDB.tls."+name+"="+path)
	}
	return set
}

// Members with certificates of an authority of their own: others are refused in words, and the certificates, and
// the authority itself, are replaced by reloads while the group goes on.
func TestCertificatesOfMembers(t *testing.T) {
	dir, foreign := t.TempDir(), t.TempDir()
	old, next, other := newAuthority(t, "old"), newAuthority(t, "next"), newAuthority(t, "other")
	r := newRig(t, old.files(dir, old)...)
	master := r.master()
	for _, m := range r.others(master) {
		r.await(m, "follower")
	}
	r.run("send", "sealed", "-b", "one").want(t, 0)

	r.refusesPlain(master)
	opt := r.opt
	opt.Set = other.files(foreign, old)
	stranger, err := r.Add(opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*group.Member{master, stranger} {
		eventually(t, m.Name+" says why a foreign certificate is refused", func() bool {
			return strings.Contains(m.Said(), "certificate") && strings.Contains(m.Said(), "authority")
		})
	}
	if s := r.status(master); s.role(stranger.Name) == "follower" {
		t.Errorf("a member with a foreign certificate follows: %+v", s)
	}
	stranger.Stop()
	r.Members = r.Members[:3]

	// First all trust both, then they show the new one's certificates, then they trust it alone.
	for _, change := range []func() []string{
		func() []string { return old.files(dir, old, next) },
		func() []string { return next.files(dir, old, next) },
		func() []string { return next.files(dir, next) },
	} {
		change()
		for _, m := range r.Members {
			r.run("reload", "--config", filepath.Join(m.Dir, "treadmq.toml")).want(t, 0)
		}
	}
	master.Kill()
	if second := r.master(); second == master {
		t.Fatal("a killed broker is master")
	}
	r.start(master)
	r.await(master, "follower")
	if o := r.run("recv", "sealed", "-n", "1", "-o", "raw").want(t, 0); strings.TrimSpace(o.stdout) != "one" {
		t.Errorf("received %q", o.stdout)
	}
}

// refusesPlain sees that a member takes nothing on its replication port that is not TLS, and says so.
func (r *rig) refusesPlain(m *group.Member) {
	r.t.Helper()
	c, err := net.Dial("tcp", m.Replication)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("\x00\x10in plain, please")); err != nil {
		r.t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	buf := make([]byte, 1024)
	for err == nil {
		_, err = c.Read(buf)
	}
	eventually(r.t, "an alarm about a connection without TLS", func() bool {
		return strings.Contains(strings.Join(r.status(m).Alarms, "\n"), "TLS")
	})
}
