// Package index keeps what can be looked up about stored messages: references
// by destination, lane and sequence number, by expiry, live counts per segment, the
// catalog. It is a narrow type around goleveldb on store/vfs, derived from the journal
// and never ahead of it.
//
// One goroutine writes. Each write is one atomic, synced batch that says which
// journal position the index reflects from then on. Every value carries a checksum
// of its own, and a run of numbered guard keys shows whether a batch went missing.
package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"syscall"

	"github.com/syndtr/goleveldb/leveldb"
	lerrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"treadmq/store"
	"treadmq/store/vfs"
)

// guardRun is how many guard keys are kept.
const guardRun = 1000

// ErrDamaged says that the index cannot be used: make a new one from the journal.
var ErrDamaged = errors.New("index damaged")

// ErrClosed is what a read gets when the index was closed before or under it.
var ErrClosed = leveldb.ErrClosed

// Options of an index.
type Options struct {
	CacheBytes  int // of table blocks; default 8 MiB
	WriteBuffer int // bytes gathered in memory before a table is written; default 8 MiB
	NoSync      bool
	ReadOnly    bool // nothing on disk is changed: what goleveldb writes stays in memory
	Logger      *slog.Logger
}

// Index is an open index.
type Index struct {
	fs   vfs.FS
	dir  string
	opts Options

	mu    sync.RWMutex // guards db against Reopen; held by each walk until it is closed
	db    *leveldb.DB
	state State // as of the last write
}

// ErrSync says that a sync of the index failed. It must not be tried again.
var ErrSync = errors.New("sync of the index failed")

// Open opens the index in dir, which is made if it is not there. An error that
// wraps ErrDamaged means that the journal must be replayed into a new one.
func Open(fsys vfs.FS, dir string, o Options) (*Index, error) {
	if o.CacheBytes == 0 {
		o.CacheBytes = 8 << 20
	}
	if o.WriteBuffer == 0 {
		o.WriteBuffer = 8 << 20
	}
	if !o.ReadOnly {
		if err := fsys.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open index: %w", err)
		}
	}
	if o.ReadOnly { // goleveldb's own read-only mode fails on a second journal file
		fsys = vfs.NewOverlay(fsys)
	}
	x := &Index{fs: fsys, dir: dir, opts: o}
	if err := x.open(); err != nil {
		return nil, fmt.Errorf("open index %s: %w", dir, err)
	}
	return x, nil
}

func (x *Index) open() error {
	o := &x.opts
	s := &files{fs: x.fs, dir: x.dir, note: func(str string) { o.Logger.Debug("goleveldb", "text", str) }}
	db, err := leveldb.Open(s, &opt.Options{
		BlockCacheCapacity:            o.CacheBytes,
		WriteBuffer:                   o.WriteBuffer,
		CompactionTableSize:           4 << 20,
		OpenFilesCacheCapacity:        256,
		DisableLargeBatchTransaction:  true, // transactions have an old report of corruption
		DisableSeeksCompaction:        true, // short scans at many places would compact without need
		Filter:                        filter.NewBloomFilter(10),
		Strict:                        opt.DefaultStrict | opt.StrictManifest,
		WriteL0PauseTrigger:           24,
		WriteL0SlowdownTrigger:        16,
		CompactionTotalSizeMultiplier: 10,
	})
	if err != nil {
		return wrap(err)
	}
	x.db, x.state = db, State{}
	if err := x.check(); err != nil {
		return errors.Join(err, db.Close())
	}
	return nil
}

// Reopen closes the index and opens it again: after a write that failed for want
// of space, which goleveldb does not get over. State says whether the write took place.
func (x *Index) Reopen() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.db.Close(); err != nil {
		x.opts.Logger.Warn("closing the index", "dir", x.dir, "err", err)
	}
	if err := x.open(); err != nil {
		return fmt.Errorf("reopen index %s: %w", x.dir, err)
	}
	return nil
}

