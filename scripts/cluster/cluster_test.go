//go:build cluster

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"treadmq/scripts/internal/brokerproc"
	"treadmq/scripts/internal/group"
)

// A program that lists all brokers sees a failover as a pause: a send and a receive
// that are under way go on, the clients' ports of followers are shut, and who was killed
// returns as a follower.
func TestAFailoverIsAPauseForClients(t *testing.T) {
	r := newRig(t)
	first := r.master()
	for _, m := range r.others(first) {
		r.await(m, "follower")
		if open(m.Stomp) {
			t.Errorf("%s is a follower and takes clients", m.Name)
		}
	}
	if !open(first.Stomp) {
		t.Error("the master takes no clients")
	}
	const count = 60
	received := make(chan outcome, 1)
	go func() { received <- r.run("recv", "jobs", "-n", fmt.Sprint(count), "--timeout", "60s", "-o", "raw") }()
	line, end := r.sender("jobs")
	for i := range count {
		if i == count/3 {
			first.Kill()
		}
		line(fmt.Sprintf("job-%d", i))
	}
	end()
	o := (<-received).want(t, 0)
	got := lines(strings.ReplaceAll(o.stdout, "job-", "\njob-"))
	for i := range count {
		if !slices.Contains(got, fmt.Sprintf("job-%d", i)) {
			t.Errorf("job-%d did not come", i)
		}
	}
	second := r.master()
	if second == first {
		t.Fatal("the broker that was killed is master")
	}
	r.start(first)
	r.await(first, "follower")
	if open(first.Stomp) {
		t.Error("a broker that came back takes clients beside the master")
	}
}

// A program that knows one broker learns the others from CONNECTED's x-cluster, and goes on at the next master.
func TestAClientLearnsTheOtherBrokers(t *testing.T) {
	r := newRig(t)
	first := r.master()
	for _, m := range r.others(first) {
		r.await(m, "follower")
	}
	line, end := r.sender("learned", "--url", "failover:(tcp://"+first.Stomp+")?initialReconnectDelay=100")
	line("before")
	o := r.run("recv", "learned", "-n", "1", "--timeout", "60s", "-o", "raw").want(t, 0) // so it is connected
	first.Kill()
	line("after")
	end()
	o.stdout += r.run("recv", "learned", "-n", "1", "--timeout", "60s", "-o", "raw").want(t, 0).stdout
	if o.stdout != "before\nafter\n" {
		t.Errorf("received %q", o.stdout)
	}
}

// sender is a running treadmq send: line gives it a message, end waits until it has sent all.
func (r *rig) sender(queue string, flags ...string) (line func(string), end func()) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	r.t.Cleanup(cancel)
	send := r.command(ctx, append([]string{"send", queue, "--lines"}, flags...)...)
	var said bytes.Buffer
	send.Stderr = &said
	in, err := send.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := send.Start(); err != nil {
		r.t.Fatal(err)
	}
	line = func(text string) {
		r.t.Helper()
		if _, err := fmt.Fprintln(in, text); err != nil {
			r.t.Fatal(err)
		}
	}
	return line, func() {
		r.t.Helper()
		in.Close()
		if err := send.Wait(); err != nil {
			r.t.Fatalf("send: %v\n%s", err, said.String())
		}
	}
}

