package journal

import (
	"encoding/binary"
	"maps"
	"slices"

	"treadmq/store"
)

// LaneID is one lane of one destination.
type LaneID struct {
	Dest store.DestID
	Lane store.Lane
}

// Compare orders lanes by destination, then lane.
func (a LaneID) Compare(b LaneID) int {
	if a.Dest != b.Dest {
		if a.Dest < b.Dest {
			return -1
		}
		return 1
	}
	return int(a.Lane) - int(b.Lane)
}

// Metadata is what each segment opens with: everything small that a reader of
// the segment needs when earlier ones are gone. It is the state at the segment's start.
type Metadata struct {
	Epochs  store.EpochList
	NextSeq store.Seq
	Catalog map[string][]byte
	Marks   map[LaneID]store.Seq
}

// NewMetadata returns an empty one.
func NewMetadata() *Metadata {
	return &Metadata{Catalog: map[string][]byte{}, Marks: map[LaneID]store.Seq{}}
}

// Clone copies it; values of the catalog are shared and never changed.
func (m *Metadata) Clone() *Metadata {
	return &Metadata{Epochs: slices.Clone(m.Epochs), NextSeq: m.NextSeq, Catalog: maps.Clone(m.Catalog), Marks: maps.Clone(m.Marks)}
}

// Apply notes what one record, behind what the metadata describes, changes of it.
// Epochs are the caller's.
func (m *Metadata) Apply(r *Record) {
	switch r.Kind {
	case store.OpEnqueue, store.OpLink:
		m.NextSeq = max(m.NextSeq, r.Seq+store.Seq(len(r.Refs)))
	case store.OpPut:
		m.Catalog[string(r.Key)] = slices.Clone(r.Value)
	case store.OpDelete:
		delete(m.Catalog, string(r.Key))
	case store.OpMark:
		m.Mark(r.Ref)
	case store.OpDrop:
		m.Drop(r.Ref.Dest)
	}
}

// Mark raises a mark.
func (m *Metadata) Mark(r store.Ref) {
	id := LaneID{r.Dest, r.Lane}
	if r.Seq > m.Marks[id] {
		m.Marks[id] = r.Seq
	}
}

// Drop forgets the marks of a destination.
func (m *Metadata) Drop(d store.DestID) {
	for l := range store.Lane(store.Lanes) {
		delete(m.Marks, LaneID{d, l})
	}
}

// Append appends the payload of an OpCatalog record, the same bytes for the same state.
func (m *Metadata) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(m.NextSeq))
	b = binary.AppendUvarint(b, uint64(len(m.Epochs)))
	for _, e := range m.Epochs {
		b = binary.AppendUvarint(b, uint64(e.Epoch))
		b = binary.AppendUvarint(b, uint64(e.Start))
	}
	b = binary.AppendUvarint(b, uint64(len(m.Catalog)))
	for _, k := range slices.Sorted(maps.Keys(m.Catalog)) {
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = append(b, k...)
		b = binary.AppendUvarint(b, uint64(len(m.Catalog[k])))
		b = append(b, m.Catalog[k]...)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Marks)))
	for _, id := range slices.SortedFunc(maps.Keys(m.Marks), LaneID.Compare) {
		b = appendRef(b, store.Ref{Dest: id.Dest, Lane: id.Lane, Seq: m.Marks[id]})
	}
	return b
}

func (r *reader) metadata() *Metadata {
	m := NewMetadata()
	m.NextSeq = store.Seq(r.u64())
	for n := r.count(); n > 0 && !r.bad; n-- {
		m.Epochs = append(m.Epochs, store.EpochStart{Epoch: store.Epoch(r.uvarint()), Start: store.Position(r.uvarint())})
	}
	for n := r.count(); n > 0 && !r.bad; n-- {
		k := string(r.take(r.uvarint()))
		m.Catalog[k] = append([]byte{}, r.take(r.uvarint())...)
	}
	for n := r.count(); n > 0 && !r.bad; n-- {
		m.Mark(r.ref())
	}
	return m
}
