package sim

import (
	"treadmq/ha/replica"
)

// checker knows what no node does: everything that was ever committed or written.
type checker struct {
	committed []uint64  // chain behind each committed batch
	masters   []mastery // by epoch
	made      []madeAt  // every batch that a master made
	newest    []int32   // of made, by position
	receipted uint32    // highest epoch that gave a receipt
	promises  []promise
}

// mastery is the registered master of an epoch, and the process that claimed it.
type mastery struct {
	id  replica.NodeID
	gen uint32
}

type madeAt struct {
	chain uint64
	epoch uint32
	next  int32 // the one before at the same position, -1 none
}

func (c *checker) master(e replica.Epoch) *mastery {
	for int(e) >= len(c.masters) {
		c.masters = append(c.masters, mastery{})
	}
	return &c.masters[e]
}

// checkRegister checks a change of the register: invariants 1, 2, 6, 17, 18.
func (w *World) checkRegister(n *node, old, r *replica.Register) {
	c := &w.check
	if err := r.Validate(); err != nil {
		w.violated(1, "%v", err)
	}
	if old != nil {
		switch {
		case r.Epoch < old.Epoch, r.Epoch > old.Epoch+1 && r.Cluster == old.Cluster:
			if !w.zkWiped() {
				w.violated(1, "epoch %d follows %d", r.Epoch, old.Epoch)
			}
		case r.Epoch == old.Epoch && r.Master != old.Master && old.Master != "":
			w.violated(1, "%s takes epoch %d from %s", r.Master, r.Epoch, old.Master)
		case r.Epoch == old.Epoch && !grows(old, r):
			w.violated(1, "voters change within epoch %d", r.Epoch)
		}
	}
	w.trace("REGISTER epoch=%d master=%s voters=%d/%d by %s", r.Epoch, r.Master, len(r.Voters), r.Replicas, n.disk.id)
	if r.Master == "" || old != nil && old.Epoch == r.Epoch && old.Master == r.Master {
		return
	}
	m := c.master(r.Epoch)
	if m.id != "" && m.id != r.Master {
		w.violated(2, "%s and %s are masters of epoch %d", m.id, r.Master, r.Epoch)
	}
	*m = mastery{r.Master, n.gen}
	switch {
	case old == nil || n.disk.id != r.Master:
	case old.Epoch == r.Epoch:
		w.checkClaim(r)
	default:
		w.checkVoters(n, r)
	}
	w.checkComplete(n, r.Epoch)
}

// grows says that voters were only added, in vacant places.
func grows(old, r *replica.Register) bool {
	for i := range old.Voters {
		if r.Voter(old.Voters[i].ID) == nil {
			return false
		}
	}
	return len(r.Voters) <= r.Replicas && r.Replicas == old.Replicas
}

// promise is what a voter has published, ever.
type promise struct {
	id         replica.NodeID
	any, sound Epoch // highest epoch; sound: while its data was not in doubt
}

// Epoch is the core's.
type Epoch = replica.Epoch

func (c *checker) promise(id replica.NodeID) *promise {
	for i := range c.promises {
		if c.promises[i].id == id {
			return &c.promises[i]
		}
	}
	c.promises = append(c.promises, promise{id: id})
	return &c.promises[len(c.promises)-1]
}

// checkClaim looks at the promises that a claim rests on (17).
func (w *World) checkClaim(r *replica.Register) {
	promised, sound := 0, 0
	for i := range r.Voters {
		p := w.check.promise(r.Voters[i].ID)
		if p.any >= r.Epoch {
			promised++
		}
		if p.sound >= r.Epoch {
			sound++
		}
	}
	if sound < r.Quorum() && promised < r.Replicas {
		w.violated(17, "epoch %d is claimed with %d sound promises of %d voters", r.Epoch, sound, len(r.Voters))
	}
}

// checkVoters: a quorum of the new voters holds the master's whole log.
func (w *World) checkVoters(n *node, r *replica.Register) {
	w.stats.VoterChanges++
	end := len(n.disk.log)
	have := 0
	for i := range r.Voters {
		if o := w.byID(r.Voters[i].ID); o == nil || o.damaged || len(o.disk.log) >= end && o.disk.chainAt(end) == n.disk.chainAt(end) {
			have++
		}
	}
	if have < r.Quorum() {
		w.violated(18, "epoch %d has voters of which %d hold the log", r.Epoch, have)
	}
}

