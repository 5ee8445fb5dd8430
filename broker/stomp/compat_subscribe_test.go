package stomp

import (
	"fmt"
	"strings"
	"testing"

	"treadmq/broker"
)

// fill sends n numbered messages to a queue.
func fill(c *client, destination string, n int) {
	for i := range n {
		c.publish(destination, fmt.Sprintf("n:%d\n", i), fmt.Sprint(i))
	}
}

// The policy's window holds where the client asks for none: for queues, topics, browsers and durable subscriptions, whose
// topic may have one for them.
func TestCompatSubscribe_PrefetchByPolicy(t *testing.T) {
	r := newRig(t, withPolicy(func(d broker.Destination, p *broker.Policy) {
		switch {
		case d.Kind == broker.DurableSub:
			p.Prefetch = 6
		case d.Kind == broker.Topic:
			p.Prefetch = 5
			if d.Name == "own" {
				p.DurablePrefetch = 4
			}
		default:
			p.Prefetch, p.BrowserPrefetch = 3, 2
		}
	}))
	for _, x := range []struct {
		destination, headers string
		want                 int
	}{
		{"/queue/a", "", 3}, {"/queue/a", "browser:true\n", 2}, {"/queue/a", "activemq.prefetchSize:7\n", 7}, {"/topic/a", "", 5},
		{"/topic/a", "activemq.subscriptionName:n\n", 6}, {"/topic/own", "activemq.subscriptionName:o\n", 4},
		{"/topic/own", "activemq.subscriptionName:p\nactivemq.prefetchSize:8\n", 8},
	} {
		c := r.connected("client-id:c\n")
		if !strings.HasPrefix(x.destination, "/topic/") {
			fill(c, x.destination, 20)
		}
		c.subscribe(x.destination, "ack:client\n"+x.headers)
		if strings.HasPrefix(x.destination, "/topic/") {
			fill(r.connected(""), x.destination, 20)
		}
		for range x.want {
			c.expect("MESSAGE")
		}
		c.nothing()
		c.bye()
	}
}

// The window in messages and in bytes, in the spellings of all: what is unacknowledged never exceeds it, 0 means 1.
func TestCompatSubscribe_Prefetch(t *testing.T) {
	for headers, want := range map[string]int{
		"activemq.prefetchSize:3\n": 3, "prefetch-count:3\n": 3, "activemq.prefetchSize:0\n": 1, "credit:4\n": 4,
		"consumer-window-size:0\n": 1, "consumer-window-size:-1\n": 20, "": 20,
		"credit:20,2000\n": 2, "consumer-window-size:2000\n": 2, // of 1 KiB and more each: two use it up
	} {
		t.Run(headers, func(t *testing.T) {
			r := newRig(t)
			c := r.connected("")
			body := strings.Repeat("x", 1024)
			for range 20 {
				c.publish("/queue/a", "", body)
			}
			c.subscribe("/queue/a", "ack:client-individual\n"+headers)
			var list []got
			for range want {
				list = append(list, c.take(body)...)
			}
			c.nothing()
			if want < 20 {
				c.send("ACK\nid:" + list[0].get("ack") + "\n\n\x00")
				c.take(body)
				c.nothing()
			}
		})
	}
}

// A window is the subscription's, however many queues its wildcard covers, and they share it: none has to wait until
// another is empty.
func TestCompatSubscribe_WildcardWindow(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	const each = 60
	fill(c, "/queue/w.one", each)
	fill(c, "/queue/w.two", each)
	c.subscribe("/queue/w.*", "ack:client-individual\nactivemq.prefetchSize:4\n")
	from := map[string]int{}
	for i := range 2 * each {
		m := c.expect("MESSAGE")
		if from[m.get("destination")]++; i == each && (from["/queue/w.one"] < each/6 || from["/queue/w.two"] < each/6) {
			t.Fatalf("of the first half %v came", from)
		}
		c.send("ACK\nid:" + m.get("ack") + "\n\n\x00")
	}
	if from["/queue/w.one"] != each || from["/queue/w.two"] != each {
		t.Fatal(from)
	}
	fill(r.connected(""), "/queue/w.one", 6)
	for range 4 {
		c.expect("MESSAGE")
	}
	c.nothing()
}

