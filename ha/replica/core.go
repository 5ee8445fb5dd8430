package replica

import (
	"fmt"
	"slices"
	"time"

	"treadmq/ha/coord"
	"treadmq/ha/internal/mutate"
	"treadmq/notice"
	"treadmq/store"
)

// Core is one node's part in one group. It is not safe for concurrent use.
type Core struct {
	cfg    Config
	t      Timing
	broken mutate.Set // always empty outside of simulations
	now    time.Duration
	out    []Action
	op     Op
	random uint64
	failed bool

	meta  Meta     // durable
	log   LogState // as the answers of the log tell it; End is what is written
	known Position // committed for certain; the log is never cut below
	told  Position // the last Commit given
	busy  int      // operations under way in the log
	full  bool     // no room for more log

	session   SessionID // 0: none
	connected bool      // to the coordination service, as far as is known
	opening   bool
	view      *View // of this session; nil before the first
	seen      seen
	reach     []NodeID
	refusal   refusal
	pub       publication
	change    change // of the register, under way
	answer    answer

	fence  fence
	saving saving
	elect  elect
	lead   lead
	peers  []peer // links that others opened
	follow follow
	cut    cutting
	plan   plan // an operator's change, on the master
}

// seen remembers since when the register is as it is.
type seen struct {
	epoch    Epoch
	master   NodeID
	since    time.Duration
	quorumAt time.Duration // when a quorum of promises was first seen; 0 not yet
}

// New makes the core of a node that starts. log is what the store found; meta what
// was durable, with Suspect and Corrupt as the start judged them.
func New(cfg Config, meta Meta, log LogState) *Core {
	return newCore(cfg, meta, log, 0)
}

// NewBroken makes a core that violates rules. Only packages below ha can name any.
func NewBroken(cfg Config, meta Meta, log LogState, rules mutate.Set) *Core {
	return newCore(cfg, meta, log, rules)
}

func newCore(cfg Config, meta Meta, log LogState, rules mutate.Set) *Core {
	log.Epochs = slices.Clone(log.Epochs)
	return &Core{cfg: cfg, t: cfg.Timing, broken: rules, meta: meta, log: log, known: log.Applied, random: cfg.Seed*2 + 1}
}

// Step takes one event at a moment of a monotonic clock and returns what to do. The
// slice is valid until the next Step.
func (c *Core) Step(now time.Duration, ev Event) []Action {
	c.out = c.out[:0]
	if c.failed {
		return nil
	}
	stood := now - c.now
	c.now = max(c.now, now)
	if c.op == 0 {
		c.begin()
	}
	c.stoodStill(stood)
	c.take(ev)
	if !c.failed {
		c.think()
	}
	return c.out
}

// begin is the first step: whatever the log holds is made durable before anything is
// said about it.
func (c *Core) begin() {
	c.elect.since = c.now
	c.startFence(c.meta.Promised)
}

// take brings an event into the state.
func (c *Core) take(ev Event) {
	switch ev := ev.(type) {
	case Tick:
	case Received:
		c.received(ev.Link, ev.Message)
	case Appended:
		c.appended(ev)
	case Synced:
		c.synced(ev)
	case Applied:
		c.log.Applied = max(c.log.Applied, ev.Pos)
		c.learn(ev.Pos)
	case TailMoved:
		c.log.Tail = max(c.log.Tail, ev.Tail)
	case Accepted:
		c.accepted(ev.Link)
	case LinkDown:
		c.linkDown(ev.Link)
	case Dialed:
		c.dialed(ev)
	case Fenced:
		c.fenced(ev)
	case Saved:
		c.saved(ev.Op)
	case Led:
		c.led(ev)
	case Truncated:
		c.truncated(ev)
	case Staged:
		c.staged(ev)
	case Installed:
		c.installed(ev)
	case Paused:
		c.paused(ev)
	case Reachable:
		c.reach = ev.Nodes
	case Order:
		c.order(ev)
	default:
		c.takeOutside(ev)
	}
}

// takeOutside handles the coordination service and the disk.
func (c *Core) takeOutside(ev Event) {
	switch ev := ev.(type) {
	case SessionUp:
		c.session, c.connected, c.opening = ev.Session, true, false
		c.view, c.pub.op, c.pub.mark, c.pub.done, c.answer = nil, 0, 0, Member{}, answer{}
	case SessionLost:
		if ev.Session == c.session {
			c.session, c.connected, c.view = 0, false, nil
			c.changed(coord.Unknown, 0)
			c.report(Warning, "story.session", "the session with the coordination service has ended")
		}
	case Suspended:
		if ev.Session == c.session {
			c.connected = false
		}
	case ViewSeen:
		if ev.Session == c.session && c.session != 0 {
			c.viewSeen(ev.View)
		}
	case Answered:
		c.answered(ev)
	case DiskSpace:
		c.diskSpace(ev.Full)
	case SyncFailed:
		c.syncFailed(ev.Text)
	case Damaged:
		c.damaged(ev.Text)
	default:
		c.assert(false, 0, "an event is known")
	}
}

