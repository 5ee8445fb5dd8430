//go:build faults && linux

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"treadmq/admin"
	"treadmq/ha/zk/zktest"
	"treadmq/scripts/internal/history"
)

const (
	zkNodes     = 3
	session     = 2 * time.Second // zkSessionTimeout
	recoverTime = 2 * time.Minute // ends a run that hangs
	poll        = 50 * time.Millisecond
)

// world is a group with its ZooKeeper and what is known of it.
type world struct {
	dir     string
	rand    *rand.Rand
	log     *history.Recorder
	net     *network
	zkHosts []*host
	zk      *zktest.Ensemble // nil for a broker alone
	members []*member
	jumps   bool // clocks may jump: nothing is said of times
}

// newWorld starts a group of so many members.
func newWorld(ctx context.Context, dir, binary string, nodes int, r *rand.Rand) (*world, error) {
	w := &world{dir: dir, rand: r, log: history.NewRecorder()}
	var hosts []*host
	for i := range zkNodes {
		w.zkHosts = append(w.zkHosts, &host{fmt.Sprint("z", i+1), i + 1})
	}
	hosts = append(hosts, w.zkHosts...)
	for i := range nodes {
		h := host{fmt.Sprint("b", i+1), i + 11}
		m := &member{host: h, binary: binary, dir: filepath.Join(dir, h.name)}
		w.members = append(w.members, m)
		hosts = append(hosts, &m.host)
	}
	var err error
	if w.net, err = newNetwork(hosts); err != nil {
		return w, err
	}
	if nodes > 1 {
		w.zk, err = zktest.Start(ctx, zktest.Options{Dir: dir, Nodes: zkNodes, Place: func(i int) (string, []string) {
			return w.zkHosts[i].ip(), w.zkHosts[i].prefix()
		}})
		if err != nil {
			return w, err
		}
	}
	for _, m := range w.members {
		m.args = w.settings(m)
		if err := m.install(); err != nil {
			return w, err
		}
		if err := m.start(); err != nil {
			return w, err
		}
	}
	return w, w.recovered(ctx)
}

// settings are a member's. Files and the kept tail are small, so that their ends are met often.
func (w *world) settings(m *member) []string {
	set := []string{
		"brokerName=faults", "store.segmentSize=1MiB", "store.tailLimit=1MiB", "store.checkpointInterval=20ms",
		"store.diskReserve=4MiB", "store.minFreeDisk=8MiB",
	}
	if w.zk != nil {
		const p = "persistence.replicatedLevelDB."
		set = append(set, p+"replicas="+fmt.Sprint(len(w.members)), p+"bind=tcp://0.0.0.0:"+memberPort, p+"hostname="+m.ip(), p+"name="+m.name,
			p+"zkAddress="+strings.Join(w.zk.Addrs(), ","), p+"zkPassword=password", p+"zkSessionTimeout="+session.String(), p+"securityToken=token")
	}
	var args []string
	for _, s := range set {
		args = append(args, "--set", s)
	}
	return args
}

// close ends all processes and removes the machines and their disks.
func (w *world) close() {
	for _, m := range w.members {
		m.kill()
		_ = unix.Unmount(m.disk(), unix.MNT_DETACH) // it goes with our own namespace at the latest
	}
	if w.zk != nil {
		w.zk.Close()
	}
	if w.net != nil {
		w.net.close()
	}
}

// url is where clients connect to.
func (w *world) url() string {
	var all []string
	for _, m := range w.members {
		all = append(all, "tcp://"+m.ip()+":"+stompPort)
	}
	return "failover:(" + strings.Join(all, ",") + ")?initialReconnectDelay=50&maxReconnectDelay=300&nested.connectionTimeout=1000"
}

// due is how long a message that was put off may not come.
func (w *world) due(d time.Duration) time.Duration {
	if w.jumps {
		return 0
	}
	return d
}

// master returns the member that serves clients, that of the newest epoch if there are several; nil if none does.
func (w *world) master() *member {
	var found *member
	var newest uint64
	for _, m := range w.members {
		if epoch, ok := m.epoch(); ok && (found == nil || epoch > newest) {
			found, newest = m, epoch
		}
	}
	return found
}

// others are all members but one, in random order.
func (w *world) others(than *member) []*member {
	var l []*member
	for _, i := range w.rand.Perm(len(w.members)) {
		if m := w.members[i]; m != than {
			l = append(l, m)
		}
	}
	return l
}

