package ha

import (
	"slices"
	"sync/atomic"
	"testing"

	"treadmq/ha/replica"
	"treadmq/store/vfs"
)

// disks are those of a group's machines, in memory: with the power goes what was not synced.
type disks struct {
	of   map[string]*vfs.Mem
	boot map[string]string
	hold atomic.Pointer[string] // member whose syncs wait
	free chan struct{}          // closed: they go on
}

// use gives a member the disk of its machine.
func (d *disks) use(o *Options) {
	name := o.Name
	if d.of[name] == nil {
		d.of[name], d.boot[name] = vfs.NewMem(), "first"
	}
	o.Store.Dir, o.Store.BootID, o.Store.FS = "/store", d.boot[name], vfs.NewFaults(d.of[name], func(op vfs.Op) error {
		if at := d.hold.Load(); op.Kind == vfs.OpSync && at != nil && *at == name {
			<-d.free
		}
		return nil
	})
}

// TestPowerLossInMemoryMode: a member acknowledged in memory and its machine lost power. It is suspect: with
// the one that never had the message it elects nobody, though they are two of three. When the master is back,
// who has it, the group goes on with all that was acknowledged.
func TestPowerLossInMemoryMode(t *testing.T) {
	d := &disks{of: map[string]*vfs.Mem{}, boot: map[string]string{}, free: make(chan struct{})}
	g := newGroup(t, 3, memory(), func(o *Options) {
		o.Sync = replica.QuorumMem
		o.Timing.ClaimWait = 1 // a quorum of promises is acted on at once
		d.use(o)
	})
	m := g.master()
	eventually(t, "three voters", func() bool { return voters(m) == "abc" })
	if err := send(m.serving(), "to all"); err != nil {
		t.Fatal(err)
	}
	g.same(m)
	i := slices.Index(g.members, m)
	x, y := g.members[(i+1)%3], g.members[(i+2)%3]
	y.die()
	d.hold.Store(&x.opt.Name)
	if err := send(m.serving(), "in two memories"); err != nil {
		t.Fatal(err)
	}
	after := d.of[x.opt.Name].Crash(nil) // the power goes here
	d.hold.Store(nil)
	close(d.free)
	x.die()
	m.die()

	d.of[x.opt.Name], d.boot[x.opt.Name] = after, "second"
	d.use(&x.opt)
	y.start()
	x.start()
	eventually(t, "two of three have promised the new epoch, one of them a suspect", func() bool {
		s := y.node.Status()
		n, suspect := 0, false
		for _, o := range s.Members {
			if o.Present && s.Epoch > 1 && o.Promised == s.Epoch {
				n, suspect = n+1, suspect || o.State == "suspect"
			}
		}
		return n == 2 && suspect
	})
	if x.serving() != nil || y.serving() != nil {
		t.Fatal("a suspect member's vote was counted")
	}
	m.start()
	if got := contents(t, g.master().serving()); !slices.Equal(got, []string{"to all", "in two memories"}) {
		t.Errorf("after the master came back: %q", got)
	}
	eventually(t, "the member votes again", func() bool { return x.node.Status().State == "healthy" })
}
