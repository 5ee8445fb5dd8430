//go:build faults && linux

package faults

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"treadmq/ha/zk/zktest"
)

// fault is something that is done to a group. It begins with a healthy group, ends when the fault is
// in effect for long enough, and leaves healing to the world.
type fault struct {
	name string
	do   func(ctx context.Context, w *world, master *member) error
}

// Times of faults.
const (
	longer  = 2 * session             // longer than a ZooKeeper session
	shorter = 1500 * time.Millisecond // shorter than one, longer than members stay patient
)

func faults() []fault {
	return []fault{
		{"kill-master", func(ctx context.Context, w *world, m *member) error {
			m.kill()
			return w.between(ctx, 0, 3*time.Second)
		}},
		{"kill-follower", func(ctx context.Context, w *world, m *member) error {
			w.others(m)[0].kill()
			return w.between(ctx, 0, 3*time.Second)
		}},
		{"kill-all", killAll},
		{"pause-master", func(ctx context.Context, w *world, m *member) error { m.pause(); return nap(ctx, longer) }},
		{"pause-master-shortly", func(ctx context.Context, w *world, m *member) error { m.pause(); return w.between(ctx, 0, shorter) }},
		{"pause-follower", func(ctx context.Context, w *world, m *member) error { w.others(m)[0].pause(); return nap(ctx, longer) }},
		{"pause-followers", func(ctx context.Context, w *world, m *member) error {
			for _, x := range w.others(m) {
				x.pause()
			}
			return w.between(ctx, shorter, longer)
		}},
		{"cut-followers", func(ctx context.Context, w *world, m *member) error {
			return w.cut(ctx, longer, m, hosts(w.others(m)), true, true)
		}},
		{"cut-zookeeper", func(ctx context.Context, w *world, m *member) error {
			return w.cut(ctx, longer, m, w.zkHosts, true, true)
		}},
		{"isolate-master", func(ctx context.Context, w *world, m *member) error {
			return w.cut(ctx, longer, m, append(hosts(w.others(m)), w.zkHosts...), true, true)
		}},
		{"isolate-follower", func(ctx context.Context, w *world, m *member) error {
			f := w.others(m)[0]
			return w.cut(ctx, longer, f, append(hosts(w.others(f)), w.zkHosts...), true, true)
		}},
		{"deaf-to-followers", func(ctx context.Context, w *world, m *member) error {
			return w.cut(ctx, longer, m, hosts(w.others(m)), false, true)
		}},
		{"mute-to-followers", func(ctx context.Context, w *world, m *member) error {
			return w.cut(ctx, longer, m, hosts(w.others(m)), true, false)
		}},
		{"deaf-to-zookeeper", func(ctx context.Context, w *world, m *member) error {
			return w.cut(ctx, longer, m, w.zkHosts, false, true)
		}},
		{"mute-to-zookeeper", func(ctx context.Context, w *world, m *member) error {
			return w.cut(ctx, longer, m, w.zkHosts, true, false)
		}},
		{"cut-one-link", func(ctx context.Context, w *world, m *member) error {
			return w.cut(ctx, longer, m, hosts(w.others(m)[:1]), true, true)
		}},
		{"full-partition", fullPartition},
		{"flapping", flapping},
		{"zookeeper-leader", func(ctx context.Context, w *world, _ *member) error {
			if i := w.zk.Leader(); i >= 0 {
				w.zk.Servers[i].Kill()
			}
			return w.between(ctx, shorter, longer)
		}},
		{"zookeeper-gone", func(ctx context.Context, w *world, _ *member) error {
			w.zk.Close()
			return nap(ctx, longer)
		}},
		{"zookeeper-paused", func(ctx context.Context, w *world, _ *member) error {
			return w.eachZooKeeper(ctx, longer, (*zktest.Server).Pause)
		}},
		{"zookeeper-gone-kill-master", func(ctx context.Context, w *world, m *member) error {
			w.zk.Close()
			m.kill()
			return nap(ctx, longer)
		}},
		{"disk-full-master", func(ctx context.Context, w *world, m *member) error { return diskFull(ctx, w, m) }},
		{"disk-full-follower", func(ctx context.Context, w *world, m *member) error { return diskFull(ctx, w, w.others(m)[0]) }},
		{"sync-fails-follower", func(ctx context.Context, w *world, m *member) error { return syncFails(ctx, w, w.others(m)[0]) }},
		{"sync-fails-master", func(ctx context.Context, w *world, m *member) error { return syncFails(ctx, w, m) }},
		{"wipe-follower", func(ctx context.Context, w *world, m *member) error { return wipe(ctx, w, w.others(m)[0]) }},
		{"wipe-master", func(ctx context.Context, w *world, m *member) error { return wipe(ctx, w, m) }},
		{"wipe-and-kill", wipeAndKill},
		{"flip-segment", flipSegment},
		{"cut-tail", cutTail},
		{"slow-disk", slowDisk},
		{"zookeeper-rolling", zookeeperRolling},
		{"voter-leaves", voterLeaves},
		{"clock-jump", clockJump},
		{"rolling-restart", rolling},
		{"handover", handover},
	}
}

