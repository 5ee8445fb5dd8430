package vfs

import (
	"bytes"
	"math/rand"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// TestLargeWrites appends pieces of all sizes, aligned in memory or not, to a preallocated file as a journal does, while
// others read back what was written and what lies behind it. Whatever way a piece takes, it is read as it was written.
func TestLargeWrites(t *testing.T) {
	const size = 24 << 20
	rnd := rand.New(rand.NewSource(1))
	want := make([]byte, size)
	for i := 0; i < size; i += 8 {
		want[i], want[i+3] = byte(rnd.Int()), byte(i>>12)|1
	}
	name := filepath.Join(t.TempDir(), "f")
	f, err := OS{}.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Allocate(size); err != nil {
		t.Fatal(err)
	}
	var written atomic.Int64
	var readers sync.WaitGroup
	for r := range 2 {
		readers.Go(func() { readBehind(t, f, want, &written, rand.New(rand.NewSource(int64(r)))) })
	}
	memory := make([]byte, size+4096)
	for off := 0; off < size; {
		n := min(size-off, 1+rnd.Intn(3000))
		if rnd.Intn(3) > 0 {
			n = min(size-off, 200_000+rnd.Intn(3_000_000))
		}
		at := off // congruent with the file: aligned where the file is
		if rnd.Intn(2) == 0 {
			at += rnd.Intn(4096)
		}
		copy(memory[at:], want[off:off+n])
		if m, err := f.WriteAt(memory[at:at+n], int64(off)); m != n || err != nil {
			t.Fatalf("write of %d bytes at %d: %d, %v", n, off, m, err)
		}
		clear(memory[at : at+n]) // it is the caller's again
		off += n
		written.Store(int64(off))
		if rnd.Intn(3) == 0 {
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	readers.Wait()
	if err := f.Truncate(size - 100); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(want[1<<20:3<<20], 1<<20); err != nil { // after a cut the file still takes large writes
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(got, want[:size-100]) {
		t.Errorf("the file is not what was written: %d bytes, %v", len(got), err)
	}
}

// readBehind reads here and there until everything is written. What is not written yet reads as anything, and leaves
// its pages in the cache.
func readBehind(t *testing.T, f File, want []byte, written *atomic.Int64, rnd *rand.Rand) {
	b := make([]byte, 1<<20)
	for {
		limit := int(written.Load())
		n := 1 + rnd.Intn(len(b))
		off := max(0, min(limit-rnd.Intn(2*n), len(want)-n))
		if _, err := f.ReadAt(b[:n], int64(off)); err != nil {
			t.Errorf("read of %d bytes at %d: %v", n, off, err)
			return
		}
		if m := min(n, limit-off); m > 0 && !bytes.Equal(b[:m], want[off:off+m]) {
			t.Errorf("read other bytes than were written, somewhere in %d at %d", m, off)
			return
		}
		if limit == len(want) {
			return
		}
	}
}

// TestLargeWriteFails: the error of a file that cannot be written is the caller's to see.
func TestLargeWriteFails(t *testing.T) {
	f, err := OS{}.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := f.WriteAt(make([]byte, 1<<20), 0); err == nil {
		t.Errorf("wrote %d bytes to a closed file", n)
	}
}
