package replica

import (
	"slices"
	"time"

	"treadmq/ha/coord"
	"treadmq/ha/internal/mutate"
	"treadmq/notice"
)

// elect is what a node remembers between elections.
type elect struct {
	since   time.Duration // without a master that works, as seen from here
	penalty time.Duration // delay of the promise of a node that won and could not serve
	ordered bool          // an operator asked for an election
}

type changeKind uint8

// Kinds of change of the register.
const (
	noChange     changeKind = iota
	changeBump              // epoch+1, no master
	changeClaim             // fill in the master
	changeVoters            // epoch+1, same master, other voters
	changeHand              // epoch+1, no master, prefer somebody
	changeFound             // make the register
	changeFill              // take a vacant place
	changeReseed            // make it anew
	changeLease             // not the register: the lease again
)

// change is the one change of register or lease that is under way.
type change struct {
	op       Op
	kind     changeKind
	epoch    Epoch
	register Register // as proposed
	order    uint64   // of an operator, to answer
}

// publication is the member's entry.
type publication struct {
	op   Op
	sent Member
	done Member // what the session has for certain
	mark Op     // Unmark under way
}

func (c *Core) viewSeen(v *View) {
	c.connected, c.view = true, v
	if v.Version >= c.answer.version {
		c.answer.wait = 0
	}
	if r := v.Register; r != nil && (r.Epoch != c.seen.epoch || r.Master != c.seen.master) {
		c.seen = seen{epoch: r.Epoch, master: r.Master, since: c.now}
	}
}

// propose changes the register that the view shows.
func (c *Core) propose(kind changeKind, r Register, lease *Lease) {
	c.change = change{op: c.nextOp(), kind: kind, epoch: r.Epoch, register: r}
	a := Change{Op: c.change.op, Session: c.session, Version: coord.NoRegister, Register: &r, CreateLease: lease}
	if c.view.Register != nil || c.view.Invalid != "" {
		a.Version = c.view.Version
		a.DropLease = c.view.Lease != nil && kind != changeFill
	}
	c.emit(a)
}

func (c *Core) answered(ev Answered) {
	switch {
	case ev.Op == c.change.op && ev.Op != 0:
		c.changed(ev.Outcome, ev.Version)
	case ev.Op == c.pub.op && ev.Op != 0:
		c.pub.op = 0
		if ev.Outcome == coord.Done {
			c.pub.done = c.pub.sent
		}
	case ev.Op == c.pub.mark:
		c.pub.mark = 0
	}
}

// answer keeps a node from acting twice on a view that its own change made old.
type answer struct {
	version coord.Version
	wait    time.Duration // for a newer view, this long
}

// changed takes the answer to a change of the register. Only a definite success is
// ever acted on (invariant 3).
func (c *Core) changed(o coord.Outcome, v coord.Version) {
	ch := c.change
	c.change = change{}
	c.answer.version, c.answer.wait = v, c.now+c.t.Heartbeat
	if c.broken.Has(mutate.ActOnUnknown) && o == coord.Unknown {
		o = coord.Done
	}
	switch ch.kind {
	case changeClaim:
		if o == coord.Done && c.measured(ch.epoch) && c.lead.epoch == 0 {
			c.startLead(ch.register)
		}
	case changeVoters, changeHand:
		c.planAnswered(o, ch)
	case changeReseed:
		c.answerOrder(ch.order, outcomeText(o))
	}
}

func outcomeText(o coord.Outcome) string {
	if o == coord.Done {
		return ""
	}
	return "the register was not changed for certain (" + o.String() + "): look at the status and try again"
}

// candidates returns who should be master by the view, how many voters have promised
// the register's epoch, and whether all voters that are present and answer this node have.
func (c *Core) candidates(r *Register) (best NodeID, count int, all bool) {
	var top Member
	all = true
	everybody := c.everybody(r)
	for i := range r.Voters {
		v := &r.Voters[i]
		m := c.entry(v.ID)
		if m == nil {
			continue
		}
		if m.Promised != r.Epoch && !(c.broken.Has(mutate.AnyPromise) && m.Promised != 0) {
			all = all && c.silent(v.ID)
			continue
		}
		if !c.mayVote(m, everybody) {
			continue
		}
		count++
		if best == "" || c.better(m, &top, r) {
			best, top = m.ID, *m
		}
	}
	return best, count, all
}