// check reads the state and demands an unbroken run of guards up to it.
func (x *Index) check() error {
	v, err := x.get([]byte{prefixState})
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return err
	default:
		if x.state, err = decodeState(v); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	it := x.db.NewIterator(util.BytesPrefix([]byte{prefixGuard}), nil)
	defer it.Release()
	want := uint64(1)
	if x.state.Number > guardRun {
		want = x.state.Number - guardRun + 1
	}
	for it.Next() {
		if n := binary.BigEndian.Uint64(it.Key()[1:]); len(it.Key()) != 9 || n != want {
			return fmt.Errorf("%w: batch %d of %d is missing", ErrDamaged, want, x.state.Number)
		}
		want++
	}
	if err := it.Error(); err != nil {
		return wrap(err)
	}
	if want != x.state.Number+1 {
		return fmt.Errorf("%w: batches end at %d, the state says %d", ErrDamaged, want-1, x.state.Number)
	}
	return nil
}

// wrap turns goleveldb's corruption errors into ErrDamaged, and gives a lack of
// space its value back where goleveldb kept only the text.
func wrap(err error) error {
	if err != nil && !errors.Is(err, syscall.ENOSPC) && strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		return fmt.Errorf("%w: %w", syscall.ENOSPC, err)
	}
	if err != nil && lerrors.IsCorrupted(err) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// State says what the index reflects. Only for the writer.
func (x *Index) State() State { return x.state }

// Fresh reports whether nothing was ever written.
func (x *Index) Fresh() bool { return x.state.Number == 0 }

func (x *Index) get(key []byte) ([]byte, error) {
	v, err := x.db.Get(key, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, wrap(err)
	}
	if v, err = unseal(key, v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return v, nil
}

// Find looks up one reference. store.ErrNotFound if there is none.
func (x *Index) Find(r store.Ref) (Entry, error) {
	var buf [refKeySize]byte
	key := refKey(buf[:0], r)
	x.mu.RLock()
	defer x.mu.RUnlock()
	v, err := x.db.Get(key, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return Entry{}, store.ErrNotFound
	}
	if err != nil {
		return Entry{}, wrap(err)
	}
	var e Entry
	if err := decodeEntry(&e, key, v); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return e, nil
}

// FindKey returns the number of the reference to which a key leads in a lane.
// store.ErrNotFound if there is none.
func (x *Index) FindKey(d store.DestID, l store.Lane, key string) (store.Seq, error) {
	var buf [64]byte
	x.mu.RLock()
	defer x.mu.RUnlock()
	v, err := x.get(keyedKey(buf[:0], d, l, key))
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("%w: key %q of destination %d", ErrDamaged, key, d)
	}
	return store.Seq(binary.BigEndian.Uint64(v)), nil
}

// Batch is a write in the making.
type Batch struct {
	b   leveldb.Batch
	key []byte
	val []byte
}

// Reset empties the batch.
func (b *Batch) Reset() { b.b.Reset() }

// Len is the number of keys in the batch.
func (b *Batch) Len() int { return b.b.Len() }

func (b *Batch) put(key, value []byte) { b.b.Put(key, seal(key, value)) }

// PutRef sets a reference, and its expiry if it has one.
func (b *Batch) PutRef(e *Entry) {
	b.key = refKey(b.key, e.Ref)
	b.val = seal(b.key, appendEntry(b.val[:0], e))
	b.b.Put(b.key, b.val)
	if e.Expiry > 0 {
		b.key = expiryKey(b.key, e.Expiry, e.Ref)
		b.b.Put(b.key, nil)
	}
	if e.RefPos != 0 {
		b.key = linkKey(b.key, e.Pos, e.Ref)
		b.b.Put(b.key, nil)
	}
}

// PutKey notes that e is what its key leads to. PutRef does not do that, as the key
// may lead to a newer reference.
func (b *Batch) PutKey(e *Entry) {
	b.key = keyedKey(b.key, e.Dest, e.Lane, e.Key)
	b.val = binary.BigEndian.AppendUint64(b.val[:0], uint64(e.Seq))
	b.val = seal(b.key, b.val)
	b.b.Put(b.key, b.val)
}

