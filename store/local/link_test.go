package local

import (
	"fmt"
	"testing"

	"treadmq/store"
	"treadmq/store/vfs"
)

// TestLinkWithIdentityOfItsOwn links one message under several identities, moves it,
// and loses the index: each reference keeps its own.
func TestLinkWithIdentityOfItsOwn(t *testing.T) {
	o := Options{FS: vfs.NewMem(), SegmentSize: 4 << 10, CompactRate: 1 << 40}
	s := open(t, o)
	first := send(t, s, 1, 4, "body")
	b := do(t, s, func(b *store.Batch) {
		b.LinkAs(77, first, store.NewRef{Dest: 2, Lane: 4})
		b.Link(first, store.NewRef{Dest: 3, Lane: 4})
	})
	want := map[store.Ref]uint64{
		first:                             uint64(first.Seq),
		{Dest: 2, Lane: 4, Seq: b.Seq(0)}: 77,
		{Dest: 3, Lane: 4, Seq: b.Seq(1)}: uint64(first.Seq),
	}
	check := func(when string) {
		t.Helper()
		for r, id := range want {
			got, err := s.Find(r)
			if err != nil || got.ID != id {
				t.Fatalf("%s: %s has identity %d, want %d (%v)", when, r, got.ID, id, err)
			}
		}
	}
	check("at once")
	closeStore(t, s)
	s = open(t, o)
	check("after a restart")
	for i := range 100 { // other segments
		r := send(t, s, 9, 4, fmt.Sprintf("%0200d", i))
		do(t, s, func(b *store.Batch) { b.Remove(r, store.Loc{}) })
	}
	from := s.journal.Segments()[0].First
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if err := (&compactor{store: s, gave: map[store.Position]int64{}, all: true}).run(); err != nil {
		t.Fatal(err)
	}
	if s.journal.Segments()[0].First == from {
		t.Fatal("the first segment is still there: nothing was moved")
	}
	check("after a move")
	closeStore(t, s)
	if err := o.FS.RemoveAll("/store/index"); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	check("after a rebuild of the index")
}

// TestExpiredOfMany reads references that expire page by page, from a place in the
// middle on, with most of them not in the index yet.
func TestExpiredOfMany(t *testing.T) {
	s := open(t, Options{})
	const n = 5000
	for i := range n / 100 {
		do(t, s, func(b *store.Batch) {
			for j := range 100 {
				b.Enqueue(store.Message{Encoded: []byte("m"), Expiry: int64(n - i*100 - j)}, store.NewRef{Dest: 1, Lane: 4})
			}
		})
		if i == n/200 {
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	at := int64(1000)
	cursor := store.ExpiryCursor(at)
	for {
		list, next, err := s.Expired(nil, n-1000, cursor, 70)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if r.Expiry != at {
				t.Fatalf("%d came, %d was next", r.Expiry, at)
			}
			at++
		}
		if cursor = next; cursor == nil {
			break
		}
	}
	if at != n-1000+1 {
		t.Fatalf("the last one was %d", at-1)
	}
}
