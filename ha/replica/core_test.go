package replica

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"treadmq/ha/coord"
	"treadmq/store"
)

// node is a core with a shell that answers its disk at once.
type node struct {
	t    *testing.T
	core *Core
	now  time.Duration
	log  LogState
	acts []Action // since the last call of do
}

func startNode(t *testing.T, id NodeID, meta Meta, log LogState) *node {
	cfg := Config{Group: "g", BrokerName: "b", ID: id, Name: string(id), Addr: string(id), Replicas: 3, Feature: 1,
		Sync: QuorumDisk, NewCluster: "new", Timing: DefaultTiming()}
	n := &node{t: t, core: New(cfg, meta, log), log: log}
	n.do(Tick{})
	n.do(SessionUp{1})
	n.do(Reachable{[]NodeID{"a", "b", "c"}})
	return n
}

// do gives one event and answers what the disk and the service can answer by themselves.
func (n *node) do(ev Event) []Action {
	n.now += time.Millisecond
	n.acts = nil
	n.step(ev)
	return n.acts
}

func (n *node) step(ev Event) {
	acts := append([]Action(nil), n.core.Step(n.now, ev)...)
	n.acts = append(n.acts, acts...)
	for _, a := range acts {
		switch a := a.(type) {
		case Fence:
			n.log.Stable = n.log.End
			n.step(Fenced{a.Op, n.log})
		case SaveMeta:
			n.step(Saved{a.Op})
		case Publish:
			n.step(Answered{Op: a.Op, Outcome: coord.Done})
		case Lead:
			start := n.log.End
			n.log.Epochs = n.log.Epochs.Add(a.Epoch, start)
			n.log.End += 10
			n.step(Led{a.Op, start, n.log.End})
		case TruncateLog:
			n.log.End = a.To
			n.step(Truncated{Op: a.Op})
		}
	}
}

// find returns the last action of a type.
func find[A Action](n *node) (found A, ok bool) {
	for _, a := range n.acts {
		if x, is := a.(A); is {
			found, ok = x, true
		}
	}
	return found, ok
}

func mustFind[A Action](n *node) A {
	n.t.Helper()
	a, ok := find[A](n)
	if !ok {
		n.t.Fatalf("no %T among %v", a, show(n.acts))
	}
	return a
}

func mustNot[A Action](n *node) {
	n.t.Helper()
	if a, ok := find[A](n); ok {
		n.t.Fatalf("%T%+v", a, a)
	}
}

func show(acts []Action) string {
	var b strings.Builder
	for _, a := range acts {
		fmt.Fprintf(&b, "%T%+v ", a, a)
	}
	return b.String()
}

func register(e Epoch, master NodeID) *Register {
	return &Register{Cluster: "c", Group: "g", BrokerName: "b", Replicas: 3, Feature: 1, Epoch: e, Master: master,
		Voters: []Voter{{ID: "a", Addr: "a"}, {ID: "b", Addr: "b"}, {ID: "c", Addr: "c"}}}
}

// view is a register with members that have promised its epoch, their logs ending at ends.
func view(r *Register, members ...Member) *View {
	v := &View{Register: r, Version: coord.Version(10 * r.Epoch), Members: members}
	if r.Master != "" {
		v.Version++
		v.Lease = &Lease{Node: r.Master}
	}
	return v
}

func promised(id NodeID, e, last Epoch, end Position) Member {
	return Member{ID: id, Promised: e, LastEpoch: last, End: end}
}

func meta(e Epoch) Meta { return Meta{Cluster: "c", Promised: e} }

func logTo(end Position, epochs ...store.EpochStart) LogState {
	return LogState{End: end, Stable: end, Epochs: epochs}
}

// elected returns node a as master of epoch 2, its epoch's start written but not committed.
func elected(t *testing.T) *node {
	n := startNode(t, "a", meta(1), logTo(100, store.EpochStart{Epoch: 1}))
	n.do(ViewSeen{1, view(register(2, ""), promised("b", 2, 1, 90), promised("c", 2, 1, 90))})
	c := mustFind[Change](n)
	n.do(Answered{Op: c.Op, Outcome: coord.Done, Version: 21})
	mustFind[Lead](n)
	mustNot[Serve](n)
	return n
}

