package ha

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"treadmq/ha/replica"
	"treadmq/notice"
	"treadmq/store"
)

// handoverTime bounds how long a member that is told to stop waits for another to
// take mastership over.
const handoverTime = 5 * time.Second

// errStopped says that the member does not run any more.
var errStopped = errors.New("this member of the group has stopped")

// Node is a member of a group. Its goroutine in Run owns the core; the rest of the
// member tells it what happened with post.
type Node struct {
	opt   Options
	log   *slog.Logger
	id    replica.NodeID
	addr  string // as others reach it
	began time.Time

	events  chan any      // replica.Event, received, viewSeen, reached or func()
	kick    chan struct{} // capacity 1: the gate has news
	fresh   atomic.Int64  // when a quorum was heard by this master, on the clock of now; negative: it is not the master
	ended   chan struct{} // closed when nobody takes events any more
	running atomic.Bool

	port     *port
	disk     *disk
	coord    *coordinator
	offers   *offers
	mesh     *mesh
	told     atomic.Uint64 // committed, as the core said last
	readable atomic.Uint64 // what may be streamed
	budget   *budget       // of bytes that arrived and are not written
	failures chan error    // capacity 1: why the member cannot go on
	noted    atomic.Bool   // that the disk failed is noted where it outlives the process
	clients  atomic.Pointer[[][]string]

	// Only for the goroutine of Run.
	core    *replica.Core
	links   map[replica.LinkID]*link
	gate    *gate
	body    *body // of the Data that is given to the core
	view    seen
	reached error // why the coordination service is not
	story   story
	fetch   *fetch
	orders  map[uint64]chan string
	order   uint64
	failure error
	marked  bool      // the mark of a failed sync was tried
	leaving uint64    // order of the handover before the end
	leave   time.Time // when that is given up
	final   Status    // once it has ended
}

// New opens the member's store and its replication port. Run must follow.
func New(o Options) (*Node, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	n := &Node{opt: o, log: o.Log.With("group", o.Group), began: time.Now(), events: make(chan any, 1024), kick: make(chan struct{}, 1),
		ended: make(chan struct{}), links: map[replica.LinkID]*link{}, orders: map[uint64]chan string{}, failures: make(chan error, 1), budget: newBudget()}
	n.story.log = n.log
	n.fresh.Store(notMaster)
	n.offers = newOffers(o.SnapshotRate)
	n.disk, n.coord, n.mesh = newDisk(n), newCoordinator(n), newMesh(n)
	var err error
	if n.port, err = listen(n); err != nil {
		return nil, err
	}
	if err := n.open(); err != nil {
		n.disk.discard()
		return nil, errors.Join(err, n.port.listener.Close())
	}
	return n, nil
}

// open opens the store and makes the core.
func (n *Node) open() error {
	var err error
	if n.addr, err = publicAddress(n.opt.Hostname, n.Addr()); err != nil {
		return err
	}
	if n.opt.Name == "" {
		n.opt.Name = n.addr
	}
	damaged, err := n.disk.open()
	if err != nil {
		return err
	}
	var m replica.Meta
	if n.id, m, err = n.disk.identity(); err != nil {
		return err
	}
	m.Corrupt = m.Corrupt || damaged
	if !n.disk.save(membership(m, n.opt.Sync.Volatile())) {
		return errors.New("the store's meta file cannot be written")
	}
	log := n.disk.state()
	n.core = replica.New(replica.Config{Group: n.opt.Group, BrokerName: n.opt.BrokerName, ID: n.id, Name: n.opt.Name, Addr: n.addr,
		Weight: n.opt.Weight, Replicas: n.opt.Replicas, Feature: Feature, Sync: n.opt.Sync, NewCluster: randomName(), Seed: randomNumber(),
		StopOnLoss: n.opt.StopOnLoss, Replace: n.opt.Replace, Timing: n.opt.Timing}, m, log)
	n.log.Info("member of a group", "name", n.opt.Name, "node", n.id, "replication", n.Addr().String(), "end", log.End, "applied", log.Applied, "epoch", log.Epochs.Last())
	return nil
}

