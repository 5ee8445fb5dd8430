package stomp

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"treadmq/broker"
)

// Every name that is kept for long has a bound.
func TestNamesAreBounded(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("n", maxName+1)
	for name, in := range map[string]string{
		"transaction":  "BEGIN\ntransaction:" + long + "\nreceipt:r\n\n\x00",
		"subscription": "SUBSCRIBE\ndestination:/queue/a\nid:" + long + "\nreceipt:r\n\n\x00",
		"receipt":      "BEGIN\ntransaction:t\nreceipt:" + strings.Repeat("r", maxReceiptID+1) + "\n\n\x00",
		"SEND receipt": "SEND\ndestination:/queue/a\nreceipt:" + strings.Repeat("r", maxReceiptID+1) + "\n\nx\x00",
		"composite":    "SEND\ndestination:" + strings.Repeat("a,", maxComposite) + "b\n\nx\x00",
		"x-delay":      "NACK\nid:1-1-1-1\nx-delay:99999999999\n\n\x00",
	} {
		t.Run(name, func(t *testing.T) {
			c := r.connected("")
			c.send(in)
			c.expectError("limit")
		})
	}
	c := r.dial()
	c.send("CONNECT\naccept-version:1.2\nclient-id:" + long + "\n\n\x00")
	c.expectError("limit")
}

// Names that begin with ActiveMQ. are the broker's own, but for those that it makes itself.
func TestReservedNames(t *testing.T) {
	r := newRig(t)
	if err := r.b.SetRouting(broker.Routing{Forwards: []broker.Forward{{From: queueNamed("in"), To: []broker.Destination{queueNamed("ActiveMQ.mine")}}}}); err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]string{
		"SEND":                "SEND\ndestination:/queue/ActiveMQ.orders\nreceipt:r\n\nx\x00",
		"SEND to a topic":     "SEND\ndestination:/topic/ActiveMQ.DLQ.orders\nreceipt:r\n\nx\x00",
		"SUBSCRIBE":           "SUBSCRIBE\nid:1\ndestination:/queue/ActiveMQ.orders\nreceipt:r\n\n\x00",
		"SUBSCRIBE to a list": "SUBSCRIBE\nid:1\ndestination:/queue/a,/topic/ActiveMQ.news\nreceipt:r\n\n\x00",
		"SUBSCRIBE, hints":    "SUBSCRIBE\nid:1\ndestination:/queue/ActiveMQ.orders\nauto-delete:true\nreceipt:r\n\n\x00",
	} {
		t.Run(name, func(t *testing.T) {
			c := r.connected("")
			c.send(in)
			c.expectError("bad-destination")
		})
	}
	c := r.connected("")
	c.send("SEND\ndestination:/queue/in\n\nforwarded\x00")
	for i, dest := range []string{"/queue/ActiveMQ.mine", "/queue/ActiveMQ.DLQ", "/queue/ActiveMQ.DLQ.Queue.a", "/queue/activemq.orders", "/topic/ActiveMQ.orders.>"} {
		receipt := fmt.Sprint("s", i)
		c.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:%s\nreceipt:%s\n\n\x00", i, dest, receipt))
		c.expectReceipt(receipt)
		if i == 0 {
			if m := c.expect("MESSAGE"); m.body != "forwarded" {
				t.Errorf("%v", m)
			}
		}
	}
	c.send("SEND\ndestination:/queue/ActiveMQ.mine\n\nsent\x00")
	if m := c.expect("MESSAGE"); m.body != "sent" {
		t.Errorf("%v", m)
	}
}

func TestSubscriptionsTakeBoundedMemory(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	dest := strings.TrimSuffix(strings.Repeat("/topic/"+strings.Repeat("d", 1000)+",", 60), ",")
	for i := range maxSubBytes/len(dest) + 2 {
		c.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:%s\n\n\x00", i, dest))
	}
	c.expectError("limit")
}

func TestTemporariesAreBounded(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	for i := range maxTemporaries + 1 {
		c.send(fmt.Sprintf("SEND\ndestination:/topic/a\nreply-to:/temp-queue/%d\n\nx\x00", i))
	}
	c.expectError("limit")
}

// slowRealm refuses everybody after a while.
type slowRealm struct{ wait time.Duration }

func (s slowRealm) Authenticate(string, string, string) (bool, string, time.Duration) {
	return false, "", s.wait
}

