package stomp

import (
	"fmt"
	"strings"
	"testing"

	"treadmq/broker"
	"treadmq/store"
)

func dsub(name string) broker.Destination {
	return broker.Destination{Kind: broker.DurableSub, Name: name}
}

// The spellings of ActiveMQ, Artemis and RabbitMQ: what is sent while the client is away is there when it comes again,
// also after a restart and a power cut.
func TestDurableSubscription_Spellings(t *testing.T) {
	for _, c := range []struct{ name, login, headers, stored string }{
		{"activemq", "client-id:c\n", "activemq.subscriptionName:n\n", "c.n"},
		{"activemq before 5.6", "client-id:c\n", "activemq.subcriptionName:n\n", "c.n"},
		{"artemis", "client-id:c\n", "durable-subscription-name:n\n", "c.n"},
		{"artemis, other name", "client-id:c\n", "durable-subscriber-name:n\n", "c.n"},
		{"without client id", "", "activemq.subscriptionName:n\n", "shared.n"},
		{"rabbitmq", "", "durable:true\nauto-delete:false\n", ""},
		{"rabbitmq persistent", "", "persistent:true\n", ""},
		{"rabbitmq x-queue-name", "", "durable:true\nauto-delete:false\nx-queue-name:mine\n", "mine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			sub := n.connected(c.login)
			sub.subscribe("/topic/a.b", c.headers)
			n.connected("").publish("/topic/a.b", "x:1\n", "live")
			if m := sub.take("live")[0]; m.get("destination") != "/topic/a.b" || m.get("x") != "1" || m.get("subscription") != "s" {
				t.Fatal(m)
			}
			sub.bye()
			n.connected("").publish("/topic/a.b", "", "away")
			n.restart()
			n.connected("").publish("/topic/a.b", "", "restarted")
			n.powerCut()

			infos := n.b.DurableSubscriptions(nil)
			if len(infos) != 1 || (c.stored != "" && infos[0].Name != c.stored) || infos[0].Messages != 2 {
				t.Fatalf("%+v", infos)
			}
			sub = n.connected(c.login)
			sub.subscribe("/topic/a.b", "ack:client-individual\n"+c.headers)
			for _, m := range sub.take("away", "restarted") {
				if m.get("destination") != "/topic/a.b" {
					t.Fatal(m)
				}
				sub.send("ACK\nid:" + m.get("ack") + "\n\n\x00")
			}
			sub.unsubscribe(c.headers)
			if infos := n.b.DurableSubscriptions(nil); len(infos) != 0 {
				t.Fatalf("not deleted: %+v", infos)
			}
			n.restart()
			if infos := n.b.DurableSubscriptions(nil); len(infos) != 0 {
				t.Fatalf("came back: %+v", infos)
			}
		})
	}
}

// A plain UNSUBSCRIBE ends the consumer only.
func TestDurableSubscription_UnsubscribeKeeps(t *testing.T) {
	n := newNode(t)
	sub := n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
	sub.unsubscribe("")
	n.connected("").publish("/topic/a", "", "kept")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
	sub.take("kept")
}

// It is deleted while inactive by its name alone, and not while somebody else consumes from it.
func TestDurableSubscription_Delete(t *testing.T) {
	n := newNode(t)
	sub := n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
	other := n.connected("")
	other.subscribe("/topic/b", "")
	if err := n.b.DeleteDurable("c.n", false, func(error) {}); err == nil {
		t.Fatal("deleted while active")
	}
	sub.unsubscribe("")
	sub.send("UNSUBSCRIBE\nactivemq.subscriptionName:n\nreceipt:d\n\n\x00")
	sub.expectReceipt("d")
	if n.depth(dsub("c.n")) != -1 {
		t.Fatal("still there")
	}
	sub.send("UNSUBSCRIBE\nactivemq.subscriptionName:n\n\n\x00") // nobody waits for an answer
	sub.send("UNSUBSCRIBE\nactivemq.subscriptionName:n\nreceipt:d\n\n\x00")
	sub.expectError("unknown-subscription")
}

