package stomp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"treadmq/broker"
)

// A full queue does what its policy says.
func TestCompatFlow_FullQueue(t *testing.T) {
	for _, c := range []struct {
		name   string
		onFull broker.OnFull
		holds  []string
		dead   []string
		fails  bool
	}{
		{"fail", broker.FullFail, []string{"0", "1"}, nil, true},
		{"drop-oldest", broker.FullDropOldest, []string{"1", "2"}, nil, false},
		{"dlq", broker.FullDeadLetter, nil, nil, false},
		{"discard", broker.FullDiscard, []string{"0", "1"}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, withPolicy(func(d broker.Destination, p *broker.Policy) {
				if d.Name == "a" {
					p.MaxMessages, p.OnFull = 2, c.onFull
				}
			}))
			client := r.connected("x-errors:soft\n")
			client.publish("/queue/a", "", "0")
			client.publish("/queue/a", "", "1")
			client.send("SEND\ndestination:/queue/a\nreceipt:p\n\n2\x00")
			if g, err := client.read(); err != nil || c.fails != (g.command == "ERROR") || c.fails && g.get("x-code") != "queue-full" {
				t.Fatal(g, err)
			}
			holds := []string{}
			for _, queue := range []string{"/queue/a", "/queue/ActiveMQ.DLQ"} {
				client.subscribe(queue, "browser:true\n")
				for m := client.expect("MESSAGE"); m.get("browser") == ""; m = client.expect("MESSAGE") {
					holds = append(holds, m.body)
				}
				client.unsubscribe("")
				if queue == "/queue/a" && c.holds != nil && fmt.Sprint(holds) != fmt.Sprint(c.holds) {
					t.Fatalf("the queue holds %v, not %v", holds, c.holds)
				}
			}
			if c.onFull == broker.FullDeadLetter && len(holds) != 3 {
				t.Fatalf("the queue and the dead letters are %v", holds)
			}
		})
	}
}

// A negative JMSXGroupSeq ends a group: what comes after it is a new one, and begins when the old one is done.
func TestCompatFlow_GroupClose(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	p := r.connected("")
	c.subscribe("/queue/a", "ack:client-individual\n")
	p.publish("/queue/a", "JMSXGroupID:g\n", "0")
	p.publish("/queue/a", "JMSXGroupID:g\nJMSXGroupSeq:-1\n", "1")
	p.publish("/queue/a", "JMSXGroupID:g\n", "2")
	list := c.take("0", "1")
	c.nothing()
	if first, second := list[0].get("JMSXGroupFirstForConsumer"), list[1].get("JMSXGroupFirstForConsumer"); first != "true" || second != "" {
		t.Fatal(list)
	}
	for _, m := range list {
		c.send("ACK\nid:" + m.get("ack") + "\n\n\x00")
	}
	if m := c.take("2")[0]; m.get("JMSXGroupFirstForConsumer") != "true" {
		t.Fatal(m)
	}
}

// What gives way when a topic subscriber is behind is a policy: the oldest, the oldest of the lowest priority, what has
// a newer one of its key, or the subscriber itself.
func TestCompatFlow_Evict(t *testing.T) {
	for _, c := range []struct {
		name  string
		evict broker.Evict
		left  []string // nil: the connection ends
	}{
		{"oldest", broker.EvictOldest, []string{"c", "d", "e"}},
		{"lowest-priority", broker.EvictLowestPriority, []string{"b", "d", "e"}},
		{"key", broker.EvictOlderOfKey, []string{"a", "c", "e"}},
		{"disconnect", broker.EvictDisconnect, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, withPolicy(func(_ broker.Destination, p *broker.Policy) {
				p.PendingLimit, p.Evict = 3, c.evict
				if c.evict == broker.EvictOlderOfKey {
					p.EvictKey = "key"
				}
			}))
			s, p := r.connected(""), r.connected("")
			s.subscribe("/topic/a", "ack:client-individual\nactivemq.prefetchSize:1\n")
			p.publish("/topic/a", "", "first")
			m := s.take("first")[0]
			for _, x := range []struct{ body, headers string }{
				{"a", "priority:1\nkey:0\n"}, {"b", "priority:9\nkey:1\n"}, {"c", "priority:2\nkey:1\n"}, {"d", "priority:9\nkey:2\n"},
				{"e", "priority:9\nkey:2\n"},
			} {
				p.publish("/topic/a", x.headers, x.body)
			}
			if c.left == nil {
				s.expect("ERROR")
				s.expectEnd()
				return
			}
			for _, want := range c.left {
				s.send("ACK\nid:" + m.get("ack") + "\n\n\x00")
				m = s.take(want)[0]
			}
			s.send("ACK\nid:" + m.get("ack") + "\n\n\x00")
			s.nothing()
		})
	}
}

