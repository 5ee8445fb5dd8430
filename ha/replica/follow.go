package replica

import (
	"time"

	"treadmq/ha/internal/mutate"
	"treadmq/notice"
)

type followState uint8

// States of the link to the master, in order of progress.
const (
	idle       followState = iota
	dialing                // Dial under way
	waiting                // linked; the log must come to rest before Hello
	greeting               // Hello sent
	truncating             // Welcome received, the log is being cut
	streaming
	fetching   // a snapshot
	installing // the snapshot becomes the store
)

// follow is the follower's side of its one link to a master.
type follow struct {
	state   followState
	epoch   Epoch  // of the master that is looked for
	master  NodeID // of that epoch, "" while there is none
	node    NodeID // that the link leads to
	link    LinkID
	op      Op // Dial, TruncateLog or Fetch under way
	session uint64
	of      Epoch // of the session's master; what was promised

	to     Position // that the log is cut to
	next   Position // where the next batches must begin
	commit Position // told by the master
	active bool     // it covers all that was ever committed
	clear  Position // a suspect node that holds the log up to here is so no longer; 0 not told yet
	sync   Op       // SyncLog under way

	heard, sent time.Duration
	alive       time.Duration // when the master was last known to work, or looked for first
	redial      time.Duration // not before
	failures    int           // dials in a row
	bad         bool          // the master of the epoch is not heard
	snapshot    bool          // the own log is of no use
	offer       Manifest
	staged      bool // the snapshot is complete
	stagedEnd   Position
	install     Op
}

// dropFollow leaves the master. What was given to the log is still answered.
func (c *Core) dropFollow() {
	f := &c.follow
	if f.state == idle {
		return
	}
	if f.state == streaming {
		c.elect.since = c.now
		f.alive = c.now
	}
	if f.state == fetching {
		c.emit(StopFetch{f.op})
	}
	if f.state > dialing {
		c.emit(Close{f.link})
	}
	f.state, f.link, f.op, f.sync, f.staged = idle, 0, 0, 0, false
	f.redial = c.now + c.t.Redial/2 + c.jitter(c.t.Redial)
}

// masterLost is a link that ended or fell silent, which is reason to suspect.
func (c *Core) masterLost(why notice.Notice) {
	if c.follow.state >= streaming {
		c.follow.bad = true
		c.report(Warning, "story.unheard", "epoch %d: the master is not heard: %s", c.follow.epoch, why)
	} else {
		c.follow.failures++
	}
	c.dropFollow()
}

func (c *Core) thinkFollower() {
	f := &c.follow
	if c.fence.on || c.lead.epoch != 0 || c.failed {
		return
	}
	if c.broken.Has(mutate.OldMaster) && f.state == streaming && f.of < c.meta.Promised && !c.obsolete() {
		c.progress()
		return
	}
	r := c.register()
	if r != nil && r.Epoch == c.meta.Promised && (f.epoch != r.Epoch || f.master != r.Master) {
		f.epoch, f.master, f.bad, f.failures, f.alive, f.redial = r.Epoch, r.Master, false, 0, c.now, c.now
	}
	switch {
	case f.state == idle:
		c.thinkDial(r)
	case f.state == dialing:
	case r != nil && r.Epoch == c.meta.Promised && r.Master != "" && r.Master != f.node:
		c.dropFollow()
	case c.now-f.heard > c.t.Silence:
		c.masterLost(notice.New("story.lost.silent", "it is silent"))
	default:
		c.progress()
	}
	f.bad = f.bad || f.state < streaming && f.master != "" && (f.failures >= 2 || c.now-f.alive > c.t.Silence)
}

func (c *Core) thinkDial(r *Register) {
	f := &c.follow
	if r == nil || r.Epoch != c.meta.Promised || r.Master == "" || r.Master == c.cfg.ID || c.full || c.now < f.redial || c.mayFill(r) {
		return
	}
	f.state, f.node, f.op = dialing, r.Master, c.nextOp()
	c.emit(Dial{f.op, r.Master, c.address(r)})
}

// obsolete says that another master than the one followed is registered.
func (c *Core) obsolete() bool {
	r := c.register()
	return r == nil || r.Master != "" || c.now-c.follow.heard > c.t.Silence
}

// address returns where the master's replication port is.
func (c *Core) address(r *Register) string {
	if m := c.view.Member(r.Master); m != nil && m.Addr != "" {
		return m.Addr
	}
	if v := r.Voter(r.Master); v != nil {
		return v.Addr
	}
	return ""
}

