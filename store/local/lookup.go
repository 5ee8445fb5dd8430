package local

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"treadmq/store"
	"treadmq/store/index"
)

// A look-up reads the index without a lock and the tail with it. When a
// checkpoint or a purge was completed in between (tail.version), what was read of the
// index is out of date and the look-up begins again.

// lookup returns a committed live reference.
func (s *Store) lookup(r store.Ref) (index.Entry, error) {
	t := s.tail
	for {
		t.mu.RLock()
		e, where := t.inMemory(r)
		version := t.version
		t.mu.RUnlock()
		switch where {
		case inTail:
			e.Overlay = slices.Clone(e.Overlay)
			return e, nil
		case nowhere:
			return e, store.ErrNotFound
		}
		e, err := s.index.Find(r)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return e, s.damaged(err)
		}
		if err == nil {
			e.Overlay = slices.Clone(e.Overlay)
		}
		if ok := s.settle(r, &e, version); ok {
			return e, err
		}
	}
}

// settle brings what the index said about a reference up to date, false if it must be read again.
func (s *Store) settle(r store.Ref, e *index.Entry, version uint64) bool {
	t := s.tail
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.version != version {
		return false
	}
	if _, where := t.inMemory(r); where != inIndex {
		return false
	}
	t.overlayChanges(t.peek(r.Dest, r.Lane), e)
	return true
}

func stored(e *index.Entry) store.Stored {
	return store.Stored{
		Ref: e.Ref, Loc: store.Loc{Pos: e.Pos, Size: e.Size}, ID: e.ID, Flags: e.Flags, Expiry: e.Expiry, Attempts: e.Attempts, Overlay: e.Overlay, Key: e.Key,
	}
}

// Find implements store.Store.
func (s *Store) Find(r store.Ref) (store.Stored, error) {
	e, err := s.lookup(r)
	if err != nil {
		return store.Stored{}, fmt.Errorf("find %s: %w", r, err)
	}
	return stored(&e), nil
}

// page is one step of a Load.
type page struct {
	found []index.Entry
	more  bool
}

// Load implements store.Store.
func (s *Store) Load(dst []store.Stored, d store.DestID, n store.Lane, after store.Seq, limit, maxBytes int) ([]store.Stored, bool, error) {
	var p page
	for len(p.found) < limit {
		before := after
		ok, err := s.loadPage(&p, d, n, &after, limit)
		if err != nil {
			return dst, false, s.damaged(fmt.Errorf("load destination %d lane %d: %w", d, n, err))
		}
		if ok && (!p.more || (len(p.found) > 0 && maxBytes > 0)) {
			break
		}
		if ok && after == before {
			break
		}
	}
	if maxBytes <= 0 {
		for i := range p.found {
			dst = append(dst, stored(&p.found[i]))
		}
		return dst, p.more, nil
	}
	return s.loadMessages(dst, p, maxBytes)
}

// loadPage appends live references behind *after to p and moves *after to the last
// one that was looked at. It returns false when the attempt must be made again.
func (s *Store) loadPage(p *page, d store.DestID, n store.Lane, after *store.Seq, limit int) (bool, error) {
	t := s.tail
	t.mu.RLock()
	l := t.peek(d, n)
	version := t.version
	if l == nil {
		t.mu.RUnlock()
		p.more = false
		return true, nil
	}
	keys, low := l.keys, l.low
	t.mu.RUnlock()

	start := len(p.found)
	exhausted := true
	last := *after
	if keys > 0 {
		it := s.index.Refs(d, n, max(*after+1, low), store.Seq(1<<64-1))
		for it.Next() {
			if len(p.found) == limit {
				exhausted = false
				break
			}
			e := *it.Entry()
			e.Overlay = slices.Clone(e.Overlay)
			p.found = append(p.found, e)
			last = e.Seq
		}
		if err := it.Close(); err != nil {
			return false, err
		}
	}
	if !s.mergeTail(p, start, laneID{Dest: d, Lane: n}, version, exhausted, &last, limit) {
		p.found = p.found[:start]
		return false, nil
	}
	*after = last
	return true, nil
}

