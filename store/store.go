// Package store is the contract between the broker and whatever keeps its
// messages: the words, the batch that is the unit of atomicity and durability,
// and the interface. It imports nothing of ours; store/local implements it on a
// journal and a LevelDB index.
//
// A message body is written once. What a queue holds is a reference to it
// (Ref): a destination, a lane and a sequence number. One body may have many
// references (durable subscriptions, copies, dead letters); it lives as long as
// the last of them.
//
// Everything that a caller may act on (Done callbacks, what Load returns) lies
// at or below the commit position: on this disk, and in a group on a quorum.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Position is a byte offset in the group's journal. It only ever grows and
// means the same byte on every node of a group.
type Position uint64

// Epoch counts masterships. A group of one starts a new epoch at each start.
type Epoch uint64

// DestID names a destination inside the store. The broker assigns it, never
// twice, and keeps the name in the catalog (Batch.Put).
type DestID uint32

// Seq orders the references of a lane. The store assigns it under the journal's
// lock, so that order of sequence = order in the journal = order of commit. It is
// unique over all destinations and for ever: epoch<<EpochShift plus a counter.
type Seq uint64

// EpochShift is the number of bits of a Seq below its epoch.
const EpochShift = 40

// Lanes is the number of lanes of a destination.
const Lanes = 10

// Lane is 9 minus the JMS priority, so that lanes in rising order are priorities
// in falling order.
type Lane uint8

// Ref names one reference to a stored message.
type Ref struct {
	Dest DestID
	Lane Lane
	Seq  Seq
}

func (r Ref) String() string {
	return fmt.Sprintf("%d/%d/%d-%d", r.Dest, r.Lane, r.Seq>>EpochShift, r.Seq&(1<<EpochShift-1))
}

// Loc says where the body that a reference points to was when it was last seen.
// Compaction may move it: a Read of an old Loc answers ErrMoved, then Find the
// reference again.
type Loc struct {
	Pos  Position // of the encoded message's first byte
	Size uint32   // bytes of the encoded message
}

// Flags of a stored message. The store keeps them and never looks at them.
type Flags uint8

// Stored is a reference as Load, Find and Expired return it.
type Stored struct {
	Ref
	Loc
	ID       uint64 // the message's identity: stable over moves, copies and restarts
	Flags    Flags
	Expiry   int64  // milliseconds since 1970, 0 = never
	Attempts uint32 // deliveries that are known to have happened
	Overlay  []byte // properties of this reference only, in the broker's encoding
	Key      string // Message.DedupKey, "" for none
	Message  []byte // the encoded message; nil unless asked for
}

// NewRef is a reference that a batch creates.
type NewRef struct {
	Dest     DestID
	Lane     Lane
	Attempts uint32
	Overlay  []byte
	// Expiry in milliseconds since 1970 replaces the message's when Own is set
	// (dead letters do not expire, or expire by a policy of their own).
	Expiry    int64
	OwnExpiry bool
}

// Message is what Enqueue stores.
type Message struct {
	ID      uint64 // 0 = the Seq of its first reference
	Flags   Flags
	Expiry  int64
	Encoded []byte // opaque; copied into the batch
	// DedupKey, if not "", is a key by which the message's references are found in
	// their lanes (FindKey). Where several have the same, the newest one is found; it
	// must not be removed before the others. Nothing may be linked to such a message.
	DedupKey string
	// Producer and ProducerSeq are part of the journal record from the first day; the
	// store keeps them there and does nothing with them.
	Producer    string
	ProducerSeq uint64
}

// Errors of the contract. Implementations wrap them with what, why and what to do.
var (
	// ErrFull: a batch that needs room was refused because the disk is at its
	// reserve. Nothing of it was stored. Batches that only remove are taken.
	ErrFull = errors.New("store full")
	// ErrFailed: a write or sync failed earlier. It is final for this process.
	ErrFailed = errors.New("store failed")
	// ErrDeposed: this member of a group no longer leads it. What was not committed may
	// be kept by the next leader or not. It is final for this store.
	ErrDeposed = errors.New("this broker no longer leads its group")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store closed")
	// ErrMoved: the Loc is out of date; Find the reference again.
	ErrMoved = errors.New("message moved")
	// ErrNotFound: no such live reference.
	ErrNotFound = errors.New("no such message")
	// ErrCorrupt: bytes on disk are not what was written.
	ErrCorrupt = errors.New("store corrupt")
	// ErrTooLarge: a batch is larger than the store takes.
	ErrTooLarge = errors.New("batch too large")
	// ErrLocked: another process has the folder open.
	ErrLocked = errors.New("store is in use")
)