// think looks at the whole state and does what is due. Each part acts only if the
// parts before it leave room, so that it can be run after any event.
func (c *Core) think() {
	if c.session == 0 && !c.opening {
		c.opening = true
		c.emit(OpenSession{})
	}
	c.checkRegister()
	c.thinkMark()
	c.thinkFence()
	c.thinkMeta()
	c.beat()
	c.thinkMaster()
	c.thinkFollower()
	c.thinkElection()
	c.thinkPublish()
}

// Deadline returns when the next Tick is due: something may happen by time alone then.
func (c *Core) Deadline() time.Duration {
	d := c.now + c.t.Heartbeat
	if c.lead.epoch == 0 && c.follow.state != streaming {
		d = c.now + min(c.t.Redial, c.t.Heartbeat)
	}
	if f := &c.follow; f.state == idle && f.redial > c.now {
		d = min(d, f.redial)
	}
	return d
}

// Epoch returns the epoch that this node is master of, 0 if it is not, and whether it
// serves clients.
func (c *Core) Epoch() (e Epoch, serving bool) { return c.lead.epoch, c.lead.serving }

// QuorumHeard returns when a quorum was last heard by the master. A shell that delivers
// messages holds them back when that is longer ago than its patience: a process that was
// stopped and goes on does not know yet that it is master no longer.
func (c *Core) QuorumHeard() time.Duration { return c.lead.heard }

func (c *Core) emit(a Action) { c.out = append(c.out, a) }

func (c *Core) nextOp() Op {
	c.op++
	return c.op
}

func (c *Core) report(l Level, code, format string, args ...any) {
	c.emit(Report{l, notice.New(code, format, args...)})
}

// assert stops the node when an invariant (numbered as in ha/DESIGN.md) does not
// hold: better than to go on wrong.
func (c *Core) assert(ok bool, invariant int, text string) bool {
	if !ok && !c.failed {
		c.fail(true, fmt.Sprintf("invariant %d: %s", invariant, text))
	}
	return ok
}

func (c *Core) fail(assertion bool, text string) {
	if c.lead.serving {
		c.emit(StopServing{})
	}
	c.failed = true
	c.emit(Fail{assertion, text})
}

// jitter returns a random part of d.
func (c *Core) jitter(d time.Duration) time.Duration {
	c.random ^= c.random << 13
	c.random ^= c.random >> 7
	c.random ^= c.random << 17
	if d <= 0 {
		return 0
	}
	return time.Duration(c.random % uint64(d))
}

// learn raises the position that is known to be committed, and tells the shell.
func (c *Core) learn(pos Position) {
	c.known = max(c.known, pos)
	if c.known > c.told {
		c.told = c.known
		c.emit(Commit{c.told})
	}
}

// register returns the register of the present view, nil if there is none to go by.
func (c *Core) register() *Register {
	if c.view == nil || c.refusal.on {
		return nil
	}
	return c.view.Register
}

// place returns this node's entry among the voters, nil for a learner.
func (c *Core) place(r *Register) *Voter {
	if r == nil {
		return nil
	}
	return r.Voter(c.cfg.ID)
}

func (c *Core) appended(ev Appended) {
	if ev.Op == 0 { // the broker's own, on the master
		if ev.Epoch == c.lead.epoch && c.lead.epoch != 0 {
			c.log.End = max(c.log.End, ev.End)
		}
		return
	}
	c.busy--
	c.log.End = ev.End
	for _, s := range ev.Starts {
		c.assert(s.Epoch > c.log.Epochs.Last(), 10, "epochs rise along the log")
		c.log.Epochs = c.log.Epochs.Add(s.Epoch, s.Start)
	}
	c.followerAppended(ev)
}

func (c *Core) synced(ev Synced) {
	if ev.Op == 0 {
		if c.lead.epoch != 0 {
			c.log.Stable = max(c.log.Stable, min(ev.Stable, c.log.End))
		}
		return
	}
	c.busy--
	c.log.Stable = ev.Stable
	c.followerSynced(ev)
}

func (c *Core) diskSpace(full bool) {
	if full == c.full {
		return
	}
	c.full = full
	if !full {
		return
	}
	c.report(Alarm, "story.full", "the disk is full: make room in the data folder's file system")
	if c.follow.state == streaming {
		c.emit(Send{c.follow.link, &Refuse{Group: c.cfg.Group, Epoch: c.meta.Promised, Reason: DiskFull}})
		c.dropFollow()
	}
}

// syncFailed ends the process: after a failed sync nobody knows what is on disk, and
// a second one may lie (invariant 19).
func (c *Core) syncFailed(text string) {
	if c.session != 0 {
		c.emit(MarkSuspect{c.nextOp(), c.session})
	}
	c.fail(false, "the disk failed, nothing is written any more: "+text)
}

// damaged takes the vote from a node that found damage at work.
func (c *Core) damaged(text string) {
	c.report(Alarm, "story.damaged", "the store is damaged, it is fetched from the master again: %s", text)
	c.meta.Corrupt = true
	c.stepDown(notice.New("story.down.damaged", "the store is damaged"))
	c.dropFollow()
	c.startFence(c.meta.Promised)
	c.fence.dirty = true
}

// epochs returns a copy of the list for a message.
func (c *Core) epochs() store.EpochList { return slices.Clone(c.log.Epochs) }
