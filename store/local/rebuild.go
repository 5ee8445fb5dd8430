package local

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"treadmq/store"
	"treadmq/store/index"
	"treadmq/store/journal"
)

// rebuildName marks a folder whose index must be made again from the journal: it
// was found damaged, or a rebuild was interrupted.
const rebuildName = "REBUILD"

// openIndex opens the index, or throws it away if it cannot be trusted.
func (s *Store) openIndex() error {
	dir := filepath.Join(s.data(), indexName)
	if s.opts.rebuild {
		if err := s.markRebuild(); err != nil {
			return err
		}
	}
	marked, err := s.readMark()
	if err != nil {
		return err
	}
	x, err := s.tryIndex(dir)
	if err == nil && !marked {
		return s.useIndex(x)
	}
	switch {
	case err == nil:
		err = x.Close()
	case errors.Is(err, index.ErrDamaged):
		s.log.Warn("the index is damaged and is made again from the journal", "dir", s.opts.Dir, "err", err)
		err = s.markRebuild()
	}
	if err != nil {
		return err
	}
	if err := s.opts.FS.RemoveAll(dir); err != nil {
		return err
	}
	if x, err = s.tryIndex(dir); err != nil {
		return err
	}
	return s.useIndex(x)
}

func (s *Store) tryIndex(dir string) (*index.Index, error) {
	return index.Open(s.opts.FS, dir, index.Options{
		CacheBytes: s.opts.IndexCache, WriteBuffer: s.opts.IndexBuffer, NoSync: s.opts.Temporary, Logger: s.log,
	})
}

func (s *Store) useIndex(x *index.Index) error {
	s.index = x
	s.applier = &applier{tail: s.tail, index: x}
	return nil
}

// endlessMark is what the mark of a rebuild says when the journal's end is gone, which the journal tells only once.
const endlessMark = "the journal's last segment is not there\n"

