package stomp

import (
	"fmt"
	"strings"
	"testing"

	"treadmq/broker"
)

// The tests TestCompat... show rows of docs/compatibility.md, one test for a row that no other test is about.

// /queue/N is made by SEND or by SUBSCRIBE, holds its messages until they are acknowledged, and N may be anything but
// a comma: slashes and percent signs are part of it.
func TestCompatDestination_Queue(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	for i, name := range []string{"plain", "a/b", "a%2Fb", "with space", "grüße", "topic:n", "a.b.c"} {
		dest, escaped := "/queue/"+name, "/queue/"+strings.ReplaceAll(name, ":", `\c`)
		if i%2 == 0 { // made by SUBSCRIBE
			c.subscribe(escaped, "")
			c.unsubscribe("")
			if got := depth(r, dest); got != 0 {
				t.Fatalf("%s: depth %d after SUBSCRIBE", dest, got)
			}
		}
		c.publish(escaped, "", name)
		if got := depth(r, dest); got != 1 {
			t.Fatalf("%s: depth %d after SEND", dest, got)
		}
		c.subscribe(escaped, "")
		if m := c.take(name)[0]; m.get("destination") != escaped {
			t.Fatal(m)
		}
		c.unsubscribe("")
	}
}

// /topic/N keeps nothing: who subscribes later has missed it, who is there gets a copy each.
func TestCompatDestination_Topic(t *testing.T) {
	r := newRig(t)
	one, two := r.connected(""), r.connected("")
	one.publish("/topic/news", "", "missed")
	one.subscribe("/topic/news", "")
	two.subscribe("/topic/news", "")
	r.connected("").publish("/topic/news", "persistent:true\n", "seen")
	a, b := two.take("seen")[0], one.take("seen")[0]
	if a.get("message-id") != b.get("message-id") || a.get("destination") != "/topic/news" {
		t.Fatal(a, b)
	}
}

// A temporary queue is a name of its connection's own. Others see another name, by which they may send and not
// consume. It goes with its connection.
func TestCompatDestination_Temporary(t *testing.T) {
	for _, kind := range []string{"queue", "topic"} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t)
			asks, answers, thief := r.connected(""), r.connected(""), r.connected("x-errors:soft\n")
			asks.subscribe("/temp-"+kind+"/replies", "")
			asks.publish("/queue/requests", "reply-to:/temp-"+kind+"/replies\n", "2+2")
			answers.subscribe("/queue/requests", "")
			remote := answers.take("2+2")[0].get("reply-to")
			if !strings.HasPrefix(remote, "/remote-temp-"+kind+"/") {
				t.Fatalf("reply-to is %q", remote)
			}
			answers.publish(remote, "", "4")
			if m := asks.take("4")[0]; m.get("destination") != "/temp-"+kind+"/replies" {
				t.Fatal(m)
			}
			thief.send("SUBSCRIBE\nid:1\ndestination:" + remote + "\nreceipt:r\n\n\x00")
			if g := thief.expect("ERROR"); g.get("x-code") != "not-authorized" {
				t.Fatal(g)
			}
			thief.subscribe("/temp-"+kind+"/replies", "") // of the same name, and its own
			answers.publish(remote, "", "again")
			asks.take("again")
			thief.nothing()
			asks.bye()
			answers.send("SEND\ndestination:" + remote + "\n\nlost\x00") // nobody waits for an answer
			answers.send("SEND\ndestination:" + remote + "\nreceipt:late\n\nlost\x00")
			if g := answers.expectError("unknown-destination"); g.get("receipt-id") != "late" {
				t.Fatal(g)
			}
		})
	}
}

// With allowTempDestinationStealing others may consume, too; the owner's end is the destination's.
func TestCompatDestination_TemporaryOfOthers(t *testing.T) {
	for _, kind := range []string{"queue", "topic"} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t, withPolicy(func(_ broker.Destination, p *broker.Policy) { p.StealTemp = true }))
			asks, hears, answers := r.connected(""), r.connected(""), r.connected("")
			asks.publish("/queue/requests", "reply-to:/temp-"+kind+"/replies\n", "2+2")
			answers.subscribe("/queue/requests", "")
			remote := answers.take("2+2")[0].get("reply-to")
			hears.subscribe(remote, "")
			answers.publish(remote, "", "4")
			if m := hears.take("4")[0]; m.get("destination") != remote {
				t.Fatal(m)
			}
			asks.bye()
			answers.send("SEND\ndestination:" + remote + "\nreceipt:late\n\nlost\x00")
			answers.expectError("unknown-destination")
		})
	}
}

