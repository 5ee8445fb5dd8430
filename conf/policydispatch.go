package conf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Dispatch is how a queue hands messages out.
type Dispatch struct {
	AllConsumersExclusiveByDefault bool
	UseConsumerPriority            bool
	StrictOrderDispatch            bool
	ConsumersBeforeDispatchStarts  int
	TimeBeforeDispatchStarts       time.Duration
	QueueBrowserPrefetch           int // 0: as queuePrefetch
	DurableTopicPrefetch           int // 0: as queuePrefetch of the durable subscription
	LastValueKey                   string
	LastValueKeys                  int
	IndexHeaders                   []string
}

// Recovery is the part [policy.subscriptionRecoveryPolicy].
type Recovery struct {
	Kind            string // none, lastImage, fixedCount, fixedSize, timed
	Count           int
	Bytes           Size
	RecoverDuration time.Duration
}

// SlowConsumer is the part [policy.slowConsumer].
type SlowConsumer struct {
	AckTimeout time.Duration // 0: none is overdue
	Action     string        // requeue, notify, close
}

// Ignored are attributes of ActiveMQ's policyEntry that are accepted and do nothing.
type Ignored struct {
	AdvisoryForConsumed, AdvisoryForDelivery, AdvisoryForFastProducers bool
	AdvisoryForSlowConsumers, AdvisoryWhenFull, AdvisoryForDiscarding  bool
	SendAdvisoryIfNoConsumers, EnableAudit                             bool
	PrioritizedMessages, ProducerFlowControl, UseCache                 bool
	UsePrefetchExtension, LazyDispatch, OptimizedDispatch              bool
	PersistJMSRedelivered                                              bool
	MaxBrowsePageSize, MaxPageSize, MinimumMessageSize                 int
	MaxAuditDepth, MaxProducersToAudit, CursorMemoryHighWaterMark      int
	BlockedProducerWarningInterval                                     time.Duration
	MessageGroupMapFactory, DispatchPolicy                             string
}

func defaultIgnored() Ignored {
	return Ignored{
		EnableAudit: true, ProducerFlowControl: true, UseCache: true, UsePrefetchExtension: true,
		MaxBrowsePageSize: 400, MaxPageSize: 200, MinimumMessageSize: 1024,
		MaxAuditDepth: 10_000, MaxProducersToAudit: 64, CursorMemoryHighWaterMark: 70,
		BlockedProducerWarningInterval: 30 * time.Second,
		MessageGroupMapFactory:         "cached", DispatchPolicy: "roundRobin",
	}
}

func dispatchKeys() []policyKey {
	return []policyKey{
		{"allConsumersExclusiveByDefault", Queue, "", "Every consumer is exclusive: one gets all messages, the next takes over when it leaves, or one with a higher priority when it comes, and all that was held is settled.",
			func(p *Policy) value { return truth(&p.Dispatch.AllConsumersExclusiveByDefault) }},
		{"useConsumerPriority", Queue, "", "Consumers with a higher priority are served first. false: priorities do not count.",
			func(p *Policy) value { return truth(&p.Dispatch.UseConsumerPriority) }},
		{"strictOrderDispatch", Queue, "", "Fill one consumer's prefetch before the next gets messages, instead of one to each in turn.",
			func(p *Policy) value { return truth(&p.Dispatch.StrictOrderDispatch) }},
		{"consumersBeforeDispatchStarts", Queue, "", "A queue without consumers begins to deliver when so many are there, or timeBeforeDispatchStarts has passed (a second if that is 0): so that message groups are shared from the start. 0: at once.",
			func(p *Policy) value { return whole(&p.Dispatch.ConsumersBeforeDispatchStarts, 0, 100_000) }},
		{"timeBeforeDispatchStarts", Queue, "", "How long a queue waits after its first consumer came.",
			func(p *Policy) value { return spanMillis(&p.Dispatch.TimeBeforeDispatchStarts, 0, day) }},
		{"queueBrowserPrefetch", Queue, "", "The same as queuePrefetch for browsers. 0: as queuePrefetch.",
			func(p *Policy) value { return whole(&p.Dispatch.QueueBrowserPrefetch, 0, 1<<20) }},
		{"durableTopicPrefetch", Topic, "", "The same for durable subscriptions to the topic. 0: as queuePrefetch of the durable subscription's own policy.",
			func(p *Policy) value { return whole(&p.Dispatch.DurableTopicPrefetch, 0, 1<<20) }},
		{"lastValueKey", "", "", "Header whose value is a key: in a queue a newer message replaces the older one of its key that no consumer holds; a topic keeps the last message of each key for retroactive subscribers. The header _AMQ_LVQ_NAME counts where this one is missing. Empty: none.",
			func(p *Policy) value { return text(&p.Dispatch.LastValueKey, optional(checkHeader)) }},
		{"lastValueKeys", "", "", "Most keys of a last-value queue or topic. A queue with so many refuses messages with another key; a topic forgets the oldest.",
			func(p *Policy) value { return whole(&p.Dispatch.LastValueKeys, 1, 10_000_000) }},
		{"indexHeaders", Queue, "", "Headers by whose values selectors find messages behind the queue's window in memory without reading all that lie before: for = and IN with literals, also below AND and OR. Any header but those that the broker sets and that are no text, such as priority and timestamp. 4 bytes of memory for each different value among 64 messages, twice that for numbers, a quarter of [memory] limit for all queues at most; what finds no room is read as without.",
			func(p *Policy) value { return list(&p.Dispatch.IndexHeaders, checkIndexHeader) }},
	}
}

