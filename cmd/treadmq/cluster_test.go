package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"treadmq/admin"
	"treadmq/notice"
)

// clusterConsole answers as a member of a group does.
type clusterConsole struct {
	*httptest.Server

	mu     sync.Mutex // guards what follows
	status admin.ClusterStatus
	asked  []string // path and body of each change
	refuse bool
}

func newClusterConsole(t *testing.T) *clusterConsole {
	end, lag := uint64(1000), uint64(24)
	c := &clusterConsole{status: admin.ClusterStatus{
		Group: "default", BrokerName: "shop", Member: "b", Role: admin.MemberMaster, Epoch: 7, Master: "b", Replicas: 3, Quorum: 2, Sync: "quorum_disk", ZooKeeper: true,
		Members: []admin.ClusterMember{
			{ID: "1", Name: "a", Role: admin.MemberFollower, Voter: true, Present: true, Weight: 1, End: &end, Lag: &lag, Health: "healthy"},
			{ID: "2", Name: "b", Role: admin.MemberMaster, Self: true, Voter: true, Present: true, Clients: []string{"b:61613"}, Console: "http://b:8161/admin/"},
		},
		Alarms: []notice.Notice{notice.English("Member c is missing: start it.\x1b[2J")},
	}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		if r.Method == http.MethodPost {
			c.asked = append(c.asked, r.URL.Path+" "+string(body))
		}
		w.Header().Set("Content-Type", "application/json")
		if c.refuse {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			io.WriteString(w, `{"status":409,"detail":"The group was not changed: only the master can do that.","code":"cluster"}`)
			return
		}
		if err := json.NewEncoder(w).Encode(c.status); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// set changes or reads what the console answers with.
func (c *clusterConsole) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *clusterConsole) run(t *testing.T, args ...string) outcome {
	t.Helper()
	return call{args: append(append([]string{"cluster"}, args...), "--console", c.URL)}.run(t)
}

func TestClusterStatus(t *testing.T) {
	c := newClusterConsole(t)
	o := c.run(t, "status").want(t, exitOK)
	for _, want := range []string{"shop / default", "quorum_disk", "2 of 3", "NAME", "follower", "24"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("%q is missing in\n%s", want, o.stdout)
		}
	}
	if !strings.Contains(o.stderr, "warning: Member c is missing") || strings.Contains(o.stderr, "\x1b[2J") {
		t.Errorf("alarms: %q", o.stderr)
	}
	if strings.Contains(o.stdout, "copied") {
		t.Errorf("nothing is copied, but:\n%s", o.stdout)
	}
	c.set(func() { c.status.Members[1].CopiedBytes, c.status.Members[1].CopyBytes = 75, 300 })
	if o := c.run(t, "status").want(t, exitOK); !strings.Contains(o.stdout, "copied     75 B of 300 B") {
		t.Errorf("how far the copy is does not show in\n%s", o.stdout)
	}
	var st admin.ClusterStatus
	decode(t, c.run(t, "status", "-o", "json").want(t, exitOK).stdout, &st)
	if st.Master != "b" || len(st.Members) != 2 || *st.Members[0].Lag != 24 {
		t.Errorf("%+v", st)
	}
	if o := c.run(t, "status", "-o", "name").want(t, exitOK); o.stdout != "a\nb\n" {
		t.Errorf("%q", o.stdout)
	}
	if o := c.run(t, "leader", "-o", "csv").want(t, exitOK); !strings.Contains(o.stdout, "b,master,true,true,,0,,,b:61613,http://b:8161/admin/") {
		t.Errorf("%q", o.stdout)
	}
	c.set(func() {
		c.status.Master, c.status.Why = "", notice.English("one of 3 members is there")
		c.status.Members = c.status.Members[:1]
	})
	for _, command := range []string{"status", "leader"} {
		if o := c.run(t, command).want(t, exitTryAgain); !strings.Contains(o.stderr, "one of 3 members is there") {
			t.Errorf("%s: %q", command, o.stderr)
		}
	}
}

func TestClusterChanges(t *testing.T) {
	c := newClusterConsole(t)
	c.run(t, "handover").want(t, exitOK)
	c.run(t, "handover", "a").want(t, exitOK)
	c.run(t, "add", "d", "e").want(t, exitOK)
	c.run(t, "add", "d", "--replace", "c").want(t, exitOK)
	c.run(t, "remove", "c").want(t, exitUsage) // nobody is asked without a terminal
	c.run(t, "remove", "c", "--yes", "--replicas", "1").want(t, exitOK)
	c.run(t, "reseed").want(t, exitUsage)
	c.run(t, "reseed", "--yes", "--lost", "c").want(t, exitOK)
	want := []string{
		`/api/v1/cluster/handover {"to":""}`,
		`/api/v1/cluster/handover {"to":"a"}`,
		`/api/v1/cluster/voters {"add":["d","e"],"remove":null,"replicas":0}`,
		`/api/v1/cluster/voters {"add":["d"],"remove":["c"],"replicas":0}`,
		`/api/v1/cluster/voters {"remove":["c"],"replicas":1}`,
		`/api/v1/cluster/reseed {"lost":["c"]}`,
	}
	var got string
	c.set(func() { got = strings.Join(c.asked, "\n") })
	if got != strings.Join(want, "\n") {
		t.Errorf("asked for\n%s", got)
	}
	c.set(func() { c.refuse = true })
	if o := c.run(t, "handover").want(t, exitFailure); !strings.Contains(o.stderr, "only the master can do that") || !strings.Contains(o.stderr, "cluster leader") {
		t.Errorf("%q", o.stderr)
	}
}

func TestABrokerAloneIsNoGroup(t *testing.T) {
	o := theBroker(t).run(t, "", "cluster", "status")
	if o.code != exitFailure || !strings.Contains(o.stderr, "stands alone") || !strings.Contains(o.stderr, "docs/cluster.md") {
		t.Errorf("%d %q", o.code, o.stderr)
	}
}
