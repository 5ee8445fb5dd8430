package broker

import (
	"encoding/binary"
	"sync"

	"treadmq/store"
)

// A sender that is not sure whether its message was taken sends it again with the
// same id (Dedup), and it is taken once. What was taken is remembered by destination:
// in the store, as small references of a hidden destination (dedup_window.go), if the
// message is stored, else in memory. The names are those of semantics section 5, 2.

// Bounds of what is remembered.
const (
	// MaxDedupID is the longest id of a message, and the longest name of a producer, in bytes.
	MaxDedupID = 256
	// maxRecent is the default of Options.RecentIDs. Ids on their way to the disk come on top.
	maxRecent = 65_536
)

// Dedup says how a repeat of a message is recognised, and then what came of it: by an
// id of its own, or by a number that grows with each message of a producer.
type Dedup struct {
	ID       string // "" = by Producer and Seq
	Producer string
	Seq      uint64

	duplicate bool
	first     *claim // nil: not known any more
	mark      uint64 // ids that had been claimed when this one was looked up
}

// Duplicate reports, when the send is done, whether the message was a repeat and was
// left out, and the id of the first one, 0 if that is not known any more.
func (d *Dedup) Duplicate() (first uint64, is bool) {
	if !d.duplicate || d.first == nil {
		return 0, d.duplicate
	}
	return d.first.id, true
}

// CheckDedup says what is wrong with an id or a producer, or nil.
func CheckDedup(d *Dedup) error {
	switch {
	case d.ID != "" && (d.Producer != "" || d.Seq != 0):
		return Errorf(CodeBadRequest, "the message has an id against repeats and a producer's number; give one of them")
	case d.ID == "" && d.Producer == "":
		return Errorf(CodeBadRequest, "the message's id against repeats, or the producer of its number, is empty")
	case d.ID == "" && d.Seq == 0:
		return Errorf(CodeBadRequest, "a producer's messages are numbered from 1 on")
	case len(d.ID) > MaxDedupID:
		return Errorf(CodeLimit, "the id against repeats has %d bytes, more than %d", len(d.ID), MaxDedupID)
	case len(d.Producer) > MaxDedupID:
		return Errorf(CodeLimit, "the producer's name has %d bytes, more than %d", len(d.Producer), MaxDedupID)
	}
	return nil
}

// SetDedup lets repeats of the message be recognised when it is sent. d is the
// broker's until that is done.
func (m *Message) SetDedup(d *Dedup) { m.dedup = d }

// claim says that somebody has sent an id. Guarded by dedups.mu.
type claim struct {
	w         *window
	key       string
	at        int64  // ms since 1970
	id        uint64 // of the message; set when it is committed
	committed bool
	volatile  bool
	gone      bool // nothing came of it
}

// claimKey is an id within a destination.
type claimKey struct {
	w  *window
	id string
}

// dedups is what the broker knows of ids that were sent.
type dedups struct {
	// order is held from claiming ids to appending what was sent with them. So an id that
	// was claimed is committed before whatever is appended later, or the store has failed.
	order sync.Mutex

	mu       sync.Mutex // guards what follows; last
	windows  map[Destination]*window
	byID     map[store.DestID]*window
	recent   claims
	volatile claims
	producer producerIDs
}

// claims are the latest ids, found by key. The oldest go first, but never one that is on
// its way to the disk.
type claims struct {
	max       int
	by        map[claimKey]*claim
	list      []*claim // in order
	made      uint64
	forgotten uint64
}

func (x *claims) add(c *claim) {
	if x.by == nil {
		x.by = map[claimKey]*claim{}
	}
	x.by[claimKey{c.w, c.key}] = c
	x.list = append(x.list, c)
	x.made++
	c.w.claims++
	for len(x.list) > x.max && x.drop() {
	}
}

// drop forgets the oldest claim, unless it is on its way to the disk.
func (x *claims) drop() bool {
	if len(x.list) == 0 || (!x.list[0].committed && !x.list[0].gone) {
		return false
	}
	c := x.list[0]
	x.list[0] = nil
	x.list = x.list[1:]
	x.forgotten++
	c.w.claims--
	x.remove(c)
	return true
}

// remove lets a claim not be found any more.
func (x *claims) remove(c *claim) {
	if k := (claimKey{c.w, c.key}); x.by[k] == c {
		delete(x.by, k)
	}
}

// known looks up who has sent an id to a destination, nil for nobody. since is the number of claims
// that had been made when the store was asked last; 0 = it was not.
func (b *Broker) known(w *window, id string, since uint64, asked bool) (*claim, error) {
	x := &b.dedup
	now := b.now().UnixMilli()
	x.mu.Lock()
	limit := w.limits(b)
	c := x.recent.by[claimKey{w, id}]
	if c == nil {
		c = x.volatile.by[claimKey{w, id}]
	}
	ask := c == nil && w.id != 0 && w.count > 0 && (!asked || x.recent.forgotten > since)
	x.mu.Unlock()
	switch {
	case c != nil && limit.passed(c.at, now):
		return nil, nil
	case c != nil || !ask:
		return c, nil
	}
	return b.findID(w, id, now, limit)
}

// entryInfo is the overlay of a reference that remembers an id: version u8 = 1, time v in ms since 1970, and by how much
// the message's id is below the reference's, uv; a producer's has its number, uv, and its key behind that.
const entryVersion = 1

func appendEntryInfo(b []byte, at int64, back uint64) []byte {
	return binary.AppendUvarint(binary.AppendVarint(append(b, entryVersion), at), back)
}

func parseEntryInfo(b []byte) (at int64, back uint64, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != entryVersion {
		return 0, 0, nil, false
	}
	at, n := binary.Varint(b[1:])
	if n <= 0 {
		return 0, 0, nil, false
	}
	b = b[1+n:]
	back, n = binary.Uvarint(b)
	if n <= 0 {
		return 0, 0, nil, false
	}
	return at, back, b[n:], true
}

// entryBody is the message of such a reference.
var entryBody = []byte{entryVersion}
