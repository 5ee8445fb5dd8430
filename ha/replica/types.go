package replica

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"treadmq/ha/coord"
	"treadmq/store"
)

// NodeID is a node's identity: a UUID that was made with its data folder. A node
// that lost its disk is a new node.
type NodeID string

// Epoch and Position are the store's.
type (
	Epoch    = store.Epoch
	Position = store.Position
)

// Limits of what comes from outside.
const (
	MaxVoters  = 7   // of a group
	MaxMembers = 64  // seen in one view
	MaxName    = 256 // bytes of a name, identity or address
)

// Voter is a node whose acknowledgements and promises count.
type Voter struct {
	ID     NodeID `json:"id"`
	Name   string `json:"name,omitempty"` // configured; a wiped node comes back with the same
	Addr   string `json:"addr,omitempty"` // of its replication port
	Weight int    `json:"weight,omitempty"`
}

// Register is the one versioned register of a group. Whatever changes the master
// or the voters raises Epoch, or fills in the master of an epoch that has none,
// or gives a vacant place to an empty node.
type Register struct {
	Cluster    string  `json:"cluster"` // random, made with the register
	Group      string  `json:"group"`
	BrokerName string  `json:"brokerName"`
	Replicas   int     `json:"replicas"` // places for voters; a quorum is Replicas/2+1
	Feature    int     `json:"feature"`  // newest format that may be written
	Epoch      Epoch   `json:"epoch"`
	Master     NodeID  `json:"master,omitempty"` // "" while electing
	Voters     []Voter `json:"voters"`
	Prefer     NodeID  `json:"prefer,omitempty"` // wins among equals, for a handover
}

// Quorum returns how many voters decide.
func (r *Register) Quorum() int { return r.Replicas/2 + 1 }

// Voter returns the voter with an identity, nil if there is none.
func (r *Register) Voter(id NodeID) *Voter {
	for i := range r.Voters {
		if r.Voters[i].ID == id {
			return &r.Voters[i]
		}
	}
	return nil
}

var errRegister = errors.New("the register is not one of ours")

// Validate checks what was read from outside.
func (r *Register) Validate() error {
	switch {
	case r.Cluster == "" || len(r.Cluster) > MaxName || len(r.BrokerName) > MaxName || len(r.Group) > MaxName:
		return fmt.Errorf("%w: bad names", errRegister)
	case r.Replicas < 1 || r.Replicas > MaxVoters:
		return fmt.Errorf("%w: %d replicas, 1 to %d are possible", errRegister, r.Replicas, MaxVoters)
	case len(r.Voters) < 1 || len(r.Voters) > r.Replicas:
		return fmt.Errorf("%w: %d voters in %d places", errRegister, len(r.Voters), r.Replicas)
	case r.Epoch == 0:
		return fmt.Errorf("%w: no epoch", errRegister)
	}
	for i, v := range r.Voters {
		if v.ID == "" || len(v.ID) > MaxName || len(v.Name) > MaxName || len(v.Addr) > MaxName ||
			slices.ContainsFunc(r.Voters[:i], func(o Voter) bool { return o.ID == v.ID }) {
			return fmt.Errorf("%w: bad voter %q", errRegister, v.ID)
		}
	}
	return nil
}

// State is what a node says about its data.
type State uint8

// States.
const (
	Healthy State = iota
	Suspect       // may lack what it has acknowledged: power was lost, or a sync failed
	Corrupt       // damaged: does not vote until repaired from the master
	Full          // no room: votes, but does not follow
)

func (s State) String() string {
	return [...]string{"healthy", "suspect", "corrupt", "full"}[s&3]
}

// Member is what a node publishes about itself; it vanishes with its session.
// Promised, LastEpoch and End belong together: they were measured after the
// promise became durable and stay true as long as the register is at that epoch
// and has no master.
type Member struct {
	ID        NodeID   `json:"id"`
	Name      string   `json:"name,omitempty"`
	Addr      string   `json:"addr,omitempty"`
	Weight    int      `json:"weight,omitempty"`
	Promised  Epoch    `json:"promised,omitempty"`
	LastEpoch Epoch    `json:"lastEpoch,omitempty"` // of the last batch
	End       Position `json:"end,omitempty"`       // of the log
	State     State    `json:"state,omitempty"`
	Suspects  Epoch    `json:"suspects,omitempty"` // whose master it does not hear
	Feature   int      `json:"feature,omitempty"`  // newest format it understands
	Refuses   bool     `json:"refuses,omitempty"`  // it waits for an operator
	Highest   Epoch    `json:"highest,omitempty"`  // durable promise, also while it refuses or delays
	Noted     []Voter  `json:"noted,omitempty"`    // who has a vote, as it knows durably; within an epoch there only come more
	Places    int      `json:"places,omitempty"`   // for voters, the same
	NotedOf   Epoch    `json:"notedOf,omitempty"`  // of the register that both are of; 0: a release that did not tell, or none
}

