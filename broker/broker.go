package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"treadmq/store"
)

// Broker routes messages from connections to queues and topics and back. It
// knows no wire protocol.
type Broker struct {
	opt      Options
	store    store.Store
	temp     store.Store
	seq      *atomic.Uint64
	node     string
	log      *slog.Logger
	now      func() time.Time
	memLimit int64
	mem      atomic.Int64
	indexMem atomic.Int64 // what indexes over headers take of it
	started  time.Time
	policyFn atomic.Pointer[func(Destination) Policy]
	guard    atomic.Pointer[guarded] // nil: everybody may do everything

	// commitWakes is only touched on the store's commit goroutine.
	commitWakes wakes

	destMu   sync.RWMutex // guards what follows
	queues   map[Destination]*queue
	byID     map[store.DestID]*queue
	topics   map[Destination]*topic
	wild     []*Subscription // subscriptions with patterns
	routing  *Routing        // what goes where else
	taps     taps            // which topics feed which queues
	nextDest uint32

	connMu    sync.Mutex // guards what follows
	connGone  *sync.Cond
	conns     map[uint64]*Conn
	clientIDs map[string]*Conn
	nconns    uint64
	closing   bool

	parkMu sync.Mutex // guards Conn.parked

	sched      *scheduler
	advisories advisories
	producers  producers
	dedup      dedups
	tick       atomic.Int64 // the time, ms since 1970, as of the last sweep
	retained   retaining
	trash      trash
	troubles   lifeRing                   // what went wrong with messages, or was done with them by hand
	traces     lifeRing                   // what happens in queues that are traced
	slow       atomic.Uint64              // deliveries that were not acknowledged in time
	watchMu    sync.Mutex                 // guards watched
	watched    map[*Subscription]struct{} // have a timeout
	storeUse   atomic.Int64               // percent of the durable store's disk or limit, whichever is nearer, as of the last sweep

	timers   *timers
	aux      *tasks
	loaders  chan struct{}
	spawnMu  sync.Mutex // guards ended and wg.Add
	ended    bool
	wg       sync.WaitGroup
	stop     chan struct{}
	tempFull atomic.Bool   // the temporary store has reached TempLimit
	noSpill  atomic.Int64  // until when the temporary store is not asked, ns since 1970; 0 = it works
	spills   atomic.Uint32 // places in the temporary store that topic subscriptions got
	stale    atomic.Uint64 // acknowledgements for what is no longer outstanding
}

// New starts a broker on its stores. It reads the catalog, not the messages.
func New(o Options) (*Broker, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	b := &Broker{
		opt: o, store: o.Store, temp: o.Temp, seq: o.Sequence, node: o.Node, log: o.Logger, now: o.Now,
		memLimit: o.MemoryLimit, started: o.Now(),
		queues: map[Destination]*queue{}, byID: map[store.DestID]*queue{}, topics: map[Destination]*topic{},
		conns: map[uint64]*Conn{}, clientIDs: map[string]*Conn{},
		loaders: make(chan struct{}, 4), stop: make(chan struct{}),
	}
	var err error
	if b.routing, err = o.Routing.compiled(); err != nil {
		return nil, err
	}
	b.connGone = sync.NewCond(&b.connMu)
	b.advisories.events = make(chan advisory, maxAdvisories)
	b.policyFn.Store(&o.Policy)
	b.tick.Store(b.now().UnixMilli())
	b.trash.limits, b.trash.items = o.Trash, map[store.DestID]*trashItem{}
	b.sched = newScheduler(b)
	b.dedup.windows, b.dedup.byID = map[Destination]*window{}, map[store.DestID]*window{}
	b.dedup.recent.max, b.dedup.volatile.max = o.RecentIDs, o.RecentIDs
	if err := b.recover(); err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	if err := b.readProducers(); err != nil {
		return nil, fmt.Errorf("read the numbers of producers: %w", err)
	}
	b.timers = newTimers(b.now)
	b.aux = newTasks()
	b.spawn(b.timers.run)
	b.spawn(b.aux.run)
	b.spawn(b.sweep)
	b.spawn(b.tellAdvisories)
	b.spawn(b.sched.run)
	b.readAllLastValues()
	b.startIndexes()
	if err := b.readRetained(); err != nil {
		return nil, fmt.Errorf("read retained messages: %w", err)
	}
	return b, nil
}

// OnGroup is to be called by the store after each group of commits: it wakes the
// connections that got something, once each.
func (b *Broker) OnGroup() { b.commitWakes.flush() }

