package local

import (
	numbers "cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"treadmq/store"
	"treadmq/store/vfs"
)

// model is what a store should hold.
type model struct {
	refs    map[store.Ref]modelRef
	marks   map[laneID]store.Seq
	catalog map[string]string
	newest  map[keyID]store.Seq // reference that was given a key last
}

type modelRef struct {
	Body     string
	ID       uint64
	Expiry   int64
	Attempts uint32
	Overlay  string
	Flags    store.Flags
	Key      string
}

func (m *model) sorted(d store.DestID, n store.Lane) []store.Ref {
	var out []store.Ref
	for r := range m.refs {
		if r.Dest == d && r.Lane == n {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b store.Ref) int { return int(int64(a.Seq) - int64(b.Seq)) })
	return out
}

func (m *model) any(t *rapid.T) (store.Ref, bool) {
	if len(m.refs) == 0 {
		return store.Ref{}, false
	}
	all := slices.SortedFunc(maps.Keys(m.refs), func(a, b store.Ref) int { return int(int64(a.Seq) - int64(b.Seq)) })
	return rapid.SampledFrom(all).Draw(t, "ref"), true
}

// with is r and the older references of its key, which must go before it or with it, in order.
func (m *model) with(r store.Ref) []store.Ref {
	out := []store.Ref{r}
	for o, e := range m.refs {
		if e.Key != "" && e.Key == m.refs[r].Key && o.Dest == r.Dest && o.Lane == r.Lane && o.Seq < r.Seq {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b store.Ref) int { return numbers.Compare(a.Seq, b.Seq) })
	return out
}

// machine runs the same operations on a store and a model.
type machine struct {
	model
	s    *Store
	opts Options
	n    int
}

func (m *machine) open(t *rapid.T) {
	s, err := Open(m.opts)
	if err != nil {
		t.Fatal(err)
	}
	m.s = s
}

