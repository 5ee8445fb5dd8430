package replica

import (
	"slices"
	"strings"
	"testing"

	"treadmq/ha/coord"
	"treadmq/store"
)

// TestReseed: after the coordination service lost its data, an operator's word makes
// the register anew, above all promises, if nobody is missing or knows better.
func TestReseed(t *testing.T) {
	m := meta(7)
	m.Replicas, m.Voters, m.Feature = 3, register(7, "").Voters, 1
	n := startNode(t, "a", m, logTo(100, store.EpochStart{Epoch: 7}))
	lost := &View{Members: []Member{{ID: "b", Highest: 6}}}
	n.do(ViewSeen{1, lost})
	n.do(Order{1, Reseed{}})
	if o := mustFind[Ordered](n); !strings.Contains(o.Err, "c") {
		t.Errorf("with c missing: %+v", o)
	}
	n.do(ViewSeen{1, &View{Members: []Member{{ID: "b", Highest: 8}}}})
	n.do(Order{2, Reseed{Lost: []NodeID{"c"}}})
	if o := mustFind[Ordered](n); !strings.Contains(o.Err, "knows more") {
		t.Errorf("b knows of an epoch more: %+v", o)
	}
	n.do(ViewSeen{1, lost})
	n.do(Order{3, Reseed{Lost: []NodeID{"c"}}})
	c := mustFind[Change](n)
	if c.Version != coord.NoRegister || c.Register.Epoch != 7+reseedGap || c.Register.Cluster != "c" || len(c.Register.Voters) != 3 {
		t.Fatalf("%+v", c)
	}
	n.do(Answered{Op: c.Op, Outcome: coord.Done})
	if o := mustFind[Ordered](n); o.ID != 3 || o.Err != "" {
		t.Errorf("%+v", o)
	}
}

// Without a quorum of the old voters the lost ones go with their places: empty nodes in them
// would be a quorum that holds nothing.
func TestReseedFromAMinority(t *testing.T) {
	m := meta(7)
	m.Replicas, m.Voters, m.Feature = 3, register(7, "").Voters, 1
	n := startNode(t, "a", m, logTo(100, store.EpochStart{Epoch: 7}))
	n.do(ViewSeen{1, &View{}})
	n.do(Order{1, Reseed{Lost: []NodeID{"b", "c"}}})
	if r := mustFind[Change](n).Register; len(r.Voters) != 1 || r.Voters[0].ID != "a" || r.Replicas != 1 {
		t.Fatalf("%+v", r)
	}
}

// A node with data of no group founds one by an operator's word, alone, and takes part in it.
func TestReseedFromAStoreThatStoodAlone(t *testing.T) {
	n := startNode(t, "a", Meta{}, logTo(100, store.EpochStart{Epoch: 3}))
	n.do(ViewSeen{1, &View{}})
	n.do(Order{1, Reseed{}})
	c := mustFind[Change](n)
	if r := c.Register; len(r.Voters) != 1 || r.Voters[0].ID != "a" || r.Replicas != 1 || r.Epoch != 4 {
		t.Fatalf("%+v", r)
	}
	n.do(Answered{Op: c.Op, Outcome: coord.Done})
	n.do(ViewSeen{1, &View{Register: c.Register, Version: 1, Members: []Member{{ID: "a"}}}})
	if n.core.refusal.on {
		t.Errorf("it refuses the group that it made: %s", n.core.refusal.why)
	}
	other := *c.Register
	other.Voters = []Voter{{ID: "b"}}
	n.do(ViewSeen{1, &View{Register: &other, Version: 2}})
	if !n.core.refusal.on && n.core.meta.Cluster == "" {
		t.Error("it takes part in a group that its data do not belong to")
	}
}

// A node without a vote may have seen the group when it had fewer voters.
func TestReseedNeedsAVoter(t *testing.T) {
	m := meta(7)
	m.Replicas, m.Voters, m.Feature = 3, []Voter{{ID: "b", Addr: "b"}}, 1
	n := startNode(t, "a", m, logTo(0))
	n.do(ViewSeen{1, &View{Members: []Member{{ID: "b", Highest: 7}}}})
	n.do(Order{1, Reseed{}})
	if o := mustFind[Ordered](n); !strings.Contains(o.Err, "no vote") {
		t.Errorf("%+v", o)
	}
}

