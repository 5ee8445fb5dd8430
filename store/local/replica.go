package local

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"

	"treadmq/store"
	"treadmq/store/journal"
)

// Replica is the store of a member of a group while it does not lead: its journal is
// a copy of the leader's, and only what is known to be committed is applied.
//
// One goroutine writes (Append, Sync, Truncate, Lead, Close); Commit may run beside
// it, on one goroutine; the rest is safe for concurrent use.
type Replica struct {
	s *Store

	mu     sync.Mutex      // guards epochs and end, and the meta of the store
	epochs store.EpochList // of the whole journal, also of what is not committed
	end    store.Position  // of what is written

	buf []byte         // of Commit
	rec journal.Record // of Commit
}

// ErrCommitted says that a replica was told to remove what it knows to be committed.
var ErrCommitted = errors.New("it is committed here")

// ErrIndexLost says that a replica's index is gone and cannot be made again from the
// journal, of which the beginning is deleted: the folder needs a snapshot of another
// member.
var ErrIndexLost = errors.New("the index is lost")

// ReplicaState is what a member tells the others about its store.
type ReplicaState struct {
	Node     string // the folder's identity
	Cluster  string // the cluster it belongs to, "" if it has never joined
	Promised store.Epoch
	Epochs   store.EpochList
	Start    store.Position // from here on the journal is whole
	End      store.Position
	Applied  store.Position // committed as far as is known here
	// Suspect: the machine went down, and the store was not closed before, since it last was
	// up to date: of what was written and not synced, some may be missing.
	Suspect bool
}

// OpenReplica opens the store in a folder as a member of a group. A folder that a
// broker of its own has used becomes a member's with all that is in it.
func OpenReplica(o Options, group string) (*Replica, error) {
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	if group == "" || o.Temporary {
		return nil, fmt.Errorf("open replica %s: a lasting store and the name of a group are needed", o.Dir)
	}
	s.replicated = true
	r := &Replica{s: s}
	s.replica = r
	if err := r.open(group); err != nil {
		s.abandon()
		return nil, fmt.Errorf("open replica %s: %w", o.Dir, err)
	}
	s.loops.Go(s.checkpointLoop)
	return r, nil
}

func (r *Replica) open(group string) error {
	s := r.s
	if err := s.openFolder(); err != nil {
		return err
	}
	if s.meta.Group != "" && s.meta.Group != group {
		return fmt.Errorf("the folder belongs to the group %q, not %q: give the right folder", s.meta.Group, group)
	}
	if err := removeReplaced(&s.opts, &s.meta); err != nil {
		return err
	}
	if err := s.openIndex(); err != nil {
		return err
	}
	whole := s.meta.Boot != "" && s.meta.Boot == s.opts.BootID
	if err := r.recover(whole); err != nil {
		return err
	}
	s.meta.Group = group
	s.meta.Suspect = s.meta.Suspect || (!whole && !s.meta.Clean && r.end > 0)
	if err := s.use(); err != nil {
		return err
	}
	s.watchDisk()
	return nil
}

// recover finds the journal's end. It applies nothing: what lies behind the index may
// not be committed.
func (r *Replica) recover(whole bool) error {
	s := r.s
	j, err := journal.Open(s.opts.FS, s.data(), journal.Options{SegmentSize: s.opts.SegmentSize})
	if err != nil {
		return err
	}
	s.journal = j
	if segs := j.Segments(); s.index.Fresh() && len(segs) > 0 && segs[0].First > 0 {
		return ErrIndexLost
	}
	if err := s.loadTail(); err != nil {
		return err
	}
	if err := s.missingSegments(); err != nil {
		return err
	}
	r.epochs = slices.Clone(s.tail.epochs)
	st := s.index.State()
	rec := journal.Recovery{From: st.Applied, Chain: st.Chain, Whole: whole}
	if s.meta.Clean {
		rec.Clean = s.meta.End
	}
	see := func(h *journal.Header, _ []byte) error {
		r.epochs = r.epochs.Add(h.Epoch, h.Position)
		return nil
	}
	if err := j.Recover(&rec, see); err != nil {
		return err
	}
	if rec.Torn {
		s.log.Warn("cut an incomplete write off the journal", "dir", s.opts.Dir, "pos", rec.Cut)
	}
	s.tail.replaying = true
	r.end = j.End()
	return nil
}

// State says where the replica stands.
func (r *Replica) State() ReplicaState {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &r.s.meta
	return ReplicaState{
		Node: m.Node, Cluster: m.Cluster, Promised: m.Promised, Epochs: slices.Clone(r.epochs),
		Start: r.Feed().Start(), End: r.end, Applied: r.s.tail.position(), Suspect: m.Suspect,
	}
}

