package e2e

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"treadmq/admin"
	"treadmq/notice"
)

// group is a replicated group that a test plays.
type group struct {
	mu     sync.Mutex
	status admin.ClusterStatus
	asked  []admin.ClusterChange
}

func (g *group) Status() admin.ClusterStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	st := g.status
	st.Members = append([]admin.ClusterMember{}, st.Members...)
	return st
}

func (g *group) Do(_ context.Context, c admin.ClusterChange) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, c)
	return nil
}

func (g *group) change(f func(*admin.ClusterStatus)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(&g.status)
}

func newGroup() *group {
	at := func(n uint64) *uint64 { return &n }
	begun := time.Date(2026, 11, 22, 20, 15, 0, 0, time.UTC)
	return &group{status: admin.ClusterStatus{
		Group: "default", BrokerName: "shop", Member: "amsterdam-1", Role: admin.MemberMaster, Epoch: 7, Promised: 7, Master: "amsterdam-1", Replicas: 3, Quorum: 2,
		Sync: "quorum_disk", ZooKeeper: true, End: 9876543210, Committed: 9876543210, Applied: 9876500000,
		Members: []admin.ClusterMember{
			{ID: "0a", Name: "amsterdam-1", Address: "mq1.example.com:61619", Role: admin.MemberMaster, Self: true, Voter: true, Present: true, Weight: 1, Health: "healthy",
				End: at(9876543210), Lag: at(0), Clients: []string{"mq1.example.com:61613"}, Console: "http://mq1.example.com:8161/admin/"},
			{ID: "0b", Name: "berlin-1", Address: "mq2.example.com:61619", Role: admin.MemberFollower, Voter: true, Present: true, Weight: 1, Health: "healthy",
				End: at(9876540000), Lag: at(3210), Clients: []string{"mq2.example.com:61613"}, Console: "http://mq2.example.com:8161/admin/"},
			{ID: "0c", Name: "chicago-1", Address: "mq3.example.com:61619", Role: admin.MemberCatching, Voter: true, Present: true, Weight: 1, Health: "corrupt",
				End: at(0), Lag: at(9876543210), CopiedBytes: 3 << 30, CopyBytes: 9 << 30, Console: "http://mq3.example.com:8161/admin/"},
			{ID: "0d", Name: "dublin-1", Address: "mq4.example.com:61619", Role: admin.MemberAbsent, Voter: true, Weight: 1},
		},
		Alarms: []notice.Notice{notice.New("alarm.missing", "Not there: %s. The group survives the loss of %d more. Start what is missing, or see in its log why it is not there.", "dublin-1", 0)},
		Timeline: []admin.ClusterEvent{
			{Time: begun.Add(3 * time.Second), Epoch: 7, Level: "info", Text: notice.New("story.serves", "epoch %d: this node serves clients", 7)},
			{Time: begun.Add(2 * time.Second), Epoch: 7, Level: "info", Text: notice.New("story.newest", "epoch %d: node %s has the newest log (epoch %d, ends at %d%s) and is master%s", 7, "amsterdam-1", 6, 9876543210,
				notice.List{notice.New("story.compared.ahead", "; %s ahead of %s", "1.2 MB", "berlin-1")}, notice.List{notice.New("story.clients", "; clients at %s", "mq1.example.com:61613")})},
			{Time: begun, Epoch: 6, Level: "warning", Text: notice.New("story.unheard", "epoch %d: the master is not heard: %s", 6, notice.New("story.lost.cut", "the link was cut"))},
		},
	}}
}

// The page of the group looks right, keeps its figures fresh, says when more than figures
// changed, and hands mastership over.
func TestReplicationPage(t *testing.T) {
	g := newGroup()
	r := newRig(t, func(o *admin.Options) { o.Cluster = g })
	b := r.logged("alice")
	for _, look := range []struct {
		name  string
		width int64
		dark  bool
	}{{"", 1280, false}, {"-dark", 1280, true}, {"-narrow", 375, false}} {
		b.size(look.width, 900)
		b.dark(look.dark)
		b.goTo("/admin/cluster")
		if got := b.text("h1"); got != "Replication" {
			t.Errorf("heading %q", got)
		}
		if w := eval[int64](b, "document.documentElement.scrollWidth"); w > look.width {
			t.Errorf("the page is %d wide on a screen of %d", w, look.width)
		}
		b.picture("cluster" + look.name)
	}
	b.size(1280, 900)
	if got := b.text(`[data-f="members.1.lag"]`); got != "3.1 KiB" {
		t.Errorf("berlin-1 is %q behind", got)
	}
	g.change(func(st *admin.ClusterStatus) { lag := uint64(0); st.Members[1].Lag = &lag })
	b.until(`document.querySelector('[data-f="members.1.lag"]').textContent === "0 B"`)
	g.change(func(st *admin.ClusterStatus) { st.Members[2].Role = admin.MemberFollower })
	b.until(`!document.getElementById("live-note").hidden`)

	b.goTo("/admin/cluster")
	b.press(`form[action$="/cluster/handover"] button`)
	if got := b.text(".note.good"); !strings.Contains(got, "handed over") {
		t.Errorf("after the handover: %q", got)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.asked) != 1 || g.asked[0].Action != admin.ClusterHandover || g.asked[0].To != "berlin-1" {
		t.Errorf("asked for %+v", g.asked)
	}
}
