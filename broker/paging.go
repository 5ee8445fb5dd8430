package broker

import (
	"errors"
	"time"

	"treadmq/store"
)

// Bounds of one read of paged messages.
const (
	loadRefs     = 4096
	loadBytes    = 1 << 20
	loadBytesMin = 64 << 10 // also when the memory is used up, so that every queue moves
	loadLow      = 1024     // a paged lane with fewer entries in memory is loaded
	loadBodiesN  = 64
	loadRetry    = 5 * time.Second
)

func (b *Broker) storeOf(src source) store.Store {
	if src == transient {
		return b.temp
	}
	return b.store
}

// loadMore starts reading what consumers will want soon. q.mu is held.
func (q *queue) loadMore() {
	if q.paged == 0 || (!q.loadErr.IsZero() && q.b.now().Before(q.loadErr)) {
		return
	}
	for src := range sources {
		for l := range store.Lanes {
			ln := &q.lanes[src][l]
			if ln.paged && !ln.loading && ln.window() < loadLow {
				ln.loading = true
				q.b.spawn(func() { q.load(ln, src, store.Lane(l)) })
			}
		}
	}
}

// load reads the next references of a paged lane with their messages.
func (q *queue) load(ln *lane, src source, l store.Lane) {
	b := q.b
	b.loaders <- struct{}{}
	defer func() { <-b.loaders }()
	q.mu.Lock()
	q.reads++
	after, known := ln.pagedAfter, ln.maxSeq
	room := min(q.policy.Load().MemoryLimit-q.mem.Load(), b.memLimit-b.mem.Load(), loadBytes)
	q.mu.Unlock()
	refs, more, err := b.read(src, q.id, l, after, loadRefs, int(max(room, loadBytesMin)))

	var k wakes
	q.mu.Lock()
	ln.loading = false
	switch {
	case q.deleted.Load():
	case ln.pagedAfter != after: // purged meanwhile: what was read is gone
	case err != nil:
		q.loadFailed(err)
	default:
		q.loadErr = time.Time{}
		q.loaded(ln, src, refs, more, known)
	}
	q.readDone()
	q.dispatch(&k)
	q.mu.Unlock()
	k.flush()
}

// read loads references with their messages. Where the disk damaged some, it
// reads one by one: those come without a message.
func (b *Broker) read(src source, d store.DestID, l store.Lane, after store.Seq, refs, bytes int) ([]store.Stored, bool, error) {
	st := b.storeOf(src)
	list, more, err := st.Load(nil, d, l, after, refs, bytes)
	if !errors.Is(err, store.ErrCorrupt) {
		return list, more, err
	}
	if list, more, err = st.Load(nil, d, l, after, min(refs, loadBodiesN), 0); err != nil {
		return nil, false, err
	}
	for i := range list {
		r := &list[i]
		if r.Message, err = st.Read(r.Loc); err == nil {
			continue
		}
		if !errors.Is(err, store.ErrCorrupt) {
			return nil, false, err
		}
		b.log.Error("a message is damaged on disk and cannot be delivered; it stays in the store, and purging its queue removes it",
			"dest", uint32(d), "ref", r.Ref.String(), "pos", uint64(r.Pos), "err", err)
	}
	return list, more, nil
}

// loaded takes what load read into memory. q.mu is held.
func (q *queue) loaded(ln *lane, src source, refs []store.Stored, more bool, known store.Seq) {
	for i := range refs {
		r := &refs[i]
		if r.Seq > known {
			more = true // committed, but not yet announced: it comes the ordinary way or next time
			break
		}
		ln.pagedAfter = r.Seq
		if _, taken := q.out[r.Seq]; taken {
			continue
		}
		if r.Message == nil {
			continue // damaged
		}
		e, err := q.stored(r, src)
		if err != nil {
			q.b.log.Error("a stored message cannot be decoded and is left out", "dest", q.dest.String(), "pos", uint64(r.Pos), "err", err)
			continue
		}
		q.enlist(e)
		if ln.ready.insert(e) {
			q.charge(e)
		} else if e.grp != nil {
			q.groupChanged(e.grp)
		}
	}
	if !more {
		ln.pagedAfter = max(ln.pagedAfter, known)
	}
	if ln.index != nil {
		ln.index.trim(ln.pagedAfter)
	}
	if !more && ln.maxSeq == known {
		ln.paged = false
		ln.unindex()
		q.paged--
		q.sweepGroups()
		if ln.ready.len() > 0 {
			q.rewind(ln.ready.first()) // all is in memory now: selectors look at it once more
		}
	}
}

