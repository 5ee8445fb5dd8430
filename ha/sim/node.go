package sim

import (
	"fmt"
	"slices"

	"treadmq/ha/replica"
	"treadmq/store"
)

// node is a machine with a disk, and the process on it: a simple shell around the core.
type node struct {
	slot int
	disk *disk
	core *replica.Core
	lost int // disks that this machine lost

	up       bool
	gen      uint32
	paused   bool
	deferred []*event
	skew     int64 // of its clock
	wakeAt   int64
	outAt    int64 // when the operations given to its disk are done
	coordAt  int64 // when the requests given to the coordination service have arrived
	replyAt  int64

	session     replica.SessionID
	cutOff      bool // from the coordination service
	viewPending bool

	lead      replica.Epoch // that it was told to write in
	leadEpoch replica.Epoch // that the log is open for
	paused2   bool          // appending is
	serving   bool
	told      int // commit
	checked   int // committed entries that were compared
	applying  bool
	syncing   bool
	fetch     replica.Op
	fetchConn *conn
	data      []entry // of the frame that is being delivered

	damaged bool // acknowledged data is gone from the disk: wiped, corrupt or lost with the power
	noRoom  bool
}

func (w *World) byID(id replica.NodeID) *node {
	for _, n := range w.nodes {
		if n.disk.id == id {
			return n
		}
	}
	return nil
}

func (n *node) newDisk() {
	n.disk = &disk{id: replica.NodeID(fmt.Sprintf("n%d.%d", n.slot, n.lost))}
}

func (w *World) clock(n *node) int64 { return w.now + n.skew }

// start starts a process with what the disk holds.
func (w *World) start(n *node) {
	if n.up {
		return
	}
	d := n.disk
	n.gen++
	*n = node{slot: n.slot, disk: d, lost: n.lost, up: true, gen: n.gen, skew: n.skew, cutOff: n.cutOff,
		damaged: n.damaged, noRoom: n.noRoom, checked: d.applied, deferred: n.deferred[:0]}
	name := fmt.Sprintf("m%d", n.slot)
	cfg := replica.Config{Group: "g", BrokerName: "b", ID: d.id, Name: name, Addr: name, Weight: n.slot % 3, Replicas: w.opt.Nodes,
		Feature: 1, Sync: w.swarm.mode, NewCluster: fmt.Sprintf("c%d.%d", n.slot, n.gen), Seed: w.rnd.Uint64(),
		Replace: w.swarm.replace, StopOnLoss: w.swarm.stopOnLoss, Timing: w.swarm.timing}
	meta := d.meta
	meta.Voters = slices.Clone(meta.Voters)
	log := d.state()
	log.Epochs = slices.Clone(log.Epochs)
	if w.opt.Broken == 0 {
		n.core = replica.New(cfg, meta, log)
	} else {
		n.core = replica.NewBroken(cfg, meta, log, w.opt.Broken)
	}
	w.trace("%s START end=%d stable=%d applied=%d promised=%d", d.id, len(d.log), d.stable, d.applied, meta.Promised)
	w.step(n, replica.Tick{})
	if n.noRoom {
		w.step(n, replica.DiskSpace{Full: true})
	}
	w.reachChanged()
}

// crash ends a process at once. power also takes what was not synced.
func (w *World) crash(n *node, power bool) {
	if !n.up {
		return
	}
	n.up = false
	n.gen++
	n.paused = false
	w.free = append(w.free, n.deferred...)
	n.deferred = n.deferred[:0]
	w.stats.Crashes++
	if power {
		w.stats.PowerCuts++
		w.losePower(n.disk)
		if w.swarm.mode.Volatile() {
			n.disk.meta.Suspect = true // another boot and no clean end
			n.damaged = true
			w.stats.Suspects++
		}
	}
	n.disk.applied = min(n.disk.applied, len(n.disk.log))
	n.serving, n.lead, n.leadEpoch = false, 0, 0
	w.dropLinks(n)
	w.reachChanged()
	w.trace("%s CRASH power=%v end=%d stable=%d", n.disk.id, power, len(n.disk.log), n.disk.stable)
	if n.session != 0 {
		w.sessionSilent(n)
	}
}

func (w *World) resume(n *node) {
	n.paused = false
	w.trace("%s RESUME", n.disk.id)
	n.wakeAt = 0
	w.deliver(n, 0, replica.Tick{})
	for _, e := range n.deferred {
		if e.kind == kWake {
			w.free = append(w.free, e)
			continue
		}
		e.at = w.now
		w.seq++
		e.seq = w.seq
		w.push(e)
	}
	n.deferred = n.deferred[:0]
}

