package local

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"treadmq/store"
	"treadmq/store/vfs"
)

// testLog writes log lines to the test.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = "/store"
	}
	if o.FS == nil {
		o.FS = vfs.NewMem()
	}
	if o.BootID == "" {
		o.BootID = "boot"
	}
	if _, inMemory := o.FS.(*vfs.Mem); inMemory {
		o.IndexBuffer = 64 << 10
	}
	o.Logger = testLog(t)
	s, err := Open(o)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// do appends what fn puts into a batch and waits until it is committed.
func do(t testing.TB, s store.Store, fn func(b *store.Batch)) *store.Batch {
	t.Helper()
	b, err := try(s, fn)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func try(s store.Store, fn func(b *store.Batch)) (*store.Batch, error) {
	var b store.Batch
	fn(&b)
	var wg sync.WaitGroup
	var result error
	wg.Add(1)
	b.Done = func(_ *store.Batch, err error) {
		result = err
		wg.Done()
	}
	if err := s.Append(&b); err != nil {
		return nil, err
	}
	wg.Wait()
	return &b, result
}

func send(t testing.TB, s store.Store, d store.DestID, l store.Lane, body string) store.Ref {
	t.Helper()
	b := do(t, s, func(b *store.Batch) {
		b.Enqueue(store.Message{Encoded: []byte(body)}, store.NewRef{Dest: d, Lane: l})
	})
	return store.Ref{Dest: d, Lane: l, Seq: b.Seq(0)}
}

func bodies(t testing.TB, s store.Store, d store.DestID, l store.Lane) []string {
	t.Helper()
	var out []string
	var after store.Seq
	for {
		got, more, err := s.Load(nil, d, l, after, 7, 1<<20)
		if err != nil {
			t.Fatalf("%+v", err)
		}
		for _, m := range got {
			out = append(out, string(m.Message))
			after = m.Seq
		}
		if !more {
			return out
		}
	}
}

func TestRoundTripOverRestarts(t *testing.T) {
	o := Options{FS: vfs.NewMem(), SegmentSize: 16 << 10}
	s := open(t, o)
	var refs []store.Ref
	var want []string
	for i := range 200 {
		body := fmt.Sprintf("message %d %s", i, bytes.Repeat([]byte("x"), i))
		refs = append(refs, send(t, s, 1, 4, body))
		want = append(want, body)
		if i%50 == 0 {
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		if i%70 == 0 {
			closeStore(t, s)
			s = open(t, o)
		}
	}
	equal(t, bodies(t, s, 1, 4), want)
	for i, r := range refs {
		if i%2 == 0 {
			do(t, s, func(b *store.Batch) { b.Remove(r, store.Loc{}) })
		}
	}
	var left []string
	for i := 1; i < len(want); i += 2 {
		left = append(left, want[i])
	}
	equal(t, bodies(t, s, 1, 4), left)
	closeStore(t, s)
	s = open(t, o)
	equal(t, bodies(t, s, 1, 4), left)
	if n := s.Counts()[1][4].Refs; n != 100 {
		t.Fatalf("%d references counted, want 100", n)
	}
	if _, err := s.Find(refs[0]); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("removed reference: %v", err)
	}
}

func equal(t testing.TB, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d messages, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("message %d is %.40q, want %.40q", i, got[i], want[i])
		}
	}
}
