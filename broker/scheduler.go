package broker

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"treadmq/store"
)

// A message that is to be delivered later is an ordinary stored message whose reference
// lives in a destination of the store that has no queue. The reference's expiry is when
// it is due, on a scale above that of real expiries, so that the store's index of
// expiries is the scheduler's index of times and the search for expired messages never
// meets it. A job that has a key (a name, or an id that must survive repetitions) has a
// second reference behind the first, whose expiry is a hash of the key: that finds jobs by
// key without anything in memory.
const (
	dueBase = int64(1) << 61
	keyBase = int64(1) << 62

	jobLane = store.Lane(0)
	keyLane = store.Lane(1)
)

// Bounds of the scheduler.
const (
	fireBatch    = 512              // jobs read, and delivered in one commit
	fireAhead    = 2                // commits on their way while the next is put together
	fireBytes    = 1 << 20          // of messages in such a commit, or one message
	lookAhead    = time.Minute      // the next job is looked for so far ahead
	schedulerNap = 10 * time.Second // looks at the clock at least as often: it may be set
	fireRetry    = 10 * time.Second // until what could not be delivered is tried again
	damagedRetry = time.Hour        // the same for what cannot be read
	maxReplaced  = 10_000           // names in memory whose older schedules are to go; others go when they are due
)

var catalogSchedule = []byte("s") // -> id u32 of the scheduler's destination

// scheduler delivers messages when they are due. One goroutine does everything that
// changes schedules which exist, so that nothing is delivered and removed at a time.
type scheduler struct {
	b     *Broker
	dest  atomic.Uint32 // its destination in the store; 0 = none yet
	kick  chan struct{} // capacity 1: something is due earlier
	calls chan func()   // to be run on its goroutine

	mu       sync.Mutex // guards what follows; last
	low      int64      // nothing that is due earlier is in the store
	next     int64      // when to look again
	replaced []string   // names that were scheduled: older schedules of theirs are to go
}

func newScheduler(b *Broker) *scheduler {
	return &scheduler{b: b, kick: make(chan struct{}, 1), calls: make(chan func()), low: math.MaxInt64, next: math.MaxInt64}
}

// recover takes up the destination that the catalog names: anything may be due.
func (s *scheduler) recover(d store.DestID) {
	s.dest.Store(uint32(d))
	s.low, s.next = 0, 0
}

func (s *scheduler) id() store.DestID { return store.DestID(s.dest.Load()) }

// makeDest returns the scheduler's destination and makes it when there is none.
func (s *scheduler) makeDest() (store.DestID, error) {
	if id := s.id(); id != 0 {
		return id, nil
	}
	b := s.b
	b.destMu.Lock()
	defer b.destMu.Unlock()
	if id := s.id(); id != 0 {
		return id, nil
	}
	id := binary.BigEndian.AppendUint32(nil, b.nextDest+1)
	put := &store.Batch{Lazy: true, Done: func(*store.Batch, error) {}}
	put.Put(catalogNext, id)
	put.Put(catalogSchedule, id)
	if err := b.store.Append(put); err != nil { // under the lock, as for queues
		return 0, b.storeError(err)
	}
	b.nextDest++
	s.dest.Store(b.nextDest)
	return s.id(), nil
}

// refs are the references of a job.
func (s *scheduler) refs(j *job, due int64) []store.NewRef {
	refs := make([]store.NewRef, 1, 2)
	refs[0] = store.NewRef{Dest: s.id(), Lane: jobLane, Overlay: j.encode(), Expiry: dueBase + due, OwnExpiry: true}
	if j.key != "" {
		refs = append(refs, store.NewRef{Dest: s.id(), Lane: keyLane, Overlay: []byte(j.key), Expiry: keyPlace(j.key), OwnExpiry: true})
	}
	return refs
}

// keyPlace is where a key is in the index of expiries.
func keyPlace(key string) int64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	return keyBase + int64(h.Sum64()>>2)
}

