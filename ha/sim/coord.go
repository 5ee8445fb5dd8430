package sim

import (
	"slices"
	"strings"

	"treadmq/ha/coord"
	"treadmq/ha/replica"
)

// coordService is the coordination service: linearizable changes, stale reads.
type coordService struct {
	reg      *replica.Register
	version  coord.Version
	lease    *replica.Lease
	holder   replica.SessionID
	members  []memberEntry // in order of id
	marks    []replica.NodeID
	sessions replica.SessionID
	dead     []replica.SessionID
	view     *replica.View // the present one, until something changes
	old      [staleViews]*replica.View
	down     bool
	alive    bool // the process whose request is carried out
}

// staleViews is how many changes a server may lag behind.
const staleViews = 16

type memberEntry struct {
	owner replica.SessionID
	m     replica.Member
}

func (z *coordService) changed() {
	if z.view != nil {
		copy(z.old[1:], z.old[:])
		z.old[0] = z.view
	}
	z.view = nil
}

func (z *coordService) snapshot() *replica.View {
	if z.view == nil {
		v := &replica.View{Register: z.reg, Version: z.version, Lease: z.lease, Marks: slices.Clone(z.marks)}
		for i := range z.members {
			v.Members = append(v.Members, z.members[i].m)
		}
		z.view = v
	}
	return z.view
}

func (w *World) coordDelay() int64 { return w.between(w.swarm.zkMin, w.swarm.zkMax) }

func (w *World) unreachable(n *node) bool { return n.cutOff || w.zk.down }

// notify lets every node that can read do so, sooner or later.
func (w *World) notify() {
	w.zk.changed()
	for _, n := range w.nodes {
		w.readSoon(n, w.coordDelay())
	}
}

func (w *World) readSoon(n *node, delay int64) {
	if n.up && n.session != 0 && !n.viewPending {
		n.viewPending = true
		w.at(w.now+delay, kViewRead, n)
	}
}

func (w *World) viewRead(n *node) {
	n.viewPending = false
	if n.session == 0 || w.unreachable(n) {
		return
	}
	if slices.Contains(w.zk.dead, n.session) {
		w.lose(n)
		return
	}
	d := w.coordDelay()
	if w.chance(w.swarm.staleReads) && !w.calm {
		d += w.between(0, 1e9)
	}
	at := max(w.now+d, n.replyAt)
	n.replyAt = at
	w.at(at, kDeliver, n).ev = replica.ViewSeen{Session: n.session, View: w.zk.snapshot()}
}

// lose tells a node that its session has ended.
func (w *World) lose(n *node) {
	s := n.session
	n.session = 0
	w.step(n, replica.SessionLost{Session: s})
}

func (w *World) openSession(n *node) {
	if w.unreachable(n) {
		w.at(w.now+w.between(100e6, 500e6), kOpen, n)
		return
	}
	w.zk.sessions++
	n.session = w.zk.sessions
	n.viewPending = false
	w.step(n, replica.SessionUp{Session: n.session})
	v := w.zk.snapshot()
	if o := w.zk.old[w.rnd.IntN(staleViews)]; o != nil && w.chance(w.swarm.staleReads) && !w.calm {
		stale := *o // a server that lags behind; but the own mark is read after a sync
		stale.Marks = v.Marks
		v = &stale
	}
	n.replyAt = w.now + w.coordDelay()
	w.at(n.replyAt, kDeliver, n).ev = replica.ViewSeen{Session: n.session, View: v}
	w.readSoon(n, w.between(1e6, 500e6))
}

// sessionSilent lets a session expire that is no longer heard.
func (w *World) sessionSilent(n *node) {
	e := w.at(w.now+w.between(w.swarm.session/2, w.swarm.session), kExpire, n)
	e.num = int64(n.session)
}

func (w *World) expireIfSilent(e *event) {
	s := replica.SessionID(e.num)
	if n := e.n; n.up && n.session == s && !n.cutOff && !n.paused || w.zk.down {
		return
	}
	w.expire(s)
}

// expire ends a session in the service. Its client hears of it when it asks.
func (w *World) expire(s replica.SessionID) {
	z := &w.zk
	if slices.Contains(z.dead, s) {
		return
	}
	z.dead = append(z.dead, s)
	if len(z.dead) > 32 {
		z.dead = z.dead[1:]
	}
	if z.holder == s {
		z.holder, z.lease = 0, nil
	}
	z.members = slices.DeleteFunc(z.members, func(m memberEntry) bool { return m.owner == s })
	w.stats.Expiries++
	w.trace("EXPIRE session %d", s)
	w.notify()
}

