package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"treadmq/store"
	"treadmq/store/vfs"
)

// Recovery says how to open a journal and what was found.
type Recovery struct {
	From  store.Position // everything before is reflected elsewhere; a batch begins here
	Chain uint32         // chain value at From
	// Whole means that every page written before still exists: the process ended, the
	// machine did not. Then only the very last write can be torn.
	Whole bool
	// Rebuild reads every segment there is, from the first; From and Chain do not
	// count. Segments may be missing in between: the batch behind such a hole has FlagSegment
	// and a Position that is not the End of the one before.
	Rebuild bool
	// Clean, if > 0, is where the journal ended when it was closed properly.
	Clean store.Position

	Cut     store.Position // out: where a torn tail was cut off, if Torn
	Torn    bool           // out
	Batches int            // out: how many were replayed
}

// Open opens the files of the journal in dir, which exists. Recover must follow.
func Open(fs vfs.FS, dir string, opts Options) (*Journal, error) {
	if opts.SegmentSize == 0 {
		opts.SegmentSize = 64 << 20
	}
	segs, err := openSegments(fs, dir)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return &Journal{fs: fs, dir: dir, opts: opts, segs: segs}, nil
}

// Continued reports whether the journal went on behind the last segment that is there. A
// segment is cut to its last batch, whose last byte is never 0, once the next one has been made; until then it has room, which is zeros.
// Recover makes room again, so ask before. A power cut may have undone the cut, and an exactly full segment looks cut.
func (j *Journal) Continued() (bool, error) {
	if len(j.segs) == 0 {
		return false, nil
	}
	s := j.segs[len(j.segs)-1]
	if s.size == 0 {
		return false, nil
	}
	var last [1]byte
	if _, err := s.file.ReadAt(last[:], s.size-1); err != nil {
		return false, fmt.Errorf("read %s: %w", s.path, err)
	}
	return last[0] != 0, nil
}

// Recover finds the end of the journal, calls fn for each batch from r.From on, and
// makes the journal ready for writing.
//
//  1. The segments from r.From on must follow one another without a gap.
//  2. In all but the last, each byte must belong to a valid batch.
//  3. In the last, the first invalid batch is the end. With r.Whole nothing valid may
//     follow it and it must be cut short; before r.Clean there may be none. What follows is cut off, so that
//     stale bytes never look like a continuation.
//
// Anything else is store.ErrCorrupt with file and offset, and nothing is changed.
func (j *Journal) Recover(r *Recovery, fn func(h *Header, batch []byte) error) error {
	if r.Rebuild && len(j.segs) > 0 {
		r.From = j.segs[0].first
	}
	j.next, j.out, j.chain = r.From, r.From, r.Chain
	if err := j.recover(r, fn); err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	return nil
}

func (j *Journal) recover(r *Recovery, fn func(h *Header, batch []byte) error) error {
	if len(j.segs) == 0 {
		if r.From > 0 || r.Clean > 0 {
			return fmt.Errorf("%w: no segment in %s, but the journal reached position %d: restore the files", store.ErrCorrupt, j.dir, max(r.From, r.Clean))
		}
		return nil
	}
	i := len(j.segs) - 1
	for i > 0 && j.segs[i].first > r.From {
		i--
	}
	if s := j.segs[i]; s.first > r.From || s.end < r.From {
		return fmt.Errorf("%w: no segment in %s holds position %d, which the index has reached: restore the files", store.ErrCorrupt, j.dir, r.From)
	}
	// What a killed process wrote may still be only in memory, and whoever replays
	// relies on it.
	if !j.opts.NoSync {
		if err := j.segs[len(j.segs)-1].file.Sync(); err != nil {
			return err
		}
	}
	for ; i < len(j.segs); i++ {
		if err := j.replay(i, r, fn); err != nil {
			return err
		}
	}
	return j.resume(r)
}

// replay reads segment i from j.next on.
func (j *Journal) replay(i int, r *Recovery, fn func(h *Header, batch []byte) error) error {
	s, last := j.segs[i], i == len(j.segs)-1
	adopt := r.Rebuild && (i == 0 || j.next != s.first)
	if adopt {
		j.next = s.first
	}
	sc := scanner{file: s.file, first: s.first, limit: s.end, at: j.next, chain: j.chain, adopt: adopt}
	for {
		h, b, err := sc.next()
		switch {
		case errors.Is(err, io.EOF):
		case errors.Is(err, errNotBatch) && last:
			if err := j.checkTail(s, &sc, r, err); err != nil {
				return err
			}
		case err != nil:
			return corrupt(s, j.next, err)
		}
		if err != nil {
			break
		}
		if err := fn(&h, b); err != nil {
			return err
		}
		r.Batches++
		j.next, j.chain = sc.at, sc.chain
	}
	if !last && !r.Rebuild && j.next != j.segs[i+1].first {
		return corrupt(s, j.next, fmt.Errorf("the next segment begins at %d", j.segs[i+1].first))
	}
	return nil
}