// keyRef is the reference that leads from a job's key to the job.
func keyRef(job store.Ref) store.Ref {
	return store.Ref{Dest: job.Dest, Lane: keyLane, Seq: job.Seq + 1}
}

// jobRef is the inverse of keyRef.
func jobRef(key store.Ref) store.Ref {
	return store.Ref{Dest: key.Dest, Lane: jobLane, Seq: key.Seq - 1}
}

// enqueue stores a message with its schedule and returns the index of its reference.
func (s *scheduler) enqueue(sb *store.Batch, m *Message, p *plan) int {
	return sb.Enqueue(store.Message{ID: m.id, Flags: store.Flags(m.Flags()), Encoded: m.enc}, s.refs(&p.job, p.due)...)
}

// remove takes a job out.
func (s *scheduler) remove(sb *store.Batch, r *store.Stored, j *job) {
	sb.Remove(r.Ref, r.Loc)
	if j.key != "" {
		sb.Remove(keyRef(r.Ref), r.Loc)
	}
}

// committed notes what a Work scheduled. It runs on the store's commit goroutine.
func (s *scheduler) committed(w *workSchedule, sb *store.Batch) {
	for _, x := range w.sent {
		x.m.id = uint64(sb.Seq(x.ref))
	}
	s.mu.Lock()
	s.low = min(s.low, w.due)
	wake := w.due < s.next || len(w.names) > 0
	s.next = min(s.next, w.due)
	if len(s.replaced)+len(w.names) <= maxReplaced {
		s.replaced = append(s.replaced, w.names...)
	}
	s.mu.Unlock()
	if wake {
		s.wake()
	}
}

func (s *scheduler) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// run returns when the broker stops. What is due later is in the store.
func (s *scheduler) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var due <-chan time.Time
		if wait := s.pass(); wait >= 0 {
			timer.Reset(wait)
			due = timer.C
		}
		select {
		case <-s.b.stop:
			return
		case fn := <-s.calls:
			fn()
		case <-s.kick:
		case <-due:
		}
	}
}

// call runs fn on the scheduler's goroutine and waits for it.
func (s *scheduler) call(fn func() error) error {
	done := make(chan error, 1)
	select {
	case s.calls <- func() { done <- fn() }:
		return <-done
	case <-s.b.stop:
		return Errorf(CodeClosing, "the broker is shutting down")
	}
}

// interrupted lets calls in between two batches, when those on their way are on disk, and reports whether the broker
// stops.
func (s *scheduler) interrupted(ahead *flushes) bool {
	select {
	case <-s.b.stop:
		return true
	case fn := <-s.calls:
		if err := ahead.wait(0); err != nil {
			*ahead = append(*ahead, failedFlush(err)) // for who fires
		}
		fn()
	default:
	}
	return false
}

func failedFlush(err error) chan error {
	done := make(chan error, 1)
	done <- err
	return done
}

// pass delivers what is due and returns how long to wait until the next look, negative
// if nothing was ever scheduled.
func (s *scheduler) pass() time.Duration {
	if s.id() == 0 {
		return -1
	}
	s.dropReplaced()
	now := s.b.now().UnixMilli()
	s.mu.Lock()
	from, next := s.low, s.next
	if next > now {
		s.mu.Unlock()
		return s.nap(next, now)
	}
	s.low, s.next = math.MaxInt64, math.MaxInt64 // lowered by who schedules meanwhile
	s.mu.Unlock()
	err := s.fireUpTo(from, now)
	if err == nil {
		next, err = s.lookAhead(now)
	}
	low := now + 1
	if err != nil {
		low, next = from, now+time.Second.Milliseconds()
		if !errors.Is(err, store.ErrClosed) && !isClosing(err) {
			s.b.log.Error("scheduled messages cannot be delivered; trying again", "after", time.Second, "err", err)
		}
	}
	s.mu.Lock()
	s.low, s.next = min(s.low, low), min(s.next, next)
	next = s.next
	s.mu.Unlock()
	return s.nap(next, s.b.now().UnixMilli())
}