// step gives an event to a core and does what it says.
func (w *World) step(n *node, ev replica.Event) {
	if !n.up || w.fail != "" {
		return
	}
	gen := n.gen
	if w.opt.Trace != nil {
		w.traceEvent(n, ev)
	}
	acts := n.core.Step(dur(w.clock(n)), ev)
	w.mix(uint64(len(acts)) ^ uint64(len(n.disk.log))<<8)
	for _, a := range acts {
		if w.opt.Trace != nil {
			w.traceAction(n, a)
		}
		w.act(n, a)
		if n.gen != gen || w.fail != "" {
			return
		}
	}
	w.wakeUp(n)
}

func (w *World) wakeUp(n *node) {
	due := max(int64(n.core.Deadline())-n.skew, w.now+1e6)
	if n.wakeAt == 0 || due < n.wakeAt {
		n.wakeAt = due
		w.at(due, kWake, n)
	}
}

func (w *World) act(n *node, a replica.Action) {
	switch a := a.(type) {
	case replica.Send:
		w.sendAction(n, a)
	case replica.AppendData:
		w.onDisk(n, a, n.data)
	case replica.SyncLog, replica.Fence, replica.SaveMeta, replica.Lead, replica.TruncateLog, replica.Install, replica.Pause:
		w.stopAppending(n, a)
		w.onDisk(n, a, nil)
	case replica.Commit:
		w.committed(n, int(a.Pos))
	case replica.MarkSuspect:
		if !w.unreachable(n) { // the shell waits for it before it ends
			w.coordDo(n, a, n.session)
		}
	case replica.Change, replica.Reclaim, replica.Publish, replica.Unmark:
		w.toCoord(n, a)
	case replica.OpenSession:
		w.at(w.now+w.coordDelay(), kOpen, n)
	case replica.Dial:
		w.at(w.now+w.delay(), kDial, n).act = a
	case replica.Close:
		w.closeConn(n, a.Link)
	case replica.Stream:
		if c, _ := w.connOf(n, a.Link); c != nil {
			c.stream = stream{true, a.Epoch, a.Session, int(a.From)}
			c.snap = nil
			w.pump(n)
		}
	case replica.Offer:
		w.offer(n, a)
	case replica.Fetch:
		w.startFetch(n, a)
	case replica.StopFetch:
		n.fetch = 0
	case replica.Serve:
		n.serving = true
		w.serves(n, a.Epoch)
	case replica.StopServing:
		n.serving = false
	case replica.Resume:
		n.paused2 = false
	case replica.Fail:
		if a.Assertion {
			w.violated(0, "node %s stopped: %s", n.disk.id, a.Text)
		}
		w.crash(n, false)
		w.at(w.now+w.between(100e6, 3e9), kRestart, n)
	}
}

// stopAppending closes the log to the broker at once, before what is in hand is finished.
func (w *World) stopAppending(n *node, a replica.Action) {
	switch a := a.(type) {
	case replica.Fence:
		n.lead, n.leadEpoch = 0, 0
	case replica.Pause:
		n.paused2 = true
	case replica.Lead:
		n.lead = a.Epoch
	}
}

func (w *World) sendAction(n *node, a replica.Send) {
	switch m := a.Message.(type) {
	case *replica.Welcome:
		m.Chain = uint32(n.disk.chainAt(int(m.TruncateTo)))
	case *replica.Ack:
		w.checkAck(n, m)
	}
	w.send(n, a.Link, a.Message, nil)
}

// onDisk gives an operation to the disk; it does one after the other.
func (w *World) onDisk(n *node, a replica.Action, es []entry) {
	d := w.between(w.swarm.diskMin, w.swarm.diskMax)
	if w.chance(w.swarm.diskSlow) && !w.calm {
		d += w.between(0, 2e9)
	}
	n.outAt = max(n.outAt, w.now) + d
	e := w.at(n.outAt, kOutput, n)
	e.act, e.data, e.num = a, es, int64(len(w.check.committed))
}