// mergeTail drops from p.found[start:] what is no longer alive and, if the index
// was read to its end, appends what only the tail has.
func (s *Store) mergeTail(p *page, start int, id laneID, version uint64, exhausted bool, last *store.Seq, limit int) bool {
	t := s.tail
	t.mu.RLock()
	defer t.mu.RUnlock()
	l := t.lanes[id]
	if t.version != version || l == nil {
		return t.version == version && start == len(p.found)
	}
	kept := p.found[:start]
	for _, e := range p.found[start:] {
		if _, where := t.inMemory(e.Ref); where == nowhere {
			continue
		}
		t.overlayChanges(l, &e)
		kept = append(kept, e)
	}
	p.found, p.more = kept, !exhausted
	if !exhausted {
		return true
	}
	for _, g := range [...]*laneGen{l.frz, l.act} {
		if g == nil || p.more {
			continue
		}
		for i := g.after(*last); i < len(g.entries); i++ {
			e := &g.entries[i]
			if e.bits&entryDead != 0 {
				continue
			}
			x := g.toIndex(id, e)
			if g == l.frz {
				if l.act.removed(e.seq) || t.hidden(id.Dest, e.seq) {
					continue
				}
				t.overlayChanges(l, &x)
			}
			if len(p.found) == limit {
				p.more = true
				break
			}
			x.Overlay = slices.Clone(x.Overlay)
			p.found = append(p.found, x)
			*last = e.seq
		}
	}
	return true
}

// Expired implements store.Store.
func (s *Store) Expired(dst []store.Stored, now int64, cursor []byte, limit int) ([]store.Stored, []byte, error) {
	if limit <= 0 {
		return dst, cursor, nil
	}
	for {
		s.tail.mu.RLock()
		version := s.tail.version
		s.tail.mu.RUnlock()
		found, err := s.index.Expiring(nil, now, cursor, limit)
		if err != nil {
			return dst, nil, s.damaged(fmt.Errorf("expired references: %w", err))
		}
		full := len(found) == limit
		found, ok := s.mergeExpiring(found, now, cursor, version, limit)
		if !ok {
			continue
		}
		slices.SortFunc(found, compareExpiry)
		if full = full || len(found) > limit; len(found) > limit {
			found = found[:limit]
		}
		var next []byte
		if full && len(found) > 0 {
			last := &found[len(found)-1]
			next = store.AppendExpiryCursor(nil, last.Expiry, last.Ref)
		}
		dst, err = s.fillExpired(dst, found)
		return dst, next, err
	}
}

func compareExpiry(a, b index.Entry) int {
	return cmp.Or(cmp.Compare(a.Expiry, b.Expiry), cmp.Compare(a.Dest, b.Dest), cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Seq, b.Seq))
}

// mergeExpiring appends the tail's expired references behind the cursor. Of many it
// keeps only the first, more than limit if there are more.
func (s *Store) mergeExpiring(found []index.Entry, now int64, cursor []byte, version uint64, limit int) ([]index.Entry, bool) {
	var after index.Entry
	if cursor != nil {
		after.Expiry, after.Ref, _ = store.ParseExpiryCursor(cursor)
	}
	keep := 2*limit + 1 // the index and a frozen generation may both have a reference
	most := max(4*keep, 1024)
	t := s.tail
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.version != version {
		return nil, false
	}
	add := func(g *generation) {
		if g == nil {
			return
		}
		for _, e := range g.expiring {
			if e.Expiry <= now && (cursor == nil || compareExpiry(e, after) > 0) {
				if _, where := t.inMemory(e.Ref); where == nowhere {
					continue
				}
				if found = append(found, e); len(found) > most {
					slices.SortFunc(found, compareExpiry)
					found = found[:keep]
				}
			}
		}
	}
	add(t.frz)
	add(t.act)
	return found, true
}

// fillExpired looks the references up and appends those that are alive, once each.
func (s *Store) fillExpired(dst []store.Stored, found []index.Entry) ([]store.Stored, error) {
	for i := range found {
		if i > 0 && found[i].Ref == found[i-1].Ref {
			continue
		}
		e, err := s.lookup(found[i].Ref)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return dst, err
		}
		dst = append(dst, stored(&e))
	}
	return dst, nil
}

// Catalog implements store.Store.
func (s *Store) Catalog(fn func(key, value []byte) error) error {
	s.tail.mu.RLock()
	catalog := maps.Clone(s.tail.catalog)
	s.tail.mu.RUnlock()
	for _, k := range slices.Sorted(maps.Keys(catalog)) {
		if err := fn([]byte(k), catalog[k]); err != nil {
			return err
		}
	}
	return nil
}

// Counts implements store.Store.
func (s *Store) Counts() map[store.DestID][store.Lanes]store.Count {
	t := s.tail
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := map[store.DestID][store.Lanes]store.Count{}
	for id, l := range t.lanes {
		if l.count != (store.Count{}) {
			n := out[id.Dest]
			n[id.Lane] = l.count
			out[id.Dest] = n
		}
	}
	return out
}

// Mark implements store.Store.
func (s *Store) Mark(d store.DestID, n store.Lane) store.Seq {
	s.tail.mu.RLock()
	defer s.tail.mu.RUnlock()
	if l := s.tail.peek(d, n); l != nil {
		return l.mark
	}
	return 0
}

// NextSeq implements store.Store.
func (s *Store) NextSeq() store.Seq { return store.Seq(s.opts.Seq.Load()) }
