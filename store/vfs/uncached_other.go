//go:build !linux

package vfs

import (
	"math"
	"os"
)

// uncached is how large writes go: here through the cache like all others.
type uncached struct{}

const uncachedMin = math.MaxInt

func (*uncached) writeAt(f *os.File, p []byte, off int64) (int, error) { return f.WriteAt(p, off) }

func (*uncached) drop() {}
