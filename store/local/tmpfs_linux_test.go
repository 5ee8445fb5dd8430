package local

import (
	"syscall"
	"testing"

	"treadmq/store/vfs"
)

// TestFullTmpfs does the same on a real file system of 24 MiB, if it may mount one.
func TestFullTmpfs(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("a tmpfs cannot be mounted, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("fill", func(t *testing.T) { testFull(t, Options{FS: vfs.OS{}, Dir: dir + "/store"}) })
}