// stored makes an entry of a reference that was read.
func (q *queue) stored(r *store.Stored, src source) (*entry, error) {
	e := &entry{seq: r.Seq, loc: r.Loc, id: r.ID, expiry: r.Expiry, overlay: r.Overlay, attempts: r.Attempts,
		size: r.Size, lane: r.Lane, src: src, stored: true}
	if src == durable && e.attempts == 0 && r.Seq <= q.lanes[src][r.Lane].recovered {
		e.attempts = 1
	}
	if r.Message != nil {
		m, err := DecodeMessage(r.Message, r.ID)
		if err != nil {
			return nil, err
		}
		e.msg = m
	}
	return e, nil
}

func (q *queue) loadFailed(err error) {
	if errors.Is(err, store.ErrClosed) {
		return
	}
	q.b.log.Error("messages cannot be read from the store; trying again", "dest", q.dest.String(), "after", loadRetry, "err", err)
	q.loadErr = q.b.now().Add(loadRetry)
	q.b.timers.call(q.loadErr, func() {
		var k wakes
		q.mu.Lock()
		q.loadErr = time.Time{}
		q.dispatch(&k)
		q.mu.Unlock()
		k.flush()
	})
}

// loadBodies reads the messages of entries from one on that came back without
// theirs. q.mu is held.
func (q *queue) loadBodies(ln *lane, from int) {
	if ln.loading || (!q.loadErr.IsZero() && q.b.now().Before(q.loadErr)) {
		return
	}
	var want []*entry
	for _, e := range ln.ready.all()[from:] {
		if e.msg != nil || len(want) == loadBodiesN {
			break
		}
		want = append(want, e)
	}
	ln.loading = true
	q.b.spawn(func() {
		var k wakes
		bodies := make([]*Message, len(want))
		var failed error
		for i, e := range want {
			m, err := q.b.readBody(q, e)
			if errors.Is(err, store.ErrCorrupt) {
				q.b.log.Error("a message is damaged on disk and cannot be delivered again; it stays in the store", "dest", q.dest.String(), "pos", uint64(e.loc.Pos), "err", err)
			} else if err != nil && !errors.Is(err, store.ErrNotFound) {
				failed = err
				break
			}
			bodies[i] = m
		}
		q.mu.Lock()
		ln.loading = false
		for i, e := range want {
			q.gotBody(ln, e, bodies[i], failed != nil)
		}
		if failed != nil {
			q.loadFailed(failed)
		}
		q.dispatch(&k)
		q.mu.Unlock()
		k.flush()
	})
}

func (q *queue) gotBody(ln *lane, e *entry, m *Message, failed bool) {
	if i := ln.ready.search(e.seq); i >= ln.ready.len() || ln.ready.all()[i] != e || e.msg != nil {
		return
	}
	switch {
	case m != nil:
		e.msg = m
		q.charge(e)
		if e.grp == nil {
			if q.enlist(e); e.grp != nil {
				e.grp.ready++
			}
		}
	case !failed:
		ln.ready.take(e.seq) // the store no longer has it
		q.forget(e)
	}
}

// body returns the message of an entry, from memory or the store. The entry is
// the caller's alone.
func (b *Broker) body(q *queue, e *entry) (*Message, error) {
	if e.msg != nil {
		return e.msg, nil
	}
	return b.readBody(q, e)
}

// readBody reads the message of an entry from the store. It looks only at what
// never changes in an entry, so that no lock is needed.
func (b *Broker) readBody(q *queue, e *entry) (*Message, error) {
	st := b.storeOf(e.src)
	loc := e.loc
	for range 3 {
		enc, err := st.Read(loc)
		if err == nil {
			return DecodeMessage(enc, e.id)
		}
		if !errors.Is(err, store.ErrMoved) {
			return nil, err
		}
		found, err := st.Find(q.ref(e))
		if err != nil {
			return nil, err
		}
		loc = found.Loc
	}
	return nil, store.ErrMoved
}