func (m *machine) do(t *rapid.T, fn func(b *store.Batch)) *store.Batch {
	b, err := try(m.s, fn)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const modelDests = 3

// modelKeys are the keys that messages may have, most of them none.
var modelKeys = []string{"", "k", "key"}

func drawLane(t *rapid.T) store.Lane { return store.Lane(rapid.IntRange(3, 5).Draw(t, "lane")) }

func drawDest(t *rapid.T) store.DestID {
	return store.DestID(rapid.IntRange(1, modelDests).Draw(t, "dest"))
}

func drawRefs(t *rapid.T) []store.NewRef {
	refs := make([]store.NewRef, rapid.IntRange(1, 3).Draw(t, "refs"))
	for i := range refs {
		refs[i] = store.NewRef{Dest: drawDest(t), Lane: drawLane(t)}
		if rapid.Bool().Draw(t, "special") {
			refs[i].Attempts = rapid.Uint32Range(0, 9).Draw(t, "attempts")
			refs[i].Overlay = []byte(rapid.StringN(0, 5, -1).Draw(t, "overlay"))
			refs[i].OwnExpiry = true
			refs[i].Expiry = rapid.Int64Range(0, 100).Draw(t, "expiry")
		}
	}
	return refs
}

func (m *machine) added(b *store.Batch, first int, refs []store.NewRef, base modelRef) {
	for i, r := range refs {
		e := base
		if e.ID == 0 {
			e.ID = uint64(b.Seq(first))
		}
		e.Attempts, e.Overlay = r.Attempts, string(r.Overlay)
		if r.OwnExpiry {
			e.Expiry = r.Expiry
		}
		m.refs[store.Ref{Dest: r.Dest, Lane: r.Lane, Seq: b.Seq(first + i)}] = e
		if e.Key != "" {
			m.newest[keyID{laneID{Dest: r.Dest, Lane: r.Lane}, e.Key}] = b.Seq(first + i)
		}
	}
}

// Enqueue sends one to three messages in one batch, and removes some in it.
func (m *machine) Enqueue(t *rapid.T) {
	type sent struct {
		first int
		refs  []store.NewRef
		base  modelRef
	}
	var all []sent
	var gone []store.Ref
	b := m.do(t, func(b *store.Batch) {
		for range rapid.IntRange(1, 3).Draw(t, "messages") {
			m.n++
			body := fmt.Sprintf("message %d %0*d", m.n, rapid.IntRange(0, 700).Draw(t, "size"), 0)
			base := modelRef{Body: body, Flags: store.Flags(rapid.IntRange(0, 3).Draw(t, "flags")), Expiry: rapid.Int64Range(0, 50).Draw(t, "ttl")}
			refs := drawRefs(t)
			base.Key = rapid.SampledFrom(modelKeys).Draw(t, "key")
			first := b.Enqueue(store.Message{Encoded: []byte(body), Flags: base.Flags, Expiry: base.Expiry, DedupKey: base.Key}, refs...)
			all = append(all, sent{first, refs, base})
		}
		if r, ok := m.any(t); ok && rapid.Bool().Draw(t, "and remove") {
			for _, r := range m.with(r) {
				b.Remove(r, store.Loc{})
				gone = append(gone, r)
			}
		}
	})
	for _, s := range all {
		m.added(b, s.first, s.refs, s.base)
	}
	for _, r := range gone {
		delete(m.refs, r)
	}
}

// Remove takes references away, some of them twice or never there.
func (m *machine) Remove(t *rapid.T) {
	for range rapid.IntRange(1, 10).Draw(t, "n") {
		r, ok := m.any(t)
		if !ok {
			return
		}
		var at store.Loc
		if rapid.Bool().Draw(t, "with place") {
			st, err := m.s.Find(r)
			if err != nil {
				t.Fatal(err)
			}
			at = st.Loc
		}
		twice := rapid.Bool().Draw(t, "twice")
		gone := m.with(r)
		m.do(t, func(b *store.Batch) {
			for _, older := range gone[:len(gone)-1] {
				b.Remove(older, store.Loc{})
			}
			b.Remove(r, at)
			if twice {
				b.Remove(r, store.Loc{})
			}
		})
		for _, r := range gone {
			delete(m.refs, r)
		}
		m.do(t, func(b *store.Batch) { b.Remove(store.Ref{Dest: r.Dest, Lane: r.Lane, Seq: r.Seq + 1<<30}, store.Loc{}) })
	}
}

// Link copies a reference, and sometimes takes the old one away (dead letter).
func (m *machine) Link(t *rapid.T) {
	r, ok := m.any(t)
	if !ok || m.refs[r].Key != "" {
		return
	}
	refs := drawRefs(t)
	move := rapid.Bool().Draw(t, "move")
	base := m.refs[r]
	id := rapid.SampledFrom([]uint64{0, 0, 7, 1 << 50}).Draw(t, "id")
	if id != 0 {
		base.ID = id
	}
	b := m.do(t, func(b *store.Batch) {
		b.LinkAs(id, r, refs...)
		if move {
			b.Remove(r, store.Loc{})
		}
		b.Link(store.Ref{Dest: r.Dest, Lane: r.Lane, Seq: 1}, store.NewRef{Dest: 1, Lane: 4})
	})
	m.added(b, 0, refs, base)
	if move {
		delete(m.refs, r)
	}
}

func (m *machine) Attempts(t *rapid.T) {
	if r, ok := m.any(t); ok {
		n := rapid.Uint32Range(0, 20).Draw(t, "n")
		m.do(t, func(b *store.Batch) { b.Attempts(r, n, 0) })
		e := m.refs[r]
		e.Attempts = n
		m.refs[r] = e
	}
}

func (m *machine) Mark(t *rapid.T) {
	if r, ok := m.any(t); ok {
		m.do(t, func(b *store.Batch) { b.Mark(r) })
		id := laneID{Dest: r.Dest, Lane: r.Lane}
		m.marks[id] = max(m.marks[id], r.Seq)
	}
}

// Purge purges up to some reference, keeping some, and sends in the same batch.
func (m *machine) Purge(t *rapid.T) {
	d := drawDest(t)
	upto := store.Seq(1<<64 - 1)
	if r, ok := m.any(t); ok && rapid.Bool().Draw(t, "partial") {
		upto = r.Seq
	}
	var keep []store.Seq
	for range rapid.IntRange(0, 4).Draw(t, "keep") {
		if r, ok := m.any(t); ok && m.refs[r].Key == "" {
			keep = append(keep, r.Seq)
		}
	}
	b := m.do(t, func(b *store.Batch) {
		b.Purge(d, upto, keep)
		b.Enqueue(store.Message{Encoded: []byte("after purge")}, store.NewRef{Dest: d, Lane: 4})
	})
	maps.DeleteFunc(m.refs, func(r store.Ref, _ modelRef) bool {
		return r.Dest == d && r.Seq <= upto && !slices.Contains(keep, r.Seq)
	})
	m.added(b, 0, []store.NewRef{{Dest: d, Lane: 4}}, modelRef{Body: "after purge"})
}

func (m *machine) Drop(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
		return
	}
	d := drawDest(t)
	m.do(t, func(b *store.Batch) { b.Drop(d) })
	maps.DeleteFunc(m.refs, func(r store.Ref, _ modelRef) bool { return r.Dest == d })
	maps.DeleteFunc(m.marks, func(id laneID, _ store.Seq) bool { return id.Dest == d })
}

func (m *machine) Catalog(t *rapid.T) {
	k := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
	if rapid.Bool().Draw(t, "delete") {
		m.do(t, func(b *store.Batch) { b.Delete([]byte(k)) })
		delete(m.catalog, k)
		return
	}
	v := rapid.StringN(0, 10, -1).Draw(t, "value")
	m.do(t, func(b *store.Batch) { b.Put([]byte(k), []byte(v)) })
	m.catalog[k] = v
}

func (m *machine) Checkpoint(t *rapid.T) {
	if err := m.s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) Compact(*rapid.T) { signal(m.s.compactNow) }

func (m *machine) Restart(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "rarely") > 0 {
		return
	}
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

// Kill goes on from a copy of the disk as a killed process leaves it.
func (m *machine) Kill(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "rarely") > 0 {
		return
	}
	after := m.opts.FS.(*vfs.Mem).Snapshot()
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.opts.FS = after
	m.open(t)
}

