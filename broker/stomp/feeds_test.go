package stomp

import (
	"strings"
	"testing"

	"treadmq/broker"
)

func queueNamed(name string) broker.Destination {
	return broker.Destination{Kind: broker.Queue, Name: name}
}
func topicNamed(name string) broker.Destination {
	return broker.Destination{Kind: broker.Topic, Name: name}
}

// A message to a virtual topic goes to every consumer's queue, one to each, and to plain subscribers (semantics 2.2).
func TestVirtualTopics(t *testing.T) {
	n := newNode(t)
	n.connected("").publish("/topic/VirtualTopic.X.y", "", "too early")
	a1, a2, b, live := n.connected(""), n.connected(""), n.connected(""), n.connected("")
	a1.subscribe("/queue/Consumer.A.VirtualTopic.X.y", "activemq.prefetchSize:1\nack:client\n")
	a2.subscribe("/queue/Consumer.A.VirtualTopic.X.y", "activemq.prefetchSize:1\nack:client\n")
	b.subscribe("/queue/Consumer.B.VirtualTopic.X.y", "")
	live.subscribe("/topic/VirtualTopic.X.y", "")
	p := n.connected("")
	p.publish("/topic/VirtualTopic.X.y", "k:v\n", "1")
	p.publish("/topic/VirtualTopic.X.y", "k:v\n", "2")
	m1, m2 := a1.expect("MESSAGE"), a2.expect("MESSAGE")
	if m1.body == m2.body {
		t.Fatalf("both consumers of A got %v", m1)
	}
	for _, m := range append(b.take("1", "2"), m1, m2) {
		if m.get("original-destination") != "/topic/VirtualTopic.X.y" || m.get("k") != "v" || !strings.HasPrefix(m.get("destination"), "/queue/Consumer.") {
			t.Fatal(m)
		}
	}
	for _, m := range live.take("1", "2") {
		if m.get("original-destination") != "" || m.get("destination") != "/topic/VirtualTopic.X.y" {
			t.Fatal(m)
		}
	}
}

// The queues are as durable as any: what is sent while nobody is there survives.
func TestVirtualTopics_Durable(t *testing.T) {
	n := newNode(t)
	c := n.connected("")
	c.subscribe("/queue/Consumer.A.VirtualTopic.X", "")
	c.bye()
	n.connected("").publish("/topic/VirtualTopic.X", "", "away")
	n.powerCut()
	n.connected("").publish("/topic/VirtualTopic.X", "", "restarted")
	n.restart()
	c = n.connected("")
	c.subscribe("/queue/Consumer.A.VirtualTopic.X", "")
	for _, m := range c.take("away", "restarted") {
		if m.get("original-destination") != "/topic/VirtualTopic.X" {
			t.Fatal(m)
		}
	}
}

// A consumer with a wildcard gets what all topics that it covers are sent, and each message once, shared with a
// consumer of the same name that names its topic.
func TestVirtualTopics_WildcardConsumer(t *testing.T) {
	n := newNode(t)
	wild, named := n.connected(""), n.connected("")
	wild.subscribe("/queue/Consumer.A.VirtualTopic.>", "")
	n.connected("").publish("/topic/VirtualTopic.one", "", "1")
	n.connected("").publish("/topic/VirtualTopic.two.x", "", "2")
	n.connected("").publish("/topic/Other.two", "", "not")
	for _, m := range wild.take("1", "2") {
		if m.get("destination") != "/queue/Consumer.A.VirtualTopic.>" {
			t.Fatal(m)
		}
	}
	named.subscribe("/queue/Consumer.A.VirtualTopic.one", "")
	p := n.connected("")
	for _, body := range bodies("", 10) {
		p.publish("/topic/VirtualTopic.one", "", body)
	}
	wild.take("0", "2", "4", "6", "8")
	named.take("1", "3", "5", "7", "9")
	wild.bye()
	n.connected("").publish("/topic/VirtualTopic.late", "", "kept")
	n.restart()
	wild = n.connected("")
	wild.subscribe("/queue/Consumer.A.VirtualTopic.>", "")
	wild.take("kept")
}

