package vfs

import "unsafe"

const (
	// hugePage is the size of the large pages of memory that Linux has on most machines.
	hugePage = 2 << 20
	// hugeMin is the size from which on a buffer is worth one.
	hugeMin = 512 << 10
)

// Buffer returns an empty slice with room for n bytes, made for File.Append. A large one lies in huge pages of memory, where
// the system has them: what is written past the page cache goes to the disk from there in few large pieces, out of small
// pages in many small ones, each of which is also looked up and held on its own.
func Buffer(n int) []byte {
	if n < hugeMin {
		return make([]byte, 0, n)
	}
	n = (n + hugePage - 1) &^ (hugePage - 1)
	b := make([]byte, n+hugePage)
	b = b[-misaligned(b, hugePage)&(hugePage-1):][:n:n]
	adviseHuge(b)
	return b[:0]
}

// misaligned is how many bytes of b's page of memory come before b; size is the page's, a power of two.
func misaligned(b []byte, size int) int {
	return int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) & uintptr(size-1))
}
