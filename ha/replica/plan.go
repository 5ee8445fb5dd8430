package replica

import (
	"fmt"
	"slices"
	"time"

	"treadmq/ha/coord"
	"treadmq/ha/internal/mutate"
	"treadmq/notice"
)

type planPhase uint8

// Phases of a change of voters or a handover.
const (
	noPlan       planPhase = iota
	planCatchUp            // those that matter attach and come near
	planPausing            // Pause under way
	planWaiting            // nothing is appended; those that matter acknowledge all of it
	planChanging           // the register's change is under way
	planSaving             // the new epoch's promise becomes durable
)

// plan is a change of the group that its master carries out: a new epoch, so that no
// two quorums of different voter sets ever decide in one (2.11).
type plan struct {
	phase planPhase
	order uint64 // 0: the master's own idea
	next  Register
	to    NodeID // of a handover; "" for a change of voters
	op    Op     // Pause under way
	end   Position
	since time.Duration
	epoch Epoch // from planChanging on

	conflict bool // the register, or the lease, was not as the view had it
}

func (c *Core) answerOrder(id uint64, err string) {
	if id != 0 {
		c.emit(Ordered{id, err})
	}
}

func (c *Core) order(ev Order) {
	var err string
	switch cmd := ev.Command.(type) {
	case Reseed:
		c.reseed(ev.ID, cmd.Lost)
		return
	case Elect:
		if err = c.mayElect(); err == "" {
			c.elect.ordered = true
		}
		c.answerOrder(ev.ID, err)
		return
	case Handover:
		err = c.startPlan(ev.ID, plan{to: cmd.To, next: c.lead.register})
	case SetVoters:
		next := c.lead.register
		next.Voters = slices.Clone(cmd.Voters)
		if cmd.Replicas != 0 {
			next.Replicas = cmd.Replicas
		}
		next.Feature = max(next.Feature, cmd.Feature)
		err = c.startPlan(ev.ID, plan{next: next})
	}
	if err != "" {
		c.answerOrder(ev.ID, err)
	}
}

func (c *Core) mayElect() string {
	if r := c.register(); r == nil || c.place(r) == nil {
		return "only a voter that sees the group's register can start an election"
	}
	return ""
}

func (c *Core) startPlan(id uint64, p plan) string {
	l := &c.lead
	switch {
	case l.epoch == 0 || !l.serving || !c.active():
		return "only the master can do that"
	case c.plan.phase != noPlan:
		return "another change is under way"
	case p.to != "" && (p.to == c.cfg.ID || l.register.Voter(p.to) == nil):
		return fmt.Sprintf("%s is no other voter", p.to)
	case p.to == "" && p.next.Voter(c.cfg.ID) == nil:
		return "the master cannot take its own place away: hand over first"
	}
	if p.to == "" {
		if err := p.next.Validate(); err != nil {
			return err.Error()
		}
		if p.next.Feature > c.cfg.Feature {
			return "this program does not know that format"
		}
	}
	p.order, p.phase, p.since = id, planCatchUp, c.now
	c.plan = p
	return ""
}

// dropPlan gives up; the epoch goes on as it was, if it does.
func (c *Core) dropPlan(why string) {
	p := c.plan
	if p.phase == noPlan {
		return
	}
	c.plan = plan{}
	c.answerOrder(p.order, why)
	if c.lead.epoch != 0 && p.phase >= planPausing {
		c.emit(Resume{})
	}
}

func (c *Core) paused(ev Paused) {
	if p := &c.plan; p.phase == planPausing && ev.Op == p.op {
		c.log.End = max(c.log.End, ev.End)
		p.phase, p.end = planWaiting, ev.End
	}
}

// thinkPlan brings a plan forward. Nothing is appended between the acknowledgements
// that count and the change of the register (invariant 18).
func (c *Core) thinkPlan() {
	p := &c.plan
	switch p.phase {
	case noPlan:
		c.ownPlan()
		return
	case planCatchUp:
		if c.holders(c.known) {
			p.phase, p.op = planPausing, c.nextOp()
			if c.broken.Has(mutate.KeepAppending) {
				p.phase, p.end = planWaiting, c.log.End
			} else {
				c.emit(Pause{p.op})
			}
		}
	case planWaiting:
		if c.log.Stable >= p.end && c.holders(p.end) || c.broken.Has(mutate.VotersBlindly) {
			c.changePlan()
		}
	case planSaving:
		c.beginPlanned()
		return
	}
	if p.phase < planChanging && c.now-p.since > c.t.Change {
		why := "those that matter did not catch up in time"
		switch {
		case p.conflict:
			why = "the register was changed by somebody else"
		case !c.connected:
			why = "the coordination service is not reached"
		}
		c.dropPlan(why)
	}
}

// holders says whether those that the plan needs hold the log up to a position. One that does
// not vote does not count: a group of three that grew to five places could have but two votes,
// and would stand still for ever once it had to elect.
func (c *Core) holders(pos Position) bool {
	p := &c.plan
	if c.broken.Has(mutate.VotersBlindly) {
		return true
	}
	n := 0
	if !c.meta.Suspect && !c.meta.Corrupt { // this node
		n++
	}
	for i := range c.peers {
		o := &c.peers[i]
		if o.state != peerStreaming || o.held.stable < pos || o.noVote {
			continue
		}
		if o.node == p.to {
			return true
		}
		if p.next.Voter(o.node) != nil {
			n++
		}
	}
	return p.to == "" && n >= p.next.Quorum()
}

