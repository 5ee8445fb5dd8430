package vfs

import "golang.org/x/sys/unix"

// adviseHuge asks for huge pages. If there are none, small ones do.
func adviseHuge(b []byte) {
	if unix.Madvise(b, unix.MADV_HUGEPAGE) == nil {
		_ = unix.Madvise(b, unix.MADV_COLLAPSE) // memory that the heap has used before has small pages already
	}
}
