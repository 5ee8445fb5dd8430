package stomp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"treadmq/broker"
)

const individual = "ack:client-individual\n"

func queuePolicy(change func(*broker.Policy)) func(*rig) {
	return withPolicy(func(_ broker.Destination, p *broker.Policy) { change(p) })
}

func (c *client) ack(m got, headers string) {
	c.t.Helper()
	c.send("ACK\nid:" + m.get("ack") + "\nreceipt:a\n" + headers + "\n\x00")
	c.expectReceipt("a")
}

// settle acknowledges without a receipt: what the credit brings may come before one.
func (c *client) settle(m got, headers string) {
	c.t.Helper()
	c.send("ACK\nid:" + m.get("ack") + "\n" + headers + "\n\x00")
}

// A group's messages go to one consumer, in order; its aliases mean the same; the first one says so.
func TestMessageGroups_OneConsumer(t *testing.T) {
	r := newRig(t)
	p, a, b := r.connected(""), r.connected(""), r.connected("")
	a.subscribe("/queue/q", individual)
	b.subscribe("/queue/q", individual)
	for i, name := range []string{"JMSXGroupID", "message_group", "x-group-id"} {
		p.publish("/queue/q", name+":g\n", fmt.Sprint("g", i))
		p.publish("/queue/q", name+":h\n", fmt.Sprint("h", i))
	}
	first, second := a, b
	m := first.expect("MESSAGE")
	if m.body == "h0" {
		first, second = b, a
		second.t.Logf("the second consumer came first")
		second.take("h1", "h2")
		m = first.take("g0")[0]
	} else {
		second.take("h0", "h1", "h2")
	}
	if m.get("JMSXGroupID") != "g" || m.get("JMSXGroupFirstForConsumer") != "true" {
		t.Errorf("the first message of the group: %v", m)
	}
	for _, m := range first.take("g1", "g2") {
		if m.get("JMSXGroupFirstForConsumer") != "" {
			t.Errorf("not the first: %v", m)
		}
	}
}

// A group whose consumer has no room holds up nothing else; a negative sequence closes it.
func TestMessageGroups_BlockedAndClosed(t *testing.T) {
	r := newRig(t)
	p, a, b := r.connected(""), r.connected(""), r.connected("")
	a.subscribe("/queue/q", individual+"activemq.prefetchSize:1\n")
	p.publish("/queue/q", "JMSXGroupID:g\n", "g0")
	g0 := a.take("g0")[0]
	p.publish("/queue/q", "JMSXGroupID:g\nJMSXGroupSeq:-1\n", "g1")
	p.publish("/queue/q", "JMSXGroupID:g\n", "g2")
	p.publish("/queue/q", "JMSXGroupID:h\n", "h0")
	p.publish("/queue/q", "", "plain")
	b.subscribe("/queue/q", individual)
	b.take("h0", "plain")
	b.nothing()
	a.settle(g0, "")
	g1 := a.take("g1")[0]
	if g1.get("JMSXGroupSeq") != "-1" {
		t.Errorf("the sequence is gone: %v", g1)
	}
	b.nothing() // the closing message is still at its consumer
	a.unsubscribe("")
	b.take("g1")
	b.nothing()
}

func TestMessageGroups_RedeliveryKeepsOrder(t *testing.T) {
	r := newRig(t)
	p, a := r.connected(""), r.connected("")
	for i := range 3 {
		p.publish("/queue/q", "JMSXGroupID:g\n", fmt.Sprint("g", i))
	}
	p.publish("/queue/q", "JMSXGroupID:h\n", "h0")
	a.subscribe("/queue/q", individual+"activemq.prefetchSize:1\n")
	m := a.take("g0")[0]
	a.send("NACK\nid:" + m.get("ack") + "\nx-delay:300\n\n\x00")
	for _, want := range []string{"h0", "g0", "g1", "g2"} {
		a.send("ACK\nid:" + a.take(want)[0].get("ack") + "\n\n\x00")
	}
}

func TestConsumersBeforeDispatchStarts(t *testing.T) {
	r := newRig(t, queuePolicy(func(p *broker.Policy) { p.ConsumersToStart, p.TimeBeforeStart = 2, time.Hour }))
	a, b := r.connected(""), r.connected("")
	a.publish("/queue/q", "JMSXGroupID:g\n", "g")
	a.publish("/queue/q", "JMSXGroupID:h\n", "h")
	a.subscribe("/queue/q", individual)
	a.nothing()
	b.subscribe("/queue/q", individual)
	one, other := a.expect("MESSAGE").body, b.expect("MESSAGE").body
	if one == other {
		t.Errorf("both groups went to one consumer")
	}
}

