package local

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"treadmq/store"
	"treadmq/store/journal"
	"treadmq/store/vfs"
)

// follower is a member that does not lead, with its disk.
type follower struct {
	*Replica
	opts Options
}

func openFollower(t rapid.TB, o Options) *follower {
	r, err := OpenReplica(o, "g")
	if err != nil {
		t.Fatal(err)
	}
	return &follower{r, o}
}

// testGroup is a leader's gate: it commits what one follower has.
type testGroup struct {
	mu        sync.Mutex // guards everything: the leader's commit goroutine and the test use it
	followers []*follower
	quorum    int // index of the follower that counts
	feed      Feed
	epochs    store.EpochList // of the leader
	commit    store.Position
	err       error
}

func (g *testGroup) Written(store.Epoch, store.Position) {}
func (g *testGroup) Synced(store.Epoch, store.Position)  {}

func (g *testGroup) Wait(end store.Position) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return g.err
	}
	if err := g.ship(g.followers[g.quorum], end); err != nil {
		return err
	}
	g.commit = end
	return nil
}

// ship makes a follower's journal that of the leader up to a position. Called with mu held.
func (g *testGroup) ship(f *follower, end store.Position) error {
	st := f.State()
	at, ok := store.Divergence(g.epochs, end, st.Epochs, st.End)
	if !ok {
		at = 0
	}
	if at < st.End {
		if err := f.Truncate(at); err != nil {
			return err
		}
	}
	for at < end {
		b, err := g.feed.Read(nil, at, 2000)
		if err != nil {
			return err
		}
		if at, err = f.Append(at, b); err != nil {
			return err
		}
	}
	_, err := f.Sync()
	return err
}

// groupMachine runs the model's operations on the leader of a group of three, whose
// leader changes.
type groupMachine struct {
	*machine
	g     *testGroup
	epoch store.Epoch
}

func groupOptions(interval int) Options {
	return Options{
		FS: vfs.NewMem(), Dir: "/store", BootID: "boot", SegmentSize: 4 << 10, TailLimit: 4 << 10, CompactRate: 1 << 40, IndexBuffer: 64 << 10,
		CheckpointInterval: time.Duration(interval) * time.Millisecond, Retain: 1 << 30,
	}
}