// Now is the broker's clock.
func (b *Broker) Now() time.Time { return b.now() }

// SetPolicy replaces the policies, for present and future destinations.
func (b *Broker) SetPolicy(fn func(Destination) Policy) {
	b.policyFn.Store(&fn)
	var k wakes
	defer k.flush()
	b.destMu.Lock()
	defer b.destMu.Unlock()
	for d, q := range b.queues {
		q.policy.Store(q.effective(fn(d)))
		q.fan.Store(b.queueFan(q)) // mirrorTo
		q.policyChanged(&k)
		q.resumeParked()
	}
	for d, t := range b.topics {
		p := fn(d)
		t.applyPolicy(&p)
	}
	b.later(b.applyToSubscriptions)
}

func (b *Broker) policy(d Destination) Policy { return (*b.policyFn.Load())(d) }

// nextID draws a number from the stores' counter, which holds the next one.
func (b *Broker) nextID() uint64 { return b.seq.Add(1) - 1 }

// spawn runs fn on a goroutine that Close waits for; after Close it does not run:
// the store may still complete what it was given.
func (b *Broker) spawn(fn func()) {
	b.spawnMu.Lock()
	defer b.spawnMu.Unlock()
	if b.ended {
		return
	}
	b.wg.Add(1)
	go func() {
		defer b.wg.Done()
		fn()
	}()
}

// later runs fn on the broker's own goroutine, in order: for what must not happen
// under a lock or on the store's commit goroutine.
func (b *Broker) later(fn func()) { b.aux.add(fn) }

// AppendMessageID appends a message's id as clients see it: ID-<node>-<hex>. It
// has no character that any version of STOMP escapes.
func (b *Broker) AppendMessageID(dst []byte, id uint64) []byte {
	dst = append(dst, "ID-"...)
	dst = append(dst, b.node...)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, id, 16)
}

// ParseMessageID is the reverse of AppendMessageID.
func (b *Broker) ParseMessageID(s []byte) (uint64, bool) {
	n := len("ID-") + len(b.node) + 1
	if len(s) <= n || string(s[:3]) != "ID-" || string(s[3:n-1]) != b.node || s[n-1] != '-' {
		return 0, false
	}
	id, err := strconv.ParseUint(string(s[n:]), 16, 64)
	return id, err == nil
}

// storeError words what the store said.
func (b *Broker) storeError(err error) error {
	var said *Error
	switch {
	case errors.As(err, &said):
		return said
	case errors.Is(err, store.ErrFull):
		return Errorf(CodeStoreFull, "the broker's disk is full, so the message was not stored; it may be sent again when there is room: %w", err)
	case errors.Is(err, store.ErrTooLarge):
		return Errorf(CodeTooLarge, "the message or transaction is larger than the store takes: %w", err)
	case errors.Is(err, store.ErrDeposed):
		return Errorf(CodeNotMaster, "this broker is not the master of its group any more, so whether the message was stored is not known; connect to another broker and send it again: %w", err)
	case errors.Is(err, store.ErrFailed): // the process ends, and in a group another broker takes over
		return Errorf(CodeClosing, "the broker's store failed, so it stops, and whether the message was stored is not known; connect again later, or to another broker, and send it again: %w", err)
	case errors.Is(err, store.ErrClosed):
		return Errorf(CodeClosing, "the broker is shutting down: %w", err)
	}
	return Errorf(CodeInternal, "the broker's store failed: %w", err)
}

// Close refuses new connections, asks the present ones to go, waits for them up
// to grace and stops the broker's goroutines. The stores are the caller's to close.
func (b *Broker) Close(grace time.Duration) {
	b.connMu.Lock()
	if b.closing {
		b.connMu.Unlock()
		return
	}
	b.closing = true
	reason := Errorf(CodeClosing, "the broker is shutting down; connect again later or to another broker")
	for _, c := range b.conns {
		c.opt.Sink.Kill(reason)
	}
	expired := time.AfterFunc(grace, func() {
		b.connMu.Lock()
		defer b.connMu.Unlock()
		clear(b.conns)
		b.connGone.Broadcast()
	})
	for len(b.conns) > 0 {
		b.connGone.Wait()
	}
	b.connMu.Unlock()
	expired.Stop()
	b.spawnMu.Lock()
	b.ended = true
	b.spawnMu.Unlock()
	close(b.stop)
	b.timers.close()
	b.aux.close()
	b.wg.Wait()
}
