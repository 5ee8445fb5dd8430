package stomp

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"treadmq/broker"
)

// spilling is a policy under which ten messages of a slow subscription stay in memory and the rest goes to disk.
func spilling(change func(*broker.Policy)) func(*node) {
	return nodePolicy(func(_ broker.Destination, p *broker.Policy) {
		p.Evict, p.PendingLimit = broker.EvictSpill, 10
		if change != nil {
			change(p)
		}
	})
}

// onTempDisk is how much the temporary store holds.
func (n *node) onTempDisk() (messages, bytes int64) {
	for _, lanes := range n.temp.Counts() {
		for _, c := range lanes {
			messages, bytes = messages+c.Refs, bytes+c.Bytes
		}
	}
	return messages, bytes
}

func (n *node) spillGone() {
	n.t.Helper()
	until(n.t, "the temporary store is empty", func() bool { messages, _ := n.onTempDisk(); return messages == 0 })
}

// takeInTurn takes one message after the other, acknowledging each.
func (c *client) takeInTurn(n int) (list []got) {
	c.t.Helper()
	for range n {
		m := c.expect("MESSAGE")
		c.settle(m, "")
		list = append(list, m)
	}
	return list
}

// A slow subscriber gets everything, in order, from whatever topic it came; publishers do not wait for it.
func TestSpill(t *testing.T) {
	n := newNode(t, spilling(nil))
	slow, fast := n.connected(""), n.connected("")
	slow.subscribe("/topic/s.*", "ack:client-individual\nactivemq.prefetchSize:1\n")
	fast.subscribe("/topic/s.*", "ack:auto\n")
	p := n.connected("")
	const count = 700
	for i := range count {
		p.publish(fmt.Sprintf("/topic/s.%d", i%3), fmt.Sprintf("n:%d\nreply-to:/queue/r\n", i), strings.Repeat("x", i%50)+strconv.Itoa(i))
	}
	for range count {
		fast.expect("MESSAGE")
	}
	until(t, "the rest is on disk", func() bool { messages, _ := n.onTempDisk(); return messages == count-11 })
	for i, m := range slow.takeInTurn(count) {
		if want := strings.Repeat("x", i%50) + strconv.Itoa(i); m.body != want || m.get("n") != strconv.Itoa(i) ||
			m.get("destination") != fmt.Sprintf("/topic/s.%d", i%3) || m.get("reply-to") != "/queue/r" {
			t.Fatalf("message %d is %v", i, m)
		}
	}
	n.spillGone()
	p.publish("/topic/s.1", "", "live again")
	slow.takeInTurn(1)
	slow.nothing()
}

// Published and read at the same time, nothing overtakes and nothing is lost.
func TestSpill_WhileReading(t *testing.T) {
	n := newNode(t, spilling(nil))
	slow, p := n.connected(""), n.connected("")
	slow.subscribe("/topic/s", "ack:client-individual\nactivemq.prefetchSize:3\n")
	next := 0
	for i := range 600 {
		p.publish("/topic/s", "", strconv.Itoa(i))
		if i%3 == 0 {
			if m := slow.takeInTurn(1)[0]; m.body != strconv.Itoa(next) {
				t.Fatalf("got %s, want %d", m.body, next)
			}
			next++
		}
	}
	for ; next < 600; next++ {
		if m := slow.takeInTurn(1)[0]; m.body != strconv.Itoa(next) {
			t.Fatalf("got %s, want %d", m.body, next)
		}
	}
	n.spillGone()
}

// What is kept is bounded: beyond that the oldest goes.
func TestSpill_Bounded(t *testing.T) {
	const limit, memory = 20_000, 4_000
	n := newNode(t, spilling(func(p *broker.Policy) { p.SpillLimit, p.PendingBytes, p.PendingLimit = limit, memory, 0 }))
	slow, p := n.connected(""), n.connected("")
	slow.subscribe("/topic/s", "ack:client-individual\nactivemq.prefetchSize:1\n")
	const count = 500
	for i := range count {
		p.publish("/topic/s", "", fmt.Sprintf("%d %s", i, strings.Repeat("x", 100)))
		if _, bytes := n.onTempDisk(); bytes > 2*(limit+memory) {
			t.Fatalf("after %d messages the disk has %d bytes", i, bytes)
		}
	}
	// While the reader is behind, new messages may go too. This one finds room.
	until(t, "no more is on disk than may be", func() bool { _, bytes := n.onTempDisk(); return bytes <= limit+memory })
	p.publish("/topic/s", "", fmt.Sprint(count))
	last, got := -1, 0
	for last < count {
		m := slow.takeInTurn(1)[0]
		i, err := strconv.Atoi(strings.Fields(m.body)[0])
		if err != nil || i <= last {
			t.Fatalf("%d came after %d", i, last)
		}
		last, got = i, got+1
	}
	if got < limit/300 || got > count/2 {
		t.Errorf("%d of %d messages came", got, count)
	}
	if i := n.b.Topics(nil)[0]; i.Dropped != uint64(count+1-got) {
		t.Errorf("%d messages came, %d were counted as dropped", got, i.Dropped)
	}
	n.spillGone()
}

// What a subscription has on disk goes with it, and with the broker.
func TestSpill_EndsWithItsSubscription(t *testing.T) {
	n := newNode(t, spilling(nil))
	fill := func() *client {
		slow, p := n.connected(""), n.connected("")
		slow.subscribe("/topic/s", "ack:client-individual\nactivemq.prefetchSize:1\n")
		for i := range 100 {
			p.publish("/topic/s", "", strconv.Itoa(i))
		}
		until(t, "most is on disk", func() bool { messages, _ := n.onTempDisk(); return messages == 89 })
		slow.expect("MESSAGE")
		return slow
	}
	fill().unsubscribe("")
	n.spillGone()
	fill().bye()
	n.spillGone()
	fill()
	n.restart()
	if messages, _ := n.onTempDisk(); messages != 0 {
		t.Errorf("%d messages are left after a restart", messages)
	}
}
