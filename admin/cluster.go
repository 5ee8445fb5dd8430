package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"treadmq/broker"
	"treadmq/notice"
)

// Cluster is the replicated group that this broker is a member of.
type Cluster interface {
	// Status is a copy of what this member knows.
	Status() ClusterStatus
	// Do carries a change out, or says in words why not. It returns when it is done.
	Do(ctx context.Context, c ClusterChange) error
}

// Roles of members, as the API names them.
const (
	MemberMaster   = "master"
	MemberFollower = "follower"
	MemberLearner  = "learner"     // follows, without a vote
	MemberCatching = "catching up" // copies the whole store
	MemberElecting = "electing"    // there is no master, or none is heard of
	MemberWaiting  = "waiting"     // for a quorum, or for ZooKeeper
	MemberRefusing = "refusing"    // needs an operator
	MemberStarting = "starting"
	MemberStopped  = "stopped"
	MemberAbsent   = "absent" // a voter that is not there
)

// ClusterStatus is a replicated group as one of its members sees it. Positions are
// bytes in the log, the same on all members.
type ClusterStatus struct {
	Group      string          `json:"group"`
	BrokerName string          `json:"brokerName"`
	Member     string          `json:"member"` // name of the one that answers
	Role       string          `json:"role"`   // one of those above, but "absent"
	Why        notice.Notice   `json:"why,omitzero"`
	Epoch      uint64          `json:"epoch"`    // raised with each election; 0: unknown
	Promised   uint64          `json:"promised"` // this member follows no master of an epoch below
	Master     string          `json:"master,omitempty"`
	Replicas   int             `json:"replicas"`
	Quorum     int             `json:"quorum"`
	Sync       string          `json:"sync"`
	ZooKeeper  bool            `json:"zooKeeper"` // it is reached
	End        uint64          `json:"end"`
	Committed  uint64          `json:"committed"`
	Applied    uint64          `json:"applied"` // what the index has taken in
	Members    []ClusterMember `json:"members"`
	Alarms     []notice.Notice `json:"alarms"`   // what needs an operator, in words, with what to do
	Timeline   []ClusterEvent  `json:"timeline"` // newest first
	State      string          `json:"state"`    // another one when roles, members or alarms change
}

// ClusterMember is a member as the one that answers knows it.
type ClusterMember struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Address string   `json:"address,omitempty"` // for replication
	Role    string   `json:"role"`              // "electing" also stands for what is not known
	Self    bool     `json:"self"`
	Voter   bool     `json:"voter"` // counts for the quorum
	Present bool     `json:"present"`
	Weight  int      `json:"weight"`
	Health  string   `json:"health,omitempty"` // "healthy", "suspect", "corrupt" or "full"
	Clients []string `json:"clients,omitempty"`
	Console string   `json:"console,omitempty"`
	End     *uint64  `json:"end,omitempty"`     // on its disk; of others known to the master alone
	Lag     *uint64  `json:"lag,omitempty"`     // bytes behind the master's end
	Applied *uint64  `json:"applied,omitempty"` // by its index
	// SilentMillis is the time since something was heard of it.
	SilentMillis *int64 `json:"silentMillis,omitempty"`
	// CopiedBytes of CopyBytes have come of a whole copy of the store.
	CopiedBytes int64 `json:"copiedBytes,omitempty"`
	CopyBytes   int64 `json:"copyBytes,omitempty"`
}

// ClusterEvent is a line of the group's story.
type ClusterEvent struct {
	Time  time.Time     `json:"time"`
	Epoch uint64        `json:"epoch,omitempty"`
	Level string        `json:"level"` // "info", "warning" or "alarm"
	Text  notice.Notice `json:"text"`
}

// Actions of ClusterChange.
const (
	ClusterHandover = "handover"
	ClusterVoters   = "voters"
	ClusterElect    = "elect"
	ClusterReseed   = "reseed"
)

// ClusterChange is what an operator asks of a group. Members are given by name or id.
type ClusterChange struct {
	Action   string
	To       string   // of a handover; empty: the most up to date
	Add      []string // members that get a vote
	Remove   []string // members that lose theirs
	Replicas int      // places for voters; 0: as many as are needed, an odd number
	Lost     []string // of a reseed: voters that do not come back
}

// master is the entry of the master, nil if there is none.
func (c *ClusterStatus) master() *ClusterMember {
	for i := range c.Members {
		if c.Members[i].Role == MemberMaster {
			return &c.Members[i]
		}
	}
	return nil
}

