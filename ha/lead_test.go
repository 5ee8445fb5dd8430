package ha

import (
	"context"
	"math"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"treadmq/ha/coord"
	"treadmq/ha/replica"
	"treadmq/store"
	"treadmq/store/local"
	"treadmq/store/vfs"
)

// aloneOptions is the options of a group of one whose member the test drives.
func aloneOptions(t *testing.T) Options {
	return Options{BrokerName: "broker", Name: "a", Bind: "tcp://127.0.0.1:0", Replicas: 1, Coordinator: &coord.Memory{}, Log: testLog(t),
		Store: local.Options{Dir: t.TempDir(), SegmentSize: 1 << 20, DiskReserve: 1 << 20, CheckpointInterval: 50 * time.Millisecond}}
}

// TestServeBeforeLeadReturns: what is committed may be in the index, and the core may be told
// so, before Lead has returned: the order to serve that comes then is not lost.
func TestServeBeforeLeadReturns(t *testing.T) {
	o := aloneOptions(t)
	served := make(chan store.Epoch, 1)
	o.Serve = func(s *local.Store, e store.Epoch) (Service, error) {
		served <- e
		return &service{store: s, epoch: e, stopped: make(chan struct{})}, nil
	}
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	d := n.disk
	go d.applier.run()
	if !d.save(local.Membership{Promised: 1}) {
		t.Fatal("the promise was not saved")
	}
	before := d.member.Applied()
	g := newGate(func() {})
	g.begin(1, 1)
	d.do(leadTask{replica.Lead{Op: 1, Epoch: 1}, g})
	g.commit(1 << 40)
	eventually(t, "the epoch's start is in the index", func() bool { return d.member.Applied() > before })
	d.do(replica.Serve{Epoch: 1})
	select {
	case e := <-served:
		if e != 1 {
			t.Errorf("served in epoch %d", e)
		}
	default:
		t.Error("the new master does not serve")
	}
	g.depose()
	d.do(stopTask{"the test ends"})
	n.port.listener.Close()
}

// fullIndex starts a group of one whose index cannot be written once it is to become master: the
// first times times, or always.
func fullIndex(t *testing.T, times int64) *member {
	var full atomic.Int64
	o := aloneOptions(t)
	o.Store.FS = vfs.NewFaults(vfs.OS{}, func(op vfs.Op) error {
		if op.Kind == vfs.OpWrite && strings.Contains(op.Name, "index") && strings.HasSuffix(op.Name, ".log") && full.Add(-1) >= 0 {
			return syscall.ENOSPC
		}
		return nil
	})
	m := &member{t: t, opt: o}
	m.opt.Serve = m.serve
	n, err := New(m.opt)
	if err != nil {
		t.Fatal(err)
	}
	full.Store(times)
	ctx, stop := context.WithCancel(t.Context())
	m.node, m.done, m.stop = n, make(chan error, 1), stop
	go func() { m.done <- n.Run(ctx) }()
	return m
}

// TestMasterUsesTheReserve: a member that wins and has no room for its index gives the disk's reserve up and serves.
func TestMasterUsesTheReserve(t *testing.T) {
	m := fullIndex(t, 1)
	eventually(t, "it serves", func() bool { return m.serving() != nil })
	if err := m.end(); err != nil {
		t.Error(err)
	}
}

// TestMasterWithoutRoom: a member that wins and has no room at all ends, so that another one takes over;
// it does not stay master of a group that nobody serves.
func TestMasterWithoutRoom(t *testing.T) {
	m := fullIndex(t, math.MaxInt64)
	if err := m.wait(); err == nil || !strings.Contains(err.Error(), "did not get ready") {
		t.Fatalf("it ended with %v", err)
	}
	if m.serving() != nil {
		t.Error("it serves")
	}
}