// Names and prefix are configured; none means no virtual topics.
func TestVirtualTopics_Configured(t *testing.T) {
	n := newNode(t, withRouting(broker.Routing{Virtual: []broker.VirtualTopics{{Topics: "events.>", Prefix: "sub.*.*."}}}))
	c, plain := n.connected(""), n.connected("")
	c.subscribe("/queue/sub.eu.A.events.x", "")
	plain.subscribe("/queue/Consumer.A.VirtualTopic.x", "")
	n.connected("").publish("/topic/events.x,/topic/VirtualTopic.x", "", "1")
	c.take("1")
	plain.nothing()
	if err := n.b.SetRouting(broker.DefaultRouting()); err != nil {
		t.Fatal(err)
	}
	n.connected("").publish("/topic/events.x,/topic/VirtualTopic.x", "", "2")
	plain.take("2")
	c.nothing()
}

// With selectorAware a consumer's queue keeps only what somebody selects there: what its consumers do, or did.
func TestVirtualTopics_SelectorAware(t *testing.T) {
	aware := broker.VirtualTopics{Topics: "VirtualTopic.>", Prefix: "Consumer.*.", SelectorAware: true}
	n := newNode(t, withRouting(broker.Routing{Virtual: []broker.VirtualTopics{aware}}))
	q := queueNamed("Consumer.A.VirtualTopic.X")
	p := n.connected("")
	send := func(bodies ...string) {
		for _, b := range bodies {
			p.publish("/topic/VirtualTopic.X", "kind:"+b+"\n", b)
		}
	}
	c := n.connected("")
	c.subscribe("/queue/"+q.Name, "selector:kind = 'a' OR JMSDestination = 'queue://elsewhere'\n")
	send("a", "b", "c")
	c.take("a")
	other := n.connected("")
	other.subscribe("/queue/"+q.Name, "selector:kind = 'b'\n")
	send("a", "b", "c")
	c.take("a")
	other.take("b")
	c.bye()
	send("a", "b") // only b is selected now
	other.take("b")
	other.bye()
	send("a", "b") // and while nobody is there
	if got := n.depth(q); got != 1 {
		t.Fatalf("%d messages are kept, not one", got)
	}
	all := n.connected("")
	all.subscribe("/queue/"+q.Name, "")
	all.take("b")
	send("c")
	all.take("c")
	all.bye()
	send("d") // whoever was there last took everything
	n.close()
	n.open()
	send = func(body ...string) { n.connected("").publish("/topic/VirtualTopic.X", "", body[0]) }
	send("e") // nothing is known of consumers after a start
	again := n.connected("")
	again.subscribe("/queue/"+q.Name, "")
	again.take("d", "e")
}

// A full consumer queue never holds the publisher up; what it has no room for is a dead letter.
func TestVirtualTopics_Full(t *testing.T) {
	n := newNode(t, nodePolicy(func(d broker.Destination, p *broker.Policy) {
		if strings.HasPrefix(d.Name, "Consumer.A.") {
			p.MaxMessages, p.OnFull = 1, broker.FullBlock
		}
	}))
	for _, name := range []string{"A", "B"} {
		c := n.connected("")
		c.subscribe("/queue/Consumer."+name+".VirtualTopic.X", "")
		c.bye()
	}
	p := n.connected("")
	p.publish("/topic/VirtualTopic.X", "", "1")
	p.publish("/topic/VirtualTopic.X", "", "2")
	c := n.connected("")
	c.subscribe("/queue/ActiveMQ.DLQ", "")
	if m := c.take("2")[0]; m.get("original-destination") != "/queue/Consumer.A.VirtualTopic.X" || m.get("x-first-death-reason") != "maxlen" {
		t.Fatal(m)
	}
	if n.depth(queueNamed("Consumer.A.VirtualTopic.X")) != 1 || n.depth(queueNamed("Consumer.B.VirtualTopic.X")) != 2 {
		t.Fatal("wrong number of messages")
	}
}