// An exclusive consumer gets all; the next one takes over when it leaves, and never before.
func TestCompatSubscribe_Exclusive(t *testing.T) {
	for _, header := range []string{"activemq.exclusive:true\n", "exclusive:true\n"} {
		r := newRig(t)
		first, second := r.connected(""), r.connected("")
		first.subscribe("/queue/a", "ack:client-individual\n"+header)
		second.subscribe("/queue/a", "ack:client-individual\n"+header)
		fill(second, "/queue/a", 3)
		first.take("0", "1", "2")
		second.nothing()
		first.unsubscribe("")
		for _, m := range second.take("0", "1", "2") {
			if m.get("redelivered") != "true" {
				t.Fatal(m)
			}
		}
	}
}

// The consumer with the higher priority is served first, as long as it has room.
func TestCompatSubscribe_Priority(t *testing.T) {
	for _, header := range []string{"activemq.priority", "x-priority"} {
		r := newRig(t)
		low, high := r.connected(""), r.connected("")
		low.subscribe("/queue/a", "ack:client-individual\n"+header+":-1\n")
		high.subscribe("/queue/a", "ack:client-individual\nactivemq.prefetchSize:2\n"+header+":127\n")
		fill(low, "/queue/a", 2)
		high.take("0", "1")
		low.nothing()
		low.send("SEND\ndestination:/queue/a\n\nmore\x00")
		low.take("more")
	}
}

// What one's own connection publishes does not come, in all spellings.
func TestCompatSubscribe_NoLocal(t *testing.T) {
	for _, header := range []string{"activemq.noLocal", "no-local", "noLocal"} {
		r := newRig(t)
		c, other := r.connected(""), r.connected("")
		c.subscribe("/topic/a", header+":true\n")
		c.publish("/topic/a", "", "own")
		other.publish("/topic/a", "", "other")
		c.take("other")
	}
}

// Hints of the other brokers that need nothing done are accepted: the subscription works.
func TestCompatSubscribe_Hints(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	c.subscribe("/queue/a", "activemq.dispatchAsync:true\nactivemq.retroactive:false\nfoo:bar\n")
	c.publish("/queue/a", "", "x")
	c.take("x")
}

// A topic subscription holds at most so many messages behind its window; the oldest give way.
func TestCompatSubscribe_PendingLimit(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	c.subscribe("/topic/a", "ack:client-individual\nactivemq.prefetchSize:1\nactivemq.maximumPendingMessageLimit:3\n")
	p := r.connected("")
	p.publish("/topic/a", "", "first")
	m := c.take("first")[0]
	fill(p, "/topic/a", 10)
	for _, want := range []string{"7", "8", "9"} {
		c.send("ACK\nid:" + m.get("ack") + "\n\n\x00")
		m = c.take(want)[0]
	}
	c.send("ACK\nid:" + m.get("ack") + "\n\n\x00")
	c.nothing()
}

// A browser sees all that was there when it came, in order, those in flight too, with its selector; it takes nothing
// away, counts nothing, holds nobody up, and says when it is at the end.
func TestCompatSubscribe_Browser(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	fill(c, "/queue/a", 1000)
	consumer := r.connected("")
	consumer.subscribe("/queue/a", "ack:client-individual\nactivemq.prefetchSize:10\n")
	for range 10 {
		consumer.expect("MESSAGE")
	}
	c.subscribe("/queue/a", "browser:true\nack:auto\n")
	fill(r.connected(""), "/queue/a", 1) // not there when it came
	for i := range 1000 {
		if m := c.take(fmt.Sprint(i))[0]; m.get("redelivered") != "" || m.get("JMSXDeliveryCount") != "" {
			t.Fatal(m)
		}
	}
	end := c.take("")[0]
	if end.get("browser") != "end" || end.get("message-id") != "0" || end.get("subscription") != "s" || end.get("destination") != "/queue/a" {
		t.Fatal(end)
	}
	c.unsubscribe("")
	c.subscribe("/queue/a", "browser:true\nselector:n > 997\n")
	c.take("998", "999", "")
	if got := depth(r, "/queue/a"); got != 1001 {
		t.Fatalf("depth is %d", got)
	}
	consumer.bye()
	again := r.connected("")
	again.subscribe("/queue/a", "")
	if m := again.take("0")[0]; m.get("JMSXDeliveryCount") != "2" { // by the consumer, not by the browsers
		t.Fatal(m)
	}
}

