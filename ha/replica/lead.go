package replica

import (
	"time"

	"treadmq/ha/internal/mutate"
	"treadmq/notice"
)

// lead is mastership of one epoch.
type lead struct {
	epoch    Epoch    // 0: not the master
	register Register // of that epoch
	op       Op       // Lead under way
	end      Position // behind the epoch's start record; 0 until it is written
	since    time.Duration
	heard    time.Duration // when a quorum was heard
	serving  bool
	held     bool // producers are held back
}

// startLead begins an epoch that this process claimed, or changed to, with a definite
// answer. Its start must be on a quorum before anything else counts.
func (c *Core) startLead(r Register) {
	if !c.assert(r.Epoch == c.meta.Promised && r.Master == c.cfg.ID, 3, "a master has promised its epoch") {
		return
	}
	serving := c.lead.serving
	c.lead = lead{epoch: r.Epoch, register: r, op: c.nextOp(), since: c.now, heard: c.now, serving: serving, held: c.lead.held}
	c.busy++
	c.emit(Lead{c.lead.op, r.Epoch, &c.lead.register})
}

func (c *Core) led(ev Led) {
	c.busy--
	if ev.Op != c.lead.op || c.lead.epoch == 0 {
		return // the fence that followed tells the log's state
	}
	if !c.assert(c.lead.epoch > c.log.Epochs.Last() && ev.Start >= c.log.End && ev.End > ev.Start, 10, "an epoch begins at the end of the log") && !c.broken.Has(mutate.ResumeEpoch) {
		return
	}
	c.log.Epochs = c.log.Epochs.Add(c.lead.epoch, ev.Start)
	c.log.End = ev.End
	c.lead.end = ev.End
	c.report(Info, "story.leads", "epoch %d: this node is master and waits for a quorum", c.lead.epoch)
}

// active says that the epoch's start is committed: the commit position covers
// everything that was ever committed.
func (c *Core) active() bool { return c.lead.end != 0 && c.known >= c.lead.end }

// stepDown ends mastership at once. Nothing is cut off: whether the tail counts is
// for the next election to say.
func (c *Core) stepDown(why notice.Notice) {
	l := &c.lead
	if l.epoch == 0 {
		return
	}
	c.report(Warning, "story.deposed", "epoch %d: this node is master no longer: %s", l.epoch, why)
	c.elect.since = c.now
	if l.serving {
		c.emit(StopServing{})
	} else {
		c.elect.penalty = min(max(2*c.elect.penalty, time.Second), 30*time.Second)
	}
	for i := 0; i < len(c.peers) && !c.broken.Has(mutate.AnyAck); {
		c.closePeer(c.peers[i].link)
	}
	c.lead = lead{}
	c.dropPlan("this node is master no longer")
	c.startFence(c.meta.Promised)
}

func (c *Core) thinkMaster() {
	l := &c.lead
	if l.epoch == 0 || c.failed {
		return
	}
	if r := c.register(); r != nil && r.Epoch == l.epoch && r.Master == c.cfg.ID {
		l.register = *r // a vacant place may have been taken
	}
	if c.cfg.StopOnLoss && !c.connected && c.session == 0 {
		c.stepDown(notice.New("story.down.coordination", "the coordination service is lost"))
		return
	}
	c.advance()
	c.watchQuorum()
	if l.epoch == 0 {
		return
	}
	c.thinkLease()
	c.thinkPlan()
}

// advance moves the commit position to what enough voters hold. Batches of older
// epochs count only together with this epoch's start (invariant 11).
func (c *Core) advance() {
	l := &c.lead
	if l.end == 0 || c.plan.phase == planSaving {
		return
	}
	var others [MaxVoters]held
	n := 0
	for i := range c.peers {
		p := &c.peers[i]
		if p.state == peerStreaming && n < len(others) && l.register.Voter(p.node) != nil {
			others[n] = p.held
			n++
		}
	}
	own := held{c.log.End, c.log.Stable}
	mode := c.cfg.Sync
	if c.broken.Has(mutate.CommitAlone) {
		mode = LocalDisk
	}
	pos := min(mode.candidate(own, others[:n], l.register.Quorum()), c.log.End)
	if pos > c.known && (pos >= l.end || c.broken.Has(mutate.CommitOldEpochs)) {
		c.learn(pos)
	}
	if !l.serving && (c.active() && c.log.Applied >= l.end || c.broken.Has(mutate.ServeEarly)) {
		l.serving, c.elect.penalty = true, 0
		c.report(Info, "story.serves", "epoch %d: this node serves clients", l.epoch)
		c.emit(Serve{l.epoch})
	}
	if l.serving && c.meta.Suspect && c.active() && c.saving.op == 0 && !c.fence.on && c.unmarked() {
		m := c.meta
		m.Suspect = false // its log is the group's
		c.save(m)
	}
}

// stoodStill notices that this process did nothing for so long that the others, who did not
// hear it, may have elected another. What it then finds in its links was said before, so it
// proves nothing.
func (c *Core) stoodStill(gap time.Duration) {
	if l := &c.lead; gap > c.t.Silence && l.epoch != 0 && l.register.Quorum() > 1 {
		c.stepDown(notice.New("story.down.stoodstill", "this process stood still for %s", gap.Round(time.Millisecond)))
	}
}

// watchQuorum notices that too few voters answer.
func (c *Core) watchQuorum() {
	l := &c.lead
	var times [MaxVoters]held
	n := 0
	for i := range c.peers {
		if p := &c.peers[i]; p.state != peerNew && n < len(times) && l.register.Voter(p.node) != nil {
			times[n].written = Position(p.heard)
			n++
		}
	}
	at := kth(times[:n], l.register.Quorum()-1, func(h held) Position { return h.written })
	l.heard = max(l.heard, min(time.Duration(min(at, 1<<62)), c.now))
	gone := c.now - l.heard
	if hold := gone > c.t.Hold; hold != l.held && l.serving {
		l.held = hold
		c.emit(Hold{hold})
	}
	switch {
	case !l.serving && gone > c.t.Activate:
		c.stepDown(notice.New("story.down.nofollowers", "no quorum of voters follows"))
	case gone > c.t.StepDown:
		c.stepDown(notice.New("story.down.noanswers", "no quorum of voters answers"))
	}
}

// thinkLease makes the lease again when the session that held it is gone, if the
// register still says that this node is the master.
func (c *Core) thinkLease() {
	if c.view == nil || c.view.Lease != nil || !c.connected || c.change.kind != noChange || c.plan.phase >= planChanging || c.now < c.answer.wait {
		return
	}
	a := Reclaim{Session: c.session, Version: c.view.Version, Lease: Lease{Node: c.cfg.ID, Addr: c.cfg.Addr}}
	if c.broken.Has(mutate.ReclaimBlindly) {
		a.Version = -1
	} else if r := c.register(); r == nil || r.Epoch != c.lead.epoch || r.Master != c.cfg.ID {
		return
	}
	a.Op = c.nextOp()
	c.change = change{op: a.Op, kind: changeLease, epoch: c.lead.epoch}
	c.emit(a)
}

// resumeEpoch is the broken rule of going on in an epoch after a restart.
func (c *Core) resumeEpoch(r *Register) bool {
	if c.measured(r.Epoch) && c.busy == 0 && c.log.Epochs.Last() == r.Epoch {
		c.lead = lead{epoch: r.Epoch, register: *r, since: c.now, heard: c.now, op: c.nextOp()}
		c.busy++
		c.emit(Lead{c.lead.op, r.Epoch, &c.lead.register})
		return true
	}
	return false
}
