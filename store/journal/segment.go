package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"treadmq/store"
	"treadmq/store/vfs"
)

const segmentSuffix = ".log"

// SegmentName is the file name of the segment that begins at a position.
func SegmentName(first store.Position) string {
	return fmt.Sprintf("%016x%s", uint64(first), segmentSuffix)
}

// ParseSegmentName is the inverse of SegmentName.
func ParseSegmentName(name string) (store.Position, bool) {
	hex, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 64)
	return store.Position(n), err == nil
}

// segment is one file of the journal.
type segment struct {
	first store.Position
	path  string
	file  vfs.File

	mu     sync.Mutex     // guards the fields below
	end    store.Position // behind the last byte written; final once sealed
	size   int64          // of the file
	pins   int            // readers at work; the file stays open while > 0
	doomed bool           // removed from the journal: the last reader closes
}

func (s *segment) pin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doomed {
		return false
	}
	s.pins++
	return true
}

func (s *segment) unpin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pins--; s.pins == 0 && s.doomed {
		s.file.Close() // only read through; nothing to lose
	}
}

// doom closes the file now or when the last reader leaves.
func (s *segment) doom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doomed = true
	if s.pins == 0 {
		s.file.Close() // only read through; nothing to lose
	}
}

func (s *segment) setEnd(p store.Position) {
	s.mu.Lock()
	s.end = p
	s.mu.Unlock()
}

func (s *segment) getEnd() store.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

func (s *segment) getSize() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// truncate cuts the file behind end.
func (s *segment) truncate(end store.Position) error {
	size := int64(end - s.first)
	if err := s.file.Truncate(size); err != nil {
		return fmt.Errorf("truncate %s to %d: %w", s.path, size, err)
	}
	s.mu.Lock()
	s.end, s.size = end, size
	s.mu.Unlock()
	return nil
}

// createSegment makes a new segment file with room for size bytes. After an
// error, such as no space, there is no such file.
func createSegment(fs vfs.FS, dir string, first store.Position, size int64) (*segment, error) {
	path := filepath.Join(dir, SegmentName(first))
	f, err := fs.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	if err := f.Allocate(size); err != nil {
		return nil, errors.Join(fmt.Errorf("create segment: %w", err), f.Close(), fs.Remove(path))
	}
	return &segment{first: first, path: path, file: f, end: first, size: size}, nil
}

// openSegments opens the segments of a folder in order of position. The end of
// each but the last is where the next begins or where its file ends.
func openSegments(fs vfs.FS, dir string) (segs []*segment, err error) {
	defer func() {
		if err != nil {
			for _, s := range segs {
				s.file.Close() // only opened
			}
		}
	}()
	names, err := fs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names { // in order of name is in order of position
		first, ok := ParseSegmentName(name)
		if !ok {
			continue
		}
		path := filepath.Join(dir, name)
		f, err := fs.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return segs, err
		}
		size, err := f.Size()
		if err != nil {
			return segs, errors.Join(err, f.Close())
		}
		segs = append(segs, &segment{first: first, path: path, file: f, end: first + store.Position(size), size: size})
		if n := len(segs); n > 1 && segs[n-2].end > first {
			segs[n-2].end = first
		}
	}
	return segs, nil
}