// A refused login waits as long as the realm says, up to a bound, holds up nobody else, and is one line in the log.
func TestRefusedLoginWaits(t *testing.T) {
	for _, test := range []struct{ wait, want time.Duration }{{3 * time.Second, 3 * time.Second}, {time.Hour, maxLoginWait}} {
		synctest.Test(t, func(t *testing.T) {
			l := beatRig(t, func(o *Options) { o.Auth = slowRealm{test.wait} })
			other := connectWith(t, l, "0,0")
			c := newClient(t, l.dial())
			_ = c.nc.SetDeadline(time.Time{})
			start := time.Now()
			c.send("CONNECT\nlogin:eve\npasscode:guess\n\n\x00")
			other.send("BEGIN\ntransaction:t\nreceipt:1\n\n\x00")
			other.expectReceipt("1")
			if d := time.Since(start); d != 0 {
				t.Errorf("another client waited %v", d)
			}
			g := c.expect("ERROR")
			if d := time.Since(start); d != test.want {
				t.Errorf("waited %v, want %v", d, test.want)
			}
			if strings.Contains(g.String(), "eve") || g.get("x-code") != "login" {
				t.Errorf("got %v", g)
			}
			c.expectEnd()
		})
	}
}

func TestOneLogLinePerEvent(t *testing.T) {
	r := newRig(t, transcriptOptions["users"])
	c := r.dial()
	c.send("CONNECT\naccept-version:1.2\nlogin:eve\npasscode:guess\n\n\x00")
	c.expectError("login")
	c = r.connected("login:alice\npasscode:se:cret\n")
	c.send("ACK\nid:nonsense\n\n\x00")
	c.expectError("unknown-ack")
	until(t, "both sessions end", func() bool { return r.srv.Connections() == 0 })
	lines := strings.Split(strings.TrimSpace(r.log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `msg="login refused" conn=127.0.0.1:`) || !strings.Contains(lines[0], "user=eve") ||
		!strings.Contains(lines[1], "user=alice") || !strings.Contains(lines[1], "code=unknown-ack") {
		t.Fatalf("log is\n%s", strings.Join(lines, "\n"))
	}
	if strings.Contains(r.log.String(), "guess") {
		t.Fatal("the log shows a passcode")
	}
}

func TestExpiresThatLooksLikeATTLIsWarnedOfOnce(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	for range 3 {
		c.send("SEND\ndestination:/queue/a\nexpires:60000\nreceipt:r\n\nx\x00")
		c.expectReceipt("r")
	}
	if n := strings.Count(r.log.String(), "looks like a time to live"); n != 1 {
		t.Fatalf("%d warnings", n)
	}
}

func TestTimeToLive(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:auto\n\n\x00")
	for _, h := range []string{"x-ttl:60000", "expiration:60000", "expiration:1\nx-ttl:60000"} {
		c.send("SEND\ndestination:/queue/a\n" + h + "\n\nx\x00")
		g := c.expect("MESSAGE")
		expires, sent := number64(t, g.get("expires")), number64(t, g.get("timestamp"))
		if expires-sent != 60000 {
			t.Errorf("%s: expires %d ms after %d", h, expires-sent, sent)
		}
	}
}

func number64(t *testing.T, s string) int64 {
	n, ok := parseNumber([]byte(s))
	if !ok {
		t.Fatalf("%q is no number", s)
	}
	return n
}

// All who listen to a topic get the same, whatever their version and the order in which the form was made.
func TestTopicInAllVersions(t *testing.T) {
	r := newRig(t)
	var subs []*client
	versions := []string{"1.2", "1.1", "1.0", "1.2", "1.1", "1.0", "1.2"}
	for _, v := range versions {
		c := r.dial()
		c.send("CONNECT\naccept-version:" + v + "\n\n\x00SUBSCRIBE\nid:1\ndestination:/topic/t\nreceipt:s\n\n\x00")
		c.expect("CONNECTED")
		c.expectReceipt("s")
		subs = append(subs, c)
	}
	p := r.connected("")
	for i := range 3 {
		p.send("SEND\ndestination:/topic/t\nk:a\\cb\\\\\\n\\rc\n\nx\x00")
		for j, c := range subs {
			want := map[string]string{"1.2": `a\cb\\\n\rc`, "1.1": "a\\cb\\\\\\n\rc", "1.0": `a:b\  c`}[versions[j]]
			if g := c.expect("MESSAGE"); g.get("k") != want || g.body != "x" {
				t.Errorf("message %d, version %s: %q", i, versions[j], g.get("k"))
			}
		}
	}
}

// A body of several megabytes arrives whole, and is not copied on its way out.
func TestLargeBody(t *testing.T) {
	r := newRig(t, withPolicy(func(_ broker.Destination, p *broker.Policy) { p.PrefetchBytes = 1 << 30 }))
	c := r.connected("")
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:auto\n\n\x00")
	small := "SEND\ndestination:/queue/a\n\nsmall\x00"
	body := strings.Repeat("0123456789\x00abcde", 1<<20)
	c.send(small + fmt.Sprintf("SEND\ndestination:/queue/a\ncontent-length:%d\n\n", len(body)) + body + "\x00" + small)
	for i, want := range []string{"small", body, "small"} {
		if g := c.expect("MESSAGE"); g.body != want {
			t.Fatalf("message %d has %d bytes", i, len(g.body))
		}
	}
}
