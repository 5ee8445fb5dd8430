package ha

import (
	"sync"
	"sync/atomic"

	"treadmq/store"
	"treadmq/store/local"
)

// applier brings a follower's index up to what is committed, on a goroutine of its own.
type applier struct {
	d    *disk
	wake chan struct{} // capacity 1
	quit chan struct{}
	done chan struct{}
	told atomic.Uint64 // committed

	mu      sync.Mutex     // held while the replica is used
	replica *local.Replica // nil: there is none to use
}

func newApplier(d *disk) *applier {
	return &applier{d: d, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

func (a *applier) kick() { signal(a.wake) }

// commit says how far the journal is committed.
func (a *applier) commit(pos store.Position) {
	a.told.Store(uint64(pos))
	a.kick()
}

func (a *applier) use(r *local.Replica) {
	a.mu.Lock()
	a.replica = r
	a.mu.Unlock()
	a.kick()
}

// drop takes the replica away and waits until it is not used.
func (a *applier) drop() {
	a.mu.Lock()
	a.replica = nil
	a.mu.Unlock()
}

func (a *applier) run() {
	defer close(a.done)
	for {
		select {
		case <-a.wake:
		case <-a.quit:
			return
		}
		a.apply()
	}
}

func (a *applier) apply() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.replica == nil {
		return
	}
	to := min(store.Position(a.told.Load()), a.replica.Synced())
	if err := a.replica.Commit(to); err != nil {
		a.d.n.log.Error("what is committed was not applied", "pos", to, "err", err) // the replica has failed
		a.replica = nil
	}
}

func (a *applier) stop() {
	close(a.quit)
	<-a.done
}