// markRebuild makes sure that the next start rebuilds the index if this one does not finish.
func (s *Store) markRebuild() error {
	f, err := s.opts.FS.OpenFile(filepath.Join(s.data(), rebuildName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("mark the index for a rebuild: %w", err)
	}
	if s.endless {
		if _, err = f.WriteAt([]byte(endlessMark), 0); err == nil {
			err = f.Sync()
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("mark the index for a rebuild: %w", err)
	}
	return s.opts.FS.SyncDir(s.data())
}

// readMark reports whether the folder is marked for a rebuild, and takes over what the mark says.
func (s *Store) readMark() (marked bool, err error) {
	b, err := readSmall(s.opts.FS, filepath.Join(s.data(), rebuildName), maxMeta)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	s.endless = string(b) == endlessMark
	return err == nil, err
}

// replayRecord applies one record. Called with tail.mu held.
func (s *Store) replayRecord(r *journal.Record) error {
	if !s.tail.rebuilding || r.Kind != store.OpMove {
		return s.applier.record(r)
	}
	s.tail.mu.Unlock()
	defer s.tail.mu.Lock()
	return s.check.revive(r)
}

// revive applies an OpMove during a rebuild: the records that made the references
// may be gone, and their sequence numbers lie below those of the tail. So the tail is
// written first, then the references straight into the index.
func (c *checkpointer) revive(r *journal.Record) error {
	if err := c.flush(); err != nil {
		return err
	}
	c.begin()
	lanes := map[laneID]index.Lane{}
	for i := range r.Moved {
		if err := c.reviveRef(r, &r.Moved[i], lanes); err != nil {
			return err
		}
	}
	for id, n := range lanes {
		c.batch.PutLane(id.Dest, id.Lane, n)
	}
	if err := c.commit(c.store.index.State()); err != nil {
		return err
	}
	t := c.store.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, n := range lanes {
		l := t.lane(id.Dest, id.Lane)
		l.saved, l.count, l.keys, l.low = n, n.Count, n.Keys, n.Low
	}
	return nil
}

func (c *checkpointer) reviveRef(r *journal.Record, m *journal.Moved, lanes map[laneID]index.Lane) error {
	id := laneID{Dest: m.Dest, Lane: m.Lane}
	n, ok := lanes[id]
	if !ok {
		if l := c.store.tail.laneForRead(m.Dest, m.Lane); l != nil {
			n = l.saved
		}
	}
	e := index.Entry{
		Ref: m.Ref, Pos: r.Body.Pos, Size: r.Body.Size, CRC: r.CRC, Share: share(r.Len, len(r.Moved)), ID: cmp.Or(m.ID, r.Message.ID),
		Expiry: m.Expiry, Attempts: m.Attempts, Flags: r.Message.Flags, Overlay: m.Overlay, Key: r.Message.DedupKey,
	}
	if r.Message.Encoded == nil {
		e.Share, e.RefPos, e.Own = share(e.Size, len(r.Moved)), r.Pos, share(r.Len, len(r.Moved))
	}
	old, err := c.store.index.Find(m.Ref)
	switch {
	case err == nil:
		c.countEntry(&old, -1)
		c.batch.Unlink(&old)
	case errors.Is(err, store.ErrNotFound):
		if n.Keys == 0 || m.Seq < n.Low {
			n.Low = m.Seq
		}
		n.Keys++
		n.Count.Refs++
		n.Count.Bytes += int64(e.Size)
		c.store.tail.raiseSeq(m.Seq + 1)
	default:
		return err
	}
	if err := c.reviveKey(&e); err != nil {
		return err
	}
	c.batch.PutRef(&e)
	c.countEntry(&e, 1)
	lanes[id] = n
	return nil
}

func (t *tail) raiseSeq(next store.Seq) {
	t.mu.Lock()
	t.nextSeq = max(t.nextSeq, next)
	t.mu.Unlock()
}

// flagChunk is how many references one index write flags.
const flagChunk = 10_000

// finishRebuild flags what may be a repeat and takes the mark away.
func (s *Store) finishRebuild() error {
	if s.endless {
		s.holeSeq = s.tail.nextSeq
		s.log.Warn("the journal went on in a segment that is not there: what was sent and acknowledged behind this position is lost, restore the file if you have it",
			"dir", s.data(), "pos", s.journal.End())
	}
	live, flagged := 0, 0
	var after store.Ref
	for more := true; more; {
		var err error
		if more, err = s.check.flagSome(&after, s.holeSeq, &live, &flagged); err != nil {
			return err
		}
	}
	name := filepath.Join(s.data(), rebuildName)
	if err := s.opts.FS.Remove(name); err != nil {
		return fmt.Errorf("finish the rebuild: %w", err)
	}
	if err := s.opts.FS.SyncDir(s.data()); err != nil {
		return fmt.Errorf("finish the rebuild: %w", err)
	}
	s.log.Warn("made the index again from the journal", "dir", s.opts.Dir, "messages", live, "possibly_repeated", flagged)
	return nil
}

// flagSome marks a chunk of the references below hole as delivered before: a
// segment that is gone may have held their acknowledgement.
func (c *checkpointer) flagSome(after *store.Ref, hole store.Seq, live, flagged *int) (more bool, err error) {
	c.begin()
	it := c.store.index.RefsAfter(*after)
	n := 0
	for n < flagChunk && it.Next() {
		e := it.Entry()
		*after = e.Ref
		*live++
		n++
		if e.Seq < hole && e.Attempts == 0 {
			e.Attempts = 1
			c.batch.PutRef(e)
			*flagged++
		}
	}
	if err := it.Close(); err != nil {
		return false, err
	}
	if c.batch.Len() == 0 {
		return n == flagChunk, nil
	}
	return n == flagChunk, c.commit(c.store.index.State())
}

// restore takes the state that a segment opens with.
func (t *applier) restore(m *journal.Metadata) {
	for k := range t.catalog {
		if _, ok := m.Catalog[k]; !ok {
			t.delete(k)
		}
	}
	for k, v := range m.Catalog {
		t.put(k, v)
	}
	for id, seq := range m.Marks {
		t.setMark(store.Ref{Dest: id.Dest, Lane: id.Lane, Seq: seq})
	}
	if m.Epochs.Last() > t.epochs.Last() {
		t.epochs = m.Epochs
	}
	t.nextSeq = max(t.nextSeq, m.NextSeq)
}