// follower connects b to a master and returns its link's number.
func (n *node) follower(link LinkID, id NodeID, end Position) {
	n.do(Accepted{link})
	n.do(Received{link, &Hello{Group: "g", Cluster: "c", Node: id, Min: 1, Max: 1, Session: 1, Promised: 2, Feature: 1,
		LogState: logTo(end, store.EpochStart{Epoch: 1})}})
}

func TestMasterServesWhenItsStartIsOnAQuorum(t *testing.T) {
	n := elected(t)
	n.do(Synced{Stable: 110})
	n.follower(1, "b", 90)
	w := mustFind[Send](n).Message.(*Welcome)
	if w.TruncateTo != 90 || mustFind[Stream](n).From != 90 {
		t.Fatalf("%+v", w)
	}
	n.do(Received{1, &Ack{Group: "g", Epoch: 2, Session: 1, Written: 105, Stable: 105}})
	mustNot[Commit](n) // more than the old epoch's tail, less than the new one's start
	n.do(Received{1, &Ack{Group: "g", Epoch: 2, Session: 1, Written: 110, Stable: 105}})
	mustNot[Commit](n) // not on the follower's disk
	n.do(Received{1, &Ack{Group: "g", Epoch: 2, Session: 1, Written: 110, Stable: 110}})
	if c := mustFind[Commit](n); c.Pos != 110 {
		t.Fatalf("%+v", c)
	}
	mustNot[Serve](n) // not applied
	n.do(Applied{110})
	mustFind[Serve](n)
}

func TestAcksThatDoNotCount(t *testing.T) {
	for name, ack := range map[string]*Ack{
		"older epoch":    {Group: "g", Epoch: 1, Session: 1, Written: 110, Stable: 110},
		"other session":  {Group: "g", Epoch: 2, Session: 7, Written: 110, Stable: 110},
		"never sent":     {Group: "g", Epoch: 2, Session: 1, Written: 111, Stable: 111},
		"stable > wrote": {Group: "g", Epoch: 2, Session: 1, Written: 100, Stable: 110},
	} {
		t.Run(name, func(t *testing.T) {
			n := elected(t)
			n.do(Synced{Stable: 110})
			n.follower(1, "b", 90)
			n.do(Received{1, ack})
			mustNot[Commit](n)
		})
	}
	t.Run("no voter", func(t *testing.T) {
		n := elected(t)
		n.do(Synced{Stable: 110})
		n.follower(1, "learner", 90)
		n.do(Received{1, &Ack{Group: "g", Epoch: 2, Session: 1, Written: 110, Stable: 110}})
		mustNot[Commit](n)
	})
	t.Run("higher epoch deposes", func(t *testing.T) {
		n := elected(t)
		n.follower(1, "b", 90)
		n.do(Received{1, &Ack{Group: "g", Epoch: 3, Session: 1, Written: 110, Stable: 110}})
		if e, _ := n.core.Epoch(); e != 0 {
			t.Error("still master")
		}
	})
}

// TestUnknownClaim: a claim whose answer was lost is never acted on, even when the
// register shows that it took effect.
// A master that was stopped and goes on does not wait to be told: what it finds in its
// links was said before.
func TestMasterThatStoodStillStepsDown(t *testing.T) {
	n := elected(t)
	n.do(Synced{Stable: 110})
	n.follower(1, "b", 90)
	n.do(Received{1, &Ack{Group: "g", Epoch: 2, Session: 1, Written: 110, Stable: 110}})
	n.do(Applied{Pos: 110})
	mustFind[Serve](n)
	n.now += DefaultTiming().Silence - time.Millisecond
	n.do(Received{1, &Heartbeat{Group: "g", Epoch: 2}})
	mustNot[StopServing](n)
	n.now += DefaultTiming().Silence
	n.do(Received{1, &Heartbeat{Group: "g", Epoch: 2}})
	mustFind[StopServing](n)
	if e, _ := n.core.Epoch(); e != 0 {
		t.Fatalf("still master of epoch %d", e)
	}
}

