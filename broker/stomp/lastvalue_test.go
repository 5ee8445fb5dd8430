package stomp

import (
	"fmt"
	"sync/atomic"
	"testing"

	"treadmq/broker"
	"treadmq/store"
	"treadmq/store/local"
)

// storedAfterPowerCut counts the messages that the disk would have if the power went now.
func (n *node) storedAfterPowerCut() (messages int64) {
	n.t.Helper()
	s, err := local.Open(local.Options{FS: n.fs.Crash(nil), Dir: "store", Seq: new(atomic.Uint64), SegmentSize: 4 << 20, BootID: "other"})
	if err != nil {
		n.t.Fatal(err)
	}
	for _, lanes := range s.Counts() {
		for _, c := range lanes {
			messages += c.Refs
		}
	}
	if err := s.Close(); err != nil {
		n.t.Error(err)
	}
	return messages
}

// A newer value and the removal of the older are one record: with its receipt the disk has one of them, be the older in
// memory or not, and sent alone or by a transaction.
func TestLastValueIsOneRecord(t *testing.T) {
	for name, limit := range map[string]int64{"in memory": 1 << 20, "on disk": 600} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, nodePolicy(func(_ broker.Destination, p *broker.Policy) { p.LastValueKey, p.MemoryLimit = "sym", limit }))
			c := n.connected("")
			const keys = 20
			for round := range 3 {
				for k := range keys {
					c.publish("/queue/prices", fmt.Sprintf("sym:%d\n", k), fmt.Sprint(round))
					if got, want := n.storedAfterPowerCut(), int64(keys); round > 0 && got != want || got > want {
						t.Fatalf("round %d, key %d: the disk has %d messages", round, k, got)
					}
				}
			}
			c.send("BEGIN\ntransaction:t\n\n\x00SEND\ntransaction:t\ndestination:/queue/prices\nsym:3\n\nin tx\x00COMMIT\ntransaction:t\nreceipt:c\n\n\x00")
			c.expectReceipt("c")
			if got := n.storedAfterPowerCut(); got != keys {
				t.Fatalf("after the transaction the disk has %d messages", got)
			}
			n.powerCut()
			c = n.connected("")
			c.subscribe("/queue/prices", "")
			var want []string
			for range keys - 1 {
				want = append(want, "2")
			}
			c.take(append(want, "in tx")...)
			c.nothing()
		})
	}
}

// tightStore refuses what needs room while it is told to, as a full disk does.
type tightStore struct {
	store.Store
	full atomic.Bool
}

func (s *tightStore) Append(b *store.Batch) error {
	if s.full.Load() && b.Grows() {
		return store.ErrFull
	}
	return s.Store.Append(b)
}

// A newer value that the disk has no room for takes nothing away.
func TestLastValueStaysWhenTheNewerIsRefused(t *testing.T) {
	for name, limit := range map[string]int64{"in memory": 1 << 20, "on disk": 1} {
		for _, tx := range []bool{false, true} {
			t.Run(fmt.Sprint(name, tx), func(t *testing.T) {
				s := &tightStore{}
				r := newRig(t, func(r *rig) { r.wrap = func(under store.Store) store.Store { s.Store = under; return s } },
					withPolicy(func(_ broker.Destination, p *broker.Policy) { p.LastValueKey, p.MemoryLimit = "sym", limit }))
				c := r.connected("x-errors:soft\n")
				for _, body := range []string{"first", "old"} {
					c.publish("/queue/prices", "sym:"+body+"\n", body)
				}
				s.full.Store(true)
				if tx {
					c.send("BEGIN\ntransaction:t\n\n\x00SEND\ntransaction:t\ndestination:/queue/prices\nsym:old\n\nnew\x00COMMIT\ntransaction:t\nreceipt:c\n\n\x00")
				} else {
					c.send("SEND\ndestination:/queue/prices\nsym:old\nreceipt:c\n\nnew\x00")
				}
				if g := c.expect("ERROR"); g.get("x-code") != "store-full" {
					t.Fatal(g)
				}
				s.full.Store(false)
				until(t, "nothing is in flight", func() bool {
					i := r.b.Queues(nil)[0]
					return i.Messages == 2 && i.InFlight == 0
				})
				c.subscribe("/queue/prices", "ack:client-individual\n")
				for _, m := range c.take("first", "old") {
					if m.get("redelivered") != "" {
						t.Error(m)
					}
				}
				c.publish("/queue/prices", "sym:first\n", "newer")
				c.take("newer")
			})
		}
	}
}
