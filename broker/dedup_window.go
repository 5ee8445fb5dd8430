package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"treadmq/store"
)

// Ids of messages that are stored are remembered in the store: for each destination
// that was sent some there is a hidden one, in which each id is a reference with a key
// (store.FindKey) in lane 0, in order of time. They are written and removed by the
// same batches as everything else, so they are as durable, and the same on all
// members of a group. In memory is only how many there are, and the latest ids.

// catalogWindow begins the catalog key of a hidden destination: "w", kind u8, name -> id u32.
const catalogWindow = 'w'

// DedupPolicy says how long ids are remembered: as long as they are among the last Count
// of their destination, and not older than Time. Zero means the default.
type DedupPolicy struct {
	Count int64
	Time  time.Duration
}

// Defaults of DedupPolicy.
const (
	DefaultDedupCount = 100_000
	DefaultDedupTime  = 24 * time.Hour
)

// passed reports whether something of a time is too old.
func (p DedupPolicy) passed(at, now int64) bool { return at+p.Time.Milliseconds() <= now }

// window is what is remembered of one destination. Guarded by dedups.mu.
type window struct {
	scope    Destination
	id       store.DestID // 0: nothing in the store
	count    int64        // references there, those on their way included
	low      store.Seq    // what is not above has been taken away
	oldest   int64        // nothing is older, ms since 1970; 0 = not known
	claims   int          // in memory
	used     int64        // ms since 1970
	evicting bool

	from   *func(Destination) Policy // the configuration that policy is of
	policy DedupPolicy
}

// limits returns the policy. dedups.mu is held.
func (w *window) limits(b *Broker) DedupPolicy {
	if from := b.policyFn.Load(); w.from != from {
		p := (*from)(w.scope).Dedup
		if p.Count <= 0 {
			p.Count = DefaultDedupCount
		}
		if p.Time <= 0 {
			p.Time = DefaultDedupTime
		}
		w.from, w.policy = from, p
	}
	return w.policy
}

// window returns what is remembered of a destination, made if need be.
func (b *Broker) window(d Destination) (*window, error) {
	x := &b.dedup
	x.mu.Lock()
	defer x.mu.Unlock()
	w := x.windows[d]
	if w == nil {
		if len(x.windows) >= b.opt.MaxDestinations {
			return nil, Errorf(CodeLimit, "ids of messages are remembered for %d destinations, the most allowed; send without such an id, or try again later", len(x.windows))
		}
		w = &window{scope: d}
		x.windows[d] = w
	}
	w.used = b.now().UnixMilli()
	return w, nil
}

// storeWindow gives a window its place in the store. dedups.order is held.
func (b *Broker) storeWindow(w *window) error {
	x := &b.dedup
	x.mu.Lock()
	id := w.id
	x.mu.Unlock()
	if id != 0 {
		return nil
	}
	b.destMu.Lock()
	defer b.destMu.Unlock()
	value := binary.BigEndian.AppendUint32(nil, b.nextDest+1)
	put := &store.Batch{Lazy: true, Done: func(*store.Batch, error) {}}
	put.Put(catalogNext, value)
	put.Put(w.catalogKey(), value)
	if err := b.store.Append(put); err != nil { // under the lock, as for queues
		return b.storeError(err)
	}
	b.nextDest++
	x.mu.Lock()
	defer x.mu.Unlock()
	w.id = store.DestID(b.nextDest)
	x.byID[w.id] = w
	return nil
}

func (w *window) catalogKey() []byte {
	return append([]byte{catalogWindow, byte(w.scope.Kind)}, w.scope.Name...)
}

// recoverWindow takes up one that the catalog names.
func (b *Broker) recoverWindow(key []byte, id store.DestID) {
	b.nextDest = max(b.nextDest, uint32(id))
	if Kind(key[1]) == producerScope.Kind {
		b.dedup.producer.dest = id
		return
	}
	w := &window{scope: Destination{Kind(key[1]), string(key[2:])}, id: id}
	b.dedup.windows[w.scope], b.dedup.byID[id] = w, w
}

// adoptWindow takes up how much is in the store; false: the destination is none of these.
func (b *Broker) adoptWindow(id store.DestID, lanes *[store.Lanes]store.Count) bool {
	if id == b.dedup.producer.dest {
		return true
	}
	w := b.dedup.byID[id]
	if w != nil {
		w.count = lanes[0].Refs
	}
	return w != nil
}