// A voter's disk was wiped and its machine came back under its name and address: it gets the place without waiting for
// the session of the process that was killed; not while the voter itself has a link, and not from another address.
func TestReplaceWiped(t *testing.T) {
	for name, c := range map[string]struct {
		addr     string
		session  bool // of the voter lives
		linked   bool // the voter is
		replaced bool
	}{
		"at its address":                   {"c", true, false, true},
		"at its address, which is in use":  {"c", true, true, false},
		"elsewhere":                        {"d", true, false, false},
		"elsewhere, and its session ended": {"d", false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := elected(t)
			n.core.cfg.Replace = true
			n.do(Synced{Stable: 110})
			r := register(2, "a")
			r.Voters[2].Name = "third"
			members := []Member{{ID: "new", Name: "third", Addr: c.addr}}
			if c.session {
				members = append(members, Member{ID: "c", Name: "third", Addr: "c"})
			}
			n.do(ViewSeen{1, view(r, members...)})
			links := map[LinkID]NodeID{1: "b", 2: "new"}
			if c.linked {
				links[3] = "c"
			}
			for id, node := range links {
				n.follower(id, node, 90)
			}
			alive := func() {
				for id := range links {
					n.do(Received{id, &Ack{Group: "g", Epoch: 2, Session: 1, Written: 110, Stable: 110}})
				}
			}
			alive()
			n.do(Applied{Pos: 110})
			for end := n.now + DefaultTiming().Change + DefaultTiming().Replace; n.now < end; n.now += DefaultTiming().Heartbeat {
				if alive(); n.core.plan.phase != noPlan {
					break
				}
			}
			if got := n.core.plan.phase != noPlan && n.core.plan.next.Voter("new") != nil; got != c.replaced {
				t.Errorf("it gets the place: %t", got)
			}
		})
	}
}

// handing returns a serving master that was told to hand over to b and has stopped appending.
func handing(t *testing.T) *node {
	n := elected(t)
	n.do(Synced{Stable: 110})
	n.follower(1, "b", 90)
	n.do(Received{1, &Ack{Group: "g", Epoch: 2, Session: 1, Written: 110, Stable: 110}})
	n.do(Applied{Pos: 110})
	n.do(ViewSeen{1, view(register(2, "a"))})
	n.do(Order{1, Handover{"b"}})
	return n
}

// A handover whose change met another one, of the lease or by a member that took a place, is tried again.
func TestHandoverMeetsAnotherChange(t *testing.T) {
	n := handing(t)
	n.do(Paused{Op: mustFind[Pause](n).Op, End: 110})
	n.do(Answered{Op: mustFind[Change](n).Op, Outcome: coord.Conflict})
	mustNot[Ordered](n)
	mustNot[Resume](n)
	n.now += DefaultTiming().Heartbeat
	n.do(Received{1, &Ack{Group: "g", Epoch: 2, Session: 1, Written: 110, Stable: 110}})
	if c := mustFind[Change](n); c.Register.Prefer != "b" || c.Register.Epoch != 3 {
		t.Fatalf("%+v", c.Register)
	}
}

// A voter that is suspect holds the log, but has no vote: three voters in five places need it, so the change waits.
func TestNewPlacesWaitForAVoteOfEach(t *testing.T) {
	n := elected(t)
	n.do(Synced{Stable: 110})
	n.follower(1, "b", 90)
	n.follower(2, "c", 90)
	holds := func(noVote bool) {
		n.do(Received{2, &Ack{Group: "g", Epoch: 2, Session: 1, Written: 110, Stable: 110}})
		n.do(Received{1, &Ack{Group: "g", Epoch: 2, Session: 1, Written: 110, Stable: 110, NoVote: noVote}})
	}
	holds(true)
	n.do(Applied{Pos: 110})
	n.do(ViewSeen{1, view(register(2, "a"))})
	n.do(Order{1, SetVoters{Voters: register(2, "a").Voters, Replicas: 5}})
	mustNot[Pause](n)
	n.now += DefaultTiming().Heartbeat
	holds(false)
	n.do(Paused{Op: mustFind[Pause](n).Op, End: 110})
	if c := mustFind[Change](n); c.Register.Replicas != 5 || c.Register.Epoch != 3 {
		t.Fatalf("%+v", c.Register)
	}
}