// silent says that a voter does not answer this node, while others do: it is not worth
// waiting for. The entry of a master that was killed is there until its session times out.
func (c *Core) silent(id NodeID) bool {
	return len(c.reach) > 0 && !slices.Contains(c.reach, id) && id != c.cfg.ID
}

// mayVote says whether a promise counts. What a suspect node lacks is certainly
// held by others if all voters have promised.
func (c *Core) mayVote(m *Member, everybody bool) bool {
	switch m.State {
	case Suspect:
		return everybody || c.broken.Has(mutate.IgnoreSuspect)
	case Corrupt:
		return c.broken.Has(mutate.IgnoreCorrupt)
	}
	return true
}

// everybody says whether every place has a voter that promised the epoch and whose
// data is not damaged.
func (c *Core) everybody(r *Register) bool {
	if len(r.Voters) < r.Replicas {
		return false
	}
	for i := range r.Voters {
		m := c.entry(r.Voters[i].ID)
		if m == nil || m.Promised != r.Epoch || m.State == Corrupt {
			return false
		}
	}
	return true
}

// entry returns a member's entry; this node's own as it is known here, if the
// session has it.
func (c *Core) entry(id NodeID) *Member {
	if id != c.cfg.ID {
		return c.view.Member(id)
	}
	if c.pub.done.ID == "" {
		return nil
	}
	return &c.pub.done
}

// better says whether a is to be master rather than b: the newer last epoch, then the
// longer log; among equals whom a handover prefers, the weight, the identity.
func (c *Core) better(a, b *Member, r *Register) bool {
	ae, be := a.LastEpoch, b.LastEpoch
	if c.broken.Has(mutate.CompareLength) {
		ae, be = 0, 0
	}
	switch {
	case ae != be:
		return ae > be
	case a.End != b.End:
		return a.End > b.End
	case (a.ID == r.Prefer) != (b.ID == r.Prefer):
		return a.ID == r.Prefer
	case a.Weight != b.Weight:
		return a.Weight > b.Weight
	}
	return a.ID > b.ID
}

// thinkElection starts an election, takes part in it, or founds the group.
func (c *Core) thinkElection() {
	if c.view == nil || !c.connected || c.change.kind != noChange || c.refusal.on || c.now < c.answer.wait {
		return
	}
	r := c.view.Register
	switch {
	case r == nil:
		c.found()
	case c.place(r) == nil:
		c.fill(r)
	case c.fence.on || r.Epoch < c.meta.Promised || c.lead.epoch != 0 && !c.elect.ordered:
	case r.Master == "" && c.thinkClaim(r):
	default:
		if why := c.bumpReason(r); !why.IsZero() {
			c.bump(r, why)
		}
	}
}

// thinkClaim claims an epoch for the node whose log is best.
func (c *Core) thinkClaim(r *Register) bool {
	best, count, all := c.candidates(r)
	if count < r.Quorum() {
		c.seen.quorumAt = 0
		return false
	}
	if c.seen.quorumAt == 0 {
		c.seen.quorumAt = c.now
	}
	if best != c.cfg.ID || !c.measured(r.Epoch) || c.meta.Promised != r.Epoch || c.lead.epoch != 0 || c.busy > 0 {
		return false
	}
	if !all && r.Prefer != c.cfg.ID && c.now < c.seen.quorumAt+c.t.ClaimWait { // whom a handover prefers has all there is
		return true
	}
	next := *r
	next.Master, next.Prefer = c.cfg.ID, ""
	c.report(Info, "story.claims", "epoch %d: this node has the best log of %d voters and claims mastership", r.Epoch, count)
	c.propose(changeClaim, next, &Lease{Node: c.cfg.ID, Addr: c.cfg.Addr})
	return true
}

// bumpReason says why a new epoch is needed, nothing if it is not.
func (c *Core) bumpReason(r *Register) notice.Notice {
	present, suspecting := 0, 0
	for i := range r.Voters {
		m := c.entry(r.Voters[i].ID)
		if m == nil {
			continue
		}
		present++
		if m.Suspects == r.Epoch {
			suspecting++
		}
	}
	mine := c.suspects(r) == r.Epoch
	switch {
	case present < r.Quorum():
		return notice.Notice{}
	case c.elect.ordered:
		return notice.New("story.because.ordered", "an operator asked for it")
	case r.Master == c.cfg.ID && c.lead.epoch != r.Epoch:
		if c.broken.Has(mutate.ResumeEpoch) && c.resumeEpoch(r) {
			return notice.Notice{}
		}
		return notice.New("story.because.lostmaster", "this node is registered as master and is not")
	case r.Master != "" && suspecting >= r.Quorum():
		return notice.New("story.because.suspects", "a quorum does not hear the master")
	case r.Master != "" && c.view.Lease == nil && mine:
		return notice.New("story.because.lease", "the master's lease is gone and it is not heard")
	case r.Master == "" && c.seen.quorumAt != 0 && c.now > c.seen.quorumAt+c.t.ClaimWait+c.t.Unclaimed:
		return notice.New("story.because.unclaimed", "nobody claims the epoch")
	}
	return notice.Notice{}
}

