package local

import (
	"slices"
	"sync"

	"treadmq/store"
	"treadmq/store/index"
	"treadmq/store/journal"
)

type laneID = journal.LaneID

// entry is a reference that was created since the index was last written. It has
// no pointers, so that a long tail costs the collector nothing.
type entry struct {
	seq      store.Seq
	pos      store.Position
	refPos   store.Position
	id       uint64
	expiry   int64
	size     uint32
	crc      uint32
	share    uint32
	own      uint32
	attempts uint32
	flags    store.Flags
	bits     uint8
}

// Bits of an entry.
const (
	entryDead    = 1 << 0 // removed again
	entryOverlay = 1 << 1 // has an overlay in laneGen.overlays
	entryKeyed   = 1 << 2 // has a key in laneGen.keys
)

// change is what happened to a reference that is in the index or in an older generation.
type change struct {
	pos      store.Position
	refPos   store.Position
	attempts uint32
	size     uint32 // of a removed message, as the caller knew it
	share    uint32
	own      uint32
	bits     uint8
}

// Bits of a change.
const (
	changeRemoved  = 1 << 0
	changeAttempts = 1 << 1
	changeMoved    = 1 << 2
	changeCounted  = 1 << 3 // a purge counted the lane anew: this removal corrects nothing
)

// laneGen is what happened to one lane within one generation.
type laneGen struct {
	entries  []entry // in order of seq
	head     int     // entries before it are dead
	overlays map[store.Seq][]byte
	keys     map[store.Seq]string
	changes  map[store.Seq]change

	// Set when the generation is frozen.
	count store.Count
	mark  store.Seq
}

const (
	// maxSpare is how many entries or changes an unused laneGen of a lane may hold on to.
	maxSpare = 4096
	// maxLarge is how many larger ones are kept for whichever lane comes next.
	maxLarge = 2
)

func (g *laneGen) reset() *laneGen {
	if len(g.changes) > maxSpare {
		g.changes = nil // a map never shrinks, nor does the next
	}
	if len(g.overlays) > maxSpare {
		g.overlays = nil
	}
	if len(g.keys) > maxSpare {
		g.keys = nil
	}
	clear(g.changes)
	clear(g.overlays)
	clear(g.keys)
	*g = laneGen{entries: g.entries[:0], overlays: g.overlays, keys: g.keys, changes: g.changes}
	return g
}

// find returns the entry of a sequence number, dead or alive, or nil.
func (g *laneGen) find(seq store.Seq) *entry {
	if g == nil || g.head == len(g.entries) || seq < g.entries[g.head].seq {
		return nil
	}
	if e := &g.entries[g.head]; e.seq == seq {
		return e
	}
	i := g.after(seq - 1)
	if i < len(g.entries) && g.entries[i].seq == seq {
		return &g.entries[i]
	}
	return nil
}

// after returns the index of the first entry behind seq, len(entries) if none.
func (g *laneGen) after(seq store.Seq) int {
	from, to := g.head, len(g.entries)
	for from < to { // slices.BinarySearchFunc would copy each entry it looks at
		middle := int(uint(from+to) / 2)
		if g.entries[middle].seq > seq {
			to = middle
		} else {
			from = middle + 1
		}
	}
	return from
}

func (g *laneGen) change(seq store.Seq) (change, bool) {
	if g == nil || len(g.changes) == 0 {
		return change{}, false
	}
	c, ok := g.changes[seq]
	return c, ok
}

func (g *laneGen) removed(seq store.Seq) bool {
	c, _ := g.change(seq)
	return c.bits&changeRemoved != 0
}

func (g *laneGen) setChange(seq store.Seq, c change) {
	if g.changes == nil {
		g.changes = map[store.Seq]change{}
	}
	g.changes[seq] = c
}

// kill marks an entry of this generation dead.
func (g *laneGen) kill(e *entry) {
	if e.bits&entryOverlay != 0 {
		delete(g.overlays, e.seq)
	}
	if e.bits&entryKeyed != 0 {
		delete(g.keys, e.seq)
	}
	e.bits |= entryDead
	for g.head < len(g.entries) && g.entries[g.head].bits&entryDead != 0 {
		g.head++
	}
	if g.head == len(g.entries) {
		g.entries, g.head = g.entries[:0], 0
	}
}

// lane is one lane of one destination.
type lane struct {
	id    laneID
	count store.Count // as of the commit position
	mark  store.Seq
	act   *laneGen // nil if nothing happened since the last freeze
	frz   *laneGen // being written to the index; not changed any more
	spare *laneGen

	recounted bool // since the freeze: what the frozen generation corrects is already right

	keys int64     // references in the index
	low  store.Seq // none in the index is below

	saved index.Lane // as last written; only for the checkpointer
}