// awaitMaster waits until some member serves clients.
func (w *world) awaitMaster(ctx context.Context) (*member, error) {
	for {
		if m := w.master(); m != nil {
			return m, nil
		}
		if err := nap(ctx, poll); err != nil {
			return nil, errors.Join(errors.New("no member serves clients"), err)
		}
	}
}

// nap waits, unless ctx ends.
func nap(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// recovered waits until the group is whole again: a master serves, and all others are voters that follow it and have
// all that it has, but for what is under way.
func (w *world) recovered(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	for {
		why := w.ailing()
		if why == "" {
			for _, m := range w.members {
				m.well()
			}
			return nil
		}
		if err := w.revive(); err != nil {
			return err
		}
		if err := nap(ctx, poll); err != nil {
			return fmt.Errorf("the group did not recover within %v of the end of the fault: %s\n%s", recoverTime, why, w.describe())
		}
	}
}

// revive starts what has ended: by a fault, or by itself, which is judged elsewhere.
func (w *world) revive() error {
	for _, m := range w.members {
		if !m.there() {
			if err := m.start(); err != nil {
				return err
			}
		}
	}
	return nil
}

// lagAllowed is what a follower that keeps up may lack.
const lagAllowed = 256 << 10

// ailing says what is not in order, "" if all is.
func (w *world) ailing() string {
	m := w.master()
	if m == nil {
		return "no member serves clients"
	}
	if w.zk == nil {
		return ""
	}
	s, err := m.status()
	if err != nil {
		return err.Error()
	}
	if s.Role != admin.MemberMaster {
		return fmt.Sprintf("%s serves clients and says that it is %s", m.name, s.Role)
	}
	voters := 0
	for _, x := range s.Members {
		if !x.Voter {
			continue
		}
		voters++
		switch {
		case !x.Present && !x.Self:
			return x.Name + " is absent"
		case x.Role != admin.MemberFollower && x.Role != admin.MemberMaster:
			return fmt.Sprintf("%s is %s", x.Name, x.Role)
		case x.Health != "" && x.Health != "healthy":
			return fmt.Sprintf("%s is %s", x.Name, x.Health)
		case !x.Self && (x.Lag == nil || *x.Lag > lagAllowed):
			return x.Name + " lags behind"
		}
	}
	if voters != len(w.members) {
		return fmt.Sprintf("%d of %d members vote", voters, len(w.members))
	}
	return ""
}

// describe tells what every member says of itself.
func (w *world) describe() string {
	var b strings.Builder
	for _, m := range w.members {
		s, err := m.status()
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", m.name, err)
			continue
		}
		fmt.Fprintf(&b, "%s: %s %s, epoch %d, promised %d, master %s, end %d, committed %d, applied %d, alarms %q\n",
			m.name, s.Role, s.Why, s.Epoch, s.Promised, s.Master, s.End, s.Committed, s.Applied, s.Alarms)
		for _, x := range s.Members {
			fmt.Fprintf(&b, "  %s: %s voter %t present %t %s\n", x.Name, x.Role, x.Voter, x.Present, x.Health)
		}
	}
	return b.String()
}

// heal undoes all faults: nothing is cut, full, paused or stopped any more.
func (w *world) heal(ctx context.Context) error {
	errs := []error{w.net.heal()}
	if w.zk != nil {
		for i, s := range w.zk.Servers {
			if s.Running() {
				errs = append(errs, s.Resume())
			} else if err := s.StartOnly(); err != nil {
				errs = append(errs, fmt.Errorf("start ZooKeeper %d: %w", i+1, err))
			}
		}
	}
	for _, m := range w.members {
		if err := m.free(); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		errs = append(errs, m.jump(0))
		if m.there() {
			m.resume()
		} else {
			errs = append(errs, m.start())
		}
	}
	return errors.Join(errs...)
}

// rest waits until all members have the same, and stops them: the master last, so that no other is elected.
func (w *world) rest(ctx context.Context) error {
	for w.zk != nil {
		same := true
		var end uint64
		for i, m := range w.members {
			s, err := m.status()
			if err != nil {
				return err
			}
			if i == 0 {
				end = s.End
			}
			same = same && s.End == end && s.Committed == end
		}
		if same {
			break
		}
		if err := nap(ctx, poll); err != nil {
			return fmt.Errorf("not all members have the same: %w\n%s", err, w.describe())
		}
	}
	master := w.master()
	var errs []error
	for _, m := range append(w.others(master), master) {
		if m != nil {
			errs = append(errs, m.stop())
		}
	}
	return errors.Join(errs...)
}