// One active consumer, unless all ask to share (semantics 2.10, durable sub with second consumer).
func TestDurableSubscription_SecondConsumer(t *testing.T) {
	n := newNode(t)
	first := n.connected("")
	first.subscribe("/topic/a", "activemq.subscriptionName:n\n")
	for _, headers := range []string{"", "x-shared:true\n"} {
		c := n.connected("")
		c.send("SUBSCRIBE\nid:s\ndestination:/topic/a\nactivemq.subscriptionName:n\n" + headers + "\n\x00")
		if e := c.expectError("in-use"); !strings.Contains(e.body, "shared.n") {
			t.Fatal(e)
		}
	}
	first.bye()
	a, b := n.connected(""), n.connected("")
	a.subscribe("/topic/a", "activemq.subscriptionName:n\nx-shared:true\n")
	b.subscribe("/topic/a", "activemq.subscriptionName:n\nx-shared:true\n")
	p := n.connected("")
	p.publish("/topic/a", "", "1")
	p.publish("/topic/a", "", "2")
	m1, m2 := a.expect("MESSAGE").body, b.expect("MESSAGE").body
	if m1 == m2 {
		t.Fatalf("both got %q", m1)
	}
	c := n.connected("")
	c.send("SUBSCRIBE\nid:s\ndestination:/topic/a\nactivemq.subscriptionName:n\n\n\x00")
	c.expectError("in-use")
}

// In dialect rabbitmq all share.
func TestDurableSubscription_SecondConsumerRabbitMQ(t *testing.T) {
	r := newRig(t)
	r.listen(ListenerOptions{Name: "rabbit", Dialect: DialectRabbitMQ})
	a, b := r.connected(""), r.connected("")
	for _, c := range []*client{a, b} {
		c.subscribe("/topic/a", "durable:true\nauto-delete:false\n")
	}
	p := r.connected("")
	p.publish("/topic/a", "", "1")
	p.publish("/topic/a", "", "2")
	if m1, m2 := a.expect("MESSAGE").body, b.expect("MESSAGE").body; m1 == m2 {
		t.Fatalf("both got %q", m1)
	}
}

// Who comes again after its connection broke finds what it had not acknowledged, flagged.
func TestDurableSubscription_Reconnect(t *testing.T) {
	n := newNode(t)
	sub := n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\nack:client\n")
	n.connected("").publish("/topic/a", "", "x")
	sub.take("x")
	sub.nc.Close()
	until(t, "the broken connection is gone", func() bool { return n.depthInFlight(dsub("c.n")) == 0 })
	sub = n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\nack:client\n")
	if m := sub.take("x")[0]; m.get("redelivered") != "true" || m.get("JMSXDeliveryCount") != "2" {
		t.Fatal(m)
	}
}

func (n *node) depthInFlight(d broker.Destination) int64 {
	q, err := n.b.Queue(d)
	if err != nil {
		n.t.Fatal(err)
	}
	return q.InFlight
}

// A selector decides when a message is published, on all of JMS's names (semantics 2.4, 2.8).
func TestDurableSubscription_Selector(t *testing.T) {
	n := newNode(t)
	sub := n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\nselector:colour = 'red' AND JMSDestination = 'topic\\c//a'\n")
	sub.bye()
	p := n.connected("")
	p.publish("/topic/a", "colour:red\n", "1")
	p.publish("/topic/a", "colour:blue\n", "2")
	if d := n.depth(dsub("c.n")); d != 1 {
		t.Fatalf("%d messages are kept", d)
	}
	n.restart()
	p = n.connected("")
	p.publish("/topic/a", "colour:blue\n", "3")
	p.publish("/topic/a", "colour:red\n", "4")
	sub = n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\nselector:colour = 'red' AND JMSDestination = 'topic\\c//a'\n")
	sub.take("1", "4")
}

// Another topic, selector or no-local is another subscription: the old one's messages go, with a log line (section 3).
func TestDurableSubscription_Changed(t *testing.T) {
	for _, changed := range []string{"/topic/a\nselector:x = 1", "/topic/b", "/topic/a\nactivemq.noLocal:true"} {
		n := newNode(t)
		sub := n.connected("client-id:c\n")
		sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
		sub.unsubscribe("")
		n.connected("").publish("/topic/a", "", "old")
		sub.subscribe(changed, "activemq.subscriptionName:n\n")
		n.connected("").publish("/topic/a,/topic/b", "x:1\n", "new")
		sub.take("new")
		if !strings.Contains(n.log.String(), "made anew") {
			t.Fatal(n.log)
		}
	}
}

