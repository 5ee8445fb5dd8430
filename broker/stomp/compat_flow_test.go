package stomp

import (
	"fmt"
	"testing"

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
