package sim

import "treadmq/ha/replica"

// conn is a connection between two nodes: frames of one direction keep their order,
// nothing else does.
type conn struct {
	end    [2]*node // 0 dialled
	gen    [2]uint32
	id     [2]replica.LinkID
	closed [2]bool // by that end, or known to it
	queue  [2][]frame
	head   [2]int
	timer  [2]bool // a frame of the direction from that end is scheduled
	stream stream
	snap   *staging // pinned for the follower
}

type frame struct {
	at  int64
	msg replica.Message
	es  []entry
}

// stream is a sender of the log, master to follower.
type stream struct {
	on      bool
	epoch   replica.Epoch
	session uint64
	next    int
}

func (w *World) delay() int64 {
	d := w.between(w.swarm.netMin, w.swarm.netMax)
	if w.chance(w.swarm.netSlow) && !w.calm {
		d += w.between(0, w.swarm.netSlowBy)
	}
	return d
}

func (w *World) dial(e *event) {
	a := e.act.(replica.Dial)
	n, b := e.n, w.byID(a.Node)
	if b == nil || !b.up || w.cut[n.slot][b.slot] || w.cut[b.slot][n.slot] {
		d := w.delay()
		if b != nil && b.up {
			d = 300e6 // no answer at all
		}
		w.deliver(n, d, replica.Dialed{Op: a.Op})
		return
	}
	w.links += 2
	c := &conn{end: [2]*node{n, b}, gen: [2]uint32{n.gen, b.gen}, id: [2]replica.LinkID{w.links, w.links + 1}}
	w.conns = append(w.conns, c)
	w.deliver(b, 0, replica.Accepted{Link: c.id[1]})
	w.deliver(n, w.delay(), replica.Dialed{Op: a.Op, Link: c.id[0], OK: true})
}

func (w *World) connOf(n *node, id replica.LinkID) (*conn, int) {
	for _, c := range w.conns {
		for side := range 2 {
			if c.id[side] == id && c.end[side] == n {
				return c, side
			}
		}
	}
	return nil, 0
}

// send puts a frame on a link. The network holds what it cannot pass on now, as TCP does.
func (w *World) send(n *node, id replica.LinkID, m replica.Message, es []entry) {
	c, side := w.connOf(n, id)
	if c == nil || c.closed[side] {
		return
	}
	at := w.now + w.delay()
	if q := c.queue[side]; len(q) > c.head[side] {
		at = max(at, q[len(q)-1].at)
	}
	c.queue[side] = append(c.queue[side], frame{at, m, es})
	w.frameTimer(c, side)
}

func (w *World) frameTimer(c *conn, side int) {
	if c.timer[side] || len(c.queue[side]) == c.head[side] {
		return
	}
	c.timer[side] = true
	e := w.at(c.queue[side][c.head[side]].at, kFrame, nil)
	e.conn, e.num = c, int64(side)
}

func (w *World) deliverFrame(c *conn, from int) {
	c.timer[from] = false
	a, b := c.end[from], c.end[1-from]
	if c.closed[1-from] || b.gen != c.gen[1-from] || !b.up {
		return
	}
	f := &c.queue[from][c.head[from]]
	if w.cut[a.slot][b.slot] || b.paused {
		f.at = w.now + w.between(20e6, 200e6)
		w.frameTimer(c, from)
		return
	}
	m, es := f.msg, f.es
	f.msg, f.es = nil, nil
	if c.head[from]++; c.head[from] == len(c.queue[from]) {
		c.queue[from], c.head[from] = c.queue[from][:0], 0
	}
	w.frameTimer(c, from)
	b.data = es
	w.step(b, replica.Received{Link: c.id[1-from], Message: m})
	b.data = nil
}

// closeConn ends a link at one side; the other hears of it later, or never.
func (w *World) closeConn(n *node, id replica.LinkID) {
	c, side := w.connOf(n, id)
	if c == nil || c.closed[side] {
		return
	}
	c.closed[side] = true
	w.closing(c, 1-side)
}

func (w *World) closing(c *conn, hears int) {
	at := w.now + w.delay()
	if q := c.queue[1-hears]; len(q) > c.head[1-hears] {
		at = max(at, q[len(q)-1].at) // what was sent before may arrive
	}
	e := w.at(at, kDown, nil)
	e.conn, e.num = c, int64(hears)
}

func (w *World) hearDown(e *event) {
	c, side := e.conn, int(e.num)
	n, o := c.end[side], c.end[1-side]
	if c.closed[side] {
		return
	}
	if n.up && n.gen == c.gen[side] {
		if w.cut[o.slot][n.slot] || n.paused {
			again := w.at(w.now+100e6, kDown, nil)
			again.conn, again.num = c, int64(side)
			return
		}
		c.closed[side] = true
		w.step(n, replica.LinkDown{Link: c.id[side]})
	}
	c.closed[side] = true
	w.sweep()
}

// sweep forgets links that both ends have closed.
func (w *World) sweep() {
	k := 0
	for _, c := range w.conns {
		if !(c.closed[0] && c.closed[1]) {
			w.conns[k] = c
			k++
		}
	}
	clear(w.conns[k:])
	w.conns = w.conns[:k]
}

// reset cuts a link: both ends hear of it, each in its time.
func (w *World) reset(c *conn) {
	for side := range 2 {
		w.closing(c, side)
	}
}

// dropLinks ends all links of a process that is gone.
func (w *World) dropLinks(n *node) {
	for _, c := range w.conns {
		for side := range 2 {
			if c.end[side] == n && !c.closed[side] {
				c.closed[side] = true
				w.closing(c, 1-side)
			}
		}
	}
}

// pump sends what the log holds on a node's streams.
func (w *World) pump(n *node) {
	for _, c := range w.conns {
		s := &c.stream
		if !s.on || c.end[1] != n || c.closed[1] || n.leadEpoch != s.epoch {
			continue
		}
		for s.next < len(n.disk.log) && len(c.queue[1])-c.head[1] < 16 {
			k := min(len(n.disk.log)-s.next, 1+w.rnd.IntN(4))
			es := n.disk.log[s.next : s.next+k : s.next+k]
			w.send(n, c.id[1], &replica.Data{Epoch: s.epoch, Session: s.session, Pos: replica.Position(s.next),
				End: replica.Position(s.next + k), Commit: replica.Position(n.told)}, es)
			s.next += k
		}
	}
}