// What a follower's console and commands say, and a handover.
func TestWhatTheOperatorSees(t *testing.T) {
	r := newRig(t)
	first := r.master()
	follower := r.others(first)[0]
	r.await(follower, "follower")
	r.at(first, "cluster", "leader", "-o", "name").want(t, 0)
	for _, m := range r.Members {
		s := r.status(m)
		if s.Master != first.Name || s.Replicas != 3 || s.Quorum != 2 || len(s.Members) != 3 {
			t.Errorf("%s says %+v", m.Name, s)
		}
		r.run("status", "--config", filepath.Join(m.Dir, "treadmq.toml")).want(t, 0)
	}
	resp, err := http.Get(follower.Console + "readyz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "the master is "+first.Name) || !strings.Contains(string(body), first.Stomp) {
		t.Errorf("readyz of a follower: %d %s %v", resp.StatusCode, body, err)
	}
	if o := r.at(follower, "queue", "ls").want(t, 75); !strings.Contains(o.stderr, "The master is "+first.Name) || !strings.Contains(o.stderr, first.Console) || !strings.Contains(o.stderr, "with --console") {
		t.Errorf("a follower asked for queues: %s", o.stderr)
	}
	for _, m := range []*group.Member{first, follower} {
		if o := r.run("doctor", "--config", filepath.Join(m.Dir, "treadmq.toml"), "-o", "csv"); strings.Contains(o.stdout, "port,problem") {
			t.Errorf("doctor at %s: %s", m.Name, o.stdout)
		}
	}
	r.at(first, "queue", "create", "made").want(t, 0)
	r.at(first, "queue", "pause", "made").want(t, 0)
	r.at(first, "sub", "create", "shared.watch", "--topic", "news").want(t, 0)
	r.run("send", "/topic/news", "-b", "kept").want(t, 0)
	r.run("send", "later", "-b", "scheduled", "-H", "AMQ_SCHEDULED_DELAY:3600000", "-H", "x-schedule-id:s").want(t, 0)

	if o := r.at(follower, "cluster", "handover").want(t, 1); !strings.Contains(o.stderr, "only the master") || !strings.Contains(o.stderr, "cluster leader") {
		t.Errorf("a follower asked for a handover: %s", o.stderr)
	}
	r.at(first, "cluster", "handover", follower.Name).want(t, 0)
	if second := r.master(); second != follower {
		t.Fatalf("%s is master after a handover to %s", second.Name, follower.Name)
	}
	r.await(first, "follower")
	if s := r.status(first); s.Master != follower.Name {
		t.Errorf("after the handover %s is master, says %s", s.Master, first.Name)
	}
	if o := r.at(follower, "queue", "ls", "-o", "name").want(t, 0); !slices.Contains(lines(o.stdout), "made") {
		t.Errorf("queues after the handover: %s", o.stdout)
	}
	if o := r.at(follower, "queue", "show", "made", "-o", "json").want(t, 0); !strings.Contains(o.stdout, `"paused": true`) {
		t.Errorf("the paused queue after the handover: %s", o.stdout)
	}
	if o := r.at(follower, "sub", "show", "shared.watch", "-o", "json").want(t, 0); !strings.Contains(o.stdout, `"messages": 1`) {
		t.Errorf("the durable subscription after the handover: %s", o.stdout)
	}
	r.at(follower, "sched", "run", "s").want(t, 0)
	if o := r.run("recv", "later", "-n", "1", "-o", "raw").want(t, 0); strings.TrimSpace(o.stdout) != "scheduled" {
		t.Errorf("the scheduled message after the handover: %q", o.stdout)
	}
	metrics := r.get(first, "metrics")
	for _, want := range []string{"treadmq_cluster_master 0\n", "treadmq_cluster_has_master 1\n", "treadmq_ready 0\n", `role="follower"`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics of a follower lack %q", want)
		}
	}
	if page := r.get(first, "api/v1/cluster"); !strings.Contains(page, "is master") {
		t.Errorf("the timeline does not tell of the new master: %s", page)
	}
}

// get asks a member's console as admin.
func (r *rig) get(m *group.Member, path string) string {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, m.Console+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	password, err := os.ReadFile(r.password)
	if err != nil {
		r.t.Fatal(err)
	}
	req.SetBasicAuth("admin", strings.TrimSpace(string(password)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %d %s %v", path, resp.StatusCode, body, err)
	}
	return string(body)
}

// One of three is no quorum: it never serves. With a second one the group goes on,
// with everything that was acknowledged.
func TestOneOfThreeDoesNotServe(t *testing.T) {
	r := newRig(t)
	first := r.master()
	r.run("send", "kept", "-b", "acknowledged").want(t, 0)
	rest := r.others(first)
	last, next := rest[0], rest[1]
	next.Kill()
	first.Kill()
	eventually(t, "an alone member that looks for a quorum", func() bool {
		role := last.Role()
		return role == "electing" || role == "waiting"
	})
	o := r.at(last, "cluster", "status").want(t, 75)
	if !strings.Contains(o.stderr, "no master") || open(last.Stomp) {
		t.Errorf("a member alone: %s, its port is open: %v", o.stderr, open(last.Stomp))
	}
	r.start(next)
	if m := r.master(); m == first {
		t.Error("a killed broker is master")
	}
	if o := r.run("recv", "kept", "-n", "1", "-o", "raw").want(t, 0); strings.TrimSpace(o.stdout) != "acknowledged" {
		t.Errorf("received %q", o.stdout)
	}
}

// Without ZooKeeper the master and its quorum go on.
func TestZooKeeperMayFail(t *testing.T) {
	r := newRig(t)
	master := r.master()
	z := r.ZooKeeper.Servers[0]
	z.Kill()
	r.run("send", "through", "-b", "x").want(t, 0)
	eventually(t, "a status that says ZooKeeper is gone", func() bool {
		return strings.Contains(r.at(master, "cluster", "status").stdout, "not reached")
	})
	r.run("send", "through", "-b", "y").want(t, 0)
	r.run("recv", "through", "-n", "2").want(t, 0)
	if err := z.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a status that says ZooKeeper is back", func() bool {
		return !strings.Contains(r.at(master, "cluster", "status").stdout, "not reached")
	})
	r.at(master, "cluster", "handover").want(t, 0)
	r.run("send", "through", "-b", "z").want(t, 0)
}

