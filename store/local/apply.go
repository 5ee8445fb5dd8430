package local

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"treadmq/store"
	"treadmq/store/index"
	"treadmq/store/journal"
)

// applier applies committed operations to the tail. Its methods run on the commit
// goroutine (or during Open) with tail.mu held.
type applier struct {
	*tail
	index *index.Index
}

// placed says where the record of a new reference is and how big.
type placed struct {
	body   store.Loc
	crc    uint32
	pos    store.Position // of the record
	length uint32         // of the record
}

// share is how many bytes of a record each of n references keeps alive.
func share(length uint32, n int) uint32 { return uint32((uint64(length) + uint64(n) - 1) / uint64(n)) }

func (t *applier) enqueue(m *store.Message, refs []store.NewRef, first store.Seq, at placed) {
	id := m.ID
	if id == 0 {
		id = uint64(first)
	}
	for i := range refs {
		t.add(&refs[i], entry{
			seq: first + store.Seq(i), pos: at.body.Pos, id: id, expiry: m.Expiry, size: at.body.Size, crc: at.crc,
			share: share(at.length, len(refs)), flags: m.Flags,
		})
		if m.DedupKey != "" {
			t.addKey(&refs[i], m.DedupKey, first+store.Seq(i))
		}
	}
}

func (t *applier) add(r *store.NewRef, e entry) {
	l := t.lane(r.Dest, r.Lane)
	g := t.touch(l)
	e.attempts = r.Attempts
	if r.OwnExpiry {
		e.expiry = r.Expiry
	}
	if len(r.Overlay) > 0 {
		if g.overlays == nil {
			g.overlays = map[store.Seq][]byte{}
		}
		g.overlays[e.seq] = slices.Clone(r.Overlay)
		e.bits |= entryOverlay
	}
	g.entries = append(g.entries, e)
	l.count.Refs++
	l.count.Bytes += int64(e.size)
	if e.expiry > 0 {
		t.act.expiring = append(t.act.expiring, index.Entry{Ref: store.Ref{Dest: r.Dest, Lane: r.Lane, Seq: e.seq}, Expiry: e.expiry})
	}
	t.act.refs++
	t.nextSeq = max(t.nextSeq, e.seq+1)
}

// current returns a live reference as of now.
func (t *applier) current(r store.Ref) (index.Entry, error) {
	e, where := t.inMemory(r)
	if where == nowhere {
		return e, store.ErrNotFound
	}
	if where == inIndex {
		found, err := t.index.Find(r)
		if err != nil {
			return e, err
		}
		t.overlayChanges(t.peek(r.Dest, r.Lane), &found)
		return found, nil
	}
	return e, nil
}

// Where inMemory found a reference.
const (
	nowhere = iota // it is certainly not alive
	inTail         // here it is
	inIndex        // only the index can tell
)

// inMemory looks a reference up without the index.
func (t *tail) inMemory(r store.Ref) (index.Entry, int) {
	l := t.peek(r.Dest, r.Lane)
	if l == nil {
		return index.Entry{}, nowhere
	}
	if e := l.act.find(r.Seq); e != nil {
		if e.bits&entryDead != 0 {
			return index.Entry{}, nowhere
		}
		return l.act.toIndex(l.id, e), inTail
	}
	if l.act.removed(r.Seq) || l.frz.removed(r.Seq) || t.hidden(r.Dest, r.Seq) {
		return index.Entry{}, nowhere
	}
	if e := l.frz.find(r.Seq); e != nil {
		if e.bits&entryDead != 0 {
			return index.Entry{}, nowhere
		}
		found := l.frz.toIndex(l.id, e)
		t.overlayChanges(l, &found)
		return found, inTail
	}
	if l.keys == 0 || r.Seq < l.low {
		return index.Entry{}, nowhere
	}
	return index.Entry{}, inIndex
}

// overlayChanges applies what happened since to an entry of the index or the frozen generation.
func (t *tail) overlayChanges(l *lane, e *index.Entry) {
	if c, ok := l.frz.change(e.Seq); ok {
		c.applyTo(e)
	}
	if c, ok := l.act.change(e.Seq); ok {
		c.applyTo(e)
	}
}

