package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// OS is the operating system's file system.
type OS struct{}

var _ FS = OS{}

// OpenFile implements FS.
func (OS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

// Rename implements FS.
func (OS) Rename(old, new string) error { return os.Rename(old, new) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// RemoveAll implements FS.
func (OS) RemoveAll(name string) error { return os.RemoveAll(name) }

// MkdirAll implements FS.
func (OS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }

// ReadDir implements FS.
func (OS) ReadDir(name string) ([]string, error) {
	es, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(es))
	for i, e := range es {
		names[i] = e.Name()
	}
	return names, nil
}

// Stat implements FS.
func (OS) Stat(name string) (int64, error) {
	st, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Lock implements FS. The file holds the owner's process id for people and
// error messages; the lock itself is the kernel's, and lies on the folder too where
// that can be locked, so that deleting the file lets nobody in.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = lockFile(f)
	var folder io.Closer
	if err == nil {
		folder, err = lockFolder(filepath.Dir(name))
	}
	if err != nil {
		owner := readOwner(f)
		f.Close()
		return nil, fmt.Errorf("%s%s: %w", name, owner, err)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			_ = f.Truncate(0) // no room for the number: the lock counts, not the text
		}
	}
	return heldLock{f, folder}, nil
}

// heldLock is a lock file and its folder, both locked.
type heldLock struct{ file, folder io.Closer }

// Close gives both up.
func (l heldLock) Close() error { return errors.Join(l.folder.Close(), l.file.Close()) }

// readOwner returns " (process 123)" if the lock file says who holds it.
func readOwner(f *os.File) string {
	var b [20]byte
	n, _ := f.ReadAt(b[:], 0)
	pid := strings.TrimSpace(string(b[:n]))
	if _, err := strconv.Atoi(pid); err != nil {
		return ""
	}
	return " (process " + pid + ")"
}

type osFile struct {
	*os.File
	appender // how Append writes
}

// Truncate implements File.
func (f *osFile) Truncate(size int64) error {
	f.cut()
	return f.File.Truncate(size)
}

// Close implements File.
func (f *osFile) Close() error {
	f.cut()
	return f.File.Close()
}

// Size implements File.
func (f *osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// writeZeros extends a file to size by writing, for systems that cannot reserve.
func writeZeros(f *os.File, from, size int64) error {
	zeros := make([]byte, 1<<20)
	for from < size {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-from)], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}
