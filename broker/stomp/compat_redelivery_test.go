package stomp

import (
	"fmt"
	"testing"
	"time"

	"treadmq/broker"
)

// atOnce makes redeliveries come without a delay, and changes more.
func atOnce(change func(*broker.Policy)) func(*rig) {
	return withPolicy(func(_ broker.Destination, p *broker.Policy) {
		p.Redelivery.Initial, p.Redelivery.Delay = 0, 0
		if change != nil {
			change(p)
		}
	})
}

// nackOnce sends a message, lets it fail once with further headers, and returns a consumer of the dead letters.
func nackOnce(r *rig, c *client, headers string) (dead *client) {
	dead = r.connected("")
	dead.subscribe("/queue/ActiveMQ.DLQ", "")
	c.publish("/queue/a", "", "x")
	c.subscribe("/queue/a", "ack:client-individual\n")
	c.send("NACK\nid:" + c.take("x")[0].get("ack") + "\n" + headers + "\n\x00")
	return dead
}

// A NACK is a failed attempt: the message comes again, then it is a dead letter. requeue:false skips the first, what
// nackDefault says can skip either.
func TestCompatRedelivery_Nack(t *testing.T) {
	again := func(t *testing.T, c, _ *client) {
		if m := c.take("x")[0]; m.get("redelivered") != "true" || m.get("JMSXDeliveryCount") != "2" {
			t.Fatal(m)
		}
	}
	isDead := func(t *testing.T, c, dead *client) {
		if m := dead.take("x")[0]; m.get("x-first-death-reason") != "rejected" || m.get("x-reason") != "db down" {
			t.Fatal(m)
		}
		c.nothing()
	}
	for _, c := range []struct {
		name, headers string
		nack          broker.Nack
		then          func(t *testing.T, c, dead *client)
	}{
		{"default", "", broker.NackRetry, again},
		{"requeue:true", "requeue:true\n", broker.NackRetry, again},
		{"requeue:false", "requeue:false\nx-reason:db down\n", broker.NackRetry, isDead},
		{"x-delay", "x-delay:1\n", broker.NackRetry, again},
		{"as ActiveMQ", "x-reason:db down\n", broker.NackDeadLetter, isDead},
		{"as RabbitMQ", "", broker.NackRequeue, again},
		{"as Artemis", "", broker.NackDiscard, func(t *testing.T, c, dead *client) {
			c.nothing()
			dead.nothing()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, atOnce(func(p *broker.Policy) { p.Nack = c.nack }))
			client := r.connected("")
			dead := nackOnce(r, client, c.headers)
			c.then(t, client, dead)
		})
	}
}

