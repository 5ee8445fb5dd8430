package local

import (
	"cmp"
	"errors"
	"fmt"

	"treadmq/store"
	"treadmq/store/index"
)

// keyID is a key within a lane.
type keyID struct {
	lane laneID
	key  string
}

// addKey gives the reference that was added last its key.
func (t *applier) addKey(r *store.NewRef, key string, seq store.Seq) {
	g := t.lane(r.Dest, r.Lane).act
	if g.keys == nil {
		g.keys = map[store.Seq]string{}
	}
	g.keys[seq] = key
	g.entries[len(g.entries)-1].bits |= entryKeyed
	if t.act.keyed == nil {
		t.act.keyed = map[keyID]store.Seq{}
	}
	t.act.keyed[keyID{laneID{Dest: r.Dest, Lane: r.Lane}, key}] = seq
}

// keyOf returns the key of an entry of g.
func (g *laneGen) keyOf(e *entry) string {
	if e.bits&entryKeyed == 0 {
		return ""
	}
	return g.keys[e.seq]
}

// FindKey implements store.Store.
func (s *Store) FindKey(d store.DestID, l store.Lane, key string) (store.Stored, error) {
	id := keyID{laneID{Dest: d, Lane: l}, key}
	for {
		seq, err := s.keySeq(id)
		if err != nil {
			return store.Stored{}, err
		}
		e, err := s.lookup(store.Ref{Dest: d, Lane: l, Seq: seq})
		switch {
		case err == nil:
			return stored(&e), nil
		case !errors.Is(err, store.ErrNotFound):
			return store.Stored{}, fmt.Errorf("find key of destination %d: %w", d, err)
		}
		if again, err := s.keySeq(id); err != nil || again == seq {
			return store.Stored{}, cmp.Or(err, store.ErrNotFound)
		}
	}
}

// keySeq returns the number of the reference to which a key leads, dead or alive. store.ErrNotFound.
func (s *Store) keySeq(id keyID) (store.Seq, error) {
	t := s.tail
	for {
		t.mu.RLock()
		seq, ok := t.keyedSeq(id)
		version := t.version
		t.mu.RUnlock()
		if ok {
			return seq, nil
		}
		seq, err := s.index.FindKey(id.lane.Dest, id.lane.Lane, id.key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return 0, s.damaged(fmt.Errorf("find key of destination %d: %w", id.lane.Dest, err))
		}
		t.mu.RLock()
		same := t.version == version
		t.mu.RUnlock()
		if same {
			return seq, err
		}
	}
}

// keyedSeq looks a key up without the index.
func (t *tail) keyedSeq(id keyID) (store.Seq, bool) {
	if seq, ok := t.act.keyed[id]; ok {
		return seq, true
	}
	if t.frz == nil {
		return 0, false
	}
	seq, ok := t.frz.keyed[id]
	return seq, ok
}

// deleteRef deletes a reference from the index, and its key unless that leads to a
// newer one. Within a write it comes before what puts references of the same lane.
func (c *checkpointer) deleteRef(e *index.Entry) error {
	c.batch.DeleteRef(e)
	if e.Key == "" {
		return nil
	}
	seq, err := c.store.index.FindKey(e.Dest, e.Lane, e.Key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case seq == e.Seq:
		c.batch.DeleteKey(e)
	}
	return nil
}

// reviveKey lets the key of a reference lead to it again, unless it leads to a newer one.
func (c *checkpointer) reviveKey(e *index.Entry) error {
	if e.Key == "" {
		return nil
	}
	seq, err := c.store.index.FindKey(e.Dest, e.Lane, e.Key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err != nil || seq < e.Seq {
		c.batch.PutKey(e)
	}
	return nil
}
