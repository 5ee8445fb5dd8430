package vfs

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// Sync is FlushFileBuffers.
func (f *osFile) Sync() error { return f.File.Sync() }

// Allocate writes zeros.
func (f *osFile) Allocate(size int64) error {
	have, err := f.Size()
	if err != nil {
		return err
	}
	return writeZeros(f.File, have, size)
}

// SyncDir does nothing: NTFS journals its names and offers no call.
func (OS) SyncDir(string) error { return nil }

func lockFile(f *os.File) error {
	// The locked byte lies far behind the text, so that others can read the text.
	o := windows.Overlapped{OffsetHigh: 1}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &o)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return ErrLocked
	}
	return err
}

// lockFolder does nothing: a lock file that is open cannot be deleted.
func lockFolder(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Free implements FS.
func (OS) Free(name string) (int64, error) {
	p, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return -1, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, nil, nil); err != nil {
		return -1, err
	}
	return int64(free), nil
}