// Never do two consumers of an exclusive one's queue hold messages at a time.
func TestExclusive_HandOver(t *testing.T) {
	for name, policy := range map[string]bool{"header": false, "allConsumersExclusiveByDefault": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, queuePolicy(func(p *broker.Policy) { p.AllExclusive = policy }))
			p, a, b := r.connected(""), r.connected(""), r.connected("")
			headers := individual + "activemq.exclusive:true\n"
			if policy {
				headers = individual
			}
			a.subscribe("/queue/q", headers)
			b.subscribe("/queue/q", headers)
			p.publish("/queue/q", "", "1")
			p.publish("/queue/q", "", "2")
			a.take("1", "2")
			b.nothing()
			a.unsubscribe("")
			b.take("1", "2")
		})
	}
	t.Run("joins others", func(t *testing.T) {
		r := newRig(t)
		p, a, b := r.connected(""), r.connected(""), r.connected("")
		a.subscribe("/queue/q", individual)
		p.publish("/queue/q", "", "1")
		m := a.take("1")[0]
		b.subscribe("/queue/q", individual+"activemq.exclusive:true\n")
		p.publish("/queue/q", "", "2")
		b.nothing()
		a.ack(m, "")
		b.take("2")
		a.nothing()
	})
	t.Run("higher priority", func(t *testing.T) {
		r := newRig(t)
		p, a, same, b := r.connected(""), r.connected(""), r.connected(""), r.connected("")
		const headers = individual + "activemq.exclusive:true\nactivemq.priority:"
		a.subscribe("/queue/q", headers+"1\n")
		same.subscribe("/queue/q", headers+"1\n")
		p.publish("/queue/q", "", "1")
		m := a.take("1")[0]
		b.subscribe("/queue/q", headers+"9\n")
		p.publish("/queue/q", "", "2")
		b.nothing() // a holds a message
		a.nothing()
		a.ack(m, "")
		b.take("2")
		a.nothing()
		same.nothing()
	})
}

// Of several exclusive consumers the one with the highest priority is served, also when it comes later: as ActiveMQ does.
func TestExclusive_HigherPriority(t *testing.T) {
	r := newRig(t)
	p, a, b, c := r.connected(""), r.connected(""), r.connected(""), r.connected("")
	headers := individual + "activemq.exclusive:true\n"
	a.subscribe("/queue/q", headers)
	p.publish("/queue/q", "", "1")
	m := a.take("1")[0]
	b.subscribe("/queue/q", headers+"activemq.priority:5\n")
	c.subscribe("/queue/q", headers+"activemq.priority:5\n")
	p.publish("/queue/q", "", "2")
	a.nothing()
	b.nothing() // what the other holds is not settled
	a.ack(m, "")
	b.take("2")
	a.nothing()
	c.nothing()
	b.unsubscribe("")
	c.take("2")
}

func TestConsumerPriority_Policies(t *testing.T) {
	r := newRig(t, queuePolicy(func(p *broker.Policy) { p.IgnorePriority, p.StrictOrder = true, true }))
	p, a, b := r.connected(""), r.connected(""), r.connected("")
	a.subscribe("/queue/q", individual+"activemq.prefetchSize:2\n")
	b.subscribe("/queue/q", individual+"activemq.prefetchSize:2\nactivemq.priority:9\n")
	for i := range 4 {
		p.publish("/queue/q", "", fmt.Sprint(i))
	}
	one := a.expect("MESSAGE").body // useConsumerPriority is off, and one is filled before the other
	if one == "0" {
		a.take("1")
		b.take("2", "3")
	} else {
		a.take("3")
		b.take("0", "1")
	}
}

// Without useConsumerPriority consumers have messages in turn, whatever their priority.
func TestConsumerPriority_Off(t *testing.T) {
	for _, off := range []bool{false, true} {
		r := newRig(t, queuePolicy(func(p *broker.Policy) { p.IgnorePriority = off }))
		p, a, b := r.connected(""), r.connected(""), r.connected("")
		a.subscribe("/queue/q", individual)
		b.subscribe("/queue/q", individual+"activemq.priority:9\n")
		for i := range 4 {
			p.publish("/queue/q", "", fmt.Sprint(i))
		}
		if !off {
			b.take("0", "1", "2", "3")
			continue
		}
		one, other := a, b
		if m := b.expect("MESSAGE"); m.body == "0" {
			one, other = b, a
			one.take("2")
			other.take("1", "3")
		} else {
			other.take("3")
			one.take("0", "2")
		}
	}
}

