package broker

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"treadmq/store"
)

// The trash: what a purge or a deletion takes away stays in the store for a while, under a destination that no queue
// has, so that nobody is delivered it and nothing counts it, and can be put back (trash_restore.go).

// What a Trashed came from.
const (
	TrashPurge    = "purge"
	TrashDelete   = "delete"
	TrashMessages = "messages" // some were deleted
)

// maxTrashed is how many purges and deletions the trash remembers; the catalog, where they are noted, is in memory.
const maxTrashed = 1000

// TrashLimits bound the trash.
type TrashLimits struct {
	Keep     time.Duration // how long a purge or a deletion can be undone; 0 = never: what goes is gone at once
	Messages int64         // in the trash at most
	Bytes    int64         // of messages in the trash at most
}

// Trashed is what one purge or deletion has left.
type Trashed struct {
	ID        uint32
	Dest      Destination // where it was
	Action    string      // TrashPurge, TrashDelete or TrashMessages
	By        string      // who did it
	At, Until time.Time   // when that was, and when the trash forgets it
	Messages  int64
	Bytes     int64
}

// trash is what the broker knows of what is in it.
type trash struct {
	mu     sync.Mutex // guards what follows; nothing is locked under it
	limits TrashLimits
	items  map[store.DestID]*trashItem
}

// trashItem is one purge or deletion. Its messages are in the store under its number.
type trashItem struct {
	trashRecord
	id   store.DestID
	busy bool // is being filled or restored; guarded by trash.mu
}