// A composite queue: forwarded to queues and topics, by selector, with or without a copy for itself (semantics 2.2).
func TestCompositeDestinations_Queue(t *testing.T) {
	for _, only := range []bool{true, false} {
		n := newNode(t, withRouting(broker.Routing{Forwards: []broker.Forward{
			{From: queueNamed("orders"), To: []broker.Destination{queueNamed("all"), topicNamed("events")}, Only: only},
			{From: queueNamed("orders"), To: []broker.Destination{queueNamed("big")}, Selector: "size > 10"},
		}}))
		events, all, big := n.connected(""), n.connected(""), n.connected("")
		events.subscribe("/topic/events", "")
		p := n.connected("")
		p.publish("/queue/orders", "size:5\n", "small")
		p.publish("/queue/orders", "size:50\n", "large")
		all.subscribe("/queue/all", "")
		big.subscribe("/queue/big", "")
		for _, m := range append(append(events.take("small", "large"), all.take("small", "large")...), big.take("large")...) {
			if m.get("original-destination") != "/queue/orders" || m.get("destination") == "/queue/orders" {
				t.Fatal(m)
			}
		}
		want := int64(2)
		if only {
			want = 0
		}
		if d := n.depth(queueNamed("orders")); d != want {
			t.Fatalf("%d messages in the queue itself", d)
		}
	}
}

// A composite topic feeds queues, and durable subscriptions of a topic that it goes on to.
func TestCompositeDestinations_Topic(t *testing.T) {
	n := newNode(t, withRouting(broker.Routing{Forwards: []broker.Forward{
		{From: topicNamed("in.>"), To: []broker.Destination{queueNamed("log"), topicNamed("out")}, Only: true},
	}}))
	plain, durable := n.connected(""), n.connected("client-id:c\n")
	plain.subscribe("/topic/in.>", "")
	durable.subscribe("/topic/out", "activemq.subscriptionName:n\n")
	n.connected("").publish("/topic/in.a", "", "x")
	if m := durable.take("x")[0]; m.get("destination") != "/topic/out" || m.get("original-destination") != "/topic/in.a" {
		t.Fatal(m)
	}
	plain.nothing()
	n.powerCut()
	c := n.connected("")
	c.subscribe("/queue/log", "")
	c.take("x")
}

// In a transaction all copies come with the commit.
func TestCompositeDestinations_Transaction(t *testing.T) {
	n := newNode(t, withRouting(broker.Routing{Forwards: []broker.Forward{{From: queueNamed("a"), To: []broker.Destination{queueNamed("b")}}}}))
	p := n.connected("")
	p.send("BEGIN\ntransaction:1\n\n\x00SEND\ndestination:/queue/a\ntransaction:1\nreceipt:s\n\nx\x00")
	p.expectReceipt("s")
	if n.depth(queueNamed("b")) > 0 {
		t.Fatal("visible before the commit")
	}
	p.send("COMMIT\ntransaction:1\nreceipt:c\n\n\x00")
	p.expectReceipt("c")
	n.powerCut()
	if n.depth(queueNamed("a")) != 1 || n.depth(queueNamed("b")) != 1 {
		t.Fatal("a part is missing")
	}
}

