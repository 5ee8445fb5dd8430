package ha

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"treadmq/store"
)

// churn stores n messages of 2,000 bytes and removes all but every hundredth, so that
// segments die.
func churn(t *testing.T, s *service, n int) {
	t.Helper()
	for i := range n {
		b := &store.Batch{}
		done := make(chan error, 1)
		b.Done = func(_ *store.Batch, err error) { done <- err }
		b.Enqueue(store.Message{Encoded: []byte(fmt.Sprintf("%d%s", i, strings.Repeat("x", 2000)))}, store.NewRef{Dest: 1, Lane: 4})
		if err := s.store.Append(b); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			continue
		}
		r := &store.Batch{}
		r.Remove(store.Ref{Dest: 1, Lane: 4, Seq: b.Seq(0)}, b.Ops[0].Loc)
		if err := s.store.Append(r); err != nil {
			t.Fatal(err)
		}
	}
}

// smallSegments makes a master forget its journal's beginning soon.
func smallSegments(o *Options) {
	o.Store.SegmentSize, o.Store.Retain, o.Store.CompactBelow = 64<<10, 64<<10, -1
	o.SnapshotRate = 20 << 20
}

// TestWiped: a member that comes back with an empty folder gets the store while the master
// goes on, also when it dies in the middle of that; with replace it gets its vote back.
func TestWiped(t *testing.T) {
	g := newGroup(t, 3, memory(), func(o *Options) {
		smallSegments(o)
		o.SnapshotRate = 500 << 10 // so that it can be stopped in between
		o.Replace = true
		o.Timing.Replace = 1 // at once
	})
	m := g.master()
	churn(t, m.serving(), 500)
	eventually(t, "the journal has a gap", func() bool { return m.node.disk.feed.Load().Start() > 0 })
	var gone *member
	for _, x := range g.members {
		if x != m {
			gone = x
		}
	}
	gone.die()
	if err := os.RemoveAll(gone.opt.Store.Dir); err != nil {
		t.Fatal(err)
	}
	churn(t, m.serving(), 100)
	for stop := int64(100 << 10); stop <= 300<<10; stop += 100 << 10 {
		gone.start()
		eventually(t, "the snapshot is on its way", func() bool {
			p := gone.node.Status().Snapshot
			return p != nil && p.Bytes > stop
		})
		gone.die()
	}
	// A file with a name of ours and other contents is no reason to fail.
	tr := g.traffic(2)
	gone.start()
	eventually(t, "the member is a voter again", func() bool {
		for _, x := range m.node.Status().Members {
			if x.Name == gone.opt.Name && x.Voter && x.Present {
				return true
			}
		}
		return false
	})
	tr.more()
	close(tr.quit)
	tr.wg.Wait()
	want := contents(t, m.serving())
	g.same(m)
	m.die()
	next := g.master(m)
	if got := contents(t, next.serving()); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s has %d messages, want %d", next.opt.Name, len(got), len(want))
	}
}