// A consumer that dies on a message meets it seven times and not for ever. The count shows.
func TestCompatRedelivery_Crashes(t *testing.T) {
	r := newRig(t)
	dead := r.connected("")
	dead.subscribe("/queue/ActiveMQ.DLQ", "")
	dead.publish("/queue/a", "k:v\n", "poison")
	for i := 1; i <= 7; i++ {
		c := r.connected("")
		c.subscribe("/queue/a", "ack:client\n")
		m := c.take("poison")[0]
		count, again := m.get("JMSXDeliveryCount"), m.get("redelivered")
		if i == 1 && (count != "" || again != "") || i > 1 && (count != fmt.Sprint(i) || again != "true") {
			t.Fatalf("delivery %d: %v", i, m)
		}
		_ = c.nc.Close()
	}
	m := dead.take("poison")[0]
	for name, want := range map[string]string{
		"original-destination": "/queue/a", "x-first-death-reason": "max-deliveries", "x-first-death-queue": "a", "x-death-count": "1",
		"originalDeliveryMode": "PERSISTENT", "k": "v", "persistent": "true",
	} {
		if got := m.get(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	if m.get("dlqDeliveryFailureCause") == "" || m.get("x-death-time") == "" {
		t.Error(m)
	}
}

// What comes back has its old place, and only what had been written is counted: UNSUBSCRIBE and a lost connection.
func TestCompatRedelivery_KeepsPlace(t *testing.T) {
	for _, how := range []string{"unsubscribe", "disconnect", "lost"} {
		t.Run(how, func(t *testing.T) {
			r := newRig(t, atOnce(nil))
			c, other := r.connected(""), r.connected("")
			fill(other, "/queue/a", 5)
			c.subscribe("/queue/a", "ack:client-individual\nactivemq.prefetchSize:2\n")
			c.take("0", "1")
			switch how {
			case "unsubscribe":
				c.unsubscribe("")
			case "disconnect":
				c.bye()
			default:
				_ = c.nc.Close()
				until(t, "the connection is gone", func() bool { return len(r.b.Connections()) == 1 })
			}
			other.subscribe("/queue/a", "")
			for i, m := range other.take("0", "1", "2", "3", "4") {
				if again := m.get("redelivered") == "true"; again != (i < 2) {
					t.Errorf("%s: redelivered is %v", m.body, again)
				}
			}
		})
	}
}

// Where dead letters go, and which messages become one.
func TestCompatRedelivery_DeadLetterPolicy(t *testing.T) {
	for _, c := range []struct {
		name, headers string
		policy        func(*broker.DeadLetter)
		queue         string // "" if none gets it
	}{
		{"shared", "", func(*broker.DeadLetter) {}, "ActiveMQ.DLQ"},
		{"shared, named", "", func(d *broker.DeadLetter) { d.Queue = "rejects" }, "rejects"},
		{"individual", "", func(d *broker.DeadLetter) { d.Strategy, d.Suffix = broker.DeadLetterIndividual, ".dead" }, "DLQ.a.dead"},
		{"discard", "", func(d *broker.DeadLetter) { d.Strategy = broker.DeadLetterDiscard }, ""},
		{"non-persistent", "persistent:false\n", func(*broker.DeadLetter) {}, "ActiveMQ.DLQ"},
		{"not non-persistent", "persistent:false\n", func(d *broker.DeadLetter) { d.ProcessNonPersistent = false }, ""},
		{"expired", "expires:1000\n", func(*broker.DeadLetter) {}, "ActiveMQ.DLQ"},
		{"not expired", "expires:1000\n", func(d *broker.DeadLetter) { d.ProcessExpired = false }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, atOnce(func(p *broker.Policy) { c.policy(&p.DeadLetter) }))
			all, client := r.connected(""), r.connected("")
			all.subscribe("/queue/>", "selector:\"x-first-death-reason\" IS NOT NULL\n")
			client.publish("/queue/a", c.headers, "x")
			client.subscribe("/queue/a", "ack:client-individual\n")
			if c.headers != "expires:1000\n" {
				client.send("NACK\nid:" + client.take("x")[0].get("ack") + "\nrequeue:false\n\n\x00")
			}
			client.nothing()
			if c.queue == "" {
				until(t, "it is gone", func() bool { return depth(r, "/queue/a") == 0 })
				for _, q := range r.b.Queues(nil) {
					if q.Messages > 0 {
						t.Fatalf("%v has it", q.Destination)
					}
				}
				return
			}
			if m := all.take("x")[0]; m.get("destination") != "/queue/"+c.queue || m.get("persistent") != "true" {
				t.Fatal(m)
			}
		})
	}
}

// An expired message is found wherever it is in the queue, and no consumer gets it.
func TestCompatRedelivery_ExpiryInTheMiddle(t *testing.T) {
	r := newRig(t)
	c, dead := r.connected(""), r.connected("")
	dead.subscribe("/queue/ActiveMQ.DLQ", "")
	for i := range 100 {
		headers := ""
		if i == 50 {
			headers = "x-ttl:200\n"
		}
		c.publish("/queue/a", headers, fmt.Sprint(i))
	}
	dead.take("50") // nobody consumes from the queue
	c.subscribe("/queue/a", "")
	for i := range 100 {
		if i != 50 {
			c.take(fmt.Sprint(i))
		}
	}
}

