package ha

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"treadmq/ha/coord"
	"treadmq/store"
	"treadmq/store/local"
	"treadmq/store/vfs"
)

func ctxFor(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// voters are the names of the voters, as a member sees them.
func voters(m *member) string {
	var names []string
	for _, x := range m.node.Status().Members {
		if x.Voter {
			names = append(names, x.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, "")
}

// try repeats an operator's command until it is done: what it needs may come yet.
func try(t testing.TB, what string, do func() error) {
	t.Helper()
	var err error
	limit := time.Now().Add(patience)
	for err = do(); err != nil; err = do() {
		if time.Now().After(limit) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestMembership: three become five and three again under load, with a handover in between,
// and nothing acknowledged is lost.
func TestMembership(t *testing.T) {
	service := memory()
	g := newGroup(t, 3, service, nil)
	m := g.master()
	eventually(t, "three voters", func() bool { return voters(m) == "abc" })
	tr := g.traffic(2)
	defer func() {
		if t.Failed() {
			close(tr.quit)
		}
	}()
	if err := m.node.Change(ctxFor(t), []string{"nobody"}, nil, 0); err == nil || !strings.Contains(err.Error(), `no member "nobody"`) {
		t.Errorf("adding nobody: %v", err)
	}
	for _, x := range g.members {
		if x != m {
			if err := x.node.Change(ctxFor(t), nil, []string{"a"}, 0); err == nil || !strings.Contains(err.Error(), "only the master") {
				t.Errorf("a change on a follower: %v", err)
			}
		}
	}
	tr.wait(func() {
		g.add("d", 3, service(), nil)
		g.add("e", 3, service(), nil)
	})
	try(t, "3 to 5", func() error { return m.node.Change(ctxFor(t), []string{"d", "e"}, nil, 5) })
	eventually(t, "five voters", func() bool { return voters(m) == "abcde" })
	tr.more()
	if err := m.node.Change(ctxFor(t), nil, []string{m.opt.Name}, 0); err == nil || !strings.Contains(err.Error(), "hand over first") {
		t.Errorf("the master was removed: %v", err)
	}
	try(t, "handover to d", func() error { return m.node.Handover(ctxFor(t), "d") })
	d := g.members[3]
	if got := g.master(m); got != d {
		t.Fatalf("%s is master after a handover to d", got.opt.Name)
	}
	tr.more()
	try(t, "5 to 3", func() error {
		return d.node.Change(ctxFor(t), nil, []string{g.members[0].opt.Name, g.members[1].opt.Name}, 3)
	})
	eventually(t, "three voters", func() bool { return voters(d) == "cde" })
	tr.more()
	tr.check()
}

// wait does something while no traffic looks at the members.
func (tr *traffic) wait(do func()) {
	close(tr.quit)
	tr.wg.Wait()
	do()
	tr.quit = make(chan struct{})
	for i := range 2 {
		tr.wg.Go(func() { tr.send(100 + i) })
	}
}

// wipeable is a coordination service that can lose all it holds.
type wipeable struct {
	*coord.Memory
}

// TestRegisterLost: a coordination service that lost everything, or belongs to another group,
// gets nobody elected; an operator's word makes the register again.
func TestRegisterLost(t *testing.T) {
	w := &wipeable{&coord.Memory{}}
	g := newGroup(t, 3, func() coord.Coordinator { return w }, func(o *Options) { o.Timing.Refuse = time.Millisecond })
	m := g.master()
	eventually(t, "three voters", func() bool { return voters(m) == "abc" })
	if err := send(m.serving(), "kept"); err != nil {
		t.Fatal(err)
	}
	g.same(m)
	for _, x := range g.members {
		x.die()
	}
	*w.Memory = coord.Memory{}
	epoch := m.serviceEpoch()
	for _, x := range g.members {
		x.start()
	}
	for _, x := range g.members {
		eventually(t, "refusing", func() bool {
			s := x.node.Status()
			return s.Role == RoleRefusing && len(s.Alarms) > 0 && strings.Contains(s.Why.Text, "reseed")
		})
	}
	try(t, "reseed", func() (err error) {
		for _, x := range g.members { // whoever does not know the newest epoch says who does
			if err = x.node.Reseed(ctxFor(t), nil); err == nil {
				return nil
			}
		}
		return err
	})
	next := g.master()
	if s := next.serving(); s.epoch <= epoch {
		t.Errorf("epoch %d after %d", s.epoch, epoch)
	}
	if got := contents(t, next.serving()); len(got) != 1 || got[0] != "kept" {
		t.Errorf("it holds %q", got)
	}
	g.same(next)
}

// serviceEpoch is the epoch in which a member served last.
func (m *member) serviceEpoch() store.Epoch {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.service.epoch
}

// TestOtherBroker: a member whose zkPath leads to another group takes no part.
func TestOtherBroker(t *testing.T) {
	service := memory()
	g := newGroup(t, 1, service, nil)
	g.master()
	x := g.add("x", 3, service(), func(o *Options) { o.BrokerName, o.Timing.Refuse = "another", time.Millisecond })
	eventually(t, "refusing", func() bool {
		s := x.node.Status()
		return s.Role == RoleRefusing && strings.Contains(s.Why.Text, "brokerName")
	})
}

// failingSync lets every sync fail from when broken is closed.
func failingSync(broken <-chan struct{}) vfs.Hook {
	return func(op vfs.Op) error {
		select {
		case <-broken:
			if op.Kind == vfs.OpSync {
				return syscall.EIO
			}
		default:
		}
		return nil
	}
}

// TestFailedSync: a master whose disk fails ends with an error, another takes over, and it does not
// vote before it has caught up.
func TestFailedSync(t *testing.T) {
	for _, who := range []string{"master", "follower"} {
		t.Run(who, func(t *testing.T) {
			n := 0
			var broken [3]chan struct{}
			g := newGroup(t, 3, memory(), func(o *Options) {
				i := n
				n++
				broken[i] = make(chan struct{})
				o.Store.FS = vfs.NewFaults(vfs.OS{}, failingSync(broken[i]))
			})
			m := g.master()
			eventually(t, "three voters", func() bool { return voters(m) == "abc" })
			tr := g.traffic(2)
			tr.more()
			at := slices.Index(g.members, m)
			if who == "follower" {
				at = (at + 1) % 3
			}
			x := g.members[at]
			close(broken[at])
			if err := x.wait(); err == nil || !strings.Contains(err.Error(), "the disk failed") {
				t.Errorf("it ended with %v", err)
			}
			g.master(x)
			tr.more()
			x.opt.Store.FS = vfs.OS{}
			x.start()
			eventually(t, "it follows and votes again", func() bool {
				s := x.node.Status()
				return s.Role == RoleFollower && s.State == "healthy"
			})
			tr.check()
		})
	}
}

// TestDamaged: members whose index is lost, or whose journal is damaged, fetch the store again.
func TestDamaged(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"index": func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "index")); err != nil {
				t.Fatal(err)
			}
		},
		"journal": func(t *testing.T, dir string) {
			list, err := filepath.Glob(filepath.Join(dir, "*.log"))
			if err != nil || len(list) == 0 {
				t.Fatal("no segments", err)
			}
			last := list[len(list)-1]
			b, err := os.ReadFile(last)
			if err != nil {
				t.Fatal(err)
			}
			b[100] ^= 1
			if err := os.WriteFile(last, b, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, 3, memory(), smallSegments)
			m := g.master()
			churn(t, m.serving(), 300)
			eventually(t, "the journal has a gap", func() bool { return m.node.disk.feed.Load().Start() > 0 })
			g.same(m)
			var x *member
			for _, o := range g.members {
				if o != m {
					x = o
				}
			}
			eventually(t, "its journal has a gap", func() bool { return x.node.disk.feed.Load().Start() > 0 })
			x.end()
			damage(t, x.opt.Store.Dir)
			id := func() string {
				node, _, err := local.MemberOf(x.opt.Store)
				if err != nil {
					t.Fatal(err)
				}
				return node
			}
			before := id()
			x.start()
			eventually(t, "it has fetched the store, follows and votes again", func() bool {
				s := x.node.Status()
				fetched := slices.ContainsFunc(s.Timeline, func(e Entry) bool { return strings.Contains(e.Text.Text, "the store was installed") })
				return fetched && s.Role == RoleFollower && s.State == "healthy"
			})
			if id() != before {
				t.Error("it has another identity")
			}
			churn(t, m.serving(), 10)
			g.same(m)
		})
	}
}
