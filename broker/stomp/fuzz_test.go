package stomp

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"treadmq/broker"
)

// Whatever a client sends, the session ends in order: what it writes are whole frames, nothing comes after an ERROR, and
// the next client is served.
func FuzzSession(f *testing.F) {
	sub := "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\nreceipt:s\n\n\x00"
	send := "SEND\ndestination:/queue/a,/topic/b\nreceipt:r\npriority:9\nreply-to:/temp-queue/x\n\nbody\x00"
	for _, seed := range []string{
		"", "\n", "SEND\n", sub + send + "ACK\nmessage-id:ID-test-1\nsubscription:1\n\n\x00DISCONNECT\nreceipt:d\n\n\x00",
		"BEGIN\ntransaction:t\n\n\x00" + strings.Replace(send, "\n\n", "\ntransaction:t\n\n", 1) + "COMMIT\ntransaction:t\nreceipt:c\n\n\x00",
		sub + "NACK\nid:1-1-1-1\nx-delay:5\nrequeue:true\n\n\x00UNSUBSCRIBE\nid:1\nreceipt:u\n\n\x00",
		"SUBSCRIBE\nid:2\ndestination:/queue/a?consumer.prefetchSize=1,/temp-topic/y\ncredit:3,5\n\n\x00", "CONNECT\n\n\x00",
	} {
		for v := range byte(3) {
			f.Add(v, []byte(seed))
		}
	}
	r := newRig(f)
	f.Fuzz(func(t *testing.T, v byte, in []byte) {
		r.t = t
		version := []string{"1.0", "1.1", "1.2"}[v%3]
		c := r.dial()
		c.send("CONNECT\naccept-version:" + version + "\n\n\x00" + string(in))
		if err := c.nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.expect("CONNECTED")
		for ended := false; ; {
			g, err := c.read()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if ended {
				t.Fatalf("after the ERROR came %v", g)
			}
			ended = g.command == "ERROR"
		}
	})
}

func FuzzAckID(f *testing.F) {
	f.Add([]byte("1-2-3-4"))
	f.Add([]byte("ffffffffffffffff-ffffffff-0-1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := parseAckID(b)
		if !ok {
			return
		}
		if again, ok := parseAckID(a.append(nil)); !ok || again != a {
			t.Fatalf("%q: %+v, then %+v", b, a, again)
		}
	})
}

func TestAckIDRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := ackID{
			conn: rapid.Uint64().Draw(t, "conn"), sub: rapid.Uint32().Draw(t, "sub"),
			seq: rapid.Uint64().Draw(t, "seq"), tag: rapid.Uint64().Draw(t, "tag"),
		}
		text := a.append(nil)
		if got, ok := parseAckID(text); !ok || got != a {
			t.Fatalf("%s: got %+v, want %+v", text, got, a)
		}
		if bytes.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef-", r) }) >= 0 {
			t.Fatalf("%s has a character that clients escape", text)
		}
	})
}

// fixedTemps knows every alias.
type fixedTemps struct{ r destRules }

func (fixedTemps) temp(k broker.Kind, alias string) (broker.Destination, error) {
	return broker.Destination{Kind: k, Name: "t." + alias}, nil
}

func (fixedTemps) ofTopic(topic, name string) (broker.Destination, error) {
	return broker.Destination{Kind: broker.DurableSub, Name: name}, nil
}

func (f fixedTemps) rules() destRules { return f.r }

// Every destination that parses is written so that it parses again, to the same.
func FuzzDest(f *testing.F) {
	for _, seed := range []string{"/queue/a", "/topic/a.>,queue://b", "a?consumer.x=y", "/temp-queue/r", "a::b", "/dsub/x", ",", "", "/exchange/amq.topic/a.*", "/exchange//q", "/exchange/", "/queue/a%2Fb", "ActiveMQ.Statistics.Destination.>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range []destRules{{dialect: DialectRabbitMQ}, {separator: '/'}, {DialectRabbitMQ, '/'}} {
			if _, err := parseDest(text, broker.Queue, false, fixedTemps{r}); err != nil && toFault(err).code == string(broker.CodeInternal) {
				t.Fatalf("%q with %+v: %v", text, r, err)
			}
		}
		h, err := parseDest(text, broker.Queue, true, fixedTemps{})
		if err != nil {
			if toFault(err).code == string(broker.CodeInternal) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		for _, d := range h.dests {
			out := string(appendDest(nil, d))
			again, err := parseDest(out, broker.Topic, true, fixedTemps{})
			if strings.Contains(d.Name, "?consumer.") || strings.HasSuffix(d.Name, " ") {
				continue // only what another client cannot have meant
			}
			if err != nil || len(again.dests) != 1 || again.dests[0] != d {
				t.Fatalf("%q: %v, written as %q: %v %v", text, d, out, again, err)
			}
		}
	})
}

// headerOf knows what the broker sets on MESSAGE itself; a client can set none of it.
func TestClientCannotForgeHeaders(t *testing.T) {
	for _, name := range []string{"message-id", "subscription", "redelivered", "ack", "JMSXUserID", "JMSXDeliveryCount", "timestamp",
		"receipt", "transaction", "content-length", "destination"} {
		if headerOf([]byte(name)) == hUser {
			t.Errorf("%s would be passed through", name)
		}
	}
}
