package ha

import (
	"slices"
	"time"

	"treadmq/ha/replica"
	"treadmq/notice"
	"treadmq/store"
)

// Roles in words, as [Status] has them.
const (
	RoleStarting   = "starting"    // nothing is known of the group yet
	RoleRefusing   = "refusing"    // the register is not this member's: an operator must act
	RoleElecting   = "electing"    // there is no master, or none is heard
	RoleWaiting    = "waiting"     // for a quorum, or for the coordination service
	RoleFollower   = "follower"    // a voter that follows the master
	RoleLearner    = "learner"     // it follows and has no vote
	RoleCatchingUp = "catching up" // its store is being fetched from the master
	RoleMaster     = "master"      // it serves clients
	RoleStopped    = "stopped"
)

// Status is what an operator wants to know of a member and of its group, as this
// member sees it. Positions are bytes of the group's journal.
type Status struct {
	Group      string        `json:"group"`
	BrokerName string        `json:"brokerName"`
	Cluster    string        `json:"cluster,omitempty"` // identity of the group, made with it
	ID         string        `json:"id"`                // of this member, made with its data folder
	Name       string        `json:"name"`
	Addr       string        `json:"addr"` // of its replication port
	Role       string        `json:"role"`
	Why        notice.Notice `json:"why,omitzero"` // the role, where it says little by itself
	State      string        `json:"state"`        // of its data: healthy, suspect, corrupt, full
	Sync       string        `json:"sync"`

	Epoch    store.Epoch `json:"epoch"`    // of the group, 0 unknown
	Promised store.Epoch `json:"promised"` // by this member
	Master   *Member     `json:"master,omitempty"`
	Replicas int         `json:"replicas"` // places for voters; 0 unknown
	Quorum   int         `json:"quorum"`

	End       store.Position `json:"end"`       // of this member's journal
	Committed store.Position `json:"committed"` // for certain
	Applied   store.Position `json:"applied"`   // in its index

	Connected   bool   `json:"connected"`             // to the coordination service
	Coordinator string `json:"coordinator,omitempty"` // why it is not

	Members  []Member  `json:"members"` // voters, and others that are present
	Snapshot *Progress `json:"snapshot,omitempty"`
	Alarms   []Alarm   `json:"alarms"`
	Timeline []Entry   `json:"timeline"` // newest last
}

// Member is one member of the group.
type Member struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Addr    string   `json:"addr"`
	Clients []string `json:"clients,omitempty"` // where clients reach it when it is master
	Console string   `json:"console,omitempty"`
	Self    bool     `json:"self,omitempty"`
	Master  bool     `json:"master,omitempty"`
	Voter   bool     `json:"voter"`
	Present bool     `json:"present"` // to the coordination service
	State   string   `json:"state,omitempty"`
	Weight  int      `json:"weight,omitempty"`
	// Promised, LastEpoch and End are what it said at its last election.
	Promised  store.Epoch    `json:"promised,omitempty"`
	LastEpoch store.Epoch    `json:"lastEpoch,omitempty"`
	End       store.Position `json:"end,omitempty"`
	// Link is how the master sees it; only there.
	Link *Link `json:"link,omitempty"`
}

// Link is a follower as its master sees it.
type Link struct {
	Fetching bool           `json:"fetching,omitempty"` // a snapshot
	Written  store.Position `json:"written"`
	Stable   store.Position `json:"stable"`
	Applied  store.Position `json:"applied"`
	Lag      uint64         `json:"lag"` // bytes of the master's journal that it does not have on disk
	Silent   time.Duration  `json:"silent"`
}

// Progress of a snapshot that this member fetches.
type Progress struct {
	From  string    `json:"from"`
	Since time.Time `json:"since"`
	Bytes int64     `json:"bytes"` // fetched, or there from an earlier attempt
	Total int64     `json:"total"` // of the segments; the index comes after them
	Phase string    `json:"phase"` // segments, index, checking, done
}

// Alarm is something an operator should know, with what to do about it.
type Alarm struct {
	Severe bool          `json:"severe"` // it stops this member or the group, or soon may
	Text   notice.Notice `json:"text"`
}

// Entry of the timeline.
type Entry struct {
	Time  time.Time     `json:"time"`
	Level string        `json:"level"` // info, warning, alarm
	Epoch store.Epoch   `json:"epoch,omitempty"`
	Text  notice.Notice `json:"text"`
}

// statusTime bounds how long Status waits for the core.
const statusTime = time.Second

// Status describes the member. It may be called at any time.
func (n *Node) Status() Status {
	answer := make(chan Status, 1)
	late := time.NewTimer(statusTime)
	defer late.Stop()
	select {
	case n.events <- func() { answer <- n.status() }:
	case <-n.ended:
		return n.final
	case <-late.C:
		return n.silent()
	}
	select {
	case s := <-answer:
		return s
	case <-n.ended:
		return n.final
	case <-late.C:
		return n.silent()
	}
}

