package broker

import (
	"errors"
	"slices"

	"treadmq/store"
)

// Bounds of one batch of what goes to the trash or comes back.
const (
	trashChunk = 1000
	trashBytes = 1 << 20
)

// PurgeToTrash is Purge that can be undone: what it removes is in the trash. It returns when that is on disk.
// Without a trash (TrashLimits.Keep is 0), for a temporary queue, and where there was nothing to remove, t is nil.
func (b *Broker) PurgeToTrash(d Destination, by string) (removed int64, t *Trashed, err error) {
	q, err := b.existing(d)
	if err != nil {
		return 0, nil, err
	}
	q.mu.Lock()
	n, bytes, reading := q.depth.Load()-q.inflight, q.bytes.Load()-q.heldBytes, q.last.isReading()
	q.mu.Unlock()
	if !q.durable || n <= 0 || b.TrashLimits().Keep <= 0 {
		removed, err = b.purgeNow(d)
		return removed, nil, err
	}
	if reading {
		return 0, nil, Errorf(CodeInUse, "the last-value queue %q is being read through; try again in a moment", d.Name)
	}
	if err := b.roomInTrash(d, n, bytes); err != nil {
		return 0, nil, err
	}
	item, err := b.openTrash(q, TrashPurge, by)
	if err != nil {
		return 0, nil, err
	}
	defer b.releaseTrash(item)
	q.mu.Lock()
	e := q.empty()
	q.mu.Unlock()
	err = b.fillTrash(item, q, &e)
	q.purgeSpilled(&e)
	q.resumeParked()
	info := item.info(b.store.Counts())
	return e.n, &info, err
}

func (b *Broker) purgeNow(d Destination) (int64, error) {
	done := make(chan error, 1)
	n, err := b.Purge(d, func(err error) { done <- err })
	if err == nil {
		if err = <-done; err != nil {
			err = b.storeError(err)
		}
	}
	return n, err
}

// openTrash makes an item with a number of its own and notes it in the journal.
func (b *Broker) openTrash(q *queue, action, by string) (*trashItem, error) {
	item := b.newTrashItem(q, action, by)
	b.destMu.Lock()
	defer b.destMu.Unlock()
	b.nextDest++
	item.id = store.DestID(b.nextDest)
	put := &store.Batch{Lazy: true, Done: func(*store.Batch, error) {}}
	put.Put(catalogNext, item.key()[1:])
	put.Put(item.key(), item.value())
	if err := b.store.Append(put); err != nil { // under the lock, as for queues
		return nil, b.storeError(err)
	}
	b.listTrash(item)
	return item, nil
}

// trashWriter gathers what goes to the trash in batches and waits for each.
type trashWriter struct {
	b    *Broker
	item *trashItem
	sb   store.Batch
}

// place is a reference in the item.
func (w *trashWriter) place(l store.Lane, attempts uint32, overlay []byte, expiry int64) store.NewRef {
	return store.NewRef{Dest: w.item.id, Lane: l, Attempts: attempts, Overlay: overlay, Expiry: expiry, OwnExpiry: true}
}

// move takes a reference of the store: it is in its queue or in the trash at any time.
func (w *trashWriter) move(r *store.Stored) error {
	w.sb.Link(r.Ref, w.place(r.Lane, r.Attempts, r.Overlay, r.Expiry))
	w.sb.Remove(r.Ref, r.Loc)
	return w.flushFrom(2 * trashChunk)
}

// write takes a message that the store does not have.
func (w *trashWriter) write(m store.Message, l store.Lane, attempts uint32, overlay []byte) error {
	w.sb.Enqueue(m, w.place(l, attempts, overlay, m.Expiry))
	return w.flushFrom(2 * trashChunk)
}

func (w *trashWriter) writeEntry(e *entry) error {
	return w.write(store.Message{ID: e.id, Flags: store.Flags(e.msg.Flags()), Expiry: e.expiry, Encoded: e.msg.enc}, e.lane, e.attempts, e.overlay)
}

// flushFrom hands the batch to the store if it has so many operations.
func (w *trashWriter) flushFrom(ops int) error {
	if len(w.sb.Ops) < ops && w.sb.Size() < trashBytes || w.sb.Empty() {
		return nil
	}
	err := w.b.commitBatch(&w.sb)
	if errors.Is(err, store.ErrFull) {
		err = w.flushMoves()
	}
	w.sb.Reset()
	return err
}

// flushMoves hands over what a full disk takes: what only moves.
func (w *trashWriter) flushMoves() error {
	var moves store.Batch
	for i := range w.sb.Ops {
		switch op := &w.sb.Ops[i]; op.Kind {
		case store.OpLink:
			moves.Link(op.Ref, op.Refs...)
		case store.OpRemove:
			moves.Remove(op.Ref, op.Loc)
		}
	}
	w.b.log.Warn("the disk is full, so the trash does not keep non-persistent messages; they are lost", "dest", w.item.Name, "messages", len(w.sb.Ops)-len(moves.Ops))
	if moves.Empty() {
		return nil
	}
	return w.b.commitBatch(&moves)
}

// fillTrash moves what a purge hid in memory: references of the store become those of the item, what no store has is
// written in its place among them, and what the temporary store has behind them.
func (b *Broker) fillTrash(item *trashItem, q *queue, e *emptied) error {
	w := trashWriter{b: b, item: item}
	for l := range store.Lane(store.Lanes) {
		if err := b.fillLane(&w, q, l, e); err != nil {
			return err
		}
	}
	return w.finish(q, e)
}

