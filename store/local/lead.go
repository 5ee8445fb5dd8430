package local

import (
	"errors"
	"fmt"
	"slices"

	"treadmq/store"
	"treadmq/store/journal"
)

// Lead turns the replica into a store that appends, in an epoch that was promised
// and won: it appends the epoch's start and returns when the gate has let it pass, and with it
// everything before. The replica is used up; after an error its folder may be opened again.
func (r *Replica) Lead(e store.Epoch, gate Gate, onGroup func()) (*Store, error) {
	s := r.s
	if err := r.prepareLead(e); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	s.opts.Gate, s.opts.OnGroup = gate, onGroup
	if err := s.lead(); err != nil {
		s.abandon()
		return nil, err
	}
	err := s.Checkpoint() // it corrects the counts
	if errors.Is(err, errRetry) {
		err = s.Checkpoint() // the reserve was given up
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.tail.mu.Lock()
	s.tail.replaying = false
	s.tail.mu.Unlock()
	return s, nil
}

func (r *Replica) prepareLead(e store.Epoch) error {
	s := r.s
	if e <= r.epochs.Last() || e != s.meta.Promised {
		return fmt.Errorf("lead epoch %d: the journal is at epoch %d, %d is promised", e, r.epochs.Last(), s.meta.Promised)
	}
	if _, err := r.Sync(); err != nil {
		return err
	}
	s.epoch.Store(uint64(e))
	s.behind = r.end
	var err error
	if s.shadow, err = r.metadata(); err != nil {
		return s.fail(err)
	}
	return nil
}

// Depose ends a leader at once: nothing is taken or committed any more, and whoever waits gets
// ErrDeposed. Close must follow.
func (s *Store) Depose() { s.fail(store.ErrDeposed) }

// metadata is what a segment opens with that begins at the journal's end: what is
// not committed counts, too.
func (r *Replica) metadata() (*journal.Metadata, error) {
	s := r.s
	t := s.tail
	t.mu.RLock()
	m := t.metadata()
	at := t.pos
	t.mu.RUnlock()
	var buf []byte
	for at < r.end {
		var err error
		if buf, err = s.journal.ReadBatches(buf[:0], at, applyPage); err != nil {
			return nil, err
		}
		err = journal.EachBatch(buf, at, func(h *journal.Header, b []byte) error {
			at = h.End()
			m.NextSeq = max(m.NextSeq, h.Base)
			return journal.EachRecord(h, b, &r.rec, func(rec *journal.Record) error {
				m.Apply(rec)
				return nil
			})
		})
		if err != nil {
			return nil, err
		}
	}
	m.Epochs = slices.Clone(r.epochs)
	return m, nil
}

// Pause stops taking batches: Append waits, until Resume. It returns when everything
// taken before is written and synced, and where the journal then ends.
func (s *Store) Pause() (store.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = true
	for (s.writing || len(s.cur.batches) > 0) && s.failure == nil && !s.closing {
		s.room.Wait()
	}
	switch {
	case s.failure != nil:
		return 0, s.failure
	case s.closing:
		return 0, store.ErrClosed
	}
	return s.journal.End(), nil
}

// Resume ends a pause.
func (s *Store) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = false
	s.room.Broadcast()
}

// NextEpoch appends the start of a higher epoch, which this store leads as it did the
// one before. The store must be paused. done is called when it is committed or never will be.
func (s *Store) NextEpoch(e store.Epoch, done func(error)) error {
	b := s.epochBatch(e, done)
	size, err := s.prepare(b)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.paused || e <= s.Epoch() {
		return fmt.Errorf("begin epoch %d: the store leads epoch %d, paused: %t", e, s.Epoch(), s.paused)
	}
	if err := s.refuse(b); err != nil {
		return err
	}
	raise(s.opts.Seq, uint64(e)<<store.EpochShift|1)
	b.SetBase(store.Seq(s.opts.Seq.Load()))
	s.join(b, size)
	return nil
}
