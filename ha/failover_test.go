package ha

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"treadmq/ha/coord"
	"treadmq/ha/zk"
	"treadmq/ha/zk/zktest"
)

func TestGroup(t *testing.T) {
	g := newGroup(t, 3, memory(), nil)
	m := g.master()
	eventually(t, "OnGroup, for what was committed while it began to serve", func() bool { return m.serving().groups.Load() > 0 })
	var want []string
	put := func(s *service, n int) {
		t.Helper()
		for range n {
			text := fmt.Sprintf("message %d", len(want))
			if err := send(s, text); err != nil {
				t.Fatal(err)
			}
			want = append(want, text)
		}
	}
	check := func(s *service) {
		t.Helper()
		if got := contents(t, s); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%d messages, want %d: %v", len(got), len(want), got)
		}
	}
	eventually(t, "three voters", func() bool { s := m.node.Status(); return len(s.Members) == 3 })
	put(m.serving(), 20)
	g.same(m)

	// The master dies: one of the others goes on with all that was acknowledged.
	m.die()
	next := g.master(m)
	check(next.serving())
	put(next.serving(), 20)
	m.start() // and the old one follows
	g.same(next)

	// It hands over when it is told to stop.
	if err := next.end(); err != nil {
		t.Fatal(err)
	}
	third := g.master(next)
	check(third.serving())
	put(third.serving(), 5)
	next.start()
	g.same(third)
	check(third.serving())
}

// lingering is a coordination service whose sessions outlive the members that opened
// them, as they do for a time when a process is killed.
type lingering struct {
	coord.Coordinator
	t testing.TB
}

type lingeringSession struct{ coord.Session }

func (lingeringSession) Close() {}

func (l lingering) Open(ctx context.Context) (coord.Session, error) {
	s, err := l.Coordinator.Open(ctx)
	if err != nil {
		return nil, err
	}
	l.t.Cleanup(s.Close)
	return lingeringSession{s}, nil
}

// traffic sends messages to whoever is master, and remembers what was acknowledged.
type traffic struct {
	g    *group
	quit chan struct{}
	wg   sync.WaitGroup

	mu    sync.Mutex // guards acked
	acked map[string]bool
}

func (g *group) traffic(senders int) *traffic {
	tr := &traffic{g: g, quit: make(chan struct{}), acked: map[string]bool{}}
	for i := range senders {
		tr.wg.Go(func() { tr.send(i) })
	}
	return tr
}

func (tr *traffic) send(sender int) {
	for n := 0; ; n++ {
		select {
		case <-tr.quit:
			return
		default:
		}
		for _, m := range tr.g.members {
			s := m.serving()
			if s == nil {
				continue
			}
			text := fmt.Sprintf("%d-%d %d", sender, n, s.epoch)
			if send(s, text) == nil {
				tr.mu.Lock()
				tr.acked[text] = true
				tr.mu.Unlock()
			}
		}
	}
}

func (tr *traffic) count() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.acked)
}

// more waits until some more messages are acknowledged.
func (tr *traffic) more() {
	tr.g.t.Helper()
	n := tr.count() + 50
	eventually(tr.g.t, "more messages are acknowledged", func() bool { return tr.count() >= n })
}

// check ends the traffic and demands that the master has all that was acknowledged, once.
func (tr *traffic) check() {
	tr.g.t.Helper()
	close(tr.quit)
	tr.wg.Wait()
	m := tr.g.master()
	got := contents(tr.g.t, m.serving())
	seen := map[string]bool{}
	for _, text := range got {
		if seen[text] {
			tr.g.t.Errorf("%q is there twice", text)
		}
		seen[text] = true
	}
	for _, text := range slices.Sorted(maps.Keys(tr.acked)) {
		if !seen[text] {
			tr.g.t.Errorf("%q was acknowledged and is lost", text)
		}
	}
	tr.g.same(m)
}

// TestMasterDies: the master ends under load, again and again, without a word and while its
// session with the coordination service lives on; nothing acknowledged is lost.
func TestMasterDies(t *testing.T) {
	service := memory()
	g := newGroup(t, 3, func() coord.Coordinator { return lingering{service(), t} }, nil)
	tr := g.traffic(4)
	for range 4 {
		m := g.master()
		tr.more()
		m.die()
		g.master(m)
		tr.more()
		m.start()
	}
	tr.check()
}

// TestZooKeeper: the same on a real server, whose loss the group survives.
func TestZooKeeper(t *testing.T) {
	e, err := zktest.Start(t.Context(), zktest.Options{Dir: t.TempDir()})
	if errors.Is(err, zktest.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	g := newGroup(t, 3, func() coord.Coordinator {
		c, err := zk.New(zk.Options{Servers: e.Addrs(), Path: "/treadmq", Group: DefaultGroup, Password: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		return lingering{c, t}
	}, nil)
	tr := g.traffic(4)
	m := g.master()
	tr.more()
	m.die()
	next := g.master(m)
	tr.more()
	m.start()

	// Without ZooKeeper master and quorum go on, and nobody else becomes master.
	e.Servers[0].Kill()
	eventually(t, "the loss of ZooKeeper is noticed", func() bool { return !next.node.Status().Connected })
	tr.more()
	if s := next.node.Status(); s.Role != RoleMaster || len(s.Alarms) == 0 {
		t.Errorf("without ZooKeeper: %s, %v", s.Role, s.Alarms)
	}
	epoch := next.serving().epoch
	if err := e.Servers[0].Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ZooKeeper is reached again", func() bool { return next.node.Status().Connected })
	tr.more()
	if s := next.serving(); s == nil || s.epoch != epoch {
		t.Error("the loss of ZooKeeper cost the master its epoch")
	}
	tr.check()
}