// Signature is a text that is another one when roles, members or alarms change.
func (c *ClusterStatus) Signature() string {
	parts := []string{fmt.Sprint(c.Epoch), c.Role, c.Why.Text, c.Master}
	for i := range c.Members {
		m := &c.Members[i]
		parts = append(parts, m.ID, m.Role, fmt.Sprint(m.Voter, m.Present))
	}
	for _, a := range c.Alarms {
		parts = append(parts, a.Text)
	}
	return strings.Join(parts, "|")
}

var errAlone = refuse(http.StatusNotFound, broker.CodeNotOffered, "error.alone",
	"This broker stands alone. Section [persistence.replicatedLevelDB] of the configuration makes it a member of a group.")

// clusterStatus is the group, or an error if there is none.
func (s *Server) clusterStatus() (ClusterStatus, error) {
	if s.opt.Cluster == nil {
		return ClusterStatus{}, errAlone
	}
	st := s.opt.Cluster.Status()
	st.State = st.Signature()
	setEmpty(&st.Members)
	setEmpty(&st.Alarms)
	setEmpty(&st.Timeline)
	return st, nil
}

// setEmpty makes null an empty list in JSON.
func setEmpty[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}

func (s *Server) apiCluster(w http.ResponseWriter, r *http.Request) error {
	return answer(w, r, func(url.Values) (any, error) { return s.clusterStatus() })
}

// Bodies of requests that change the group.
type (
	handoverBody struct {
		To string `json:"to,omitempty"` // empty: the most up to date
	}
	votersBody struct {
		Add      []string `json:"add,omitempty"`
		Remove   []string `json:"remove,omitempty"`
		Replicas int      `json:"replicas,omitempty"`
	}
	reseedBody struct {
		Lost []string `json:"lost,omitempty"`
	}
)

func (s *Server) apiClusterHandover(w http.ResponseWriter, r *http.Request) error {
	var b handoverBody
	if err := readJSON(r, &b); err != nil {
		return err
	}
	return s.apiClusterChange(w, r, ClusterChange{Action: ClusterHandover, To: b.To})
}

func (s *Server) apiClusterVoters(w http.ResponseWriter, r *http.Request) error {
	var b votersBody
	if err := readJSON(r, &b); err != nil {
		return err
	}
	return s.apiClusterChange(w, r, ClusterChange{Action: ClusterVoters, Add: b.Add, Remove: b.Remove, Replicas: b.Replicas})
}

func (s *Server) apiClusterElect(w http.ResponseWriter, r *http.Request) error {
	return s.apiClusterChange(w, r, ClusterChange{Action: ClusterElect})
}

func (s *Server) apiClusterReseed(w http.ResponseWriter, r *http.Request) error {
	var b reseedBody
	if err := readJSON(r, &b); err != nil {
		return err
	}
	return s.apiClusterChange(w, r, ClusterChange{Action: ClusterReseed, Lost: b.Lost})
}

// apiClusterChange carries a change out and answers with what the group is then.
func (s *Server) apiClusterChange(w http.ResponseWriter, r *http.Request, c ClusterChange) error {
	if err := s.changeCluster(r, c); err != nil {
		return err
	}
	return s.apiCluster(w, r)
}

// changeCluster asks the group for a change and writes the audit line.
func (s *Server) changeCluster(r *http.Request, c ClusterChange) error {
	if s.opt.Cluster == nil {
		return errAlone
	}
	if c.Action == ClusterVoters && len(c.Add)+len(c.Remove)+c.Replicas == 0 {
		return badRequest("Say what is to change: add, remove or replicas.")
	}
	leaveTerm(r)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), commitTimeout)
	defer cancel()
	err := s.opt.Cluster.Do(ctx, c)
	if err != nil {
		err = refuse(http.StatusConflict, CodeCluster, "error.cluster", "The group was not changed: %s.", err)
	}
	s.audit(r, "cluster "+c.Action, c.target(), err)
	return err
}

// CodeCluster is the code of a change of the group that was refused or failed.
const CodeCluster broker.Code = "cluster"

// target is what a change is about, for the audit log.
func (c *ClusterChange) target() string {
	parts := slices.DeleteFunc([]string{c.To}, func(s string) bool { return s == "" })
	for _, list := range []struct {
		sign  string
		names []string
	}{{"+", c.Add}, {"-", c.Remove}, {"lost ", c.Lost}} {
		for _, name := range list.names {
			parts = append(parts, list.sign+name)
		}
	}
	if c.Replicas != 0 {
		parts = append(parts, fmt.Sprintf("replicas=%d", c.Replicas))
	}
	return strings.Join(parts, " ")
}
