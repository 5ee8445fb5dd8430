package broker

import (
	"slices"
	"strings"
	"time"

	"treadmq/store"
)

// QueueInfo is a snapshot of a queue for people and programs that watch.
type QueueInfo struct {
	Destination  Destination
	ID           store.DestID
	Owner        uint64 // connection of a temporary queue
	Created      time.Time
	Messages     int64 // all: ready, in flight, delayed
	Ready        int64
	InFlight     int64
	Delayed      int64
	Bytes        int64
	MemoryBytes  int64
	Consumers    int
	Producers    int // connections that have sent to it
	Parked       int // sends that wait for room
	Paused       bool
	Hints        Hints  // what its first client asked for
	Enqueued     uint64 // since the start
	Dequeued     uint64
	Dispatched   uint64
	Redelivered  uint64
	Expired      uint64
	DeadLettered uint64
	Dropped      uint64
	Duplicates   uint64    // repeats that were left out
	Waits        WaitTimes // of deliveries since the start
	TraceUntil   time.Time // zero: it is not traced
}

// TopicInfo is a snapshot of a topic.
type TopicInfo struct {
	Destination Destination
	Owner       uint64
	Created     time.Time
	Subscribers int
	Producers   int    // connections that have sent to it
	Feeds       int    // durable subscriptions, consumer queues and forwards that get its messages
	Published   uint64 // since the start
	Delivered   uint64
	Dropped     uint64
	Duplicates  uint64 // repeats that were left out
	Backlog     int    // messages that wait for their subscribers
	Cached      int    // those of them that are in memory
}

// SubscriptionInfo is a snapshot of a subscription.
type SubscriptionInfo struct {
	Serial       uint32
	ID           string
	Connection   uint64
	Destinations []Destination
	Prefetch     int
	InFlight     int
	Backlog      int
	Auto         bool
	Exclusive    bool
	Retroactive  bool
	PendingLimit int // most that may wait for a subscription to topics; 0: it is one to queues
	Priority     int
	Selector     string
	NoCredit     bool // holds as much as it asked for, or is not ready for more
	Delivered    uint64
	Acked        uint64
	Dropped      uint64
}

// ConnInfo is a snapshot of a connection.
type ConnInfo struct {
	Serial        uint64
	ConnOptions   ConnOptions
	Since         time.Time
	Subscriptions []SubscriptionInfo
	Transactions  int
	Sent          uint64 // deliveries written
	Received      uint64 // messages taken
	Parked        int
}

// Totals are figures over the whole broker.
type Totals struct {
	Started      time.Time
	Connections  int
	Accepted     uint64 // connections since the start
	Queues       int
	Topics       int
	Durables     int // durable subscriptions; Messages and what follows count theirs too
	MemoryBytes  int64
	MemoryLimit  int64
	StaleAcks    uint64
	Overdue      uint64 // deliveries that were not acknowledged in time
	Messages     int64
	Enqueued     uint64
	Dequeued     uint64
	Published    uint64
	Expired      uint64
	DeadLettered uint64
}

// Queues returns all queues, without durable subscriptions, in order of name. filter may be nil.
func (b *Broker) Queues(filter func(Destination) bool) []QueueInfo {
	queues := b.queueList(func(d Destination) bool { return d.Kind != DurableSub && (filter == nil || filter(d)) })
	slices.SortFunc(queues, func(a, b *queue) int { return strings.Compare(a.dest.Name, b.dest.Name) }) // pointers: there may be many
	infos := make([]QueueInfo, len(queues))
	for i, q := range queues {
		infos[i] = q.info()
	}
	return infos
}

// QueueCount is the number of queues, with durable subscriptions.
func (b *Broker) QueueCount() int {
	b.destMu.RLock()
	defer b.destMu.RUnlock()
	return len(b.queues)
}