// Check compares everything that can be asked.
func (m *machine) Check(t *rapid.T) {
	total := map[store.DestID][store.Lanes]store.Count{}
	for d := store.DestID(1); d <= modelDests; d++ {
		for n := store.Lane(0); n < store.Lanes; n++ {
			m.checkLane(t, d, n, total)
		}
	}
	if diff := cmp.Diff(total, m.s.Counts()); diff != "" {
		t.Fatalf("counts (-want +got):\n%s", diff)
	}
	got := map[string]string{}
	if err := m.s.Catalog(func(k, v []byte) error { got[string(k)] = string(v); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.catalog, got); diff != "" {
		t.Fatalf("catalog (-want +got):\n%s", diff)
	}
	m.checkExpired(t)
	m.checkKeys(t)
}

// checkKeys asks for every key in every lane.
func (m *machine) checkKeys(t *rapid.T) {
	for d := store.DestID(1); d <= modelDests; d++ {
		for n := store.Lane(3); n <= 5; n++ {
			for _, key := range modelKeys[1:] {
				id := keyID{laneID{Dest: d, Lane: n}, key}
				want := store.Ref{Dest: d, Lane: n, Seq: m.newest[id]}
				got, err := m.s.FindKey(d, n, key)
				switch _, there := m.refs[want]; {
				case there && (err != nil || got.Ref != want || got.Key != key):
					t.Fatalf("the key %q leads to %v (%v), want %v", key, got.Ref, err, want)
				case !there && !errors.Is(err, store.ErrNotFound):
					t.Fatalf("the key %q leads to %v (%v), want nothing", key, got.Ref, err)
				}
			}
		}
	}
}

func (m *machine) checkLane(t *rapid.T, d store.DestID, n store.Lane, total map[store.DestID][store.Lanes]store.Count) {
	want := m.sorted(d, n)
	if got := m.s.Mark(d, n); got != m.marks[laneID{Dest: d, Lane: n}] {
		t.Fatalf("mark of %d/%d is %d, want %d", d, n, got, m.marks[laneID{Dest: d, Lane: n}])
	}
	var got []store.Stored
	var after store.Seq
	for more := true; more; {
		var err error
		before := len(got)
		if got, more, err = m.s.Load(got, d, n, after, 3, 900); err != nil {
			t.Fatal(err)
		}
		if more && len(got) == before {
			t.Fatal("no progress")
		}
		if len(got) > 0 {
			after = got[len(got)-1].Seq
		}
	}
	if len(got) != len(want) {
		t.Fatalf("lane %d/%d has %d references, want %d", d, n, len(got), len(want))
	}
	for i, r := range want {
		e := m.refs[r]
		c := total[d]
		c[n].Refs++
		c[n].Bytes += int64(len(e.Body))
		total[d] = c
		g := modelRef{string(got[i].Message), got[i].ID, got[i].Expiry, got[i].Attempts, string(got[i].Overlay), got[i].Flags, got[i].Key}
		if diff := cmp.Diff(e, g); diff != "" || got[i].Ref != r {
			t.Fatalf("reference %v, got %v (-want +got):\n%s", r, got[i].Ref, diff)
		}
		st, err := m.s.Find(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := m.s.Read(st.Loc)
		if errors.Is(err, store.ErrMoved) {
			continue // compaction came between
		}
		if err != nil || string(body) != e.Body {
			t.Fatalf("read %v: %q, %v", r, body, err)
		}
	}
}

func (m *machine) checkExpired(t *rapid.T) {
	const now = 40
	want := map[store.Ref]int64{}
	for r, e := range m.refs {
		if e.Expiry > 0 && e.Expiry <= now {
			want[r] = e.Expiry
		}
	}
	got := map[store.Ref]int64{}
	var cursor []byte
	var last int64
	for {
		found, next, err := m.s.Expired(nil, now, cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if f.Expiry < last {
				t.Fatalf("expiry %d after %d", f.Expiry, last)
			}
			last = f.Expiry
			got[f.Ref] = f.Expiry
		}
		if cursor = next; cursor == nil {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("expired (-want +got):\n%s", diff)
	}
}

// TestModel runs random operations, restarts and kills on a store and on a map.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{
			model: model{refs: map[store.Ref]modelRef{}, marks: map[laneID]store.Seq{}, catalog: map[string]string{}, newest: map[keyID]store.Seq{}},
			opts: Options{
				FS: vfs.NewMem(), Dir: "/store", BootID: "boot", SegmentSize: 4 << 10, TailLimit: 4 << 10, CompactRate: 1 << 40, IndexBuffer: 64 << 10,
				CheckpointInterval: time.Duration(rapid.SampledFrom([]int{1, 1000}).Draw(t, "interval")) * time.Millisecond,
			},
		}
		m.open(t)
		defer func() { m.s.Close() }()
		actions := rapid.StateMachineActions(modelActions{m})
		t.Repeat(actions)
	})
}

// modelActions keeps the machine's helpers out of the set of actions.
type modelActions struct{ *machine }
