package broker

import (
	"math"
	"math/rand/v2"
	"time"
)

// OnFull says what happens to a message for a destination that is full.
type OnFull uint8

// Choices for OnFull.
const (
	FullBlock      OnFull = iota // the send completes when there is room, or fails after BlockTimeout
	FullFail                     // the send fails in words
	FullDropOldest               // the oldest message that nobody holds makes room
	FullDeadLetter               // the message goes to the dead-letter queue
	FullDiscard                  // the message is dropped, counted
)

// Nack says what a NACK without further words means.
type Nack uint8

// Choices for Nack.
const (
	NackRetry      Nack = iota // a failed attempt: counted, back-off, then dead letter
	NackDeadLetter             // dead letter at once
	NackRequeue                // counted, offered again at once
	NackDiscard                // gone
)

// DeadLetterStrategy says where dead letters go.
type DeadLetterStrategy uint8

// Strategies for dead letters.
const (
	DeadLetterShared     DeadLetterStrategy = iota // one queue
	DeadLetterIndividual                           // prefix + name + suffix
	DeadLetterDiscard                              // gone, counted
)

// Evict says what a topic subscription does when its backlog is at its limit.
type Evict uint8

// Choices for Evict.
const (
	EvictOldest         Evict = iota
	EvictDisconnect           // the subscriber
	EvictLowestPriority       // the oldest of the lowest priority
	EvictSpill                // nothing: what is beyond the limit is kept on disk, up to Policy.SpillLimit
	EvictOlderOfKey           // the oldest with a newer one of the same value of Policy.EvictKey, else the oldest
)

// Overdue says what happens to a delivery that is not acknowledged in time.
type Overdue uint8

// Choices for Overdue.
const (
	OverdueRequeue Overdue = iota // that message alone goes back to its queue, counted as a delivery
	OverdueNotify                 // it is logged and counted
	OverdueClose                  // the connection is closed, with words
)

// Redelivery is the policy for messages that come back. Names as ActiveMQ's RedeliveryPolicy.
type Redelivery struct {
	Maximum         int           // redeliveries after the first delivery; -1 = no limit
	Initial         time.Duration // delay before the first redelivery
	Delay           time.Duration // delay before later ones
	Backoff         bool          // multiply the delay each time
	Multiplier      float64
	MaximumDelay    time.Duration // 0 = no limit
	CollisionFactor float64       // random spread, 0.15 = up to 15 % either way
	Blocks          bool          // keep the order: nothing behind is delivered meanwhile
}

// DeadLetter is the policy for messages that cannot be delivered.
type DeadLetter struct {
	Strategy             DeadLetterStrategy
	Queue                string // shared strategy
	Prefix, Suffix       string // individual strategy
	ProcessExpired       bool
	ProcessNonPersistent bool
	Expiration           time.Duration // of dead letters; 0 = never
}

// Policy is what holds for a destination. Zero limits mean none.
type Policy struct {
	MaxMessages   int64
	MaxBytes      int64
	OnFull        OnFull
	BlockTimeout  time.Duration // 0 = wait as long as it takes
	MemoryLimit   int64         // bytes of messages of the queue kept in memory
	Prefetch      int           // default window of a subscription in messages
	PrefetchBytes int64         // and in bytes
	DefaultTTL    time.Duration
	MaxTTL        time.Duration
	Nack          Nack
	Redelivery    Redelivery
	DeadLetter    DeadLetter
	ExpirePeriod  time.Duration // how often expired messages are looked for; 0 = only when they come up
	InactiveGC    time.Duration // delete when empty and unused for so long; 0 = never
	PendingLimit  int           // backlog of a topic subscription in messages
	PendingBytes  int64         // and in bytes
	SpillLimit    int64         // bytes on disk beyond that, for EvictSpill
	Evict         Evict
	EvictKey      string  // header, for EvictOlderOfKey
	PendingRate   float64 // backlog as a multiple of the prefetch, instead of PendingLimit; 0 = not
	Dedup         DedupPolicy
	MirrorTo      string // of a queue: a copy of each message goes to the topic of this prefix and its name; "" = none

	AllExclusive     bool          // every consumer is exclusive
	IgnorePriority   bool          // priorities of consumers do not count
	StrictOrder      bool          // one consumer is filled before the next gets something
	ConsumersToStart int           // consumers that must be there before a queue without any begins to deliver
	Recovery         Recovery      // what a topic keeps for subscribers that come later
	LastValueKey     string        // header: a newer message replaces the older one of its value that nobody has; "" = none
	LastValueKeys    int           // values, 0 = DefaultLastValues
	IndexHeaders     []string      // of a queue: selectors find messages by the values of these headers without reading all others; see IndexableHeader
	BrowserPrefetch  int           // default window of a browser in messages, 0 = Prefetch
	DurablePrefetch  int           // the same of a durable subscription
	AckTimeout       time.Duration // a message that is not acknowledged for so long is overdue; 0 = none ever is
	Overdue          Overdue
	StoreHighWater   int           // no sends when the disk of the store is used up to so many percent; 0 = no limit but the disk's
	StealTemp        bool          // others than its owner may consume from a temporary destination
	TrustTimestamp   bool          // messages keep the timestamp that the sender gave
	UserID           bool          // messages get the sender's name
	MaxDestinations  int           // destinations that CountedBy covers; 0 = no limit
	CountedBy        string        // pattern
	TimeBeforeStart  time.Duration // or so long; with ConsumersToStart alone a second at most
}

// DefaultPolicy returns the defaults of semantics 2.4, 2.5 and 2.7.
func DefaultPolicy() Policy {
	return Policy{
		MemoryLimit:   8 << 20,
		Prefetch:      100,
		PrefetchBytes: 1 << 20,
		ExpirePeriod:  sweepInterval,
		Redelivery: Redelivery{
			Maximum: 6, Initial: time.Second, Delay: time.Second, Backoff: true,
			Multiplier: 2, MaximumDelay: time.Minute,
		},
		DeadLetter:   DeadLetter{Queue: "ActiveMQ.DLQ", Prefix: "DLQ.", ProcessExpired: true, ProcessNonPersistent: true},
		PendingLimit: 10_000,
		PendingBytes: 1 << 20, SpillLimit: 256 << 20,
		Recovery: Recovery{Count: 100, Bytes: 1 << 20, Duration: time.Minute},
	}
}

// delay is the pause before the next delivery of a message that was delivered
// attempts times.
func (r *Redelivery) delay(attempts uint32) time.Duration {
	d := float64(r.Delay)
	if attempts <= 1 {
		d = float64(r.Initial)
	} else if r.Backoff && r.Multiplier > 1 {
		d = float64(r.Initial) * math.Pow(r.Multiplier, float64(attempts-1))
	}
	if r.CollisionFactor > 0 {
		d *= 1 + r.CollisionFactor*(2*rand.Float64()-1)
	}
	if r.MaximumDelay > 0 {
		d = min(d, float64(r.MaximumDelay))
	}
	return time.Duration(min(max(d, 0), math.MaxInt64/2))
}

// exhausted reports whether a message delivered attempts times is given up.
func (r *Redelivery) exhausted(attempts uint32) bool {
	return r.Maximum >= 0 && int64(attempts) > int64(r.Maximum)
}

// queueFor names the dead-letter queue of a destination.
func (d *DeadLetter) queueFor(from Destination) Destination {
	if d.Strategy == DeadLetterIndividual {
		return Destination{Queue, d.Prefix + from.Name + d.Suffix}
	}
	return Destination{Queue, d.Queue}
}