func (c *Core) dialed(ev Dialed) {
	f := &c.follow
	if f.state != dialing || ev.Op != f.op {
		if ev.OK {
			c.emit(Close{ev.Link})
		}
		return
	}
	if !ev.OK {
		f.failures++
		c.dropFollow()
		return
	}
	f.state, f.link, f.heard, f.op = waiting, ev.Link, c.now, 0
}

// progress does what is due on a link that is up.
func (c *Core) progress() {
	f := &c.follow
	switch f.state {
	case waiting:
		if c.busy == 0 {
			c.greet()
		}
	case streaming:
		c.thinkClear()
		if f.sync == 0 && c.log.Stable < c.log.End && c.busy == 0 && (c.syncsEach() || c.now-f.sent >= c.t.Heartbeat) {
			c.startSync()
		}
	case fetching:
		c.thinkInstall()
	}
	if f.state > waiting && c.now-f.sent >= c.t.Heartbeat {
		f.sent = c.now
		if f.state == streaming {
			c.sendAck()
		} else {
			c.emit(Send{f.link, &Heartbeat{Group: c.cfg.Group, Epoch: c.meta.Promised}})
		}
	}
}

// syncsEach says that an acknowledgement waits for the disk.
func (c *Core) syncsEach() bool { return c.cfg.Sync&remoteStable != 0 }

func (c *Core) startSync() {
	c.follow.sync = c.nextOp()
	c.busy++
	c.emit(SyncLog{c.follow.sync})
}

func (c *Core) greet() {
	f := &c.follow
	f.state, f.sent = greeting, c.now
	f.session++
	f.active, f.clear, f.commit, f.staged = false, 0, 0, false
	log := c.log
	log.Epochs = c.epochs()
	c.emit(Send{f.link, &Hello{Group: c.cfg.Group, Cluster: c.meta.Cluster, Node: c.cfg.ID, Min: MinVersion, Max: MaxVersion,
		Session: f.session, Promised: c.meta.Promised, LogState: log, Known: c.known,
		Snapshot: f.snapshot || c.meta.Corrupt, Feature: c.cfg.Feature}})
	if c.broken.Has(mutate.EarlyAck) {
		f.of = c.meta.Promised
		c.sendAck()
	}
}

func (c *Core) sendAck() {
	f := &c.follow
	f.sent = c.now
	a := &Ack{Group: c.cfg.Group, Epoch: f.of, Session: f.session, Written: c.log.End, Stable: c.log.Stable, Applied: c.log.Applied,
		NoVote: c.meta.Suspect || c.meta.Corrupt}
	if c.broken.Has(mutate.AckUnsynced) {
		a.Stable = a.Written
	}
	c.emit(Send{f.link, a})
}

func (c *Core) fromMaster(m Message) {
	switch m := m.(type) {
	case *Welcome:
		c.welcome(m)
	case *Data:
		c.data(m)
	case *Heartbeat:
		if m.Epoch > c.meta.Promised {
			c.startFence(m.Epoch)
		} else if m.Epoch == c.meta.Promised || c.broken.Has(mutate.OldMaster) {
			c.hearCommit(m.Commit, m.Active)
		}
	case *Refuse:
		c.refused(m.Reason)
	default:
		c.masterLost(notice.New("story.lost.foreign", "it sent what only followers send"))
	}
}

// refused leaves a master that does not want this node; soon to come back if it is
// only about to begin its epoch.
func (c *Core) refused(why Reason) {
	f := &c.follow
	if why == Unready {
		c.dropFollow()
		f.redial = c.now + c.t.Redial/5
		return
	}
	if f.failures == 0 {
		c.report(Warning, "story.refused", "node %s refuses this node: %s", f.node, why.notice())
	}
	c.masterLost(notice.New("story.lost.refuses", "it refuses"))
}

