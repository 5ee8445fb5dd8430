package broker

import (
	"slices"

	"treadmq/store"
)

// Bounds of one read of a scan behind the memory window.
const (
	scanRefs  = 1024
	scanBytes = 1 << 20
)

// scan is how far a subscription that cannot take just any message has looked in a queue: up to
// seen[src][lane] every message that was ready did not match, or is held. What
// comes back with a lower number sets it back. Guarded by queue.mu.
type scan struct {
	sub     *Subscription
	seen    [sources][store.Lanes]store.Seq
	reading bool         // a read behind the window is under way
	rewound bool         // was set back while it was reading
	stalled bool         // looks no further behind the window: too many groups are known
	groups  int          // that it owns
	planned *headerIndex // what plan was made for
	plan    *indexPlan
	marking *lane // reads no further before a delivery mark has come to marked
	marked  store.Seq
}

// rewind makes every scan look again at an entry that became ready. q.mu is held.
func (q *queue) rewind(e *entry) {
	for _, sc := range q.scans {
		sc.back(e.src, e.lane, e.seq)
	}
}

// back makes the scan look again from s on.
func (sc *scan) back(src source, l store.Lane, s store.Seq) {
	if seen := &sc.seen[src][l]; *seen >= s {
		*seen = s - 1
		sc.rewound = true
	}
}

// addScan keeps the order of subs. q.mu is held.
func (q *queue) addScan(s *Subscription) *scan {
	i := len(q.scans)
	for i > 0 && q.before(s, q.scans[i-1].sub) {
		i--
	}
	sc := &scan{sub: s}
	q.scans = slices.Insert(q.scans, i, sc)
	return sc
}

func (q *queue) scanOf(s *Subscription) *scan {
	for _, sc := range q.scans {
		if sc.sub == s {
			return sc
		}
	}
	return nil
}

func (q *queue) removeScan(s *Subscription) {
	for i, sc := range q.scans {
		if sc.sub == s {
			q.scans = append(q.scans[:i:i], q.scans[i+1:]...)
			q.abandon(sc)
			return
		}
	}
}

// dispatchSelective serves the subscriptions with selectors, each from where it
// stands, over the whole depth of the queue: memory first, then the store. q.mu
// is held; the head has been offered to everybody.
func (q *queue) dispatchSelective(k *wakes) {
	n := len(q.scans)
	for lo := 0; lo < n; {
		hi := q.peers(lo, n, func(i int) *Subscription { return q.scans[i].sub })
		for i := range hi - lo {
			sc := q.scans[lo+(q.next+i)%(hi-lo)]
			if sc.sub.hasCredit() && (!q.sole || q.subs[0] == sc.sub) {
				q.serveScan(sc, k)
			}
		}
		lo = hi
	}
}

func (q *queue) serveScan(sc *scan, k *wakes) {
	now := q.b.now().UnixMilli()
	for l := range store.Lanes {
		for src := range sources {
			ln := &q.lanes[src][l]
			if !ln.waits() && !sc.reading {
				continue
			}
			if !q.scanMemory(sc, ln, src, store.Lane(l), now, k) {
				return
			}
			if sc.marking == ln && ln.mark < sc.marked {
				return // the mark's commit dispatches
			}
			if ln.paged && !sc.reading && !sc.stalled && q.behind(sc, ln, src, store.Lane(l)) {
				sc.reading = true
				q.b.spawn(func() { q.readScan(sc, ln, src, store.Lane(l)) })
				return // lower lanes wait for what this one holds
			}
			if sc.reading {
				return
			}
		}
	}
}

// behind reports whether a paged lane has something that the scan has not seen, as far as the index over headers tells.
func (q *queue) behind(sc *scan, ln *lane, src source, l store.Lane) bool {
	more, _ := q.ahead(sc, ln, src, l)
	return more
}

// ahead is behind, and says how many references to read; 0: ask again. q.mu is held.
func (q *queue) ahead(sc *scan, ln *lane, src source, l store.Lane) (more bool, refs int) {
	after := max(sc.seen[src][l], ln.pagedAfter)
	if after >= ln.maxSeq {
		return false, 0
	}
	p := q.planOf(sc)
	if p == nil || ln.index == nil {
		return true, scanRefs
	}
	upto, refs := ln.index.next(after, p)
	if upto > after {
		sc.seen[src][l] = min(upto, ln.maxSeq)
	}
	if upto >= ln.maxSeq {
		return false, 0
	}
	return true, refs
}

// scanMemory offers what is in memory and not seen; false = the credit is used
// up or something has to be read first.
func (q *queue) scanMemory(sc *scan, ln *lane, src source, l store.Lane, now int64, k *wakes) bool {
	seen := &sc.seen[src][l]
	for {
		ready := ln.ready.all()
		i := ln.ready.search(*seen + 1)
		if i >= len(ready) {
			return true
		}
		e := ready[i]
		switch {
		case ln.paged && e.seq > ln.pagedAfter:
			return true // came back from behind the window: readScan meets it in its place
		case e.expiry != 0 && e.expiry <= now:
			q.takeOff(e)
			ln.ready.take(e.seq)
			q.expireLater(e)
			continue
		case e.msg == nil:
			q.loadBodies(ln, i)
			return false
		case e.grp != nil && len(ln.spills) > 0 && e.seq >= ln.spills[0]:
			return false // an earlier message of its group may be on its way to the temporary store
		}
		switch q.judge(sc, e) {
		case verdictSkip:
			*seen = e.seq
			continue
		case verdictStop:
			return false
		}
		if e.src == durable && e.seq > ln.mark {
			q.askMark(ln, e.seq)
			return false
		}
		if !sc.sub.offer(q, e, k) {
			return false
		}
		q.takeOff(e)
		ln.ready.take(e.seq)
	}
}