// findID asks the store for an id.
func (b *Broker) findID(w *window, id string, now int64, limit DedupPolicy) (*claim, error) {
	r, err := b.store.FindKey(w.id, 0, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, b.storeError(fmt.Errorf("look up the id %q: %w", id, err))
	}
	at, back, _, ok := parseEntryInfo(r.Overlay)
	if !ok || limit.passed(at, now) {
		return nil, nil
	}
	return &claim{w: w, key: id, at: at, id: r.ID - back, committed: true}, nil
}

// evictLater lets go of what is beyond a window's limits. dedups.mu is held.
func (b *Broker) evictLater(w *window) {
	if w.evicting || w.id == 0 {
		return
	}
	w.evicting = true
	b.later(func() { b.evict(w) })
}

// evictPage is how many ids one batch takes away.
const evictPage = 512

// evict takes away what is beyond a window's limits. It runs on the broker's own goroutine.
func (b *Broker) evict(w *window) {
	x := &b.dedup
	for again := true; again; {
		x.mu.Lock()
		after, excess, limit := w.low, w.count-w.limits(b).Count, w.policy
		x.mu.Unlock()
		refs, more, err := b.store.Load(nil, w.id, 0, after, evictPage, 0)
		if err != nil {
			if !errors.Is(err, store.ErrClosed) {
				b.log.Error("ids of messages that may be forgotten cannot be read", "dest", w.scope.String(), "err", err)
			}
			again = false
		}
		now := b.now().UnixMilli()
		sb := &store.Batch{Lazy: true, Done: func(*store.Batch, error) {}}
		oldest := int64(0)
		for i := range refs {
			at, _, _, ok := parseEntryInfo(refs[i].Overlay)
			if ok && int64(i) >= excess && !limit.passed(at, now) {
				oldest, more = at, false
				refs = refs[:i]
				break
			}
			sb.Remove(refs[i].Ref, refs[i].Loc)
		}
		if len(refs) > 0 && b.store.Append(sb) != nil {
			refs, more = nil, false // it has failed, or is closed
		}
		x.mu.Lock()
		x.evicted(w, refs)
		w.oldest = oldest
		again = again && more
		w.evicting = again
		x.mu.Unlock()
	}
}

// evicted notes what was taken away. mu is held.
func (x *dedups) evicted(w *window, refs []store.Stored) {
	for i := range refs {
		c := x.recent.by[claimKey{w, refs[i].Key}]
		if at, back, _, ok := parseEntryInfo(refs[i].Overlay); c != nil && ok && c.at == at && c.id == refs[i].ID-back {
			x.recent.remove(c)
		}
		w.low = refs[i].Seq
	}
	w.count -= int64(len(refs))
}

// windowRest is how long a window that remembers nothing is kept.
const windowRest = time.Minute

// sweptWindows is how many windows one sweep looks into at most.
const sweptWindows = 1000

// sweepDedup lets go of what is too old, and of windows that remember nothing.
func (b *Broker) sweepDedup() {
	x := &b.dedup
	now := b.now().UnixMilli()
	var idle []*window
	x.mu.Lock()
	for _, list := range []*claims{&x.recent, &x.volatile} {
		for len(list.list) > 0 && list.list[0].w.limits(b).passed(list.list[0].at, now) && list.drop() {
		}
	}
	n := 0
	for _, w := range x.windows {
		limit := w.limits(b)
		switch {
		case w.count > limit.Count || (w.count > 0 && limit.passed(w.oldest, now)):
			if n++; n <= sweptWindows {
				b.evictLater(w)
			}
		case w.count == 0 && w.claims == 0 && w.used+windowRest.Milliseconds() < now:
			idle = append(idle, w)
		}
	}
	x.mu.Unlock()
	for _, w := range idle {
		b.removeWindow(w)
	}
}

// removeWindow forgets a window that remembers nothing.
func (b *Broker) removeWindow(w *window) {
	x := &b.dedup
	x.order.Lock() // nobody is about to use it
	defer x.order.Unlock()
	x.mu.Lock()
	busy := w.count > 0 || w.claims > 0 || w.evicting || w.used+windowRest.Milliseconds() >= b.now().UnixMilli()
	if !busy {
		delete(x.windows, w.scope)
		delete(x.byID, w.id)
	}
	x.mu.Unlock()
	if busy || w.id == 0 {
		return
	}
	sb := &store.Batch{Lazy: true, Done: func(*store.Batch, error) {}}
	sb.Drop(w.id)
	sb.Delete(w.catalogKey())
	_ = b.store.Append(sb) // if it fails, so does everything else
}