// From three members to five, a member on an empty disk in the place of a lost one,
// and back to three.
func TestMembersComeAndGo(t *testing.T) {
	r := newRig(t)
	master := r.master()
	r.run("send", "moved", "-b", "before").want(t, 0)
	for range 2 {
		m, err := r.Add(r.opt)
		if err != nil {
			t.Fatal(err)
		}
		r.await(m, "learner")
		r.seen(master, m.Name)
	}
	r.at(master, "cluster", "add", "d", "e").want(t, 0)
	eventually(t, "five places", func() bool {
		s := r.status(master)
		return s.Replicas == 5 && s.Quorum == 3
	})
	lost := r.others(master)[0]
	lost.Kill()
	if err := os.RemoveAll(filepath.Join(lost.Dir, "data")); err != nil {
		t.Fatal(err)
	}
	var old string
	for _, m := range r.status(master).Members {
		if m.Name == lost.Name {
			old = m.ID
		}
	}
	r.start(lost)
	r.await(lost, "learner")
	var fresh string
	eventually(t, "a member on an empty disk, as another one", func() bool {
		for _, m := range r.status(master).Members {
			if m.Name == lost.Name && m.ID != old && m.Role == "learner" {
				fresh = m.ID
			}
		}
		return fresh != ""
	})
	r.at(master, "cluster", "add", fresh, "--replace", old).want(t, 0)
	r.await(lost, "follower")
	r.at(master, "cluster", "remove", "d", "e", "--replicas", "3", "--yes").want(t, 0)
	eventually(t, "three places, and the wiped one in one of them", func() bool {
		s := r.status(master)
		return s.Replicas == 3 && s.role(lost.Name) == "follower"
	})
	r.at(master, "cluster", "handover", fresh).want(t, 0)
	if m := r.master(); m != lost {
		t.Errorf("%s is master, not the one that was wiped", m.Name)
	}
	if o := r.run("recv", "moved", "-n", "1", "-o", "raw").want(t, 0); strings.TrimSpace(o.stdout) != "before" {
		t.Errorf("received %q", o.stdout)
	}
}

