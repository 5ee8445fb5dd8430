//go:build !windows

package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stompLine is a raw STOMP client.
type stompLine struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

func newStompLine(t *testing.T, c net.Conn, headers string) *stompLine {
	t.Helper()
	l := &stompLine{t, c, bufio.NewReader(c)}
	l.send("CONNECT\naccept-version:1.2\nhost:x\n" + headers + "\n\x00")
	return l
}

func (p *serverProcess) line(user string) *stompLine {
	p.t.Helper()
	l := newStompLine(p.t, dialLine(p.t, p.state.Stomp[0]), "login:"+user+"\npasscode:pw\n")
	l.expect("CONNECTED")
	return l
}

func (l *stompLine) send(frame string) {
	l.t.Helper()
	if _, err := fmt.Fprint(l.c, frame); err != nil {
		l.t.Fatal(err)
	}
}

// expect reads the next frame, which must have these parts.
func (l *stompLine) expect(parts ...string) string {
	l.t.Helper()
	frame, err := l.r.ReadString(0)
	if err != nil {
		l.t.Fatalf("waiting for %v: %v", parts, err)
	}
	for _, part := range parts {
		if !strings.Contains(frame, part) {
			l.t.Fatalf("no %q in %q", part, frame)
		}
	}
	return frame
}

func writeIn(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const sendOrder = "SEND\ndestination:/queue/orders.new\nreceipt:1\n\nx\x00"

// Who may do what comes from the configuration and the realm file, and from changes of
// both while the broker runs.
func TestAuthorizationOfTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	entries := "[[authorization]]\nqueue = \"orders.>\"\nwrite = [\"shops\"]\nread = [\"stocks\"]\nadmin = [\"shops\"]\n" +
		"[[authorization]]\nqueue = \"${user}.>\"\nread = [\"*\"]\nwrite = [\"*\"]\nadmin = [\"*\"]\n"
	writeIn(t, dir, "treadmq.toml", entries)
	users := "shop: pw, shops\nstock: pw, stocks\ngone: pw\n"
	writeIn(t, dir, "realm", users)
	p := serve(t, dir, nil, "--config", "treadmq.toml", "--realm", "realm")

	p.line("shop").send("") // a connection without anything else stays
	shop := p.line("shop")
	shop.send(sendOrder)
	shop.expect("RECEIPT")
	stock := p.line("stock")
	stock.send("SUBSCRIBE\nid:1\ndestination:/queue/orders.>\n\n\x00")
	stock.expect("MESSAGE", "/queue/orders.new")
	thief := p.line("stock")
	thief.send(sendOrder)
	thief.expect("ERROR", "x-code:not-authorized", "receipt-id:1", "the user stock may not send to the queue orders.new")
	own := p.line("stock")
	own.send("SEND\ndestination:/queue/stock.notes\nreceipt:1\n\nx\x00")
	own.expect("RECEIPT")
	own.send("SEND\ndestination:/queue/shop.notes\n\nx\x00")
	own.expect("ERROR", "shop.notes")

	// A role less in the realm file: the subscription is gone.
	gone := p.line("gone")
	writeIn(t, dir, "realm", strings.Replace(users, "pw, stocks", "pw", 1)+"# longer\n")
	stock.expect("ERROR", "x-code:not-authorized", "read from the queue orders.")
	// A user less: the connection is gone.
	writeIn(t, dir, "realm", "shop: pw, shops\nstock: pw, stocks\n")
	gone.expect("ERROR", "not in the file of users any more")

	// Other entries: at once, after a reload. A file that is not usable changes nothing.
	writeIn(t, dir, "treadmq.toml", "[[authorization]]\nqueue = \"orders.>\"\n")
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.saysEventually("needs read, write or admin")
	shop.send(sendOrder)
	shop.expect("RECEIPT")
	writeIn(t, dir, "treadmq.toml", strings.Replace(entries, "write = [\"shops\"]", "write = []", 1))
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.saysEventually(`"msg":"reloaded"`)
	shop.send(sendOrder)
	shop.expect("ERROR", "x-code:not-authorized")
	// No entries: everybody may do everything.
	writeIn(t, dir, "treadmq.toml", "")
	p.cmd.Process.Signal(syscall.SIGHUP)
	eventually(t, "a send without rules", func() bool {
		l := p.line("stock")
		l.send("SEND\ndestination:/queue/anything\nreceipt:1\n\nx\x00")
		frame, err := l.r.ReadString(0)
		return err == nil && strings.Contains(frame, "RECEIPT")
	})
}

