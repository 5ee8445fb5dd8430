package local

import (
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"treadmq/store"
	"treadmq/store/vfs"
)

// watchedFS counts how large writes lie in memory.
type watchedFS struct {
	vfs.FS
	aligned, others atomic.Int64
}

func (w *watchedFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := w.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &watchedFile{f, w}, nil
}

type watchedFile struct {
	vfs.File
	w *watchedFS
}

func (f *watchedFile) Append(p []byte, off int64, sync bool) error {
	if len(p) >= 256<<10 {
		if (uintptr(unsafe.Pointer(unsafe.SliceData(p)))-uintptr(off))%pageSize == 0 {
			f.w.aligned.Add(1)
		} else {
			f.w.others.Add(1)
		}
	}
	return f.File.Append(p, off, sync)
}

// TestLargeMessages sends large messages over many segments of a real disk, with small ones between them, reads each
// back when it is committed and all again after a restart. Groups lie in memory as they will lie on disk, but for the
// first of a segment, so that they can be written without a copy.
func TestLargeMessages(t *testing.T) {
	w := &watchedFS{FS: vfs.OS{}}
	o := Options{Dir: t.TempDir(), FS: w, SegmentSize: 8 << 20}
	s := open(t, o)
	const count = 60
	body := func(i int) string {
		return strings.Repeat(string(rune('a'+i%26)), 1000+i%7*171_111)
	}
	for i := range count {
		b := do(t, s, func(b *store.Batch) {
			b.Enqueue(store.Message{Encoded: []byte(body(i))}, store.NewRef{Dest: 1})
		})
		if got, err := s.Read(b.Ops[0].Loc); err != nil || string(got) != body(i) {
			t.Fatalf("message %d came back as %d bytes, %v", i, len(got), err)
		}
	}
	if a, x := w.aligned.Load(), w.others.Load(); a < 3*x || a == 0 {
		t.Errorf("%d large writes lie in memory as on disk, %d do not", a, x)
	}
	closeStore(t, s)
	var said strings.Builder
	if r, err := Check(w, o.Dir, &said); err != nil || r.Problems > 0 { // all checksums, of batches and messages
		t.Errorf("check: %v, %+v\n%s", err, r, said.String())
	}
	s = open(t, o)
	got := bodies(t, s, 1, 0)
	if len(got) != count {
		t.Fatalf("%d messages after a restart, want %d", len(got), count)
	}
	for i := range got {
		if got[i] != body(i) {
			t.Errorf("message %d is another one after a restart", i)
		}
	}
}
