package replica

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"treadmq/ha/internal/mutate"
	"treadmq/notice"
)

// refusal keeps a node out of a group that is not its own (invariant 20): the register
// is missing, foreign, or older than what this node promised. A master that already
// works goes on, no election and no change happens.
type refusal struct {
	on      bool
	why     notice.Notice
	since   time.Duration
	alarmed bool
}

func (c *Core) checkRegister() {
	if c.view == nil {
		return
	}
	why := c.foreign(c.view)
	if r := c.view.Register; !why.IsZero() && r != nil && c.broken.Has(mutate.IgnoreForeign) {
		why, c.meta.Promised, c.meta.Cluster, c.fence.to = notice.Notice{}, 0, r.Cluster, 0
	}
	f := &c.refusal
	switch {
	case why.IsZero():
		if f.alarmed {
			c.report(Info, "story.right", "the register of the group is right again")
		}
		*f = refusal{}
	case !f.on || f.why.Text != why.Text:
		*f = refusal{on: true, why: why, since: c.now, alarmed: f.alarmed}
	case !f.alarmed && c.now >= f.since+c.t.Refuse:
		f.alarmed = true
		c.report(Alarm, "story.refuses", "this node takes no part in elections: %s", why)
	}
}

// foreign says why the register is not the one of this node's group.
func (c *Core) foreign(v *View) notice.Notice {
	r := v.Register
	m := &c.meta
	switch {
	case v.Invalid != "":
		return notice.New("alarm.foreign.unreadable", "the register cannot be read: %s", v.Invalid)
	case r == nil:
		if m.Cluster != "" || m.Promised != 0 || c.log.End != 0 {
			return notice.New("alarm.foreign.missing", "the register is missing, though this node holds data: if the coordination service lost its data, reseed the group")
		}
		return notice.Notice{}
	case r.Group != c.cfg.Group || r.BrokerName != c.cfg.BrokerName:
		return notice.New("alarm.foreign.group", "the register belongs to the group %q of the broker %q: check zkPath and brokerName", r.Group, r.BrokerName)
	case m.Cluster != "" && r.Cluster != m.Cluster:
		return notice.New("alarm.foreign.cluster", "the register belongs to cluster %s, this node's data to %s: check zkPath and the data folder", r.Cluster, m.Cluster)
	case m.Cluster == "" && c.log.End != 0 && r.Voter(c.cfg.ID) == nil: // its own, if a reseed made it
		return notice.New("alarm.foreign.nogroup", "this node's data belongs to no group: start with an empty folder, or reseed a group from it")
	case r.Epoch < m.Promised:
		return notice.New("alarm.foreign.older", "the register is older than what this node has promised: if the coordination service lost its data, reseed the group")
	case r.Feature > c.cfg.Feature:
		return notice.New("alarm.foreign.format", "the group uses format %d, this program knows %d: use a newer program", r.Feature, c.cfg.Feature)
	}
	return notice.Notice{}
}

// found makes the register of a new group, with this node as its only voter; the
// others take the vacant places.
func (c *Core) found() {
	if c.view.Register != nil || c.meta.Cluster != "" || c.meta.Promised != 0 || c.log.End != 0 || c.fence.on {
		return
	}
	c.report(Info, "story.founds", "there is no register: this node founds the group")
	c.propose(changeFound, c.founding(1), nil)
}

func (c *Core) founding(e Epoch) Register {
	return Register{Cluster: c.cfg.NewCluster, Group: c.cfg.Group, BrokerName: c.cfg.BrokerName, Replicas: c.cfg.Replicas,
		Feature: c.cfg.Feature, Epoch: e, Voters: []Voter{c.self()}}
}

func (c *Core) self() Voter {
	return Voter{ID: c.cfg.ID, Name: c.cfg.Name, Addr: c.cfg.Addr, Weight: c.cfg.Weight}
}

// mayFill says whether this node may take a vacant place. It must be empty: all that
// was acknowledged is on a quorum of the others, and any two quorums of at most
// Replicas voters meet.
func (c *Core) mayFill(r *Register) bool {
	return len(r.Voters) < r.Replicas && c.place(r) == nil && c.log.End == 0 && !c.meta.Suspect && !c.meta.Corrupt
}

func (c *Core) fill(r *Register) {
	if !c.mayFill(r) || c.fence.on || r.Epoch != c.meta.Promised {
		return
	}
	next := *r
	next.Voters = append(slices.Clone(r.Voters), c.self())
	c.propose(changeFill, next, nil)
}

// thinkMeta keeps the durable copy of the voters true, for a reseed.
func (c *Core) thinkMeta() {
	r := c.register()
	if r == nil || c.fence.on || c.saving.op != 0 || c.busy > 0 || r.Epoch != c.meta.Promised {
		return
	}
	if r.Epoch != c.meta.NotedOf || r.Replicas != c.meta.Replicas || r.Feature != c.meta.Feature || !slices.Equal(r.Voters, c.meta.Voters) {
		c.save(c.metaFor(c.meta.Promised))
	}
}

