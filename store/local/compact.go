package local

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"treadmq/store"
	"treadmq/store/index"
	"treadmq/store/journal"
)

// compactor moves what is alive in sparse segments to the end of the journal, so
// that they can be deleted: one old message must not keep a whole segment on disk.
type compactor struct {
	store *Store
	gave  map[store.Position]int64 // segments that stayed alive: their references then
	all   bool                     // also when little would be won

	indexSmall int64     // bytes
	rewritten  time.Time // of the index
}

// moveChunk is how many bytes of messages one batch moves.
const moveChunk = 256 << 10

// fewSegments is how many segments beside twice the live data are left alone.
const fewSegments = 2

func (s *Store) compactLoop() {
	defer close(s.compactDone)
	c := &compactor{store: s, gave: map[store.Position]int64{}, indexSmall: indexSmall}
	tick := time.NewTicker(2 * s.opts.CheckpointInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.stopCompact:
			return
		case <-s.failedCh:
			return
		case <-tick.C:
		case <-s.compactNow:
		}
		if err := c.run(); err != nil && !errors.Is(err, errStop) && s.failed() == nil {
			s.log.Error("compaction", "dir", s.opts.Dir, "err", err)
		}
		c.index()
	}
}

// Bounds for rewriting the index: it is left alone below indexSmall, and while it
// is not indexRatio times what its references need, about indexPerRef bytes each.
const (
	indexSmall  = 32 << 20
	indexPerRef = 64
	indexRatio  = 4
	indexPause  = time.Minute
)

// index rewrites the index when it is mostly traces of what was deleted: a
// drained backlog must not keep its disk space, nor slow down the next one.
func (c *compactor) index() {
	s := c.store
	size := s.index.Size()
	if size < c.indexSmall || time.Since(c.rewritten) < indexPause {
		return
	}
	live := int64(0)
	for _, lanes := range s.Counts() {
		for _, n := range lanes {
			live += n.Refs
		}
	}
	if size < indexRatio*indexPerRef*live {
		return
	}
	c.rewritten = time.Now()
	if err := s.index.Compact(); err != nil {
		s.log.Warn("the index could not be rewritten; it works, but keeps disk space", "dir", s.opts.Dir, "err", err)
		return
	}
	s.log.Info("index rewritten", "dir", s.opts.Dir, "before", size, "after", s.index.Size(), "took", time.Since(c.rewritten).Round(time.Millisecond))
}

// errStop ends a compaction because the store is closing.
var errStop = errors.New("stopping")

// run compacts until nothing is worth it.
func (c *compactor) run() error {
	for {
		seg, ok := c.choose()
		if !ok {
			return nil
		}
		if err := c.store.Checkpoint(); err != nil {
			return err
		}
		err := c.segment(seg)
		if errors.Is(err, journal.ErrNoSegment) || errors.Is(err, store.ErrMoved) {
			continue // it was deleted in the meantime
		}
		if err != nil {
			c.gave[seg.First] = c.store.check.liveIn(seg.First).Refs
			return fmt.Errorf("segment at %d: %w", seg.First, err)
		}
		if err := c.store.Checkpoint(); err != nil {
			return err
		}
		if n := c.store.check.liveIn(seg.First).Refs; n != 0 {
			c.gave[seg.First] = n
		}
	}
}

// choose returns the sealed segment with the smallest share of live bytes, if one
// is below the limit and dead bytes take up enough of the disk.
func (c *compactor) choose() (journal.Segment, bool) {
	s := c.store
	applied := s.tail.applied()
	segs := s.journal.Segments()
	var disk, live int64
	var worst journal.Segment
	share := s.opts.CompactBelow
	for i, seg := range segs {
		n := s.check.liveIn(seg.First)
		disk += seg.Size
		live += n.Bytes
		if i == len(segs)-1 || seg.End > applied || n.Refs == 0 || c.gave[seg.First] == n.Refs {
			continue
		}
		if r := float64(n.Bytes) / float64(seg.Size); r < share {
			worst, share = seg, r
		}
	}
	return worst, worst.Size > 0 && (c.all || disk > 2*live+fewSegments*s.opts.SegmentSize)
}

// segment moves everything that is alive in one segment.
func (c *compactor) segment(seg journal.Segment) error {
	found, err := c.survivors(seg)
	if err != nil {
		return err
	}
	inside := func(p store.Position) bool { return p >= seg.First && p < seg.End }
	var b store.Batch
	var refs []store.Ref
	size := 0
	for i := 0; i < len(found); {
		n := 1
		for inside(found[i].Pos) && i+n < len(found) && found[i+n].Pos == found[i].Pos {
			n++
		}
		payload, err := c.payload(found[i:i+n], inside(found[i].Pos))
		if err != nil {
			return err
		}
		b.Ops = append(b.Ops, store.Op{Kind: store.OpMove, Value: payload})
		for _, e := range found[i : i+n] {
			refs = append(refs, e.Ref)
		}
		i += n
		if size += len(payload); size >= moveChunk || i == len(found) {
			if err := c.append(&b, refs, size); err != nil {
				return err
			}
			refs, size = refs[:0], 0
		}
	}
	return nil
}

