package ha

import (
	"errors"
	"time"

	"treadmq/ha/replica"
	"treadmq/store/local"
)

// act carries out one action of the core. Nothing here waits.
func (n *Node) act(a replica.Action) {
	switch a := a.(type) {
	case replica.Send:
		if l := n.links[a.Link]; l != nil {
			if r, ok := a.Message.(*replica.Refuse); ok {
				n.turnedAway(l, r.Reason)
			}
			l.send(a.Message)
		}
	case replica.AppendData:
		n.disk.box.put(appendTask{a, n.body})
		n.body = nil
	case replica.SyncLog, replica.SaveMeta, replica.TruncateLog, replica.Pause, replica.Serve, replica.Hold:
		n.disk.box.put(a)
	case replica.Fence, replica.StopServing:
		n.depose()
		n.disk.box.put(a)
	case replica.Lead:
		n.lead(a)
	case replica.Install:
		n.disk.box.put(a)
	case replica.Resume:
		n.disk.box.put(resumeTask{})
	case replica.Commit:
		n.told.Store(uint64(a.Pos))
		if n.gate != nil {
			n.gate.commit(a.Pos)
		}
		n.disk.applier.commit(a.Pos)
	case replica.Ordered:
		n.ordered(a)
	case replica.Report:
		n.story.tell(a.Level, n.epoch(), n.named(a.Text))
	case replica.Fail:
		n.failed(a)
	default:
		n.actOutside(a)
	}
}

// actOutside does what concerns links and the coordination service.
func (n *Node) actOutside(a replica.Action) {
	switch a := a.(type) {
	case replica.OpenSession:
		signal(n.coord.open)
	case replica.MarkSuspect:
		n.coord.box.put(a)
		n.awaitMark()
	case replica.Change, replica.Reclaim, replica.Publish, replica.Unmark:
		n.coord.box.put(a)
	case replica.Dial:
		n.port.dial(a)
	case replica.Close:
		if l := n.links[a.Link]; l != nil {
			delete(n.links, a.Link)
			l.finish()
		}
	case replica.Stream:
		if l, feed := n.links[a.Link], n.disk.feed.Load(); l != nil && feed != nil {
			l.stream(a, *feed)
		}
	case replica.Offer:
		n.offer(a)
	case replica.Fetch:
		n.startFetch(a)
	case replica.StopFetch:
		n.stopFetch()
	}
}

// lead begins a mastership, or its next epoch.
func (n *Node) lead(a replica.Lead) {
	if n.gate == nil {
		n.gate = newGate(func() { signal(n.kick) })
		n.readable.Store(0)
	}
	n.gate.begin(a.Op, a.Epoch)
	n.disk.box.put(leadTask{a, n.gate})
}

// depose ends mastership at once: from here on the store commits nothing.
func (n *Node) depose() {
	n.fresh.Store(notMaster)
	if n.gate != nil {
		n.gate.depose()
		n.gate = nil
	}
}

// awaitMark waits for the mark of a failed sync: the member's last act. Without one the
// meta file has to say it.
func (n *Node) awaitMark() {
	n.depose()
	n.marked = true
	select {
	case ok := <-n.coord.marked:
		if ok {
			n.noted.Store(true)
			return
		}
	case <-time.After(markTime):
	}
	n.noteSuspect()
}

// noteSuspect writes into the meta file that what is on disk cannot be trusted. The
// store has failed and uses it no more.
func (n *Node) noteSuspect() {
	_, m, err := n.disk.identity()
	if err == nil {
		m.Suspect = true
		err = local.NoteMember(n.opt.Store, membership(m, n.opt.Sync.Volatile()))
	}
	n.noted.Store(true)
	if err != nil {
		n.log.Error("neither the coordination service nor the meta file could be told that the disk failed: do not start this member again before its data folder is emptied", "err", err)
	}
}

// strange says of whoever proves to know the token and still is not of this group what it
// is. What a member is refused for on and off, as long as there is no master, is not in here.
var strange = map[replica.Reason]string{
	replica.OtherGroup:   "a member of another group: check its configuration",
	replica.OtherCluster: "a member of another cluster: check its zkAddress, its zkPath and whose data folder it has",
	replica.OtherVersion: "a member whose program has no version of the protocol in common with this one: bring both to the same release",
	replica.TooOld:       "a member whose program is too old for the format of this group: upgrade it",
}

// turnedAway makes an alarm of a refusal that an operator has to look after.
func (n *Node) turnedAway(l *link, why replica.Reason) {
	if text := strange[why]; text != "" {
		n.port.refuse(l.conn, errors.New(text))
	}
}
