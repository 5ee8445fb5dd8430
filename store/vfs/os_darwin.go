package vfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Sync is F_FULLFSYNC: fsync on this system does not empty the drive's cache.
func (f *osFile) Sync() error {
	if _, err := unix.FcntlInt(f.Fd(), unix.F_FULLFSYNC, 0); err != nil {
		return fmt.Errorf("fullfsync %s: %w", f.Name(), err)
	}
	return nil
}

// Allocate writes zeros: reservations here are not contiguous with the size.
func (f *osFile) Allocate(size int64) error {
	have, err := f.Size()
	if err != nil {
		return err
	}
	return writeZeros(f.File, have, size)
}

// SyncDir implements FS.
func (OS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	_, err = unix.FcntlInt(d.Fd(), unix.F_FULLFSYNC, 0)
	return errors.Join(err, d.Close())
}
