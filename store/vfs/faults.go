package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// OpKind is a kind of operation that changes the disk.
type OpKind string

// The operations that Faults reports.
const (
	OpCreate   OpKind = "create"
	OpWrite    OpKind = "write"
	OpTruncate OpKind = "truncate"
	OpAllocate OpKind = "allocate"
	OpSync     OpKind = "sync"
	OpSyncDir  OpKind = "syncdir"
	OpRename   OpKind = "rename"
	OpRemove   OpKind = "remove"
)

// Op is an operation that is about to happen.
type Op struct {
	Kind OpKind
	Name string
}

// ErrTorn, returned by a Hook for a write, writes the first half and then fails with EIO.
var ErrTorn = errors.New("torn write")

// Hook is asked before each operation that changes the disk; an error takes the
// operation's place. It may sleep to make the operation slow.
type Hook func(op Op) error

// Faults is a file system that fails when it is told to.
type Faults struct {
	FS
	hook Hook
}

// NewFaults puts hook in front of a file system.
func NewFaults(inner FS, hook Hook) *Faults { return &Faults{inner, hook} }

// ParseFault makes a Hook from kind[@part]:n:error, where part is part of the
// file's name, n counts the matching operations from 1 (n+ means from the n-th on), and
// error is EIO, ENOSPC or a time for which the operation waits: "sync@.log:3:EIO", "sync@.log:1+:200ms".
func ParseFault(spec string) (Hook, error) {
	f := strings.Split(spec, ":")
	if len(f) != 3 {
		return nil, fmt.Errorf("fault %q: want kind[@part]:n:error", spec)
	}
	kind, part, _ := strings.Cut(f[0], "@")
	count, all := strings.CutSuffix(f[1], "+")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("fault %q: %q is not a number from 1 on", spec, f[1])
	}
	errno, ok := map[string]error{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC}[f[2]]
	wait, bad := time.ParseDuration(f[2])
	if !ok && bad != nil {
		return nil, fmt.Errorf("fault %q: error is EIO, ENOSPC or a time, not %q", spec, f[2])
	}
	var mu sync.Mutex
	seen := 0
	return func(op Op) error {
		if string(op.Kind) != kind || !strings.Contains(op.Name, part) {
			return nil
		}
		mu.Lock()
		seen++
		hit := seen == n || (all && seen > n)
		mu.Unlock()
		if hit && ok {
			return pathErr(kind, op.Name, errno)
		}
		if hit {
			time.Sleep(wait)
		}
		return nil
	}, nil
}

// OpenFile implements FS.
func (f *Faults) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		if err := f.hook(Op{OpCreate, name}); err != nil {
			return nil, err
		}
	}
	inner, err := f.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultyFile{inner, name, f.hook}, nil
}

// Rename implements FS.
func (f *Faults) Rename(old, new string) error {
	if err := f.hook(Op{OpRename, old}); err != nil {
		return err
	}
	return f.FS.Rename(old, new)
}

// Remove implements FS.
func (f *Faults) Remove(name string) error {
	if err := f.hook(Op{OpRemove, name}); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// RemoveAll implements FS.
func (f *Faults) RemoveAll(name string) error {
	if err := f.hook(Op{OpRemove, name}); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

// SyncDir implements FS.
func (f *Faults) SyncDir(name string) error {
	if err := f.hook(Op{OpSyncDir, name}); err != nil {
		return err
	}
	return f.FS.SyncDir(name)
}

type faultyFile struct {
	File
	name string
	hook Hook
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.hook(Op{OpWrite, f.name})
	if errors.Is(err, ErrTorn) {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, pathErr("write", f.name, syscall.EIO)
	}
	if err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultyFile) Append(p []byte, off int64, sync bool) error {
	err := f.hook(Op{OpWrite, f.name})
	if errors.Is(err, ErrTorn) {
		return errors.Join(pathErr("write", f.name, syscall.EIO), f.File.Append(p[:len(p)/2], off, false))
	}
	if err == nil {
		err = f.File.Append(p, off, false)
	}
	if err != nil || !sync {
		return err
	}
	return f.Sync()
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.hook(Op{OpTruncate, f.name}); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultyFile) Allocate(size int64) error {
	if err := f.hook(Op{OpAllocate, f.name}); err != nil {
		return err
	}
	return f.File.Allocate(size)
}

func (f *faultyFile) Sync() error {
	if err := f.hook(Op{OpSync, f.name}); err != nil {
		return err
	}
	return f.File.Sync()
}
