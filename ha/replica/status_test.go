package replica

import (
	"testing"

	"treadmq/ha/coord"
)

func TestStatus(t *testing.T) {
	n := startNode(t, "a", meta(1), logTo(100))
	role := func(want Role) {
		t.Helper()
		if s := n.core.Status(); s.Role != want {
			t.Errorf("%v, want %v: %+v", s.Role, want, s)
		}
	}
	role(Starting)
	n.do(ViewSeen{1, &View{}})
	role(Refusing)
	n.do(ViewSeen{1, view(register(2, ""), promised("b", 2, 0, 90), promised("c", 2, 0, 90))})
	role(Electing)
	n.do(Answered{Op: mustFind[Change](n).Op, Outcome: coord.Done})
	role(Leading)
	n.do(Synced{Stable: 110})
	n.follower(1, "b", 0)
	n.do(Received{1, &Ack{Group: "g", Epoch: 2, Session: 1, Written: 110, Stable: 110, Applied: 7}})
	n.do(Applied{110})
	role(Serving)
	s := n.core.Status()
	if len(s.Peers) != 1 || s.Peers[0].Node != "b" || !s.Peers[0].Voter || s.Peers[0].Stable != 110 || s.Committed != 110 || s.Epoch != 2 {
		t.Errorf("%+v", s)
	}
	n.do(ViewSeen{1, view(register(3, "b"))})
	role(Electing)
	n.do(Dialed{Op: mustFind[Dial](n).Op, Link: 5, OK: true})
	h := mustFind[Send](n).Message.(*Hello)
	n.do(Received{5, &Welcome{Group: "g", Epoch: 3, Session: h.Session, TruncateTo: 110}})
	role(Following)
}