// But when no voter has promised the epoch that it has, it is the only one that they let do it.
func TestReseedByWhoPromisedMore(t *testing.T) {
	m := meta(7)
	m.Replicas, m.Voters, m.Feature = 3, []Voter{{ID: "b", Addr: "b"}, {ID: "c", Addr: "c"}}, 1
	n := startNode(t, "a", m, logTo(0))
	n.do(ViewSeen{1, &View{Members: []Member{{ID: "b", Highest: 6}, {ID: "c", Highest: 5}}}})
	n.do(Order{1, Reseed{}})
	if r := mustFind[Change](n).Register; len(r.Voters) != 2 || r.Replicas != 3 || r.Epoch <= 7 {
		t.Errorf("%+v", r)
	}
}

// Who took a place a moment before may be known to one member only, which need not have a vote.
func TestReseedKnowsWhatAnyMemberNoted(t *testing.T) {
	m := meta(1)
	m.Replicas, m.Voters, m.Feature = 3, []Voter{{ID: "a", Addr: "a"}}, 1
	n := startNode(t, "a", m, logTo(0))
	both := []Voter{{ID: "a", Addr: "a"}, {ID: "b", Addr: "b"}}
	n.do(ViewSeen{1, &View{Members: []Member{{ID: "d", Highest: 1, Noted: both}, {ID: "e", Highest: 0, Noted: make([]Voter, 3)}}}})
	n.do(Order{1, Reseed{}})
	if o := mustFind[Ordered](n); !strings.Contains(o.Err, "b () is missing") {
		t.Errorf("with b missing: %+v", o)
	}
	n.do(ViewSeen{1, &View{Members: []Member{{ID: "b", Highest: 1, Noted: m.Voters}, {ID: "d", Highest: 1, Noted: both}}}})
	n.do(Order{2, Reseed{}})
	if r := mustFind[Change](n).Register; len(r.Voters) != 2 || r.Voter("b") == nil || r.Replicas != 3 || r.Epoch <= 1 {
		t.Errorf("%+v", r)
	}
}

// A node may have promised an epoch of which only its master told it, and not know that it began with other voters: the register is
// made anew with those of the newest epoch that anybody knows, and with its places.
func TestReseedKnowsTheNewestVoters(t *testing.T) {
	list := func(names string) (l []Voter) {
		for _, id := range strings.Split(names, "") {
			l = append(l, Voter{ID: NodeID(id), Addr: id})
		}
		return l
	}
	for _, x := range []struct {
		own          string
		places       int
		newer        string
		newerPlaces  int
		of           Epoch
		want         string
		wantReplicas int
	}{
		{"abc", 3, "abcd", 5, 3, "abcd", 5}, // one was added
		{"abcde", 5, "abc", 3, 3, "abc", 3}, // two were removed: their votes do not count any more
		{"abc", 3, "abc", 5, 3, "abc", 5},   // places were added
		{"abcd", 5, "abc", 5, 2, "abcd", 5}, // the same epoch
		{"abc", 3, "abcd", 0, 0, "abcd", 5}, // a release that does not tell of which epoch, and not how many places
	} {
		m := meta(3)
		m.Replicas, m.Voters, m.Feature, m.NotedOf = x.places, list(x.own), 1, 2
		n := startNode(t, "a", m, logTo(0))
		v := &View{}
		for _, id := range []NodeID{"b", "c", "d", "e"} {
			v.Members = append(v.Members, Member{ID: id, Highest: 3, Noted: list(x.newer), Places: x.newerPlaces, NotedOf: x.of})
		}
		n.do(ViewSeen{1, v})
		n.do(Order{1, Reseed{}})
		if r := mustFind[Change](n).Register; !slices.Equal(r.Voters, list(x.want)) || r.Replicas != x.wantReplicas || r.Validate() != nil {
			t.Errorf("%+v: %+v", x, r)
		}
	}
}