// A handover that cannot reach the coordination service is given up, and the broker appends again.
func TestHandoverWithoutCoordination(t *testing.T) {
	n := handing(t)
	pause := mustFind[Pause](n)
	n.do(Suspended{1})
	n.do(Paused{Op: pause.Op, End: 110})
	mustNot[Change](n)
	for end := n.now + DefaultTiming().Change + time.Second; n.now < end; n.now += DefaultTiming().Heartbeat {
		n.do(Received{1, &Ack{Group: "g", Epoch: 2, Session: 1, Written: 110, Stable: 110}})
		if o, ok := find[Ordered](n); ok {
			mustFind[Resume](n)
			if !strings.Contains(o.Err, "not reached") {
				t.Errorf("%+v", o)
			}
			return
		}
	}
	t.Fatal("it is never given up")
}

func TestUnknownClaim(t *testing.T) {
	for _, o := range []coord.Outcome{coord.Unknown, coord.Conflict, coord.Refused} {
		n := startNode(t, "a", meta(1), logTo(100, store.EpochStart{Epoch: 1}))
		n.do(ViewSeen{1, view(register(2, ""), promised("b", 2, 1, 90), promised("c", 2, 1, 90))})
		c := mustFind[Change](n)
		n.do(Answered{Op: c.Op, Outcome: o})
		mustNot[Lead](n)
		n.now += time.Second
		n.do(ViewSeen{1, view(register(2, "a"), promised("a", 2, 1, 100), promised("b", 2, 1, 90))})
		mustNot[Lead](n)
		if c := mustFind[Change](n); c.Register.Epoch != 3 || c.Register.Master != "" {
			t.Errorf("%v: %+v", o, c.Register)
		}
	}
}

func TestFollowerRefusesToCutCommitted(t *testing.T) {
	n := startNode(t, "a", meta(2), LogState{End: 100, Stable: 100, Applied: 80, Epochs: store.EpochList{{Epoch: 1}}})
	n.do(ViewSeen{1, view(register(2, "b"))})
	n.do(Dialed{Op: mustFind[Dial](n).Op, Link: 5, OK: true})
	h := mustFind[Send](n).Message.(*Hello)
	n.do(Received{5, &Welcome{Group: "g", Epoch: 2, Session: h.Session, TruncateTo: 79}})
	if f := mustFind[Fail](n); !f.Assertion || !strings.Contains(f.Text, "invariant 13") {
		t.Errorf("%+v", f)
	}
	mustNot[TruncateLog](n)
	if acts := n.do(Tick{}); len(acts) != 0 {
		t.Errorf("after Fail: %s", show(acts))
	}
}

func TestFollowerAcksOnlyAfterTheCut(t *testing.T) {
	n := startNode(t, "a", meta(2), logTo(100, store.EpochStart{Epoch: 1}))
	n.do(ViewSeen{1, view(register(2, "b"))})
	n.do(Dialed{Op: mustFind[Dial](n).Op, Link: 5, OK: true})
	h := mustFind[Send](n).Message.(*Hello)
	n.now += 400 * time.Millisecond // heartbeats are due
	for range 3 {
		n.do(Tick{})
		for _, a := range n.acts {
			if s, ok := a.(Send); ok {
				if _, ack := s.Message.(*Ack); ack {
					t.Fatalf("%+v", s.Message)
				}
			}
		}
	}
	n.do(Received{5, &Welcome{Group: "g", Epoch: 2, Session: h.Session, TruncateTo: 60, Chain: 3, Commit: 50}})
	if c := mustFind[TruncateLog](n); c.To != 60 || c.Chain != 3 {
		t.Errorf("%+v", c)
	}
	if a := mustFind[Send](n).Message.(*Ack); a.Written != 60 {
		t.Errorf("%+v", a)
	}
	if c := mustFind[Commit](n); c.Pos != 50 {
		t.Errorf("%+v", c)
	}
	n.do(Received{5, &Data{Group: "g", Epoch: 2, Session: h.Session, Pos: 61, End: 70}})
	mustFind[Close](n) // a hole
	mustNot[AppendData](n)
}

