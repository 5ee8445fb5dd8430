package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"treadmq/admin"
	"treadmq/notice"
)

// group is a Cluster that a test plays.
type group struct {
	mu      sync.Mutex
	status  admin.ClusterStatus
	changes []admin.ClusterChange
	err     error
	during  func() // called by Do
}

func (g *group) Status() admin.ClusterStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.status
}

func (g *group) Do(_ context.Context, c admin.ClusterChange) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changes = append(g.changes, c)
	if g.during != nil {
		g.during()
	}
	return g.err
}

func at(n uint64) *uint64 { return &n }

// threeMembers is a group whose master is b, seen by the member of that name.
func threeMembers(self string) *group {
	g := &group{status: admin.ClusterStatus{
		Group: "default", BrokerName: "shop", Member: self, Role: admin.MemberFollower, Epoch: 7, Promised: 7, Master: "b", Replicas: 3, Quorum: 2,
		Sync: "quorum_disk", ZooKeeper: true, End: 123456, Committed: 123400, Applied: 120000,
		Alarms:   []notice.Notice{notice.New("alarm.missing", "Not there: %s. The group survives the loss of %d more. Start what is missing, or see in its log why it is not there.", "c", 0)},
		Timeline: []admin.ClusterEvent{{Time: time.UnixMilli(1700000000000), Epoch: 7, Level: "info", Text: notice.New("story.master", "epoch %d: node %s is master%s", 7, "b", notice.List(nil))}},
	}}
	if self == "b" {
		g.status.Role = admin.MemberMaster
	}
	for _, name := range []string{"a", "b", "c"} {
		m := admin.ClusterMember{ID: "id-" + name, Name: name, Address: name + ":61619", Role: admin.MemberFollower, Self: name == self, Voter: true,
			Present: name != "c", Weight: 1, Health: "healthy", Console: "http://" + name + ":8161/admin/"}
		switch name {
		case "b":
			m.Role, m.End, m.Lag = admin.MemberMaster, at(123456), at(0)
		case "a":
			m.End, m.Lag = at(123000), at(456)
		case "c":
			m.Role = admin.MemberAbsent
		}
		g.status.Members = append(g.status.Members, m)
	}
	return g
}

