package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

const pageSize = 4096

type page [pageSize]byte

// Mem is a file system in memory that knows what would survive a power cut:
// bytes since the last Sync and names since the last SyncDir would not. Crash
// makes the file system that is found after one.
type Mem struct {
	mu      sync.Mutex        // guards everything below and all inodes
	names   map[string]*inode // by cleaned path
	durable map[string]*inode // names as of the last SyncDir of their folder
	dirs    map[string]bool
	locks   map[string]bool
	limit   int64 // bytes of pages and reservations, 0 = none
}

var _ FS = (*Mem)(nil)

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{
		names: map[string]*inode{}, durable: map[string]*inode{},
		dirs: map[string]bool{".": true, "/": true}, locks: map[string]bool{},
	}
}

// SetLimit gives the file system a capacity in bytes; 0 takes it away.
func (m *Mem) SetLimit(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = bytes
}

type inode struct {
	size, dsize     int64
	reserved        int64           // bytes promised by Allocate
	pages, dpages   map[int64]*page // now, and as of the last Sync; shared until written
	dirty           map[int64]bool  // pages written since the last Sync
	sizeIsUnsettled bool            // size was changed since the last Sync
}

func newInode() *inode {
	return &inode{pages: map[int64]*page{}, dpages: map[int64]*page{}, dirty: map[int64]bool{}}
}

// used is what the file costs of the capacity.
func (n *inode) used() int64 { return max(n.reserved, int64(len(n.pages))*pageSize) }

func (m *Mem) used() int64 {
	var sum int64
	for _, n := range m.names {
		sum += n.used()
	}
	return sum
}

func pathErr(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// OpenFile implements FS.
func (m *Mem) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	n := m.names[name]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, pathErr("open", name, fs.ErrNotExist)
	case n == nil && !m.dirs[filepath.Dir(name)]:
		return nil, pathErr("open", name, fs.ErrNotExist)
	case n == nil:
		n = newInode()
		m.names[name] = n
	case flag&os.O_EXCL != 0:
		return nil, pathErr("open", name, fs.ErrExist)
	}
	if flag&os.O_TRUNC != 0 {
		n.truncate(0)
	}
	return &memFile{m: m, n: n, name: name}, nil
}

// Rename implements FS.
func (m *Mem) Rename(old, new string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, new = filepath.Clean(old), filepath.Clean(new)
	n := m.names[old]
	if n == nil {
		return pathErr("rename", old, fs.ErrNotExist)
	}
	delete(m.names, old)
	m.names[new] = n
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if m.names[name] == nil {
		return pathErr("remove", name, fs.ErrNotExist)
	}
	delete(m.names, name)
	return nil
}

// RemoveAll implements FS.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	for p := range m.names {
		if p == name || strings.HasPrefix(p, name+string(filepath.Separator)) {
			delete(m.names, p)
		}
	}
	for p := range m.dirs {
		if p == name || strings.HasPrefix(p, name+string(filepath.Separator)) {
			delete(m.dirs, p)
		}
	}
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string, _ fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := filepath.Clean(name); !m.dirs[p]; p = filepath.Dir(p) {
		m.dirs[p] = true
	}
	return nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	for p := range m.durable {
		if filepath.Dir(p) == name && m.names[p] == nil {
			delete(m.durable, p)
		}
	}
	for p, n := range m.names {
		if filepath.Dir(p) == name {
			m.durable[p] = n
		}
	}
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if !m.dirs[name] {
		return nil, pathErr("open", name, fs.ErrNotExist)
	}
	var out []string
	for p := range m.names {
		if filepath.Dir(p) == name {
			out = append(out, filepath.Base(p))
		}
	}
	for p := range m.dirs {
		if p != name && filepath.Dir(p) == name {
			out = append(out, filepath.Base(p))
		}
	}
	slices.Sort(out)
	return out, nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if m.dirs[name] {
		return 0, nil
	}
	n := m.names[name]
	if n == nil {
		return 0, pathErr("stat", name, fs.ErrNotExist)
	}
	return n.size, nil
}

// Free implements FS.
func (m *Mem) Free(string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limit == 0 {
		return -1, nil
	}
	return max(0, m.limit-m.used()), nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if m.locks[name] {
		return nil, fmt.Errorf("%s: %w", name, ErrLocked)
	}
	m.locks[name] = true
	return memLock{m, name}, nil
}

type memLock struct {
	m    *Mem
	name string
}

func (l memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.name)
	return nil
}

// grow checks the capacity before a file takes more bytes. Called with mu held.
func (m *Mem) grow(n *inode, op, name string, more int64) error {
	if m.limit > 0 && more > 0 && m.used()+more > m.limit {
		return pathErr(op, name, syscall.ENOSPC)
	}
	return nil
}