// Stats is a snapshot of figures for the console, metrics and tests.
type Stats struct {
	Epoch                            Epoch
	Start, End, Synced, Commit       Position // Start: first byte still kept
	Applied                          Position // what the index reflects
	Segments                         int
	DiskBytes, LiveBytes, IndexBytes int64
	FreeDisk                         int64 // bytes the file system still gives, -1 unknown
	Full                             bool  // sends are refused
	TailRefs                         int   // committed references not yet in the index
	TailBytes                        int64 // journal bytes not yet reflected in the index
	Appends, Syncs, Checkpoints      uint64
	SyncNanos                        uint64 // summed; with the write, where one call does both
	MaxSyncNanos                     uint64
	CompactedBytes                   uint64
	Failed                           error
}

// Store keeps messages. All methods are safe for concurrent use.
type Store interface {
	// Append takes the batch into the journal's next group and returns at once: it
	// copies nothing of the caller's but keeps b until Done was called. Sequence
	// numbers are assigned before it returns (Batch.Seq). An error (ErrFull,
	// ErrFailed, ErrClosed, ErrTooLarge) means that nothing was taken and Done will
	// not be called. Otherwise b.Done is called exactly once, on the store's commit
	// goroutine, in order of Append; it must not block. Append waits while the disk is
	// far behind (a bound on bytes not yet written), so a Done must not call it.
	Append(b *Batch) error

	// Load appends to dst up to max committed live references of one lane with
	// Seq > after, in order, and reports whether there may be more. With maxBytes > 0
	// it also reads the messages (Stored.Message, at least one, each a slice the
	// caller may keep) and stops when they exceed maxBytes.
	Load(dst []Stored, d DestID, l Lane, after Seq, max int, maxBytes int) ([]Stored, bool, error)

	// Find returns one live reference, without its message. ErrNotFound.
	Find(r Ref) (Stored, error)

	// FindKey returns the live reference of a lane whose message has the key
	// (Message.DedupKey), without its message. ErrNotFound.
	FindKey(d DestID, l Lane, key string) (Stored, error)

	// Read returns the encoded message at l in a slice the caller may keep. ErrMoved, ErrCorrupt.
	Read(l Loc) ([]byte, error)

	// Expired appends to dst up to max committed live references whose expiry is > 0
	// and <= now, in order of expiry, beginning behind the cursor (nil = from the
	// first, see ExpiryCursor), and returns the cursor to go on with (nil = no more).
	Expired(dst []Stored, now int64, cursor []byte, max int) ([]Stored, []byte, error)

	// Catalog calls fn for each key put and not deleted, in order of key. The
	// slices are only valid during the call.
	Catalog(fn func(key, value []byte) error) error

	// Counts returns live references and bytes of their messages per destination
	// and lane as of the commit position. O(destinations), not O(messages).
	Counts() map[DestID][Lanes]Count

	// Mark returns the highest Seq of a lane that may have been delivered
	// (Batch.Mark); 0 if none.
	Mark(d DestID, l Lane) Seq

	// NextSeq returns a lower bound of the Seq that the next reference will get.
	NextSeq() Seq

	// Checkpoint brings the index up to the commit position and returns when done.
	Checkpoint() error

	Stats() Stats

	// Failed is closed when the store has failed for good; Stats().Failed says why.
	Failed() <-chan struct{}

	// Close waits for what was appended, checkpoints and closes.
	Close() error
}

// ExpiryCursor is a cursor for Expired: it begins with the first reference that
// expires at or after t, in ms since 1970.
func ExpiryCursor(t int64) []byte {
	if t <= 0 {
		return nil
	}
	return AppendExpiryCursor(nil, t-1, Ref{Dest: 1<<32 - 1, Lane: Lanes, Seq: 1<<64 - 1})
}

// AppendExpiryCursor appends a cursor for Expired that goes on behind a reference
// with the given expiry, whether it is still there or not.
func AppendExpiryCursor(dst []byte, expiry int64, r Ref) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(expiry))
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Dest))
	dst = append(dst, byte(r.Lane))
	return binary.BigEndian.AppendUint64(dst, uint64(r.Seq))
}

// ParseExpiryCursor is the inverse of AppendExpiryCursor; nil is the beginning.
func ParseExpiryCursor(c []byte) (expiry int64, r Ref, ok bool) {
	if len(c) != 21 {
		return 0, Ref{}, len(c) == 0
	}
	return int64(binary.BigEndian.Uint64(c)), Ref{
		Dest: DestID(binary.BigEndian.Uint32(c[8:])), Lane: Lane(c[12]), Seq: Seq(binary.BigEndian.Uint64(c[13:])),
	}, true
}

// Count is a number of references and the bytes of their encoded messages.
type Count struct {
	Refs  int64
	Bytes int64
}