// A queue that is forwarded to holds the sender up as if it had been sent to.
func TestCompositeDestinations_Full(t *testing.T) {
	n := newNode(t, withRouting(broker.Routing{Forwards: []broker.Forward{
		{From: queueNamed("a"), To: []broker.Destination{queueNamed("b")}, Only: true, Selector: "x = 1"},
		{From: queueNamed("f"), To: []broker.Destination{queueNamed("failing")}, Only: true},
		{From: queueNamed("far"), To: []broker.Destination{queueNamed("a"), queueNamed("middle")}, Only: true},
		{From: queueNamed("middle"), To: []broker.Destination{queueNamed("end")}, Only: true, Selector: "\"original-destination\" = 'queue://far'"},
	}}), nodePolicy(func(d broker.Destination, p *broker.Policy) {
		switch d.Name {
		case "b", "end":
			p.MaxMessages, p.OnFull = 1, broker.FullBlock
		case "failing":
			p.MaxMessages, p.OnFull = 1, broker.FullFail
		}
	}))
	p := n.connected("")
	p.publish("/queue/a", "x:1\n", "1")
	p.send("SEND\ndestination:/queue/a\nreceipt:2\nx:1\n\n2\x00")
	p.publish("/queue/a", "x:2\n", "goes nowhere")
	c := n.connected("")
	c.subscribe("/queue/b", "")
	c.take("1", "2")
	p.expectReceipt("2")
	p.publish("/queue/far", "", "1")
	p.send("SEND\ndestination:/queue/far\nreceipt:2\n\n2\x00")
	p.publish("/queue/a", "x:2\n", "not held up")
	end := n.connected("")
	end.subscribe("/queue/end", "")
	end.take("1", "2")
	p.expectReceipt("2")
	p.publish("/queue/f", "", "1")
	p.send("SEND\ndestination:/queue/f\n\n2\x00")
	if e := p.expectError("queue-full"); !strings.Contains(e.body, "failing") {
		t.Fatal(e)
	}
}

// Forwards that lead in a circle end in words.
func TestCompositeDestinations_Loop(t *testing.T) {
	n := newNode(t, withRouting(broker.Routing{Forwards: []broker.Forward{
		{From: queueNamed("a"), To: []broker.Destination{topicNamed("b")}},
		{From: topicNamed("b"), To: []broker.Destination{queueNamed("a")}},
	}}))
	p := n.connected("")
	p.send("SEND\ndestination:/queue/a\n\nx\x00")
	if e := p.expectError("limit"); !strings.Contains(e.body, "circle") {
		t.Fatal(e)
	}
	if d := n.depth(queueNamed("a")); d != 0 {
		t.Fatalf("%d copies stayed", d)
	}
}

// Rules can change while the broker runs; what is wrong with them is said.
func TestCompositeDestinations_Reload(t *testing.T) {
	n := newNode(t)
	p := n.connected("")
	p.publish("/queue/a", "", "1")
	if err := n.b.SetRouting(broker.Routing{Forwards: []broker.Forward{{From: queueNamed("*"), To: []broker.Destination{topicNamed("t")}, Selector: "a b"}}}); err == nil {
		t.Fatal("a bad selector was taken")
	}
	if err := n.b.SetRouting(broker.Routing{Forwards: []broker.Forward{{From: queueNamed("*"), To: []broker.Destination{topicNamed("t")}, Only: true}}}); err != nil {
		t.Fatal(err)
	}
	c := n.connected("")
	c.subscribe("/topic/t", "")
	p.publish("/queue/a", "", "2")
	p.publish("/queue/new", "", "3")
	c.take("2", "3")
	if err := n.b.SetRouting(broker.Routing{}); err != nil {
		t.Fatal(err)
	}
	p.publish("/queue/a", "", "4")
	c.nothing()
	if d := n.depth(queueNamed("a")); d != 2 {
		t.Fatalf("%d messages", d)
	}
}

// A mirrored queue shows what it gets on a topic, to plain subscribers and to virtual consumers (semantics 2.2).
func TestMirroredQueues(t *testing.T) {
	n := newNode(t, nodePolicy(func(d broker.Destination, p *broker.Policy) {
		if d.Name == "orders" {
			p.MirrorTo = "VirtualTopic.Mirror."
		}
	}))
	live, virtual := n.connected(""), n.connected("")
	live.subscribe("/topic/VirtualTopic.Mirror.orders", "")
	virtual.subscribe("/queue/Consumer.A.VirtualTopic.Mirror.orders", "")
	n.connected("").publish("/queue/orders", "", "x")
	n.connected("").publish("/queue/other", "", "y")
	for _, m := range append(live.take("x"), virtual.take("x")...) {
		if m.get("original-destination") != "/queue/orders" {
			t.Fatal(m)
		}
	}
	c := n.connected("")
	c.subscribe("/queue/orders", "")
	if m := c.take("x")[0]; m.get("original-destination") != "" {
		t.Fatal(m)
	}
}
