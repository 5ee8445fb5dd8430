package failover

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"
	"github.com/go-stomp/stomp/v3/server"
)

// TestAgainstAnotherServer talks to go-stomp's server: codec, receipts and
// transactions as somebody else understands them. Its SUBSCRIBE and
// UNSUBSCRIBE give no RECEIPT and it does not know ACK of STOMP 1.2, so these
// are left to the scripted brokers.
func TestAgainstAnotherServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	go func() { _ = server.Serve(ln) }() // it has no way to stop, see TestMain
	ctx := testContext(t)
	c, err := Dial(ctx, mustParse(t, "failover:(stomp://joe:secret@"+ln.Addr().String()+")"), Options{})
	must(t, err)
	defer c.Close()
	// Without RECEIPT a message has to confirm the subscription.
	must(t, c.Send(ctx, "/queue/q", "", []byte("first")))
	sub, err := c.Subscribe(ctx, "/queue/q", AckAuto)
	must(t, err)
	_, err = sub.Receive(ctx)
	must(t, err)
	for i := range 100 {
		must(t, c.Send(ctx, "/queue/q", "text/plain", fmt.Appendf(nil, "body \x00 %d", i), H("odd: header\n", `va:l\ue`)))
		m, err := sub.Receive(ctx)
		must(t, err)
		if string(m.Body) != fmt.Sprintf("body \x00 %d", i) || m.Header.Get("odd: header\n") != `va:l\ue` || m.ContentType != "text/plain" {
			t.Fatalf("message %d came as %q %v", i, m.Body, m.Header)
		}
	}
	tx, err := c.Begin(ctx)
	must(t, err)
	must(t, tx.Send(ctx, "/queue/q", "", []byte("in tx")))
	must(t, tx.Commit(ctx))
	m, err := sub.Receive(ctx)
	must(t, err)
	if string(m.Body) != "in tx" {
		t.Errorf("got %q", m.Body)
	}
	must(t, c.Disconnect(ctx))
}

// certificate makes a self-signed certificate for 127.0.0.1 and its PEM file.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestTLS(t *testing.T) {
	cert, caFile := certificate(t)
	for name, try := range map[string]struct {
		query string
		o     Options
		ok    bool
	}{
		"CA file":          {"", Options{CAFile: caFile}, true},
		"unknown CA":       {"", Options{}, false},
		"wrong name":       {"", Options{CAFile: caFile, TLS: &tls.Config{ServerName: "other"}}, false},
		"told not to look": {"?insecureSkipVerify=true", Options{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newBroker(t)
			wait := dialing(t, "stomp+ssl://"+a.addr()+try.query, try.o)
			p := a.accept()
			secure := tls.Server(p.nc, &tls.Config{Certificates: []tls.Certificate{cert}})
			if err := secure.Handshake(); try.ok != (err == nil) {
				t.Fatalf("handshake: %v", err)
			}
			if try.ok {
				newPeer(t, secure).connected()
			}
			c, err := wait()
			if try.ok != (err == nil) {
				t.Fatalf("Dial: %v", err)
			}
			if try.ok {
				must(t, c.Close())
			}
		})
	}
}

func TestConnectHeaders(t *testing.T) {
	a := newBroker(t)
	o := Options{Login: "other", Passcode: "x", ClientID: "me", Host: "vhost", HeartBeat: 1500 * time.Millisecond, Headers: []Header{H("x-a", "b")}}
	wait := dialing(t, "tcp://joe:secret@"+a.addr(), o)
	p := a.accept()
	p.expectRaw("CONNECT\n", "accept-version:1.1,1.2\n", "host:vhost\n", "login:joe\n", "passcode:secret\n", "client-id:me\n", "heart-beat:1500,1500\n", "x-a:b\n")
	p.write(frame.CONNECTED, "version", "1.2")
	_, err := wait()
	must(t, err)
}

// TestVersion11 checks how STOMP 1.1 addresses acknowledgements, and that a
// SUBSCRIBE with reply-to is sent like any other.
func TestVersion11(t *testing.T) {
	a := newBroker(t)
	wait := dialing(t, a.addr(), Options{})
	p := a.accept()
	p.expect(frame.CONNECT)
	p.write(frame.CONNECTED, "version", "1.1")
	c, err := wait()
	must(t, err)
	ctx := testContext(t)
	var sub *Subscription
	subscribed := background(func() (err error) {
		sub, err = c.Subscribe(ctx, "/queue/q", AckClient, H(stomp.ReplyToHeader, "/temp-queue/x"))
		return err
	})
	s := p.subscribed()
	if s.Header.Get("reply-to") != "/temp-queue/x" {
		t.Errorf("SUBSCRIBE %v", s.Header)
	}
	must(t, subscribed())
	p.write(frame.MESSAGE, "subscription", s.Header.Get("id"), "message-id", "m-1", "destination", "/queue/q")
	m, err := sub.Receive(ctx)
	must(t, err)
	must(t, m.Nack(ctx, H("x-delay", "5")))
	f := p.expect(frame.NACK)
	if f.Header.Get("message-id") != "m-1" || f.Header.Get("subscription") != sub.ID() || f.Header.Get("x-delay") != "5" {
		t.Errorf("NACK %v", f.Header)
	}
}

func TestBrokersAreLearned(t *testing.T) {
	a, b := newBroker(t), newBroker(t)
	_, port, err := net.SplitHostPort(b.addr())
	must(t, err)
	for _, update := range []string{"true", "false"} {
		wait := dialing(t, failoverTo("&updateURIsSupported="+update, a), Options{})
		p := a.serve("x-cluster", "bad,127.0.0.1/0, 127.0.0.1/"+port+",../1,127.0.0.1/"+port)
		c, err := wait()
		must(t, err)
		sent := background(func() error { return c.Send(testContext(t), "/queue/q", "", []byte("x")) })
		p.expectSend("x")
		p.close()
		next := a
		if update == "true" {
			next = b // a failed last
		}
		q := next.serve()
		q.receipt(q.expectSend("x"))
		must(t, sent())
		must(t, c.Close())
	}
}

func TestPoolOrder(t *testing.T) {
	reverse := func(list []Address) {
		for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
			list[i], list[j] = list[j], list[i]
		}
	}
	for query, want := range map[string]string{
		"randomize=false":                    "a c b",
		"randomize=true":                     "c a b",
		"priorityBackup=true":                "a c b", // the first of the list is preferred
		"priorityBackup=true&priorityURIs=b": "b c a", // preferred even though it failed last
	} {
		u := mustParse(t, "failover:(a,b,c)?"+query)
		l := newPool(u, u.Policy, reverse)
		l.lost(u.Addresses[1])
		got := ""
		for _, a := range l.order() {
			got += " " + a.Host
		}
		if got[1:] != want {
			t.Errorf("%s: order%s, want %s", query, got, want)
		}
	}
	u := mustParse(t, "failover:(a,b,c,d,e,f,g,h)")
	l := newPool(u, u.Policy, nil)
	first := map[string]bool{}
	for range 200 {
		first[l.order()[0].Host] = true
	}
	if len(first) < 4 {
		t.Errorf("200 shuffles began with %v only", first)
	}
	l.learn(fmt.Sprint("x/1", manyBrokers(2*maxAddresses)), u.Addresses[0])
	if got := len(l.order()); got != maxAddresses {
		t.Errorf("%d brokers, the bound is %d", got, maxAddresses)
	}
}

func manyBrokers(n int) (text string) {
	for i := range n {
		text += fmt.Sprintf(",host%d/61613", i)
	}
	return text
}
