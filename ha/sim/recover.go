package sim

import (
	"fmt"
	"time"

	"treadmq/ha/replica"
)

// recoverAll heals everything and demands that the group works again: a master that
// commits something new, on the same log everywhere.
func (w *World) recoverAll() {
	if w.fail != "" {
		return
	}
	w.heal()
	limit := w.now + int64(3*time.Minute)
	goal, since := 0, int64(0)
	for w.fail == "" && w.now < limit && len(w.heap) > 0 {
		w.next()
		if goal == 0 && w.working() {
			goal = len(w.check.committed) + 3
			if !w.swarm.mode.Replicated() {
				goal = 1
			}
		}
		if goal > 0 && w.same(goal) {
			return
		}
		if w.now > since+int64(5*time.Second) {
			since = w.now
			w.operate()
		}
	}
	if w.fail == "" && !w.opt.Harm {
		w.fail = fmt.Sprintf("stuck: no working group %v after everything was healed (event %d)", 3*time.Minute, w.stats.Events)
	}
}

func (w *World) heal() {
	w.calm = true
	w.trace("HEAL")
	w.cut = [maxNodes][maxNodes]bool{}
	w.zk.down = false
	for _, n := range w.nodes {
		n.cutOff = false
		if n.paused {
			w.resume(n)
		}
		if !n.up {
			w.start(n)
		}
		if n.noRoom {
			n.noRoom = false
			w.step(n, replica.DiskSpace{})
		}
		w.readSoon(n, w.coordDelay())
	}
	w.reachChanged()
}

// operate is the operator: a group whose coordination service lost its data is seeded anew.
func (w *World) operate() {
	for _, n := range w.nodes {
		if n.up {
			w.deliver(n, 0, replica.DiskSpace{}) // the shell looks again now and then
		}
	}
	if !w.swarm.wipedCoord {
		return
	}
	var lost []replica.NodeID
	for _, n := range w.nodes {
		for _, v := range n.disk.meta.Voters {
			if n.up && w.byID(v.ID) == nil {
				lost = append(lost, v.ID)
			}
		}
	}
	for _, n := range w.nodes {
		if n.up && n.disk.meta.Cluster != "" {
			w.deliver(n, 0, replica.Order{ID: 3, Command: replica.Reseed{Lost: lost}})
		}
	}
}

// working says that a master serves the group.
func (w *World) working() bool {
	for _, n := range w.nodes {
		if n.up && n.serving && w.zk.reg != nil && w.zk.reg.Master == n.disk.id && n.leadEpoch == w.zk.reg.Epoch {
			return true
		}
	}
	return false
}

// same says that all voters hold the same log at least up to the goal, committed.
func (w *World) same(goal int) bool {
	r := w.zk.reg
	if r == nil || !w.working() {
		return false
	}
	have := 0
	for i := range r.Voters {
		if n := w.byID(r.Voters[i].ID); n != nil && n.told >= goal && len(n.disk.log) >= goal {
			if w.swarm.mode.Replicated() && n.disk.chainAt(goal) != w.check.committed[goal-1] {
				w.harmed(9, "%s ends with another log", n.disk.id)
			}
			have++
		}
	}
	return have >= r.Quorum()
}
