package ha

import (
	"fmt"

	"treadmq/ha/replica"
	"treadmq/store"
)

// lead begins an epoch: on the replica, which becomes a store that appends, or on the store
// that leads already.
func (d *disk) lead(t leadTask) {
	d.gate = t.gate
	if d.store != nil { // voters were changed; the store is paused
		t.gate.startsAt(d.paused)
		if err := d.store.NextEpoch(t.Epoch, func(error) {}); err != nil {
			d.n.log.Warn("the next epoch was not begun", "epoch", t.Epoch, "err", err)
		}
		return
	}
	if d.replica == nil {
		return // a fence follows, when the core has waited long enough
	}
	d.applier.drop()
	r := d.replica
	d.replica = nil
	t.gate.startsAt(r.State().End)
	end := make(chan leadEnd, 1)
	d.leading = end
	go func() {
		s, err := r.Lead(t.Epoch, t.gate, d.onGroup)
		end <- leadEnd{s, err}
	}()
}

// led takes the store of an epoch whose start is committed.
func (d *disk) led(end leadEnd) {
	d.leading = nil
	if end.err != nil {
		d.n.log.Warn("mastership did not begin", "err", end.err)
		if d.member.Err() == nil { // the core knows of nothing that went wrong and would wait for ever
			d.n.fail(fmt.Errorf("this member became master and its store did not get ready, another member takes over; look for what is said about the disk: %w", end.err))
		}
		return // the fence that follows opens the folder again
	}
	d.store = end.store
	if at := d.member.Applied(); at > d.applied {
		d.applied = at
		d.n.post(replica.Applied{Pos: at})
	}
}

func (d *disk) onGroup() {
	if s := d.serving.Load(); s != nil {
		(*s).OnGroup()
	}
}

// serve opens the service. The index may be written, and the core told so by poll, a moment
// before Lead returns.
func (d *disk) serve(e store.Epoch) {
	if d.leading != nil {
		d.led(<-d.leading)
	}
	if d.store == nil || d.service != nil {
		return
	}
	s, err := d.n.opt.Serve(d.store, e)
	if err != nil {
		d.n.fail(fmt.Errorf("this member became master and cannot serve: %w", err))
		return
	}
	d.service = s
	d.serving.Store(&s)
	// What was committed while Serve was at work gets its OnGroup from where it belongs.
	if err := d.store.Append(&store.Batch{}); err != nil {
		d.n.log.Debug("the store of a new master takes nothing", "err", err) // told elsewhere
	}
}

func (d *disk) stopServing(reason string) {
	if d.store != nil {
		d.store.Depose()
	}
	if d.service == nil {
		return
	}
	d.service.Stop(reason)
	d.service = nil
	d.serving.Store(nil)
}

// pause stops appends.
func (d *disk) pause(t replica.Pause) {
	if d.store == nil {
		return
	}
	end, err := d.store.Pause()
	if err != nil {
		return // the store has failed, which is told elsewhere
	}
	d.paused = end
	d.n.post(replica.Paused{Op: t.Op, End: end})
}

// endLead ends a mastership, or an attempt at one. The gate is deposed already.
func (d *disk) endLead() {
	if d.leading != nil {
		d.led(<-d.leading)
	}
	if d.replica == nil && d.member != nil {
		d.stopServing("another broker of the group becomes master")
		d.closed()
		d.closeStore()
	}
	if d.gate == nil {
		return
	}
	if op := d.gate.unanswered(); op != 0 {
		d.n.post(replica.Led{Op: op})
	}
	d.gate, d.noRoom = nil, false
	d.n.post(replica.DiskSpace{}) // as a follower it tries
}

func (d *disk) closeStore() {
	if d.store == nil {
		return
	}
	if err := d.store.Close(); err != nil {
		d.n.log.Debug("the store of a master that is deposed was closed", "err", err)
	}
	d.store = nil
}