// While somebody consumes, it is not changed.
func TestDurableSubscription_ChangedWhileActive(t *testing.T) {
	n := newNode(t)
	n.connected("").subscribe("/topic/a", "activemq.subscriptionName:n\nx-shared:true\n")
	c := n.connected("")
	c.send("SUBSCRIBE\nid:s\ndestination:/topic/b\nactivemq.subscriptionName:n\nx-shared:true\n\n\x00")
	c.expectError("in-use")
}

// What its own client sends is left out, also while it is away (section 3, NoLocal).
func TestDurableSubscription_NoLocal(t *testing.T) {
	for _, header := range []string{"activemq.noLocal:true\n", "no-local:true\n"} {
		n := newNode(t)
		sub := n.connected("client-id:c\n")
		sub.subscribe("/topic/a", "activemq.subscriptionName:n\n"+header)
		sub.publish("/topic/a", "", "own")
		n.connected("").publish("/topic/a", "", "other")
		sub.take("other")
		sub.unsubscribe("")
		sub.publish("/topic/a", "", "own, away")
		sub.subscribe("/topic/a", "activemq.subscriptionName:n\n"+header)
		sub.nothing()
	}
}

// A queue has none, and RabbitMQ's needs something to be known by.
func TestDurableSubscription_Refused(t *testing.T) {
	n := newNode(t)
	for _, c := range []struct{ frame, code string }{
		{"SUBSCRIBE\nid:s\ndestination:/queue/a\nactivemq.subscriptionName:n\n\n\x00", "bad-destination"},
		{"SUBSCRIBE\nid:s\ndestination:/topic/a,/queue/b\nactivemq.subscriptionName:n\n\n\x00", "bad-destination"},
		{"SUBSCRIBE\nid:s\ndestination:/topic/a\nactivemq.subscriptionName:n\nselector:a b\n\n\x00", "bad-selector"},
		{"SUBSCRIBE\nid:s\ndestination:/dsub/none\n\n\x00", "unknown-destination"},
		{"SEND\ndestination:/dsub/none\n\nx\x00", "unknown-destination"},
		{"SUBSCRIBE\nid:s\ndestination:a\\c\\cnone\n\n\x00", "unknown-destination"},
	} {
		cl := n.connected("")
		cl.send(c.frame)
		cl.expectError(c.code)
	}
	c := n.connected("")
	c.subscribe("/queue/a", "durable:true\n") // as RabbitMQ's clients write it of any queue
	n.connected("client-id:a.b\n").subscribe("/topic/a", "activemq.subscriptionName:c\n")
	c = n.connected("client-id:a\n")
	c.send("SUBSCRIBE\nid:s\ndestination:/topic/a\nactivemq.subscriptionName:b.c\n\n\x00")
	c.expectError("in-use") // the same name, but another client's
}

// Wildcards gather from all topics, also from those that come later, and each message says where it was sent.
func TestDurableSubscription_Wildcard(t *testing.T) {
	n := newNode(t)
	p := n.connected("")
	p.publish("/topic/a.1", "", "before")
	sub := n.connected("client-id:c\n")
	sub.subscribe("/topic/a.>", "activemq.subscriptionName:n\n")
	sub.bye()
	p.publish("/topic/a.1", "", "1")
	p.publish("/topic/b", "", "not")
	p.publish("/topic/a.2.x", "", "2")
	n.restart()
	n.connected("").publish("/topic/a", "", "3")
	sub = n.connected("client-id:c\n")
	sub.subscribe("/topic/a.>", "activemq.subscriptionName:n\n")
	for i, m := range sub.take("1", "2", "3") {
		if want := []string{"/topic/a.1", "/topic/a.2.x", "/topic/a"}[i]; m.get("destination") != want {
			t.Fatalf("want %s, got %v", want, m)
		}
	}
}

// A message to several destinations shows the topic by which it came.
func TestDurableSubscription_CompositeSend(t *testing.T) {
	n := newNode(t)
	sub := n.connected("client-id:c\n")
	sub.subscribe("/topic/a,/topic/b", "activemq.subscriptionName:n\n")
	n.connected("").publish("/queue/q,/topic/b", "", "x")
	m := sub.take("x")[0]
	if m.get("destination") != "/topic/b" || strings.Count(m.String(), "destination:") != 1 {
		t.Fatal(m)
	}
	if n.depth(broker.Destination{Kind: broker.Queue, Name: "q"}) != 1 {
		t.Fatal("the queue has not got it")
	}
}

