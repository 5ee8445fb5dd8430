package ha

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"treadmq/ha/coord"
	"treadmq/ha/replica"
	"treadmq/store/local"
)

// card is what a member publishes beside what the core says: where clients and people reach it.
type card struct {
	Clients []string `json:"clients,omitempty"`
	Console string   `json:"console,omitempty"`
}

// memberEntry is a member's entry in the coordination service, as JSON.
type memberEntry struct {
	replica.Member
	card
}

// leaseEntry is the lease, as JSON.
type leaseEntry struct {
	replica.Lease
	card
}

// encode makes JSON of one of our own values, which always succeeds.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // they hold nothing that JSON cannot
	}
	return b
}

// seen is a view with what the core does not need.
type seen struct {
	view  *replica.View
	cards map[replica.NodeID]card
}

// clients are the addresses for clients of all members, in the order of their identities.
func (s *seen) clients() *[][]string {
	list := make([][]string, 0, len(s.cards))
	for _, id := range slices.Sorted(maps.Keys(s.cards)) {
		list = append(list, s.cards[id].Clients)
	}
	return &list
}

// decodeView reads what the coordination service shows. Entries that are not ours are
// left out: they cannot be counted for anything.
func decodeView(v coord.View) seen {
	s := seen{view: &replica.View{Version: v.Version}, cards: map[replica.NodeID]card{}}
	if v.Exists {
		s.view.Register, s.view.Invalid = decodeRegister(v.Register)
	}
	if v.Leased {
		s.view.Lease = &replica.Lease{}
		var l leaseEntry
		if json.Unmarshal(v.Lease, &l) == nil {
			s.view.Lease = &l.Lease
		}
	}
	for _, e := range v.Members {
		var m memberEntry
		if len(s.view.Members) == replica.MaxMembers || json.Unmarshal(e.Data, &m) != nil || string(m.ID) != e.Name || len(m.Name) > replica.MaxName ||
			len(m.Addr) > replica.MaxName || len(m.Noted) > replica.MaxVoters {
			continue
		}
		s.view.Members = append(s.view.Members, m.Member)
		s.cards[m.ID] = m.card
	}
	slices.SortFunc(s.view.Members, func(a, b replica.Member) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for _, e := range v.Marks {
		s.view.Marks = append(s.view.Marks, replica.NodeID(e.Name))
	}
	return s
}

func decodeRegister(b []byte) (*replica.Register, string) {
	r := &replica.Register{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, err.Error()
	}
	if err := r.Validate(); err != nil {
		return nil, err.Error()
	}
	return r, ""
}

// extra is what the meta file keeps for this package.
type extra struct {
	Suspect  bool            `json:"suspect,omitempty"` // for certain, not only after this start
	Corrupt  bool            `json:"corrupt,omitempty"`
	Volatile bool            `json:"volatile,omitempty"` // the sync mode with which it was last used
	Replicas int             `json:"replicas,omitempty"`
	Voters   []replica.Voter `json:"voters,omitempty"`
	Feature  int             `json:"feature,omitempty"`
	NotedOf  replica.Epoch   `json:"notedOf,omitempty"`
}

func membership(m replica.Meta, volatile bool) local.Membership {
	return local.Membership{Cluster: m.Cluster, Promised: m.Promised, Suspect: m.Suspect,
		Extra: encode(extra{m.Suspect, m.Corrupt, volatile, m.Replicas, m.Voters, m.Feature, m.NotedOf})}
}

// meta reads a membership. The store's own suspicion counts where memory was trusted:
// elsewhere what was acknowledged was on disk, and the journal is whole up to there.
func meta(m local.Membership, volatile bool) (replica.Meta, error) {
	var x extra
	if len(m.Extra) > 0 {
		if err := json.Unmarshal(m.Extra, &x); err != nil {
			return replica.Meta{}, fmt.Errorf("the store's meta file: %w", err)
		}
	}
	return replica.Meta{Cluster: m.Cluster, Promised: m.Promised, Suspect: x.Suspect || m.Suspect && (volatile || x.Volatile),
		Corrupt: x.Corrupt, Replicas: x.Replicas, Voters: x.Voters, Feature: x.Feature, NotedOf: x.NotedOf}, nil
}
