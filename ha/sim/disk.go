package sim

import (
	"treadmq/ha/replica"
	"treadmq/store"
)

// entry is a batch of the log; every batch is one position long. chain covers all
// before it, as the journal's does.
type entry struct {
	chain uint64
	prev  uint64 // chain of the entry before
	epoch uint32
	asked uint32 // highest epoch that had given a receipt when the entry was made
	start bool   // of its epoch
}

// disk is what outlives a process.
type disk struct {
	id      replica.NodeID
	meta    replica.Meta
	log     []entry
	epochs  store.EpochList
	tail    int // what is below cannot be streamed
	stable  int // what is behind is lost with the power
	applied int

	staged staging
}

// staging is a snapshot on its way.
type staging struct {
	at, end int
	chain   uint64 // at the end, to tell whether it is the same one
	have    int    // of end-at+1 pieces, the first is the index
	log     []entry
	epochs  store.EpochList
}

func (d *disk) chainAt(p int) uint64 {
	if p <= 0 || p > len(d.log) {
		return 0
	}
	return d.log[p-1].chain
}

func (d *disk) state() replica.LogState {
	return replica.LogState{Tail: replica.Position(d.tail), End: replica.Position(len(d.log)), Stable: replica.Position(d.stable),
		Applied: replica.Position(d.applied), Epochs: d.epochs}
}

// truncate cuts the log.
func (d *disk) truncate(to int) {
	d.log = d.log[:to:to]
	d.stable = min(d.stable, to)
	d.epochs = append(store.EpochList(nil), d.epochs...).Truncate(replica.Position(to))
}

// add appends entries that were checked to continue the log.
func (d *disk) add(es ...entry) {
	for _, e := range es {
		if e.start {
			d.epochs = append(d.epochs[:len(d.epochs):len(d.epochs)], store.EpochStart{Epoch: replica.Epoch(e.epoch), Start: replica.Position(len(d.log))})
		}
		d.log = append(d.log, e)
	}
}

// nextChain is the chain value behind an entry; what tells entries apart goes into it.
func nextChain(prev uint64, epoch uint32, content uint64) uint64 {
	h := prev ^ uint64(epoch)*0x9e3779b97f4a7c15 ^ content*0xbf58476d1ce4e5b9
	h ^= h >> 29
	h *= 0x94d049bb133111eb
	return h ^ h>>32 | 1
}

// losePower takes what was not synced: all of it, or all behind some point.
func (w *World) losePower(d *disk) {
	if d.stable >= len(d.log) {
		return
	}
	keep := d.stable
	if w.chance(0.5) {
		keep = d.stable + w.rnd.IntN(len(d.log)-d.stable+1)
	}
	d.truncate(keep)
	d.stable = keep
}