func (s *Subscription) wantsEntry(q *queue, e *entry) bool {
	return s.filter.matches(q.b, e.msg, q.shownDest(e.msg, e.overlay), e.attempts, e.expiry, e.overlay)
}

func (s *Subscription) hasCredit() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.started && !s.closed && s.credit > 0 && s.creditBytes > 0
}

// readScan looks behind the memory window, one bounded read at a time, and takes
// out what matches.
func (q *queue) readScan(sc *scan, ln *lane, src source, l store.Lane) {
	b := q.b
	b.loaders <- struct{}{}
	defer func() { <-b.loaders }()
	var k wakes
	q.mu.Lock()
	n := q.toRead(sc, ln, src, l)
	if n == 0 {
		sc.reading = false
		q.dispatch(&k)
		q.mu.Unlock()
		k.flush()
		return
	}
	q.reads++
	sc.rewound = false
	after, known := max(sc.seen[src][l], ln.pagedAfter), ln.maxSeq
	sc.seen[src][l] = after
	q.mu.Unlock()
	refs, more, err := b.read(src, q.id, l, after, n, scanBytes)

	q.mu.Lock()
	sc.reading = false
	switch {
	case q.deleted.Load():
	case err != nil:
		q.loadFailed(err)
	default:
		q.scanned(sc, ln, src, l, refs, more, known, &k)
	}
	q.readDone()
	q.dispatch(&k)
	q.mu.Unlock()
	k.flush()
}

// toRead returns how many references a scan should read next; 0: none, or the loader was faster, and memory comes
// first. q.mu is held, but let go now and then on a long way through the index.
func (q *queue) toRead(sc *scan, ln *lane, src source, l store.Lane) int {
	for !sc.unseen(ln, src, l) {
		more, refs := q.ahead(sc, ln, src, l)
		if !more || refs > 0 {
			return refs
		}
		q.mu.Unlock()
		q.mu.Lock()
	}
	return 0
}

// unseen reports whether memory holds something of the lane that the scan has not
// looked at, or all of the lane. q.mu is held.
func (sc *scan) unseen(ln *lane, src source, l store.Lane) bool {
	if !ln.paged {
		return true
	}
	i := ln.ready.search(sc.seen[src][l] + 1)
	return i < ln.ready.len() && ln.ready.all()[i].seq <= ln.pagedAfter
}

// scanned offers what was read to the scan's subscription. What is in memory or
// held by now is left alone. q.mu is held.
func (q *queue) scanned(sc *scan, ln *lane, src source, l store.Lane, refs []store.Stored, more bool, known store.Seq, k *wakes) {
	seen := &sc.seen[src][l]
	for i := range refs {
		r := &refs[i]
		if r.Seq > known {
			more = true
			break
		}
		if !ln.paged || r.Seq <= ln.pagedAfter {
			return // the loader was here: memory is looked at first
		}
		if sc.rewound && len(q.groups) > 0 {
			return // what it is to look at again comes before the rest of its group
		}
		if r.Message == nil {
			*seen = max(*seen, r.Seq) // damaged
			continue
		}
		e := q.candidate(ln, r, src)
		verdict := verdictSkip
		if e != nil {
			verdict = q.judge(sc, e)
		}
		if verdict == verdictSkip {
			*seen = max(*seen, r.Seq)
			continue
		}
		if verdict == verdictStop || !q.takeBehind(sc, ln, e, k) {
			return
		}
		*seen = max(*seen, r.Seq)
	}
	if !more && ln.paged {
		*seen = max(*seen, known)
	}
}

// takeBehind gives an entry from behind the window to a scan's subscription if it
// can have it now. q.mu is held.
func (q *queue) takeBehind(sc *scan, ln *lane, e *entry, k *wakes) bool {
	marked := e.src != durable || e.seq <= ln.mark
	if !marked {
		q.askMark(ln, e.seq)
		sc.marking, sc.marked = ln, e.seq
	}
	e.out = true // before the offer: afterwards the entry is the connection's
	if !marked || !sc.sub.offer(q, e, k) {
		if e.grp != nil {
			q.groupChanged(e.grp)
		}
		return false
	}
	q.takeOff(e)
	ln.ready.take(e.seq)
	q.hide(e)
	return true
}

// candidate makes an entry of a reference behind the window: a new one, or the one
// that was taken out and came back. nil: somebody holds it. q.mu is held.
func (q *queue) candidate(ln *lane, r *store.Stored, src source) *entry {
	if _, taken := q.out[r.Seq]; taken {
		i := ln.ready.search(r.Seq)
		if i >= ln.ready.len() || ln.ready.all()[i].seq != r.Seq {
			return nil
		}
		e := ln.ready.all()[i]
		if e.msg == nil {
			if m, err := DecodeMessage(r.Message, r.ID); err == nil {
				e.msg = m
				q.charge(e)
			}
		}
		if e.msg == nil {
			return nil
		}
		return e
	}
	e, err := q.stored(r, src)
	if err != nil {
		return nil
	}
	return e
}

// hide keeps the loader from reading an entry that was taken from behind the
// window. q.mu is held.
func (q *queue) hide(e *entry) {
	if q.out == nil {
		q.out = map[store.Seq]struct{}{}
	}
	q.out[e.seq] = struct{}{}
}