// reseedGap is by how much the epoch of a register that is made anew exceeds what is known: the
// one that was lost may have been ahead of all promises, and no epoch may have two masters.
const reseedGap = 1000

// reseed makes the register anew with an epoch above all promises.
func (c *Core) reseed(id uint64, lost []NodeID) {
	next, err := c.reseeded(lost)
	if err != "" {
		c.answerOrder(id, err)
		return
	}
	c.report(Warning, "story.reseeds", "an operator makes the register anew with epoch %d", next.Epoch)
	c.propose(changeReseed, next, nil)
	c.change.order = id
}

func (c *Core) reseeded(lost []NodeID) (Register, string) {
	v, m := c.view, &c.meta
	switch {
	case v == nil || !c.connected || c.change.kind != noChange || c.fence.on:
		return Register{}, "the coordination service is not reached, try again"
	case !c.refusal.on:
		return Register{}, "the register is there and right: nothing to reseed"
	case m.Cluster == "":
		if v.Register != nil || v.Invalid != "" {
			return Register{}, "another group's register is there: give an empty zkPath"
		}
		r := c.founding(max(m.Promised, c.log.Epochs.Last()) + 1)
		r.Replicas = 1 // others are added when this node is master: see remaining
		return r, ""
	case v.Register != nil && (v.Register.Cluster == m.Cluster) && v.Register.Epoch >= m.Promised:
		return Register{}, c.refusal.why.Text
	}
	highest := m.Promised
	noted, places := Noted(m, v)
	own := false
	for _, o := range v.Members {
		if o.Highest > m.Promised {
			return Register{}, fmt.Sprintf("node %s (%s) knows more of the group: run this there", o.ID, o.Name)
		}
	}
	for _, o := range noted {
		switch {
		case o.ID == c.cfg.ID:
			own = true
		case slices.Contains(lost, o.ID):
		case v.Member(o.ID) == nil:
			return Register{}, fmt.Sprintf("node %s (%s) is missing: start it, or name it as lost", o.ID, o.Name)
		default:
			highest = max(highest, v.Member(o.ID).Highest)
		}
	}
	if !own && !c.alone(noted, lost) {
		return Register{}, "this node has no vote, so it may not know who has: run this on a voter"
	}
	if v.Register != nil {
		highest = max(highest, v.Register.Epoch)
	}
	voters, replicas := remaining(noted, places, lost)
	return Register{Cluster: m.Cluster, Group: c.cfg.Group, BrokerName: c.cfg.BrokerName, Replicas: replicas,
		Feature: m.Feature, Epoch: highest + reseedGap, Voters: voters}, ""
}

// Noted returns who had a vote and how many places there were, for a reseed: what the node, or any member, knows durably of the newest
// register. Within an epoch there only come more voters, so that the longest list is the newest; another epoch may have fewer.
func Noted(m *Meta, v *View) (voters []Voter, places int) {
	voters, places = m.Voters, m.Replicas
	of := m.NotedOf
	for _, o := range v.Members {
		switch {
		case o.NotedOf > 0:
		case o.Highest == m.Promised:
			o.NotedOf = of // its release does not tell
		default:
			continue
		}
		if newer := cmp.Compare(o.NotedOf, of); newer > 0 || newer == 0 && (len(o.Noted) > len(voters) || len(o.Noted) == len(voters) && o.Places > places) {
			voters, places, of = o.Noted, o.Places, o.NotedOf
		}
	}
	if places < len(voters) { // the members of another release did not tell; majorities of so many places always meet
		places = len(voters) | 1
	}
	return voters, places
}

// alone says that no voter has promised the epoch that this node, which has no vote, has
// promised: nobody was elected in it, and whoever took a place in it holds nothing.
func (c *Core) alone(noted []Voter, lost []NodeID) bool {
	for _, o := range noted {
		if m := c.view.Member(o.ID); slices.Contains(lost, o.ID) || m == nil || m.Highest >= c.meta.Promised {
			return false
		}
	}
	return true
}

// remaining are the voters and places of a register that is made anew. Those that are lost
// stay while the others are a quorum without them. Else they go, and their places with
// them: empty nodes that took the places could elect one of themselves, without what is
// left. An operator adds them when there is a master.
func remaining(noted []Voter, replicas int, lost []NodeID) ([]Voter, int) {
	rest := slices.DeleteFunc(slices.Clone(noted), func(v Voter) bool { return slices.Contains(lost, v.ID) })
	if len(rest) < replicas/2+1 {
		return rest, len(rest)
	}
	return slices.Clone(noted), replicas
}
