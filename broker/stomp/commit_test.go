package stomp

import (
	"strings"
	"sync"
	"testing"
	"time"

	"treadmq/store"
)

// gate is a store that takes batches to heart only while it is open.
type gate struct {
	store.Store
	mu   sync.Mutex
	shut bool
	held []*store.Batch
}

func (g *gate) Append(b *store.Batch) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		g.held = append(g.held, b)
		return nil
	}
	return g.Store.Append(b)
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		return
	}
	for _, b := range g.held {
		if err := g.Store.Append(b); err != nil {
			b.Done(b, err)
		}
	}
	g.held = nil
}

func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.held)
}

// expectNothing looks whether something has come that must not have come yet. A pass proves little, a failure all.
func (c *client) expectNothing() {
	c.t.Helper()
	_ = c.nc.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if b, err := c.r.Peek(1); err == nil {
		c.t.Fatalf("%q came too early", b)
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
}

// A RECEIPT of SEND, ACK or COMMIT says that the store has it, and every later receipt waits for it; what needs no store
// and comes before does not wait.
func TestReceiptComesAfterCommit(t *testing.T) {
	g := &gate{}
	r := newRig(t, func(r *rig) { r.wrap = func(s store.Store) store.Store { g.Store = s; return g } })
	c := r.connected("")
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nreceipt:s\n\n\x00")
	c.expectReceipt("s")
	c.send("SEND\ndestination:/queue/a\n\nx\x00")
	ack := c.expect("MESSAGE").get("ack")
	c.send("SEND\ndestination:/queue/b\nreceipt:b\n\nx\x00")
	c.expectReceipt("b")
	for _, frames := range []string{
		"SEND\ndestination:/queue/b\nreceipt:1\n\nx\x00",
		"ACK\nid:" + ack + "\nreceipt:1\n\n\x00",
		"BEGIN\ntransaction:t\n\n\x00SEND\ntransaction:t\ndestination:/queue/b\n\nx\x00COMMIT\ntransaction:t\nreceipt:1\n\n\x00",
	} {
		g.set(true)
		c.send("SEND\ndestination:/topic/t\nreceipt:0\n\nx\x00")
		c.expectReceipt("0")
		c.send(frames)
		until(t, "the batch is with the store", func() bool { return g.waiting() == 1 })
		c.send("SUBSCRIBE\nid:2\ndestination:/topic/t\nreceipt:2\n\n\x00")
		c.send("SEND\ndestination:/topic/t\n\nx\x00") // not before the subscription's receipt
		until(t, "the subscription is there", func() bool { return len(r.b.Connections()[0].Subscriptions) == 2 })
		c.send("UNSUBSCRIBE\nid:2\nreceipt:3\n\n\x00")
		until(t, "and gone", func() bool { return len(r.b.Connections()[0].Subscriptions) == 1 })
		c.expectNothing()
		g.set(false)
		c.expectReceipt("1")
		c.expectReceipt("2")
		c.expectReceipt("3")
	}
}

// While the store is slow, what a client sends is taken up to a bound, and then not read; all of it is carried out in the end.
func TestBurstsThatWaitForTheStoreAreBounded(t *testing.T) {
	for name, body := range map[string]string{"many": "x", "large": strings.Repeat("x", 300<<10)} {
		t.Run(name, func(t *testing.T) {
			g := &gate{}
			r := newRig(t, func(r *rig) { r.wrap = func(s store.Store) store.Store { g.Store = s; return g } })
			c := r.connected("")
			c.send("SEND\ndestination:/queue/a\nreceipt:0\n\nx\x00")
			c.expectReceipt("0")
			var s *session
			r.srv.mu.Lock()
			for s = range r.srv.sessions {
			}
			r.srv.mu.Unlock()
			open := func() (tickets, bytes int) {
				s.out.mu.Lock()
				defer s.out.mu.Unlock()
				return len(s.out.open), s.out.openBytes
			}
			g.set(true)
			sent := 0
			for ; sent < 2*maxOpenTickets; sent++ { // one by one, so that each is a burst
				c.send("SEND\ndestination:/queue/a\n\n" + body + "\x00")
				if tickets, bytes := open(); tickets >= maxOpenTickets || bytes >= maxTicketBytes {
					break
				}
				until(t, "the burst is with the store", func() bool { return g.waiting() > sent })
			}
			go c.send(strings.Repeat("SEND\ndestination:/queue/a\n\n"+body+"\x00", 2*maxOpenTickets) + "SEND\ndestination:/queue/a\nreceipt:last\n\nx\x00")
			c.expectNothing()
			if tickets, bytes := open(); tickets > maxOpenTickets || bytes > maxTicketBytes+maxBurstBytes+2*len(body) {
				t.Errorf("%d bursts with %d bytes are under way", tickets, bytes)
			}
			g.set(false)
			c.expectReceipt("last")
			if n := r.b.Queues(nil)[0].Messages; n < int64(sent) {
				t.Errorf("%d messages came", n)
			}
		})
	}
}

// A store that fails is an ERROR for whoever waits for it, soft errors or not.
func TestStoreFailureEndsSession(t *testing.T) {
	g := &gate{}
	r := newRig(t, func(r *rig) { r.wrap = func(s store.Store) store.Store { g.Store = s; return g } })
	c := r.connected("x-errors:soft\n")
	c.send("SEND\ndestination:/queue/a\nreceipt:0\n\nx\x00")
	c.expectReceipt("0")
	g.set(true)
	c.send("SEND\ndestination:/queue/a\nreceipt:1\n\nx\x00")
	until(t, "the batch is with the store", func() bool { return g.waiting() == 1 })
	g.mu.Lock()
	b := g.held[0]
	g.held = nil
	g.mu.Unlock()
	b.Done(b, store.ErrFailed)
	e := c.expectError("closing") // by which clients know that they may send it again elsewhere
	if e.get("receipt-id") != "1" {
		t.Fatalf("got %v", e)
	}
	g.set(false)
}

// A full disk is a soft error: consuming goes on.
func TestFullDiskIsSoft(t *testing.T) {
	g := &gate{}
	r := newRig(t, func(r *rig) { r.wrap = func(s store.Store) store.Store { g.Store = s; return g } })
	c := r.connected("x-errors:soft\n")
	c.send("SEND\ndestination:/queue/a\nreceipt:0\n\nx\x00")
	c.expectReceipt("0")
	g.set(true)
	c.send("SEND\ndestination:/queue/a\nreceipt:1\n\nx\x00SEND\ndestination:/queue/a\nreceipt:2\n\nx\x00")
	until(t, "the batch is with the store", func() bool { return g.waiting() == 1 })
	c.send("BEGIN\ntransaction:t\nreceipt:3\n\n\x00")
	until(t, "the transaction is open", func() bool { return r.b.Connections()[0].Transactions == 1 })
	g.mu.Lock()
	b := g.held[0]
	g.held = nil
	g.mu.Unlock()
	b.Done(b, store.ErrFull)
	for _, id := range []string{"1", "2"} {
		if e := c.expect("ERROR"); e.get("receipt-id") != id || e.get("x-code") != "store-full" || e.get("x-fatal") != "false" {
			t.Fatalf("got %v", e)
		}
	}
	c.expectReceipt("3")
	g.set(false)
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:auto\n\n\x00")
	c.expect("MESSAGE")
	c.send("SEND\ndestination:/queue/b\nreceipt:4\n\nx\x00")
	c.expectReceipt("4")
}
