package broker

import (
	"encoding/binary"
	"fmt"
	"time"

	"treadmq/store"
)

// catalog: key "q" + name -> id u32, created i64, hints in JSON or nothing; key "d" + name -> durableRecord;
// key "p" + the key of a queue -> it is paused; key "n" -> highest id given u32; key "s" -> id u32 of the scheduler's destination;
// key "t" + number -> trashRecord; key "w" + kind u8 + name -> id u32 of what remembers the ids sent to a destination.
const (
	catalogQueue   = 'q'
	catalogDurable = 'd'
	catalogPaused  = 'p'
)

var catalogNext = []byte("n")

func catalogKey(d Destination) []byte {
	kind := byte(catalogQueue)
	if d.Kind == DurableSub {
		kind = catalogDurable
	}
	return append([]byte{kind}, d.Name...)
}

// putQueue adds a new queue's catalog entry to a batch.
func (b *Broker) putQueue(sb *store.Batch, q *queue) {
	sb.Put(catalogNext, binary.BigEndian.AppendUint32(nil, uint32(q.id)))
	sb.Put(b.catalogEntry(q))
}

func (b *Broker) catalogEntry(q *queue) (key, value []byte) {
	if q.dsub != nil {
		return catalogKey(q.dest), q.durableRecord()
	}
	value = binary.BigEndian.AppendUint32(nil, uint32(q.id))
	return catalogKey(q.dest), q.hints.encode(binary.BigEndian.AppendUint64(value, uint64(q.created.UnixMilli())))
}

// queueFromCatalog makes the queue that a catalog entry describes.
func (b *Broker) queueFromCatalog(d Destination, value []byte) (*queue, error) {
	if d.Kind == DurableSub {
		return b.recoverDurable(d.Name, value)
	}
	if len(value) < 12 {
		return nil, fmt.Errorf("%d bytes are too few", len(value))
	}
	q := b.newQueue(d, store.DestID(binary.BigEndian.Uint32(value)))
	q.setHints(b.recoverHints(catalogKey(d), value[12:]))
	q.created = time.UnixMilli(int64(binary.BigEndian.Uint64(value[4:])))
	return q, nil
}

func (b *Broker) recover() error {
	var paused []string
	err := b.store.Catalog(func(key, value []byte) error {
		switch {
		case string(key) == string(catalogNext) && len(value) == 4:
			b.nextDest = max(b.nextDest, binary.BigEndian.Uint32(value))
		case len(key) > 1 && (key[0] == catalogQueue && len(value) >= 12 || key[0] == catalogDurable):
			d := Destination{Queue, string(key[1:])}
			if key[0] == catalogDurable {
				d.Kind = DurableSub
			}
			q, err := b.queueFromCatalog(d, value)
			if err != nil {
				return fmt.Errorf("%s %q: %w", d.Kind, d.Name, err)
			}
			q.recovered = d.Kind == Queue
			b.nextDest = max(b.nextDest, uint32(q.id))
			b.queues[q.dest], b.byID[q.id] = q, q
		case len(key) >= 2 && key[0] == catalogWindow && len(value) == 4:
			b.recoverWindow(key, store.DestID(binary.BigEndian.Uint32(value)))
		case len(key) == 5 && key[0] == catalogTrash:
			b.recoverTrash(key, value)
		case len(key) > 2 && key[0] == catalogPaused:
			paused = append(paused, string(key[1:]))
		case string(key) == string(catalogSchedule) && len(value) == 4:
			b.sched.recover(store.DestID(binary.BigEndian.Uint32(value)))
			b.nextDest = max(b.nextDest, uint32(b.sched.id()))
		case string(key) == string(catalogRetained) && len(value) == 4:
			b.hiddenQueue(store.DestID(binary.BigEndian.Uint32(value)))
		default:
			b.log.Warn("the store's catalog has an entry of an unknown kind; it is kept", "key", string(key))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range paused {
		b.recoverPaused(key)
	}
	b.rewire()
	last := b.lastSeq()
	for id, lanes := range b.store.Counts() {
		q := b.byID[id]
		if id == b.sched.id() || b.inTrash(id) || b.adoptWindow(id, &lanes) {
			continue
		}
		if q == nil {
			b.log.Warn("the store holds messages of an unknown destination; they are kept", "dest", uint32(id))
			continue
		}
		q.adopt(lanes, last)
	}
	return nil
}

// lastSeq is the highest sequence number that was given.
func (b *Broker) lastSeq() store.Seq {
	next := b.store.NextSeq()
	if next > 0 {
		next--
	}
	return next
}

// adopt gives a queue that nobody knows yet what the store has of it; last is the highest sequence number there is.
func (q *queue) adopt(lanes [store.Lanes]store.Count, last store.Seq) {
	for l, n := range lanes {
		ln := &q.lanes[durable][l]
		ln.recovered = q.b.store.Mark(q.id, store.Lane(l))
		ln.mark, ln.asked = ln.recovered, ln.recovered
		if n.Refs == 0 {
			continue
		}
		ln.paged, ln.maxSeq = true, last
		q.paged++
		q.depth.Add(n.Refs)
		q.bytes.Add(n.Bytes)
	}
}