func TestLastValue(t *testing.T) {
	n := newNode(t, nodePolicy(func(_ broker.Destination, p *broker.Policy) { p.LastValueKey = "stock" }))
	p := n.connected("")
	for i := range 10 {
		p.publish("/queue/q", fmt.Sprintf("stock:%d\n", i%2), fmt.Sprint(i))
	}
	p.publish("/queue/q", "_AMQ_LVQ_NAME:1\n", "alias")
	p.publish("/queue/q", "", "plain")
	n.powerCut()
	until(t, "the newest are left", func() bool { return n.depth(queueNamed("q")) == 3 })
	c := n.connected("")
	c.subscribe("/queue/q", individual)
	if m := c.take("8", "alias", "plain")[1]; m.get("_AMQ_LVQ_NAME") != "1" {
		t.Errorf("the key is gone: %v", m)
	}
}

func TestRetroactive(t *testing.T) {
	r := newRig(t, queuePolicy(func(p *broker.Policy) {
		p.Recovery = broker.Recovery{Kind: broker.RecoverCount, Count: 2}
	}))
	c := r.connected("")
	for i := range 4 {
		c.publish("/topic/t", "n:"+fmt.Sprint(i)+"\n", fmt.Sprint(i))
	}
	c.subscribe("/topic/t", "activemq.retroactive:true\n")
	c.take("2", "3")
	c.unsubscribe("")
	c.subscribe("/topic/t?consumer.retroactive=true", "selector:n <> 2\n")
	c.take("3")
	c.unsubscribe("")
	c.subscribe("/topic/t", "")
	c.nothing()
}

func TestRetain(t *testing.T) {
	n := newNode(t)
	p := n.connected("")
	p.publish("/topic/a", "retain:set\n", "old")
	p.publish("/topic/a", "ActiveMQ.Retain:true\n", "new")
	p.publish("/topic/b", "retain:set\n", "b")
	p.publish("/topic/b", "retain:remove\n", "gone")
	look := func(want ...string) {
		t.Helper()
		c := n.connected("")
		c.subscribe("/topic/*", "")
		for _, m := range c.take(want...) {
			if m.get("retained") != "true" {
				t.Errorf("it does not say that it was retained: %v", m)
			}
		}
		c.nothing()
		c.bye()
	}
	look("new")
	n.powerCut()
	look("new")
	p = n.connected("")
	p.send("SEND\ndestination:/topic/a\nretain:perhaps\n\n\x00")
	p.expectError("bad-request")
}

// Overdue messages alone go back; the one who holds them is told, or closed, as the policy says.
func TestSlowConsumers_AckTimeout(t *testing.T) {
	r := newRig(t)
	p, a, b := r.connected(""), r.connected(""), r.connected("")
	a.subscribe("/queue/q", individual+"x-ack-timeout:100\nactivemq.prefetchSize:1\n")
	p.publish("/queue/q", "", "late")
	m := a.take("late")[0]
	b.subscribe("/queue/q", individual+"activemq.priority:9\n")
	again := b.take("late")[0]
	if again.get("redelivered") != "true" || again.get("JMSXDeliveryCount") != "2" {
		t.Errorf("it came back as %v", again)
	}
	a.ack(m, "") // too late, and no error
}

func TestSlowConsumers_Close(t *testing.T) {
	r := newRig(t, queuePolicy(func(p *broker.Policy) { p.AckTimeout, p.Overdue = 100*time.Millisecond, broker.OverdueClose }))
	a := r.connected("")
	a.publish("/queue/q", "", "1")
	a.subscribe("/queue/q", individual)
	a.take("1")
	if e := a.expectError("limit"); !strings.Contains(e.body+e.get("message"), "acknowledged within") {
		t.Errorf("it says %v", e)
	}
}

func TestTrustTimestampAndPopulateUserID(t *testing.T) {
	r := newRig(t, queuePolicy(func(p *broker.Policy) { p.TrustTimestamp, p.UserID = true, true }))
	c := r.connected("login:anna\npasscode:x\n")
	c.subscribe("/queue/q", "")
	c.publish("/queue/q", "timestamp:1234567890123\nJMSXUserID:somebody else\n", "1")
	m := c.take("1")[0]
	if m.get("timestamp") != "1234567890123" || m.get("JMSXUserID") != "anna" {
		t.Errorf("it came as %v", m)
	}
}

