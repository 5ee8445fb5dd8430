package local

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"treadmq/store"
	"treadmq/store/vfs"
)

// readOnlyDisk is a disk that is mounted read-only.
type readOnlyDisk struct{ vfs.FS }

func readOnlyError(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: syscall.EROFS}
}

func (d readOnlyDisk) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	if flag&(os.O_WRONLY|os.O_RDWR|os.O_CREATE|os.O_TRUNC) != 0 {
		return nil, readOnlyError("open", name)
	}
	return d.FS.OpenFile(name, flag, perm)
}

func (d readOnlyDisk) Lock(name string) (io.Closer, error) { return nil, readOnlyError("open", name) }

// TestCheckReadOnlyDisk: a copy that nobody can write to, such as a snapshot, can be looked into.
func TestCheckReadOnlyDisk(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, Options{FS: mem})
	send(t, s, 1, 4, "hello")
	closeStore(t, s)
	disk := readOnlyDisk{mem}
	checkFolder(t, disk)
	var out bytes.Buffer
	if err := Dump(disk, "/store", &out, Filter{Body: 10}); err != nil || !strings.Contains(out.String(), "hello") {
		t.Fatalf("dump: %v\n%s", err, &out)
	}
}

// TestCheckLostIndex: an index that lost all it had is a problem, although it is whole in itself.
func TestCheckLostIndex(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, Options{FS: mem, SegmentSize: 4 << 10})
	for range 40 {
		r := send(t, s, 1, 4, strings.Repeat("x", 300))
		do(t, s, func(b *store.Batch) { b.Remove(r, store.Loc{}) })
	}
	send(t, s, 1, 4, "kept")
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	checkFolder(t, mem)
	names, err := mem.ReadDir("/store/index")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names { // the index is all in its own log
		if strings.HasSuffix(n, ".log") {
			f, err := mem.OpenFile("/store/index/"+n, os.O_RDWR|os.O_TRUNC, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	var out bytes.Buffer
	if r, err := Check(mem, "/store", &out); err != nil || r.Problems != 1 || !strings.Contains(out.String(), "the index is empty") {
		t.Fatalf("check: %v\n%s", err, &out)
	}
	s = open(t, Options{FS: mem, SegmentSize: 4 << 10})
	equal(t, bodies(t, s, 1, 4), []string{"kept"})
	closeStore(t, s)
	checkFolder(t, mem)
}
