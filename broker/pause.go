package broker

import "treadmq/store"

// Pause stops or resumes the deliveries of a queue. It takes messages all the same. It returns when that is on disk: the
// queue of a durable name is as paused after a restart as it was before.
func (b *Broker) Pause(d Destination, paused bool) error {
	q, err := b.existing(d)
	if err != nil {
		return err
	}
	if q.durable {
		if err := b.recordPause(q, paused); err != nil {
			return err
		}
	}
	var k wakes
	q.mu.Lock()
	q.paused = paused
	q.dispatch(&k)
	q.mu.Unlock()
	k.flush()
	return nil
}

// recordPause writes into the catalog that a queue is paused, or no longer.
func (b *Broker) recordPause(q *queue, paused bool) error {
	done := make(chan error, 1)
	sb := &store.Batch{Done: func(_ *store.Batch, err error) { done <- err }}
	b.destMu.RLock() // who deletes the queue takes the entry out behind this one
	if q.deleted.Load() {
		b.destMu.RUnlock()
		return Errorf(CodeNoDestination, "the %s %q was deleted at this moment", q.dest.Kind, q.dest.Name)
	}
	if key := pausedKey(q.dest); paused {
		sb.Put(key, []byte{1})
	} else {
		sb.Delete(key)
	}
	err := b.store.Append(sb)
	b.destMu.RUnlock()
	if err == nil {
		err = <-done
	}
	if err != nil {
		return b.storeError(err)
	}
	return nil
}

func pausedKey(d Destination) []byte { return append([]byte{catalogPaused}, catalogKey(d)...) }

// recoverPaused pauses the queue that a catalog's entry names, in the form of catalogKey. An entry without its queue is of no use.
func (b *Broker) recoverPaused(key string) {
	for _, kind := range []Kind{Queue, DurableSub} {
		d := Destination{kind, key[1:]}
		if q := b.queues[d]; q != nil && string(catalogKey(d)) == key {
			q.paused = true
		}
	}
}
