package index

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"slices"

	"treadmq/store"
)

// Digest is a checksum over what the index says: references, lanes, catalog. Two
// members of a group whose indexes reflect the same position have the same. Left out is
// what each member does at its own time: references that a purge has taken away and
// that are not deleted yet, segments that were deleted, and how often it wrote.
func (x *Index) Digest() (string, error) {
	h := sha256.New()
	if err := x.digestRefs(h); err != nil {
		return "", err
	}
	err := x.Lanes(func(d store.DestID, l store.Lane, n Lane) error {
		if n.Count != (store.Count{}) || n.Mark != 0 {
			var b []byte
			for _, v := range []uint64{prefixLane, uint64(d), uint64(l), uint64(n.Count.Refs), uint64(n.Count.Bytes), uint64(n.Mark)} {
				b = binary.BigEndian.AppendUint64(b, v)
			}
			h.Write(b)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	err = x.Catalog(func(key, value []byte) error {
		h.Write(appendField(appendField([]byte{prefixCatalog}, key), value))
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// digestRefs adds all references that are not purged.
func (x *Index) digestRefs(h hash.Hash) error {
	type purge struct {
		upto store.Seq
		keep []store.Seq // in order
	}
	purges := map[store.DestID][]purge{}
	err := x.Purges(func(d store.DestID, upto store.Seq, keep []store.Seq) error {
		slices.Sort(keep)
		purges[d] = append(purges[d], purge{upto, keep})
		return nil
	})
	if err != nil {
		return err
	}
	it := x.AllRefs()
	var b []byte
	for it.Next() {
		e := it.Entry()
		gone := slices.ContainsFunc(purges[e.Dest], func(p purge) bool {
			_, kept := slices.BinarySearch(p.keep, e.Seq)
			return e.Seq <= p.upto && !kept
		})
		if !gone {
			b = appendEntry(appendRef(append(b[:0], prefixRef), e.Ref), e)
			h.Write(b)
		}
	}
	return it.Close()
}