// What has expired when it comes is a dead letter at once: here nobody looks for expired messages, and nobody consumes.
func TestCompatRedelivery_ExpiredBeforeItCame(t *testing.T) {
	r := newRig(t, queuePolicy(func(p *broker.Policy) { p.ExpirePeriod = 0 }))
	c, dead := r.connected("client-id:c\n"), r.connected("")
	dead.subscribe("/queue/ActiveMQ.DLQ", "")
	c.subscribe("/topic/t", "activemq.subscriptionName:d\n")
	c.send("UNSUBSCRIBE\nid:s\nreceipt:u\n\n\x00")
	c.expectReceipt("u")
	late := func(destination, headers, from string) {
		t.Helper()
		c.publish(destination, "expires:1000000000000\n"+headers, destination+headers)
		m := dead.take(destination + headers)[0]
		if m.get("x-first-death-reason") != "expired" || m.get("originalExpiration") != "1000000000000" || m.get("original-destination") != from {
			t.Errorf("%v", m)
		}
	}
	late("/queue/a", "", "/queue/a")
	late("/queue/a", "persistent:false\n", "/queue/a")
	late("/queue/a", "JMSXGroupID:g\n", "/queue/a")
	late("/topic/t", "", "/dsub/c.d")
	c.publish("/queue/a", "", "in time")
	if got := depth(r, "/queue/a"); got != 1 {
		t.Errorf("the queue has %d messages", got)
	}
	c.subscribe("/queue/a", "")
	c.take("in time")
}

// A failed message waits longer each time while others pass it; with redeliveryBlocks they wait, too.
func TestCompatRedelivery_BackOff(t *testing.T) {
	for _, blocks := range []bool{false, true} {
		t.Run(fmt.Sprint("blocks ", blocks), func(t *testing.T) {
			r := newRig(t, withPolicy(func(_ broker.Destination, p *broker.Policy) {
				p.Redelivery.Initial, p.Redelivery.Delay, p.Redelivery.Blocks = 50*time.Millisecond, 50*time.Millisecond, blocks
			}))
			c := r.connected("")
			fill(c, "/queue/a", 2)
			c.subscribe("/queue/a", "ack:client-individual\nactivemq.prefetchSize:1\n")
			c.send("NACK\nid:" + c.take("0")[0].get("ack") + "\n\n\x00")
			order := []string{"1", "0"}
			if blocks {
				order = []string{"0", "1"}
			}
			for _, want := range order {
				c.send("ACK\nid:" + c.take(want)[0].get("ack") + "\n\n\x00")
			}
		})
	}
}

// With the strategy individual a durable subscription has a dead-letter queue of its own.
func TestCompatRedelivery_DeadLettersOfSubscriber(t *testing.T) {
	r := newRig(t, withPolicy(func(d broker.Destination, p *broker.Policy) {
		if d.Kind == broker.DurableSub {
			p.DeadLetter.Strategy = broker.DeadLetterIndividual
		}
	}))
	one, two := r.connected("client-id:one\n"), r.connected("client-id:two\n")
	for _, c := range []*client{one, two} {
		c.subscribe("/topic/t", "activemq.subscriptionName:audit\nack:client-individual\n")
	}
	r.connected("").publish("/topic/t", "", "x")
	for _, c := range []*client{one, two} {
		c.send("NACK\nid:" + c.take("x")[0].get("ack") + "\nrequeue:false\nreceipt:r\n\n\x00")
		c.expectReceipt("r")
	}
	for _, name := range []string{"one", "two"} {
		c := r.connected("")
		c.subscribe("/queue/DLQ."+name+".audit", "")
		if m := c.take("x")[0]; m.get("original-destination") != "/dsub/"+name+".audit" {
			t.Fatal(m)
		}
	}
}
