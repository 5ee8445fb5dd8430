package conf

import (
	"slices"
	"time"
)

// Kind is the kind of destination a policy rule is for.
type Kind string

// The kinds of destination.
const (
	Queue Kind = "queue"
	Topic Kind = "topic"
	// Durable subscriptions are queues of their own; their names are those of the
	// subscriptions.
	Durable Kind = "durable"
)

// plural is for messages: queues, topics, durable subscriptions.
func (k Kind) plural() string {
	if k == Durable {
		return "durable subscriptions"
	}
	return string(k) + "s"
}

// Policy is what is in force for one destination. Every field has its value:
// rules that leave a key open fall back to less specific rules and at last to
// [DefaultPolicy]. A limit of zero means "no limit".
type Policy struct {
	MaxMessages             int
	MaxBytes                Size
	OnFull                  string // block, fail, drop-oldest, dlq, discard
	BlockTimeout            time.Duration
	MemoryLimit             Size // zero: as in section [memory]
	QueuePrefetch           int
	TopicPrefetch           int
	PrefetchBytes           Size
	DefaultTTL              time.Duration
	MaxTTL                  time.Duration
	ExpireMessagesPeriod    time.Duration
	NackDefault             string // retry, dlq, requeue, discard
	PendingLimit            int
	Evict                   string // see EvictKey
	SpillLimit              Size
	MirrorTo                string // prefix of topics
	GCInactiveDestinations  bool
	InactiveTimeoutBeforeGC time.Duration
	Redelivery              Redelivery
	DeadLetter              DeadLetter
	Dispatch                Dispatch

	PendingMessageLimitStrategy   string // constant, prefetchRate
	PendingPrefetchRate           float64
	AlwaysRetroactive             bool
	Recovery                      Recovery
	SlowConsumerStrategy          string
	SlowConsumer                  SlowConsumer
	SendFailIfNoSpace             bool
	SendFailIfNoSpaceAfterTimeout time.Duration
	StoreUsageHighWaterMark       int // percent
	AllowTempDestinationStealing  bool
	TrustTimestamp                bool
	PopulateUserID                bool
	MaxDestinations               int    // -1: no limit
	MaxDestinationsOf             string // pattern of the rule that says so
	Dedup                         Dedup
	Ignored                       Ignored

	origins map[string]string
}

// Dedup is the part [policy.dedup].
type Dedup struct {
	Count int
	Time  time.Duration
}

// Redelivery is the part [policy.redelivery].
type Redelivery struct {
	MaximumRedeliveries      int // -1: no limit
	InitialRedeliveryDelay   time.Duration
	RedeliveryDelay          time.Duration
	UseExponentialBackOff    bool
	BackOffMultiplier        float64
	MaximumRedeliveryDelay   time.Duration
	CollisionAvoidanceFactor float64
	RedeliveryBlocks         bool
}

// DeadLetter is the part [policy.deadLetter].
type DeadLetter struct {
	Strategy             string // shared, individual, discard
	Queue                string
	QueuePrefix          string
	QueueSuffix          string
	ProcessExpired       bool
	ProcessNonPersistent bool
	Expiration           time.Duration
}

