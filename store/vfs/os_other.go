//go:build unix && !linux && !darwin

package vfs

import (
	"errors"
	"os"
)

// Sync is fsync.
func (f *osFile) Sync() error { return f.File.Sync() }

// Allocate writes zeros.
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
	err = d.Sync()
	return errors.Join(err, d.Close())
}
