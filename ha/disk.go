package ha

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"treadmq/ha/replica"
	"treadmq/store"
	"treadmq/store/local"
)

// lazySync bounds how long a mode that trusts memory leaves its journal unsynced, so that
// the index can follow.
const lazySync = 100 * time.Millisecond

// diskPoll is how often the store is asked for what it does by itself.
const diskPoll = 100 * time.Millisecond

// spacePoll is how often the store is asked for room on its disk.
const spacePoll = time.Second

// disk works on the member's store: one goroutine carries out the core's actions in order
// and answers each. While the member follows it owns the replica; while it leads, the store.
type disk struct {
	n    *Node
	box  *mailbox[any] // replica.Action, appendTask, and the disk's own
	done chan struct{} // closed when the goroutine ended

	replica *local.Replica // nil while leading, and when the folder is damaged
	store   *local.Store   // while leading, once the epoch is committed
	leading chan leadEnd   // capacity 1: the replica's Lead is under way, or ended
	member  *local.Replica // the last one opened, also after Lead
	gate    *gate
	service Service
	unwatch chan struct{} // closed with the store
	last    store.Epoch   // of the journal
	paused  store.Position
	dirty   time.Time // since when something is written and not synced; zero: nothing is
	applied store.Position
	tail    store.Position
	noRoom  bool      // the core was told so
	looked  time.Time // for room

	serving atomic.Pointer[Service] // for OnGroup

	feed     atomic.Pointer[local.Feed]    // the journal, for links; nil while there is none
	snapshot atomic.Pointer[local.Replica] // to take snapshots of
	applier  *applier
}

// appendTask is an AppendData with its bytes.
type appendTask struct {
	replica.AppendData
	body *body
}

// leadEnd is how Lead of the replica ended.
type leadEnd struct {
	store *local.Store
	err   error
}

type (
	leadTask struct {
		replica.Lead
		gate *gate
	}
	resumeTask struct{}
	stopTask   struct{ reason string } // the last one
)

func newDisk(n *Node) *disk {
	d := &disk{n: n, box: newMailbox[any](), done: make(chan struct{})}
	d.applier = newApplier(d)
	return d
}

// open opens the folder as a replica. What is damaged leaves none: the folder has to be
// fetched from the master, and damaged says so.
func (d *disk) open() (damaged bool, err error) {
	r, err := local.OpenReplica(d.n.opt.Store, d.n.opt.Group)
	if errors.Is(err, local.ErrIndexLost) || errors.Is(err, store.ErrCorrupt) {
		if node, _, e := local.MemberOf(d.n.opt.Store); e == nil && node != "" {
			d.n.log.Error("the store is damaged, it has to be fetched from the master", "dir", d.n.opt.Store.Dir, "err", err)
			return true, nil
		}
	}
	if err != nil {
		return false, err
	}
	d.replica, d.member = r, r
	d.last = r.State().Epochs.Last()
	d.tail, d.applied, d.dirty = r.Feed().Start(), r.Applied(), time.Time{}
	feed := r.Feed()
	d.feed.Store(&feed)
	d.snapshot.Store(r)
	d.applier.use(r)
	d.unwatch = make(chan struct{})
	go d.watch(r, d.unwatch)
	return false, nil
}

// watch tells when the store failed by itself.
func (d *disk) watch(r *local.Replica, stop chan struct{}) {
	select {
	case <-r.Failed():
		d.failed(r.Err())
	case <-stop:
	}
}

// failed tells why nothing more can be written.
func (d *disk) failed(err error) {
	switch {
	case errors.Is(err, store.ErrDeposed), errors.Is(err, store.ErrClosed):
	case errors.Is(err, store.ErrCorrupt):
		d.n.post(replica.Damaged{Text: err.Error()})
	default:
		d.n.post(replica.SyncFailed{Text: err.Error()})
	}
}

// broken says why the disk cannot be trusted any more. A folder is not opened again in this
// process then: that would sync what a failed sync may have lost.
func (d *disk) broken() error {
	if d.member == nil {
		return nil
	}
	if err := d.member.Err(); err != nil && !errors.Is(err, store.ErrDeposed) && !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	return nil
}

// closed takes the store away from everybody before it is closed.
func (d *disk) closed() {
	d.applier.drop()
	d.feed.Store(nil)
	d.snapshot.Store(nil)
	d.n.offers.releaseAll()
	if d.unwatch != nil {
		close(d.unwatch)
		d.unwatch = nil
	}
}