func (b *Broker) fillLane(w *trashWriter, q *queue, l store.Lane, e *emptied) error {
	recovered := q.lanes[durable][l].recovered // does not change after the start
	for after, more := store.Seq(0), true; more; {
		var refs []store.Stored
		var err error
		if refs, more, err = b.store.Load(nil, q.id, l, after, trashChunk, 0); err != nil {
			return b.storeError(err)
		}
		for i := range refs {
			r := &refs[i]
			if after = r.Seq; r.Seq > e.upto[durable] {
				more = false
				break
			}
			if _, kept := slices.BinarySearch(e.kept[durable], r.Seq); kept {
				continue
			}
			if r.Attempts == 0 && r.Seq <= recovered {
				r.Attempts = 1
			}
			if err := w.volatileBefore(l, r.Seq, e); err != nil {
				return err
			}
			if err := w.move(r); err != nil {
				return err
			}
		}
	}
	return w.volatileBefore(l, ^store.Seq(0), e)
}

// volatileBefore writes what is in memory only and has a lower number.
func (w *trashWriter) volatileBefore(l store.Lane, seq store.Seq, e *emptied) error {
	list := &e.volatile[l]
	for len(*list) > 0 && (*list)[0].seq < seq {
		if err := w.writeEntry((*list)[0]); err != nil {
			return err
		}
		*list = (*list)[1:]
	}
	return nil
}

// finish writes what is left: in memory, in the temporary store, in the batch.
func (w *trashWriter) finish(q *queue, e *emptied) error {
	for l := range store.Lane(store.Lanes) {
		if err := w.volatileBefore(l, ^store.Seq(0), e); err != nil {
			return err
		}
	}
	err := q.eachSpilled(e, func(r *store.Stored) error {
		return w.write(store.Message{ID: r.ID, Flags: r.Flags, Expiry: r.Expiry, Encoded: r.Message}, r.Lane, r.Attempts, r.Overlay)
	})
	if err != nil {
		return err
	}
	return w.flushFrom(0)
}

// eachSpilled calls fn for what a purge has hidden in the temporary store.
func (q *queue) eachSpilled(e *emptied, fn func(*store.Stored) error) error {
	if q.b.temp == nil || e.upto[transient] == 0 {
		return nil
	}
	for l := range store.Lane(store.Lanes) {
		for after, more := store.Seq(0), true; more; {
			var refs []store.Stored
			var err error
			if refs, more, err = q.b.read(transient, q.id, l, after, trashChunk, trashBytes); err != nil {
				return q.b.storeError(err)
			}
			for i := range refs {
				r := &refs[i]
				if after = r.Seq; r.Seq > e.upto[transient] {
					more = false
					break
				}
				if _, kept := slices.BinarySearch(e.kept[transient], r.Seq); kept || r.Message == nil {
					continue
				}
				if err := fn(r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// DeleteToTrash is DeleteQueue, and DeleteDurable, that can be undone. It returns when it is on disk. Without a trash
// (TrashLimits.Keep is 0) t is nil.
func (b *Broker) DeleteToTrash(d Destination, force bool, by string) (t *Trashed, err error) {
	if d.Kind != Queue && d.Kind != DurableSub {
		return nil, Errorf(CodeBadRequest, "a %s is deleted in another way", d.Kind)
	}
	q, err := b.existing(d)
	if err != nil {
		return nil, err
	}
	var item *trashItem
	if b.TrashLimits().Keep > 0 {
		if err := b.roomInTrash(d, q.depth.Load(), q.bytes.Load()); err != nil {
			return nil, err
		}
		item = b.newTrashItem(q, TrashDelete, by)
	}
	done := make(chan error, 1)
	if err := b.deletePatiently(d, force, item, func(err error) { done <- err }); err != nil {
		return nil, err
	}
	if err := <-done; err != nil {
		return nil, b.storeError(err)
	}
	if item == nil {
		return nil, nil
	}
	defer b.releaseTrash(item)
	info := item.info(b.store.Counts())
	return &info, nil
}

// TrashBin takes messages that Act deletes one by one.
type TrashBin struct {
	b    *Broker
	item *trashItem
}

// OpenBin makes a bin for messages of a queue, nil where there is no trash or the queue is a temporary one. Close it.
func (b *Broker) OpenBin(d Destination, by string) (*TrashBin, error) {
	q, err := b.existing(d)
	if err != nil || !q.durable || b.TrashLimits().Keep <= 0 {
		return nil, err
	}
	item, err := b.openTrash(q, TrashMessages, by)
	if err != nil {
		return nil, err
	}
	return &TrashBin{b, item}, nil
}

// Close ends the bin and returns what can be undone, nil if that is nothing. A nil bin may be closed.
func (t *TrashBin) Close() (*Trashed, error) {
	if t == nil {
		return nil, nil
	}
	defer t.b.releaseTrash(t.item)
	info := t.item.info(t.b.store.Counts())
	if info.Messages == 0 {
		return nil, t.b.dropTrash(t.item)
	}
	return &info, nil
}

// keep puts an entry that is being deleted into the act's bin.
func (a *act) keep(e *entry) error {
	if a.bin == nil {
		return nil
	}
	w := trashWriter{item: a.bin.item}
	if e.src == durable {
		a.w.sb.Link(a.q.ref(e), w.place(e.lane, e.attempts, e.overlay, e.expiry))
		return nil
	}
	m, err := a.b.body(a.q, e)
	if err != nil {
		return Errorf(CodeInternal, "a message of %s cannot be read: %w", a.q.dest.Name, err)
	}
	a.w.sb.Enqueue(store.Message{ID: e.id, Flags: store.Flags(m.Flags()), Expiry: e.expiry, Encoded: m.enc}, w.place(e.lane, e.attempts, e.overlay, e.expiry))
	return nil
}