// link makes references to the message of another; id is theirs, 0 for the message's.
func (t *applier) link(from store.Ref, id uint64, hint *journal.Record, refs []store.NewRef, first store.Seq, at placed) error {
	e, err := t.current(from)
	if errors.Is(err, store.ErrNotFound) {
		if hint == nil || hint.Body.Size == 0 || !t.rebuilding {
			return nil
		}
		e = index.Entry{Pos: hint.Body.Pos, Size: hint.Body.Size, CRC: hint.CRC, ID: hint.Message.ID, Flags: hint.Message.Flags, Expiry: hint.Message.Expiry}
	} else if err != nil {
		return fmt.Errorf("link from %s: %w", from, err)
	}
	for i := range refs {
		t.add(&refs[i], entry{
			seq: first + store.Seq(i), pos: e.Pos, refPos: at.pos, id: cmp.Or(id, e.ID), expiry: e.Expiry, size: e.Size, crc: e.CRC,
			share: share(e.Size, len(refs)), own: share(at.length, len(refs)), flags: e.Flags,
		})
	}
	return nil
}

// remove takes a reference away. size is that of its message if the caller knows, else 0.
func (t *applier) remove(r store.Ref, size uint32) error {
	l := t.peek(r.Dest, r.Lane)
	if l == nil {
		return nil
	}
	if e := l.act.find(r.Seq); e != nil {
		if e.bits&entryDead == 0 {
			l.count.Refs--
			l.count.Bytes -= int64(e.size)
			t.act.refs--
			l.act.kill(e)
		}
		return nil
	}
	e, where := t.inMemory(r)
	switch {
	case where == nowhere:
		return nil
	case where == inTail:
		size = e.Size
	case size == 0 && !t.replaying:
		e, err := t.index.Find(r)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("remove %s: %w", r, err)
		}
		size = e.Size
	}
	t.touch(l).setChange(r.Seq, change{bits: changeRemoved, size: size})
	l.count.Refs--
	l.count.Bytes -= int64(size)
	t.act.refs++
	return nil
}

// alter changes a live reference: in place if it is of this generation, else as a change.
func (t *applier) alter(r store.Ref, inPlace func(*entry), asChange func(*change)) {
	l := t.peek(r.Dest, r.Lane)
	if l == nil {
		return
	}
	if e := l.act.find(r.Seq); e != nil {
		inPlace(e)
		return
	}
	if _, where := t.inMemory(r); where == nowhere {
		return
	}
	c, ok := l.act.change(r.Seq)
	if !ok {
		t.act.refs++
	}
	asChange(&c)
	t.touch(l).setChange(r.Seq, c)
}

func (t *applier) attempts(r store.Ref, n uint32) {
	t.alter(r, func(e *entry) { e.attempts = n }, func(c *change) {
		c.bits |= changeAttempts
		c.attempts = n
	})
}

// move applies an OpMove: the message of some references, or only their own
// records, are now elsewhere.
func (t *applier) move(refs []journal.Moved, at placed, withBody bool) error {
	for i := range refs {
		to := change{pos: at.body.Pos, share: share(at.length, len(refs)), bits: changeMoved}
		if !withBody {
			e, err := t.current(refs[i].Ref)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return fmt.Errorf("move %s: %w", refs[i].Ref, err)
			}
			to.pos, to.share = e.Pos, e.Share
			to.refPos, to.own = at.pos, share(at.length, len(refs))
		}
		t.alter(refs[i].Ref, func(e *entry) {
			e.pos, e.share, e.refPos, e.own = to.pos, to.share, to.refPos, to.own
		}, func(c *change) {
			c.bits |= changeMoved
			c.pos, c.share, c.refPos, c.own = to.pos, to.share, to.refPos, to.own
		})
	}
	return nil
}

func (t *applier) setMark(r store.Ref) {
	l := t.lane(r.Dest, r.Lane)
	if r.Seq > l.mark {
		t.touch(l)
		l.mark = r.Seq
	}
}

func (t *applier) put(key string, value []byte) {
	t.catalog[key] = value
	t.act.catalog[key] = value
}

func (t *applier) delete(key string) {
	delete(t.catalog, key)
	t.act.catalog[key] = nil
}

// purge hides everything of a destination up to upto, except keep.
func (t *applier) purge(d store.DestID, upto store.Seq, keep []store.Seq) error {
	p := &purge{dest: d, upto: upto, keep: slices.Clone(keep)}
	slices.Sort(p.keep)
	p.keep = slices.Compact(p.keep)
	for n := range store.Lane(store.Lanes) {
		if l := t.peek(d, n); l != nil {
			if err := t.purgeLane(l, p); err != nil {
				return fmt.Errorf("purge destination %d: %w", d, err)
			}
		}
	}
	t.addPurge(p)
	t.act.purges = append(t.act.purges, p)
	return nil
}

