package stomp

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// ledger is what clients know about messages.
type ledger struct {
	mu    sync.Mutex
	sent  map[string]bool // the receipt of SEND or COMMIT came
	tried map[string]bool // an ACK was sent
	acked map[string]bool // a later receipt came, so the ACK was carried out
	seen  map[string]int
}

func (l *ledger) note(m map[string]bool, bodies ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range bodies {
		m[b] = true
	}
}

// delivered notes a delivery, and that it is no second one of an acknowledged message.
func (l *ledger) delivered(t *testing.T, g got) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked[g.body] {
		t.Errorf("%s was acknowledged and came again", g.body)
	}
	if l.seen[g.body]++; l.seen[g.body] > 1 && g.get("redelivered") != "true" {
		t.Errorf("%s came again without redelivered: %v", g.body, g)
	}
}

func (l *ledger) missing() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for body := range l.sent {
		if !l.tried[body] {
			n++
		}
	}
	return n
}

// Clients send, in transactions or not, take, acknowledge, refuse, unsubscribe, disconnect and vanish. Every message
// whose receipt came is delivered until an acknowledgement's receipt came, and not after that.
func TestNothingLostNothingTwice(t *testing.T) {
	r := newRig(t, transcriptOptions["retry for ever"])
	l := &ledger{sent: map[string]bool{}, tried: map[string]bool{}, acked: map[string]bool{}, seen: map[string]int{}}
	var producers, consumers sync.WaitGroup
	done := make(chan struct{})
	for i := range 3 {
		producers.Go(func() { produce(r, l, i) })
	}
	for i := range 3 {
		consumers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 7))
			for {
				select {
				case <-done:
					return
				default:
					consume(t, r, l, rnd)
				}
			}
		})
	}
	producers.Wait()
	until(t, "every message is acknowledged", func() bool { return l.missing() == 0 })
	close(done)
	consumers.Wait()
}

// produce sends messages, in single SENDs and in transactions of which some are aborted.
func produce(r *rig, l *ledger, who int) {
	rnd := rand.New(rand.NewPCG(uint64(who), 8))
	c := r.connected("")
	for i := range 100 {
		body := fmt.Sprintf("%d-%d", who, i)
		if rnd.IntN(3) > 0 {
			c.send("SEND\ndestination:/queue/work\nreceipt:r\n\n" + body + "\x00")
			c.expectReceipt("r")
			l.note(l.sent, body)
			continue
		}
		c.send("BEGIN\ntransaction:t\n\n\x00SEND\ntransaction:t\ndestination:/queue/work\n\n" + body + "a\x00" +
			"SEND\ntransaction:t\ndestination:/queue/work\n\n" + body + "b\x00")
		if rnd.IntN(4) == 0 {
			c.send("ABORT\ntransaction:t\nreceipt:r\n\n\x00")
			c.expectReceipt("r")
			continue
		}
		c.send("COMMIT\ntransaction:t\nreceipt:r\n\n\x00")
		c.expectReceipt("r")
		l.note(l.sent, body+"a", body+"b")
	}
	_ = c.nc.Close()
}

// consume is one connection of a consumer.
func consume(t *testing.T, r *rig, l *ledger, rnd *rand.Rand) {
	c := r.connected("")
	defer c.nc.Close()
	c.send(fmt.Sprintf("SUBSCRIBE\nid:1\ndestination:/queue/work\nack:client-individual\nprefetch-count:%d\n\n\x00", 1+rnd.IntN(10)))
	// Something always comes: a message of our own ends the wait for others.
	c.send("SUBSCRIBE\nid:2\ndestination:/temp-queue/tick\nack:auto\n\n\x00SEND\ndestination:/temp-queue/tick\n\n\x00")
	var acked []string
	for range rnd.IntN(20) {
		g, err := c.read()
		if err != nil || g.command != "MESSAGE" {
			t.Errorf("got %v %v", g, err)
			return
		}
		if g.get("subscription") == "2" {
			c.send("SEND\ndestination:/temp-queue/tick\n\n\x00")
			continue
		}
		l.delivered(t, g)
		switch rnd.IntN(8) {
		case 0:
			c.send("NACK\nid:" + g.get("ack") + "\n\n\x00")
		case 1:
			c.send("NACK\nid:" + g.get("ack") + "\nrequeue:true\n\n\x00")
		case 2: // kept
		default:
			l.note(l.tried, g.body)
			acked = append(acked, g.body)
			c.send("ACK\nid:" + g.get("ack") + "\n\n\x00")
		}
	}
	switch rnd.IntN(3) {
	case 0:
		c.send("UNSUBSCRIBE\nid:1\n\n\x00")
	case 1:
	default:
		return // our end closes at once, and what we sent last may be lost
	}
	c.send("DISCONNECT\nreceipt:bye\n\n\x00")
	for {
		g, err := c.read()
		if err != nil {
			t.Errorf("before the receipt of DISCONNECT: %v", err)
			return
		}
		if g.get("receipt-id") == "bye" {
			l.note(l.acked, acked...)
			return
		}
		// What was under way may meanwhile have been delivered again to somebody else.
	}
}