// toCoord sends a request to the service.
func (w *World) toCoord(n *node, a replica.Action) {
	if p, ok := a.(replica.Publish); ok {
		w.promises(n, &p.Member)
	}
	n.coordAt = max(n.coordAt, w.now+w.coordDelay())
	w.at(n.coordAt, kCoord, n).act = a
}

func (w *World) coordExec(e *event) {
	n := e.n
	op, session := request(e.act)
	sent := e.gen == n.gen // the process still lives to hear the answer
	if w.unreachable(n) {
		if sent {
			w.deliver(n, w.between(100e6, 1e9), replica.Answered{Op: op, Outcome: coord.Unknown})
		}
		return
	}
	ev := replica.Answered{Op: op, Outcome: coord.Unknown}
	w.zk.alive = sent && n.up
	if !slices.Contains(w.zk.dead, session) {
		ev.Outcome, ev.Version = w.coordDo(n, e.act, session)
	}
	if !sent {
		return
	}
	if w.chance(w.swarm.lostReplies) && !w.calm {
		w.stats.LostReplies++
		ev.Outcome, ev.Version = coord.Unknown, 0
		w.deliver(n, w.between(100e6, 1e9), ev)
		return
	}
	n.replyAt = max(n.replyAt, w.now+w.coordDelay())
	w.at(n.replyAt, kDeliver, n).ev = ev
}

func request(a replica.Action) (replica.Op, replica.SessionID) {
	switch a := a.(type) {
	case replica.Change:
		return a.Op, a.Session
	case replica.Reclaim:
		return a.Op, a.Session
	case replica.Publish:
		return a.Op, a.Session
	case replica.Unmark:
		return a.Op, a.Session
	}
	return 0, 0
}

// coordDo carries a request out.
func (w *World) coordDo(n *node, a replica.Action, s replica.SessionID) (coord.Outcome, coord.Version) {
	z := &w.zk
	switch a := a.(type) {
	case replica.Change:
		return w.coordChange(n, a, s)
	case replica.Reclaim:
		if z.lease != nil || a.Version != z.version && a.Version != coord.NoRegister {
			return coord.Conflict, 0
		}
		l := a.Lease
		z.lease, z.holder = &l, s
		w.stats.Reclaims++
		w.checkLease(&l)
	case replica.Publish:
		w.publish(n, a.Member, s)
	case replica.MarkSuspect:
		if !slices.Contains(z.marks, n.disk.id) {
			z.marks = append(z.marks, n.disk.id)
		}
	case replica.Unmark:
		z.marks = slices.DeleteFunc(z.marks, func(id replica.NodeID) bool { return id == n.disk.id })
	}
	w.notify()
	return coord.Done, z.version
}

func (w *World) coordChange(n *node, a replica.Change, s replica.SessionID) (coord.Outcome, coord.Version) {
	z := &w.zk
	switch {
	case a.Version == coord.NoRegister && z.reg != nil, a.Version != coord.NoRegister && (z.reg == nil || a.Version != z.version),
		a.DropLease != (z.lease != nil) && (a.DropLease || a.CreateLease != nil):
		return coord.Conflict, 0
	}
	r := *a.Register
	r.Voters = slices.Clone(r.Voters)
	w.checkRegister(n, z.reg, &r)
	if r.Prefer != "" && r.Master == "" {
		w.stats.Handovers++
	}
	z.reg = &r
	z.version++
	if a.DropLease {
		z.lease, z.holder = nil, 0
	}
	if a.CreateLease != nil {
		l := *a.CreateLease
		z.lease, z.holder = &l, s
	}
	w.notify()
	return coord.Done, z.version
}

func (w *World) publish(n *node, m replica.Member, s replica.SessionID) {
	z := &w.zk
	w.checkPublished(n, &m)
	i, ok := slices.BinarySearchFunc(z.members, m.ID, func(e memberEntry, id replica.NodeID) int { return strings.Compare(string(e.m.ID), string(id)) })
	if ok {
		z.members[i] = memberEntry{s, m}
		return
	}
	z.members = slices.Insert(z.members, i, memberEntry{s, m})
}