// DefaultPolicy is in force where no rule says otherwise.
func DefaultPolicy() Policy {
	return Policy{
		OnFull:                  "block",
		BlockTimeout:            30 * time.Second,
		QueuePrefetch:           100,
		TopicPrefetch:           1000,
		PrefetchBytes:           1 * MiB,
		ExpireMessagesPeriod:    time.Second,
		NackDefault:             "retry",
		PendingLimit:            10000,
		Evict:                   "oldest",
		SpillLimit:              256 * MiB,
		InactiveTimeoutBeforeGC: time.Minute,
		Redelivery: Redelivery{
			MaximumRedeliveries:    6,
			InitialRedeliveryDelay: time.Second,
			RedeliveryDelay:        time.Second,
			UseExponentialBackOff:  true,
			BackOffMultiplier:      2,
			MaximumRedeliveryDelay: time.Minute,
		},
		DeadLetter: DeadLetter{
			Strategy:             "shared",
			Queue:                "ActiveMQ.DLQ",
			QueuePrefix:          "DLQ.",
			ProcessExpired:       true,
			ProcessNonPersistent: true,
		},
		Dispatch:                    Dispatch{UseConsumerPriority: true, LastValueKeys: 100_000},
		Dedup:                       Dedup{Count: 100_000, Time: day},
		PendingMessageLimitStrategy: "constant",
		PendingPrefetchRate:         2.5,
		Recovery:                    Recovery{Kind: "none", Count: 100, Bytes: MiB, RecoverDuration: time.Minute},
		SlowConsumerStrategy:        "none",
		SlowConsumer:                SlowConsumer{Action: "requeue"},
		StoreUsageHighWaterMark:     100,
		MaxDestinations:             -1,
		Ignored:                     defaultIgnored(),
	}
}

// Setting is one key in force and where its value came from.
type Setting struct {
	Key    string
	Value  string
	Origin string // "default", or a rule: `queue = "orders.>" (treadmq.toml:12)`
}

// Settings lists every key that means something for kind, in the order of the
// reference, with the rule each value came from.
func (p Policy) Settings(kind Kind) []Setting {
	var all []Setting
	for _, k := range policyKeys() {
		if !k.fits(kind) {
			continue
		}
		all = append(all, Setting{Key: k.name, Value: k.bind(&p).text(), Origin: p.Origin(k.name)})
	}
	return all
}

// Rule is one [[policy]] of the file: a pattern and the keys it sets.
type Rule struct {
	Kind    Kind
	Pattern string
	Where   string // file:line

	values Policy   // only the fields of set mean something
	set    []string // names of the keys the rule sets
}

// String names the rule as it stands in the file.
func (r Rule) String() string {
	return string(r.Kind) + " = " + quote(r.Pattern) + " (" + r.Where + ")"
}

// Policies are the [[policy]] rules, in the order of the file.
type Policies []Rule

// Match merges all rules whose pattern covers the destination, key by key: the
// most specific rule that sets a key decides it. Patterns are compared segment
// by segment; a word is more specific than *, and * than >.
func (ps Policies) Match(kind Kind, name string) Policy {
	var matching []Rule
	for _, rule := range ps {
		if rule.Kind == kind && matches(rule.Pattern, name) {
			matching = append(matching, rule)
		}
	}
	slices.SortFunc(matching, func(a, b Rule) int { return compareSpecificity(a.Pattern, b.Pattern) })

	merged := DefaultPolicy()
	merged.origins = map[string]string{}
	for _, rule := range matching {
		rule.applyTo(&merged)
	}
	return merged
}

// applyTo copies the keys that the rule sets.
func (r Rule) applyTo(p *Policy) {
	for _, k := range policyKeys() {
		if slices.Contains(r.set, k.name) {
			k.bind(p).assign(k.bind(&r.values))
			p.origins[k.name] = r.String()
			if k.name == "maxDestinations" {
				p.MaxDestinationsOf = r.Pattern
			}
		}
	}
}

// Origin tells where the value of a policy key came from, as [Setting.Origin].
func (p Policy) Origin(key string) string {
	if from, ok := p.origins[key]; ok {
		return from
	}
	return "default"
}

// Equal reports whether both policies say the same, wherever they got it from.
func (p Policy) Equal(other Policy) bool {
	for _, k := range policyKeys() {
		if k.bind(&p).text() != k.bind(&other).text() {
			return false
		}
	}
	return true
}

// Settings lists the keys that the rule sets.
func (r Rule) Settings() []Setting {
	var all []Setting
	for _, k := range policyKeys() {
		if slices.Contains(r.set, k.name) {
			all = append(all, Setting{Key: k.name, Value: k.bind(&r.values).text(), Origin: r.String()})
		}
	}
	return all
}
