package vfs

import "testing"

// TestAppendOtherwise: where the kernel cannot write and sync in one call, or not past the cache, the file is the same.
func TestAppendOtherwise(t *testing.T) {
	t.Run("sync apart", func(t *testing.T) { testAppend(t, func(f File) { f.(*osFile).apart = true }) })
	t.Run("through the cache", func(t *testing.T) { testAppend(t, func(f File) { f.(*osFile).never = true }) })
}
