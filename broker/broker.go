package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"treadmq/store"
)

// Options for New.
type Options struct {
	// Store keeps durable queues. Required.
	Store store.Store
	// Temp takes non-persistent messages that memory has no room for; nil keeps
	// them in memory whatever their number.
	Temp store.Store
	// Sequence is the counter that both stores draw their sequence numbers from.
	// Required.
	Sequence *atomic.Uint64
	// Node is part of message ids and of temporary destinations' names:
	// [A-Za-z0-9]. Default "treadmq".
	Node string
	// Policy returns what holds for a destination. Default: DefaultPolicy for all.
	Policy func(Destination) Policy
	// MemoryLimit is the number of bytes of queued messages kept in memory, over all
	// queues. Default 128 MiB.
	MemoryLimit int64
	// StoreLimit and TempLimit are the live bytes of Store and Temp beyond which messages are refused; it is looked at once
	// a second. 0: as many as the disk takes.
	StoreLimit, TempLimit int64
	// MaxDestinations bounds queues and topics together. Default 100,000.
	MaxDestinations int
	// MaxTransactions bounds open transactions of a connection (default 64),
	// MaxTxOps their operations (65,536) and MaxTxBytes the bytes of their messages (128 MiB).
	MaxTransactions, MaxTxOps int
	MaxTxBytes                int64
	// MaxDelayed bounds the messages of a queue that wait for their next delivery;
	// they are in memory. A queue that has as many delivers no more until one is due.
	// Default 100,000.
	MaxDelayed int
	// RecentIDs is how many ids of messages are in memory besides the store, over all destinations, and how many
	// of messages that are not stored. Default 65,536.
	RecentIDs int
	// IndexBlock is how many messages share a run of the index over headers
	// (Policy.IndexHeaders). Default 64.
	IndexBlock int
	// Routing has virtual topics and forwards. Default: DefaultRouting; an empty one
	// means none.
	Routing *Routing
	// Trash bounds what purges and deletions leave behind to be undone. Default: none, what goes is gone.
	Trash  TrashLimits
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

func (o *Options) setDefaults() error {
	if o.Store == nil || o.Sequence == nil {
		return errors.New("broker: Options.Store and Options.Sequence are required")
	}
	if o.Node == "" {
		o.Node = "treadmq"
	}
	if o.Policy == nil {
		p := DefaultPolicy()
		o.Policy = func(Destination) Policy { return p }
	}
	if o.Routing == nil {
		r := DefaultRouting()
		o.Routing = &r
	}
	if o.MemoryLimit <= 0 {
		o.MemoryLimit = 128 << 20
	}
	if o.MaxDestinations <= 0 {
		o.MaxDestinations = 100_000
	}
	if o.MaxTransactions <= 0 {
		o.MaxTransactions = 64
	}
	if o.MaxTxOps <= 0 {
		o.MaxTxOps = 65_536
	}
	if o.MaxTxBytes <= 0 {
		o.MaxTxBytes = 128 << 20
	}
	if o.MaxDelayed <= 0 {
		o.MaxDelayed = 100_000
	}
	if o.RecentIDs <= 0 {
		o.RecentIDs = maxRecent
	}
	if o.IndexBlock <= 0 {
		o.IndexBlock = indexBlock
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

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

// catalog: key "q" + name -> id u32, created i64, hints in JSON or nothing; key "d" + name -> durableRecord;
// key "p" + the key of a queue -> it is paused; key "n" -> highest id given u32; key "s" -> id u32 of the scheduler's destination;
// key "t" + number -> trashRecord; key "w" + kind u8 + name -> id u32 of what remembers the ids sent to a destination.
const (
	catalogQueue   = 'q'
	catalogDurable = 'd'
	catalogPaused  = 'p'
)

var catalogNext = []byte("n")

func catalogKey(d Destination) []byte {
	kind := byte(catalogQueue)
	if d.Kind == DurableSub {
		kind = catalogDurable
	}
	return append([]byte{kind}, d.Name...)
}

// putQueue adds a new queue's catalog entry to a batch.
func (b *Broker) putQueue(sb *store.Batch, q *queue) {
	sb.Put(catalogNext, binary.BigEndian.AppendUint32(nil, uint32(q.id)))
	sb.Put(b.catalogEntry(q))
}

func (b *Broker) catalogEntry(q *queue) (key, value []byte) {
	if q.dsub != nil {
		return catalogKey(q.dest), q.durableRecord()
	}
	value = binary.BigEndian.AppendUint32(nil, uint32(q.id))
	return catalogKey(q.dest), q.hints.encode(binary.BigEndian.AppendUint64(value, uint64(q.created.UnixMilli())))
}

// queueFromCatalog makes the queue that a catalog entry describes.
func (b *Broker) queueFromCatalog(d Destination, value []byte) (*queue, error) {
	if d.Kind == DurableSub {
		return b.recoverDurable(d.Name, value)
	}
	if len(value) < 12 {
		return nil, fmt.Errorf("%d bytes are too few", len(value))
	}
	q := b.newQueue(d, store.DestID(binary.BigEndian.Uint32(value)))
	q.setHints(b.recoverHints(catalogKey(d), value[12:]))
	q.created = time.UnixMilli(int64(binary.BigEndian.Uint64(value[4:])))
	return q, nil
}

func (b *Broker) recover() error {
	var paused []string
	err := b.store.Catalog(func(key, value []byte) error {
		switch {
		case string(key) == string(catalogNext) && len(value) == 4:
			b.nextDest = max(b.nextDest, binary.BigEndian.Uint32(value))
		case len(key) > 1 && (key[0] == catalogQueue && len(value) >= 12 || key[0] == catalogDurable):
			d := Destination{Queue, string(key[1:])}
			if key[0] == catalogDurable {
				d.Kind = DurableSub
			}
			q, err := b.queueFromCatalog(d, value)
			if err != nil {
				return fmt.Errorf("%s %q: %w", d.Kind, d.Name, err)
			}
			q.recovered = d.Kind == Queue
			b.nextDest = max(b.nextDest, uint32(q.id))
			b.queues[q.dest], b.byID[q.id] = q, q
		case len(key) >= 2 && key[0] == catalogWindow && len(value) == 4:
			b.recoverWindow(key, store.DestID(binary.BigEndian.Uint32(value)))
		case len(key) == 5 && key[0] == catalogTrash:
			b.recoverTrash(key, value)
		case len(key) > 2 && key[0] == catalogPaused:
			paused = append(paused, string(key[1:]))
		case string(key) == string(catalogSchedule) && len(value) == 4:
			b.sched.recover(store.DestID(binary.BigEndian.Uint32(value)))
			b.nextDest = max(b.nextDest, uint32(b.sched.id()))
		case string(key) == string(catalogRetained) && len(value) == 4:
			b.hiddenQueue(store.DestID(binary.BigEndian.Uint32(value)))
		default:
			b.log.Warn("the store's catalog has an entry of an unknown kind; it is kept", "key", string(key))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range paused {
		b.recoverPaused(key)
	}
	b.rewire()
	last := b.lastSeq()
	for id, lanes := range b.store.Counts() {
		q := b.byID[id]
		if id == b.sched.id() || b.inTrash(id) || b.adoptWindow(id, &lanes) {
			continue
		}
		if q == nil {
			b.log.Warn("the store holds messages of an unknown destination; they are kept", "dest", uint32(id))
			continue
		}
		q.adopt(lanes, last)
	}
	return nil
}

// lastSeq is the highest sequence number that was given.
func (b *Broker) lastSeq() store.Seq {
	next := b.store.NextSeq()
	if next > 0 {
		next--
	}
	return next
}

// adopt gives a queue that nobody knows yet what the store has of it; last is the highest sequence number there is.
func (q *queue) adopt(lanes [store.Lanes]store.Count, last store.Seq) {
	for l, n := range lanes {
		ln := &q.lanes[durable][l]
		ln.recovered = q.b.store.Mark(q.id, store.Lane(l))
		ln.mark, ln.asked = ln.recovered, ln.recovered
		if n.Refs == 0 {
			continue
		}
		ln.paged, ln.maxSeq = true, last
		q.paged++
		q.depth.Add(n.Refs)
		q.bytes.Add(n.Bytes)
	}
}