// Semantics 2.7, row Auth: the two files of ActiveMQ's PropertiesLoginModule, as they are, and changes of the groups.
func TestGroupsOfActiveMQ(t *testing.T) {
	dir := t.TempDir()
	writeIn(t, dir, "treadmq.toml", "realm = \"users.properties\"\ngroups = \"groups.properties\"\n"+
		"[[authorization]]\nqueue = \"orders.>\"\nwrite = [\"shops\", \"testers\"]\nadmin = [\"shops\"]\n")
	writeIn(t, dir, "users.properties", "# users\nshop=pw\nstock=pw\n")
	writeIn(t, dir, "groups.properties", "shops=shop,somebody\nstocks = stock\n")
	p := serve(t, dir, nil, "--config", "treadmq.toml")

	shop := p.line("shop")
	shop.send(sendOrder)
	shop.expect("RECEIPT")
	stock := p.line("stock")
	stock.send(sendOrder)
	stock.expect("ERROR", "x-code:not-authorized")

	writeIn(t, dir, "groups.properties", "stocks = stock, shop\ntesters=stock\n") // followed as the realm file is
	eventually(t, "the new groups count", func() bool {
		l := p.line("stock")
		l.send(sendOrder)
		frame, err := l.r.ReadString(0)
		return err == nil && strings.Contains(frame, "RECEIPT")
	})
	shop.send(sendOrder)
	shop.expect("ERROR", "x-code:not-authorized")
	if o := (call{args: []string{"doctor", "--config", "treadmq.toml"}, dir: dir}).run(t); !strings.Contains(o.stdout, "2 users can log in") {
		t.Errorf("%s%s", o.stdout, o.stderr)
	}
}

// issue signs a client certificate by an authority of its own, which is written to ca.pem.
func issue(t *testing.T, dir string, subject pkix.Name) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	writeIn(t, dir, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	own := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: subject, NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if der, err = x509.CreateCertificate(rand.Reader, own, ca, &key.PublicKey, key); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A client certificate names a user, whose roles are those of the realm file.
func TestCertificateUsersHaveRoles(t *testing.T) {
	subject := pkix.Name{CommonName: "shop", OrganizationalUnit: []string{"web"}, Organization: []string{"Acme"}}
	for _, c := range []struct{ certUser, more, realm, user string }{
		{"cn", "", "shop: unused-password, shops\n", "shop"},
		{"dn", "", `CN\=shop,OU\=web,O\=Acme: unused-password, shops` + "\n", "CN=shop,OU=web,O=Acme"},
		{"dn", "certUsers = \"names\"\n", "webshop: unused-password, shops\n", "webshop"},
	} {
		t.Run(c.certUser+c.more, func(t *testing.T) {
			dir := t.TempDir()
			certificate(t, dir, "localhost")
			cert := issue(t, dir, subject)
			writeIn(t, dir, "names", "# user=distinguished name\nother=CN=other\nwebshop=cn=shop, ou=web,  O=Acme\n")
			writeIn(t, dir, "realm", c.realm)
			writeIn(t, dir, "treadmq.toml", "anonymous = false\n[stomp.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\nclientCA = \"ca.pem\"\nclientAuth = \"want\"\ncertUser = \""+c.certUser+"\"\n"+c.more+
				"[[authorization]]\nqueue = \"orders.>\"\nwrite = [\"shops\"]\nadmin = [\"shops\"]\n")
			p := serve(t, dir, nil, "--config", "treadmq.toml", "--realm", "realm")
			dial := func(certs ...tls.Certificate) *stompLine {
				nc, err := tls.Dial("tcp", p.state.Stomp[0], &tls.Config{InsecureSkipVerify: true, Certificates: certs})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { nc.Close() })
				nc.SetDeadline(time.Now().Add(patience))
				return newStompLine(t, nc, "")
			}
			l := dial(cert)
			l.expect("CONNECTED")
			l.send(sendOrder)
			l.expect("RECEIPT")
			l.send("SUBSCRIBE\nid:1\ndestination:/queue/orders.new\n\n\x00")
			l.expect("ERROR", "x-code:not-authorized", "the user "+c.user+" may not read")
			dial().expect("ERROR", "x-code:login")
		})
	}
}