func slowConsumerKeys() []policyKey {
	return []policyKey{
		{"slowConsumerStrategy", "", "", "none, or ActiveMQ's abortSlowConsumerStrategy or abortSlowAckConsumerStrategy: as slowConsumer.action = \"close\" with an ackTimeout of 30s where none is set.",
			func(p *Policy) value {
				return word(&p.SlowConsumerStrategy, "none", "abortSlowConsumerStrategy", "abortSlowAckConsumerStrategy")
			}},
		{"slowConsumer.ackTimeout", "", "", "A message that its consumer has not acknowledged for so long is overdue. SUBSCRIBE may say otherwise with x-ack-timeout. 0: never.",
			func(p *Policy) value { return spanMillis(&p.SlowConsumer.AckTimeout, 0, 365*day) }},
		{"slowConsumer.action", "", "", "What happens then: requeue (that message alone goes back to the queue, counted as a delivery), notify (a line in the log and a count) or close (the connection, with an ERROR frame).",
			func(p *Policy) value { return word(&p.SlowConsumer.Action, "requeue", "notify", "close") }},
	}
}

func topicKeys() []policyKey {
	return []policyKey{
		{"pendingMessageLimitStrategy", Topic, "", "constant: pendingLimit is the most that waits for a subscription. prefetchRate: its prefetch times pendingPrefetchRate is.",
			func(p *Policy) value { return word(&p.PendingMessageLimitStrategy, "constant", "prefetchRate") }},
		{"pendingPrefetchRate", Topic, "", "See pendingMessageLimitStrategy.",
			func(p *Policy) value { return fraction(&p.PendingPrefetchRate, 0.01, 10_000) }},
		{"alwaysRetroactive", Topic, "", "Every new subscriber gets what the topic keeps, not only those with activemq.retroactive:true.",
			func(p *Policy) value { return truth(&p.AlwaysRetroactive) }},
		{"subscriptionRecoveryPolicy.kind", Topic, "subscriptionRecoveryPolicy", "What a topic keeps in memory for retroactive subscribers: none, lastImage (the last message), fixedCount (the last count), fixedSize (as many as bytes allows) or timed (those of recoverDuration). bytes bounds all of them. subscriptionRecoveryPolicy alone is accepted too, and ActiveMQ's names, as lastImageSubscriptionRecoveryPolicy.",
			func(p *Policy) value {
				return word(&p.Recovery.Kind, append(slices.Clone(recoveryWords), slices.Sorted(maps.Keys(recoveryNames))...)...)
			}},
		{"subscriptionRecoveryPolicy.count", Topic, "subscriptionRecoveryPolicy.maximumSize", "Messages of fixedCount.",
			func(p *Policy) value { return whole(&p.Recovery.Count, 1, most) }},
		{"subscriptionRecoveryPolicy.bytes", Topic, "", "Most bytes that a topic keeps.",
			func(p *Policy) value { return size(&p.Recovery.Bytes, KiB, TiB) }},
		{"subscriptionRecoveryPolicy.recoverDuration", Topic, "", "Age of messages of timed.",
			func(p *Policy) value { return spanMillis(&p.Recovery.RecoverDuration, time.Millisecond, forever) }},
	}
}

