package main

import (
	"io/fs"
	"path/filepath"
	"sync/atomic"

	"github.com/spf13/cobra"

	"treadmq/store/journal"
	"treadmq/store/vfs"
)

// watchedDisk shows on a terminal how much of a store's journal a command has read.
type watchedDisk struct {
	vfs.FS
	bar  *progress
	read atomic.Int64
}

// watchDisk begins to show it. What is known to be read once from end to end has a whole; end must follow.
func watchDisk(cmd *cobra.Command, dir, label string, whole bool) *watchedDisk {
	total := int64(0)
	if segments, _ := filepath.Glob(filepath.Join(dir, "*.log")); whole {
		for _, name := range segments {
			size, err := vfs.OS{}.Stat(name)
			total += max(size, 0)
			if err != nil {
				return &watchedDisk{FS: vfs.OS{}} // the command will say why
			}
		}
	}
	return &watchedDisk{FS: vfs.OS{}, bar: newByteProgress(cmd, total, label)}
}

func (d *watchedDisk) end() { d.bar.end() }

// OpenFile is that of vfs.FS. Only what is read of segments is counted.
func (d *watchedDisk) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	if _, segment := journal.ParseSegmentName(filepath.Base(name)); err != nil || d.bar == nil || !segment {
		return f, err
	}
	return &watchedFile{f, d}, nil
}

type watchedFile struct {
	vfs.File
	disk *watchedDisk
}

// ReadAt is that of vfs.File.
func (f *watchedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	f.disk.bar.set(f.disk.read.Add(int64(n)))
	return n, err
}
