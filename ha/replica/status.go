package replica

import (
	"time"

	"treadmq/notice"
)

// Role says what a node is doing.
type Role uint8

// Roles.
const (
	Starting  Role = iota // no view of the register yet
	Refusing              // the register is not this node's; an operator must act
	Electing              // there is no master, or none is heard
	Following             // a voter that follows the master
	Learning              // no voter; follows, or waits for a place
	Fetching              // its store is being fetched from the master
	Leading               // master, the epoch's start not committed yet
	Serving               // master, open to clients
)

func (r Role) String() string {
	return [...]string{"starting", "refusing", "electing", "following", "learning", "fetching", "leading", "serving"}[r&7]
}

// Status is a copy of what an operator wants to know.
type Status struct {
	Role      Role
	Why       notice.Notice // of Refusing
	Epoch     Epoch         // of the register, 0 unknown
	Promised  Epoch
	Master    NodeID
	State     State
	End       Position // of the log
	Committed Position // for certain
	Applied   Position
	Connected bool // to the coordination service
	Register  *Register
	Members   []Member // as seen last
	Peers     []PeerStatus
}

// PeerStatus is a follower as its master sees it. Its lag is Status.End - Stable.
type PeerStatus struct {
	Node     NodeID
	Voter    bool
	Fetching bool
	Written  Position
	Stable   Position
	Applied  Position
	Silent   time.Duration // since something was heard
}

// Status describes the node after the last Step.
func (c *Core) Status() Status {
	s := Status{Role: c.role(), Why: c.refusal.why, Promised: c.meta.Promised, State: c.state(), End: c.log.End, Committed: c.known,
		Applied: c.log.Applied, Connected: c.connected}
	if c.view != nil {
		s.Members = c.view.Members
		if r := c.view.Register; r != nil {
			s.Register, s.Epoch, s.Master = r, r.Epoch, r.Master
		}
	}
	for i := range c.peers {
		p := &c.peers[i]
		if p.state == peerNew {
			continue
		}
		s.Peers = append(s.Peers, PeerStatus{Node: p.node, Voter: c.lead.register.Voter(p.node) != nil, Fetching: p.state == peerFetching,
			Written: p.held.written, Stable: p.held.stable, Applied: p.applied, Silent: c.now - p.heard})
	}
	return s
}

func (c *Core) role() Role {
	f := c.follow.state
	switch {
	case c.lead.serving:
		return Serving
	case c.lead.epoch != 0:
		return Leading
	case f == fetching || f == installing:
		return Fetching
	case f == streaming && c.view != nil && c.view.Register != nil && c.place(c.view.Register) == nil:
		return Learning
	case f == streaming:
		return Following
	case c.view == nil:
		return Starting
	case c.refusal.on:
		return Refusing
	case c.view.Register != nil && c.place(c.view.Register) == nil:
		return Learning
	}
	return Electing
}