// output does an operation and tells the core.
func (w *World) output(e *event) {
	n, d := e.n, e.n.disk
	switch a := e.act.(type) {
	case replica.Fence:
		d.stable = len(d.log)
		w.step(n, replica.Fenced{Op: a.Op, Log: d.state()})
	case replica.SyncLog:
		if w.chance(w.swarm.syncFails) && !w.calm && w.mayDamage(n) {
			w.syncFailed(n)
			return
		}
		d.stable = len(d.log)
		w.step(n, replica.Synced{Op: a.Op, Stable: replica.Position(d.stable)})
	case replica.SaveMeta:
		w.savesMeta(n, a.Meta)
		w.step(n, replica.Saved{Op: a.Op})
	case replica.Lead:
		w.leads(n, a)
	case replica.AppendData:
		w.appendData(n, a, e.data)
	case replica.TruncateLog:
		w.truncate(n, a, int(e.num))
	case replica.Pause:
		w.step(n, replica.Paused{Op: a.Op, End: replica.Position(len(d.log))})
	case replica.Install:
		w.install(n, a)
	}
}

func (w *World) syncFailed(n *node) {
	w.losePower(n.disk)
	n.disk.applied = min(n.disk.applied, len(n.disk.log))
	n.damaged = true
	if w.unreachable(n) || n.session == 0 {
		n.disk.meta.Suspect = true // the shell's own note, where no mark can be left
	}
	w.step(n, replica.SyncFailed{Text: "EIO"})
}

func (w *World) savesMeta(n *node, m replica.Meta) {
	if m.Promised < n.disk.meta.Promised {
		w.violated(4, "%s promises %d after %d", n.disk.id, m.Promised, n.disk.meta.Promised)
	}
	if n.disk.meta.Suspect && !m.Suspect && !m.Corrupt {
		n.damaged = false
	}
	n.disk.meta = m
	n.disk.meta.Voters = slices.Clone(m.Voters)
}

// leads writes the start of an epoch.
func (w *World) leads(n *node, a replica.Lead) {
	d := n.disk
	w.checkWinner(n, a.Epoch)
	start := len(d.log)
	w.create(n, a.Epoch, true)
	n.paused2 = false
	if n.lead == a.Epoch {
		n.leadEpoch = a.Epoch
	}
	w.stats.Epochs++
	w.step(n, replica.Led{Op: a.Op, Start: replica.Position(start), End: replica.Position(len(d.log))})
	w.wrote(n)
}

// create makes a batch of this node's own.
func (w *World) create(n *node, e replica.Epoch, start bool) {
	d := n.disk
	prev := d.chainAt(len(d.log))
	en := entry{epoch: uint32(e), start: start, asked: w.check.receipted, prev: prev, chain: nextChain(prev, uint32(e), w.rnd.Uint64())}
	w.checkCreated(n, len(d.log), en)
	d.add(en)
}

// wrote tells everybody who waits for the master's log.
func (w *World) wrote(n *node) {
	w.pump(n)
	if !n.syncing {
		n.syncing = true
		n.outAt = max(n.outAt, w.now) + w.between(w.swarm.diskMin, w.swarm.diskMax)
		w.at(n.outAt, kSync, n)
	}
}

func (w *World) masterSync(n *node) {
	n.syncing = false
	if w.chance(w.swarm.syncFails) && !w.calm && w.mayDamage(n) {
		w.syncFailed(n)
		return
	}
	n.disk.stable = len(n.disk.log)
	w.step(n, replica.Synced{Stable: replica.Position(n.disk.stable)})
}

// propose lets clients send something to whoever takes it.
func (w *World) propose() {
	for _, n := range w.nodes {
		if !n.up || n.paused || n.leadEpoch == 0 || n.paused2 || !n.serving && !w.chance(0.2) || n.noRoom {
			continue
		}
		for range 1 + w.rnd.IntN(3) {
			w.create(n, n.leadEpoch, false)
		}
		w.step(n, replica.Appended{Epoch: n.leadEpoch, End: replica.Position(len(n.disk.log))})
		w.wrote(n)
	}
	w.at(w.now+w.between(w.swarm.proposeEvery/2, w.swarm.proposeEvery*3/2), kPropose, nil)
}

func (w *World) appendData(n *node, a replica.AppendData, es []entry) {
	d := n.disk
	ev := replica.Appended{Op: a.Op}
	switch {
	case n.noRoom:
		ev.Failed = replica.NoRoom
	case int(a.Pos) != len(d.log) || !w.checkAppended(n, es):
		ev.Failed = replica.Mismatched
	default:
		before := len(d.epochs)
		d.add(es...)
		ev.Starts = d.epochs[before:]
	}
	ev.End = replica.Position(len(d.log))
	w.step(n, ev)
}