// EachQueueName calls fn for the name of every queue, without durable subscriptions, in no order. fn must be quick and call
// nothing of the broker.
func (b *Broker) EachQueueName(fn func(Destination)) {
	b.destMu.RLock()
	defer b.destMu.RUnlock()
	for d := range b.queues {
		if d.Kind != DurableSub {
			fn(d)
		}
	}
}

// EachQueue calls fn for each queue, without durable subscriptions, that filter wants, in no order. The QueueInfo is fn's for
// the time of the call.
func (b *Broker) EachQueue(filter func(Destination) bool, fn func(*QueueInfo)) {
	var i QueueInfo
	for _, q := range b.queueList(func(d Destination) bool { return d.Kind != DurableSub && filter(d) }) {
		i = q.info()
		fn(&i)
	}
}

func compareNames(a, b QueueInfo) int { return strings.Compare(a.Destination.Name, b.Destination.Name) }

func (b *Broker) queueList(wanted func(Destination) bool) []*queue {
	b.destMu.RLock()
	defer b.destMu.RUnlock()
	list := make([]*queue, 0, len(b.queues))
	for d, q := range b.queues {
		if wanted(d) {
			list = append(list, q)
		}
	}
	return list
}

// Queue returns one queue.
func (b *Broker) Queue(d Destination) (QueueInfo, error) {
	q, err := b.existing(d)
	if err != nil {
		return QueueInfo{}, err
	}
	return q.info(), nil
}

func (q *queue) info() QueueInfo {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := QueueInfo{
		Destination: q.dest, ID: q.id, Created: q.created, Messages: q.depth.Load(), InFlight: q.inflight,
		Delayed: q.delayed, Bytes: q.bytes.Load(), MemoryBytes: q.mem.Load(), Consumers: len(q.subs), Producers: q.b.producers.count(q.dest),
		Parked: len(q.parked), Paused: q.paused, Hints: q.hints,
		Enqueued: q.stats.enqueued, Dequeued: q.stats.dequeued, Dispatched: q.stats.dispatched,
		Redelivered: q.stats.redelivered, Expired: q.stats.expired, DeadLettered: q.stats.deadLettered, Dropped: q.stats.dropped,
		Waits: q.stats.waits,
	}
	i.Ready, i.Duplicates = i.Messages-i.InFlight-i.Delayed, q.duplicates.Load()
	if q.owner != nil {
		i.Owner = q.owner.serial
	}
	if at := q.traceUntil.Load(); at > 0 {
		i.TraceUntil = time.UnixMilli(at)
	}
	return i
}

// Topics returns all topics in order of name. filter may be nil.
func (b *Broker) Topics(filter func(Destination) bool) []TopicInfo {
	b.destMu.RLock()
	var infos []TopicInfo
	for d, t := range b.topics {
		if filter == nil || filter(d) {
			infos = append(infos, t.info())
		}
	}
	b.destMu.RUnlock()
	slices.SortFunc(infos, func(a, b TopicInfo) int { return strings.Compare(a.Destination.Name, b.Destination.Name) })
	return infos
}

func (t *topic) info() TopicInfo {
	subs := *t.subs.Load()
	i := TopicInfo{Destination: t.dest, Created: t.created, Subscribers: len(subs), Producers: t.b.producers.count(t.dest),
		Published: t.published.Load(), Delivered: t.delivered.Load(), Dropped: t.dropped.Load(), Duplicates: t.duplicates.Load()}
	if f := t.fan.Load(); f != nil {
		i.Feeds = len(f.feeds)
	}
	if t.owner != nil {
		i.Owner = t.owner.serial
	}
	for _, s := range subs {
		s.c.mu.Lock()
		i.Backlog += s.waiting()
		i.Cached += s.backlog.len()
		s.c.mu.Unlock()
	}
	return i
}

