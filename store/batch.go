package store

// Batch is a group of operations that becomes durable, visible and replicated as
// a whole or not at all. Build it, Append it, wait for Done; then it may be Reset
// and used again. It is not safe for concurrent use.
//
// Operations are applied in the order in which they were added.
type Batch struct {
	// Done is called once when the batch is committed (err nil) or will never be.
	// It runs on the store's commit goroutine and must not block.
	Done func(b *Batch, err error)
	// Owner is the caller's, untouched by the store.
	Owner any
	// Lazy says that nobody waits for Done: the store may delay the sync by a few
	// milliseconds to share it. A batch with Lazy false that follows takes it along.
	Lazy bool

	Ops  []Op // in order; read-only for others than this package and the store
	refs int  // sequence numbers needed
	size int  // bytes of messages and overlays
	base Seq  // assigned by Append; reference i has base+i
	grow bool // needs room: refused when the disk is at its reserve
}

// OpKind is the kind of an operation. The numbers are in the journal.
type OpKind uint8

// Kinds of operations. Prepare and Outcome are reserved for two-phase commit.
const (
	OpEnqueue    OpKind = 1 // Message with Refs
	OpLink       OpKind = 2 // new Refs for the message that Ref points to
	OpRemove     OpKind = 3 // Ref is gone: acknowledged, expired, moved
	OpAttempts   OpKind = 4 // Ref has been delivered N times; Until is a lease deadline or 0
	OpMark       OpKind = 5 // Ref.Dest, Ref.Lane: everything up to Ref.Seq may have been delivered
	OpPurge      OpKind = 6 // all of Ref.Dest up to Ref.Seq is gone, except Keep
	OpDrop       OpKind = 7 // all of Ref.Dest is gone, and its marks
	OpPut        OpKind = 8 // catalog
	OpDelete     OpKind = 9 // catalog
	OpMove       OpKind = 10
	OpEpochStart OpKind = 11
	OpCatalog    OpKind = 12
	OpPrepare    OpKind = 13
	OpOutcome    OpKind = 14
)

// Op is one operation. Which fields count depends on Kind.
type Op struct {
	Kind    OpKind
	Ref     Ref
	ID      uint64 // OpLink: identity of the new references; 0 = the message's
	Loc     Loc    // OpRemove: where the caller believes the body is; OpEnqueue: where it is, set before Done
	N       uint32
	Until   int64 // ms since 1970
	Message Message
	Refs    []NewRef
	First   int // index of the first of Refs within the batch's sequence numbers
	Keep    []Seq
	Key     []byte
	Value   []byte
}

// Reset empties the batch and keeps its memory. Done, Owner and Lazy are cleared.
func (b *Batch) Reset() {
	clear(b.Ops)
	*b = Batch{Ops: b.Ops[:0]}
}

func (b *Batch) add() *Op {
	if n := len(b.Ops); n < cap(b.Ops) {
		b.Ops = b.Ops[:n+1] // what is behind has been cleared
	} else {
		b.Ops = append(b.Ops, Op{})
	}
	return &b.Ops[len(b.Ops)-1]
}

// Enqueue stores a message with its references and returns the index of its
// first reference for Seq. m.Encoded and the overlays must stay unchanged until Done.
func (b *Batch) Enqueue(m Message, refs ...NewRef) int {
	op := b.add()
	op.Kind, op.Message, op.Refs, op.First = OpEnqueue, m, refs, b.refs
	b.refs += len(refs)
	b.size += len(m.Encoded)
	b.grow = true
	return op.First
}

// Link gives the message that from points to further references, without
// storing it again. from must be live when the batch is applied, else Link does
// nothing.
func (b *Batch) Link(from Ref, refs ...NewRef) int {
	op := b.add()
	op.Kind, op.Ref, op.Refs, op.First = OpLink, from, refs, b.refs
	b.refs += len(refs)
	return op.First
}

// LinkAs is Link for references that are a message of their own to whoever reads
// them: they have the identity id instead of the linked message's.
func (b *Batch) LinkAs(id uint64, from Ref, refs ...NewRef) int {
	first := b.Link(from, refs...)
	b.Ops[len(b.Ops)-1].ID = id
	return first
}

// Remove takes one reference away. A reference that is not there is ignored. at
// is where the caller last saw the message; it spares a look-up.
func (b *Batch) Remove(r Ref, at Loc) {
	op := b.add()
	op.Kind, op.Ref, op.Loc = OpRemove, r, at
}

// Attempts records how often a reference has been delivered. until is a lease
// deadline in milliseconds since 1970, or 0.
func (b *Batch) Attempts(r Ref, n uint32, until int64) {
	op := b.add()
	op.Kind, op.Ref, op.N, op.Until = OpAttempts, r, n, until
}

// Mark records that references of a lane up to and including r.Seq may have been
// delivered. A lower mark than the present one is ignored.
func (b *Batch) Mark(r Ref) {
	op := b.add()
	op.Kind, op.Ref = OpMark, r
}

// Purge removes every reference of the destination with a Seq <= upto, except keep.
func (b *Batch) Purge(d DestID, upto Seq, keep []Seq) {
	op := b.add()
	op.Kind, op.Ref, op.Keep = OpPurge, Ref{Dest: d, Seq: upto}, keep
}

// Drop removes every reference and mark of the destination.
func (b *Batch) Drop(d DestID) {
	op := b.add()
	op.Kind, op.Ref = OpDrop, Ref{Dest: d}
}

// Put sets a catalog entry. The catalog is small (destinations, durable
// subscriptions, counters): it is kept in memory and repeated in every segment.
func (b *Batch) Put(key, value []byte) {
	op := b.add()
	op.Kind, op.Key, op.Value = OpPut, key, value
}

// Delete removes a catalog entry.
func (b *Batch) Delete(key []byte) {
	op := b.add()
	op.Kind, op.Key = OpDelete, key
}

// Seq returns the sequence number of the i-th reference that the batch creates,
// counted over all its operations. Valid after Append.
func (b *Batch) Seq(i int) Seq { return b.base + Seq(i) }

// SetBase is for stores: it assigns the sequence numbers.
func (b *Batch) SetBase(s Seq) { b.base = s }

// Refs returns how many sequence numbers the batch needs.
func (b *Batch) Refs() int { return b.refs }

// Size returns the bytes of the encoded messages in the batch.
func (b *Batch) Size() int { return b.size }

// Empty reports whether the batch has no operation.
func (b *Batch) Empty() bool { return len(b.Ops) == 0 }

// Grows reports whether the batch stores messages, so that a full disk refuses it.
func (b *Batch) Grows() bool { return b.grow }
