// Package journal is the append-only log on disk: segments, physical batches
// with chained checksums, and the records in them. A position is a byte offset
// over all segments and means the same byte in every copy of the journal.
//
// One goroutine writes (Fits, Roll, Seal, Write, WriteSync, Sync, AppendRaw, TruncateTo); any
// number read. The journal never retries a write or a sync.
package journal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"treadmq/store"
	"treadmq/store/vfs"
)

// Options of a journal.
type Options struct {
	// SegmentSize in bytes; a larger batch gets a larger segment. Default 64 MiB.
	SegmentSize int64
	// NoSync leaves out every sync: for journals whose loss is no loss.
	NoSync bool
}

// Journal is an open journal.
type Journal struct {
	fs   vfs.FS
	dir  string
	opts Options

	mu   sync.RWMutex // guards segs
	segs []*segment   // in order; the last one is written to

	// The writer's own.
	cur   *segment
	next  store.Position // of the next batch to be sealed
	out   store.Position // of the next byte to be written
	chain uint32         // for the next batch

	synced atomic.Uint64 // position up to which everything is on stable storage
}

// ErrNoSegment says that no segment holds the position: it was deleted, or never written.
var ErrNoSegment = errors.New("no segment holds the position")

// End is the position behind the last byte written. Only for the writer.
func (j *Journal) End() store.Position { return j.out }

// Offset is where in the present segment's file the next byte goes. Only for the writer.
func (j *Journal) Offset() int64 {
	if j.cur == nil {
		return 0
	}
	return int64(j.out - j.cur.first)
}

// Chain is the chain value of the next batch. Only for the writer.
func (j *Journal) Chain() uint32 { return j.chain }

// Synced is the position up to which everything is on stable storage.
func (j *Journal) Synced() store.Position { return store.Position(j.synced.Load()) }

// Fits reports whether a batch of n bytes has room in the present segment.
func (j *Journal) Fits(n int) bool {
	return j.cur != nil && int64(j.next-j.cur.first)+int64(n) <= j.cur.size
}

// Begun reports whether there is a segment to write to.
func (j *Journal) Begun() bool { return j.cur != nil }

// Extend makes room for a batch of n bytes in the present segment.
func (j *Journal) Extend(n int) error {
	return j.cur.extend(int64(j.next-j.cur.first) + int64(n))
}

// Roll syncs and closes the present segment for writing, and begins the next one
// with a metadata batch and room for a batch of n bytes. Everything sealed must have been
// written. After an error that wraps ENOSPC nothing has changed.
func (j *Journal) Roll(e store.Epoch, meta *Metadata, n int) error {
	if j.next != j.out {
		return fmt.Errorf("roll at %d: bytes up to %d are not written", j.out, j.next)
	}
	if err := j.Sync(); err != nil {
		return err
	}
	b, _ := AppendOp(make([]byte, HeaderSize), &store.Op{Kind: store.OpCatalog, Value: meta.Append(nil)}, 0, 0)
	b = append(b, make([]byte, TrailerSize)...)
	if len(b) > MaxBatch {
		return fmt.Errorf("metadata: %w: %d bytes, limit %d", store.ErrTooLarge, len(b), MaxBatch)
	}
	if err := j.begin(max(j.opts.SegmentSize, wholePages(len(b)+n))); err != nil {
		return err
	}
	j.Seal(b, Header{Flags: FlagSegment, Records: 1, Epoch: e, Base: meta.NextSeq})
	return j.Write(b)
}

// wholePages is the size of a file for n bytes of which the last page may be written as a whole.
func wholePages(n int) int64 { return (int64(n) + pageSize - 1) &^ (pageSize - 1) }

const pageSize = 4 << 10

// begin makes the next segment and seals the present one.
func (j *Journal) begin(size int64) error {
	s, err := createSegment(j.fs, j.dir, j.next, size)
	if err != nil {
		return err
	}
	if !j.opts.NoSync {
		if err := j.fs.SyncDir(j.dir); err != nil {
			return errors.Join(fmt.Errorf("sync %s: %w", j.dir, err), s.file.Close())
		}
	}
	if j.cur != nil {
		if err := j.cur.truncate(j.next); err != nil {
			return errors.Join(err, s.file.Close())
		}
	}
	j.mu.Lock()
	j.segs = append(j.segs, s)
	j.mu.Unlock()
	j.cur = s
	return nil
}

// Seal gives the batch in b, whose first HeaderSize and last TrailerSize bytes are free, its position,
// chain and checksum, and returns the position. Of h, Flags, Records, Epoch and Base count. known are parts of b
// whose checksums need not be worked out again, in order.
func (j *Journal) Seal(b []byte, h Header, known ...Known) store.Position {
	h.Type, h.Position, h.Chain = TypeRecords, j.next, j.chain
	h.seal(b, known)
	j.next = h.End()
	j.chain = h.NextChain()
	return h.Position
}

// Write writes sealed batches, in order and without a gap.
func (j *Journal) Write(p []byte) error { return j.write(p, false) }