func (t *tail) position() store.Position {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.pos
}

// Feed is the journal for other members.
func (r *Replica) Feed() Feed { return r.s.Feed() }

// Feed is the journal for other members.
func (s *Store) Feed() Feed { return Feed{s.journal, &s.pins} }

// Stats are the store's figures.
func (r *Replica) Stats() store.Stats { return r.s.Stats() }

// Failed is closed when the store has failed for good.
func (r *Replica) Failed() <-chan struct{} { return r.s.failedCh }

// Err says why.
func (r *Replica) Err() error { return r.s.failed() }

// ErrMismatch says that batches do not continue a replica's journal, or are damaged.
var ErrMismatch = journal.ErrMismatch

// Append writes batches of the leader's journal, which must continue this one, and
// returns the new end. They are checked first: ErrMismatch. An error that wraps ENOSPC may be
// tried again, for what is behind the new end; the disk's reserve was given up before. Any other
// error is final.
func (r *Replica) Append(at store.Position, batches []byte) (store.Position, error) {
	if err := r.s.failed(); err != nil {
		return 0, err
	}
	err := r.append(at, batches)
	if errors.Is(err, syscall.ENOSPC) && r.s.giveReserve() {
		end := r.s.journal.End()
		err = r.append(end, batches[end-at:])
	}
	if err != nil && !errors.Is(err, ErrMismatch) && !errors.Is(err, syscall.ENOSPC) {
		err = r.s.fail(err)
	}
	return r.s.journal.End(), err
}

func (r *Replica) append(at store.Position, batches []byte) error {
	r.mu.Lock()
	epochs := slices.Clip(r.epochs)
	r.mu.Unlock()
	epochs, err := r.s.journal.AppendRaw(at, batches, epochs)
	r.moved(epochs)
	return err
}

// EpochsAfter lists the epochs of the journal above one.
func (r *Replica) EpochsAfter(e store.Epoch) store.EpochList {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := len(r.epochs)
	for i > 0 && r.epochs[i-1].Epoch > e {
		i--
	}
	return slices.Clone(r.epochs[i:])
}

// Chain is Feed.Chain for the goroutine that writes, to which the chain at the end is known.
func (r *Replica) Chain(at store.Position) (uint32, error) {
	if at == r.s.journal.End() {
		return r.s.journal.Chain(), nil
	}
	return r.Feed().Chain(at)
}

// Synced is how far the journal is on stable storage.
func (r *Replica) Synced() store.Position { return r.s.journal.Synced() }

// Applied is what the index on disk reflects. It goes on to be true of the store after Lead.
func (r *Replica) Applied() store.Position { return r.s.tail.applied() }

// Snapshot takes a snapshot, also while Lead is under way and after it.
func (r *Replica) Snapshot() (*Snapshot, error) { return r.s.Snapshot() }

func (r *Replica) moved(epochs store.EpochList) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epochs, r.end = epochs, r.s.journal.End()
}

// Sync brings what was written to stable storage and returns up to where. After an
// error the replica has failed for good.
func (r *Replica) Sync() (store.Position, error) {
	if err := r.s.failed(); err != nil {
		return 0, err
	}
	if err := r.s.sync(); err != nil {
		return 0, r.s.fail(err)
	}
	return r.s.journal.Synced(), nil
}

// Truncate removes everything from a position on, durably. ErrCommitted when that is
// known to be committed; then nothing was removed.
func (r *Replica) Truncate(to store.Position) error {
	if err := r.s.failed(); err != nil {
		return err
	}
	if pos := r.s.tail.position(); to < pos {
		return fmt.Errorf("remove the journal from %d on: %w up to %d", to, ErrCommitted, pos)
	}
	if err := r.s.journal.TruncateTo(to); err != nil {
		return r.s.fail(err)
	}
	r.mu.Lock()
	epochs := r.epochs.Truncate(to)
	r.mu.Unlock()
	r.moved(epochs)
	return nil
}

// Close syncs and closes the replica.
func (r *Replica) Close() error {
	s := r.s
	s.closeOnce.Do(func() {
		close(s.stop)
		s.wakeCommit()
		s.loops.Wait()
		s.closeErr = r.close()
		s.abandon()
	})
	return s.closeErr
}

func (r *Replica) close() error {
	s := r.s
	if err := s.failed(); err != nil {
		return err
	}
	if err := s.check.run(); err != nil {
		return err
	}
	if err := s.journal.Sync(); err != nil {
		return err
	}
	s.meta.Clean, s.meta.End = true, s.journal.End()
	return s.meta.save(s.opts.FS, s.opts.Dir)
}