// addPurge adds p. A second one with the same upto replaces the first: what both keep is kept.
func (t *tail) addPurge(p *purge) {
	ps := t.purges[p.dest]
	for i, q := range ps {
		if q.upto == p.upto {
			p.keep = slices.DeleteFunc(p.keep, q.hides)
			ps[i] = p
			return
		}
	}
	t.purges[p.dest] = append(ps, p)
}

// purgeLane counts what of a lane survives a purge and kills the entries of this generation.
func (t *applier) purgeLane(l *lane, p *purge) error {
	g := t.touch(l)
	var left store.Count
	keep := func(size uint32) {
		left.Refs++
		left.Bytes += int64(size)
	}
	for i := g.head; i < len(g.entries); i++ {
		e := &g.entries[i]
		if e.bits&entryDead != 0 {
			continue
		}
		if p.hides(e.seq) {
			e.bits |= entryDead
			t.act.refs--
		} else {
			keep(e.size)
		}
	}
	if l.frz != nil {
		for i := l.frz.head; i < len(l.frz.entries); i++ {
			e := &l.frz.entries[i]
			if e.bits&entryDead == 0 && !p.hides(e.seq) && !g.removed(e.seq) && !t.hidden(l.id.Dest, e.seq) {
				keep(e.size)
			}
		}
	}
	err := t.survivors(l, p, keep)
	l.count, l.recounted = left, l.frz != nil
	for seq, c := range g.changes {
		c.bits |= changeCounted
		g.changes[seq] = c
	}
	return err
}

// survivors calls keep for each reference of a lane that only the index has and
// that a purge leaves alive.
func (t *applier) survivors(l *lane, p *purge, keep func(size uint32)) error {
	if l.keys == 0 {
		return nil
	}
	see := func(e *index.Entry) {
		if _, where := t.inMemory(e.Ref); where == inIndex {
			keep(e.Size)
		}
	}
	for _, seq := range p.keep {
		if seq > p.upto {
			continue
		}
		e, err := t.index.Find(store.Ref{Dest: l.id.Dest, Lane: l.id.Lane, Seq: seq})
		if err == nil {
			see(&e)
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	if p.upto+1 >= t.indexSeq { // nothing in the index is behind the purge
		return nil
	}
	it := t.index.Refs(l.id.Dest, l.id.Lane, p.upto+1, t.indexSeq)
	for it.Next() {
		see(it.Entry())
	}
	return it.Close()
}

func (t *applier) drop(d store.DestID, upto store.Seq) error {
	if err := t.purge(d, upto, nil); err != nil {
		return err
	}
	for n := range store.Lane(store.Lanes) {
		if l := t.peek(d, n); l != nil {
			t.touch(l)
			l.mark = 0
		}
	}
	return nil
}

// record applies a record that was read from the journal. It shares nothing with it.
func (t *applier) record(r *journal.Record) error {
	at := placed{body: r.Body, crc: r.CRC, pos: r.Pos, length: r.Len}
	switch r.Kind {
	case store.OpEnqueue:
		t.enqueue(&r.Message, r.Refs, r.Seq, at)
	case store.OpLink:
		return t.link(r.Ref, r.Message.ID, r, r.Refs, r.Seq, at)
	case store.OpRemove:
		return t.remove(r.Ref, 0)
	case store.OpAttempts:
		t.attempts(r.Ref, r.N)
	case store.OpMark:
		t.setMark(r.Ref)
	case store.OpPurge:
		return t.purge(r.Ref.Dest, r.Ref.Seq, r.Keep)
	case store.OpDrop:
		return t.drop(r.Ref.Dest, r.Ref.Seq)
	case store.OpPut:
		t.put(string(r.Key), slices.Clone(r.Value))
	case store.OpDelete:
		t.delete(string(r.Key))
	case store.OpMove:
		return t.move(r.Moved, at, r.Message.Encoded != nil)
	case store.OpCatalog:
		if t.rebuilding {
			t.restore(r.Meta)
		}
	case store.OpEpochStart:
		t.epochs = t.epochs.Add(r.Epoch, r.Pos-journal.HeaderSize) // it is the first of its batch
	}
	return nil // OpPrepare and OpOutcome have no effect yet
}
