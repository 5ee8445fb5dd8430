package ha

import (
	"sync"

	"treadmq/ha/replica"
	"treadmq/store"
)

// gate is the store's local.Gate during one mastership: what the store writes and syncs
// goes to the core, what the core commits releases the store's commits. From depose on nothing
// is committed any more, whatever comes.
type gate struct {
	news func() // wakes the core's goroutine

	mu        sync.Mutex // guards everything below
	changed   sync.Cond  // committed or deposed
	epoch     store.Epoch
	written   store.Position
	synced    store.Position
	committed store.Position
	deposed   bool

	lead    replica.Op // Lead that is not answered yet
	begins  store.Epoch
	start   store.Position // where that epoch's first batch lies
	started bool           // start is known
	told    store.Position // written, as told
	stable  store.Position // synced, as told
}

func newGate(news func()) *gate {
	g := &gate{news: news}
	g.changed.L = &g.mu
	return g
}

// Written implements local.Gate.
func (g *gate) Written(e store.Epoch, end store.Position) {
	g.mu.Lock()
	g.epoch, g.written = e, end
	g.mu.Unlock()
	g.news()
}

// Synced implements local.Gate.
func (g *gate) Synced(_ store.Epoch, end store.Position) {
	g.mu.Lock()
	g.synced = end
	g.mu.Unlock()
	g.news()
}

// Wait implements local.Gate.
func (g *gate) Wait(end store.Position) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.committed < end && !g.deposed {
		g.changed.Wait()
	}
	if g.deposed {
		return store.ErrDeposed
	}
	return nil
}

// commit releases what lies below pos.
func (g *gate) commit(pos store.Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if pos > g.committed {
		g.committed = pos
		g.changed.Broadcast()
	}
}

func (g *gate) depose() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deposed = true
	g.changed.Broadcast()
}

// begin notes that a Lead is to be answered when the epoch's start is written.
func (g *gate) begin(op replica.Op, e store.Epoch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lead, g.begins, g.started = op, e, false
}

// startsAt says where the journal ends before the epoch's first batch.
func (g *gate) startsAt(at store.Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.start, g.started = at, true
}

// unanswered takes the Lead that was never written, 0 if there is none.
func (g *gate) unanswered() replica.Op {
	g.mu.Lock()
	defer g.mu.Unlock()
	op := g.lead
	g.lead = 0
	return op
}

// report returns what the core has not been told: nil for what is not new.
func (g *gate) report() (led *replica.Led, appended *replica.Appended, synced *replica.Synced) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.deposed || g.written == 0 {
		return nil, nil, nil
	}
	if g.lead != 0 {
		if !g.started || g.epoch != g.begins || g.written <= g.start {
			return nil, nil, nil
		}
		led = &replica.Led{Op: g.lead, Start: g.start, End: g.written}
		g.lead, g.told = 0, g.written
	}
	if g.written > g.told {
		g.told = g.written
		appended = &replica.Appended{Epoch: g.epoch, End: g.written}
	}
	if s := min(g.synced, g.told); s > g.stable {
		g.stable = s
		synced = &replica.Synced{Stable: s}
	}
	return led, appended, synced
}
