package broker

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"maps"
	"slices"

	"treadmq/broker/selector"
	"treadmq/store"
)

// Bounds of the index over headers.
const (
	indexBlock    = 64   // references of a run
	indexStep     = 1024 // runs looked at under queue.mu at a time
	indexShare    = 4    // the indexes of all queues take a quarter of the broker's memory at most
	indexOverhead = 64   // bytes of a run beside its keys
)

// headerIndex is what a queue's policy indexHeaders asks for. For each paged lane the queue then keeps, in memory, which
// values of these headers each run of references has; a scan passes over runs that cannot have what its
// selector needs. What it does read it tests as ever, so the index decides nothing. It does not change.
type headerIndex struct {
	headers []string
	names   map[string]uint32 // identifiers of selectors that mean an indexed header -> its number
	sorted  []string          // these identifiers
	table   nameTable         // and what they mean, in the same order
	seed    maphash.Seed
	block   int // references of a run
}

// indexAliases are identifiers that mean the same text field.
var indexAliases = [][]string{{"correlation-id", "JMSCorrelationID"}, {"type", "JMSType"}, {"JMSXGroupID", "AMQGroupID"}}

// IndexableHeader reports whether a header may be in Policy.IndexHeaders: all but those that the broker sets as other
// things than text.
func IndexableHeader(name string) bool {
	switch f, ok := selector.Canonical(name); {
	case ok:
		return f == selector.FieldCorrelationID || f == selector.FieldType || f == selector.FieldGroupID || f == selector.FieldUserID
	case name == "type" || name == "correlation-id":
		return true
	}
	_, field := stompNames[name]
	return !field && name != headerPersistent && name != headerRedelivered
}

func newHeaderIndex(headers []string, block int) *headerIndex {
	x := &headerIndex{headers: headers, names: map[string]uint32{}, seed: maphash.MakeSeed(), block: block}
	for i, h := range headers {
		if !IndexableHeader(h) {
			continue
		}
		x.names[h] = uint32(i)
		for _, group := range indexAliases {
			if slices.Contains(group, h) {
				for _, alias := range group {
					x.names[alias] = uint32(i)
				}
			}
		}
	}
	x.sorted = slices.Sorted(maps.Keys(x.names))
	x.table = newNameTable(x.sorted)
	return x
}

func (x *headerIndex) has(name string) bool {
	_, ok := x.names[name]
	return ok
}

// hash makes a key of a value: 32 bits, so once in a while a run is read in vain.
func (x *headerIndex) hash(header uint32, v selector.Value) uint32 {
	var h maphash.Hash
	h.SetSeed(x.seed)
	var head [13]byte
	binary.LittleEndian.PutUint32(head[:], header)
	head[4] = byte(v.Kind())
	binary.LittleEndian.PutUint64(head[5:], v.Bits())
	h.Write(head[:])
	h.WriteString(v.Text())
	return uint32(h.Sum64())
}

// keys returns what a message is found by, false if that is not known.
func (x *headerIndex) keys(b *Broker, m *Message, overlay []byte) ([]uint32, bool) {
	if m == nil {
		return nil, false
	}
	src := selectorSource{b: b, m: m, names: &x.table, overlay: overlay}
	var keys []uint32
	var buf [3]selector.Value
	for i, name := range x.sorted {
		n := x.names[name]
		values, ok := selector.AppendKeys(buf[:0], src.value(name, &x.table.uses[i]))
		if !ok {
			return nil, false
		}
		for _, v := range values {
			keys = append(keys, x.hash(n, v))
		}
	}
	return keys, true
}

// indexPlan is a selector's need in keys: all of the parts, any of them, or any of the keys, which are sorted.
type indexPlan struct {
	all, any []indexPlan
	keys     []uint32
}

// plan returns nil for a selector that the index cannot help.
func (x *headerIndex) plan(f *filter) *indexPlan {
	if f == nil {
		return nil
	}
	need, ok := f.sel.Need(x.has)
	if !ok {
		return nil
	}
	p := x.compile(&need)
	return &p
}

func (x *headerIndex) compile(n *selector.Need) indexPlan {
	var p indexPlan
	switch {
	case n.All != nil:
		for i := range n.All {
			p.all = append(p.all, x.compile(&n.All[i]))
		}
	case n.Any != nil:
		for i := range n.Any {
			if part := x.compile(&n.Any[i]); part.keys != nil {
				p.keys = append(p.keys, part.keys...)
			} else {
				p.any = append(p.any, part)
			}
		}
		slices.Sort(p.keys)
		if p.any != nil && p.keys != nil {
			p.any, p.keys = append(p.any, indexPlan{keys: p.keys}), nil
		}
	default:
		p.keys = []uint32{x.hash(x.names[n.Name], n.Value.Key())}
	}
	return p
}

// metBy reports whether a run with these keys, which are sorted, may have a match.
func (p *indexPlan) metBy(keys []uint32) bool {
	switch {
	case p.all != nil:
		for i := range p.all {
			if !p.all[i].metBy(keys) {
				return false
			}
		}
		return true
	case p.any != nil:
		for i := range p.any {
			if p.any[i].metBy(keys) {
				return true
			}
		}
		return false
	}
	few, many := p.keys, keys
	if len(few) > len(many) {
		few, many = many, few
	}
	for _, k := range few {
		if _, found := slices.BinarySearch(many, k); found {
			return true
		}
	}
	return false
}

