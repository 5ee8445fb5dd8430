package sim

import (
	"fmt"

	"slices"
	"time"

	"treadmq/ha/internal/mutate"
	"treadmq/ha/replica"
)

func dur(ns int64) time.Duration { return time.Duration(ns) }

type fault uint8

// Faults. Each seed gives each a weight, many of them none: rare combinations come up
// when few kinds are frequent.
const (
	fKill fault = iota
	fPower
	fPowerAll
	fPause
	fCutOne // one direction
	fCutBoth
	fIsolate
	fHeal
	fReset
	fCoordCut
	fCoordHeal
	fCoordDown
	fExpire
	fElect
	fHandover
	fVoters
	fWipe
	fFlip
	fFull
	fClock
	fCoordWipe
	faults
)

// setUp makes the machines and starts them.
func (w *World) setUp() {
	s := &w.swarm
	for i := range w.opt.Nodes + s.spare {
		n := &node{slot: i}
		n.newDisk()
		w.nodes = append(w.nodes, n)
	}
	if s.founded {
		w.found()
	}
	for i, n := range w.nodes {
		w.at(w.between(0, 50e6), kRestart, n)
		if i >= w.opt.Nodes && !s.founded {
			break
		}
	}
	w.at(w.between(100e6, 500e6), kPropose, nil)
	w.at(w.between(500e6, 1500e6), kNemesis, nil)
}

// found begins with a group that exists already, to save the steps.
func (w *World) found() {
	r := &replica.Register{Cluster: "c", Group: "g", BrokerName: "b", Replicas: w.opt.Nodes, Feature: 1, Epoch: 1}
	for _, n := range w.nodes[:w.opt.Nodes] {
		r.Voters = append(r.Voters, w.voter(n))
	}
	w.zk.reg, w.zk.version = r, 1
}

func (w *World) voter(n *node) replica.Voter {
	name := fmt.Sprintf("m%d", n.slot)
	return replica.Voter{ID: n.disk.id, Name: name, Addr: name, Weight: n.slot % 3}
}

// nemesis does one of the faults that the seed drew.
func (w *World) nemesis() {
	if w.calm {
		return
	}
	w.at(w.now+w.between(w.swarm.faultEvery/4, w.swarm.faultEvery*2), kNemesis, nil)
	sum := 0
	for _, x := range w.swarm.weights {
		sum += x
	}
	k := w.rnd.IntN(sum)
	for f, x := range w.swarm.weights {
		if k -= x; k < 0 {
			w.inject(fault(f), w.nodes[w.rnd.IntN(len(w.nodes))])
			return
		}
	}
}

func (w *World) inject(f fault, n *node) {
	w.trace("FAULT %d %s", f, n.disk.id)
	switch f {
	case fKill:
		w.crash(n, false)
		w.at(w.now+w.between(50e6, 3e9), kRestart, n)
	case fPower:
		if w.swarm.mode.Volatile() && !w.mayDamage(n) {
			return
		}
		w.crash(n, true)
		w.at(w.now+w.between(50e6, 3e9), kRestart, n)
	case fPowerAll:
		w.powerAll()
	case fPause:
		if n.up && !n.paused {
			n.paused = true
			if n.session != 0 {
				w.sessionSilent(n)
			}
			e := w.at(w.now+w.between(50e6, 12e9), kResume, n)
			e.kind = kResume
		}
	case fCutOne, fCutBoth:
		o := w.nodes[w.rnd.IntN(len(w.nodes))]
		if o != n {
			w.cut[n.slot][o.slot] = true
			w.cut[o.slot][n.slot] = w.cut[o.slot][n.slot] || f == fCutBoth
			w.reachChanged()
		}
	case fIsolate:
		for _, o := range w.nodes {
			if o != n {
				w.cut[n.slot][o.slot], w.cut[o.slot][n.slot] = true, true
			}
		}
		w.reachChanged()
	case fHeal:
		w.cut = [maxNodes][maxNodes]bool{}
		w.reachChanged()
	case fReset:
		if len(w.conns) > 0 {
			w.reset(w.conns[w.rnd.IntN(len(w.conns))])
		}
	default:
		w.injectCoord(f, n)
	}
}

func (w *World) injectCoord(f fault, n *node) {
	switch f {
	case fCoordCut:
		w.cutCoord(n)
	case fCoordHeal:
		w.zk.down = false
		for _, o := range w.nodes {
			o.cutOff = false
			w.readSoon(o, w.coordDelay())
		}
	case fCoordDown:
		w.zk.down = true
	case fExpire:
		if n.session != 0 {
			w.expire(n.session)
			w.readSoon(n, w.coordDelay())
		}
	case fElect:
		if n.up {
			w.deliver(n, 0, replica.Order{ID: 1, Command: replica.Elect{}})
		}
	case fHandover:
		w.orderMaster(func(m *node) replica.Command { return replica.Handover{To: n.disk.id} })
	case fVoters:
		w.orderVoters()
	case fWipe:
		w.wipe(n)
	case fFlip:
		w.flip(n)
	case fFull:
		n.noRoom = !n.noRoom
		if n.up {
			w.deliver(n, 0, replica.DiskSpace{Full: n.noRoom})
		}
	case fClock:
		n.skew += w.between(0, 20e9)
	case fCoordWipe:
		w.wipeCoord()
	}
}

