package local

import (
	"errors"
	"fmt"
	"io"

	"treadmq/store"
	"treadmq/store/journal"
)

// Commit applies everything up to a position, at which a batch ends and which must be synced here.
func (r *Replica) Commit(to store.Position) error {
	s := r.s
	if synced := s.journal.Synced(); to > synced {
		return fmt.Errorf("commit up to %d: only %d is on stable storage", to, synced)
	}
	err := s.applyJournal(to, &r.buf, &r.rec)
	if err != nil && s.failed() == nil {
		err = s.fail(s.damaged(err))
	}
	return err
}

// applyPage is how many bytes of the journal are read at once to be applied.
const applyPage = 1 << 20

// applyJournal applies the journal from the commit position up to another one.
func (s *Store) applyJournal(to store.Position, buf *[]byte, rec *journal.Record) error {
	for at := s.tail.position(); at < to; {
		if err := s.failed(); err != nil {
			return err
		}
		var err error
		if *buf, err = s.journal.ReadBatches((*buf)[:0], at, applyPage); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("apply the journal from %d: %w", at, err)
		}
		err = journal.EachBatch(*buf, at, func(h *journal.Header, b []byte) error {
			if h.End() > to {
				return errEnough
			}
			at = h.End()
			return s.applyOne(h, b, rec)
		})
		if errors.Is(err, errEnough) && at < to {
			err = fmt.Errorf("no batch ends at %d", to)
		}
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
	}
	return nil
}

var errEnough = errors.New("enough")

func (s *Store) applyOne(h *journal.Header, b []byte, rec *journal.Record) error {
	t := s.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := journal.EachRecord(h, b, rec, s.applier.record); err != nil {
		return err
	}
	t.nextSeq = max(t.nextSeq, h.Base)
	t.pos, t.chain = h.End(), h.NextChain()
	s.limitTail()
	return nil
}
