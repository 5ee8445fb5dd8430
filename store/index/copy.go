package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"treadmq/store/vfs"
)

// Snapshot is the index as it was at one moment, to be copied elsewhere. It shows
// what one write left, and the index may be written meanwhile.
type Snapshot struct {
	x     *Index
	snap  *leveldb.Snapshot
	State State
}

// Snapshot returns the index as of the last write. Only for the writer. Release it.
func (x *Index) Snapshot() (*Snapshot, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s, err := x.db.GetSnapshot()
	if err != nil {
		return nil, fmt.Errorf("snapshot of the index: %w", wrap(err))
	}
	return &Snapshot{x: x, snap: s, State: x.state}, nil
}

// Read appends keys and values behind the key after (nil: from the first) to dst, until they exceed limit
// bytes, and returns the last key. io.EOF when there are no more. What is read is for Copy.Write.
func (s *Snapshot) Read(dst, after []byte, limit int) (pairs, last []byte, err error) {
	s.x.mu.RLock()
	defer s.x.mu.RUnlock()
	r := &util.Range{}
	if after != nil {
		r.Start = append(bytes.Clone(after), 0)
	}
	it := s.snap.NewIterator(r, &opt.ReadOptions{DontFillCache: true})
	defer it.Release()
	start := len(dst)
	for len(dst)-start <= limit {
		if !it.Next() {
			if err := it.Error(); err != nil {
				return dst, nil, fmt.Errorf("snapshot of the index: %w", wrap(err))
			}
			if len(dst) == start {
				return dst, nil, io.EOF
			}
			break
		}
		last = append(last[:0], it.Key()...)
		dst = appendField(appendField(dst, it.Key()), it.Value())
	}
	return dst, last, nil
}

// Release gives the snapshot up.
func (s *Snapshot) Release() { s.snap.Release() }

func appendField(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// Copy is an index in the making from a snapshot of another one.
type Copy struct {
	db    *leveldb.DB
	batch leveldb.Batch
}

var errPairs = errors.New("keys and values of an index are cut short")

// NewCopy makes an empty index in dir, which is emptied first.
func NewCopy(fsys vfs.FS, dir string, o Options) (*Copy, error) {
	if err := fsys.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("copy of an index: %w", err)
	}
	x, err := Open(fsys, dir, o)
	if err != nil {
		return nil, err
	}
	return &Copy{db: x.db}, nil
}

// Write adds what Snapshot.Read returned.
func (c *Copy) Write(pairs []byte) error {
	c.batch.Reset()
	for len(pairs) > 0 {
		var key, value []byte
		var ok bool
		if key, pairs, ok = cutField(pairs); ok {
			value, pairs, ok = cutField(pairs)
		}
		if !ok {
			return fmt.Errorf("copy of an index: %w", errPairs)
		}
		c.batch.Put(key, value)
	}
	if err := c.db.Write(&c.batch, nil); err != nil {
		return fmt.Errorf("copy of an index: %w", wrap(err))
	}
	return nil
}

func cutField(b []byte) (field, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n)], b[w+int(n):], true
}

// Close brings the copy to stable storage and closes it. Open then checks it.
func (c *Copy) Close() error {
	c.batch.Reset()
	c.batch.Delete([]byte{0}) // nothing: the sync is what counts
	err := c.db.Write(&c.batch, &opt.WriteOptions{Sync: true})
	if err = errors.Join(wrap(err), c.db.Close()); err != nil {
		return fmt.Errorf("copy of an index: %w", err)
	}
	return nil
}

// Abandon closes the copy as it is.
func (c *Copy) Abandon() { c.db.Close() } // it is thrown away