// checkWinner: a master acts on its own definite claim, and a durable promise (3, 4).
func (w *World) checkWinner(n *node, e replica.Epoch) {
	c := &w.check
	if m := c.master(e); m.id != n.disk.id || m.gen != n.gen {
		w.violated(3, "%s acts as master of epoch %d, which this process did not claim", n.disk.id, e)
	}
	if n.disk.meta.Promised != e {
		w.violated(4, "%s is master of epoch %d and has promised %d", n.disk.id, e, n.disk.meta.Promised)
	}
}

// checkComplete: who wins has all that was ever committed (12).
func (w *World) checkComplete(n *node, e replica.Epoch) {
	c := &w.check
	if !w.swarm.mode.Replicated() || !w.zk.alive || n.damaged {
		return // it will not act on it
	}
	if k := len(c.committed); len(n.disk.log) < k || k > 0 && n.disk.chainAt(k) != c.committed[k-1] {
		w.harmed(12, "%s is master of epoch %d and lacks what was committed below %d (its log ends at %d)", n.disk.id, e, k, len(n.disk.log))
	}
}

// checkCreated: epoch and position name one batch, for ever (8, 10).
func (w *World) checkCreated(n *node, pos int, en entry) {
	c := &w.check
	for len(c.newest) <= pos {
		c.newest = append(c.newest, -1)
	}
	for i := c.newest[pos]; i >= 0; i = c.made[i].next {
		if c.made[i].epoch == en.epoch && c.made[i].chain != en.chain {
			w.violated(8, "%s makes a second batch of epoch %d at %d", n.disk.id, en.epoch, pos)
		}
	}
	c.made = append(c.made, madeAt{en.chain, en.epoch, c.newest[pos]})
	c.newest[pos] = int32(len(c.made) - 1)
	if last := uint32(n.disk.epochs.Last()); en.start && last >= en.epoch || !en.start && last != en.epoch {
		w.violated(10, "%s: a batch of epoch %d comes after epoch %d", n.disk.id, en.epoch, last)
	}
}

// checkAppended: what a follower appends continues its log (9, 10). The journal refuses
// what does not.
func (w *World) checkAppended(n *node, es []entry) bool {
	d := n.disk
	if es[0].prev != d.chainAt(len(d.log)) {
		w.violated(9, "%s: the batches at %d do not continue its log", d.id, len(d.log))
		return false
	}
	prev := uint32(d.epochs.Last())
	for i, e := range es {
		if e.epoch < prev || e.epoch > prev && !e.start {
			w.violated(10, "%s: a batch of epoch %d comes after epoch %d, at %d", d.id, e.epoch, prev, len(d.log)+i)
		}
		prev = e.epoch
	}
	return true
}

// checkCommit compares what a node takes for committed with what anybody ever did (9,
// 11, 22), and with what voters hold.
func (w *World) checkCommit(n *node, pos int) {
	c, d := &w.check, n.disk
	if pos > len(d.log) {
		w.violated(11, "%s takes %d for committed, its log ends at %d", d.id, pos, len(d.log))
		return
	}
	if !w.swarm.mode.Replicated() {
		return
	}
	if pos > len(c.committed) {
		w.checkHeld(n, pos)
	}
	for i := n.checked; i < pos; i++ {
		switch e := &d.log[i]; {
		case i >= len(c.committed):
			c.committed = append(c.committed, e.chain)
			w.stats.Commits++
		case c.committed[i] != e.chain:
			w.harmed(9, "%s: two batches were committed at %d", d.id, i)
			return
		}
		if e := &d.log[i]; n.leadEpoch != 0 && e.epoch == uint32(n.leadEpoch) {
			if e.asked > e.epoch {
				w.harmed(22, "epoch %d gives a receipt for what was sent after epoch %d gave one", e.epoch, e.asked)
			}
			c.receipted = max(c.receipted, e.epoch)
		}
	}
	n.checked = max(n.checked, pos)
}

// checkHeld: who makes something committed has a quorum that holds it, and the start
// of its epoch is below.
func (w *World) checkHeld(n *node, pos int) {
	d := n.disk
	e := n.leadEpoch
	if e == 0 {
		return // a follower that hears of it first
	}
	if d.epochs.Last() != e || d.epochs[len(d.epochs)-1].Start >= replica.Position(pos) {
		w.violated(11, "%s: epoch %d commits %d, below its start", d.id, e, pos)
	}
	r := w.zk.reg
	if r == nil || r.Epoch != e {
		return // deposed; the voters of its epoch are not known any more
	}
	have := 0
	for i := range r.Voters {
		o := w.byID(r.Voters[i].ID)
		if o == nil || o.damaged || len(o.disk.log) >= pos && o.disk.chainAt(pos) == d.chainAt(pos) && (w.swarm.mode.Volatile() || o.disk.stable >= pos || !o.up) {
			have++
		}
	}
	if have < r.Quorum() {
		w.violated(11, "%s commits %d in epoch %d, held by %d of %d voters", d.id, pos, e, have, len(r.Voters))
	}
}

