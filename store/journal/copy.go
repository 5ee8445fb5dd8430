package journal

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"treadmq/store"
)

// What a group of nodes needs: whole batches out of one journal into another, byte
// for byte, and the removal of a tail that was never committed.

// ReadBatches appends to dst whole batches that lie one behind the other from a
// position on, within one segment: as many as fit into limit bytes, at least one. io.EOF
// at the journal's end.
func (j *Journal) ReadBatches(dst []byte, at store.Position, limit int) ([]byte, error) {
	s := j.find(at)
	if s == nil {
		if segs := j.Segments(); len(segs) > 0 && segs[len(segs)-1].End == at {
			return dst, io.EOF
		}
		return dst, fmt.Errorf("read batches at %d: %w", at, ErrNoSegment)
	}
	defer s.unpin()
	sc := scanner{file: s.file, first: s.first, limit: s.getEnd(), at: at, adopt: true}
	start := len(dst)
	for {
		h, b, err := sc.next()
		switch {
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst, corrupt(s, sc.at, err)
		case len(dst) > start && len(dst)-start+int(h.Length) > limit:
			return dst, nil
		}
		dst = append(dst, b...)
	}
}

// ErrMismatch says that copied batches do not continue the journal, or are damaged.
var ErrMismatch = errors.New("it does not continue the journal")

// AppendRaw verifies and writes batches of another copy of the journal, which must
// continue this one: position, chain, checksum, and an epoch that does not fall: ErrMismatch. A batch
// with FlagSegment begins a new segment here too. Before an error nothing of the
// offending batch was written. Sync is the caller's. The list of the journal's epochs
// comes back with those that begin in the batches.
func (j *Journal) AppendRaw(at store.Position, batches []byte, epochs store.EpochList) (store.EpochList, error) {
	if at != j.out || at != j.next {
		return epochs, fmt.Errorf("append copied batches at %d: %w, which ends at %d", at, ErrMismatch, j.out)
	}
	for len(batches) > 0 {
		h, err := checkBatch(batches, j.next, j.chain)
		if err != nil {
			return epochs, fmt.Errorf("append copied batch at %d: %w: %w", j.next, ErrMismatch, err)
		}
		if last := epochs.Last(); h.Epoch < last {
			return epochs, fmt.Errorf("append copied batch at %d: %w: epoch %d comes after %d", j.next, ErrMismatch, h.Epoch, last)
		}
		if err := j.appendBatch(&h, batches[:h.Length]); err != nil {
			return epochs, err
		}
		epochs = epochs.Add(h.Epoch, h.Position)
		batches = batches[h.Length:]
	}
	return epochs, nil
}

// EachBatch calls fn for each batch in b, which ReadBatches returned from a position on.
func EachBatch(b []byte, at store.Position, fn func(h *Header, batch []byte) error) error {
	for len(b) > 0 {
		h, err := decodeHeader(b, at)
		if err == nil && int(h.Length) > len(b) {
			err = fmt.Errorf("%w: length %d, %d bytes are left", errNotBatch, h.Length, len(b))
		}
		if err != nil {
			return fmt.Errorf("batch at %d: %w", at, err)
		}
		if err := fn(&h, b[:h.Length]); err != nil {
			return err
		}
		b, at = b[h.Length:], h.End()
	}
	return nil
}

func (j *Journal) appendBatch(h *Header, b []byte) error {
	switch {
	case h.Flags&FlagSegment != 0 || j.cur == nil:
		if err := j.Sync(); err != nil {
			return err
		}
		if err := j.begin(max(j.opts.SegmentSize, wholePages(len(b)))); err != nil {
			return err
		}
	case !j.Fits(len(b)):
		if err := j.cur.extend(int64(h.End() - j.cur.first)); err != nil {
			return err
		}
	}
	chain := j.chain
	j.next, j.chain = h.End(), h.NextChain()
	if err := j.Write(b); err != nil { // it may be tried again, over what was written of it
		j.next, j.chain = j.out, chain
		return err
	}
	return nil
}

// extend makes room in the file up to size.
func (s *segment) extend(size int64) error {
	if err := s.file.Allocate(size); err != nil {
		return err
	}
	s.mu.Lock()
	s.size = max(s.size, size)
	s.mu.Unlock()
	return nil
}

// ChainAt returns the chain value at a position where a batch begins or the
// journal ends. Two journals with the same value there are the same up to there.
func (j *Journal) ChainAt(at store.Position) (uint32, error) {
	if at == j.out {
		return j.chain, nil
	}
	s := j.find(at)
	if s == nil {
		return 0, fmt.Errorf("chain at %d: %w", at, ErrNoSegment)
	}
	defer s.unpin()
	sc := scanner{file: s.file, first: s.first, limit: s.getEnd(), at: s.first, adopt: true}
	for {
		h, _, err := sc.next()
		switch {
		case err != nil:
			return 0, corrupt(s, sc.at, err)
		case h.Position == at:
			return h.Chain, nil
		case h.End() > at:
			return 0, fmt.Errorf("chain at %d: no batch begins there", at)
		case h.End() == at:
			return h.NextChain(), nil
		}
	}
}

// ChainBefore is ChainAt for others than the writer. Where a batch begins its header
// has the answer; only at the journal's end the last segment is read.
func (j *Journal) ChainBefore(at store.Position) (uint32, error) {
	if at == 0 {
		return 0, nil
	}
	if s := j.find(at); s != nil {
		defer s.unpin()
		sc := scanner{file: s.file, first: s.first, limit: s.getEnd(), at: at, adopt: true}
		h, _, err := sc.next()
		if err != nil {
			return 0, fmt.Errorf("chain at %d: no batch begins there: %w", at, err)
		}
		return h.Chain, nil
	}
	s := j.find(at - 1)
	if s == nil {
		return 0, fmt.Errorf("chain at %d: %w", at, ErrNoSegment)
	}
	defer s.unpin()
	sc := scanner{file: s.file, first: s.first, limit: at, at: s.first, adopt: true}
	for {
		h, _, err := sc.next()
		if err != nil {
			return 0, fmt.Errorf("chain at %d: %w", at, corrupt(s, sc.at, err))
		}
		if h.End() == at {
			return h.NextChain(), nil
		}
	}
}

// TruncateTo removes everything from a position on, at which a batch begins. It is
// for a tail that another copy does not have; nothing committed may be in it.
func (j *Journal) TruncateTo(to store.Position) error {
	if to == j.out {
		return nil
	}
	chain, err := j.ChainAt(to)
	if err != nil {
		return fmt.Errorf("truncate: %w", err)
	}
	for j.cur != nil && j.cur.first >= to {
		if err := j.dropLast(); err != nil {
			return fmt.Errorf("truncate to %d: %w", to, err)
		}
	}
	j.next, j.out, j.chain = to, to, chain
	if j.cur != nil {
		if err := j.cur.truncate(to); err != nil {
			return err
		}
		if err := j.cur.extend(j.opts.SegmentSize); err != nil && !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("truncate to %d: %w", to, err)
		} // without room the segment is full as it is
	}
	j.synced.Store(0) // the size changed
	if err := j.Sync(); err != nil {
		return err
	}
	if j.opts.NoSync {
		return nil
	}
	return j.fs.SyncDir(j.dir)
}

// dropLast removes the segment that is written to.
func (j *Journal) dropLast() error {
	j.mu.Lock()
	n := len(j.segs) - 1
	s := j.segs[n]
	j.segs = j.segs[:n]
	j.cur = nil
	if n > 0 {
		j.cur = j.segs[n-1]
	}
	j.mu.Unlock()
	s.doom()
	return j.fs.Remove(s.path)
}