// WriteSync is Write and then Sync, at less cost. After an error the journal must not be used again.
func (j *Journal) WriteSync(p []byte) error {
	if len(p) == 0 || j.opts.NoSync || j.Synced() != j.out { // what was written before is to be synced too
		if err := j.Write(p); err != nil {
			return err
		}
		return j.Sync()
	}
	if err := j.write(p, true); err != nil {
		return err
	}
	j.synced.Store(uint64(j.out))
	return nil
}

func (j *Journal) write(p []byte, sync bool) error {
	if len(p) == 0 {
		return nil
	}
	if err := j.cur.file.Append(p, int64(j.out-j.cur.first), sync); err != nil {
		return fmt.Errorf("write %d bytes at %d: %w", len(p), j.out, err)
	}
	j.out += store.Position(len(p))
	j.cur.setEnd(j.out)
	return nil
}

// Sync brings everything written to stable storage. After an error the journal
// must not be used again.
func (j *Journal) Sync() error {
	if j.cur == nil || j.Synced() == j.out {
		return nil
	}
	if !j.opts.NoSync {
		if err := j.cur.file.Sync(); err != nil {
			return err
		}
	}
	j.synced.Store(uint64(j.out))
	return nil
}

// find returns the segment that holds a position, pinned; nil if there is none.
func (j *Journal) find(at store.Position) *segment {
	j.mu.RLock()
	defer j.mu.RUnlock()
	i, ok := slices.BinarySearchFunc(j.segs, at, func(s *segment, p store.Position) int {
		switch {
		case s.first < p:
			return -1
		case s.first > p:
			return 1
		}
		return 0
	})
	if !ok {
		i--
	}
	if i < 0 || at >= j.segs[i].getEnd() || !j.segs[i].pin() {
		return nil
	}
	return j.segs[i]
}

// ReadAt fills p with the bytes at a position, all within one segment. It returns
// the segment's path and the offset in it for messages about what was read.
func (j *Journal) ReadAt(p []byte, at store.Position) (path string, off int64, err error) {
	s := j.find(at)
	if s == nil {
		return "", 0, fmt.Errorf("read at %d: %w", at, ErrNoSegment)
	}
	defer s.unpin()
	off = int64(at - s.first)
	if at+store.Position(len(p)) > s.getEnd() {
		return s.path, off, fmt.Errorf("read %d bytes at %d of %s: %w", len(p), off, s.path, io.ErrUnexpectedEOF)
	}
	if _, err := s.file.ReadAt(p, off); err != nil {
		return s.path, off, fmt.Errorf("read %d bytes at %d of %s: %w", len(p), off, s.path, err)
	}
	return s.path, off, nil
}

// SegmentOf returns the first position of the segment that holds a position.
func (j *Journal) SegmentOf(at store.Position) (store.Position, bool) {
	s := j.find(at)
	if s == nil {
		return 0, false
	}
	defer s.unpin()
	return s.first, true
}

// Segment describes a segment.
type Segment struct {
	First, End store.Position
	Size       int64 // of the file
	Path       string
}

// Segments lists the segments in order.
func (j *Journal) Segments() []Segment {
	j.mu.RLock()
	defer j.mu.RUnlock()
	out := make([]Segment, len(j.segs))
	for i, s := range j.segs {
		out[i] = Segment{s.first, s.getEnd(), s.getSize(), s.path}
	}
	return out
}

// Delete removes a segment that is not the one written to. Readers at work on it finish.
func (j *Journal) Delete(first store.Position) error {
	j.mu.Lock()
	i := slices.IndexFunc(j.segs, func(s *segment) bool { return s.first == first })
	if i < 0 || i == len(j.segs)-1 {
		j.mu.Unlock()
		return fmt.Errorf("delete segment %d: %w", first, ErrNoSegment)
	}
	s := j.segs[i]
	j.segs = slices.Delete(j.segs, i, i+1)
	j.mu.Unlock()
	s.doom()
	if err := j.fs.Remove(s.path); err != nil {
		return fmt.Errorf("delete segment: %w", err)
	}
	return nil
}

// Scan calls fn for each batch of the segment that begins at first. The bytes are
// valid during the call.
func (j *Journal) Scan(first store.Position, fn func(h *Header, batch []byte) error) error {
	s := j.find(first)
	if s == nil || s.first != first {
		if s != nil {
			s.unpin()
		}
		return fmt.Errorf("scan segment %d: %w", first, ErrNoSegment)
	}
	defer s.unpin()
	sc := scanner{file: s.file, first: s.first, limit: s.getEnd(), at: s.first, adopt: true}
	for {
		at := sc.at
		h, b, err := sc.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return corrupt(s, at, err)
		}
		if err := fn(&h, b); err != nil {
			return err
		}
	}
}

// corrupt says where and what to do about a batch that is not as it was written.
func corrupt(s *segment, at store.Position, err error) error {
	return fmt.Errorf("%w: %s, offset %d (position %d): %w; run 'treadmq store check' on the folder %s, and restore it from a copy or from another broker of the group",
		store.ErrCorrupt, s.path, at-s.first, at, err, filepath.Dir(s.path))
}

// Close syncs and closes all files.
func (j *Journal) Close() error {
	err := j.Sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segs {
		s.doom()
	}
	j.segs = nil
	return err
}

// Abandon closes all files without a sync: after a failure.
func (j *Journal) Abandon() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segs {
		s.doom()
	}
	j.segs = nil
}