// named are the faults with these names, comma separated; all if there are none.
func named(names string) ([]fault, error) {
	if names == "" {
		return faults(), nil
	}
	var l []fault
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, f := range faults() {
			if f.name == name {
				l, found = append(l, f), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no fault %q", name)
		}
	}
	return l, nil
}

// between waits for a random time.
func (w *world) between(ctx context.Context, from, to time.Duration) error {
	return nap(ctx, from+time.Duration(w.rand.Int64N(int64(to-from))))
}

func hosts(members []*member) (l []*host) {
	for _, m := range members {
		l = append(l, &m.host)
	}
	return l
}

// cut loses what a member sends to (out) or gets from (in) some machines, and waits.
func (w *world) cut(ctx context.Context, d time.Duration, m *member, from []*host, out, in bool) error {
	for _, h := range from {
		if out {
			if err := w.net.cutOff(&m.host, h); err != nil {
				return err
			}
		}
		if in {
			if err := w.net.cutOff(h, &m.host); err != nil {
				return err
			}
		}
	}
	return nap(ctx, d)
}

func (w *world) eachZooKeeper(ctx context.Context, d time.Duration, f func(*zktest.Server) error) error {
	for _, s := range w.zk.Servers {
		if err := f(s); err != nil {
			return err
		}
	}
	return nap(ctx, d)
}

func killAll(ctx context.Context, w *world, _ *member) error {
	for _, m := range w.others(nil) {
		m.signal(9, true) // at about the same time
	}
	for _, m := range w.members {
		m.kill()
	}
	return w.between(ctx, 0, longer)
}

func fullPartition(ctx context.Context, w *world, _ *member) error {
	for _, m := range w.members {
		if err := w.cut(ctx, 0, m, hosts(w.others(m)), true, false); err != nil {
			return err
		}
	}
	return nap(ctx, longer)
}

// flapping cuts the master from others again and again.
func flapping(ctx context.Context, w *world, m *member) error {
	from := hosts(w.others(m))
	if w.rand.IntN(2) == 0 {
		from = w.zkHosts
	}
	for range 3 + w.rand.IntN(4) {
		if err := w.cut(ctx, 0, m, from, true, true); err != nil {
			return err
		}
		if err := w.between(ctx, 200*time.Millisecond, 2*time.Second); err != nil {
			return err
		}
		if err := w.net.heal(); err != nil {
			return err
		}
		if err := w.between(ctx, 200*time.Millisecond, time.Second); err != nil {
			return err
		}
	}
	return nil
}

func diskFull(ctx context.Context, w *world, m *member) error {
	if err := m.ballast(); err != nil {
		return err
	}
	m.mayStop()
	return w.between(ctx, shorter, longer)
}

// syncFails restarts a member on a disk whose syncs fail from a moment on: it must end by itself, and come back.
func syncFails(ctx context.Context, w *world, m *member) error {
	m.kill()
	if err := m.start("--store-fault", "sync@.log:"+strconv.Itoa(20+w.rand.IntN(300))+"+:EIO"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for m.there() {
		if nap(ctx, poll) != nil {
			m.kill() // too few syncs for it
		}
	}
	return nil
}

func wipe(ctx context.Context, w *world, m *member) error {
	m.kill()
	if err := m.wipe(); err != nil {
		return err
	}
	return w.between(ctx, 0, shorter)
}

// wipeAndKill kills a member, or the master, while the member gets a copy of the store.
func wipeAndKill(ctx context.Context, w *world, m *member) error {
	f := w.others(m)[0]
	f.kill()
	if err := f.wipe(); err != nil {
		return err
	}
	if err := f.start(); err != nil {
		return err
	}
	if err := w.between(ctx, 200*time.Millisecond, shorter); err != nil {
		return err
	}
	if w.rand.IntN(2) == 0 {
		f.kill()
	} else {
		m.kill()
	}
	return nil
}

// clockJump sets clocks off. Not far ahead: what is put off by such a clock would come then.
func clockJump(ctx context.Context, w *world, m *member) error {
	if err := m.jump(-24 * time.Hour); err != nil {
		return err
	}
	if err := w.others(m)[0].jump(3 * time.Second); err != nil {
		return err
	}
	if err := w.between(ctx, shorter, longer); err != nil {
		return err
	}
	return m.jump(3 * time.Second)
}

// rolling restarts all members in order, one after the other.
func rolling(ctx context.Context, w *world, _ *member) error {
	for _, m := range w.others(nil) {
		if err := m.stop(); err != nil {
			return err
		}
		if err := m.start(); err != nil {
			return err
		}
		if err := w.recovered(ctx); err != nil {
			return err
		}
	}
	return nil
}

// handover asks the master to pass mastership on.
func handover(ctx context.Context, w *world, m *member) error {
	return m.order(ctx, "handover", `{"to":"`+w.others(m)[0].name+`"}`)
}

// order gives a member an operator's command.
func (m *member) order(ctx context.Context, what, body string) error {
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+net.JoinHostPort(m.ip(), consolePort)+"/api/v1/cluster/"+what, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth(login, passcode)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var b bytes.Buffer
		_, _ = b.ReadFrom(resp.Body)
		return fmt.Errorf("%s %s at %s: %s: %s", what, body, m.name, resp.Status, b.String())
	}
	return nil
}