// welcome begins a session: the log is cut to where it parts from the master's. Nothing
// is acknowledged before that is done.
func (c *Core) welcome(w *Welcome) {
	f := &c.follow
	if f.state != greeting || w.Session != f.session || w.Group != c.cfg.Group {
		return
	}
	switch {
	case w.Epoch < c.meta.Promised && !c.broken.Has(mutate.OldMaster):
		c.masterLost(notice.New("story.lost.older", "it is of an older epoch"))
		return
	case w.Epoch > c.meta.Promised:
		c.startFence(w.Epoch) // durable first; then again
		return
	}
	f.of, f.commit, f.active = w.Epoch, w.Commit, w.Active
	if w.Active {
		f.clear = max(w.Commit, 1)
	}
	switch {
	case w.Snapshot != nil:
		c.startFetch(w)
		return
	case w.TruncateTo > c.log.End:
		c.masterLost(notice.New("story.lost.cutbehind", "it asks for a cut behind the end of the log"))
		return
	case w.TruncateTo < c.known && !c.cfg.Sync.Replicated():
		c.report(Warning, "story.behind", "the master does not have what was acknowledged here (sync is %s): the store is fetched anew", c.cfg.Sync)
		f.snapshot = true
		c.dropFollow()
		return
	case w.TruncateTo < c.known && !c.broken.Has(mutate.TruncateCommitted):
		c.assert(false, 13, "nobody cuts below what is committed")
		return
	}
	f.state, f.to, f.next, f.op = truncating, w.TruncateTo, w.TruncateTo, c.nextOp()
	c.busy++
	c.emit(TruncateLog{Op: f.op, To: w.TruncateTo, Chain: w.Chain, Trusted: c.broken.Has(mutate.NoTruncation | mutate.TruncateToCommit)})
	c.cut = cutting{f.op, w.TruncateTo}
}

// cutting is a TruncateLog under way.
type cutting struct {
	op Op
	to Position
}

func (c *Core) truncated(ev Truncated) {
	f := &c.follow
	c.busy--
	if ev.Op == c.cut.op && !ev.Mismatch {
		c.log.End = c.cut.to
		c.log.Stable = min(c.log.Stable, c.cut.to)
		c.log.Epochs = c.log.Epochs.Truncate(c.cut.to)
	}
	if f.state != truncating || ev.Op != f.op {
		return
	}
	if ev.Mismatch {
		c.report(Alarm, "story.differs", "the log differs from the master's where both should be the same: the store is fetched anew")
		f.snapshot = true
		c.dropFollow()
		return
	}
	f.state, f.bad, f.failures = streaming, false, 0
	c.report(Info, "story.follows", "epoch %d: this node follows %s from %d", f.epoch, f.node, f.to)
	c.hearCommit(f.commit, f.active)
	if !c.syncsEach() || c.log.Stable == c.log.End {
		c.sendAck()
	}
}

func (c *Core) data(d *Data) {
	f := &c.follow
	if f.state != streaming && f.state != truncating || d.Session != f.session ||
		d.Epoch != f.of || f.of != c.meta.Promised && !c.broken.Has(mutate.OldMaster) {
		return
	}
	if d.Pos != f.next || d.End <= d.Pos {
		c.masterLost(notice.New("story.lost.gap", "it left something out"))
		return
	}
	f.next = d.End
	c.busy++
	c.emit(AppendData{c.nextOp(), f.link, d.Pos, d.End})
	c.hearCommit(d.Commit, false)
}

// hearCommit takes the commit position that the master told. It holds for this log as
// far as that was verified against the master's.
func (c *Core) hearCommit(pos Position, active bool) {
	f := &c.follow
	f.commit = max(f.commit, pos)
	if active && !f.active {
		f.active = true
	}
	if active && f.clear == 0 {
		f.clear = max(f.commit, 1)
	}
	if f.state == streaming {
		c.learn(min(f.commit, c.log.End))
	}
}

func (c *Core) followerAppended(ev Appended) {
	f := &c.follow
	switch ev.Failed {
	case NoRoom:
		c.diskSpace(true)
	case Mismatched:
		if f.state == streaming {
			c.report(Alarm, "story.gap", "the master's batches do not continue the log")
			c.dropFollow()
		}
	}
	if f.state != streaming {
		return
	}
	c.learn(min(f.commit, c.log.End))
	if c.syncsEach() {
		if f.sync == 0 {
			c.startSync()
		}
	}
	if !c.syncsEach() || c.broken.Has(mutate.AckUnsynced) {
		c.sendAck()
	}
}

func (c *Core) followerSynced(ev Synced) {
	f := &c.follow
	if f.state != streaming || ev.Op != f.sync {
		return
	}
	f.sync = 0
	c.sendAck()
	if c.syncsEach() && c.log.Stable < c.log.End {
		c.startSync()
	}
}

// thinkClear gives a suspect node its vote back when it holds all that was committed
// when this session began.
func (c *Core) thinkClear() {
	f := &c.follow
	if !c.meta.Suspect || f.clear == 0 || c.log.Stable < f.clear || c.saving.op != 0 || c.fence.dirty || !c.unmarked() {
		return
	}
	m := c.meta
	m.Suspect = false
	c.report(Info, "story.caughtup", "this node has caught up and votes again")
	c.save(m)
}
