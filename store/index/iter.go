package index

import (
	"encoding/binary"
	"fmt"

	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/util"

	"treadmq/store"
)

// Refs walks over the references of one lane in order. Close it.
type Refs struct {
	x   *Index
	it  iterator.Iterator
	e   Entry
	key [refKeySize]byte
	err error
}

// Refs returns a walk over the references of a lane with from <= Seq <= to.
func (x *Index) Refs(d store.DestID, l store.Lane, from, to store.Seq) *Refs {
	r := util.Range{
		Start: refKey(nil, store.Ref{Dest: d, Lane: l, Seq: from}),
		Limit: append(refKey(nil, store.Ref{Dest: d, Lane: l, Seq: to}), 0),
	}
	w := x.walk(&r)
	w.e.Ref = store.Ref{Dest: d, Lane: l}
	return w
}

// AllRefs returns a walk over all references of all lanes.
func (x *Index) AllRefs() *Refs {
	return x.walk(util.BytesPrefix([]byte{prefixRef}))
}

func (x *Index) walk(r *util.Range) *Refs {
	x.mu.RLock()
	return &Refs{x: x, it: x.db.NewIterator(r, nil)}
}

// RefsAfter returns a walk over all references behind one, over all lanes.
func (x *Index) RefsAfter(r store.Ref) *Refs {
	return x.walk(&util.Range{Start: append(refKey(nil, r), 0), Limit: []byte{prefixRef + 1}})
}

// Next goes on to the next reference; the first call to the first.
func (r *Refs) Next() bool { return r.err == nil && r.it.Next() && r.decode() }

// Seek goes to the first reference with at least this Seq in the lane of the walk.
func (r *Refs) Seek(s store.Seq) bool {
	key := refKey(r.key[:0], store.Ref{Dest: r.e.Dest, Lane: r.e.Lane, Seq: s})
	return r.err == nil && r.it.Seek(key) && r.decode()
}

func (r *Refs) decode() bool {
	if err := decodeEntry(&r.e, r.it.Key(), r.it.Value()); err != nil {
		r.err = fmt.Errorf("%w: %w", ErrDamaged, err)
		return false
	}
	return true
}

// Entry is the present reference. Its overlay is valid until the next step.
func (r *Refs) Entry() *Entry { return &r.e }

// Close ends the walk and returns what went wrong in it.
func (r *Refs) Close() error {
	err := wrap(r.it.Error())
	r.it.Release()
	r.x.mu.RUnlock()
	if r.err != nil {
		return r.err
	}
	return err
}

// each calls fn for each key of a prefix; the key without the prefix.
func (x *Index) each(prefix byte, fn func(key, value []byte) error) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	it := x.db.NewIterator(util.BytesPrefix([]byte{prefix}), nil)
	defer it.Release()
	for it.Next() {
		v, err := unseal(it.Key(), it.Value())
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if err := fn(it.Key()[1:], v); err != nil {
			return err
		}
	}
	return wrap(it.Error())
}

// Catalog calls fn for each catalog entry in order. The slices are valid during the call.
func (x *Index) Catalog(fn func(key, value []byte) error) error { return x.each(prefixCatalog, fn) }

// Lanes calls fn for each lane in order.
func (x *Index) Lanes(fn func(d store.DestID, l store.Lane, n Lane) error) error {
	return x.each(prefixLane, func(key, value []byte) error {
		n := numbers{b: value}
		lane := Lane{Count: store.Count{Refs: n.signed(), Bytes: n.signed()}, Keys: n.signed(), Mark: store.Seq(n.next()), Low: store.Seq(n.next())}
		if n.bad || len(key) != 5 || key[4] >= store.Lanes {
			return fmt.Errorf("%w: lane %x", ErrDamaged, key)
		}
		return fn(store.DestID(binary.BigEndian.Uint32(key)), store.Lane(key[4]), lane)
	})
}

// Segments calls fn for each segment in order.
func (x *Index) Segments(fn func(first store.Position, n Live) error) error {
	return x.each(prefixSegment, func(key, value []byte) error {
		n := numbers{b: value}
		live := Live{Refs: n.signed(), Bytes: n.signed()}
		if n.bad || len(key) != 8 {
			return fmt.Errorf("%w: segment %x", ErrDamaged, key)
		}
		return fn(store.Position(binary.BigEndian.Uint64(key)), live)
	})
}

// Purges calls fn for each purge that is not complete.
func (x *Index) Purges(fn func(d store.DestID, upto store.Seq, keep []store.Seq) error) error {
	return x.each(prefixPurge, func(key, value []byte) error {
		if len(key) != 12 || len(value)%8 != 0 {
			return fmt.Errorf("%w: purge %x", ErrDamaged, key)
		}
		keep := make([]store.Seq, 0, len(value)/8)
		for ; len(value) > 0; value = value[8:] {
			keep = append(keep, store.Seq(binary.BigEndian.Uint64(value)))
		}
		return fn(store.DestID(binary.BigEndian.Uint32(key)), store.Seq(binary.BigEndian.Uint64(key[4:])), keep)
	})
}

// Keys calls fn for each key of a reference, in order of destination, lane and key.
func (x *Index) Keys(fn func(key string, r store.Ref) error) error {
	return x.each(prefixKeyed, func(key, value []byte) error {
		if len(key) < 5 || len(value) != 8 {
			return fmt.Errorf("%w: key of a reference %x", ErrDamaged, key)
		}
		r := store.Ref{Dest: store.DestID(binary.BigEndian.Uint32(key)), Lane: store.Lane(key[4]), Seq: store.Seq(binary.BigEndian.Uint64(value))}
		return fn(string(key[5:]), r)
	})
}

// Links calls fn for each reference whose message is at from <= position < to and
// whose own record is elsewhere.
func (x *Index) Links(from, to store.Position, fn func(r store.Ref) error) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r := util.Range{
		Start: binary.BigEndian.AppendUint64([]byte{prefixLink}, uint64(from)),
		Limit: binary.BigEndian.AppendUint64([]byte{prefixLink}, uint64(to)),
	}
	it := x.db.NewIterator(&r, nil)
	defer it.Release()
	for it.Next() {
		if len(it.Key()) != expiryKeySize {
			return fmt.Errorf("%w: link %x", ErrDamaged, it.Key())
		}
		if err := fn(parseRef(it.Key()[9:])); err != nil {
			return err
		}
	}
	return wrap(it.Error())
}

// Expiring appends to dst up to max references with expiry <= now from the cursor
// (store.AppendExpiryCursor) on, which is excluded; nil begins with the first. Only key fields and Expiry are set.
func (x *Index) Expiring(dst []Entry, now int64, after []byte, max int) ([]Entry, error) {
	if now < 0 || max <= 0 {
		return dst, nil
	}
	r := util.Range{
		Start: append([]byte{prefixExpiry}, after...),
		Limit: binary.BigEndian.AppendUint64([]byte{prefixExpiry}, uint64(now)+1),
	}
	if after != nil {
		r.Start = append(r.Start, 0)
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	it := x.db.NewIterator(&r, nil)
	defer it.Release()
	for it.Next() {
		exp, ref, ok := store.ParseExpiryCursor(it.Key()[1:])
		if !ok {
			return dst, fmt.Errorf("%w: expiry %x", ErrDamaged, it.Key())
		}
		dst = append(dst, Entry{Ref: ref, Expiry: exp})
		if max--; max == 0 {
			break
		}
	}
	return dst, wrap(it.Error())
}
