package broker

import (
	"slices"

	"treadmq/store"
)

// indexRun is a run of references of a lane.
type indexRun struct {
	low, high store.Seq
	refs      int
	keys      []uint32 // sorted, each once
	blind     bool     // its keys are not known: anything may be in it
	gap       bool     // nor its references: they are still to be read
}

func (run *indexRun) size() int64 { return indexOverhead + 4*int64(len(run.keys)) }

// laneIndex has a paged lane's runs in order, from the first behind the window to maxSeq. Each reference of the lane
// there is in one. Guarded by queue.mu.
type laneIndex struct {
	x     *headerIndex
	b     *Broker
	runs  []indexRun
	bytes int64
}

func (li *laneIndex) charge(n int64) {
	li.bytes += n
	li.b.indexMem.Add(n)
	li.b.mem.Add(n)
}

func (li *laneIndex) full() bool { return li.b.indexMem.Load() >= li.b.memLimit/indexShare }

// add notes a reference that became visible.
func (li *laneIndex) add(e *entry) {
	keys, known := li.x.keys(li.b, e.msg, e.overlay)
	last := len(li.runs) - 1
	if last >= 0 && e.seq <= li.runs[last].high { // arrived after a later one
		run := &li.runs[li.find(e.seq)]
		if run.low = min(run.low, e.seq); !run.gap {
			li.put(run, keys, known)
		}
		return
	}
	known = known && !li.full()
	if last < 0 || !li.runs[last].takes(known, li.x.block) {
		if last >= 0 {
			li.runs[last].keys = slices.Clip(slices.Clone(li.runs[last].keys))
		}
		li.runs = append(li.runs, indexRun{low: e.seq, high: e.seq})
		li.charge(indexOverhead)
		last++
	}
	run := &li.runs[last]
	run.high = e.seq
	li.put(run, keys, known)
}

// takes reports whether one more reference belongs to the run: what is not known goes together.
func (run *indexRun) takes(known bool, most int) bool {
	return !run.gap && run.blind == !known && (run.blind || run.refs < most)
}

// put notes a reference's keys in its run.
func (li *laneIndex) put(run *indexRun, keys []uint32, known bool) {
	before := run.size()
	run.refs++
	if run.blind = run.blind || !known; run.blind {
		keys, run.keys = nil, nil
	}
	for _, k := range keys {
		if i, found := slices.BinarySearch(run.keys, k); !found {
			run.keys = slices.Insert(run.keys, i, k)
		}
	}
	li.charge(run.size() - before)
}

// find returns the first run that ends at s or later.
func (li *laneIndex) find(s store.Seq) int {
	i, _ := slices.BinarySearchFunc(li.runs, s, func(run indexRun, s store.Seq) int {
		if run.high < s {
			return -1
		}
		return 1
	})
	return i
}

// next looks for a match behind after: nothing up to upto can be one, and of what follows refs references should be read.
// refs = 0: look again from upto on; upto is beyond all numbers at the end.
func (li *laneIndex) next(after store.Seq, p *indexPlan) (upto store.Seq, refs int) {
	first := li.find(after + 1)
	i := first
	for ; i < len(li.runs) && !li.runs[i].mayHave(p); i++ {
		if i-first == indexStep {
			return li.runs[i].high, 0
		}
	}
	if i == len(li.runs) {
		return ^store.Seq(0), 0
	}
	upto = max(after, li.runs[i].low-1)
	for ; i < len(li.runs) && refs < scanRefs && li.runs[i].mayHave(p); i++ {
		if refs += li.runs[i].refs; li.runs[i].gap {
			refs = scanRefs
		}
	}
	return upto, min(refs, scanRefs)
}

func (run *indexRun) mayHave(p *indexPlan) bool { return run.blind || run.gap || p.metBy(run.keys) }

// trim forgets what the window has reached.
func (li *laneIndex) trim(upto store.Seq) {
	n := li.find(upto + 1)
	var freed int64
	for i := range n {
		freed += li.runs[i].size()
	}
	clear(li.runs[:n])
	li.runs = li.runs[n:]
	li.charge(-freed)
}

func (li *laneIndex) drop() {
	li.runs = nil
	li.charge(-li.bytes)
}

// gap returns the run that is still to be read, nil if there is none.
func (li *laneIndex) gap() (at int, run *indexRun) {
	for i := range li.runs {
		if li.runs[i].gap {
			return i, &li.runs[i]
		}
	}
	return 0, nil
}
