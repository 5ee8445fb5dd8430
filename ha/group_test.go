package ha

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"treadmq/ha/coord"
	"treadmq/store"
	"treadmq/store/local"
)

// patience ends a test that hangs; nothing is measured by it.
const patience = 60 * time.Second

// service is a service without clients: tests use its store.
type service struct {
	store   *local.Store
	epoch   store.Epoch
	groups  atomic.Int64
	held    atomic.Bool
	stopped chan struct{}
}

func (s *service) OnGroup()     { s.groups.Add(1) }
func (s *service) Hold(on bool) { s.held.Store(on) }
func (s *service) Stop(string)  { close(s.stopped) }

// member is a node under test: its folder outlives it.
type member struct {
	t    testing.TB
	opt  Options
	node *Node
	stop context.CancelFunc
	done chan error

	mu      sync.Mutex // guards service
	service *service
}

func (m *member) serve(s *local.Store, e store.Epoch) (Service, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.service = &service{store: s, epoch: e, stopped: make(chan struct{})}
	return m.service, nil
}

// serving returns the service of a master, nil of others.
func (m *member) serving() *service {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.service; s != nil {
		select {
		case <-s.stopped:
		default:
			return s
		}
	}
	return nil
}

func (m *member) start() {
	m.t.Helper()
	n, err := New(m.opt)
	if err != nil {
		m.t.Fatal(err)
	}
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	m.node, m.done = n, make(chan error, 1)
	go func() { m.done <- n.Run(ctx) }()
}

// end stops a member in order and returns what Run says.
func (m *member) end() error {
	if m.node == nil {
		return nil
	}
	m.stop()
	err := m.wait()
	return err
}

// die ends a member without a word to the others: no handover.
func (m *member) die() {
	m.node.fail(errors.New("killed by the test"))
	m.wait()
}

func (m *member) wait() error {
	m.t.Helper()
	select {
	case err := <-m.done:
		m.node = nil
		return err
	case <-time.After(patience):
		m.t.Fatalf("member %s does not stop", m.opt.Name)
	}
	return nil
}

// group is a group under test.
type group struct {
	t       testing.TB
	dir     string
	log     *slog.Logger
	members []*member
}

// testLog keeps what members say, and shows it when the test fails.
func testLog(t testing.TB) *slog.Logger {
	b := &logBuffer{}
	t.Cleanup(func() {
		if t.Failed() {
			b.mu.Lock()
			defer b.mu.Unlock()
			t.Logf("the log:\n%s", b.Buffer.String())
		}
	})
	return slog.New(slog.NewTextHandler(b, nil))
}

type logBuffer struct {
	mu sync.Mutex // guards Buffer
	bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func newGroup(t testing.TB, n int, c func() coord.Coordinator, change func(*Options)) *group {
	g := &group{t: t, dir: t.TempDir(), log: testLog(t)}
	t.Cleanup(func() {
		for _, m := range g.members {
			m.end()
		}
	})
	for i := range n {
		g.add(fmt.Sprintf("%c", 'a'+i), n, c(), change)
	}
	return g
}

func (g *group) add(name string, replicas int, c coord.Coordinator, change func(*Options)) *member {
	m := &member{t: g.t, opt: Options{BrokerName: "broker", Name: name, Bind: "tcp://127.0.0.1:0", Replicas: replicas, Token: []byte("secret"),
		Coordinator: c, Clients: []string{name + ":61613"}, Log: g.log.With("m", name),
		Store: local.Options{Dir: filepath.Join(g.dir, name), SegmentSize: 1 << 20, DiskReserve: 1 << 20, CheckpointInterval: 50 * time.Millisecond}}}
	m.opt.Serve = m.serve
	if change != nil {
		change(&m.opt)
	}
	g.members = append(g.members, m)
	m.start()
	return m
}

// memory is one coordination service for all members.
func memory() func() coord.Coordinator {
	m := &coord.Memory{}
	return func() coord.Coordinator { return m }
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(limit) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// master waits for a master that serves, other than those given.
func (g *group) master(not ...*member) *member {
	g.t.Helper()
	var found *member
	eventually(g.t, "a master that serves", func() bool {
		for _, m := range g.members {
			skip := m.node == nil
			for _, o := range not {
				skip = skip || o == m
			}
			if !skip && m.serving() != nil {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// send stores a message and waits until it is committed.
func send(s *service, text string) error {
	b := &store.Batch{}
	done := make(chan error, 1)
	b.Done = func(_ *store.Batch, err error) { done <- err }
	b.Enqueue(store.Message{Encoded: []byte(text)}, store.NewRef{Dest: 1, Lane: 4})
	if err := s.store.Append(b); err != nil {
		return err
	}
	return <-done
}

// contents lists the messages of a master.
func contents(t testing.TB, s *service) []string {
	t.Helper()
	var texts []string
	after := store.Seq(0)
	for {
		list, more, err := s.store.Load(nil, 1, 4, after, 1000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			texts = append(texts, string(x.Message))
			after = x.Seq
		}
		if !more {
			return texts
		}
	}
}

// same waits until all members that run have the master's journal, byte for byte.
func (g *group) same(master *member) {
	g.t.Helper()
	want := master.node.disk.feed.Load()
	for _, m := range g.members {
		if m == master || m.node == nil {
			continue
		}
		eventually(g.t, "member "+m.opt.Name+" has all that is committed and applies it", func() bool {
			s, ms := m.node.Status(), master.node.Status()
			return s.End == ms.End && s.Committed == ms.End && s.Applied == ms.End
		})
		got := m.node.disk.feed.Load()
		for at := max(got.Start(), want.Start()); ; {
			a, errA := want.Read(nil, at, 1<<20)
			b, errB := got.Read(nil, at, 1<<20)
			if errors.Is(errA, io.EOF) && errors.Is(errB, io.EOF) {
				break
			}
			if n := min(len(a), len(b)); errA != nil || errB != nil || n == 0 || !bytes.Equal(a[:n], b[:n]) {
				g.t.Fatalf("the journals of %s and %s differ behind %d: %v, %v", master.opt.Name, m.opt.Name, at, errA, errB)
			} else {
				at += store.Position(n)
			}
		}
	}
}