// /dsub/NAME and Artemis's topic::name reach the backlog: SEND, browse, consume (semantics 2.1).
func TestDurableSubscription_ByName(t *testing.T) {
	n := newNode(t)
	sub := n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
	sub.bye()
	c := n.connected("")
	c.publish("/topic/a", "", "1")
	c.publish("/dsub/c.n", "", "2")
	c.publish("a\\c\\cc.n", "", "3")
	c.subscribe("/dsub/c.n", "browser:true\nselector:JMSPriority = 4\n")
	c.take("1", "2", "3", "")
	c.unsubscribe("")
	c.subscribe("a\\c\\cc.n", "")
	for i, m := range c.take("1", "2", "3") {
		if want := []string{"/topic/a", "/dsub/c.n", "/dsub/c.n"}[i]; m.get("destination") != want {
			t.Fatalf("want %s, got %v", want, m)
		}
	}
	other := n.connected("")
	other.send("SUBSCRIBE\nid:s\ndestination:/dsub/c.n\n\n\x00")
	other.expectError("in-use")
	wrong := n.connected("")
	wrong.send("SUBSCRIBE\nid:s\ndestination:b\\c\\cc.n\n\n\x00")
	wrong.expectError("unknown-destination")
}

// persistent:false is kept in memory only (semantics 2.3).
func TestDurableSubscription_NonPersistent(t *testing.T) {
	n := newNode(t)
	sub := n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
	sub.bye()
	p := n.connected("")
	p.publish("/topic/a", "persistent:false\n", "memory")
	p.publish("/topic/a", "", "disk")
	sub = n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\nack:client\n")
	sub.take("memory", "disk")
	n.powerCut()
	sub = n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
	sub.take("disk")
	sub.nothing()
}

// Sent in a transaction, they come with its commit or not at all; priorities and expiry are as in queues.
func TestDurableSubscription_Transaction(t *testing.T) {
	n := newNode(t)
	sub := n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
	sub.bye()
	p := n.connected("")
	send := func(tx, headers, body string) {
		p.send("SEND\ndestination:/topic/a\ntransaction:" + tx + "\n" + headers + "\n" + body + "\x00")
	}
	p.send("BEGIN\ntransaction:1\n\n\x00BEGIN\ntransaction:2\n\n\x00")
	send("1", "", "low")
	send("1", "priority:9\n", "high")
	send("1", "expires:1\n", "expired")
	send("2", "", "aborted")
	p.send("ABORT\ntransaction:2\nreceipt:a\n\n\x00")
	p.expectReceipt("a")
	if d := n.depth(dsub("c.n")); d != 0 {
		t.Fatalf("%d messages before the commit", d)
	}
	p.send("COMMIT\ntransaction:1\nreceipt:c\n\n\x00")
	p.expectReceipt("c")
	n.powerCut()
	sub = n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
	sub.take("high", "low")
	sub.nothing()
	until(t, "the expired message is a dead letter", func() bool { return n.depth(broker.Destination{Kind: broker.Queue, Name: "ActiveMQ.DLQ"}) == 1 })
	dead := n.connected("")
	dead.subscribe("/queue/ActiveMQ.DLQ", "")
	if m := dead.take("expired")[0]; m.get("original-destination") != "/dsub/c.n" || m.get("x-first-death-reason") != "expired" {
		t.Fatal(m)
	}
}

