// Package local is the store on this machine: a journal that every batch is
// appended to and synced with, an index that is derived from it, and the tail of
// committed operations that the index does not have yet.
//
// Four goroutines work: syncLoop writes and syncs groups of batches, commitLoop applies
// them and calls Done, checkpointLoop writes the index and frees space, compactLoop
// rewrites what is left in sparse segments. DESIGN.md in package store tells why.
package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"sync/atomic"

	"treadmq/store"
	"treadmq/store/index"
	"treadmq/store/journal"
	"treadmq/store/vfs"
)

// Store implements store.Store.
type Store struct {
	opts       Options
	log        *slog.Logger
	lock       io.Closer
	meta       meta
	epoch      atomic.Uint64
	journal    *journal.Journal
	index      *index.Index
	tail       *tail
	applier    *applier
	check      *checkpointer
	pins       pins
	replicated bool              // the store of a member of a group
	replica    *Replica          // that it is or was, in a group
	behind     store.Position    // committed journal up to here is applied from the journal before the first group
	shadow     *journal.Metadata // as of the last sealed batch; only for the sync loop

	mu      sync.Mutex // guards everything down to appends
	room    *sync.Cond // pending fell, or the store ended
	cur     *group     // being filled
	free    []*group
	buffers [][]byte // for groups
	pad     int      // for cur, see group.pad
	pending int64    // bytes in groups that are not written
	closing bool
	paused  bool  // nothing is taken until Resume
	writing bool  // the sync loop is at work on a group
	failure error // first and final
	appends uint64
	holeSeq store.Seq // during Open: references below may be repeats, acknowledged in segments that are gone
	endless bool      // during Open: the journal's last segment is one of those

	wake          chan struct{} // something for the sync loop
	commits       groupQueue
	committed     chan struct{} // closed when the commit loop ended
	checkpointNow chan struct{}
	checkpointAsk chan chan error
	between       chan func() // run between two writes of the index
	thawed        *sync.Cond  // on tail.mu: a checkpoint was completed, or the store ended
	stop          chan struct{}
	failedCh      chan struct{} // closed with failure
	stopCompact   chan struct{} // ends compactLoop, which appends and so ends before the others
	compactDone   chan struct{} // closed when it ended
	compactNow    chan struct{}
	wg            sync.WaitGroup
	loops         sync.WaitGroup // of those that end with stop
	closeOnce     sync.Once
	damageOnce    sync.Once
	closeErr      error

	full        atomic.Bool // sends are refused
	reserveMu   sync.Mutex  // guards reserved
	reserved    bool        // the reserve's file is there
	freeDisk    atomic.Int64
	syncs       atomic.Uint64
	syncNanos   atomic.Uint64
	maxSync     atomic.Uint64
	checkpoints atomic.Uint64
	compacted   atomic.Uint64
}

var _ store.Store = (*Store)(nil)

// NewMemory returns a store that lives in memory.
func NewMemory() (*Store, error) {
	return Open(Options{FS: vfs.NewMem(), Dir: "/store", BootID: "memory"})
}

const (
	lockName  = "LOCK"
	indexName = "index"
)

// Open opens the store in a folder and makes it ready. The steps:
//
//  1. Lock the folder; read its identity.
//  2. Open the index; read from it what is kept in memory.
//  3. Replay the journal from where the index ends; cut a torn tail off.
//  4. Bring the index up to date; delete segments in which nothing is alive.
//  5. Begin a new epoch, so that no sequence number is ever used twice.
func Open(o Options) (*Store, error) {
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		s.abandon()
		return nil, fmt.Errorf("open store %s: %w", o.Dir, err)
	}
	return s, nil
}

func newStore(o Options) (*Store, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	s := &Store{
		opts: o, log: o.Logger, tail: newTail(), cur: &group{},
		wake: make(chan struct{}, 1), committed: make(chan struct{}), checkpointNow: make(chan struct{}, 1),
		checkpointAsk: make(chan chan error), between: make(chan func()), stop: make(chan struct{}), failedCh: make(chan struct{}),
		stopCompact: make(chan struct{}), compactDone: make(chan struct{}), compactNow: make(chan struct{}, 1),
	}
	s.room = sync.NewCond(&s.mu)
	s.commits.cond.L = &s.commits.mu
	s.thawed = sync.NewCond(&s.tail.mu)
	s.check = &checkpointer{store: s, live: map[store.Position]index.Live{}, dirty: map[store.Position]bool{}}
	return s, nil
}

