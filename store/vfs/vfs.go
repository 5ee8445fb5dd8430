// Package vfs is the only door to the disk. Everything below store opens, writes,
// syncs, renames and removes files through FS, so that a test can crash, tear or
// fail the storage after any operation (Mem, Faults) and see what survives.
package vfs

import (
	"errors"
	"io"
	"io/fs"
)

// ErrLocked is returned by FS.Lock when another process, or another store in
// this process, holds the lock.
var ErrLocked = errors.New("locked")

// File is an open file. ReadAt and WriteAt may be called concurrently.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Append writes p at off, for a file that one goroutine writes from front to back: bytes behind p, up to the next multiple
	// of 4096, may become zeros. With sync it returns when p, and the size, are on stable storage, as if Sync followed, for
	// less than both cost apart; what was written before without sync still needs Sync.
	Append(p []byte, off int64, sync bool) error
	// Truncate sets the size; what is added reads as zeros.
	Truncate(size int64) error
	// Allocate reserves disk space for the first size bytes and makes the file at
	// least that long, so that later writes below size do not run out of space. It
	// fails with ENOSPC when there is not enough; the file may then be partly extended.
	Allocate(size int64) error
	// Sync returns when the contents and the size are on stable storage. After an
	// error the contents are undefined: do not call it again.
	Sync() error
	// Size returns the length in bytes.
	Size() (int64, error)
}

// FS is a file system. Names are paths in the system's form. A created, renamed
// or removed name survives a crash only after SyncDir of its folder.
type FS interface {
	// OpenFile takes the flags of os.OpenFile.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Rename(old, new string) error
	Remove(name string) error
	// RemoveAll removes a folder with what is in it; no error if there is none.
	RemoveAll(name string) error
	MkdirAll(name string, perm fs.FileMode) error
	SyncDir(name string) error
	// ReadDir returns the names in a folder in order.
	ReadDir(name string) ([]string, error)
	// Stat returns the size in bytes; errors.Is(err, fs.ErrNotExist) if there is none.
	Stat(name string) (int64, error)
	// Free returns the bytes that an unprivileged process may still write, -1 if unknown.
	Free(name string) (int64, error)
	// Lock takes an exclusive lock on the named file, which it creates, until the
	// result is closed or the process ends. ErrLocked if it is taken.
	Lock(name string) (io.Closer, error)
}