func (d *disk) run() {
	defer close(d.done)
	if d.replica != nil {
		d.scrub(d.replica.Feed(), d.replica.Applied())
	}
	tick := time.NewTicker(diskPoll)
	defer tick.Stop()
	var tasks []any
	for {
		select {
		case <-d.box.wake:
		case <-tick.C:
			d.poll()
		case end := <-d.leading:
			d.led(end)
		}
		tasks = d.box.take(tasks)
		for _, t := range tasks {
			if d.do(t) {
				return
			}
		}
	}
}

// do carries out one task and reports whether it was the last.
func (d *disk) do(t any) (last bool) {
	switch t := t.(type) {
	case appendTask:
		d.append(t)
	case replica.SyncLog:
		if pos, ok := d.sync(); ok {
			d.n.post(replica.Synced{Op: t.Op, Stable: pos})
		}
	case replica.Fence:
		d.fence(t)
	case replica.SaveMeta:
		if d.save(membership(t.Meta, d.n.opt.Sync.Volatile())) {
			d.n.post(replica.Saved{Op: t.Op})
		}
	case replica.TruncateLog:
		d.truncate(t)
	case leadTask:
		d.lead(t)
	case resumeTask:
		if d.store != nil {
			d.store.Resume()
		}
	case replica.Pause:
		d.pause(t)
	case replica.Serve:
		d.serve(t.Epoch)
	case replica.Hold:
		if d.service != nil {
			d.service.Hold(t.On)
		}
	case replica.StopServing:
		d.stopServing("another broker of the group becomes master")
	case replica.Install:
		d.install(t)
	case stopTask:
		d.shutdown(t.reason)
		return true
	}
	return false
}

// state describes the journal when nothing is under way in it.
func (d *disk) state() replica.LogState {
	if d.replica == nil {
		return replica.LogState{}
	}
	st := d.replica.State()
	return replica.LogState{Tail: st.Start, End: st.End, Stable: d.replica.Synced(), Applied: d.replica.Applied(), Epochs: st.Epochs}
}

func (d *disk) append(t appendTask) {
	defer t.body.free()
	if d.replica == nil {
		d.n.post(replica.Appended{Op: t.Op, Failed: replica.Mismatched})
		return
	}
	ev := replica.Appended{Op: t.Op}
	var err error
	ev.End, err = d.replica.Append(t.Pos, t.body.bytes)
	if starts := d.replica.EpochsAfter(d.last); len(starts) > 0 {
		ev.Starts, d.last = starts, starts.Last()
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		ev.Failed, d.noRoom = replica.NoRoom, true
	case err != nil:
		d.n.log.Warn("batches of the master were not appended", "pos", t.Pos, "err", err)
		ev.Failed = replica.Mismatched
	}
	if d.dirty.IsZero() {
		d.dirty = time.Now()
	}
	d.n.post(ev)
}

func (d *disk) sync() (store.Position, bool) {
	if d.replica == nil {
		return 0, true
	}
	d.dirty = time.Time{}
	pos, err := d.replica.Sync()
	if err != nil {
		d.failed(err)
		return 0, false
	}
	d.applier.kick()
	return pos, true
}

// fence finishes whatever is under way, leaves a mastership, and syncs.
func (d *disk) fence(t replica.Fence) {
	d.endLead()
	if err := d.broken(); err != nil {
		d.failed(err)
		return
	}
	if d.replica == nil && d.member != nil {
		d.member = nil
		damaged, err := d.open()
		if err != nil {
			d.n.post(replica.SyncFailed{Text: err.Error()})
			return
		}
		if damaged {
			d.n.post(replica.Damaged{Text: "it does not open"})
		}
	}
	if _, ok := d.sync(); ok {
		d.n.post(replica.Fenced{Op: t.Op, Log: d.state()})
	}
}

// identity reads the meta file.
func (d *disk) identity() (replica.NodeID, replica.Meta, error) {
	node, member, err := local.MemberOf(d.n.opt.Store)
	if err != nil {
		return "", replica.Meta{}, err
	}
	m, err := meta(member, d.n.opt.Sync.Volatile())
	return replica.NodeID(node), m, err
}

