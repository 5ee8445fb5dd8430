package vfs

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAppendOtherwise: where the kernel cannot write and sync in one call, or not past the cache, the file is the same.
func TestAppendOtherwise(t *testing.T) {
	t.Run("sync apart", func(t *testing.T) { testAppend(t, func(f File) { f.(*osFile).apart = true }) })
	t.Run("through the cache", func(t *testing.T) { testAppend(t, func(f File) { f.(*osFile).never = true }) })
}

// What is to be on the disk when Append returns is written with RWF_DSYNC, by both ways: through the page cache, and
// past it.
func TestAppendSyncs(t *testing.T) {
	synced := 0
	defer func(f func(int, [][]byte, int64, int) (int, error)) { pwritev2 = f }(pwritev2)
	kernel := pwritev2
	pwritev2 = func(fd int, iov [][]byte, at int64, flags int) (int, error) {
		n, err := kernel(fd, iov, at, flags)
		if flags&unix.RWF_DSYNC != 0 && n > 0 {
			synced += n
		}
		return n, err
	}
	f, err := OS{}.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := int64(0)
	for _, n := range []int{100, 1 << 20, 5000} {
		for _, sync := range []bool{false, true} {
			synced = 0
			if err := f.Append(make([]byte, n), at, sync); err != nil {
				t.Fatal(err)
			}
			at += int64(n)
			if sync && synced < n || !sync && synced > 0 {
				t.Errorf("%d bytes, sync %v: %d were written in a synced write", n, sync, synced)
			}
		}
	}
}