func senderKeys() []policyKey {
	return []policyKey{
		{"sendFailIfNoSpace", Queue, "", "ActiveMQ's name for onFull = \"fail\", where onFull says block.",
			func(p *Policy) value { return truth(&p.SendFailIfNoSpace) }},
		{"sendFailIfNoSpaceAfterTimeout", Queue, "", "ActiveMQ's name for blockTimeout, which it replaces unless it is 0.",
			func(p *Policy) value { return spanMillis(&p.SendFailIfNoSpaceAfterTimeout, 0, forever) }},
		{"storeUsageHighWaterMark", Queue, "", "Percent of the store's disk, used and free, beyond which the queue takes no persistent messages. 100: as long as the store does.",
			func(p *Policy) value { return whole(&p.StoreUsageHighWaterMark, 1, 100) }},
		{"allowTempDestinationStealing", "", "", "Not only its owner's connection may consume from a temporary destination, but every one that knows its name. Patterns match that name, so use >.",
			func(p *Policy) value { return truth(&p.AllowTempDestinationStealing) }},
		{"trustTimestamp", "", "", "Messages keep the header timestamp that the sender gave.",
			func(p *Policy) value { return truth(&p.TrustTimestamp) }},
		{"populateUserId", "", "populateJMSXUserID", "Messages get the sender's user name as JMSXUserID.",
			func(p *Policy) value { return truth(&p.PopulateUserID) }},
		{"maxDestinations", "", "", "Most destinations that the rule's pattern covers; another one is refused. -1: no limit of its own.",
			func(p *Policy) value { return whole(&p.MaxDestinations, -1, most) }},
	}
}

func dedupKeys() []policyKey {
	return []policyKey{
		{"dedup.count", "", "", "Ids of the destination's latest messages that are remembered: a message that comes again with one of them is a repeat and is left out.",
			func(p *Policy) value { return whole(&p.Dedup.Count, 1, 100_000_000) }},
		{"dedup.time", "", "", "How long such an id is remembered at most.",
			func(p *Policy) value { return spanMillis(&p.Dedup.Time, time.Second, 365*day) }},
	}
}

// ignoredKeys are accepted so that policies can be taken over from ActiveMQ as they are.
func ignoredKeys() []policyKey {
	flag := func(name string, kind Kind, why string, field func(*Ignored) *bool) policyKey {
		return policyKey{name, kind, "", "Accepted and ignored: " + why, func(p *Policy) value { return truth(field(&p.Ignored)) }}
	}
	number := func(name string, kind Kind, why string, field func(*Ignored) *int) policyKey {
		return policyKey{name, kind, "", "Accepted and ignored: " + why, func(p *Policy) value { return whole(field(&p.Ignored), 0, most) }}
	}
	const advisory = "advisories are made when somebody listens."
	const cursor = "a queue's cursor has no such setting; memoryLimit bounds its memory."
	return []policyKey{
		flag("advisoryForConsumed", "", advisory, func(i *Ignored) *bool { return &i.AdvisoryForConsumed }),
		flag("advisoryForDelivery", "", advisory, func(i *Ignored) *bool { return &i.AdvisoryForDelivery }),
		flag("advisoryForFastProducers", "", advisory, func(i *Ignored) *bool { return &i.AdvisoryForFastProducers }),
		flag("advisoryForSlowConsumers", "", advisory, func(i *Ignored) *bool { return &i.AdvisoryForSlowConsumers }),
		flag("advisoryWhenFull", "", advisory, func(i *Ignored) *bool { return &i.AdvisoryWhenFull }),
		flag("advisoryForDiscardingMessages", Topic, advisory, func(i *Ignored) *bool { return &i.AdvisoryForDiscarding }),
		flag("sendAdvisoryIfNoConsumers", Topic, advisory, func(i *Ignored) *bool { return &i.SendAdvisoryIfNoConsumers }),
		flag("enableAudit", "", "the broker gives out message ids itself and sees no duplicates.", func(i *Ignored) *bool { return &i.EnableAudit }),
		number("maxAuditDepth", "", "see enableAudit.", func(i *Ignored) *int { return &i.MaxAuditDepth }),
		number("maxProducersToAudit", "", "see enableAudit.", func(i *Ignored) *int { return &i.MaxProducersToAudit }),
		flag("prioritizedMessages", "", "priorities of messages are always honoured.", func(i *Ignored) *bool { return &i.PrioritizedMessages }),
		flag("producerFlowControl", "", "messages beyond the memory go to disk; onFull says what a full queue does, and a topic's publisher never waits.", func(i *Ignored) *bool { return &i.ProducerFlowControl }),
		{"blockedProducerWarningInterval", "", "", "Accepted and ignored: the console shows sends that wait for room.",
			func(p *Policy) value { return spanMillis(&p.Ignored.BlockedProducerWarningInterval, 0, forever) }},
		flag("useCache", "", cursor, func(i *Ignored) *bool { return &i.UseCache }),
		flag("lazyDispatch", "", "what a consumer's prefetch has no room for stays in the queue.", func(i *Ignored) *bool { return &i.LazyDispatch }),
		flag("optimizedDispatch", Queue, "there is one way to dispatch.", func(i *Ignored) *bool { return &i.OptimizedDispatch }),
		flag("usePrefetchExtension", "", "an acknowledgement in a transaction frees the prefetch at once.", func(i *Ignored) *bool { return &i.UsePrefetchExtension }),
		flag("persistJMSRedelivered", Queue, "the count of deliveries is always kept.", func(i *Ignored) *bool { return &i.PersistJMSRedelivered }),
		number("maxPageSize", "", "selectors and consumers see the whole queue.", func(i *Ignored) *int { return &i.MaxPageSize }),
		number("maxBrowsePageSize", "", "browsers see the whole queue.", func(i *Ignored) *int { return &i.MaxBrowsePageSize }),
		number("minimumMessageSize", "", "a message counts with its size and 256 bytes.", func(i *Ignored) *int { return &i.MinimumMessageSize }),
		number("cursorMemoryHighWaterMark", "", cursor, func(i *Ignored) *int { return &i.CursorMemoryHighWaterMark }),
		{"messageGroupMapFactory", Queue, "", "Accepted and ignored: the owner of a group is exact as long as messages of it are at hand.",
			func(p *Policy) value { return word(&p.Ignored.MessageGroupMapFactory, "cached", "simple", "bucket") }},
		{"dispatchPolicy", Topic, "", "Accepted and ignored: every subscriber gets all messages in order.",
			func(p *Policy) value {
				return word(&p.Ignored.DispatchPolicy, "roundRobin", "strictOrder", "simple", "priority")
			}},
	}
}