func randomName() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func randomNumber() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// Addr is the address that the replication port is bound to.
func (n *Node) Addr() net.Addr { return n.port.listener.Addr() }

// ID is the member's identity, made with its data folder.
func (n *Node) ID() string { return string(n.id) }

// notMaster is Node.fresh of who is not.
const notMaster = math.MinInt64 / 2

// Current reports whether this member is master as far as can be known: a quorum was heard
// so lately that nobody else can have been elected since. A service asks right before it
// hands a message to a client. A process that was stopped and goes on, or a master that is cut off, would
// otherwise deliver, as if for the first time, what its successor has delivered already.
func (n *Node) Current() bool {
	return n.now()-time.Duration(n.fresh.Load()) < n.opt.Timing.Silence*3/4
}

// Clients are the addresses (host:port) at which clients reach each member that is present, as the group showed them last: one list
// for a member, in the order of its listeners. Any goroutine may ask.
func (n *Node) Clients() [][]string {
	if list := n.clients.Load(); list != nil {
		return *list
	}
	return nil
}

func (n *Node) card() card { return card{n.opt.Clients, n.opt.Console} }

// Run takes part in the group until ctx ends: then it hands mastership over if it
// can, and stops. An error says why the member cannot go on; the process should end with
// a status other than zero, and may start again.
func (n *Node) Run(ctx context.Context) error {
	if n.running.Swap(true) {
		return errors.New("a member runs once")
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var helpers, outside sync.WaitGroup
	go n.disk.run()
	go n.disk.applier.run()
	outside.Go(func() { n.coord.run(work) })
	outside.Go(func() { n.coord.work(work) })
	helpers.Go(func() { n.port.run(work) })
	helpers.Go(func() { n.mesh.run(work) })
	n.loop(ctx)
	n.end()
	n.disk.box.put(stopTask{"this broker stops"})
	n.port.close()
	stop()
	helpers.Wait()
	<-n.disk.done
	outside.Wait()
	n.finishFetch()
	return n.failure
}

// end stops taking events. What waits for them goes on, and is answered by nobody.
func (n *Node) end() {
	n.final = n.status()
	n.final.Role = RoleStopped
	if n.gate != nil {
		n.gate.depose()
	}
	for _, c := range n.orders {
		c <- errStopped.Error()
	}
	for _, l := range n.links {
		l.kill()
	}
	close(n.ended)
}

// post tells the core what happened. It waits while there is much to tell.
func (n *Node) post(ev any) {
	select {
	case n.events <- ev:
	case <-n.ended:
	}
}

// fail ends the member from outside of the core.
func (n *Node) fail(err error) {
	select {
	case n.failures <- err:
	default:
	}
}

// loop runs the core until ctx ends or the member fails.
func (n *Node) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	stop := ctx.Done()
	n.step(replica.Tick{})
	for n.failure == nil {
		timer.Reset(n.core.Deadline() - n.now())
		select {
		case ev := <-n.events:
			n.handle(ev)
		case <-n.kick:
			n.gateNews()
		case <-timer.C:
			n.step(replica.Tick{})
		case n.failure = <-n.failures:
		case <-stop:
			stop = nil
			n.startLeaving()
		}
		if stop == nil && (n.leaving == 0 || time.Now().After(n.leave)) {
			return
		}
	}
}

func (n *Node) now() time.Duration { return time.Since(n.began) }

// step gives an event to the core and does what it says.
func (n *Node) step(ev replica.Event) {
	for _, a := range n.core.Step(n.now(), ev) {
		n.act(a)
	}
	if n.gate != nil {
		n.fresh.Store(int64(n.core.QuorumHeard()))
	}
}