func (c *Core) bump(r *Register, why notice.Notice) {
	c.elect.ordered = false
	next := *r
	next.Epoch, next.Master, next.Prefer = r.Epoch+1, "", ""
	c.report(Info, "story.election", "epoch %d: election, because %s", next.Epoch, why)
	c.propose(changeBump, next, nil)
}

// suspects returns the epoch whose master this node does not hear, 0 if there is none.
func (c *Core) suspects(r *Register) Epoch {
	if r == nil || r.Master == "" || r.Master == c.cfg.ID || c.full || c.place(r) == nil {
		return 0
	}
	if c.follow.epoch == r.Epoch && c.follow.bad {
		return r.Epoch
	}
	return 0
}

// holding says whether this node delays its promise: it sees too few others to be
// of use as master, or could not serve when it was.
func (c *Core) holding(r *Register) bool {
	hold := c.elect.penalty
	near := 0
	for _, id := range c.reach {
		if id != c.cfg.ID && r.Voter(id) != nil {
			near++
		}
	}
	if near < r.Quorum()-1 {
		hold = max(hold, c.t.Unreachable)
	}
	return c.now < c.elect.since+hold
}

// thinkPublish tells the others about this node.
func (c *Core) thinkPublish() {
	if c.view == nil || !c.connected {
		return
	}
	if c.pub.op != 0 {
		return
	}
	m := Member{ID: c.cfg.ID, Name: c.cfg.Name, Addr: c.cfg.Addr, Weight: c.cfg.Weight, State: c.state(),
		Feature: c.cfg.Feature, Refuses: c.refusal.on, Highest: c.meta.Promised, Noted: c.meta.Voters, Places: c.meta.Replicas, NotedOf: c.meta.NotedOf,
		Promised: c.pub.sent.Promised, LastEpoch: c.pub.sent.LastEpoch, End: c.pub.sent.End}
	if r := c.register(); r != nil {
		m.Suspects = c.suspects(r)
		if c.measured(r.Epoch) && (r.Epoch == m.Promised || !c.holding(r)) {
			m.Promised, m.LastEpoch, m.End = c.fence.epoch, c.fence.lastEpoch, c.fence.end
		}
	}
	if m.same(&c.pub.done) {
		return
	}
	c.pub.op, c.pub.sent = c.nextOp(), m
	c.emit(Publish{c.pub.op, c.session, m})
}

// thinkMark deals with the mark that a failed sync left: what was not synced before
// is cut off, and the node is suspect until it has caught up.
func (c *Core) thinkMark() {
	if c.pub.mark != 0 || !c.marked() || c.fence.on || c.saving.op != 0 {
		return
	}
	if c.meta.Suspect {
		c.pub.mark = c.nextOp()
		c.emit(Unmark{c.pub.mark, c.session})
		return
	}
	c.report(Alarm, "story.failedsync", "this node died of a failed sync: what was not synced for certain is cut off, and it does not vote until it has caught up")
	c.dropFollow()
	c.meta.Suspect = true
	if c.follow.session == 0 && c.known == c.log.Applied { // else all that is here was written since
		c.busy++
		c.emit(TruncateLog{Op: c.nextOp(), To: c.log.Applied, Trusted: true})
	}
	c.startFence(c.meta.Promised)
	c.fence.dirty = true
}

// marked says that the mark is still there.
func (c *Core) marked() bool { return c.view != nil && slices.Contains(c.view.Marks, c.cfg.ID) }

// unmarked says that the mark is gone for certain. Without a view nobody knows: a node that took its vote back
// then would be suspect again when it sees the mark, at a time when its vote may be needed.
func (c *Core) unmarked() bool { return c.view != nil && !c.marked() }

func (c *Core) state() State {
	switch {
	case c.meta.Corrupt:
		return Corrupt
	case c.meta.Suspect:
		return Suspect
	case c.full:
		return Full
	}
	return Healthy
}
