package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"treadmq/store"
)

// reclaim deletes the segments in which nothing is alive in the index as it is on disk.
func (c *checkpointer) reclaim() error {
	s := c.store
	applied := s.index.State().Applied
	segs := s.journal.Segments()
	keep := applied
	if n := len(segs); s.opts.Retain > 0 && n > 0 && !s.full.Load() { // whoever was away gets a snapshot then
		keep = min(keep, segs[n-1].End-min(segs[n-1].End, store.Position(s.opts.Retain)))
	}
	keep = s.pins.keep(keep)
	for i, seg := range segs {
		if i == len(segs)-1 || seg.End > keep || c.liveIn(seg.First).Refs != 0 {
			continue
		}
		if err := s.journal.Delete(seg.First); err != nil {
			return err
		}
		c.setLive(seg.First, nil)
		s.log.Debug("deleted a segment", "dir", s.opts.Dir, "pos", seg.First)
	}
	return nil
}

// The reserve is a file of DiskReserve bytes. While it is there, journal and index
// can always be written: when the disk is full it is deleted, sends are refused and
// removals use its room. It is made again, and sends are taken again, when there is
// room for it and some more.
const reserveName = "reserve"

// slack is the free space in bytes below which the reserve is given up.
func (o *Options) slack() int64 {
	if o.MinFree > 0 {
		return o.MinFree
	}
	return min(16<<20, o.DiskReserve/4)
}

// fullError says that the disk is full, where, and what to do.
func (s *Store) fullError() error {
	return fmt.Errorf("%w: %d bytes are free in %s, and sends need %d: consume messages or make room",
		store.ErrFull, s.freeDisk.Load(), s.opts.Dir, s.opts.DiskReserve+2*s.opts.slack())
}

// watchDisk looks at the free space and gives the reserve up or takes it again.
func (s *Store) watchDisk() {
	free, err := s.opts.FS.Free(s.opts.Dir)
	if err != nil {
		free = -1
	}
	s.freeDisk.Store(free)
	s.reserveMu.Lock()
	defer s.reserveMu.Unlock()
	switch {
	case s.opts.Temporary: // it has no reserve of its own and leaves everybody else's alone
		s.setFull(free >= 0 && free < s.opts.DiskReserve)
	case s.reserved && free >= 0 && free < s.opts.slack():
		s.dropReserve()
	case !s.reserved:
		s.reserved = s.takeReserve(free)
		s.setFull(!s.reserved)
	}
}

// takeReserve makes the reserve's file if there is room for it. Called with reserveMu held.
func (s *Store) takeReserve(free int64) bool {
	name := filepath.Join(s.opts.Dir, reserveName)
	size, err := s.opts.FS.Stat(name)
	if err == nil && size == s.opts.DiskReserve && (free < 0 || free >= s.opts.slack()) {
		return true
	}
	if err == nil {
		free += size // it is made anew
	}
	if free >= 0 && free < s.opts.DiskReserve+2*s.opts.slack() {
		return false
	}
	f, err := s.opts.FS.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = errors.Join(f.Allocate(s.opts.DiskReserve), f.Close())
	}
	if err != nil {
		s.removeReserve()
	}
	return err == nil
}

func (s *Store) removeReserve() {
	err := s.opts.FS.Remove(filepath.Join(s.opts.Dir, reserveName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("the disk reserve could not be deleted", "dir", s.opts.Dir, "err", err)
	}
}

// giveReserve makes room for removals; false if there was none left to give.
func (s *Store) giveReserve() bool {
	s.reserveMu.Lock()
	defer s.reserveMu.Unlock()
	had := s.reserved
	s.dropReserve()
	return had
}

// dropReserve deletes the reserve and refuses sends. Called with reserveMu held.
func (s *Store) dropReserve() {
	s.removeReserve()
	s.reserved = false
	if free, err := s.opts.FS.Free(s.opts.Dir); err == nil {
		s.freeDisk.Store(free)
	}
	s.setFull(true)
}

func (s *Store) setFull(full bool) {
	if s.full.Swap(full) == full {
		return
	}
	if full {
		s.log.Error("the disk is full: sends are refused until there is room", "dir", s.opts.Dir, "free", s.freeDisk.Load(), "reserve", s.opts.DiskReserve)
	} else {
		s.log.Warn("the disk has room again: sends are accepted", "dir", s.opts.Dir, "free", s.freeDisk.Load())
	}
}
