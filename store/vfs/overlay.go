package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Overlay shows another file system and keeps every change in memory: for programs
// that must look at files through code that would change them. Files of the inner
// file system can be read, replaced and removed, not written in place.
type Overlay struct {
	inner FS
	mem   *Mem

	mu   sync.Mutex // guards gone
	gone map[string]bool
}

var _ FS = (*Overlay)(nil)

// NewOverlay returns an overlay over inner.
func NewOverlay(inner FS) *Overlay {
	return &Overlay{inner: inner, mem: NewMem(), gone: map[string]bool{}}
}

func (o *Overlay) hidden(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.gone[filepath.Clean(name)]
}

func (o *Overlay) hide(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone[filepath.Clean(name)] = true
}

// OpenFile implements FS.
func (o *Overlay) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if _, err := o.mem.Stat(name); err == nil || flag&os.O_TRUNC != 0 {
		if err := o.mem.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return nil, err
		}
		return o.mem.OpenFile(name, flag, perm)
	}
	if o.hidden(name) {
		return nil, pathErr("open", name, fs.ErrNotExist)
	}
	if flag&(os.O_WRONLY|os.O_RDWR) != 0 {
		return nil, pathErr("open for writing", name, fs.ErrPermission)
	}
	return o.inner.OpenFile(name, flag, perm)
}

// Rename implements FS. Only files that were made in the overlay can be renamed.
func (o *Overlay) Rename(old, new string) error { return o.mem.Rename(old, new) }

// Remove implements FS.
func (o *Overlay) Remove(name string) error {
	_, err := o.Stat(name)
	if err != nil {
		return err
	}
	o.hide(name)
	if err := o.mem.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// RemoveAll implements FS: it is not needed and refused.
func (o *Overlay) RemoveAll(name string) error { return pathErr("remove", name, fs.ErrPermission) }

// MkdirAll implements FS.
func (o *Overlay) MkdirAll(name string, perm fs.FileMode) error { return o.mem.MkdirAll(name, perm) }

// SyncDir implements FS.
func (o *Overlay) SyncDir(string) error { return nil }

// ReadDir implements FS.
func (o *Overlay) ReadDir(name string) ([]string, error) {
	names, err := o.inner.ReadDir(name)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return o.hidden(filepath.Join(name, n)) })
	more, err := o.mem.ReadDir(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names = append(names, more...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Stat implements FS.
func (o *Overlay) Stat(name string) (int64, error) {
	if n, err := o.mem.Stat(name); err == nil {
		return n, nil
	}
	if o.hidden(name) {
		return 0, pathErr("stat", name, fs.ErrNotExist)
	}
	return o.inner.Stat(name)
}

// Free implements FS.
func (o *Overlay) Free(string) (int64, error) { return -1, nil }

// Lock implements FS.
func (o *Overlay) Lock(name string) (io.Closer, error) { return o.mem.Lock(name) }