func TestMaxDestinations(t *testing.T) {
	r := newRig(t, withPolicy(func(d broker.Destination, p *broker.Policy) {
		if broker.MatchName("few.>", d.Name) {
			p.MaxDestinations, p.CountedBy = 2, "few.>"
		}
	}))
	c := r.connected("")
	c.publish("/queue/few.1", "", "1")
	c.publish("/queue/few.2", "", "1")
	c.publish("/queue/other", "", "1")
	c.send("SEND\ndestination:/queue/few.3\n\n\x00")
	c.expectError("limit")
}

// Acknowledgements and sends over many destinations are in one record: a power cut before COMMIT leaves nothing of it,
// one after its RECEIPT all.
func TestTransactions_ManyDestinations(t *testing.T) {
	n := newNode(t)
	c := n.connected("")
	for i := range 5 {
		c.publish(fmt.Sprint("/queue/in", i), "", fmt.Sprint(i))
	}
	run := func(commit bool) {
		t.Helper()
		c := n.connected("")
		c.send("BEGIN\ntransaction:t\n\n\x00")
		for i := range 5 {
			c.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/queue/in%d\nack:client-individual\n\n\x00", i, i))
			c.ack(c.take(fmt.Sprint(i))[0], "transaction:t\n")
			c.publish(fmt.Sprintf("/queue/out%d,/queue/all", i), "transaction:t\n", fmt.Sprint(i))
		}
		if commit {
			c.send("COMMIT\ntransaction:t\nreceipt:c\n\n\x00")
			c.expectReceipt("c")
		}
		n.powerCut()
	}
	look := func(in, out int64) {
		t.Helper()
		for i := range 5 {
			if got := n.depth(queueNamed(fmt.Sprint("in", i))); got != in {
				t.Errorf("in%d has %d messages, expected %d", i, got, in)
			}
			if got := max(n.depth(queueNamed(fmt.Sprint("out", i))), 0); got != out {
				t.Errorf("out%d has %d messages, expected %d", i, got, out)
			}
		}
		if got := max(n.depth(queueNamed("all")), 0); got != 5*out {
			t.Errorf("all has %d messages", got)
		}
	}
	run(false)
	look(1, 0)
	run(true)
	look(0, 1)
}

// A NACK in a transaction takes effect with it: after ABORT the message is still its consumer's.
func TestTransactions_Nack(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	c.publish("/queue/q", "", "1")
	c.subscribe("/queue/q", individual)
	m := c.take("1")[0]
	nack := func(end string) {
		c.send("BEGIN\ntransaction:t\n\n\x00NACK\nid:" + m.get("ack") + "\ntransaction:t\nrequeue:false\n\n\x00" +
			end + "\ntransaction:t\nreceipt:e\n\n\x00")
		c.expectReceipt("e")
	}
	nack("ABORT")
	c.nothing()
	if depth(r, "/queue/ActiveMQ.DLQ") > 0 {
		t.Fatal("an aborted NACK made a dead letter")
	}
	nack("COMMIT")
	until(t, "there is a dead letter", func() bool { return depth(r, "/queue/ActiveMQ.DLQ") == 1 })
	if depth(r, "/queue/q") != 0 {
		t.Error("the message is in the queue too")
	}
}

// After ABORT the same ack ids are good again, and nothing is delivered again; what was acknowledged stays with its
// consumer until it goes.
func TestTransactions_AbortKeepsDeliveries(t *testing.T) {
	r := newRig(t)
	c, other := r.connected(""), r.connected("")
	fill(c, "/queue/q", 3)
	c.subscribe("/queue/q", "ack:client\nactivemq.prefetchSize:2\n")
	list := c.take("0", "1")
	c.send("BEGIN\ntransaction:t\n\n\x00")
	c.settle(list[1], "transaction:t\n")
	list = append(list, c.take("2")...) // the credit is free at once
	c.send("ABORT\ntransaction:t\nreceipt:e\n\n\x00")
	c.expectReceipt("e")
	other.subscribe("/queue/q", individual)
	c.nothing()
	other.nothing()
	c.ack(list[0], "")
	c.ack(list[2], "")
	if depth(r, "/queue/q") != 0 {
		t.Errorf("%d messages are left", depth(r, "/queue/q"))
	}
}

func TestTransactions_Limits(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	for i := range 64 {
		c.send(fmt.Sprintf("BEGIN\ntransaction:t%d\n\n\x00", i))
	}
	c.send("BEGIN\ntransaction:more\n\n\x00")
	if e := c.expectError("limit"); !strings.Contains(e.body+e.get("message"), "64 open transactions") {
		t.Errorf("it says %v", e)
	}
}
