package ha

import (
	"time"

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
	Group      string `json:"group"`
	BrokerName string `json:"brokerName"`
	Cluster    string `json:"cluster,omitempty"` // identity of the group, made with it
	ID         string `json:"id"`                // of this member, made with its data folder
	Name       string `json:"name"`
	Addr       string `json:"addr"` // of its replication port
	Role       string `json:"role"`
	Why        string `json:"why,omitempty"` // the role, where it says little by itself
	State      string `json:"state"`         // of its data: healthy, suspect, corrupt, full
	Sync       string `json:"sync"`

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
	Severe bool   `json:"severe"` // it stops this member or the group, or soon may
	Text   string `json:"text"`
}

// Entry of the timeline.
type Entry struct {
	Time  time.Time   `json:"time"`
	Level string      `json:"level"` // info, warning, alarm
	Epoch store.Epoch `json:"epoch,omitempty"`
	Text  string      `json:"text"`
}
