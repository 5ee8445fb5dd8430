package local

import (
	"errors"
	"io"
	"math/rand"
	"slices"
	"testing"

	"treadmq/store"
	"treadmq/store/vfs"
)

// bigGroup returns a leader whose journal's beginning is gone, and its gate with one follower.
func bigGroup(t *testing.T) (*Store, *testGroup) {
	t.Helper()
	o := groupOptions(1000)
	o.Retain = 0
	a, b := openFollower(t, o), openFollower(t, groupOptions(1000))
	g := &testGroup{followers: []*follower{b}}
	for _, f := range []*follower{a, b} {
		if err := f.SaveMembership(Membership{Cluster: "c", Promised: 1}); err != nil {
			t.Fatal(err)
		}
	}
	g.epochs, g.feed = store.EpochList{}.Add(1, 0), a.Feed()
	s, err := a.Lead(1, g, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		b.Close()
	})
	churn(t, s, 200)
	if g.feed.Start() == 0 {
		t.Fatal("nothing of the journal was deleted")
	}
	return s, g
}

// churn leaves every fortieth of n messages.
func churn(t *testing.T, s *Store, n int) {
	t.Helper()
	for i := range n {
		r := send(t, s, 1, 4, string(make([]byte, 300)))
		if i%40 > 0 {
			do(t, s, func(b *store.Batch) { b.Remove(r, store.Loc{}) })
		}
	}
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
}

// fetch copies a snapshot into a stage, up to limit pieces (0: all), and reports whether it is complete.
func fetch(t *testing.T, p *Snapshot, st *Stage, limit int) bool {
	t.Helper()
	n := 0
	full := func() bool { n++; return limit > 0 && n > limit }
	for at, end, ok := st.Missing(); ok; at, end, ok = st.Missing() {
		if full() {
			return false
		}
		b := make([]byte, min(end-at, 1000))
		if err := p.ReadSegment(b, at); err != nil {
			t.Fatal(err)
		}
		if err := st.Write(at, b); err != nil {
			t.Fatal(err)
		}
	}
	var after []byte
	for {
		if full() {
			return false
		}
		pairs, last, err := p.ReadIndex(nil, after, 500)
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := st.WriteIndex(pairs); err != nil {
			t.Fatal(err)
		}
		after = last
	}
}

func snapshot(t *testing.T, s *Store) *Snapshot {
	t.Helper()
	p, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Release)
	return p
}

// TestSnapshot: a member gets the store of a leader that goes on meanwhile, follows from there, and can lead.
func TestSnapshot(t *testing.T) {
	s, g := bigGroup(t)
	late := openFollower(t, groupOptions(1000))
	do(t, s, func(b *store.Batch) {
		b.Enqueue(store.Message{Encoded: []byte("x"), DedupKey: "key"}, store.NewRef{Dest: 2})
	})
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	p := snapshot(t, s)
	churn(t, s, 50) // deletes segments of the snapshot, if nothing kept them
	st, err := NewStage(late.opts, "g", p.At, p.Segments)
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, p, st, 0)
	m := Membership{Cluster: "c", Promised: 1, Extra: []byte(`{"x":1}`)}
	end, err := st.Finish(m)
	if err != nil || end != p.End {
		t.Fatalf("finished at %d, %v; the snapshot ends at %d", end, err, p.End)
	}
	node := late.State().Node
	if err := late.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Install(late.opts, m); err != nil {
		t.Fatal(err)
	}
	late = openFollower(t, late.opts)
	if got := late.State(); got.Node != node || got.End != p.End || got.Applied < p.At || got.Suspect {
		t.Fatalf("after the installation %+v", got)
	}
	if got := late.Membership(); got.Promised != 1 || got.Cluster != "c" || string(got.Extra) != `{"x":1}` {
		t.Fatalf("membership %+v", got)
	}
	churn(t, s, 50)
	want := bodies(t, s, 1, 4)
	g.mu.Lock()
	err = g.ship(late, g.commit)
	if err == nil {
		err = late.Commit(g.commit)
	}
	g.err = store.ErrDeposed
	g.followers = append(g.followers, late)
	g.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := late.SaveMembership(Membership{Cluster: "c", Promised: 2}); err != nil {
		t.Fatal(err)
	}
	g.epochs, g.feed, g.err = late.State().Epochs.Add(2, late.State().End), late.Feed(), nil
	g.followers = g.followers[:1]
	next, err := late.Lead(2, g, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	equal(t, bodies(t, next, 1, 4), want)
	if r, err := next.FindKey(2, 0, "key"); err != nil || r.Key != "key" {
		t.Errorf("the key leads to %+v, %v", r, err)
	}
	if c := next.Counts()[1][4].Refs; c != int64(len(want)) {
		t.Fatalf("%d references counted, %d are there", c, len(want))
	}
}