// checkTail decides whether the invalid batch at j.next is the end of the journal
// or damage.
func (j *Journal) checkTail(s *segment, sc *scanner, r *Recovery, cause error) error {
	if j.next < r.Clean {
		return corrupt(s, j.next, fmt.Errorf("%w; the journal was closed at %d", cause, r.Clean))
	}
	r.Torn = len(sc.have) >= 4 && binary.LittleEndian.Uint32(sc.have) == Magic
	if !r.Whole || (r.Clean > 0 && j.next == r.Clean) {
		return nil
	}
	rest, err := readRest(s, j.next)
	if err != nil {
		return err
	}
	if at := findBatch(rest, j.next); at != 0 {
		return corrupt(s, j.next, fmt.Errorf("%w; a valid batch follows at %d", cause, at))
	}
	if wroteWhole(rest) {
		return corrupt(s, j.next, fmt.Errorf("%w; it was written to its end", cause))
	}
	return nil
}

// ValidAfter looks for a valid batch in a segment behind its first invalid one, and
// returns where it is, 0 if nowhere. If only the process died, there is none.
func (j *Journal) ValidAfter(first, bad store.Position) (store.Position, error) {
	s := j.find(first)
	if s == nil {
		return 0, fmt.Errorf("segment %d: %w", first, ErrNoSegment)
	}
	defer s.unpin()
	rest, err := readRest(s, bad)
	return findBatch(rest, bad), err
}

// readRest reads a segment from a position to its last byte that is not zero: at
// most one segment.
func readRest(s *segment, from store.Position) ([]byte, error) {
	rest := make([]byte, s.end-min(from, s.end))
	n, err := s.file.ReadAt(rest, int64(from-s.first))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", s.path, err)
	}
	return bytes.TrimRight(rest[:n], "\x00"), nil
}

// findBatch looks for a valid batch behind the first byte of rest, which lies at a
// position, and returns where it is, 0 if nowhere.
func findBatch(rest []byte, from store.Position) store.Position {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], Magic)
	for off := 1; off < len(rest); off++ {
		i := bytes.Index(rest[off:], magic[:])
		if i < 0 {
			return 0
		}
		off += i
		at := from + store.Position(off)
		h, err := decodeHeader(rest[off:], at)
		if err == nil && int(h.Length) <= len(rest)-off && batchCRC(rest[off:off+int(h.Length)]) == h.CRC {
			return at
		}
	}
	return 0
}

// wroteWhole reports whether the invalid batch at the head of rest was written to
// its end: the last byte that is not zero ends a trailer for just that distance.
func wroteWhole(rest []byte) bool {
	n := len(rest)
	return n >= HeaderSize+TrailerSize && binary.LittleEndian.Uint32(rest[n-TrailerSize:]) == endMagic^uint32(n)
}

// resume prepares the last segment for writing behind j.next: whatever follows is
// cut off, then room is made again.
func (j *Journal) resume(r *Recovery) error {
	if j.next < r.Clean {
		s := j.segs[len(j.segs)-1]
		return corrupt(s, j.next, fmt.Errorf("the journal was closed at %d", r.Clean))
	}
	for _, s := range j.segs[:len(j.segs)-1] {
		if s.first+store.Position(s.size) > s.end { // a crash came between creating the next and sealing this
			if err := s.truncate(s.end); err != nil {
				return err
			}
		}
	}
	s := j.segs[len(j.segs)-1]
	if err := s.truncate(j.next); err != nil {
		return err
	}
	if err := s.file.Allocate(j.opts.SegmentSize); err == nil {
		s.size = max(s.size, j.opts.SegmentSize)
	} // else the segment is full as it is, and the next Roll says why
	if !j.opts.NoSync {
		if err := s.file.Sync(); err != nil {
			return err
		}
		if err := j.fs.SyncDir(j.dir); err != nil {
			return fmt.Errorf("sync %s: %w", j.dir, err)
		}
	}
	j.cur, j.out = s, j.next
	j.synced.Store(uint64(j.next))
	r.Cut = j.next
	return nil
}
