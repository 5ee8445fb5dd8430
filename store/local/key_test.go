package local

import (
	"errors"
	"fmt"
	"testing"

	"treadmq/store"
	"treadmq/store/vfs"
)

// TestKeysOverCompactionAndLostIndex: a key leads to the newest reference that has it, also when an older one is
// moved, purged or removed behind it, and the index is made again from what is left of the journal.
func TestKeysOverCompactionAndLostIndex(t *testing.T) {
	o := Options{FS: vfs.NewMem(), SegmentSize: 4 << 10, CompactRate: 1 << 40}
	s := open(t, o)
	add := func(key string) store.Ref {
		t.Helper()
		b := do(t, s, func(b *store.Batch) {
			b.Enqueue(store.Message{Encoded: []byte("x"), DedupKey: key}, store.NewRef{Dest: 1, Lane: 4, Overlay: []byte(key)})
		})
		return store.Ref{Dest: 1, Lane: 4, Seq: b.Seq(0)}
	}
	checkpoint := func() {
		t.Helper()
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]store.Ref{}
	check := func(when string) {
		t.Helper()
		for _, key := range []string{"alone", "twice", "removed", "again", "purged", "never"} {
			got, err := s.FindKey(1, 4, key)
			r, there := want[key]
			if there && (err != nil || got.Ref != r || got.Key != key || string(got.Overlay) != key) || !there && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: the key %q leads to %+v (%v), want %v", when, key, got, err, r)
			}
			if _, err := s.FindKey(1, 5, key); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: the key %q is in another lane, too (%v)", when, key, err)
			}
		}
	}
	purged := add("purged")
	checkpoint()
	do(t, s, func(b *store.Batch) { b.Purge(1, purged.Seq, nil) })
	want["purged"] = add("purged") // before the purge is carried out in the index
	checkpoint()
	want["alone"] = add("alone")
	old := add("twice")
	gone, again := add("removed"), add("again")
	check2 := func(when string) { check(when); checkpoint(); check(when + ", in the index") }
	want["twice"] = old
	want["removed"], want["again"] = gone, again
	check2("at first")
	do(t, s, func(b *store.Batch) { b.Remove(gone, store.Loc{}) })
	delete(want, "removed")
	check2("removed")
	do(t, s, func(b *store.Batch) { b.Remove(again, store.Loc{}) })
	want["again"] = add("again")
	want["twice"] = add("twice")
	check2("given again")
	for i := range 100 { // other segments
		r := send(t, s, 9, 4, fmt.Sprintf("%0200d", i))
		do(t, s, func(b *store.Batch) { b.Remove(r, store.Loc{}) })
	}
	checkpoint()
	if err := (&compactor{store: s, gave: map[store.Position]int64{}, all: true}).run(); err != nil {
		t.Fatal(err)
	}
	if s.journal.Segments()[0].First == 0 {
		t.Fatal("the first segment is still there: nothing was moved")
	}
	check2("moved")
	lose := func() {
		t.Helper()
		closeStore(t, s)
		if err := o.FS.RemoveAll("/store/index"); err != nil {
			t.Fatal(err)
		}
		s = open(t, o)
	}
	lose()
	check2("rebuilt")
	do(t, s, func(b *store.Batch) { b.Remove(old, store.Loc{}) })
	check2("the older one is removed")
	lose()
	check2("rebuilt again")
	do(t, s, func(b *store.Batch) { b.Drop(1) })
	clear(want)
	check2("dropped")
}