// checkAck: an acknowledgement is of the promised epoch and covers what is on disk and
// the same as the master's (5, 7).
func (w *World) checkAck(n *node, a *replica.Ack) {
	d := n.disk
	if a.Epoch < d.meta.Promised {
		w.violated(5, "%s acknowledges epoch %d after promising %d", d.id, a.Epoch, d.meta.Promised)
	}
	if a.Epoch > d.meta.Promised {
		w.violated(4, "%s acknowledges epoch %d before promising it", d.id, a.Epoch)
	}
	if int(a.Written) > len(d.log) || int(a.Stable) > d.stable {
		w.violated(7, "%s acknowledges %d/%d, it holds %d/%d", d.id, a.Written, a.Stable, len(d.log), d.stable)
	}
	m := w.byID(w.check.master(a.Epoch).id)
	if m == nil || m.leadEpoch != a.Epoch || m.damaged {
		return
	}
	if p := int(a.Written); len(m.disk.log) < p || m.disk.chainAt(p) != d.chainAt(p) {
		w.violated(7, "%s acknowledges %d, where its log is not the master's", d.id, p)
	}
}

// promises notes a promise when it is sent off: it stays true whatever happens to the
// node before it arrives.
func (w *World) promises(n *node, m *replica.Member) {
	p := w.check.promise(m.ID)
	p.any = max(p.any, m.Promised)
	if !n.disk.meta.Suspect && !n.disk.meta.Corrupt {
		p.sound = max(p.sound, m.Promised)
	}
}

// checkPublished: what a node tells of its log is so, and its promise durable (4, 6).
func (w *World) checkPublished(n *node, m *replica.Member) {
	d := n.disk
	if m.ID != d.id || m.Promised == 0 || w.zk.reg == nil || w.zk.reg.Epoch != m.Promised || w.zk.reg.Master != "" || !n.up {
		return
	}
	switch {
	case d.meta.Promised < m.Promised:
		w.violated(4, "%s publishes a promise of %d, durable is %d", d.id, m.Promised, d.meta.Promised)
	case n.damaged || d.meta.Suspect || d.meta.Corrupt:
	case int(m.End) != len(d.log) || d.stable != len(d.log) || m.LastEpoch != d.epochs.Last():
		w.violated(6, "%s publishes %d/%d for epoch %d, its log ends at %d/%d", d.id, m.LastEpoch, m.End, m.Promised, d.epochs.Last(), len(d.log))
	}
}

// checkLease: the lease is of the master that the register names.
func (w *World) checkLease(l *replica.Lease) {
	if r := w.zk.reg; r == nil || r.Master != l.Node {
		w.violated(3, "%s takes the lease and is not the registered master", l.Node)
	}
}

// checkCut: nothing is cut that was committed when the core asked for it (13). Until a slow disk
// does it others may have committed what this node has not acknowledged to them.
func (w *World) checkCut(n *node, to, committed int) {
	c, d := &w.check, n.disk
	if !w.swarm.mode.Replicated() || n.damaged {
		return
	}
	if to < committed && to < len(d.log) && d.log[to].chain == c.committed[to] {
		w.harmed(13, "%s cuts what was committed, at %d", d.id, to)
	}
}

// checkInstall: a snapshot that replaces a store holds all that the store held and that
// was committed.
func (w *World) checkInstall(n *node, st *staging, end int) {
	c, d := &w.check, n.disk
	if !w.swarm.mode.Replicated() {
		return
	}
	for i := min(len(c.committed), len(d.log)); i > end; i-- {
		if d.log[i-1].chain == c.committed[i-1] && !n.damaged {
			w.harmed(13, "%s installs a log that ends at %d and loses what was committed at %d", d.id, end, i-1)
			return
		}
	}
	if st.have < st.end-st.at+1 && w.opt.Broken != 0 {
		w.violated(13, "%s installs an incomplete snapshot", d.id)
	}
}

// serves: clients are let in when the epoch's start is committed and applied (2.6).
func (w *World) serves(n *node, e replica.Epoch) {
	d := n.disk
	i := len(d.epochs) - 1
	if i < 0 || d.epochs[i].Epoch != e || n.told <= int(d.epochs[i].Start) || d.applied <= int(d.epochs[i].Start) {
		w.violated(14, "%s serves clients before the start of epoch %d is committed", d.id, e)
	}
}

func (w *World) zkWiped() bool { return w.swarm.wipedCoord }