// silent is what can be said while the core does not answer: before Run, or when something hangs.
func (n *Node) silent() Status {
	return Status{Group: n.opt.Group, BrokerName: n.opt.BrokerName, ID: string(n.id), Name: n.opt.Name, Addr: n.addr, Role: RoleStarting,
		Sync: n.opt.Sync.String()}
}

// status describes the member. Only the core's goroutine calls it.
func (n *Node) status() Status {
	c := n.core.Status()
	s := n.silent()
	s.Role, s.Why = n.role(c)
	s.State, s.Epoch, s.Promised = c.State.String(), c.Epoch, c.Promised
	s.End, s.Committed, s.Applied, s.Connected = c.End, c.Committed, c.Applied, c.Connected
	if !c.Connected {
		s.Coordinator = "no server is heard"
		if n.reached != nil {
			s.Coordinator = n.reached.Error()
		}
	}
	if r := c.Register; r != nil {
		s.Cluster, s.Replicas, s.Quorum = r.Cluster, r.Replicas, r.Quorum()
	}
	s.Members = n.members(c)
	if i := slices.IndexFunc(s.Members, func(m Member) bool { return m.Master }); i >= 0 {
		s.Master = &s.Members[i]
	}
	if c.Role == replica.Fetching && n.fetch != nil {
		n.fetch.mu.Lock()
		p := n.fetch.progress
		n.fetch.mu.Unlock()
		s.Snapshot = &p
	}
	s.Timeline = slices.Clone(n.story.timeline)
	s.Alarms = n.alarms(&s)
	return s
}

// epoch is that of the register, 0 if it is not known.
func (n *Node) epoch() store.Epoch {
	if n.view.view == nil || n.view.view.Register == nil {
		return 0
	}
	return n.view.view.Register.Epoch
}

// role says in words what the member does.
func (n *Node) role(c replica.Status) (role string, why notice.Notice) {
	switch c.Role {
	case replica.Serving:
		return RoleMaster, notice.Notice{}
	case replica.Leading:
		return RoleWaiting, notice.New("waits.followers", "for a quorum of voters to follow")
	case replica.Following:
		return RoleFollower, notice.Notice{}
	case replica.Learning:
		return RoleLearner, notice.New("waits.vote", "it has no vote: add it, or wait until it takes a vacant place")
	case replica.Fetching:
		return RoleCatchingUp, notice.Notice{}
	case replica.Refusing:
		return RoleRefusing, c.Why
	case replica.Electing:
		if !c.Connected {
			return RoleWaiting, notice.New("waits.coordination", "for the coordination service")
		}
		if r := c.Register; r != nil {
			if there := present(r, c.Members); there < r.Quorum() {
				return RoleWaiting, notice.New("waits.quorum", "for a quorum: %d of %d voters are there, %d are needed", there, r.Replicas, r.Quorum())
			}
		}
		return RoleElecting, notice.Notice{}
	}
	if !c.Connected {
		return RoleWaiting, notice.New("waits.coordination", "for the coordination service")
	}
	return RoleStarting, notice.Notice{}
}

// present counts the voters that the coordination service shows.
func present(r *replica.Register, ms []replica.Member) int {
	there := 0
	for _, m := range ms {
		if r.Voter(m.ID) != nil {
			there++
		}
	}
	return there
}

// members lists voters first, in their order, then others that are present.
func (n *Node) members(c replica.Status) []Member {
	var list []Member
	seen := map[replica.NodeID]int{}
	if r := c.Register; r != nil {
		for _, v := range r.Voters {
			seen[v.ID] = len(list)
			list = append(list, Member{ID: string(v.ID), Name: v.Name, Addr: v.Addr, Voter: true, Weight: v.Weight})
		}
	}
	for i := range c.Members {
		m := &c.Members[i]
		at, ok := seen[m.ID]
		if !ok {
			at = len(list)
			seen[m.ID] = at
			list = append(list, Member{ID: string(m.ID)})
		}
		x := &list[at]
		card := n.view.cards[m.ID]
		x.Name, x.Addr, x.Weight, x.Present, x.State = m.Name, m.Addr, m.Weight, true, m.State.String()
		x.Clients, x.Console, x.Promised, x.LastEpoch, x.End = card.Clients, card.Console, m.Promised, m.LastEpoch, m.End
	}
	for i := range list {
		list[i].Self = list[i].ID == string(n.id)
		list[i].Master = c.Register != nil && list[i].ID == string(c.Register.Master)
	}
	for _, p := range c.Peers {
		if at, ok := seen[p.Node]; ok {
			list[at].Link = &Link{Fetching: p.Fetching, Written: p.Written, Stable: p.Stable, Applied: p.Applied,
				Lag: uint64(max(c.End, p.Stable) - p.Stable), Silent: p.Silent}
		}
	}
	return list
}