func (c *Core) changePlan() {
	p := &c.plan
	if c.view == nil || !c.connected || c.change.kind != noChange || p.conflict && c.now < c.answer.wait {
		return
	}
	r := c.register()
	if r == nil || r.Epoch != c.lead.epoch || r.Master != c.cfg.ID {
		return
	}
	next := p.next
	next.Epoch = r.Epoch + 1
	p.phase, p.epoch = planChanging, next.Epoch
	if p.to != "" {
		next.Master, next.Prefer, next.Voters, next.Replicas = "", p.to, r.Voters, r.Replicas
		c.propose(changeHand, next, nil)
		return
	}
	next.Master, next.Prefer = c.cfg.ID, ""
	c.propose(changeVoters, next, &Lease{Node: c.cfg.ID, Addr: c.cfg.Addr})
}

// planAnswered goes on only after a definite answer; an unknown one ends mastership.
func (c *Core) planAnswered(o coord.Outcome, ch change) {
	p := &c.plan
	if p.phase != planChanging || p.epoch != ch.epoch || c.lead.epoch == 0 {
		return
	}
	switch {
	case o == coord.Unknown:
		c.stepDown(notice.New("story.down.unknown", "whether the register was changed is not known"))
	case o == coord.Conflict && p.to != "": // a place was taken, say, or the lease is anew: try again with what is seen then
		p.phase, p.conflict = planWaiting, true
	case o != coord.Done:
		c.dropPlan("the register was changed by somebody else")
	case ch.kind == changeHand:
		c.answerOrder(p.order, "")
		p.order = 0
		to := ch.epoch
		c.stepDown(notice.New("story.down.handover", "mastership is handed over to %s", p.to))
		c.startFence(to)
	default:
		p.phase = planSaving
		p.next = ch.register
		c.beginPlanned()
	}
}

// beginPlanned begins the new epoch when its promise is durable. All links are made
// anew, so that each acknowledgement is of the new epoch.
func (c *Core) beginPlanned() {
	p := &c.plan
	switch {
	case c.saving.op != 0 || c.fence.on:
	case c.meta.Promised < p.epoch:
		m := c.meta
		m.Promised, m.Replicas, m.Voters, m.Feature = p.epoch, p.next.Replicas, slices.Clone(p.next.Voters), p.next.Feature
		c.save(m)
	case c.busy == 0:
		for i := range c.peers {
			c.emit(Close{c.peers[i].link})
		}
		c.peers = c.peers[:0]
		next, order := p.next, p.order
		c.plan = plan{}
		c.startLead(next)
		c.answerOrder(order, "")
	}
}

// ownPlan is what a master does by itself: leave when its disk is full, and replace
// a voter that came back with an empty disk.
func (c *Core) ownPlan() {
	l := &c.lead
	if !l.serving || !c.active() || c.now < l.since+c.t.Change {
		return
	}
	if c.full && c.view != nil {
		if to := c.healthiest(); to != "" {
			l.since = c.now // not again at once
			c.startPlan(0, plan{to: to, next: l.register})
		}
		return
	}
	if c.cfg.Replace && c.view != nil && c.now > l.since+c.t.Replace {
		c.replaceWiped()
	}
}

// healthiest returns the voter that holds most and has room.
func (c *Core) healthiest() NodeID {
	var best *peer
	for i := range c.peers {
		p := &c.peers[i]
		if m := c.entry(p.node); m == nil || m.State != Healthy {
			continue
		}
		if p.state == peerStreaming && c.lead.register.Voter(p.node) != nil && (best == nil || p.held.stable > best.held.stable) {
			best = p
		}
	}
	if best == nil {
		return ""
	}
	return best.node
}

// gone says that a voter in whose name another node came back is not there: its session has ended, or the new
// one has its address, which a process that ran could not have given up, and it has no link.
func (c *Core) gone(v *Voter, back *Member) bool {
	if c.view.Member(v.ID) == nil {
		return true
	}
	linked := slices.ContainsFunc(c.peers, func(p peer) bool { return p.node == v.ID })
	return v.Addr != "" && v.Addr == back.Addr && !linked
}

func (c *Core) replaceWiped() {
	l := &c.lead
	for i := range c.peers {
		p := &c.peers[i]
		m := c.view.Member(p.node)
		if p.state != peerStreaming || m == nil || m.Name == "" || l.register.Voter(p.node) != nil {
			continue
		}
		next := l.register
		next.Voters = slices.Clone(next.Voters)
		for j := range next.Voters {
			v := &next.Voters[j]
			if v.Name == m.Name && v.ID != c.cfg.ID && c.gone(v, m) {
				*v = Voter{ID: m.ID, Name: m.Name, Addr: m.Addr, Weight: m.Weight}
				l.since = c.now
				c.report(Warning, "story.replaced", "node %s came back with an empty disk as %s, which takes its place", m.Name, m.ID)
				c.startPlan(0, plan{next: next})
				return
			}
		}
	}
}
