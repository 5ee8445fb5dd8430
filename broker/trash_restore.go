package broker

import (
	"fmt"
	"slices"

	"treadmq/store"
)

// Restore undoes a purge or a deletion and returns how many messages are back. Where there is no queue of that name (any
// more) it is there again as it was, all at once. Otherwise the messages go back into the queue that is there: in their
// order, behind what has come since, as far as its limits allow; the rest stays in the trash and the error says so.
func (b *Broker) Restore(id uint32) (Trashed, error) {
	item, err := b.takeTrash(id)
	if err != nil {
		return Trashed{}, err
	}
	defer b.releaseTrash(item)
	info := item.info(b.store.Counts())
	if back, err := b.relist(item); back || err != nil {
		return info, err
	}
	left, err := b.refill(item)
	info.Messages -= left.Refs
	info.Bytes -= left.Bytes
	if err != nil {
		return info, err
	}
	return info, b.dropTrash(item)
}

// relist lists the item as the queue that it was, unless there is one of that name.
func (b *Broker) relist(item *trashItem) (bool, error) {
	// What was acknowledged before the deletion is committed then, and not counted.
	if err := b.commit(func(sb *store.Batch) { sb.Put(item.key(), item.value()) }); err != nil {
		return false, err
	}
	q, done, err := b.relisted(item)
	if q == nil || err != nil {
		return false, err
	}
	if err := <-done; err != nil {
		return false, b.storeError(err)
	}
	b.trash.mu.Lock()
	delete(b.trash.items, item.id)
	b.trash.mu.Unlock()
	b.log.Info("queue restored from the trash", "dest", q.dest.Name, "messages", q.depth.Load())
	b.adviseDestination(q.dest, "created")
	b.destMu.RLock()
	wild := slices.Clone(b.wild)
	b.destMu.RUnlock()
	for _, s := range wild {
		if s.wants(q.dest) {
			_ = b.attachQueue(s, q) // it may be deleted again
		}
	}
	return true, nil
}

// relisted puts the item into the registry and the catalog, nil if the name is taken.
func (b *Broker) relisted(item *trashItem) (*queue, chan error, error) {
	b.destMu.Lock()
	defer b.destMu.Unlock()
	d := item.dest()
	if b.queues[d] != nil {
		return nil, nil, nil
	}
	if len(b.queues)+len(b.topics) >= b.opt.MaxDestinations {
		return nil, nil, Errorf(CodeLimit, "there are %d destinations already, the most allowed; delete some", b.opt.MaxDestinations)
	}
	if err := b.mayCreate(d); err != nil {
		return nil, nil, err
	}
	q, err := b.queueFromCatalog(d, item.Value)
	if err != nil {
		return nil, nil, Errorf(CodeInternal, "what the queue %q was cannot be read: %w", d.Name, err)
	}
	q.id = item.id
	q.adopt(b.store.Counts()[q.id], b.lastSeq())
	done := make(chan error, 1)
	sb := &store.Batch{Done: func(_ *store.Batch, err error) { done <- err }}
	sb.Delete(item.key())
	sb.Put(b.catalogEntry(q))
	if err := b.store.Append(sb); err != nil { // under the lock, as for new queues
		return nil, nil, b.storeError(err)
	}
	q.mu.Lock()
	if q.last != nil {
		q.readLastValues()
	}
	if q.headers != nil {
		q.startIndex()
	}
	q.mu.Unlock()
	b.queues[d], b.byID[q.id] = q, q
	b.connectFeeds(q)
	return q, done, nil
}

// refill moves the item's messages into the queue of its name and returns what is left.
func (b *Broker) refill(item *trashItem) (left store.Count, err error) {
	from := &queue{b: b, dest: item.dest(), id: item.id, durable: true} // what links are made from
	for l := range store.Lane(store.Lanes) {
		for after, more := store.Seq(0), true; more && err == nil; {
			var refs []store.Stored
			if refs, more, err = b.store.Load(nil, item.id, l, after, trashChunk, 0); err != nil {
				err = b.storeError(err)
				break
			}
			a := act{b: b, q: from, w: b.internalWork()}
			a.w.lazy = false
			for i := range refs {
				after = refs[i].Seq
				if err = a.putBack(&refs[i]); err != nil {
					break
				}
			}
			if failed := a.flush(); failed != nil {
				err = failed
			}
		}
	}
	left = total(b.store.Counts()[item.id])
	if err != nil && left.Refs > 0 {
		err = fmt.Errorf("%d messages are still in the trash: %w", left.Refs, err)
	}
	return left, err
}

// putBack moves one message out of the trash. It is in the store from then on, whether it was persistent or not.
func (a *act) putBack(r *store.Stored) error {
	e, err := a.q.stored(r, durable)
	if err != nil {
		return Errorf(CodeInternal, "a message in the trash cannot be read: %w", err)
	}
	if err := a.link(a.q.dest, e, e.id, e.overlay, e.expiry, e.attempts); err != nil {
		return err
	}
	a.b.note(r.ID, LifeEvent{Kind: LifeRestored, Dest: a.q.dest})
	a.w.sb.Remove(r.Ref, r.Loc)
	return nil
}