// save makes a membership durable wherever the meta file is now.
func (d *disk) save(m local.Membership) bool {
	var err error
	switch {
	case d.member != nil:
		err = d.member.SaveMembership(m)
	default:
		err = local.SaveMember(d.n.opt.Store, m)
	}
	if err != nil {
		d.failed(err)
	}
	return err == nil
}

func (d *disk) truncate(t replica.TruncateLog) {
	ev := replica.Truncated{Op: t.Op}
	if d.replica == nil {
		ev.Mismatch = true
		d.n.post(ev)
		return
	}
	chain, err := d.replica.Chain(t.To)
	if !t.Trusted && (err != nil || chain != t.Chain) {
		d.n.log.Error("the journal differs from the master's", "pos", t.To, "chain", chain, "master", t.Chain, "err", err)
		ev.Mismatch = true
		d.n.post(ev)
		return
	}
	if end := d.replica.State().End; t.To < end {
		d.n.log.Warn("cut off what the group did not commit", "from", t.To, "bytes", end-t.To)
		if err := d.replica.Truncate(t.To); err != nil {
			if errors.Is(err, local.ErrCommitted) {
				err = fmt.Errorf("the protocol was violated: %w", err)
			}
			d.failed(err)
			return
		}
		d.last = d.replica.State().Epochs.Last()
	}
	d.n.post(ev)
}

// poll looks at what the store does by itself.
func (d *disk) poll() {
	m := d.member
	if m == nil {
		return
	}
	if !d.dirty.IsZero() && d.replica != nil && d.n.opt.Sync.Volatile() && time.Since(d.dirty) >= lazySync {
		d.sync()
	}
	if at := m.Applied(); at > d.applied {
		d.applied = at
		d.n.post(replica.Applied{Pos: at})
	}
	if at := m.Feed().Start(); at > d.tail {
		d.tail = at
		d.n.post(replica.TailMoved{Tail: at})
	}
	if time.Since(d.looked) >= spacePoll {
		d.looked = time.Now()
		d.pollSpace()
	}
	d.applier.kick()
}

// pollSpace tells when there is room again, and on a master when even the reserve is used up.
func (d *disk) pollSpace() {
	st := d.member.Stats()
	segment := d.n.opt.Store.SegmentSize
	if segment == 0 {
		segment = 64 << 20
	}
	full := st.Full && st.FreeDisk >= 0 && st.FreeDisk < segment
	switch {
	case d.replica == nil && full && !d.noRoom:
		d.noRoom = true
		d.n.post(replica.DiskSpace{Full: true})
	case d.noRoom && !full:
		d.noRoom = false
		d.n.post(replica.DiskSpace{})
	}
}

// install makes a fetched snapshot the store.
func (d *disk) install(t replica.Install) {
	d.closed()
	if d.replica != nil {
		if err := d.replica.Close(); err != nil {
			d.n.log.Warn("closing the store that is replaced", "err", err)
		}
		d.replica, d.member = nil, nil
	}
	err := local.Install(d.n.opt.Store, membership(t.Meta, d.n.opt.Sync.Volatile()))
	var damaged bool
	if err == nil {
		damaged, err = d.open()
	}
	switch {
	case err != nil:
		d.n.post(replica.SyncFailed{Text: err.Error()})
		return
	case damaged:
		d.n.post(replica.Damaged{Text: "the store that was fetched does not open"})
	}
	d.n.post(replica.Installed{Op: t.Op, Log: d.state()})
	if d.replica != nil {
		d.scrub(d.replica.Feed(), d.replica.Applied())
	}
}

// discard closes what open opened, for a member that does not run.
func (d *disk) discard() {
	d.closed()
	if d.replica != nil {
		if err := d.replica.Close(); err != nil {
			d.n.log.Warn("the store was not closed in order", "err", err)
		}
	}
}

// shutdown leaves the folder closed in order, if it can be.
func (d *disk) shutdown(reason string) {
	d.stopServing(reason)
	d.endLead()
	if err := d.broken(); err != nil && !d.n.noted.Load() {
		d.n.noteSuspect()
	} else if err == nil && d.replica == nil && d.member != nil { // was leading: close as a replica does, that knows what is committed
		d.member = nil
		if _, err := d.open(); err != nil {
			d.n.log.Warn("the store was not closed in order", "err", err)
		}
	}
	d.discard()
	d.applier.stop()
}