// A majority of disks is gone for good, and ZooKeeper with them: the group goes on from the
// one disk that is left, by an operator's word.
func TestFromTheLastDisk(t *testing.T) {
	r := newRig(t)
	r.run("send", "saved", "-b", "on all disks").want(t, 0)
	last := r.Members[0]
	eventually(t, "a member that has the message", func() bool {
		s := r.status(r.master())
		for _, m := range s.Members {
			if m.Name == last.Name {
				return m.Lag == nil && m.Role == "master" || m.Lag != nil && *m.Lag == 0
			}
		}
		return false
	})
	for _, m := range r.Members {
		m.Kill()
		if m != last {
			if err := os.RemoveAll(filepath.Join(m.Dir, "data")); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.wipeZooKeeper()
	r.start(last)
	r.await(last, "refusing")
	eventually(t, "an alarm that tells what to do", func() bool {
		return strings.Contains(r.at(last, "cluster", "status").stderr, "reseed")
	})
	if o := r.at(last, "cluster", "reseed", "--yes", "--lost", r.Members[1].Name).want(t, 1); !strings.Contains(o.stderr, "missing") {
		t.Errorf("a reseed that forgets a member: %s", o.stderr)
	}
	r.at(last, "cluster", "reseed", "--yes", "--lost", r.Members[1].Name, "--lost", r.Members[2].Name).want(t, 0)
	r.joinEmpty(last)
	if o := r.run("recv", "saved", "-n", "1", "-o", "raw").want(t, 0); strings.TrimSpace(o.stdout) != "on all disks" {
		t.Errorf("received %q", o.stdout)
	}
}

// The store of a broker that stood alone becomes that of a group.
func TestFromABrokerAlone(t *testing.T) {
	alone, err := brokerproc.Start(brokerproc.Options{Binary: binary, Dir: filepath.Join(t.TempDir(), "alone"), Set: []string{"brokerName=cluster"}})
	if err != nil {
		t.Fatal(err)
	}
	send := exec.Command(binary, "send", "old", "-b", "from before", "--url", "tcp://"+alone.Addr())
	if out, err := send.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if err := alone.Stop(); err != nil {
		t.Fatal(err)
	}
	r := newRig(t) // for its configurations: the group is made anew on other data
	for _, m := range r.Members {
		m.Kill()
		if err := os.RemoveAll(filepath.Join(m.Dir, "data")); err != nil {
			t.Fatal(err)
		}
	}
	r.wipeZooKeeper()
	first := r.Members[0]
	if err := os.CopyFS(filepath.Join(first.Dir, "data", "replicated"), os.DirFS(filepath.Join(alone.Data(), "store"))); err != nil {
		t.Fatal(err)
	}
	r.start(first)
	r.await(first, "refusing")
	r.at(first, "cluster", "reseed", "--yes").want(t, 0)
	r.joinEmpty(first)
	if o := r.run("recv", "old", "-n", "1", "-o", "raw").want(t, 0); strings.TrimSpace(o.stdout) != "from before" {
		t.Errorf("received %q", o.stdout)
	}
}

// seen waits until the master knows of a member that has no vote yet.
func (r *rig) seen(master *group.Member, name string) {
	r.t.Helper()
	eventually(r.t, name+" at the master", func() bool {
		s := r.status(master)
		return s.role(name) == "learner"
	})
}

// joinEmpty starts the others on their empty disks and gives them their votes.
func (r *rig) joinEmpty(first *group.Member) {
	r.t.Helper()
	add := []string{"cluster", "add"}
	for _, m := range r.others(first) {
		r.start(m)
		r.await(m, "learner")
		r.seen(first, m.Name)
		add = append(add, m.Name)
	}
	if m := r.master(); m != first {
		r.t.Errorf("%s is master, on an empty disk", m.Name)
	}
	r.at(first, add...).want(r.t, 0)
	eventually(r.t, "three places", func() bool {
		s := r.status(first)
		return s.Replicas == 3 && s.Quorum == 2
	})
	r.at(first, "cluster", "handover").want(r.t, 0)
}

// wipeZooKeeper takes ZooKeeper's data away.
func (r *rig) wipeZooKeeper() {
	r.t.Helper()
	z := r.ZooKeeper.Servers[0]
	z.Kill()
	if err := os.RemoveAll(filepath.Join(r.opt.Dir, "zookeeper-1", "data", "version-2")); err != nil {
		r.t.Fatal(err)
	}
	if err := z.Run(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// The lists of brokers of other authors' clients: each program sends, loses its broker,
// goes on and receives everything.
func TestHostListsOfOtherClients(t *testing.T) {
	r := newRig(t)
	for name, command := range map[string][]string{
		"stomp.py":   {"/usr/bin/python3", "../clients/python/failover.py"},
		"ruby-stomp": {"ruby", "../clients/ruby/failover.rb"},
		"stompit":    {"node", "../clients/js/failover.mjs"},
	} {
		t.Run(name, func(t *testing.T) {
			master := r.master()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := r.command(ctx, "version")
			cmd.Path, cmd.Args = lookup(t, command[0]), command
			var hosts []string
			for _, m := range r.Members {
				hosts = append(hosts, m.Stomp)
			}
			cmd.Env = append(cmd.Env, "STOMP_HOSTS="+strings.Join(hosts, ","), "STOMP_QUEUE=/queue/"+name, "STOMP_COUNT=50")
			var errs bytes.Buffer
			cmd.Stderr = &errs
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			last := ""
			for scan := bufio.NewScanner(out); scan.Scan(); {
				if last = scan.Text(); last == "confirmed 20" {
					master.Kill()
				}
			}
			if err := cmd.Wait(); err != nil || last != "received 50" {
				t.Errorf("%v after %q\n%s", err, last, errs.String())
			}
			if master.Running() {
				t.Fatal("the master was not killed: the program proved nothing")
			}
			r.start(master)
			r.await(master, "follower")
		})
	}
}