// purge hides the references of a destination up to and including upto, except
// keep. It does not change once made.
type purge struct {
	dest store.DestID
	upto store.Seq
	keep []store.Seq // in order
}

func (p *purge) hides(seq store.Seq) bool {
	if seq > p.upto {
		return false
	}
	_, kept := slices.BinarySearch(p.keep, seq)
	return !kept
}

// generation is everything that was committed between two freezes.
type generation struct {
	lanes    []*lane
	catalog  map[string][]byte // nil value: deleted
	purges   []*purge
	keyed    map[keyID]store.Seq
	expiring []index.Entry // references with an expiry, some of them dead: Ref and Expiry only
	refs     int           // entries and changes

	// Where the generation ends; set when it is frozen.
	state index.State
}

// tail is the committed state that is not in the index yet, and what of the index
// is kept in memory: counts and marks per lane, the catalog, open purges.
type tail struct {
	mu      sync.RWMutex // guards everything below; the commit goroutine changes it, and freeze/thaw
	lanes   map[laneID]*lane
	last    *lane // the lane looked up last
	large   []*laneGen
	act     *generation
	frz     *generation // nil when no checkpoint is under way
	purges  map[store.DestID][]*purge
	catalog map[string][]byte
	epochs  store.EpochList

	version   uint64         // changes whenever frz goes or a purge is complete: what was read of the index before is out of date
	pos       store.Position // commit position that this state reflects
	chain     uint32         // chain value there
	nextSeq   store.Seq      // above every Seq so far
	frozenAt  store.Position // where act begins
	appliedAt store.Position // what the index reflects
	indexSeq  store.Seq      // every Seq in the index is below
	replaying bool           // no look-ups for counts: the checkpoint that follows corrects them

	rebuilding bool // what a record refers to may be in a segment that is gone
}

func newTail() *tail {
	return &tail{
		lanes: map[laneID]*lane{}, act: newGeneration(), purges: map[store.DestID][]*purge{}, catalog: map[string][]byte{},
	}
}

func newGeneration() *generation { return &generation{catalog: map[string][]byte{}} }

// lane returns a lane, made if need be.
func (t *tail) lane(d store.DestID, n store.Lane) *lane {
	id := laneID{Dest: d, Lane: n}
	if t.last != nil && t.last.id == id {
		return t.last
	}
	l := t.lanes[id]
	if l == nil {
		l = &lane{id: id}
		t.lanes[id] = l
	}
	t.last = l
	return l
}

// peek returns a lane or nil. It changes nothing: for readers.
func (t *tail) peek(d store.DestID, n store.Lane) *lane { return t.lanes[laneID{Dest: d, Lane: n}] }

// touch returns the lane's part of the present generation, made if need be.
func (t *tail) touch(l *lane) *laneGen {
	if l.act == nil {
		l.act, l.spare = l.spare, nil
		if n := len(t.large); l.act == nil && n > 0 {
			l.act = t.large[n-1]
			t.large = t.large[:n-1]
		}
		if l.act == nil {
			l.act = &laneGen{}
		}
		t.act.lanes = append(t.act.lanes, l)
	}
	return l.act
}

// retire keeps the laneGen of a lane for reuse.
func (t *tail) retire(l *lane, g *laneGen) {
	g = g.reset()
	switch {
	case cap(g.entries) <= maxSpare && l.spare == nil:
		l.spare = g
	case cap(g.entries) > maxSpare && len(t.large) < maxLarge:
		t.large = append(t.large, g)
	}
}

// hidden reports whether a purge hides a reference of the index or of the frozen generation.
func (t *tail) hidden(d store.DestID, seq store.Seq) bool {
	for _, p := range t.purges[d] {
		if p.hides(seq) {
			return true
		}
	}
	return false
}

// overlayOf returns the overlay of an entry of g.
func (g *laneGen) overlayOf(e *entry) []byte {
	if e.bits&entryOverlay == 0 {
		return nil
	}
	return g.overlays[e.seq]
}

// toIndex turns an entry into an index entry. The overlay is shared.
func (g *laneGen) toIndex(id laneID, e *entry) index.Entry {
	return index.Entry{
		Ref: store.Ref{Dest: id.Dest, Lane: id.Lane, Seq: e.seq}, Pos: e.pos, Size: e.size, CRC: e.crc, Share: e.share,
		RefPos: e.refPos, Own: e.own, ID: e.id, Expiry: e.expiry, Attempts: e.attempts, Flags: e.flags, Overlay: g.overlayOf(e), Key: g.keyOf(e),
	}
}

// applyTo applies a change other than a removal to what the index says.
func (c *change) applyTo(e *index.Entry) {
	if c.bits&changeAttempts != 0 {
		e.Attempts = c.attempts
	}
	if c.bits&changeMoved != 0 {
		e.Pos, e.Share, e.RefPos, e.Own = c.pos, c.share, c.refPos, c.own
	}
}