func (s *Store) open() error {
	if err := s.openFolder(); err != nil {
		return err
	}
	if s.meta.Group != "" {
		return fmt.Errorf("%s belongs to the replicated group %q: only a member of the group may open it", s.opts.Dir, s.meta.Group)
	}
	if err := s.openIndex(); err != nil {
		return err
	}
	if err := s.recover(); err != nil {
		return err
	}
	t := s.tail
	return s.begin(max(t.epochs.Last(), s.meta.Promised, store.Epoch(t.nextSeq>>store.EpochShift)) + 1)
}

// openFolder locks the folder and reads its identity.
func (s *Store) openFolder() error {
	o := &s.opts
	if err := o.FS.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	lock, err := o.FS.Lock(filepath.Join(o.Dir, lockName))
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("%w: %w: stop the other process or give another folder", store.ErrLocked, err)
	}
	if err != nil {
		return err
	}
	s.lock = lock
	names, err := o.FS.ReadDir(o.Dir)
	if err != nil {
		return err
	}
	if o.Temporary {
		if err := s.wipe(names); err != nil {
			return err
		}
		names = nil
	}
	s.meta, err = identity(o, names)
	return err
}

// data is the folder of the segments and of the index.
func (s *Store) data() string { return s.meta.data(s.opts.Dir) }

// wipe empties the folder of a temporary store.
func (s *Store) wipe(names []string) error {
	for _, n := range names {
		if n == lockName {
			continue
		}
		if err := s.opts.FS.RemoveAll(filepath.Join(s.opts.Dir, n)); err != nil {
			return err
		}
	}
	return nil
}

// begin starts a new epoch and the goroutines.
func (s *Store) begin(e store.Epoch) error {
	s.epoch.Store(uint64(e))
	s.meta.Promised = e
	if err := s.use(); err != nil {
		return err
	}
	s.shadow = s.tail.metadata()
	return s.lead()
}

// use notes that the folder is in use: it is not cleanly closed any more.
func (s *Store) use() error {
	s.meta.Boot, s.meta.Clean, s.meta.End = s.opts.BootID, false, 0
	if s.opts.Temporary {
		return nil
	}
	return s.meta.save(s.opts.FS, s.opts.Dir)
}

// metadata is what a segment that begins at the commit position opens with.
func (t *tail) metadata() *journal.Metadata {
	m := journal.NewMetadata()
	m.Epochs, m.NextSeq = append(store.EpochList{}, t.epochs...), t.nextSeq
	maps.Copy(m.Catalog, t.catalog)
	for id, l := range t.lanes {
		if l.mark > 0 {
			m.Marks[id] = l.mark
		}
	}
	return m
}

// lead starts the goroutines of a store that appends, and the epoch.
func (s *Store) lead() error {
	raise(s.opts.Seq, max(uint64(s.shadow.NextSeq), s.epoch.Load()<<store.EpochShift|1))
	s.watchDisk()
	s.wg.Add(2)
	go s.syncLoop()
	go s.commitLoop()
	if !s.replicated { // a replica's runs already
		s.loops.Go(s.checkpointLoop)
	}
	if err := s.startEpoch(); err != nil {
		close(s.compactDone) // it never began
		return errors.Join(err, s.stopLoops())
	}
	go s.compactLoop()
	return nil
}

// raise lifts a counter to at least v.
func raise(c *atomic.Uint64, v uint64) {
	for {
		old := c.Load()
		if old >= v || c.CompareAndSwap(old, v) {
			return
		}
	}
}

// startEpoch appends the epoch's first record and waits for it.
func (s *Store) startEpoch() error {
	done := make(chan error, 1)
	b := s.epochBatch(s.Epoch(), func(err error) { done <- err })
	if err := s.Append(b); err != nil {
		return err
	}
	return <-done
}

func (s *Store) epochBatch(e store.Epoch, done func(error)) *store.Batch {
	value := binary.LittleEndian.AppendUint64(nil, uint64(e))
	return &store.Batch{
		Done: func(_ *store.Batch, err error) { done(err) },
		Ops:  []store.Op{{Kind: store.OpEpochStart, Value: append(value, s.meta.Node...)}},
	}
}

// fail makes err the store's final error and returns it as such.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		if errors.Is(err, store.ErrDeposed) {
			s.failure = fmt.Errorf("%s: %w", s.opts.Dir, err)
			s.log.Info("the store stops", "dir", s.opts.Dir, "err", err)
		} else {
			s.failure = s.broken(err)
		}
		close(s.failedCh)
		s.room.Broadcast()
		go s.wakeCommit()
	} else if errors.Is(s.failure, store.ErrDeposed) && !errors.Is(err, store.ErrDeposed) && !errors.Is(err, store.ErrFailed) {
		s.failure = s.broken(err) // what is worse is what the folder is left with
	}
	return s.failure
}

