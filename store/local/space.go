package local

import (
	"fmt"

	"treadmq/store"
)

// reclaim deletes the segments in which nothing is alive in the index as it is on disk.
func (c *checkpointer) reclaim() error {
	s := c.store
	applied := s.index.State().Applied
	segs := s.journal.Segments()
	for i, seg := range segs {
		if i == len(segs)-1 || seg.End > applied || c.live[seg.First].Refs != 0 {
			continue
		}
		if err := s.journal.Delete(seg.First); err != nil {
			return err
		}
		delete(c.live, seg.First)
		s.log.Debug("deleted a segment", "dir", s.opts.Dir, "pos", seg.First)
	}
	return nil
}

// fullError says that the disk is full, where, and what to do.
func (s *Store) fullError() error {
	return fmt.Errorf("%w: %d bytes are free in %s, %d are kept for removals: consume messages or make room",
		store.ErrFull, s.freeDisk.Load(), s.opts.Dir, s.opts.DiskReserve)
}

func (s *Store) giveReserve() bool { return false }

func (s *Store) watchDisk() {
	if n, err := s.opts.FS.Free(s.opts.Dir); err == nil {
		s.freeDisk.Store(n)
	}
}

func (s *Store) reopenIndex(err error) error { return err }
