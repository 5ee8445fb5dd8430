package failover

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/go-stomp/stomp/v3/frame"
	"pgregory.net/rapid"
)

// unreliable is a broker that stores what it is sent and breaks connections
// whenever it likes, before or after a RECEIPT.
type unreliable struct {
	rng    *rand.Rand
	stored []string          // bodies as they came
	dedup  map[string]string // x-dedup-id of each body
	told   map[string]bool   // bodies whose RECEIPT was written
	bad    []string          // broken promises
}

// serve plays one connection.
func (u *unreliable) serve(nc net.Conn) {
	defer nc.Close()
	r, w := frame.NewReader(nc), frame.NewWriter(nc)
	budget := u.rng.IntN(30) // frames before the connection breaks
	var owed []*frame.Frame  // SENDs without RECEIPT
	for range budget {
		f, err := r.Read()
		if err != nil {
			return
		}
		switch {
		case f == nil:
		case f.Command == frame.CONNECT:
			if w.Write(frame.New(frame.CONNECTED, "version", "1.2")) != nil {
				return
			}
		case f.Command == frame.SEND:
			u.store(f)
			owed = append(owed, f)
			for len(owed) > 0 && u.rng.IntN(3) > 0 {
				u.told[string(owed[0].Body)] = true
				if w.Write(frame.New(frame.RECEIPT, frame.ReceiptId, owed[0].Header.Get(frame.Receipt))) != nil {
					return // the client may not have seen it: told stays, see check
				}
				owed = owed[1:]
			}
		}
	}
}

func (u *unreliable) store(f *frame.Frame) {
	body, id := string(f.Body), f.Header.Get("x-dedup-id")
	if u.told[body] {
		u.bad = append(u.bad, body+" was sent again after its receipt")
	}
	if old, ok := u.dedup[body]; ok && old != id {
		u.bad = append(u.bad, body+" was sent again with another x-dedup-id")
	}
	u.dedup[body] = id
	u.stored = append(u.stored, body)
}

// TestNothingIsLostOrReordered sends through connections that break at random
// and checks the promises of doc.go. net.Pipe hands a RECEIPT over or fails to
// write it, so told is exact but for a failed write.
func TestNothingIsLostOrReordered(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, seed) })
		})
	}
}

func chaos(t *testing.T, seed uint64) {
	const messages = 60
	u := &unreliable{rng: rand.New(rand.NewPCG(seed, 1)), dedup: map[string]string{}, told: map[string]bool{}}
	conns := make(chan net.Conn)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for nc := range conns {
			u.serve(nc) // one at a time, so that u needs no lock
		}
	}()
	refuse := rand.New(rand.NewPCG(seed, 2)) // used by the supervisor only
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		if refuse.IntN(3) == 0 {
			return nil, errors.New("refused")
		}
		ours, theirs := net.Pipe()
		select {
		case conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c, err := Dial(context.Background(), mustParse(t, "failover:(a:1,b:1)"), Options{DialContext: dial, DedupID: true, Window: 1 + int(seed%20)})
	must(t, err)
	done := make(chan error, messages)
	var want []string
	for i := range messages {
		body := fmt.Sprint("m", i)
		want = append(want, body)
		c.SendAsync(context.Background(), "/queue/q", "", []byte(body), func(err error) { done <- err })
	}
	for range messages {
		must(t, <-done)
	}
	must(t, c.Close())
	close(conns)
	<-served
	for _, b := range u.bad {
		t.Error(b)
	}
	if got := firsts(u.stored); !slices.Equal(got, want) {
		t.Errorf("stored %v, want %v", got, want)
	}
}

// firsts drops repetitions.
func firsts(all []string) []string {
	var out []string
	for _, s := range all {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// TestOutboxModel compares the outbox with a plain list.
func TestOutboxModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := outbox{waiting: map[string]*item{}}
		var open []*item // unfinished, in order
		var toWrite []*item
		epoch, serial := uint64(1), 0
		newItem := func(receipt bool) *item {
			serial++
			it := &item{frame: frame.New(frame.SEND, "n", fmt.Sprint(serial)), message: serial%2 == 0, size: serial}
			if receipt {
				it.receipt = fmt.Sprint("r", serial)
			}
			return it
		}
		drop := func(list []*item, it *item) []*item {
			return slices.DeleteFunc(slices.Clone(list), func(x *item) bool { return x == it })
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				it := newItem(rapid.Bool().Draw(t, "receipt"))
				o.push(it)
				open, toWrite = append(open, it), append(toWrite, it)
			},
			"take": func(t *rapid.T) {
				limit := rapid.IntRange(0, 5).Draw(t, "limit")
				frames, outcomes := o.take(epoch, nil, limit)
				n := min(limit, len(toWrite))
				if len(frames) != n {
					t.Fatalf("took %d frames, want %d", len(frames), n)
				}
				unconfirmed := 0
				for i, it := range toWrite[:n] {
					if frames[i] != it.frame || it.sentIn != epoch {
						t.Fatalf("frame %d is not the expected one", i)
					}
					if it.receipt == "" {
						unconfirmed++
						open = drop(open, it)
					}
				}
				if len(outcomes) != unconfirmed {
					t.Fatalf("%d outcomes, want %d", len(outcomes), unconfirmed)
				}
				toWrite = toWrite[n:]
			},
			"finish": func(t *rapid.T) {
				if len(open) == 0 {
					return
				}
				it := rapid.SampledFrom(open).Draw(t, "item")
				o.finish(it, nil)
				open, toWrite = drop(open, it), drop(toWrite, it)
			},
			"reconnect": func(t *rapid.T) {
				epoch++
				var front []*item
				for range rapid.IntRange(0, 3).Draw(t, "subscriptions") {
					front = append(front, newItem(true))
				}
				o.restart(front)
				open = append(front, open...)
				toWrite = slices.Clone(open)
			},
			"": func(t *rapid.T) {
				if !slices.Equal(o.unfinished(), open) {
					t.Fatalf("%d unfinished, want %d", len(o.unfinished()), len(open))
				}
				messages, bytes, waiting := 0, 0, 0
				var oldest *item
				for _, it := range open {
					if it.message {
						messages++
						bytes += it.size
					}
					if it.receipt != "" {
						waiting++
					}
					if oldest == nil && it.sentIn == epoch {
						oldest = it
					}
				}
				if o.messages != messages || o.bytes != bytes || o.controls != len(open)-messages || len(o.waiting) != waiting {
					t.Fatalf("counts %d %d %d %d, want %d %d %d %d", o.messages, o.bytes, o.controls, len(o.waiting), messages, bytes, len(open)-messages, waiting)
				}
				if o.oldestSent(epoch) != oldest {
					t.Fatal("wrong oldest item")
				}
			},
		})
	})
}