// lead makes follower i the leader.
func (m *groupMachine) lead(t *rapid.T, i int) {
	g := m.g
	g.mu.Lock()
	f := g.followers[i]
	g.followers = slices.Delete(g.followers, i, i+1)
	g.quorum = rapid.IntRange(0, len(g.followers)-1).Draw(t, "quorum")
	m.epoch++
	for _, x := range append([]*follower{f}, g.followers...) {
		if err := x.SaveMembership(Membership{Promised: m.epoch}); err != nil {
			t.Fatal(err)
		}
	}
	st := f.State()
	g.epochs, g.feed, g.err = st.Epochs.Add(m.epoch, st.End), f.Feed(), nil
	g.mu.Unlock()
	s, err := f.Lead(m.epoch, g, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.s, m.opts = s, f.opts
}

// Failover ends the leader, mostly with a tail that nobody else has. The member with
// the newest journal leads from then on, and the old leader follows.
func (m *groupMachine) Failover(t *rapid.T) {
	g := m.g
	g.mu.Lock()
	g.err = store.ErrDeposed
	g.mu.Unlock()
	for range rapid.IntRange(0, 3).Draw(t, "lost") {
		_, err := try(m.s, func(b *store.Batch) {
			b.Enqueue(store.Message{Encoded: make([]byte, 900)}, store.NewRef{Dest: 1, Lane: 4})
			b.Put([]byte("lost"), []byte("lost"))
			b.Drop(2)
		})
		if !errors.Is(err, store.ErrDeposed) {
			t.Fatalf("a batch of a leader that was deposed: %v", err)
		}
	}
	m.s.Close()
	old := openFollower(t, m.opts)
	best := 0
	for i, f := range g.followers {
		a, b := f.State(), g.followers[best].State()
		if a.Epochs.Last() > b.Epochs.Last() || (a.Epochs.Last() == b.Epochs.Last() && a.End > b.End) {
			best = i
		}
	}
	g.followers = append(g.followers, old)
	m.lead(t, best)
}

// NextEpoch lets the leader go on in a higher epoch, as a change of members does.
func (m *groupMachine) NextEpoch(t *rapid.T) {
	end, err := m.s.Pause()
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := try(m.s, func(b *store.Batch) { b.Put([]byte("a"), []byte("waited")) })
		waiting <- err
	}()
	m.epoch++
	g := m.g
	g.mu.Lock()
	for _, f := range g.followers {
		if err := f.SaveMembership(Membership{Promised: m.epoch}); err != nil {
			t.Fatal(err)
		}
	}
	g.epochs = g.epochs.Add(m.epoch, end)
	g.mu.Unlock()
	if err := m.s.SaveMembership(Membership{Promised: m.epoch}); err != nil {
		t.Fatal(err)
	}
	begun := make(chan error, 1)
	if err := m.s.NextEpoch(m.epoch, func(err error) { begun <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-begun; err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-waiting:
		t.Fatalf("a batch was taken during a pause (%v)", err)
	default:
	}
	m.s.Resume()
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	m.catalog["a"] = "waited"
	if e := m.s.Epoch(); e != m.epoch {
		t.Fatalf("the store is in epoch %d, want %d", e, m.epoch)
	}
}

// Follow lets a member catch up, and apply some of what is committed.
func (m *groupMachine) Follow(t *rapid.T) {
	g := m.g
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.followers[rapid.IntRange(0, len(g.followers)-1).Draw(t, "follower")]
	if err := g.ship(f, g.commit); err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "apply") {
		if err := f.Commit(g.commit); err != nil {
			t.Fatal(err)
		}
	}
}

// FollowerRestart closes a member, or kills it.
func (m *groupMachine) FollowerRestart(t *rapid.T) {
	g := m.g
	g.mu.Lock()
	defer g.mu.Unlock()
	i := rapid.IntRange(0, len(g.followers)-1).Draw(t, "follower")
	f := g.followers[i]
	after := f.opts.FS.(*vfs.Mem).Snapshot()
	before := f.State()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "kill") {
		f.opts.FS = after
	}
	g.followers[i] = openFollower(t, f.opts)
	if st := g.followers[i].State(); st.End != before.End || st.Promised != before.Promised || st.Suspect || !slices.Equal(st.Epochs, before.Epochs) {
		t.Fatalf("after a restart %+v, before %+v", st, before)
	}
}

// Same demands the same bytes everywhere.
func (m *groupMachine) Same(t *rapid.T) {
	g := m.g
	g.mu.Lock()
	defer g.mu.Unlock()
	m.checkMetadata(t)
	end := g.commit
	for _, f := range g.followers {
		if err := g.ship(f, end); err != nil {
			t.Fatal(err)
		}
		at := max(f.Feed().Start(), g.feed.Start())
		for at < end {
			want, err := g.feed.Read(nil, at, 1<<20)
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			got, err := f.Feed().Read(nil, at, 1<<20)
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			n := min(len(want), len(got))
			if n == 0 || !bytes.Equal(want[:n], got[:n]) {
				t.Fatalf("the journals differ behind %d", at)
			}
			at += store.Position(n)
		}
		a, errA := f.Feed().Chain(end)
		b, errB := g.feed.Chain(end)
		if a != b || errA != nil || errB != nil {
			t.Fatalf("chain at %d: %x (%v), the leader's %x (%v)", end, a, errA, b, errB)
		}
	}
}