func isClosing(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == CodeClosing
}

func (s *scheduler) nap(next, now int64) time.Duration {
	return min(time.Duration(max(next-now, 0))*time.Millisecond, schedulerNap)
}

// lookAhead returns when the next job is due, or when to look again.
func (s *scheduler) lookAhead(now int64) (int64, error) {
	horizon := now + lookAhead.Milliseconds()
	cursor := store.ExpiryCursor(dueBase + now + 1)
	for { // a page may have nothing but what has just been removed
		list, next, err := s.b.store.Expired(nil, dueBase+horizon, cursor, 8)
		switch {
		case err != nil:
			return 0, err
		case len(list) > 0:
			return list[0].Expiry - dueBase, nil
		case next == nil:
			return horizon, nil
		}
		cursor = next
	}
}

// flushes are batches on their way to the disk, oldest first.
type flushes []chan error

// wait waits until at most n are left and returns the first error; then none is left.
func (f *flushes) wait(n int) error {
	for len(*f) > n {
		err := <-(*f)[0]
		if *f = (*f)[1:]; err != nil {
			_ = f.wait(0) // what came behind it is delivered, or found again by the next pass
			return err
		}
	}
	return nil
}

// fireUpTo delivers what is due from one time to another, in order. While one batch is written the next is read.
func (s *scheduler) fireUpTo(from, to int64) (err error) {
	var ahead flushes
	defer func() { err = cmp.Or(err, ahead.wait(0)) }()
	cursor := store.ExpiryCursor(dueBase + from)
	for {
		list, next, err := s.b.store.Expired(nil, dueBase+to, cursor, fireBatch)
		if err != nil {
			return err
		}
		for len(list) > 0 {
			n, err := s.fire(list, &ahead)
			if err != nil {
				return err
			}
			list = list[n:]
			if s.interrupted(&ahead) {
				return store.ErrClosed
			}
		}
		if cursor = next; cursor == nil {
			return nil
		}
	}
}

// fire hands the delivery of the first few of some jobs to the store, in one batch, and returns how many.
func (s *scheduler) fire(list []store.Stored, ahead *flushes) (int, error) {
	w := s.work()
	now := s.b.now().UnixMilli()
	n := 0
	for n < len(list) && w.size < fireBytes {
		err := s.fireJob(w, &list[n], now)
		if err == errLater {
			err = s.flushAhead(w, ahead)
			return n, cmp.Or(err, ahead.wait(0))
		}
		if err != nil {
			w.drop()
			return 0, err
		}
		n++
	}
	return n, s.flushAhead(w, ahead)
}

// flushAhead is flush that waits for an earlier batch, if too many are on their way.
func (s *scheduler) flushAhead(w *Work, ahead *flushes) error {
	done := make(chan error, 1)
	w.Flush(func(err error) { done <- err })
	*ahead = append(*ahead, done)
	return ahead.wait(fireAhead)
}

// work is a Work in which nothing becomes visible before it is on disk.
func (s *scheduler) work() *Work {
	w := s.b.internalWork()
	w.lazy, w.atomic = false, true
	return w
}

func (s *scheduler) flush(w *Work) error {
	done := make(chan error, 1)
	w.Flush(func(err error) { done <- err })
	return <-done
}

// commit appends a batch of the scheduler's own and waits for it.
func (s *scheduler) commit(fill func(sb *store.Batch)) error {
	done := make(chan error, 1)
	sb := &store.Batch{Done: func(_ *store.Batch, err error) { done <- err }}
	fill(sb)
	if err := s.b.store.Append(sb); err != nil {
		return s.b.storeError(err)
	}
	if err := <-done; err != nil {
		return s.b.storeError(err)
	}
	return nil
}

// barrier waits until all that was handed to the store before is committed.
func (s *scheduler) barrier() error {
	return s.commit(func(sb *store.Batch) { sb.Remove(store.Ref{Dest: s.id(), Lane: keyLane}, store.Loc{}) })
}
