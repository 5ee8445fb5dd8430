package ha

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"treadmq/store/local"
	"treadmq/store/vfs"
)

// TestFullDisk: a follower whose disk is full is left behind and says so; when there is room it
// follows again, and its vote is counted meanwhile.
func TestFullDisk(t *testing.T) {
	var full atomic.Pointer[string] // folder whose disk has no room
	g := newGroup(t, 3, memory(), func(o *Options) {
		o.Store.SegmentSize = 64 << 10
		dir := o.Store.Dir
		o.Store.FS = vfs.NewFaults(vfs.OS{}, func(op vfs.Op) error {
			if at := full.Load(); at != nil && *at == dir && strings.HasSuffix(op.Name, ".log") && (op.Kind == vfs.OpAllocate || op.Kind == vfs.OpCreate) {
				return syscall.ENOSPC
			}
			return nil
		})
	})
	m := g.master()
	eventually(t, "three voters", func() bool { return voters(m) == "abc" })
	x := g.members[(slices.Index(g.members, m)+1)%3]
	full.Store(&x.opt.Store.Dir)
	churn(t, m.serving(), 100) // needs new segments
	eventually(t, "it says that its disk is full", func() bool {
		for _, a := range x.node.Status().Alarms {
			if strings.Contains(a.Text.Text, "make room") {
				return true
			}
		}
		return false
	})
	churn(t, m.serving(), 10)
	full.Store(nil)
	g.same(m)
	if s := x.node.Status(); s.State != "healthy" {
		t.Errorf("it is %s", s.State)
	}
}

// TestSameIndex: members that were stopped hold the same index, by their digests.
func TestSameIndex(t *testing.T) {
	g := newGroup(t, 3, memory(), func(o *Options) { o.Store.SegmentSize = 64 << 10 })
	m := g.master()
	eventually(t, "three voters", func() bool { return voters(m) == "abc" })
	churn(t, m.serving(), 200)
	m.die()
	next := g.master(m)
	m.start()
	churn(t, next.serving(), 100)
	g.same(next)
	var want local.Report
	for _, x := range append(slices.DeleteFunc(slices.Clone(g.members), func(x *member) bool { return x == next }), next) {
		x.end() // the master last, so that nobody else becomes one
	}
	for i, x := range g.members {
		r, err := local.Check(vfs.OS{}, x.opt.Store.Dir, io.Discard)
		if err != nil || r.Problems != 0 || r.Digest == "" {
			t.Fatalf("%s: %+v, %v", x.opt.Name, r, err)
		}
		if i == 0 {
			want = r
		}
		if r.Digest != want.Digest || r.Applied != want.Applied {
			t.Errorf("%s: digest %s at %d, %s has %s at %d", filepath.Base(x.opt.Store.Dir), r.Digest, r.Applied, g.members[0].opt.Name, want.Digest, want.Applied)
		}
	}
}