// payload makes the OpMove record of references to one message.
func (c *compactor) payload(es []index.Entry, withBody bool) ([]byte, error) {
	e := &es[0]
	m := journal.Move{ID: e.ID, Key: e.Key, Flags: e.Flags, CRC: e.CRC, Body: store.Loc{Pos: e.Pos, Size: e.Size}}
	for i := range es {
		r := journal.Moved{Ref: es[i].Ref, Expiry: es[i].Expiry, Attempts: es[i].Attempts, Overlay: es[i].Overlay}
		if es[i].ID != e.ID {
			r.ID = es[i].ID
		}
		m.Refs = append(m.Refs, r)
	}
	if withBody {
		b, err := c.store.Read(m.Body)
		if err != nil {
			return nil, err
		}
		m.Encoded = b
	}
	return journal.AppendMove(nil, &m), nil
}

// append commits moves, slowly. References that were removed before their move came
// are removed once more behind it, so that a rebuild of the index does not revive them.
func (c *compactor) append(b *store.Batch, refs []store.Ref, size int) error {
	if err := c.commit(b); err != nil {
		return err
	}
	c.store.compacted.Add(uint64(size))
	for _, r := range refs {
		if _, err := c.store.lookup(r); errors.Is(err, store.ErrNotFound) {
			b.Remove(r, store.Loc{})
		} else if err != nil {
			return err
		}
	}
	if !b.Empty() {
		if err := c.commit(b); err != nil {
			return err
		}
	}
	select {
	case <-time.After(time.Duration(float64(size) / float64(c.store.opts.CompactRate) * float64(time.Second))):
		return nil
	case <-c.store.stopCompact:
		return errStop
	}
}

// commit appends b, waits, and empties it.
func (c *compactor) commit(b *store.Batch) error {
	done := make(chan error, 1)
	b.Lazy = true
	b.Done = func(_ *store.Batch, err error) { done <- err }
	if err := c.store.Append(b); err != nil {
		return err
	}
	err := <-done
	b.Reset()
	return err
}

// survivors returns the live references whose message or own record is in a
// segment, in order of the message's position.
func (c *compactor) survivors(seg journal.Segment) ([]index.Entry, error) {
	inside := func(e *index.Entry) bool {
		return (e.Pos >= seg.First && e.Pos < seg.End) || (e.RefPos != 0 && e.RefPos >= seg.First && e.RefPos < seg.End)
	}
	ranges, single, err := c.mentioned(seg)
	if err != nil {
		return nil, err
	}
	found := map[store.Ref]index.Entry{}
	add := func(e *index.Entry) {
		if inside(e) {
			x := *e
			x.Overlay = slices.Clone(e.Overlay)
			found[e.Ref] = x
		}
	}
	for id, r := range ranges {
		it := c.store.index.Refs(id.Dest, id.Lane, r[0], r[1])
		for it.Next() {
			add(it.Entry())
		}
		if err := it.Close(); err != nil {
			return nil, err
		}
	}
	for _, r := range single {
		e, err := c.store.index.Find(r)
		if err == nil {
			add(&e)
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	return c.alive(found)
}

// alive keeps what the tail has not removed, with what changed since.
func (c *compactor) alive(found map[store.Ref]index.Entry) ([]index.Entry, error) {
	out := make([]index.Entry, 0, len(found))
	for r := range found {
		e, err := c.store.lookup(r)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b index.Entry) int {
		if a.Pos != b.Pos {
			if a.Pos < b.Pos {
				return -1
			}
			return 1
		}
		return compareExpiry(a, b)
	})
	return out, nil
}

// mentioned lists what a segment may keep alive: ranges of sequence numbers that
// were created in it, and single references that were moved to it or linked to it.
func (c *compactor) mentioned(seg journal.Segment) (map[laneID][2]store.Seq, []store.Ref, error) {
	ranges := map[laneID][2]store.Seq{}
	var single []store.Ref
	var rec journal.Record
	err := c.store.journal.Scan(seg.First, func(h *journal.Header, b []byte) error {
		return journal.EachRecord(h, b, &rec, func(r *journal.Record) error {
			for i := range r.Refs {
				id := laneID{Dest: r.Refs[i].Dest, Lane: r.Refs[i].Lane}
				seq := r.Seq + store.Seq(i)
				have, ok := ranges[id]
				if !ok {
					have = [2]store.Seq{seq, seq}
				}
				ranges[id] = [2]store.Seq{min(have[0], seq), max(have[1], seq)}
			}
			for i := range r.Moved {
				single = append(single, r.Moved[i].Ref)
			}
			return nil
		})
	})
	if err != nil {
		return nil, nil, err
	}
	err = c.store.index.Links(seg.First, seg.End, func(r store.Ref) error {
		single = append(single, r)
		return nil
	})
	return ranges, single, err
}
