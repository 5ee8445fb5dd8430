// Package sim runs groups of the real ha/replica cores in a world whose time, network,
// disks and coordination service are simulated: one goroutine, one source of random
// numbers, so that a seed is a history. Whatever can go wrong does, and after every
// event the invariants of ha/DESIGN.md are checked with the knowledge of all nodes.
package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"treadmq/ha/internal/mutate"
	"treadmq/ha/replica"
)

// Options of a run.
type Options struct {
	Seed   uint64
	Nodes  int // voters at the start
	Steps  int // events before everything is healed
	Broken mutate.Set
	Tune   func(*Swarm) // changes the weights that the seed drew
	Trace  io.Writer    // every event and action in words; nil: none

	// Harm stops a run only when acknowledged data was harmed, not when a rule was
	// broken: it shows that a rule is needed, not only that it is checked.
	Harm bool
}

// Result of a run.
type Result struct {
	Violation string // "" if all invariants held and the group recovered
	Hash      uint64 // of the history
	Stats     Stats
}

// Stats counts what a run exercised.
type Stats struct {
	Events, Epochs, Commits, Truncations, Snapshots, Installs, VoterChanges, Handovers int
	Crashes, PowerCuts, Wipes, Flips, Suspects, Expiries, LostReplies, Reclaims        int
}

type kind uint8

const (
	kDeliver kind = iota // ev to a node
	kWake
	kFrame  // head of a link's direction
	kOutput // an operation on a node's disk
	kSync   // the master's own
	kApply
	kFetch
	kCoord    // a request reaches the coordination service
	kViewRead // a node reads the coordination service
	kOpen     // a session is opened
	kExpire
	kDial
	kDown // the other end hears that a link is closed
	kPropose
	kNemesis
	kRestart
	kResume
)

// event is one entry of the schedule.
type event struct {
	at   int64
	seq  uint64
	kind kind
	gen  uint32 // of the node's process; another one: dropped
	n    *node
	ev   replica.Event
	act  replica.Action
	conn *conn
	data []entry
	num  int64
}

// World is one run.
type World struct {
	opt   Options
	rnd   *rand.Rand
	now   int64 // nanoseconds
	seq   uint64
	heap  []*event
	free  []*event
	nodes []*node
	conns []*conn
	zk    coordService
	swarm Swarm
	links replica.LinkID
	check checker
	stats Stats
	hash  uint64
	fail  string
	calm  bool // no more faults
	cut   [maxNodes][maxNodes]bool
}

const maxNodes = 8

// Run runs one seed.
func Run(opt Options) Result {
	w := &World{opt: opt, rnd: rand.New(rand.NewPCG(opt.Seed, 0x7472656164)), hash: 14695981039346656037}
	w.swarm = drawSwarm(w.rnd, opt.Nodes)
	if opt.Tune != nil {
		opt.Tune(&w.swarm)
	}
	w.setUp()
	for w.fail == "" && w.stats.Events < opt.Steps && len(w.heap) > 0 {
		w.next()
	}
	w.recoverAll()
	return Result{w.fail, w.hash, w.stats}
}

// harmed is a violation that somebody outside of the group can notice.
func (w *World) harmed(invariant int, format string, args ...any) {
	harm := w.opt.Harm
	w.opt.Harm = false
	w.violated(invariant, format, args...)
	w.opt.Harm = harm
}

// violated ends the run.
func (w *World) violated(invariant int, format string, args ...any) {
	if w.fail == "" && !w.opt.Harm {
		w.fail = fmt.Sprintf("invariant %d: %s (event %d, %v)", invariant, fmt.Sprintf(format, args...), w.stats.Events, time.Duration(w.now))
		w.trace("VIOLATION %s", w.fail)
	}
}

func (w *World) trace(format string, args ...any) {
	if w.opt.Trace != nil {
		fmt.Fprintf(w.opt.Trace, "%12.6f ", float64(w.now)/1e9)
		fmt.Fprintf(w.opt.Trace, format+"\n", args...)
	}
}

// between returns a random duration, in nanoseconds.
func (w *World) between(lo, hi int64) int64 {
	if hi <= lo {
		return lo
	}
	return lo + w.rnd.Int64N(hi-lo)
}