// Consumers returns the subscriptions of a queue, or of a topic.
func (b *Broker) Consumers(d Destination) []SubscriptionInfo {
	b.destMu.RLock()
	q, t := b.queues[d], b.topics[d]
	b.destMu.RUnlock()
	var subs []*Subscription
	if q != nil {
		q.mu.Lock()
		subs = slices.Clone(q.subs)
		q.mu.Unlock()
	} else if t != nil {
		subs = *t.subs.Load()
	}
	infos := make([]SubscriptionInfo, len(subs))
	for i, s := range subs {
		s.c.mu.Lock()
		infos[i] = s.info()
		s.c.mu.Unlock()
	}
	return infos
}

func (s *Subscription) info() SubscriptionInfo {
	i := SubscriptionInfo{
		Serial: s.serial, ID: s.opt.ID, Connection: s.c.serial, Destinations: s.opt.Dests, Prefetch: s.window,
		Backlog: s.waiting(), Auto: s.auto, Exclusive: s.opt.Exclusive, Retroactive: s.opt.Retroactive, Priority: s.opt.Priority,
		Selector: s.opt.Selector, NoCredit: !s.started || s.credit <= 0 || s.creditBytes <= 0,
		Delivered: s.delivered, Acked: s.acked, Dropped: s.backlog.dropped,
	}
	if len(s.topics) > 0 {
		i.PendingLimit = s.backlog.limit
	}
	for _, sl := range s.slots[s.head:] {
		if sl.state != slotFree {
			i.InFlight++
		}
	}
	return i
}

// Connections returns all connections, oldest first.
func (b *Broker) Connections() []ConnInfo {
	b.connMu.Lock()
	conns := make([]*Conn, 0, len(b.conns))
	for _, c := range b.conns {
		conns = append(conns, c)
	}
	b.connMu.Unlock()
	slices.SortFunc(conns, func(a, b *Conn) int { return int(int64(a.serial) - int64(b.serial)) })
	infos := make([]ConnInfo, len(conns))
	for i, c := range conns {
		infos[i] = c.info()
	}
	return infos
}

func (c *Conn) info() ConnInfo {
	parked := c.Parked()
	c.mu.Lock()
	defer c.mu.Unlock()
	i := ConnInfo{Serial: c.serial, ConnOptions: c.opt, Since: c.since, Transactions: len(c.txs),
		Sent: c.sent.Load(), Received: c.received.Load(), Parked: parked}
	for _, s := range c.subs {
		i.Subscriptions = append(i.Subscriptions, s.info())
	}
	return i
}

// Kill asks a connection to go, saying why. It reports whether there is one.
func (b *Broker) Kill(serial uint64, reason string) bool {
	b.connMu.Lock()
	c := b.conns[serial]
	b.connMu.Unlock()
	if c == nil {
		return false
	}
	c.opt.Sink.Kill(Errorf(CodeClosing, "%s", reason))
	return true
}

// Totals returns figures over the whole broker. O(destinations).
func (b *Broker) Totals() Totals {
	t := Totals{Started: b.started, MemoryBytes: b.mem.Load(), MemoryLimit: b.memLimit, StaleAcks: b.stale.Load(), Overdue: b.slow.Load()}
	b.connMu.Lock()
	t.Connections, t.Accepted = len(b.conns), b.nconns
	b.connMu.Unlock()
	b.destMu.RLock()
	defer b.destMu.RUnlock()
	t.Queues, t.Topics = len(b.queues), len(b.topics)
	for d, q := range b.queues {
		if d.Kind == DurableSub {
			t.Durables++
			t.Queues--
		}
		i := q.info()
		t.Messages += i.Messages
		t.Enqueued += i.Enqueued
		t.Dequeued += i.Dequeued
		t.Expired += i.Expired
		t.DeadLettered += i.DeadLettered
	}
	for _, x := range b.topics {
		t.Published += x.published.Load()
	}
	return t
}

// StoreStats returns the durable store's figures.
func (b *Broker) StoreStats() store.Stats { return b.store.Stats() }

// CountStale counts an acknowledgement of something that is no longer outstanding.
func (b *Broker) CountStale() { b.stale.Add(1) }