// checkMetadata demands that each segment opens with what the journal before it says.
func (m *groupMachine) checkMetadata(t *rapid.T) {
	var want *journal.Metadata
	var rec journal.Record
	for at := m.g.feed.Start(); at < m.g.commit; {
		b, err := m.g.feed.Read(nil, at, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		err = journal.EachBatch(b, at, func(h *journal.Header, b []byte) error {
			at = h.End()
			return journal.EachRecord(h, b, &rec, func(r *journal.Record) error {
				if r.Kind == store.OpCatalog {
					if want != nil {
						if diff := cmp.Diff(want, r.Meta, cmpopts.IgnoreFields(journal.Metadata{}, "NextSeq"), cmpopts.EquateEmpty()); diff != "" {
							t.Fatalf("the segment at %d opens with other metadata (-want +got):\n%s", h.Position, diff)
						}
					}
					want = r.Meta.Clone()
				}
				if r.Kind == store.OpEpochStart {
					want.Epochs = want.Epochs.Add(h.Epoch, h.Position)
				}
				want.Apply(r)
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

type groupActions struct{ *groupMachine }

// Restart and Kill are those of a store alone.
func (groupActions) Restart(*rapid.T) {}
func (groupActions) Kill(*rapid.T)    {}

func TestGroupModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &groupMachine{
			machine: &machine{model: model{refs: map[store.Ref]modelRef{}, marks: map[laneID]store.Seq{}, catalog: map[string]string{}, newest: map[keyID]store.Seq{}}},
			g:       &testGroup{},
		}
		interval := rapid.SampledFrom([]int{1, 1000}).Draw(t, "interval")
		for range 3 {
			m.g.followers = append(m.g.followers, openFollower(t, groupOptions(interval)))
		}
		m.lead(t, 0)
		defer func() {
			m.s.Close()
			for _, f := range m.g.followers {
				f.Close()
			}
		}()
		t.Repeat(rapid.StateMachineActions(groupActions{m}))
		m.equal(t)
	})
}

// equal closes the members, which have committed the same, and compares their indexes.
func (m *groupMachine) equal(t *rapid.T) {
	folders := m.closeAll(t)
	if err := m.s.Close(); err != nil && !errors.Is(err, store.ErrDeposed) {
		t.Fatal(err)
	}
	var first Report
	for i, o := range append(folders, m.opts) {
		r, err := Check(o.FS, o.Dir, io.Discard)
		switch {
		case err != nil || r.Problems > 0:
			t.Fatalf("member %d has %d problems, %v", i, r.Problems, err)
		case i == 0:
			first = r
		case i == len(folders) && r.Applied != first.Applied: // the leader, which was deposed before it wrote its index
		case r.Digest == "" || r.Digest != first.Digest || r.Applied != first.Applied:
			t.Fatalf("the index of member %d says %q at %d, that of the first %q at %d", i, r.Digest, r.Applied, first.Digest, first.Applied)
		}
	}
}

// closeAll closes the followers when they have what is committed, and deposes the leader.
func (m *groupMachine) closeAll(t *rapid.T) (folders []Options) {
	if _, err := m.s.Pause(); err != nil { // so that it compacts nothing more
		t.Fatal(err)
	}
	g := m.g
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.followers {
		if err := g.ship(f, g.commit); err != nil {
			t.Fatal(err)
		}
		if err := f.Commit(g.commit); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		folders = append(folders, f.opts)
	}
	g.err = store.ErrDeposed
	return folders
}

// TestCommittedIsNotRemoved: a member refuses to forget what it knows to be committed.
func TestCommittedIsNotRemoved(t *testing.T) {
	g := &testGroup{}
	a, b := openFollower(t, groupOptions(1000)), openFollower(t, groupOptions(1000))
	g.followers = []*follower{b}
	for _, f := range []*follower{a, b} {
		if err := f.SaveMembership(Membership{Promised: 1}); err != nil {
			t.Fatal(err)
		}
	}
	g.epochs, g.feed = store.EpochList{}.Add(1, 0), a.Feed()
	s, err := a.Lead(1, g, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	send(t, s, 1, 4, "one")
	half := g.commit
	send(t, s, 1, 4, "two")
	if err := b.Commit(g.commit); err != nil {
		t.Fatal(err)
	}
	end := b.State().End
	if err := b.Truncate(half); !errors.Is(err, ErrCommitted) {
		t.Fatalf("removing what is committed: %v", err)
	}
	if got := b.State().End; got != end || b.Err() != nil {
		t.Fatalf("the refused removal changed the end from %d to %d, %v", end, got, b.Err())
	}
	if err := b.Commit(end + 1); err == nil {
		t.Fatal("committed beyond the end")
	}
	if err := b.SaveMembership(Membership{}); err == nil {
		t.Fatal("a promise was taken back")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(b.opts); err == nil {
		t.Fatal("a member's folder was opened by a broker of its own")
	}
	if _, err := OpenReplica(b.opts, "other"); err == nil {
		t.Fatal("a member's folder was opened by another group")
	}
}

// TestSuspect: after the machine went down a member does not claim to have what it acknowledged.
func TestSuspect(t *testing.T) {
	f := openFollower(t, groupOptions(1000))
	g := &testGroup{followers: []*follower{f}}
	a := openFollower(t, groupOptions(1000))
	for _, x := range []*follower{a, f} {
		if err := x.SaveMembership(Membership{Promised: 1}); err != nil {
			t.Fatal(err)
		}
	}
	g.epochs, g.feed = store.EpochList{}.Add(1, 0), a.Feed()
	s, err := a.Lead(1, g, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	o := f.opts
	o.FS, o.BootID = f.opts.FS.(*vfs.Mem).Snapshot(), "another boot"
	again := openFollower(t, o)
	if !again.State().Suspect {
		t.Error("not suspect after another boot")
	}
	o.FS = o.FS.(*vfs.Mem).Snapshot()
	third := openFollower(t, o)
	if !third.State().Suspect {
		t.Error("a second restart made it trusted")
	}
	if err := third.SaveMembership(Membership{Promised: 1}); err != nil || third.State().Suspect {
		t.Errorf("still suspect after it has caught up: %v", err)
	}
	for _, x := range []*follower{f, again, third} {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
	o.BootID = "a third boot"
	last := openFollower(t, o)
	defer last.Close()
	if last.State().Suspect {
		t.Error("suspect although it was closed in order")
	}
}

// TestDeposedAndBroken: that a leader was deposed does not hide that its disk failed.
func TestDeposedAndBroken(t *testing.T) {
	s, err := Open(groupOptions(1000))
	if err != nil {
		t.Fatal(err)
	}
	s.Depose()
	if err := s.Append(&store.Batch{}); !errors.Is(err, store.ErrDeposed) {
		t.Fatalf("a deposed leader takes a batch: %v", err)
	}
	s.fail(syscall.EIO)
	s.Depose()
	if err := s.Close(); !errors.Is(err, store.ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("closed with %v", err)
	}
}

// TestReadsOfAClosedStore: who still reads learns why there is nothing to read any more, so that a client is told to
// send again to the new master, and not that the store failed.
func TestReadsOfAClosedStore(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*Store)
		want   error
	}{
		"closed":  {func(*Store) {}, store.ErrClosed},
		"deposed": {(*Store).Depose, store.ErrDeposed},
		"failed":  {func(s *Store) { s.fail(syscall.EIO) }, store.ErrFailed},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(groupOptions(1000))
			if err != nil {
				t.Fatal(err)
			}
			c.before(s)
			s.Close()
			_, findErr := s.FindKey(1, 0, "a")
			_, _, expiredErr := s.Expired(nil, 1, nil, 10)
			for what, err := range map[string]error{"FindKey": findErr, "Expired": expiredErr} {
				if !errors.Is(err, c.want) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}