// newSwitchRig is a console whose broker comes and goes; it has none at first.
func newSwitchRig(t *testing.T, g *group) (*rig, *admin.Switch) {
	t.Helper()
	r := &rig{t: t, users: newUsers(), audit: &lines{}}
	r.b = newBroker(t, nil)
	w, err := admin.NewSwitch(admin.Options{
		Auth: r.users, UI: os.DirFS("../webui"), Cluster: g,
		Info: func() admin.BrokerInfo {
			return admin.BrokerInfo{Name: "shop", Version: "1.2.3", Role: g.Status().Role, DataDir: "/data"}
		},
		Ready: func() (bool, []notice.Notice) {
			return g.Status().Role == admin.MemberMaster, []notice.Notice{notice.New("ready.role", "this member is not the master; its role is %s%s", notice.Notice{Code: "cluster.role.follower", Text: "follower"}, notice.List{notice.New("ready.master", "; the master is %s", "b")})}
		},
		Logger: slog.New(slog.NewTextHandler(r.audit, nil)), SampleInterval: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	web := httptest.NewServer(w)
	r.url = web.URL
	t.Cleanup(web.Close)
	return r, w
}

func TestAFollowerShowsTheGroupAndRefusesTheRest(t *testing.T) {
	r, _ := newSwitchRig(t, threeMembers("a"))
	c := r.loggedIn("alice")
	if a := c.get("/admin/").must(t, http.StatusSeeOther); a.header.Get("Location") != "/admin/cluster" {
		t.Errorf("the overview leads to %s", a.header.Get("Location"))
	}
	page := c.get("/admin/cluster").must(t, http.StatusOK).body
	for _, want := range []string{"follower", "http://b:8161/admin/", "absent", "456 B", "123,000", "b is master", "Not there: c"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, `href="/admin/queues"`) {
		t.Error("the page leads to queues, which a follower cannot show")
	}
	refused := c.get("/admin/queues").must(t, http.StatusServiceUnavailable).body
	if !strings.Contains(refused, "http://b:8161/admin/") {
		t.Errorf("the refusal does not say where the master is: %s", refused)
	}
	for _, path := range []string{"/admin/settings", "/admin/users", "/admin/audit", "/admin/policies", "/metrics", "/api/v1/config", "/healthz"} {
		c.get(path).must(t, http.StatusOK)
	}
	api := r.basic("alice").do("POST", "/api/v1/queues/q/messages", "application/json", `{"body":"x"}`).must(t, http.StatusServiceUnavailable)
	var p struct{ Code, Detail string }
	api.json(t, &p)
	if p.Code != "not-master" || !strings.Contains(p.Detail, "The master is b, with its console at http://b:8161/admin/.") || api.header.Get("Retry-After") == "" {
		t.Errorf("%+v", p)
	}
	r.client().get("/api/v1/queues").must(t, http.StatusUnauthorized)
	ready := r.client().get("/readyz").must(t, http.StatusServiceUnavailable).body
	if !strings.Contains(ready, "its role is follower; the master is b") || !strings.Contains(ready, `"role":"follower"`) {
		t.Errorf("readyz says %s", ready)
	}
}

// Whoever is logged in stays so when the broker comes and goes.
func TestABrokerComesAndGoes(t *testing.T) {
	g := threeMembers("b")
	r, w := newSwitchRig(t, g)
	c := r.loggedIn("alice")
	if err := w.SetBroker(r.b); err != nil {
		t.Fatal(err)
	}
	r.basic("alice").send("/api/v1/queues/q/messages", `{"body":"x"}`)
	overview := c.get("/admin/").must(t, http.StatusOK).body
	if !strings.Contains(overview, `href="/admin/cluster"`) || !strings.Contains(overview, "Not there: c") {
		t.Error("the overview lacks the role or the alarm of the group")
	}
	if !strings.Contains(overview, `data-f="members.0.lag" data-k="bytes">456 B`) || !strings.Contains(overview, "absent") {
		t.Errorf("the overview lacks the members and how far they are behind:\n%s", overview)
	}
	var view struct {
		Members []struct {
			Name, Role string
			Lag        *uint64
		}
	}
	c.get("/api/v1/overview").must(t, http.StatusOK).json(t, &view)
	if m := view.Members; len(m) != 3 || m[0].Name != "a" || *m[0].Lag != 456 || m[2].Role != admin.MemberAbsent || m[2].Lag != nil {
		t.Errorf("members %+v", m)
	}
	c.get("/admin/queues").must(t, http.StatusOK)
	stream, err := http.NewRequest("GET", r.url+"/api/v1/events?of=queues", nil)
	if err != nil {
		t.Fatal(err)
	}
	stream.SetBasicAuth("alice", "alice-pw")
	res, err := c.http.Do(stream)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := w.SetBroker(nil); err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, 1024); err == nil; { // the stream of the broker that went ends
		_, err = res.Body.Read(buf)
	}
	c.get("/admin/queues").must(t, http.StatusServiceUnavailable)
	c.get("/admin/cluster").must(t, http.StatusOK)
	if err := w.SetBroker(r.b); err != nil {
		t.Fatal(err)
	}
	c.get("/admin/queue?name=q").must(t, http.StatusOK)
}

// A handover takes the broker away from under the request that asks for it.
func TestAHandoverDoesNotWaitForItself(t *testing.T) {
	g := threeMembers("b")
	r, w := newSwitchRig(t, g)
	if err := w.SetBroker(r.b); err != nil {
		t.Fatal(err)
	}
	g.during = func() {
		if err := w.SetBroker(nil); err != nil {
			t.Error(err)
		}
	}
	c := r.basic("alice")
	a := c.do("POST", "/api/v1/cluster/handover", "application/json", `{"to":"a"}`).must(t, http.StatusOK)
	var st admin.ClusterStatus
	a.json(t, &st)
	if len(g.changes) != 1 || g.changes[0].To != "a" || g.changes[0].Action != admin.ClusterHandover || st.Epoch != 7 {
		t.Errorf("asked for %+v, answered %s", g.changes, a.body)
	}
	if strings.Contains(r.audit.String(), "go on after") {
		t.Error("the request that asked was waited for")
	}
}

func TestChangesOfTheGroup(t *testing.T) {
	g := threeMembers("b")
	r, _ := newSwitchRig(t, g)
	c := r.basic("alice")
	c.do("POST", "/api/v1/cluster/voters", "application/json", `{}`).must(t, http.StatusBadRequest)
	c.do("POST", "/api/v1/cluster/voters", "application/json", `{"ad":["d"]}`).must(t, http.StatusBadRequest)
	c.do("POST", "/api/v1/cluster/voters", "application/json", `{"add":["d","e"],"remove":["c"],"replicas":5}`).must(t, http.StatusOK)
	c.do("POST", "/api/v1/cluster/reseed", "application/json", `{"lost":["c"]}`).must(t, http.StatusOK)
	c.do("POST", "/api/v1/cluster/elect", "", "").must(t, http.StatusOK)
	r.basic("uli").do("POST", "/api/v1/cluster/elect", "", "").must(t, http.StatusForbidden)
	g.err = errors.New("c does not keep up")
	a := c.do("POST", "/api/v1/cluster/handover", "application/json", `{"to":"c"}`).must(t, http.StatusConflict)
	if !strings.Contains(a.body, "The group was not changed: c does not keep up.") {
		t.Error(a.body)
	}
	var audit struct {
		Items []struct{ Action, Target, Result string }
	}
	c.get("/api/v1/audit").json(t, &audit)
	got, _ := json.Marshal(audit.Items[:3])
	want := `[{"Action":"cluster handover","Target":"c","Result":"cluster"},{"Action":"refused","Target":"POST /api/v1/cluster/elect","Result":"not-authorized"},{"Action":"cluster elect","Target":"","Result":"ok"}]`
	if string(got) != want {
		t.Errorf("audit %s", got)
	}
	if c := g.changes[0]; len(c.Add) != 2 || c.Remove[0] != "c" || c.Replicas != 5 {
		t.Errorf("asked for %+v", c)
	}
	page := r.loggedIn("alice")
	if !strings.Contains(page.get("/admin/cluster").body, "<option>a</option>") {
		t.Error("the page does not offer a handover to a")
	}
	g.err = nil
	page.post("/admin/cluster/handover", "to", "a").must(t, http.StatusSeeOther)
	if c := g.changes[len(g.changes)-1]; c.Action != admin.ClusterHandover || c.To != "a" {
		t.Errorf("the page asked for %+v", c)
	}
}

func TestABrokerAloneHasNoGroup(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	a := c.get("/api/v1/cluster").must(t, http.StatusNotFound)
	if !strings.Contains(a.body, "[persistence.replicatedLevelDB]") {
		t.Error(a.body)
	}
	c.do("POST", "/api/v1/cluster/elect", "", "").must(t, http.StatusNotFound)
	r.loggedIn("alice").get("/admin/cluster").must(t, http.StatusNotFound)
	if strings.Contains(c.get("/metrics").body, "treadmq_cluster_") {
		t.Error("a broker that stands alone has figures of a group")
	}
}

func TestMetricsOfTheGroup(t *testing.T) {
	g := threeMembers("b")
	r, w := newSwitchRig(t, g)
	for _, b := range []bool{false, true} {
		if b {
			if err := w.SetBroker(r.b); err != nil {
				t.Fatal(err)
			}
		}
		body := r.basic("vera").get("/metrics").must(t, http.StatusOK).body
		for _, want := range []string{
			"treadmq_cluster_master 1\n", "treadmq_cluster_has_master 1\n", "treadmq_cluster_epoch 7\n", "treadmq_cluster_present_voters 2\n", "treadmq_cluster_replicas 3\n",
			"treadmq_cluster_lag_bytes{member=\"a\"} 456\n", "treadmq_cluster_alarms 1\n", "treadmq_cluster_zookeeper_connected 1\n", "treadmq_ready 1\n", "role=\"master\"",
		} {
			if !strings.Contains(body, want) {
				t.Errorf("broker %v: %q is missing", b, want)
			}
		}
		if strings.Contains(body, "treadmq_queues ") != b {
			t.Errorf("broker %v: its figures are there: %v", b, !b)
		}
		r.basic("vera").get("/metrics/per-destination").must(t, map[bool]int{true: http.StatusOK, false: http.StatusServiceUnavailable}[b])
	}
	for _, reg := range w.Registries() {
		problems, err := testutil.GatherAndLint(reg)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, "treadmq_") {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		}
	}
}