// A node that died of a failed sync takes its vote back when its mark is gone, not when its session ends and no mark
// is seen: it would find the mark again and be suspect once more, perhaps while its vote is needed.
func TestSuspectWithoutSessionStaysSuspect(t *testing.T) {
	m := meta(2)
	m.Suspect = true
	n := startNode(t, "a", m, logTo(100, store.EpochStart{Epoch: 1}))
	seen := view(register(2, "b"))
	seen.Marks = []NodeID{"a"}
	n.do(ViewSeen{1, seen})
	n.do(Dialed{Op: mustFind[Dial](n).Op, Link: 5, OK: true})
	h := mustFind[Send](n).Message.(*Hello)
	n.do(SessionLost{1})
	n.do(Received{5, &Welcome{Group: "g", Epoch: 2, Session: h.Session, TruncateTo: 100, Commit: 100, Active: true}})
	if a := mustFind[Send](n).Message.(*Ack); !a.NoVote {
		t.Errorf("%+v", a)
	}
	n.do(Received{5, &Heartbeat{Group: "g", Epoch: 2, Commit: 100, Active: true}})
	mustNot[SaveMeta](n)
	n.do(SessionUp{2})
	n.do(ViewSeen{2, view(register(2, "b"))})
	if s := mustFind[SaveMeta](n); s.Meta.Suspect {
		t.Errorf("%+v", s.Meta)
	}
}

func TestSyncFailureIsFinal(t *testing.T) {
	n := elected(t)
	n.do(SyncFailed{"EIO"})
	mustFind[MarkSuspect](n)
	if f := mustFind[Fail](n); f.Assertion {
		t.Errorf("%+v", f)
	}
	if acts := n.do(Synced{Stable: 110}); len(acts) != 0 {
		t.Errorf("after the failure: %s", show(acts))
	}
}

// TestForeignRegister: what is not this group's register changes nothing here.
func TestForeignRegister(t *testing.T) {
	for name, change := range map[string]func(*Register, *View){
		"lower epoch":   func(r *Register, _ *View) { r.Epoch = 1 },
		"other cluster": func(r *Register, _ *View) { r.Cluster = "d" },
		"other group":   func(r *Register, _ *View) { r.Group = "h" },
		"other broker":  func(r *Register, _ *View) { r.BrokerName = "h" },
		"newer format":  func(r *Register, _ *View) { r.Feature = 2 },
		"missing":       func(_ *Register, v *View) { v.Register = nil },
		"unreadable":    func(_ *Register, v *View) { v.Register, v.Invalid = nil, "not JSON" },
	} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t, "a", meta(2), logTo(100, store.EpochStart{Epoch: 1}))
			r := register(5, "b")
			v := view(r)
			change(r, v)
			alarmed := false
			for range 10 {
				n.now += time.Second
				n.do(ViewSeen{1, v})
				mustNot[Dial](n)
				mustNot[Change](n)
				mustNot[SaveMeta](n)
				r, ok := find[Report](n)
				alarmed = alarmed || ok && r.Level == Alarm
			}
			if !alarmed {
				t.Error("no alarm")
			}
		})
	}
}

// Every field of a member's entry counts when it looks whether there is something to publish.
func TestMemberSame(t *testing.T) {
	var a Member
	for i := range reflect.TypeFor[Member]().NumField() {
		b := a
		switch f := reflect.ValueOf(&b).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case reflect.Int:
			f.SetInt(1)
		default:
			f.SetUint(1)
		}
		if a.same(&b) || !b.same(&b) {
			t.Errorf("%s does not count", reflect.TypeFor[Member]().Field(i).Name)
		}
	}
}

func TestRegisterValidate(t *testing.T) {
	if err := register(1, "a").Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Register){
		"no cluster": func(r *Register) { r.Cluster = "" },
		"no places":  func(r *Register) { r.Replicas = 0 },
		"too many":   func(r *Register) { r.Replicas = MaxVoters + 1 },
		"crowded":    func(r *Register) { r.Replicas = 2 },
		"no voters":  func(r *Register) { r.Voters = nil },
		"twice":      func(r *Register) { r.Voters[1].ID = "a" },
		"no epoch":   func(r *Register) { r.Epoch = 0 },
	} {
		r := register(1, "a")
		change(r)
		if err := r.Validate(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