// evictWords are the choices of evict; those on the right are ActiveMQ's.
var evictWords = map[string]string{
	"oldest": "oldest", "oldestWithLowestPriority": "lowest-priority", "lowest-priority": "lowest-priority", "disconnect": "disconnect", "spill": "spill",
}

// recoveryWords are the kinds of a recovery policy, recoveryNames what ActiveMQ calls them.
var (
	recoveryWords = []string{"none", "lastImage", "fixedCount", "fixedSize", "timed"}
	recoveryNames = map[string]string{
		"noSubscriptionRecoveryPolicy": "none", "lastImageSubscriptionRecoveryPolicy": "lastImage",
		"fixedCountSubscriptionRecoveryPolicy": "fixedCount", "fixedSizedSubscriptionRecoveryPolicy": "fixedSize",
		"timedSubscriptionRecoveryPolicy": "timed",
	}
)

// RecoveryKind is a value of subscriptionRecoveryPolicy.kind in this broker's word.
func RecoveryKind(s string) string {
	if short, ok := recoveryNames[s]; ok {
		return short
	}
	return s
}

// eviction takes a choice of evict, and key:HEADER or uniqueProperty:HEADER.
func eviction(field *string) value {
	c := text(field, func(s string) error {
		if _, _, ok := EvictKey(s); ok {
			return nil
		}
		return fmt.Errorf("%q is not one of oldest, lowest-priority, key:HEADER, disconnect, spill", s)
	})
	return c
}

// EvictKey splits a value of evict into the choice in this broker's word, and for
// "key" the header.
func EvictKey(s string) (choice, header string, ok bool) {
	if word, known := evictWords[s]; known {
		return word, "", true
	}
	kind, header, found := strings.Cut(s, ":")
	if !found || (kind != "key" && kind != "uniqueProperty") || checkHeader(header) != nil {
		return "", "", false
	}
	return "key", header, true
}

// notIndexed are the headers that no index finds: the broker sets them, and not as text.
var notIndexed = []string{"priority", "timestamp", "expires", "persistent", "redelivered", "message-id", "reply-to", "destination",
	"JMSMessageID", "JMSPriority", "JMSTimestamp", "JMSExpiration", "JMSDeliveryMode", "JMSRedelivered", "JMSXDeliveryCount", "JMSXGroupSeq",
	"JMSReplyTo", "JMSDestination", "AMQUserID", "AMQPriority", "AMQTimestamp", "AMQExpiration", "AMQDurable", "AMQSize", "AMQAddress"}

func checkIndexHeader(s string) error {
	if slices.Contains(notIndexed, s) {
		return fmt.Errorf("the header %q cannot be indexed: the broker sets it, and not as text", s)
	}
	return checkHeader(s)
}

func checkHeader(s string) error {
	if s == "" || len(s) > 256 || strings.ContainsAny(s, " :\r\n\x00") {
		return fmt.Errorf("%q is no name of a header: 1 to 256 bytes without blanks and colons", s)
	}
	return nil
}
