package local

import (
	"encoding/binary"
	"fmt"
	"time"

	"treadmq/store"
	"treadmq/store/index"
	"treadmq/store/journal"
)

// recover opens the journal and replays it.
func (s *Store) recover() error {
	j, err := journal.Open(s.opts.FS, s.data(), journal.Options{SegmentSize: s.opts.SegmentSize, NoSync: s.opts.Temporary})
	if err != nil {
		return err
	}
	s.journal = j
	rebuild := s.index.Fresh() && len(j.Segments()) > 0
	if rebuild {
		if err := s.lookForEnd(); err != nil {
			return err
		}
	}
	if err := s.loadTail(); err != nil {
		return err
	}
	if err := s.missingSegments(); err != nil {
		return err
	}
	if err := s.replayAll(rebuild); err != nil {
		return err
	}
	switch {
	case rebuild:
		return s.finishRebuild()
	case len(j.Segments()) == 0 && s.meta.Promised > 0:
		s.log.Warn("the folder was in use before, but holds no journal: the store begins empty", "dir", s.data())
	}
	return nil
}

// lookForEnd marks the folder for a rebuild, and notes whether the journal's end is in a segment that is gone.
func (s *Store) lookForEnd() error {
	went, err := s.journal.Continued()
	if err != nil {
		return err
	}
	s.endless = s.endless || went && !s.meta.Clean
	return s.markRebuild()
}

// missingSegments demands a file for each segment in which something is alive.
func (s *Store) missingSegments() error {
	have := map[store.Position]bool{}
	for _, seg := range s.journal.Segments() {
		have[seg.First] = true
	}
	for first, n := range s.check.live {
		if n.Refs > 0 && !have[first] {
			return fmt.Errorf("%w: the segment at position %d with %d live messages is not in %s: restore the file", store.ErrCorrupt, first, n.Refs, s.data())
		}
	}
	return nil
}

func (s *Store) replayAll(rebuild bool) error {
	start := time.Now()
	st := s.index.State()
	r := journal.Recovery{
		From: st.Applied, Chain: st.Chain, Rebuild: rebuild,
		Whole: s.meta.Boot != "" && s.meta.Boot == s.opts.BootID,
	}
	if s.meta.Clean {
		r.Clean = s.meta.End
	}
	var rec journal.Record
	s.tail.replaying, s.tail.rebuilding = true, rebuild
	if err := s.journal.Recover(&r, func(h *journal.Header, b []byte) error { return s.replay(h, b, &rec) }); err != nil {
		return err
	}
	if r.Torn {
		s.log.Warn("cut an incomplete write off the journal", "dir", s.opts.Dir, "pos", r.Cut)
	}
	s.tail.pos, s.tail.chain = s.journal.End(), s.journal.Chain()
	if err := s.check.run(); err != nil {
		return err
	}
	s.tail.replaying, s.tail.rebuilding = false, false
	if r.Batches > 0 {
		s.log.Info("replayed the journal", "dir", s.opts.Dir, "batches", r.Batches, "from", r.From, "to", s.journal.End(), "took", time.Since(start))
	}
	return nil
}

// replay applies one batch of the journal, and writes the index when much has gathered.
func (s *Store) replay(h *journal.Header, b []byte, rec *journal.Record) error {
	if err := s.replayBatch(h, b, rec); err != nil {
		return err
	}
	if int64(s.tail.pos-s.tail.frozenAt) > s.opts.TailLimit {
		return s.check.run()
	}
	return nil
}

func (s *Store) replayBatch(h *journal.Header, b []byte, rec *journal.Record) error {
	t := s.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rebuilding && h.Position != t.pos && t.pos > 0 {
		s.holeSeq = t.nextSeq
	}
	if err := journal.EachRecord(h, b, rec, s.replayRecord); err != nil {
		return err
	}
	t.nextSeq = max(t.nextSeq, h.Base)
	t.pos, t.chain = h.End(), h.NextChain()
	return nil
}

// loadTail reads from the index what is kept in memory.
func (s *Store) loadTail() error {
	t := s.tail
	st := s.index.State()
	t.pos, t.chain, t.nextSeq, t.indexSeq = st.Applied, st.Chain, st.NextSeq, st.NextSeq
	t.frozenAt, t.appliedAt = st.Applied, st.Applied
	var err error
	if t.epochs, err = decodeEpochs(st.Epochs); err != nil {
		return err
	}
	err = s.index.Lanes(func(d store.DestID, n store.Lane, x index.Lane) error {
		l := t.lane(d, n)
		l.count, l.keys, l.mark, l.low, l.saved = x.Count, x.Keys, x.Mark, x.Low, x
		return nil
	})
	if err != nil {
		return err
	}
	err = s.index.Catalog(func(k, v []byte) error {
		t.catalog[string(k)] = append([]byte{}, v...)
		return nil
	})
	if err != nil {
		return err
	}
	err = s.index.Purges(func(d store.DestID, upto store.Seq, keep []store.Seq) error {
		p := &purge{dest: d, upto: upto, keep: keep}
		t.addPurge(p)
		s.check.due = append(s.check.due, p)
		return nil
	})
	if err != nil {
		return err
	}
	return s.check.reload()
}

func (s *Store) encodeEpochs() []byte {
	var b []byte
	for _, e := range s.tail.epochs {
		b = binary.AppendUvarint(b, uint64(e.Epoch))
		b = binary.AppendUvarint(b, uint64(e.Start))
	}
	return b
}

func decodeEpochs(b []byte) (store.EpochList, error) {
	var l store.EpochList
	for len(b) > 0 {
		e, n := binary.Uvarint(b)
		p, m := binary.Uvarint(b[max(n, 0):])
		if n <= 0 || m <= 0 {
			return nil, fmt.Errorf("%w: epoch list", index.ErrDamaged)
		}
		l = append(l, store.EpochStart{Epoch: store.Epoch(e), Start: store.Position(p)})
		b = b[n+m:]
	}
	return l, nil
}