// A list of destinations is one message for all: if one has no room, none gets it.
func TestCompatDestination_CompositeIsAtomic(t *testing.T) {
	r := newRig(t, withPolicy(func(d broker.Destination, p *broker.Policy) {
		if d.Name == "small" {
			p.MaxMessages, p.OnFull = 1, broker.FullFail
		}
	}))
	c := r.connected("x-errors:soft\n")
	c.subscribe("/topic/t", "")
	c.publish("/queue/big,/queue/small,/topic/t", "", "1")
	c.take("1")
	c.send("SEND\ndestination:/queue/big,/queue/small,/topic/t\nreceipt:r\n\n2\x00")
	if g := c.expect("ERROR"); g.get("x-code") != "queue-full" {
		t.Fatal(g)
	}
	c.nothing()
	if big, small := depth(r, "/queue/big"), depth(r, "/queue/small"); big != 1 || small != 1 {
		t.Fatalf("depths %d and %d", big, small)
	}
}

// Wildcards: * is one segment, > the rest or nothing, # any number of segments in topics; queues that are created later count.
func TestCompatDestination_Wildcards(t *testing.T) {
	r := newRig(t)
	send := r.connected("")
	names := []string{"a", "a.b", "a.c", "a.b.c", "x.b", "a.b.c.d"}
	for pattern, want := range map[string]string{
		"a.*": "a.b a.c", "a.>": "a a.b a.c a.b.c a.b.c.d", "*.b": "a.b x.b", "a.#": "a a.b a.c a.b.c a.b.c.d", ">": strings.Join(names, " "),
		"a.*.c": "a.b.c", "#.c": "a.c a.b.c", "*": "a",
	} {
		c := r.connected("")
		c.subscribe("/topic/"+pattern, "")
		for _, name := range names {
			send.publish("/topic/"+name, "", name)
		}
		c.take(strings.Fields(want)...)
		if pattern != ">" { // which gets what nothing sends
			c.nothing()
		}
		c.bye()
	}
	c := r.connected("")
	c.subscribe("/queue/later.*", "")
	send.publish("/queue/later.one", "", "1")
	send.publish("/queue/later.one.two", "", "2")
	send.publish("/queue/later.two", "", "3")
	if m := c.take("1", "3")[1]; m.get("destination") != "/queue/later.two" {
		t.Fatal(m)
	}
	c.bye()
	c = r.connected("") // # is a wildcard for topics only
	c.subscribe("/queue/hash.#", "")
	send.publish("/queue/hash.a", "", "of another queue")
	send.publish("/queue/hash.#", "reply-to:/queue/r.#\n", "of this queue")
	if m := c.take("of this queue")[0]; m.get("destination") != "/queue/hash.#" || m.get("reply-to") != "/queue/r.#" {
		t.Fatal(m)
	}
	c.nothing()
	c.bye()
	c = r.connected("")
	c.subscribe("/queue/#.>", "") // all below a queue of that name
	send.publish("/queue/#.x", "", "below")
	c.take("below")
	c.nothing()
}

// ?consumer.X=Y in the name of a destination does what the header of that name does.
// In every dialect: RabbitMQ's own exchanges are topics and queues, so that a client of it needs no dialect for them.
func TestCompatDestination_Exchanges(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	c.subscribe("/exchange/amq.topic/price.*", "")
	c.publish("/topic/price.oil", "", "to the topic")
	c.take("to the topic")
	c.publish("/exchange/amq.topic/price.gas", "", "by the exchange")
	if got := c.take("by the exchange")[0].get("destination"); got != "/topic/price.gas" {
		t.Errorf("the destination is %q", got)
	}
	c.publish("/exchange/amq.direct/k", "", "by amq.direct")
	c.publish("/exchange//k", "", "by the default exchange")
	if got := depth(r, "/queue/k"); got != 2 {
		t.Fatalf("the queue has %d messages, not 2", got)
	}
	c.bye()
	c = r.connected("")
	c.subscribe("/exchange//k", "")
	c.take("by amq.direct", "by the default exchange")
}

func TestCompatDestination_Options(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	for i := range 5 {
		c.publish("/queue/a", fmt.Sprintf("n:%d\n", i), fmt.Sprint(i))
	}
	c.subscribe("/queue/a?consumer.prefetchSize=2&consumer.priority=3", "ack:client-individual\n")
	c.take("0", "1")
	c.nothing()
	if depth(r, "/queue/a") != 5 {
		t.Fatal("the options became part of the name")
	}
	c.bye()
	c = r.connected("")
	c.subscribe("/queue/a?consumer.selector=n%20IN%20('1'%2C'3')&consumer.prefetchSize=9", "")
	c.take("1", "3")
	c.nothing()
	c.bye()
	c = r.connected("")
	c.publish("/queue/what?", "", "a question mark is a character like others")
	if depth(r, "/queue/what?") != 1 {
		t.Fatal("the question mark is gone")
	}
}