// With browser-end:false there is no end mark: what arrives is shown too, in queues that are made later as well,
// until UNSUBSCRIBE.
func TestCompatSubscribe_BrowserWithoutEnd(t *testing.T) {
	r := newRig(t)
	c, p := r.connected(""), r.connected("")
	fill(p, "/queue/a", 2)
	c.subscribe("/queue/a,/queue/not.yet", "browser:true\nbrowser-end:false\nack:client-individual\nactivemq.prefetchSize:1\n")
	see := func(body, destination string) {
		t.Helper()
		m := c.take(body)[0]
		if m.get("destination") != destination || m.get("redelivered") != "" || m.get("browser") != "" {
			t.Fatal(m)
		}
		c.settle(m, "")
	}
	see("0", "/queue/a")
	see("1", "/queue/a")
	c.nothing()
	p.publish("/queue/not.yet", "", "later")
	see("later", "/queue/not.yet")
	p.publish("/queue/a", "persistent:false\n", "light")
	see("light", "/queue/a")
	c.unsubscribe("")
	p.publish("/queue/a", "", "unseen")
	c.nothing()
	if got := depth(r, "/queue/a"); got != 4 {
		t.Fatalf("depth is %d", got)
	}
}

// Browsers acknowledge to get more and for nothing else: a NACK is an error. Dead letters can be browsed as anything.
func TestCompatSubscribe_BrowserAcknowledges(t *testing.T) {
	r := newRig(t)
	c := r.connected("x-errors:soft\n")
	fill(c, "/queue/ActiveMQ.DLQ", 3)
	c.subscribe("/queue/ActiveMQ.DLQ", "browser:true\nack:client-individual\nactivemq.prefetchSize:1\n")
	m := c.take("0")[0]
	c.nothing()
	c.send("ACK\nid:" + m.get("ack") + "\n\n\x00")
	m = c.take("1")[0]
	c.send("NACK\nid:" + m.get("ack") + "\nreceipt:r\n\n\x00")
	if g := c.expect("ERROR"); g.get("receipt-id") != "r" {
		t.Fatal(g)
	}
	if got := depth(r, "/queue/ActiveMQ.DLQ"); got != 3 {
		t.Fatalf("depth is %d", got)
	}
	c.send("SUBSCRIBE\nid:t\ndestination:/topic/a\nbrowser:true\nreceipt:t\n\n\x00")
	if g := c.expect("ERROR"); g.get("receipt-id") != "t" {
		t.Fatal(g)
	}
}

// In mode auto a message is consumed when it was written: it does not come again.
func TestCompatSubscribe_AutoAck(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	fill(c, "/queue/a", 3)
	c.subscribe("/queue/a", "ack:auto\n")
	c.take("0", "1", "2")
	c.unsubscribe("")
	until(t, "the queue is empty", func() bool { return depth(r, "/queue/a") == 0 })
}

// Selectors look at the whole queue; what does not match stays for others, and two that have nothing in common do not
// keep each other waiting.
func TestCompatSubscribe_Selector(t *testing.T) {
	r := newRig(t)
	c, even, odd := r.connected(""), r.connected(""), r.connected("")
	for i := range 300 {
		c.publish("/queue/a", fmt.Sprintf("n:%d\nparity:%d\n", i, i%2), fmt.Sprint(i))
	}
	even.subscribe("/queue/a", "selector:parity = 0 AND n >= 290\n")
	even.take("290", "292", "294", "296", "298")
	odd.subscribe("/queue/a", "selector:parity = '1' AND n BETWEEN 1 AND 5\n")
	odd.take("1", "3", "5")
	until(t, "what was written is gone", func() bool { return depth(r, "/queue/a") == 292 })
	c.publish("/queue/a", "n:1000\nparity:0\n", "more")
	even.take("more")
	topic := r.connected("")
	topic.subscribe("/topic/t", "selector:n > 1\n")
	fill(c, "/topic/t", 4)
	topic.take("2", "3")
}