// DeleteKey says that the key of e leads nowhere any more; DeleteRef leaves it alone likewise.
func (b *Batch) DeleteKey(e *Entry) {
	b.key = keyedKey(b.key, e.Dest, e.Lane, e.Key)
	b.b.Delete(b.key)
}

// Unlink takes away what PutRef noted about where the message of a reference is.
// Call it before the reference is put with another place.
func (b *Batch) Unlink(e *Entry) {
	if e.RefPos != 0 {
		b.key = linkKey(b.key, e.Pos, e.Ref)
		b.b.Delete(b.key)
	}
}

// DeleteRef deletes a reference with its expiry and link.
func (b *Batch) DeleteRef(e *Entry) {
	b.key = refKey(b.key, e.Ref)
	b.b.Delete(b.key)
	if e.Expiry > 0 {
		b.key = expiryKey(b.key, e.Expiry, e.Ref)
		b.b.Delete(b.key)
	}
	b.Unlink(e)
}

// PutCatalog and DeleteCatalog change the catalog.
func (b *Batch) PutCatalog(key string, value []byte) {
	b.put(append([]byte{prefixCatalog}, key...), append([]byte{}, value...))
}

// DeleteCatalog deletes a catalog entry.
func (b *Batch) DeleteCatalog(key string) { b.b.Delete(append([]byte{prefixCatalog}, key...)) }

// PutLane sets what is known about a lane.
func (b *Batch) PutLane(d store.DestID, l store.Lane, n Lane) {
	v := binary.AppendVarint(nil, n.Count.Refs)
	v = binary.AppendVarint(v, n.Count.Bytes)
	v = binary.AppendVarint(v, n.Keys)
	v = binary.AppendUvarint(v, uint64(n.Mark))
	v = binary.AppendUvarint(v, uint64(n.Low))
	b.put(laneKey(d, l), v)
}

// DeleteLane forgets a lane.
func (b *Batch) DeleteLane(d store.DestID, l store.Lane) { b.b.Delete(laneKey(d, l)) }

// PutSegment sets what is alive in a segment.
func (b *Batch) PutSegment(first store.Position, n Live) {
	b.put(numberKey(prefixSegment, uint64(first)), binary.AppendVarint(binary.AppendVarint(nil, n.Refs), n.Bytes))
}

// DeleteSegment forgets a segment.
func (b *Batch) DeleteSegment(first store.Position) {
	b.b.Delete(numberKey(prefixSegment, uint64(first)))
}

// PutPurge notes a purge whose references are not all deleted.
func (b *Batch) PutPurge(d store.DestID, upto store.Seq, keep []store.Seq) {
	var v []byte
	for _, k := range keep {
		v = binary.BigEndian.AppendUint64(v, uint64(k))
	}
	b.put(purgeKey(d, upto), v)
}

// DeletePurge says that all references of a purge are deleted.
func (b *Batch) DeletePurge(d store.DestID, upto store.Seq) { b.b.Delete(purgeKey(d, upto)) }

// Write writes the batch with a new state, atomically and synced. s.Number is set here.
func (x *Index) Write(b *Batch, s State) error {
	s.Number = x.state.Number + 1
	b.put([]byte{prefixState}, s.encode())
	b.b.Put(numberKey(prefixGuard, s.Number), nil)
	if s.Number > guardRun {
		b.b.Delete(numberKey(prefixGuard, s.Number-guardRun))
	}
	if err := x.db.Write(&b.b, &opt.WriteOptions{Sync: !x.opts.NoSync}); err != nil {
		return fmt.Errorf("write index: %w", wrap(err))
	}
	x.state = s
	return nil
}

// Size returns the bytes of the tables that hold references, roughly.
func (x *Index) Size() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s, err := x.db.SizeOf([]util.Range{{Limit: []byte{math.MaxUint8}}})
	if err != nil {
		return 0
	}
	return s.Sum()
}

// Compact rewrites the tables, so that what was deleted no longer takes up room.
// It may take as long as copying what is alive; reads and writes go on.
func (x *Index) Compact() error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return wrap(x.db.CompactRange(util.Range{}))
}

// Close closes the index. Nothing is lost without it.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.db.Close()
}