// Memory is a cache and no limit: a queue goes on beyond its memoryLimit, nobody is held up, and all comes out in order.
func TestCompatFlow_BacklogBeyondMemory(t *testing.T) {
	r := newRig(t, withPolicy(func(_ broker.Destination, p *broker.Policy) { p.MemoryLimit = 10_000 }))
	for _, headers := range []string{"", "persistent:false\n"} {
		c := r.connected("")
		body := strings.Repeat("x", 1000)
		for i := range 100 {
			c.publish("/queue/a", headers, fmt.Sprint(i, " ", body))
		}
		until(t, "all are there", func() bool { return depth(r, "/queue/a") == 100 })
		if q, err := r.b.Queue(queueNamed("a")); err != nil || q.MemoryBytes > 50_000 {
			t.Fatalf("they take %d bytes of memory: %v", q.MemoryBytes, err)
		}
		c.subscribe("/queue/a", "")
		for i := range 100 {
			c.take(fmt.Sprint(i, " ", body))
		}
		c.unsubscribe("")
	}
}

// Who gives no login comes in only where that is allowed.
func TestCompatFlow_Anonymous(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		r := newRig(t, withOptions(func(o *Options) { o.Anonymous, o.Auth = allowed, testUsers{} }))
		c := r.dial()
		c.send(connect12)
		if allowed {
			c.expect("CONNECTED")
		} else {
			c.expectError("login")
		}
		c = r.dial() // and a login is checked in any case
		c.send("CONNECT\naccept-version:1.2\nlogin:alice\npasscode:wrong\n\n\x00")
		c.expectError("login")
	}
}

// Advisories that ActiveMQ sends only with advisoryForSlowConsumers, advisoryWhenFull, advisoryForDiscardingMessages and
// sendAdvisoryIfNoConsumers come to who subscribes to them.
func TestCompatFlow_Advisories(t *testing.T) {
	r := newRig(t, withPolicy(func(_ broker.Destination, p *broker.Policy) {
		p.PendingLimit, p.MaxMessages, p.OnFull = 1, 1, broker.FullDiscard
	}))
	c, listener, slow := r.connected(""), r.connected(""), r.connected("")
	for i, topic := range []string{"FULL.Queue.q", "NoConsumer.Topic.t", "SlowConsumer.Topic.t", "MessageDiscarded.Topic.t"} {
		listener.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/ActiveMQ.Advisory.%s\nreceipt:s\n\n\x00", i, topic))
		listener.expectReceipt("s")
	}
	told := func(topic string) {
		t.Helper()
		if m := listener.expect("MESSAGE"); m.get("destination") != "/topic/ActiveMQ.Advisory."+topic {
			t.Fatalf("want %s, got %v", topic, m)
		}
	}
	c.publish("/queue/q", "", "")
	c.publish("/queue/q", "", "")
	told("FULL.Queue.q")
	c.publish("/topic/t", "", "")
	told("NoConsumer.Topic.t")
	slow.subscribe("/topic/t", "ack:client\nactivemq.prefetchSize:1\n")
	for range 3 {
		c.publish("/topic/t", "", "")
	}
	told("SlowConsumer.Topic.t")
	told("MessageDiscarded.Topic.t")
}

// gcInactiveDestinations deletes what is empty and unused, and nothing else.
func TestCompatFlow_InactiveCollected(t *testing.T) {
	r := newRig(t, withPolicy(func(_ broker.Destination, p *broker.Policy) { p.InactiveGC = time.Millisecond }))
	used, c := r.connected(""), r.connected("")
	used.subscribe("/queue/used", "")
	c.publish("/queue/full", "", "")
	c.publish("/queue/empty", "", "")
	c.subscribe("/queue/empty", "")
	c.take("")
	c.unsubscribe("")
	until(t, "the empty queue goes", func() bool { return depth(r, "/queue/empty") == -1 })
	if depth(r, "/queue/used") != 0 || depth(r, "/queue/full") != 1 {
		t.Errorf("what is used has gone: %v", r.b.Queues(nil))
	}
	c.send("SEND\ndestination:/amq/queue/empty\n\n\x00") // which names one that must be there
	c.expectError("unknown-destination")
}

// With action notify an overdue message stays where it is, and who listens is told.
func TestSlowConsumers_Notify(t *testing.T) {
	r := newRig(t, queuePolicy(func(p *broker.Policy) { p.AckTimeout, p.Overdue = 50*time.Millisecond, broker.OverdueNotify }))
	a, listener, b := r.connected(""), r.connected(""), r.connected("")
	listener.subscribe("/topic/ActiveMQ.Advisory.SlowConsumer.Queue.q", "")
	a.publish("/queue/q", "", "1")
	a.subscribe("/queue/q", individual)
	m := a.take("1")[0]
	if got := listener.expect("MESSAGE"); got.get("consumerId") == "" {
		t.Errorf("it does not say who: %v", got)
	}
	b.subscribe("/queue/q", individual)
	b.nothing()
	a.ack(m, "")
	if n := depth(r, "/queue/q"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}