// A full durable subscription never holds up the publisher (promise 6).
func TestDurableSubscription_Full(t *testing.T) {
	for _, c := range []struct {
		onFull     broker.OnFull
		kept, dead []string
	}{
		{broker.FullBlock, []string{"0", "1"}, []string{"2", "3"}},
		{broker.FullFail, []string{"0", "1"}, []string{"2", "3"}},
		{broker.FullDeadLetter, []string{"0", "1"}, []string{"2", "3"}},
		{broker.FullDropOldest, []string{"2", "3"}, nil},
		{broker.FullDiscard, []string{"0", "1"}, nil},
	} {
		t.Run(fmt.Sprint(c.onFull), func(t *testing.T) {
			n := newNode(t, nodePolicy(func(d broker.Destination, p *broker.Policy) {
				if d.Kind == broker.DurableSub {
					p.MaxMessages, p.OnFull = 2, c.onFull
				}
			}))
			sub := n.connected("client-id:c\n")
			sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
			sub.bye()
			live := n.connected("")
			live.subscribe("/topic/a", "")
			p := n.connected("")
			for _, body := range bodies("", 4) {
				p.publish("/topic/a", "", body)
			}
			live.take("0", "1", "2", "3")
			sub = n.connected("client-id:c\n")
			sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
			sub.take(c.kept...)
			sub.nothing()
			if c.dead != nil {
				dead := n.connected("")
				dead.subscribe("/queue/ActiveMQ.DLQ", "")
				for _, m := range dead.take(c.dead...) {
					if m.get("x-first-death-reason") != "maxlen" || m.get("original-destination") != "/dsub/c.n" {
						t.Fatal(m)
					}
				}
			}
		})
	}
}

// A transaction that is aborted has thrown nothing out of a full subscription.
func TestDurableSubscription_FullInTransaction(t *testing.T) {
	n := newNode(t, nodePolicy(func(d broker.Destination, p *broker.Policy) {
		if d.Kind == broker.DurableSub {
			p.MaxMessages, p.OnFull = 2, broker.FullDropOldest
		}
	}))
	sub := n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
	sub.bye()
	p := n.connected("")
	p.publish("/topic/a", "", "1")
	p.publish("/topic/a", "", "2")
	for _, end := range []string{"ABORT", "COMMIT"} {
		p.send("BEGIN\ntransaction:t\n\n\x00SEND\ndestination:/topic/a\ntransaction:t\nreceipt:s\n\n3\x00")
		p.expectReceipt("s")
		if d := n.depth(dsub("c.n")); d != 2 {
			t.Fatalf("%d messages before %s", d, end)
		}
		p.send(end + "\ntransaction:t\nreceipt:e\n\n\x00")
		p.expectReceipt("e")
	}
	sub = n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
	sub.take("2", "3")
}

// Neither the receipt of the SUBSCRIBE that makes a subscription comes before the disk has it, nor that of a message to
// its topic, nor the message itself, nor the receipt of the UNSUBSCRIBE that deletes it. The same for the queue of a
// virtual topic's consumer.
func TestDurableSubscription_ReceiptsWaitForTheDisk(t *testing.T) {
	g := &gate{}
	r := newRig(t, func(r *rig) { r.wrap = func(s store.Store) store.Store { g.Store = s; return g } })
	sub, virtual, live, p := r.connected(""), r.connected(""), r.connected(""), r.connected("")
	live.subscribe("/topic/VirtualTopic.a", "")
	held := func(c *client, frame, receipt string) {
		t.Helper()
		before := g.waiting()
		c.send(frame)
		until(t, "it reaches the store", func() bool { return g.waiting() > before })
		c.expectNothing()
		g.set(false)
		c.expectReceipt(receipt)
		g.set(true)
	}
	g.set(true)
	held(sub, "SUBSCRIBE\nid:s\ndestination:/topic/VirtualTopic.a\nactivemq.subscriptionName:n\nreceipt:1\n\n\x00", "1")
	held(virtual, "SUBSCRIBE\nid:s\ndestination:/queue/Consumer.A.VirtualTopic.a\nreceipt:2\n\n\x00", "2")
	p.send("SEND\ndestination:/topic/VirtualTopic.a\nreceipt:3\n\nx\x00")
	until(t, "it reaches the store", func() bool { return g.waiting() > 0 })
	for _, c := range []*client{sub, virtual, live, p} {
		c.expectNothing()
	}
	g.set(false)
	p.expectReceipt("3")
	for _, c := range []*client{sub, virtual, live} {
		c.take("x")
	}
	until(t, "what is consumed is acknowledged", func() bool {
		info, err := r.b.DurableSubscription("shared.n")
		return err == nil && info.Messages == 0
	})
	g.set(true)
	held(sub, "UNSUBSCRIBE\nid:s\nactivemq.subscriptionName:n\nreceipt:4\n\n\x00", "4")
	g.set(false)
}