// trashRecord is the catalog entry: key "t" + number u32 -> JSON.
type trashRecord struct {
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`
	Value  []byte `json:"value"` // the queue's own catalog entry
	Action string `json:"action"`
	By     string `json:"by,omitempty"`
	At     int64  `json:"at"` // ms since 1970
	Until  int64  `json:"until"`
}

const catalogTrash = 't'

func (i *trashItem) dest() Destination { return Destination{i.Kind, i.Name} }

func (i *trashItem) key() []byte {
	return binary.BigEndian.AppendUint32([]byte{catalogTrash}, uint32(i.id))
}

func (i *trashItem) value() []byte {
	text, err := json.Marshal(i.trashRecord)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return text
}

// recoverTrash reads one catalog entry.
func (b *Broker) recoverTrash(key, value []byte) {
	item := &trashItem{id: store.DestID(binary.BigEndian.Uint32(key[1:]))}
	if err := json.Unmarshal(value, &item.trashRecord); err != nil {
		b.log.Error("a note of the trash cannot be read, so that purge or deletion cannot be undone; its messages stay on disk", "key", string(key), "err", err)
		return
	}
	b.nextDest = max(b.nextDest, uint32(item.id))
	b.trash.items[item.id] = item
}

// SetTrash replaces the bounds. What is in the trash keeps its time.
func (b *Broker) SetTrash(l TrashLimits) {
	b.trash.mu.Lock()
	b.trash.limits = l
	b.trash.mu.Unlock()
}

// TrashLimits returns the bounds.
func (b *Broker) TrashLimits() TrashLimits {
	b.trash.mu.Lock()
	defer b.trash.mu.Unlock()
	return b.trash.limits
}

// inTrash reports whether a destination of the store is in the trash.
func (b *Broker) inTrash(id store.DestID) bool {
	b.trash.mu.Lock()
	defer b.trash.mu.Unlock()
	return b.trash.items[id] != nil
}

// Trash returns what can be undone, newest first.
func (b *Broker) Trash() []Trashed {
	counts := b.store.Counts()
	b.trash.mu.Lock()
	list := make([]Trashed, 0, len(b.trash.items))
	for _, i := range b.trash.items {
		list = append(list, i.info(counts))
	}
	b.trash.mu.Unlock()
	slices.SortFunc(list, func(a, b Trashed) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.ID, a.ID))
	})
	return list
}

func (i *trashItem) info(counts map[store.DestID][store.Lanes]store.Count) Trashed {
	n := total(counts[i.id])
	return Trashed{ID: uint32(i.id), Dest: i.dest(), Action: i.Action, By: i.By, At: time.UnixMilli(i.At), Until: time.UnixMilli(i.Until),
		Messages: n.Refs, Bytes: n.Bytes}
}

// total sums the lanes up.
func total(lanes [store.Lanes]store.Count) (n store.Count) {
	for _, l := range lanes {
		n.Refs += l.Refs
		n.Bytes += l.Bytes
	}
	return n
}

// takeTrash marks an item as busy, so that nobody else deals with it.
func (b *Broker) takeTrash(id uint32) (*trashItem, error) {
	b.trash.mu.Lock()
	defer b.trash.mu.Unlock()
	item := b.trash.items[store.DestID(id)]
	switch {
	case item == nil:
		return nil, Errorf(CodeNoDestination, "the trash has no number %d; it is too old, or was undone already", id)
	case item.busy:
		return nil, Errorf(CodeInUse, "number %d of the trash is being dealt with at this moment; try again", id)
	}
	item.busy = true
	return item, nil
}

func (b *Broker) releaseTrash(item *trashItem) {
	b.trash.mu.Lock()
	item.busy = false
	b.trash.mu.Unlock()
}

// DropTrash removes for good what one purge or deletion has left. It returns when that is on disk.
func (b *Broker) DropTrash(id uint32) error {
	item, err := b.takeTrash(id)
	if err != nil {
		return err
	}
	if err := b.dropTrash(item); err != nil {
		b.releaseTrash(item)
		return err
	}
	return nil
}

// dropTrash removes an item that is the caller's alone.
func (b *Broker) dropTrash(item *trashItem) error {
	err := b.commit(func(sb *store.Batch) {
		sb.Drop(item.id)
		sb.Delete(item.key())
	})
	if err != nil {
		return err
	}
	b.trash.mu.Lock()
	delete(b.trash.items, item.id)
	b.trash.mu.Unlock()
	return nil
}

// commit hands a batch to the store and waits for it.
func (b *Broker) commit(fill func(*store.Batch)) error {
	var sb store.Batch
	fill(&sb)
	return b.commitBatch(&sb)
}

func (b *Broker) commitBatch(sb *store.Batch) error {
	done := make(chan error, 1)
	sb.Done = func(_ *store.Batch, err error) { done <- err }
	err := b.store.Append(sb)
	if err == nil {
		err = <-done
	}
	if err != nil {
		return b.storeError(err)
	}
	return nil
}

// sweepTrash removes what is too old; all, when the disk is full.
func (b *Broker) sweepTrash(now time.Time, full bool) {
	var due []*trashItem
	b.trash.mu.Lock()
	for _, i := range b.trash.items {
		if !i.busy && (full || i.Until <= now.UnixMilli()) {
			i.busy = true
			due = append(due, i)
		}
	}
	b.trash.mu.Unlock()
	for _, i := range due {
		if full {
			b.log.Warn("the disk is full, so a purge or deletion can no longer be undone", "dest", i.Name, "action", i.Action)
		}
		if err := b.dropTrash(i); err != nil {
			b.releaseTrash(i)
			b.log.Warn("the trash cannot be emptied; trying again", "dest", i.Name, "err", err)
		}
	}
}

// roomInTrash makes room for what is about to go, by forgetting what has been there longest.
func (b *Broker) roomInTrash(d Destination, messages, bytes int64) error {
	counts := b.store.Counts()
	t := &b.trash
	t.mu.Lock()
	l := t.limits
	if messages > l.Messages || bytes > l.Bytes {
		t.mu.Unlock()
		return Errorf(CodeLimit, "the %s %q holds %d messages of %d bytes, more than the trash takes (%d messages, %d bytes), so this could not be undone; do it without undo, or raise trash.messages or trash.bytes", d.Kind, d.Name, messages, bytes, l.Messages, l.Bytes)
	}
	items := make([]*trashItem, 0, len(t.items))
	for _, i := range t.items {
		n := total(counts[i.id])
		messages, bytes = messages+n.Refs, bytes+n.Bytes
		items = append(items, i)
	}
	slices.SortFunc(items, func(a, b *trashItem) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.id, b.id)) })
	var oldest []*trashItem
	for _, i := range items {
		if messages <= l.Messages && bytes <= l.Bytes && len(items)-len(oldest) < maxTrashed {
			break
		}
		if i.busy {
			continue
		}
		n := total(counts[i.id])
		messages, bytes = messages-n.Refs, bytes-n.Bytes
		i.busy = true
		oldest = append(oldest, i)
	}
	t.mu.Unlock()
	full := messages > l.Messages || bytes > l.Bytes
	for _, i := range oldest {
		b.log.Info("the trash is full, so an older purge or deletion can no longer be undone", "dest", i.Name, "action", i.Action)
		if err := b.dropTrash(i); err != nil {
			b.releaseTrash(i)
			return err
		}
	}
	if full {
		return Errorf(CodeLimit, "the trash takes at most %d messages of %d bytes, so this could not be undone; do it without undo, or raise trash.messages or trash.bytes", l.Messages, l.Bytes)
	}
	return nil
}

// newTrashItem notes an item for a queue; it is busy.
func (b *Broker) newTrashItem(q *queue, action, by string) *trashItem {
	now := b.now()
	_, value := b.catalogEntry(q)
	return &trashItem{id: q.id, busy: true, trashRecord: trashRecord{Kind: q.dest.Kind, Name: q.dest.Name, Value: value,
		Action: action, By: by, At: now.UnixMilli(), Until: now.Add(b.TrashLimits().Keep).UnixMilli()}}
}

func (b *Broker) listTrash(item *trashItem) {
	b.trash.mu.Lock()
	b.trash.items[item.id] = item
	b.trash.mu.Unlock()
}