// useHeaderIndex begins or ends the index as the policy says. q.mu is held.
func (q *queue) useHeaderIndex(headers []string) {
	if q.headers == nil && len(headers) == 0 || q.headers != nil && slices.Equal(q.headers.headers, headers) {
		return
	}
	q.dropIndex()
	if q.headers = nil; len(headers) > 0 {
		q.headers = newHeaderIndex(headers, q.b.opt.IndexBlock)
		q.startIndex()
	}
}

// dropIndex forgets all of it. q.mu is held.
func (q *queue) dropIndex() {
	for src := range sources {
		for l := range store.Lanes {
			q.lanes[src][l].unindex()
		}
	}
}

func (l *lane) unindex() {
	if l.index != nil {
		l.index.drop()
		l.index = nil
	}
}

// indexed notes an entry that is left in the store. q.mu is held.
func (q *queue) indexed(ln *lane, e *entry) {
	if ln.index == nil {
		ln.index = &laneIndex{x: q.headers, b: q.b}
	}
	ln.index.add(e)
}

// startIndex reads what lies behind the window already, in the background. q.mu is held.
func (q *queue) startIndex() {
	x, any := q.headers, false
	for src := range sources {
		for l := range store.Lanes {
			ln := &q.lanes[src][l]
			if !ln.paged || ln.pagedAfter >= ln.maxSeq {
				continue
			}
			ln.index = &laneIndex{x: x, b: q.b, runs: []indexRun{{low: ln.pagedAfter + 1, high: ln.maxSeq, gap: true}}}
			ln.index.charge(indexOverhead)
			any = true
		}
	}
	if any {
		q.b.spawn(func() { q.buildIndex(x) })
	}
}

// startIndexes begins to make the indexes of queues that are there at the start.
func (b *Broker) startIndexes() {
	b.destMu.RLock()
	defer b.destMu.RUnlock()
	for _, q := range b.queues {
		q.mu.Lock()
		if q.headers != nil {
			q.startIndex()
		}
		q.mu.Unlock()
	}
}

// buildIndex reads all gaps, a bounded page at a time. While it does, scans read the gaps themselves.
func (q *queue) buildIndex(x *headerIndex) {
	for src := range sources {
		for l := range store.Lanes {
			for q.buildPage(x, src, store.Lane(l)) {
				select {
				case <-q.b.stop:
					return
				default:
				}
			}
		}
	}
}

// buildPage reads the beginning of a lane's gap and reports whether there is more of it.
func (q *queue) buildPage(x *headerIndex, src source, l store.Lane) bool {
	b, ln := q.b, &q.lanes[src][l]
	q.mu.Lock()
	li := ln.index
	if q.headers != x || q.deleted.Load() || li == nil {
		q.mu.Unlock()
		return false
	}
	_, gap := li.gap()
	if gap == nil {
		q.mu.Unlock()
		return false
	}
	after, upto := max(gap.low-1, ln.pagedAfter), gap.high
	q.mu.Unlock()

	b.loaders <- struct{}{}
	refs, more, err := b.read(src, q.id, l, after, scanRefs, scanBytes)
	<-b.loaders
	if err != nil {
		q.indexFailed(x, err)
		return false
	}
	part := laneIndex{x: x, b: b}
	for i := range refs {
		if refs[i].Seq > upto {
			more = false
			break
		}
		e, err := q.stored(&refs[i], src)
		if err != nil {
			e = &entry{seq: refs[i].Seq} // damaged: nothing is known of it
		}
		part.add(e)
		after = refs[i].Seq
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if ln.index != li {
		part.drop()
		return false
	}
	li.fill(part.runs, part.bytes, after, more)
	li.trim(ln.pagedAfter)
	return true
}

// fill puts runs in the place of the gap's beginning, up to after, or of all of it.
func (li *laneIndex) fill(runs []indexRun, bytes int64, after store.Seq, more bool) {
	li.bytes += bytes // charged already
	at, gap := li.gap()
	if gap == nil {
		li.runs = append(runs, li.runs...) // the window has passed it: they are trimmed
		return
	}
	if gap.low = after + 1; !more || gap.low > gap.high {
		li.runs = slices.Replace(li.runs, at, at+1, runs...)
		li.charge(-indexOverhead)
		return
	}
	li.runs = slices.Insert(li.runs, at, runs...)
}

// indexFailed tries again later. Until then the gap is read by those who scan it.
func (q *queue) indexFailed(x *headerIndex, err error) {
	if errors.Is(err, store.ErrClosed) {
		return
	}
	q.b.log.Error("the index of a queue's headers cannot be made; trying again", "dest", q.dest.String(), "after", loadRetry, "err", err)
	q.b.timers.call(q.b.now().Add(loadRetry), func() { q.b.spawn(func() { q.buildIndex(x) }) })
}

// planOf returns what the index can do for a scan, nil if nothing. q.mu is held.
func (q *queue) planOf(sc *scan) *indexPlan {
	if sc.planned != q.headers {
		sc.planned, sc.plan = q.headers, nil
		if q.headers != nil {
			sc.plan = q.headers.plan(sc.sub.filter)
		}
	}
	return sc.plan
}