func (n *Node) handle(ev any) {
	switch ev := ev.(type) {
	case received:
		n.receive(ev)
	case viewSeen:
		n.view = ev.seen
		n.clients.Store(ev.seen.clients())
		n.step(replica.ViewSeen{Session: ev.session, View: ev.seen.view})
		n.story.see(ev.seen)
		n.mesh.aim(n.others())
	case reached:
		n.reached = ev.err
	case linkUp:
		n.links[ev.link.id] = ev.link
		if ev.op == 0 {
			n.step(replica.Accepted{Link: ev.link.id})
		} else {
			n.step(replica.Dialed{Op: ev.op, Link: ev.link.id, OK: true})
		}
	case linkDown:
		if n.links[ev.link.id] == ev.link {
			delete(n.links, ev.link.id)
			n.step(replica.LinkDown{Link: ev.link.id})
		}
	case replica.SyncFailed:
		n.marked = false
		n.step(ev)
		if !n.marked { // there was no session
			n.noteSuspect()
		}
	case welcome:
		n.welcome(ev)
	case replica.Event:
		n.step(ev)
	case func():
		ev()
	}
}

// receive gives a frame to the core; the bytes of Data go with the action that it causes.
func (n *Node) receive(ev received) {
	if n.links[ev.link.id] != ev.link {
		ev.body.free()
		return // it was closed
	}
	n.body = ev.body
	n.step(replica.Received{Link: ev.link.id, Message: ev.message})
	n.body.free()
	n.body = nil
}

// gateNews tells the core what this master's store has written and synced. What
// it has heard of may be streamed.
func (n *Node) gateNews() {
	if n.gate == nil {
		return
	}
	led, appended, synced := n.gate.report()
	if led != nil {
		n.step(*led)
		n.disk.box.put(resumeTask{})
		n.mayStream(led.End)
	}
	if appended != nil {
		n.step(*appended)
		n.mayStream(appended.End)
	}
	if synced != nil {
		n.step(*synced)
	}
}

func (n *Node) mayStream(end store.Position) {
	if n.gate == nil {
		return // the step ended mastership
	}
	n.readable.Store(uint64(end))
	for _, l := range n.links {
		l.more()
	}
}

// others are the members that should be reachable: voters, and whoever is present.
func (n *Node) others() map[replica.NodeID]string {
	m := map[replica.NodeID]string{}
	if r := n.view.view.Register; r != nil {
		for _, v := range r.Voters {
			m[v.ID] = v.Addr
		}
	}
	for i := range n.view.view.Members {
		if o := &n.view.view.Members[i]; o.Addr != "" {
			m[o.ID] = o.Addr
		}
	}
	delete(m, n.id)
	return m
}

// startLeaving hands mastership over before the member stops.
func (n *Node) startLeaving() {
	to := n.heir()
	if to == "" {
		return
	}
	n.order++
	n.leaving, n.leave = n.order, time.Now().Add(handoverTime)
	n.step(replica.Order{ID: n.leaving, Command: replica.Handover{To: to}})
}

// heir is the voter to hand mastership over to: the one that holds most.
func (n *Node) heir() replica.NodeID {
	s := n.core.Status()
	if s.Role != replica.Serving {
		return ""
	}
	peers := slices.DeleteFunc(s.Peers, func(p replica.PeerStatus) bool {
		m := n.view.view.Member(p.Node)
		return !p.Voter || p.Fetching || m == nil || m.State != replica.Healthy
	})
	if len(peers) == 0 {
		return ""
	}
	return slices.MaxFunc(peers, func(a, b replica.PeerStatus) int { return int(int64(a.Stable) - int64(b.Stable)) }).Node
}

// ordered answers an operator.
func (n *Node) ordered(a replica.Ordered) {
	if a.ID == n.leaving {
		n.leaving = 0
	}
	if c := n.orders[a.ID]; c != nil {
		delete(n.orders, a.ID)
		c <- a.Err
	}
}

// failed ends the member as the core says.
func (n *Node) failed(f replica.Fail) {
	n.failure = errors.New(f.Text)
	if f.Assertion {
		n.failure = fmt.Errorf("the member stops, because the protocol of the group was violated, by a fault of this program or of the disk: %s", f.Text)
	}
	n.story.tell(replica.Alarm, 0, notice.New("story.failed", "stopped: %s", n.failure))
}