// same says whether two entries say the same.
func (m *Member) same(o *Member) bool {
	return m.ID == o.ID && m.Name == o.Name && m.Addr == o.Addr && m.Weight == o.Weight && m.Promised == o.Promised &&
		m.LastEpoch == o.LastEpoch && m.End == o.End && m.State == o.State && m.Suspects == o.Suspects && m.Feature == o.Feature &&
		m.Refuses == o.Refuses && m.Highest == o.Highest && slices.Equal(m.Noted, o.Noted) && m.Places == o.Places && m.NotedOf == o.NotedOf
}

// Lease says who holds the ephemeral lease. It serves detection and discovery only.
type Lease struct {
	Node NodeID `json:"node"`
	Addr string `json:"addr,omitempty"`
}

// View is what the coordination service showed at one moment. It is never changed
// after it was given to a Core.
type View struct {
	Register *Register // nil if there is none
	Invalid  string    // why the register cannot be read; then Register is nil
	Version  coord.Version
	Lease    *Lease   // nil if nobody holds it
	Members  []Member // in order of ID
	Marks    []NodeID // nodes that died of a failed sync
}

// Member returns the entry of a node, nil if it is not present.
func (v *View) Member(id NodeID) *Member {
	for i := range v.Members {
		if v.Members[i].ID == id {
			return &v.Members[i]
		}
	}
	return nil
}

// Meta is what a node keeps durably besides the log.
type Meta struct {
	Cluster  string // "" before it took part in one
	Promised Epoch  // it follows and acknowledges no master of an epoch below
	Suspect  bool
	Corrupt  bool
	Replicas int     // of the register that was seen last at the promised epoch, for a reseed
	Voters   []Voter // the same
	Feature  int     // the same
	NotedOf  Epoch   // of that register; below Promised if only a master told of the promised epoch so far
}

// LogState describes the log when nothing is under way in it.
type LogState struct {
	Tail    Position        // first position that can be streamed
	End     Position        // behind the last batch
	Stable  Position        // on disk up to here
	Applied Position        // what the index reflects, durably
	Epochs  store.EpochList // epochs of the log
}

// Timing holds the durations that decide when something is attempted. None
// decides whether it is allowed.
type Timing struct {
	Heartbeat   time.Duration // between heartbeats on a link
	Silence     time.Duration // a link on which nothing was heard for this long is dead
	ClaimWait   time.Duration // for voters that have not promised, once a quorum has
	Unclaimed   time.Duration // an epoch that nobody claims is left
	Activate    time.Duration // a master that cannot commit its start steps down
	Hold        time.Duration // without a quorum: stop reading from producers
	StepDown    time.Duration // without a quorum: give up mastership
	Unreachable time.Duration // delay of the promise of a node that sees too few others
	Redial      time.Duration // between attempts to reach the master
	Change      time.Duration // a change of voters or handover that takes longer is given up
	Refuse      time.Duration // an alarming register must stay for this long before the alarm
	Replace     time.Duration // a mastership is older before a voter whose name is back on an empty disk loses its place
}

// DefaultTiming returns what suits a local network.
func DefaultTiming() Timing {
	return Timing{
		Heartbeat: 250 * time.Millisecond, Silence: time.Second, ClaimWait: 300 * time.Millisecond,
		Unclaimed: time.Second, Activate: 3 * time.Second, Hold: 3 * time.Second, StepDown: 10 * time.Second,
		Unreachable: 2 * time.Second, Redial: 100 * time.Millisecond, Change: 5 * time.Second,
		Refuse: 5 * time.Second, Replace: 5 * time.Second,
	}
}

// OrDefault puts the durations of DefaultTiming in the place of those that are zero.
func (t Timing) OrDefault() Timing {
	d := DefaultTiming()
	for _, f := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&t.Heartbeat, d.Heartbeat}, {&t.Silence, d.Silence}, {&t.ClaimWait, d.ClaimWait}, {&t.Unclaimed, d.Unclaimed},
		{&t.Activate, d.Activate}, {&t.Hold, d.Hold}, {&t.StepDown, d.StepDown}, {&t.Unreachable, d.Unreachable},
		{&t.Redial, d.Redial}, {&t.Change, d.Change}, {&t.Refuse, d.Refuse}, {&t.Replace, d.Replace},
	} {
		if *f.v == 0 {
			*f.v = f.d
		}
	}
	return t
}

// Config is what does not change while a Core lives.
type Config struct {
	Group      string
	BrokerName string
	ID         NodeID
	Name       string // configured name of this node
	Addr       string // of its replication port, as others reach it
	Weight     int
	Replicas   int // of a group that this node founds
	Feature    int // newest format this program understands
	Sync       SyncMode
	NewCluster string // random identity for a group that this node founds
	Seed       uint64 // of the jitter
	StopOnLoss bool   // a master that loses the coordination service steps down
	Replace    bool   // a master replaces a voter that came back with an empty disk
	Timing     Timing
}