func (w *World) cutCoord(n *node) {
	if n.cutOff {
		return
	}
	n.cutOff = true
	if n.up && n.session != 0 {
		n.replyAt = max(n.replyAt, w.now+w.between(10e6, 1e9)) // before any view that shows the end of it
		w.at(n.replyAt, kDeliver, n).ev = replica.Suspended{Session: n.session}
		w.sessionSilent(n)
	}
}

func (w *World) powerAll() {
	if w.swarm.mode.Volatile() {
		return // takes acknowledged messages in these modes, as documented
	}
	for _, n := range w.nodes {
		w.crash(n, true)
		w.at(w.now+w.between(50e6, 3e9), kRestart, n)
	}
}

// mayDamage says whether one more voter may lose what it acknowledged: no protocol
// survives the loss of more than a minority.
func (w *World) mayDamage(n *node) bool {
	r := w.zk.reg
	if r == nil || w.swarm.wipedCoord {
		return false
	}
	lost := 1
	for i := range r.Voters {
		o := w.byID(r.Voters[i].ID)
		if o == nil || o.damaged && o != n {
			lost++
		}
	}
	return lost <= len(r.Voters)-r.Quorum() && !w.changing()
}

// changing says that voters may be changing.
func (w *World) changing() bool {
	for _, n := range w.nodes {
		if n.lead != 0 && n.paused2 {
			return true
		}
	}
	return false
}

// wipe replaces a machine's disk by an empty one.
func (w *World) wipe(n *node) {
	if !w.mayDamage(n) {
		return
	}
	w.crash(n, true)
	w.stats.Wipes++
	id, meta := n.disk.id, n.disk.meta
	n.lost++
	n.newDisk()
	n.damaged = false // it is another node; the voter is gone
	if w.opt.Broken.Has(mutate.WipedVotes) {
		n.disk.id = id
		n.disk.meta.Cluster = meta.Cluster
	}
	w.at(w.now+w.between(50e6, 3e9), kRestart, n)
}

// flip damages a disk, which its node finds out.
func (w *World) flip(n *node) {
	if !w.mayDamage(n) || len(n.disk.log) == 0 || n.damaged {
		return
	}
	w.stats.Flips++
	n.damaged = true
	d := n.disk
	if n.up && w.chance(0.5) {
		w.deliver(n, 0, replica.Damaged{Text: "a flipped bit"})
		return
	}
	w.crash(n, false)
	at := w.rnd.IntN(len(d.log))
	d.truncate(at) // nothing behind it can be trusted
	d.applied, d.tail = min(d.applied, at), min(d.tail, at)
	d.meta.Corrupt = true
	w.at(w.now+w.between(50e6, 3e9), kRestart, n)
}

// wipeCoord empties the coordination service. Only an operator can help.
func (w *World) wipeCoord() {
	if w.opt.Broken.Has(mutate.IgnoreForeign) {
		// a machine without data founds a new group, which the others join
	} else if w.stats.Wipes > 0 || slices.ContainsFunc(w.nodes, func(n *node) bool { return n.disk.meta.Cluster == "" }) {
		return // machines without data would rightly found a new group
	}
	w.swarm.wipedCoord = true
	z := &w.zk
	for s := replica.SessionID(1); s <= z.sessions; s++ {
		if !slices.Contains(z.dead, s) {
			z.dead = append(z.dead, s)
		}
	}
	z.reg, z.version, z.lease, z.holder, z.members, z.marks = nil, 0, nil, 0, nil, nil
	w.notify()
	z.old = [staleViews]*replica.View{}
	w.stats.Expiries++
}

func (w *World) orderMaster(cmd func(*node) replica.Command) {
	for _, m := range w.nodes {
		if m.up && m.serving {
			w.deliver(m, 0, replica.Order{ID: 2, Command: cmd(m)})
			return
		}
	}
}

// orderVoters asks the master for other voters: some of the machines, in other number now and then.
func (w *World) orderVoters() {
	r := w.zk.reg
	if r == nil || w.anyDamage(r) && w.opt.Broken == 0 {
		return
	}
	w.orderMaster(func(m *node) replica.Command {
		replicas := r.Replicas
		if w.chance(0.3) {
			replicas = []int{3, 5}[w.rnd.IntN(2)]
		}
		perm := w.rnd.Perm(len(w.nodes))
		voters := []replica.Voter{w.voter(m)}
		for _, i := range perm {
			if n := w.nodes[i]; n != m && len(voters) < replicas {
				voters = append(voters, w.voter(n))
			}
		}
		if len(voters) <= replicas/2 {
			replicas = r.Replicas
			voters = voters[:min(len(voters), replicas)]
		}
		return replica.SetVoters{Voters: voters, Replicas: replicas}
	})
}

func (w *World) anyDamage(r *replica.Register) bool {
	return slices.ContainsFunc(r.Voters, func(v replica.Voter) bool {
		n := w.byID(v.ID)
		return n == nil || n.damaged
	})
}

func (w *World) reachChanged() {
	for _, n := range w.nodes {
		if n.up {
			w.tellReach(n)
		}
	}
}

// tellReach tells a node who answers its pings.
func (w *World) tellReach(n *node) {
	var ids []replica.NodeID
	for _, o := range w.nodes {
		if o != n && o.up && !w.cut[n.slot][o.slot] && !w.cut[o.slot][n.slot] {
			ids = append(ids, o.disk.id)
		}
	}
	w.deliver(n, w.between(50e6, 400e6), replica.Reachable{Nodes: ids})
}
