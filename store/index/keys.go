package index

import (
	"encoding/binary"

	"treadmq/store"
)

// Keys, numbers big endian so that the order of bytes is the order of numbers:
//
//	a                              state: what the index reflects
//	b <n u64>                      guard: one per batch written, without a gap
//	c <key>                        catalog
//	d <dest u32> <lane u8> <key>   reference that was given a key: seq u64
//	k <dest u32> <lane u8>         lane: counts, mark, low water
//	l <pos u64> <m key>            reference whose message is at pos and whose own record is elsewhere
//	m <dest u32> <lane u8> <seq>   reference
//	p <dest u32> <upto u64>        purge whose references are not all deleted yet
//	s <first u64>                  segment: live references and bytes
//	x <expiry u64> <m key>         reference that expires
const (
	prefixState   = 'a'
	prefixGuard   = 'b'
	prefixCatalog = 'c'
	prefixKeyed   = 'd'
	prefixLane    = 'k'
	prefixLink    = 'l'
	prefixRef     = 'm'
	prefixPurge   = 'p'
	prefixSegment = 's'
	prefixExpiry  = 'x'

	refKeySize    = 1 + 4 + 1 + 8
	expiryKeySize = 1 + 8 + 4 + 1 + 8
)

func appendRef(b []byte, r store.Ref) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(r.Dest))
	b = append(b, byte(r.Lane))
	return binary.BigEndian.AppendUint64(b, uint64(r.Seq))
}

func parseRef(b []byte) store.Ref {
	return store.Ref{
		Dest: store.DestID(binary.BigEndian.Uint32(b)), Lane: store.Lane(b[4]), Seq: store.Seq(binary.BigEndian.Uint64(b[5:])),
	}
}

func refKey(b []byte, r store.Ref) []byte { return appendRef(append(b[:0], prefixRef), r) }

func expiryKey(b []byte, expiry int64, r store.Ref) []byte {
	return store.AppendExpiryCursor(append(b[:0], prefixExpiry), expiry, r)
}

func linkKey(b []byte, pos store.Position, r store.Ref) []byte {
	b = binary.BigEndian.AppendUint64(append(b[:0], prefixLink), uint64(pos))
	return appendRef(b, r)
}

func keyedKey(b []byte, d store.DestID, l store.Lane, key string) []byte {
	b = binary.BigEndian.AppendUint32(append(b[:0], prefixKeyed), uint32(d))
	return append(append(b, byte(l)), key...)
}

func numberKey(prefix byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefix}, n)
}

func laneKey(d store.DestID, l store.Lane) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{prefixLane}, uint32(d)), byte(l))
}

func purgeKey(d store.DestID, upto store.Seq) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32([]byte{prefixPurge}, uint32(d)), uint64(upto))
}
