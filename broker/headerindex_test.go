package broker_test

import (
	"errors"
	"flag"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"treadmq/broker"
	"treadmq/store"
)

func indexing(headers ...string) func(*rig) {
	return withPolicy(func(p *broker.Policy) {
		p.MemoryLimit = 20_000
		p.IndexHeaders = headers
	})
}

func typed(text string) msgOption {
	return func(b *broker.Builder) { b.SetField(broker.FieldType, []byte(text)) }
}

// fill sends n messages, each with a number in the header n, of which every per-th is of the kind rare.
func fill(t testing.TB, c *client, q broker.Destination, n, per int, opts ...msgOption) {
	t.Helper()
	w := c.NewWork()
	for i := range n {
		kind := "common"
		if i%per == per-1 {
			kind = "rare"
		}
		m := message(q, fmt.Sprintf("%07d", i), append([]msgOption{property("kind", kind), property("n", fmt.Sprint(i))}, opts...)...)
		if err := w.Send([]broker.Destination{q}, m); err != nil {
			t.Fatal(err)
		}
		if i%200 == 199 || i == n-1 {
			if err := flush(t, w); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// counted counts what is loaded from a store.
type counted struct {
	store.Store
	refs atomic.Int64
}

func (c *counted) Load(dst []store.Stored, d store.DestID, l store.Lane, after store.Seq, max, maxBytes int) ([]store.Stored, bool, error) {
	list, more, err := c.Store.Load(dst, d, l, after, max, maxBytes)
	c.refs.Add(int64(len(list) - len(dst)))
	return list, more, err
}

// indexed is a rig whose queues have an index, and what its stores load.
func indexed(t testing.TB, headers ...string) (*rig, *counted) {
	loads := &counted{}
	count := func(s store.Store) store.Store {
		loads.Store = s
		return loads
	}
	return newRig(t, indexing(headers...), func(r *rig) { r.wrap = count }), loads
}

// complete waits for the index of a queue that was there before it.
func (r *rig) complete(q broker.Destination) {
	r.t.Helper()
	until(r.t, "the index is complete", func() bool {
		_, _, _, complete := r.b.IndexState(q)
		return complete
	})
}

// Selectors with equalities find messages behind thousands of others and read little else, in a queue that was always
// indexed, after a restart, and when a policy begins to index.
func TestHeaderIndexReadsLittle(t *testing.T) {
	const n = 6000
	q := queueNamed("a")
	for name, prepare := range map[string]func(*rig){
		"from the beginning": func(*rig) {},
		"after a restart":    (*rig).restart,
		"after a power cut":  (*rig).crash,
		"by a new policy": func(r *rig) {
			with := r.policy
			without := broker.DefaultPolicy()
			without.MemoryLimit = 20_000
			r.b.SetPolicy(func(broker.Destination) broker.Policy { return without })
			if _, _, bytes, _ := r.b.IndexState(q); bytes != 0 || r.b.IndexMemory() != 0 {
				t.Errorf("the index is still there: %d bytes, %d charged", bytes, r.b.IndexMemory())
			}
			r.b.SetPolicy(with)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, loads := indexed(t, "kind", "n", "type")
			fill(t, r.connect(), q, n, 1000, typed("T"))
			prepare(r)
			r.complete(q)
			runs, blind, _, _ := r.b.IndexState(q)
			if runs == 0 || blind != 0 {
				t.Fatalf("the index has %d runs, %d of them blind", runs, blind)
			}
			before := loads.refs.Load()
			for _, c := range []struct {
				selector string
				want     []string
			}{
				{"kind = 'rare'", []string{"0000999", "0001999", "0002999", "0003999", "0004999", "0005999"}},
				{"n = 5555", []string{"0005555"}},
				{"'rare' = kind AND n = '3999' AND JMSPriority = 4", []string{"0003999"}},
				{"(n = '4444.0' OR n = 4445.0) AND JMSType = 'T'", []string{"0004445"}},
				{"n IN ('5900', 300, 5901)", []string{"0000300", "0005900", "0005901"}},
				{"n = 'none'", nil},
				{"JMSType = 'other'", nil},
			} {
				client := r.connect()
				s := client.subscribe(q, selecting(c.selector), prefetch(10))
				wantBodies(t, client.take(len(c.want)), c.want...)
				s.Close()
			}
			// 14 messages, each in a run of 64, and what the window at the head reads for itself.
			if read := loads.refs.Load() - before; read > 14*64+4096 {
				t.Errorf("%d references were read", read)
			}
		})
	}
}

// Messages that are not persistent are found in the temporary store.
func TestHeaderIndexOfTheTemporaryStore(t *testing.T) {
	r, _ := indexed(t, "n")
	q, c := queueNamed("a"), r.connect()
	fill(t, c, q, 3000, 1000, volatile)
	until(t, "all are visible", func() bool { return r.queue(q).Messages == 3000 })
	if runs, _, _, _ := r.b.IndexState(q); runs == 0 {
		t.Fatal("there is no index")
	}
	c.subscribe(q, selecting("n IN (2, 2999)"), prefetch(10))
	wantBodies(t, c.take(2), "0000002", "0002999")
}

// An index that may not grow says nothing of what comes after, and that is scanned.
func TestHeaderIndexIsBounded(t *testing.T) {
	const n, limit = 6000, 1 << 16
	q := queueNamed("a")
	r, _ := indexed(t, "n")
	r.close()
	r.memory = limit
	r.open()
	fill(t, r.connect(), q, n, 1000)
	runs, blind, bytes, _ := r.b.IndexState(q)
	if blind != 1 || runs < 2 || bytes > limit/4+1000 || r.b.IndexMemory() != bytes {
		t.Fatalf("%d runs, %d of them blind, %d bytes, %d charged", runs, blind, bytes, r.b.IndexMemory())
	}
	c := r.connect()
	s := c.subscribe(q, selecting("n = 5998 OR n = 1"), prefetch(2))
	ds := c.take(2)
	wantBodies(t, ds, "0000001", "0005998")
	c.settle(broker.AckAccept, ds...)
	s.Close()
	all := r.connect()
	all.subscribe(q, prefetch(500))
	for left := n - 2; left > 0; {
		some := min(left, 250)
		all.settle(broker.AckAccept, all.take(some)...)
		left -= some
	}
	until(t, "the index is empty", func() bool {
		runs, _, bytes, _ := r.b.IndexState(q)
		return runs == 0 && bytes == 0 && r.b.IndexMemory() == 0
	})
}

// What is purged leaves the index too, and a deleted queue's index is gone.
func TestHeaderIndexOfPurgedAndDeletedQueues(t *testing.T) {
	q := queueNamed("a")
	r, _ := indexed(t, "n")
	c := r.connect()
	fill(t, c, q, 1000, 100)
	if _, err := r.b.Purge(q, func(error) {}); err != nil {
		t.Fatal(err)
	}
	if runs, _, bytes, _ := r.b.IndexState(q); runs != 0 || bytes != 0 || r.b.IndexMemory() != 0 {
		t.Fatalf("%d runs, %d bytes, %d charged after a purge", runs, bytes, r.b.IndexMemory())
	}
	fill(t, c, q, 1000, 100)
	s := c.subscribe(q, selecting("n = 999"))
	wantBodies(t, c.take(1), "0000999")
	s.Close()
	if err := r.b.DeleteQueue(q, true, func(error) {}); err != nil {
		t.Fatal(err)
	}
	if n := r.b.IndexMemory(); n != 0 {
		t.Errorf("a deleted queue's index still counts %d bytes", n)
	}
}

// An index that cannot be read through is made later; until then selectors scan.
func TestHeaderIndexIsMadeLater(t *testing.T) {
	q := queueNamed("a")
	var failing atomic.Bool
	var ahead atomic.Int64
	r := newRig(t, indexing("n"), func(r *rig) {
		r.wrap = func(s store.Store) store.Store { return &loadFails{s, &failing} }
		r.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	fill(t, r.connect(), q, 1000, 100)
	failing.Store(true)
	r.restart()
	if _, _, _, complete := r.b.IndexState(q); complete {
		t.Fatal("the index was made without reading")
	}
	failing.Store(false)
	ahead.Add(int64(time.Minute))
	c := r.connect()
	c.subscribe(q, selecting("n = 777"))
	wantBodies(t, c.take(1), "0000777")
	r.complete(q)
}

type loadFails struct {
	store.Store
	failing *atomic.Bool
}

func (f *loadFails) Load(dst []store.Stored, d store.DestID, l store.Lane, after store.Seq, max, maxBytes int) ([]store.Stored, bool, error) {
	if f.failing.Load() {
		return dst, false, errors.New("input/output error")
	}
	return f.Store.Load(dst, d, l, after, max, maxBytes)
}

func TestIndexableHeader(t *testing.T) {
	for name, want := range map[string]bool{"n": true, "type": true, "JMSType": true, "correlation-id": true, "JMSXGroupID": true,
		"JMSXUserID": true, "content-type": true, "priority": false, "JMSPriority": false, "timestamp": false, "JMSXDeliveryCount": false,
		"JMSRedelivered": false, "destination": false, "reply-to": false, "expires": false, "message-id": false} {
		if broker.IndexableHeader(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

var depth = flag.Int("depth", 100_000, "messages of BenchmarkDeepSelector's queue")

// BenchmarkDeepSelector looks for a message at the end of a deep queue: by reading all others, and by the index.
func BenchmarkDeepSelector(b *testing.B) {
	for _, headers := range [][]string{nil, {"n"}} {
		name := "scan"
		if headers != nil {
			name = "index"
		}
		b.Run(name, func(b *testing.B) {
			r := newRig(b, indexing(headers...))
			q := queueNamed("a")
			fill(b, r.connect(), q, *depth, 1000)
			_, _, bytes, _ := r.b.IndexState(q)
			c := r.connect()
			for i := 0; b.Loop(); i++ {
				n := *depth - 1 - i%1000
				s := c.subscribe(q, selecting(fmt.Sprintf("n = '%d'", n)), prefetch(1))
				wantBodies(b, c.take(1), fmt.Sprintf("%07d", n))
				s.Close()
			}
			b.ReportMetric(float64(bytes)/float64(*depth), "B/message")
		})
	}
}