func (w *World) chance(p float64) bool { return p > 0 && w.rnd.Float64() < p }

// at schedules an event and returns it to be filled in.
func (w *World) at(at int64, k kind, n *node) *event {
	var e *event
	if l := len(w.free); l > 0 {
		e, w.free = w.free[l-1], w.free[:l-1]
		*e = event{}
	} else {
		e = &event{}
	}
	w.seq++
	e.at, e.seq, e.kind, e.n = max(at, w.now), w.seq, k, n
	if n != nil {
		e.gen = n.gen
	}
	w.push(e)
	return e
}

func before(a, b *event) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

func (w *World) push(e *event) {
	h := append(w.heap, e)
	i := len(h) - 1
	for i > 0 {
		p := (i - 1) / 2
		if before(h[p], e) {
			break
		}
		h[i], i = h[p], p
	}
	h[i] = e
	w.heap = h
}

func (w *World) pop() *event {
	h := w.heap
	top, e := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	w.heap = h
	for i := 0; len(h) > 0; {
		c := 2*i + 1
		if c+1 < len(h) && before(h[c+1], h[c]) {
			c++
		}
		if c >= len(h) || before(e, h[c]) {
			h[i] = e
			break
		}
		h[i], i = h[c], c
	}
	return top
}

// next runs the next event of the schedule.
func (w *World) next() {
	e := w.pop()
	w.now = e.at
	if e.n != nil && (e.gen != e.n.gen || !e.n.up) && e.kind != kRestart && e.kind != kCoord && e.kind != kExpire {
		w.free = append(w.free, e)
		return
	}
	if e.n != nil && e.n.paused && e.kind != kResume && e.kind != kRestart && e.kind != kCoord && e.kind != kExpire {
		e.n.deferred = append(e.n.deferred, e)
		return
	}
	w.stats.Events++
	id := uint64(e.kind)
	if e.n != nil {
		id |= uint64(e.n.slot+1) << 8
	}
	w.mix(uint64(e.at)<<16 ^ id)
	w.dispatch(e)
	w.free = append(w.free, e)
}

func (w *World) mix(v uint64) { w.hash = (w.hash ^ v) * 1099511628211 }

func (w *World) dispatch(e *event) {
	switch e.kind {
	case kDeliver:
		w.step(e.n, e.ev)
	case kWake:
		if e.n.wakeAt == e.at {
			e.n.wakeAt = 0
			w.step(e.n, replica.Tick{})
		}
	case kFrame:
		w.deliverFrame(e.conn, int(e.num))
	case kOutput:
		w.output(e)
	case kSync:
		w.masterSync(e.n)
	case kApply:
		w.apply(e.n)
	case kFetch:
		w.fetchMore(e)
	case kCoord:
		w.coordExec(e)
	case kViewRead:
		w.viewRead(e.n)
	case kOpen:
		w.openSession(e.n)
	case kExpire:
		w.expireIfSilent(e)
	case kDial:
		w.dial(e)
	case kDown:
		w.hearDown(e)
	case kPropose:
		w.propose()
	case kNemesis:
		w.nemesis()
	case kRestart:
		w.start(e.n)
	case kResume:
		w.resume(e.n)
	}
}

// deliver schedules an event for a node.
func (w *World) deliver(n *node, delay int64, ev replica.Event) {
	w.at(w.now+delay, kDeliver, n).ev = ev
}

// Add sums up.
func (s *Stats) Add(o Stats) {
	s.Events += o.Events
	s.Epochs += o.Epochs
	s.Commits += o.Commits
	s.Truncations += o.Truncations
	s.Snapshots += o.Snapshots
	s.Installs += o.Installs
	s.VoterChanges += o.VoterChanges
	s.Handovers += o.Handovers
	s.Crashes += o.Crashes
	s.PowerCuts += o.PowerCuts
	s.Wipes += o.Wipes
	s.Flips += o.Flips
	s.Suspects += o.Suspects
	s.Expiries += o.Expiries
	s.LostReplies += o.LostReplies
	s.Reclaims += o.Reclaims
}