func (w *World) truncate(n *node, a replica.TruncateLog, committed int) {
	d, to := n.disk, int(a.To)
	if !a.Trusted && uint32(d.chainAt(to)) != a.Chain {
		w.violated(9, "%s: the chain at %d is not the master's", d.id, to)
		w.step(n, replica.Truncated{Op: a.Op, Mismatch: true})
		return
	}
	if to < len(d.log) {
		w.checkCut(n, to, committed)
		d.truncate(to)
		w.stats.Truncations++
	}
	if !a.Trusted {
		d.stable = len(d.log)
	}
	w.step(n, replica.Truncated{Op: a.Op})
}

// apply brings the index up to what is committed and synced.
func (w *World) apply(n *node) {
	n.applying = false
	d := n.disk
	if to := min(n.told, d.stable, len(d.log)); to > d.applied {
		d.applied = to
		w.step(n, replica.Applied{Pos: replica.Position(to)})
	}
	if n.told > d.applied {
		w.applySoon(n)
	}
	if w.chance(w.swarm.tailMoves) && d.applied > d.tail {
		d.tail += w.rnd.IntN(d.applied-d.tail) + 1
		w.step(n, replica.TailMoved{Tail: replica.Position(d.tail)})
	}
}

func (w *World) applySoon(n *node) {
	if !n.applying {
		n.applying = true
		w.at(w.now+w.between(1e6, 30e6), kApply, n)
	}
}

func (w *World) committed(n *node, pos int) {
	n.told = pos
	w.checkCommit(n, pos)
	w.applySoon(n)
}

// offer pins a snapshot for a follower.
func (w *World) offer(n *node, a replica.Offer) {
	c, _ := w.connOf(n, a.Link)
	if c == nil {
		return
	}
	d := n.disk
	c.stream.on = false
	c.snap = &staging{at: d.applied, end: len(d.log), chain: d.chainAt(len(d.log)), log: d.log[:len(d.log):len(d.log)], epochs: d.epochs}
	a.Welcome.Snapshot = &replica.Manifest{ID: uint64(a.Link), At: replica.Position(d.applied), End: replica.Position(len(d.log)),
		Commit: a.Welcome.Commit, Active: a.Welcome.Active}
	w.stats.Snapshots++
	w.send(n, a.Link, a.Welcome, nil)
}

// startFetch begins to fetch, or goes on with what an earlier attempt left.
func (w *World) startFetch(n *node, a replica.Fetch) {
	c, _ := w.connOf(n, a.Link)
	if c == nil || c.snap == nil {
		return
	}
	st := &n.disk.staged
	if st.at != c.snap.at || st.end != c.snap.end || st.chain != c.snap.chain {
		*st = *c.snap
		st.have = 0
	}
	n.fetch, n.fetchConn = a.Op, c
	w.at(w.now+w.delay(), kFetch, n).num = int64(a.Op)
}

func (w *World) fetchMore(e *event) {
	n, c := e.n, e.n.fetchConn
	st := &n.disk.staged
	if n.fetch != replica.Op(e.num) || c.closed[0] || c.closed[1] {
		return
	}
	if w.cut[c.end[1].slot][n.slot] { // so short that the link outlives it
		w.at(w.now+w.delay(), kFetch, n).num = e.num
		return
	}
	if st.have += 1 + w.rnd.IntN(8); st.have <= st.end-st.at {
		w.at(w.now+w.delay(), kFetch, n).num = e.num
		return
	}
	st.have = st.end - st.at + 1
	n.fetch = 0
	w.step(n, replica.Staged{Op: replica.Op(e.num), End: replica.Position(st.end)})
}

// install replaces the store in one step.
func (w *World) install(n *node, a replica.Install) {
	d, st := n.disk, &n.disk.staged
	end := st.at + max(st.have-1, 0)
	w.checkInstall(n, st, end)
	d.log = st.log[:end:end]
	d.epochs = append(store.EpochList(nil), st.epochs...).Truncate(replica.Position(end))
	d.tail, d.applied, d.stable = st.at, st.at, end
	if d.meta.Corrupt && !a.Meta.Corrupt && !a.Meta.Suspect {
		n.damaged = false
	}
	w.savesMeta(n, a.Meta)
	d.staged = staging{}
	n.checked = min(n.checked, st.at)
	w.stats.Installs++
	w.step(n, replica.Installed{Op: a.Op, Log: d.state()})
}