// broken says that err is final.
func (s *Store) broken(err error) error {
	s.log.Error("the store failed", "dir", s.opts.Dir, "err", err)
	return fmt.Errorf("%w: %s: %w; nothing more is accepted: check the disk and start again", store.ErrFailed, s.opts.Dir, err)
}

// wakeCommit wakes a commit loop that waits for a checkpoint.
func (s *Store) wakeCommit() {
	s.tail.mu.Lock()
	s.thawed.Broadcast()
	s.tail.mu.Unlock()
}

func (s *Store) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// damaged turns damage of the index into store.ErrCorrupt for callers, and makes
// the next start rebuild the index from the journal. Who still reads while the store
// closes gets the reason of that: store.ErrDeposed, store.ErrFailed or store.ErrClosed.
func (s *Store) damaged(err error) error {
	if errors.Is(err, index.ErrClosed) || errors.Is(err, fs.ErrClosed) {
		why := s.failed()
		if why == nil {
			why = store.ErrClosed
		}
		return fmt.Errorf("%w: %w", why, err)
	}
	if !errors.Is(err, index.ErrDamaged) {
		return err
	}
	s.damageOnce.Do(func() {
		s.log.Error("the index is damaged: the next start makes it again from the journal", "dir", s.opts.Dir, "err", err)
		if err := s.markRebuild(); err != nil {
			s.log.Error("the damaged index could not be marked", "dir", s.opts.Dir, "err", err)
		}
	})
	return fmt.Errorf("%w: %w; start again to rebuild the index", store.ErrCorrupt, err)
}

func (s *Store) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// Failed implements store.Store.
func (s *Store) Failed() <-chan struct{} { return s.failedCh }

// Epoch is the store's present epoch.
func (s *Store) Epoch() store.Epoch { return store.Epoch(s.epoch.Load()) }

// Node is the folder's identity, a UUID.
func (s *Store) Node() string { return s.meta.Node }

// Close implements store.Store.
func (s *Store) Close() error {
	s.closeOnce.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

// stopLoops ends the goroutines: what was appended is committed first. It returns
// why the store failed, if it did.
func (s *Store) stopLoops() error {
	s.Resume()
	close(s.stopCompact)
	<-s.compactDone
	s.mu.Lock()
	s.closing = true
	s.room.Broadcast()
	s.mu.Unlock()
	signal(s.wake)
	s.wg.Wait()
	close(s.stop)
	s.loops.Wait()
	return s.failed()
}

func (s *Store) close() error {
	if err := s.stopLoops(); err != nil {
		s.abandon()
		return err
	}
	err := s.check.run()
	if err == nil {
		err = s.check.reclaim()
	}
	if err == nil {
		err = s.journal.Sync()
	}
	if err == nil && !s.opts.Temporary {
		s.meta.Clean, s.meta.End = true, s.journal.End()
		err = s.meta.save(s.opts.FS, s.opts.Dir)
	}
	s.abandon()
	return err
}

// abandon closes what is open.
func (s *Store) abandon() {
	if s.index != nil {
		if err := s.index.Close(); err != nil {
			s.log.Warn("closing the index", "dir", s.opts.Dir, "err", err)
		}
	}
	if s.journal != nil {
		s.journal.Abandon()
	}
	if s.lock != nil {
		s.lock.Close() // the lock goes with the process in any case
	}
}

// Stats implements store.Store.
func (s *Store) Stats() store.Stats {
	st := store.Stats{
		Epoch: s.Epoch(), Synced: s.journal.Synced(), FreeDisk: s.freeDisk.Load(), Full: s.full.Load(), Syncs: s.syncs.Load(),
		SyncNanos: s.syncNanos.Load(), MaxSyncNanos: s.maxSync.Load(), Checkpoints: s.checkpoints.Load(), CompactedBytes: s.compacted.Load(),
		IndexBytes: s.index.Size(),
	}
	for _, seg := range s.journal.Segments() {
		if st.Segments++; st.Segments == 1 {
			st.Start = seg.First
		}
		st.End = seg.End
		st.DiskBytes += seg.Size
	}
	s.mu.Lock()
	st.Appends, st.Failed = s.appends, s.failure
	s.mu.Unlock()
	t := s.tail
	t.mu.RLock()
	defer t.mu.RUnlock()
	st.Commit, st.Applied, st.TailRefs = t.pos, t.appliedAt, t.act.refs
	if t.frz != nil {
		st.TailRefs += t.frz.refs
	}
	st.TailBytes = int64(t.pos - st.Applied)
	for _, l := range t.lanes {
		st.LiveBytes += l.count.Bytes
	}
	return st
}