// TestStageResumes: after any number of pieces the member dies, and goes on with the
// segments that were complete.
func TestStageResumes(t *testing.T) {
	s, _ := bigGroup(t)
	p := snapshot(t, s)
	o := groupOptions(1000)
	r := openFollower(t, o)
	defer r.Close()
	fetched, resumed := 0, false
	for limit := 1; ; limit += 2 {
		st, err := NewStage(o, "g", p.At, p.Segments)
		if err != nil {
			t.Fatal(err)
		}
		if at, _, ok := st.Missing(); ok && at > p.Segments[0].First {
			resumed = true
		}
		fetched++
		if fetch(t, p, st, limit) {
			if _, err := st.Finish(Membership{Cluster: "c", Promised: 1}); err != nil {
				t.Fatal(err)
			}
			break
		}
		st.Abandon()
	}
	if fetched < 3 || !resumed {
		t.Fatalf("%d attempts, resumed: %t", fetched, resumed)
	}
}

// TestInstallIsAllOrNothing takes the power away after each operation of an
// installation: the member has its old store or the new one.
func TestInstallIsAllOrNothing(t *testing.T) {
	s, _ := bigGroup(t)
	p := snapshot(t, s)
	o := groupOptions(1000)
	mem := o.FS.(*vfs.Mem)
	old := openFollower(t, o)
	if err := old.SaveMembership(Membership{Cluster: "c", Promised: 1}); err != nil {
		t.Fatal(err)
	}
	st, err := NewStage(o, "g", p.At, p.Segments)
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, p, st, 0)
	m := Membership{Cluster: "c", Promised: 1}
	if _, err := st.Finish(m); err != nil {
		t.Fatal(err)
	}
	node := old.State().Node
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	before := mem.Crash(nil) // what is there lasts
	seen := map[store.Position]int{}
	for op := 0; ; op++ {
		fsys := before.Crash(nil)
		done := 0
		o.FS = vfs.NewFaults(fsys, func(vfs.Op) error {
			if done++; done > op {
				return errors.New("no power")
			}
			return nil
		})
		err := Install(o, m)
		crashed := done > op
		if !crashed && err != nil {
			t.Fatal(err)
		}
		after := fsys.Crash(rand.New(rand.NewSource(int64(op))).Intn)
		o.FS = after
		r := openFollower(t, o)
		got := r.State()
		if got.Node != node || (got.End != 0 && got.End != p.End) || r.Membership().Promised != 1 {
			t.Fatalf("after %d operations: %+v", op, got)
		}
		seen[got.End]++
		names, err := after.ReadDir(o.Dir)
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"meta", "reserve", "snapshot-1"}; got.End == p.End && !slices.Equal(names, want) {
			t.Fatalf("after %d operations: %v, want %v", op, names, want)
		}
		if !crashed {
			break
		}
	}
	if seen[0] < 2 || seen[p.End] < 2 {
		t.Fatalf("ends and how often: %v", seen)
	}
}

func TestStageRefuses(t *testing.T) {
	s, _ := bigGroup(t)
	p := snapshot(t, s)
	o := groupOptions(1000)
	defer openFollower(t, o).Close()
	for _, segs := range [][]SegmentInfo{nil, {{10, 5}}, {{0, 10}, {5, 20}}, {{0, 10}, {15, 20}}, {{0, 3}}} {
		if _, err := NewStage(o, "g", 5, segs); err == nil {
			t.Errorf("segments %v were taken", segs)
		}
	}
	st, err := NewStage(o, "g", p.At, p.Segments)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Abandon()
	if err := st.Write(p.Segments[0].First+1, []byte("x")); err == nil {
		t.Error("a gap was taken")
	}
	if err := st.WriteIndex([]byte{200, 1}); err == nil {
		t.Error("nonsense was taken for the index")
	}
	if _, err := st.Finish(Membership{}); err == nil {
		t.Error("an incomplete snapshot was finished")
	}
	if err := Install(o, Membership{}); err == nil {
		t.Error("an unfinished snapshot was installed")
	}
}
