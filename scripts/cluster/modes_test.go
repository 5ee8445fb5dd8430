//go:build cluster

package main

import (
	"fmt"
	"strings"
	"testing"

	"treadmq/scripts/internal/group"
)

// What each sync mode keeps when the master is killed: the modes that wait for a quorum, in memory or on
// disk, keep all that was acknowledged and acknowledge nothing that no follower has; the local ones acknowledge what
// only the master has, which is gone after a failover. A master that comes back throws that away and follows.
func TestWhatASyncModeKeeps(t *testing.T) {
	for _, c := range []struct {
		mode  string
		alone bool // it acknowledges what only the master has
	}{
		{"quorum_mem", false}, {"remote_disk", false}, {"local_mem", true}, {"local_disk", true},
	} {
		t.Run(c.mode, func(t *testing.T) {
			r := newRig(t, "persistence.replicatedLevelDB.sync="+c.mode)
			master := r.master()
			followers := r.others(master)
			for _, m := range followers {
				r.await(m, "follower")
			}
			if !c.alone {
				master = r.killedUnderLoad(master)
				followers = r.others(master)
			} else { // asynchronous: wait until the followers have it
				r.run("send", "kept", "-b", "by all").want(t, 0)
				eventually(t, "no follower is behind", func() bool { return r.behind(master) == 0 })
			}
			r.without(followers, func() {
				o := r.run("send", "lone", "-b", "with the master alone", "--url", "failover:(tcp://"+master.Stomp+")?timeout=2000")
				if (o.code == 0) != c.alone {
					t.Errorf("a message that only the master has: exit code %d, %s", o.code, o.stderr)
				}
				master.Kill()
			})
			if next := r.master(); next == master {
				t.Fatal("a killed broker is master")
			}
			if o := r.run("recv", "lone", "-n", "0", "--timeout", "1s", "-o", "raw").want(t, 0); c.alone && o.stdout != "" {
				t.Errorf("what only the killed master had came: %q", o.stdout)
			}
			r.start(master)
			r.await(master, "follower")
			eventually(t, "no follower is behind", func() bool { return r.behind(r.master()) == 0 })
			if o := r.run("recv", "kept", "-n", "1", "-o", "raw").want(t, 0); strings.TrimSpace(o.stdout) != "by all" {
				t.Errorf("received %q", o.stdout)
			}
			r.run("recv", "lone", "-n", "0", "--timeout", "1s").want(t, 0)
		})
	}
}

// killedUnderLoad kills a master in the moment in which a sender has its last receipt, and sees that
// everything arrives. It returns the next master, when the killed one follows.
func (r *rig) killedUnderLoad(master *group.Member) *group.Member {
	r.t.Helper()
	const count = 200
	ctx := r.t.Context()
	send := r.command(ctx, "send", "jobs", "--lines")
	var text strings.Builder
	for i := range count {
		fmt.Fprintf(&text, "job-%d\n", i)
	}
	send.Stdin = strings.NewReader(text.String())
	if out, err := send.CombinedOutput(); err != nil {
		r.t.Fatalf("%v %s", err, out)
	}
	r.run("send", "kept", "-b", "by all").want(r.t, 0)
	master.Kill()
	next := r.master()
	o := r.run("recv", "jobs", "-n", fmt.Sprint(count), "--timeout", "30s", "-o", "raw").want(r.t, 0)
	if got := strings.Count(o.stdout, "job-"); got != count {
		r.t.Errorf("%d of %d messages came", got, count)
	}
	r.start(master)
	r.await(master, "follower")
	return next
}

// behind is how many bytes the members that are farthest behind lack, as the master sees it.
func (r *rig) behind(master *group.Member) uint64 {
	r.t.Helper()
	worst := uint64(0)
	for _, m := range r.status(master).Members {
		if m.Role == "master" {
			continue
		}
		if m.Lag == nil {
			return 1 << 40
		}
		worst = max(worst, *m.Lag)
	}
	return worst
}

// without runs fn while members are gone.
func (r *rig) without(members []*group.Member, fn func()) {
	r.t.Helper()
	for _, m := range members {
		m.Kill()
	}
	fn()
	for _, m := range members {
		r.start(m)
	}
}
