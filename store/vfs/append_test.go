package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// TestAppend appends pieces of all sizes, aligned in memory or not, to a preallocated file as a journal does, while
// others read back what was written and what lies behind it. Whatever way a piece takes, it is read as it was written,
// and nothing but zeros is behind it.
func TestAppend(t *testing.T) { testAppend(t, func(File) {}) }

func testAppend(t *testing.T, prepare func(File)) {
	const size = 12 << 20
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
	prepare(f)
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
		sync := rnd.Intn(2) == 0
		if err := f.Append(memory[at:at+n], int64(off), sync); err != nil {
			t.Fatalf("append of %d bytes at %d, sync %v: %v", n, off, sync, err)
		}
		clear(memory[at : at+n]) // it is the caller's again
		off += n
		var behind [8192]byte
		if m, err := f.ReadAt(behind[:min(len(behind), size-off)], int64(off)); err != nil || !allZero(behind[:m]) {
			t.Fatalf("behind %d is something, or an error: %v", off, err)
		}
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
	if err := f.Truncate(2<<20 + 5); err != nil {
		t.Fatal(err)
	}
	for at := 2<<20 + 5; at < size-100; at += 1 << 20 { // after a cut the file still takes writes, and grows by just these
		if err := f.Append(want[at:min(at+1<<20, size-100)], int64(at), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(got, want[:size-100]) {
		t.Errorf("the file is not what was written: %d bytes, %v", len(got), err)
	}
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

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

// TestAppendFails: the error of a file that cannot be written is the caller's to see.
func TestAppendFails(t *testing.T) {
	f, err := OS{}.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Allocate(2<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{100, 1 << 20} {
		for _, sync := range []bool{false, true} {
			if err := f.Append(make([]byte, n), 0, sync); err == nil {
				t.Errorf("appended %d bytes to a closed file, sync %v", n, sync)
			}
		}
	}
}

// BenchmarkAppend measures an append that is synced, against writing through the cache and then syncing.
func TestBuffer(t *testing.T) {
	for _, n := range []int{1, 1000, hugeMin - 1, hugeMin, hugeMin + 1, hugePage, 3*hugePage + 1} {
		b := Buffer(n)
		if len(b) != 0 || cap(b) < n || cap(b) > n+hugePage {
			t.Errorf("Buffer(%d) has %d bytes and room for %d", n, len(b), cap(b))
		}
		if b = b[:n]; n >= hugeMin && misaligned(b, hugePage) != 0 {
			t.Errorf("Buffer(%d) begins %d bytes behind the start of a huge page", n, misaligned(b, hugePage))
		}
		if i := slices.IndexFunc(b, func(c byte) bool { return c != 0 }); i >= 0 {
			t.Errorf("Buffer(%d) has something at %d", n, i)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1000, 20_000, 1_000_000} {
		for _, way := range []string{"append", "append from small pages", "write, sync"} {
			memory := Buffer(n + 4096)[:n+4096]
			if way != "append" {
				memory = make([]byte, n+4096)
			}
			b.Run(fmt.Sprintf("%d bytes, %s", n, way), func(b *testing.B) {
				f, err := OS{}.OpenFile(filepath.Join(b.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				if err := errors.Join(f.Allocate(int64(b.N+1)*int64(n)), f.Sync()); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(n))
				b.ResetTimer()
				for i := range b.N {
					off := i * n
					p := memory[off%4096:][:n]
					if way != "write, sync" {
						err = f.Append(p, int64(off), true)
					} else if _, err = f.WriteAt(p, int64(off)); err == nil {
						err = f.Sync()
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