// What is scheduled to a topic is kept for its durable subscriptions when it is due.
func TestDurableSubscription_Scheduled(t *testing.T) {
	n := newNode(t)
	sub := n.connected("client-id:c\n")
	sub.subscribe("/topic/a.>", "activemq.subscriptionName:n\nselector:k = 'v'\n")
	p := n.connected("")
	p.publish("/topic/a.b", "AMQ_SCHEDULED_DELAY:50\nk:v\n", "later")
	p.publish("/topic/a.b", "AMQ_SCHEDULED_DELAY:50\n", "not wanted")
	if m := sub.take("later")[0]; m.get("destination") != "/topic/a.b" || m.get("scheduledJobId") == "" {
		t.Fatal(m)
	}
}

// What is rejected goes the way of a queue's messages.
func TestDurableSubscription_DeadLetter(t *testing.T) {
	n := newNode(t)
	sub := n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\nack:client-individual\n")
	n.connected("").publish("/topic/a", "k:v\n", "bad")
	m := sub.take("bad")[0]
	sub.send("NACK\nid:" + m.get("ack") + "\nrequeue:false\nreceipt:r\n\n\x00")
	sub.expectReceipt("r")
	dead := n.connected("")
	dead.subscribe("/queue/ActiveMQ.DLQ", "")
	if d := dead.take("bad")[0]; d.get("original-destination") != "/dsub/c.n" || d.get("k") != "v" || d.get("message-id") != m.get("message-id") {
		t.Fatal(d)
	}
}

// A dead letter that is sent back reaches the one subscription again, as it was.
func TestDurableSubscription_Retry(t *testing.T) {
	n := newNode(t)
	sub, other := n.connected("client-id:c\n"), n.connected("client-id:d\n")
	sub.subscribe("/topic/b", "activemq.subscriptionName:n\nack:client-individual\n")
	other.subscribe("/topic/b", "activemq.subscriptionName:n\n")
	n.connected("").publish("/queue/q,/topic/b", "", "bad")
	m := sub.take("bad")[0]
	sub.send("NACK\nid:" + m.get("ack") + "\nrequeue:false\nreceipt:r\n\n\x00")
	sub.expectReceipt("r")
	dlq := broker.Destination{Kind: broker.Queue, Name: "ActiveMQ.DLQ"}
	page, _, _, err := n.b.Browse(dlq, broker.Cursor{}, 10, 1<<20)
	if err != nil || len(page) != 1 {
		t.Fatal(page, err)
	}
	sum, err := n.b.Act(dlq, []broker.Cursor{{Lane: page[0].Lane, Seq: page[0].Seq}}, broker.ActRetry, broker.Destination{}, nil)
	if err != nil || sum.Done != 1 {
		t.Fatal(sum, err)
	}
	if again := sub.take("bad")[0]; again.get("destination") != "/topic/b" || again.get("message-id") != m.get("message-id") {
		t.Fatal(again)
	}
	other.take("bad")
	other.nothing()
}

// The receipt of a message to a topic with a durable subscription means that it is on disk.
func TestDurableSubscription_ReceiptMeansDisk(t *testing.T) {
	n := newNode(t)
	sub := n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
	n.powerCut() // right after the receipt of SUBSCRIBE
	for _, body := range bodies("", 20) {
		n.connected("").publish("/topic/a", "", body)
		n.powerCut()
	}
	sub = n.connected("client-id:c\n")
	sub.subscribe("/topic/a", "activemq.subscriptionName:n\n")
	sub.take(bodies("", 20)...)
}

// One stored body, however many subscriptions.
func TestDurableSubscription_OneBody(t *testing.T) {
	n := newNode(t)
	const subs, size = 50, 20_000
	for i := range subs {
		c := n.connected(fmt.Sprintf("client-id:c%d\n", i))
		c.subscribe("/topic/a", "activemq.subscriptionName:n\n")
		c.bye()
	}
	before := n.b.StoreStats().End
	n.connected("").publish("/topic/a", "", strings.Repeat("x", size))
	if grown := n.b.StoreStats().End - before; grown > size+4000 {
		t.Fatalf("the journal grew by %d bytes for a message of %d bytes to %d subscriptions", grown, size, subs)
	}
	n.restart()
	for i := range subs {
		c := n.connected(fmt.Sprintf("client-id:c%d\n", i))
		c.subscribe("/topic/a", "activemq.subscriptionName:n\n")
		if m := c.expect("MESSAGE"); len(m.body) != size {
			t.Fatalf("%d bytes", len(m.body))
		}
	}
}
