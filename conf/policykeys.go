package conf

import "time"

// policyKey is one row of the table of keys inside [[policy]].
type policyKey struct {
	name  string
	kind  Kind   // empty: both kinds
	alias string // another accepted spelling, or empty
	doc   string
	bind  func(*Policy) value
}

// fits reports whether the key means something for a kind. Durable subscriptions
// are queues but for what concerns senders to a queue.
func (k policyKey) fits(kind Kind) bool {
	if kind == Durable {
		return k.kind != Topic && k.name != "mirrorTo" && k.name != "maxDestinations"
	}
	return k.kind == "" || k.kind == kind
}

// policyTables are the sub-tables of [[policy]].
func policyTables() []section {
	return []section{
		{"slowConsumer", "Consumers that do not acknowledge in time."},
		{"subscriptionRecoveryPolicy", "What a topic keeps for subscribers that come later."},
		{"dedup", "How long it is remembered which messages were sent with an id of their own (x-dedup-id)."},
		{"redelivery", "What happens to a message that was not acknowledged."},
		{"deadLetter", "Where messages go that are given up."},
	}
}

const policyDoc = `Policies: settings for the destinations that a pattern covers. A rule names queues, topics or durable subscriptions by a pattern ` +
	`(dot-separated; * is one segment, > the rest, also none), for example queue = "orders.>". ` +
	`The names of durable subscriptions are those that the console shows: durable = "clientId.>". They take the keys of queues. ` +
	`Where several rules cover a destination the most specific one decides, key by key.`

// policyKeys is the table of keys inside [[policy]], in the order of the file.
// Where ActiveMQ has an attribute of the same name, times may be bare numbers of
// milliseconds as they are there.
func policyKeys() []policyKey {
	var all []policyKey
	for _, part := range [][]policyKey{limitKeys(), deliveryKeys(), dispatchKeys(), topicKeys(), lifeKeys(), senderKeys(), ignoredKeys(),
		slowConsumerKeys(), dedupKeys(), redeliveryKeys(), deadLetterKeys()} {
		all = append(all, part...)
	}
	return all
}

func limitKeys() []policyKey {
	return []policyKey{
		{"maxMessages", Queue, "", "Most messages in a queue. 0: no limit.",
			func(p *Policy) value { return whole(&p.MaxMessages, 0, most) }},
		{"maxBytes", Queue, "", "Most bytes of messages in a queue. 0: no limit.",
			func(p *Policy) value { return size(&p.MaxBytes, 0, mostBytes) }},
		{"onFull", Queue, "", "What a full queue does: block (the sender waits), fail (an ERROR frame), drop-oldest, dlq (the new message goes to the dead-letter queue) or discard (the new message is dropped). A topic's publisher never waits for what the topic feeds: block and fail mean dlq there.",
			func(p *Policy) value { return word(&p.OnFull, "block", "fail", "drop-oldest", "dlq", "discard") }},
		{"blockTimeout", Queue, "", "How long onFull = \"block\" waits before it fails. 0: for ever.",
			func(p *Policy) value { return spanMillis(&p.BlockTimeout, 0, forever) }},
		{"memoryLimit", "", "", "Memory for the head of a queue, or for one subscription of a topic. 0: as in section [memory].",
			func(p *Policy) value { return size(&p.MemoryLimit, 0, mostBytes) }},
		{"pendingLimit", Topic, "", "Most messages waiting for one topic subscription. 0: bounded by memory only.",
			func(p *Policy) value { return whole(&p.PendingLimit, 0, most) }},
		{"evict", Topic, "messageEvictionStrategy", "What goes when more waits for a topic subscription than its limit: oldest, lowest-priority (the oldest of those), key:HEADER (the oldest for which there is a newer one with the same value of the header, else the oldest), disconnect (the subscriber) or spill (nothing: it is kept in a temporary file, up to spillLimit). ActiveMQ's messageEvictionStrategy is accepted, with oldest, oldestWithLowestPriority and uniqueProperty:HEADER.",
			func(p *Policy) value { return eviction(&p.Evict) }},
		{"spillLimit", Topic, "", "Most bytes that evict = \"spill\" keeps on disk for one topic subscription; beyond that the oldest go. The file is deleted when the subscription ends, and at the start.",
			func(p *Policy) value { return size(&p.SpillLimit, 0, mostBytes) }},
	}
}

func deliveryKeys() []policyKey {
	return []policyKey{
		{"queuePrefetch", Queue, "", "Unacknowledged messages a queue subscription may hold when it asks for no other number.",
			func(p *Policy) value { return whole(&p.QueuePrefetch, 1, 1<<20) }},
		{"topicPrefetch", Topic, "", "Unacknowledged messages a topic subscription may hold when it asks for no other number.",
			func(p *Policy) value { return whole(&p.TopicPrefetch, 1, 1<<20) }},
		{"prefetchBytes", "", "", "Unacknowledged bytes a subscription may hold; one larger message may exceed it.",
			func(p *Policy) value { return size(&p.PrefetchBytes, KiB, TiB) }},
		{"nackDefault", Queue, "", "What NACK means: retry (after a delay, see redelivery), dlq (dead-letter queue at once), requeue (again at once) or discard.",
			func(p *Policy) value { return word(&p.NackDefault, "retry", "dlq", "requeue", "discard") }},
	}
}

func lifeKeys() []policyKey {
	return []policyKey{
		{"mirrorTo", Queue, "", "A copy of each message goes to the topic of this prefix and the queue's name, for example \"VirtualTopic.Mirror.\". Empty: none.",
			func(p *Policy) value { return text(&p.MirrorTo, optional(checkName)) }},
		{"defaultTtl", "", "", "Time to live of messages that set none. 0: for ever.",
			func(p *Policy) value { return spanMillis(&p.DefaultTTL, 0, forever) }},
		{"maxTtl", "", "", "Longest time to live; longer ones are cut to it. 0: no limit.",
			func(p *Policy) value { return spanMillis(&p.MaxTTL, 0, forever) }},
		{"expireMessagesPeriod", Queue, "", "How often a queue looks for expired messages. 0: only when they come up for delivery.",
			func(p *Policy) value { return spanMillis(&p.ExpireMessagesPeriod, 0, day) }},
		{"gcInactiveDestinations", "", "", "Delete destinations that are empty and unused.",
			func(p *Policy) value { return truth(&p.GCInactiveDestinations) }},
		{"inactiveTimeoutBeforeGC", "", "inactiveTimoutBeforeGC", "How long a destination is empty and unused before it is deleted. ActiveMQ's spelling inactiveTimoutBeforeGC is accepted.",
			func(p *Policy) value { return spanMillis(&p.InactiveTimeoutBeforeGC, time.Second, forever) }},
	}
}

func redeliveryKeys() []policyKey {
	return []policyKey{
		{"redelivery.maximumRedeliveries", Queue, "", "Deliveries after the first before a message is given up. -1: no limit.",
			func(p *Policy) value { return whole(&p.Redelivery.MaximumRedeliveries, -1, 1<<20) }},
		{"redelivery.initialRedeliveryDelay", Queue, "", "Delay before the first redelivery.",
			func(p *Policy) value { return spanMillis(&p.Redelivery.InitialRedeliveryDelay, 0, 365*day) }},
		{"redelivery.redeliveryDelay", Queue, "", "Delay before later redeliveries without exponential back-off.",
			func(p *Policy) value { return spanMillis(&p.Redelivery.RedeliveryDelay, 0, 365*day) }},
		{"redelivery.useExponentialBackOff", Queue, "", "Multiply the delay by backOffMultiplier each time.",
			func(p *Policy) value { return truth(&p.Redelivery.UseExponentialBackOff) }},
		{"redelivery.backOffMultiplier", Queue, "", "Factor between one delay and the next.",
			func(p *Policy) value { return fraction(&p.Redelivery.BackOffMultiplier, 1, 1000) }},
		{"redelivery.maximumRedeliveryDelay", Queue, "", "Longest delay. 0: no limit.",
			func(p *Policy) value { return spanMillis(&p.Redelivery.MaximumRedeliveryDelay, 0, 365*day) }},
		{"redelivery.collisionAvoidanceFactor", Queue, "", "Random spread of the delay, as a part of it, so that retries do not come all at once.",
			func(p *Policy) value { return fraction(&p.Redelivery.CollisionAvoidanceFactor, 0, 1) }},
		{"redelivery.redeliveryBlocks", Queue, "", "Keep strict order: the queue waits for the redelivered message.",
			func(p *Policy) value { return truth(&p.Redelivery.RedeliveryBlocks) }},
	}
}

func deadLetterKeys() []policyKey {
	return []policyKey{
		{"deadLetter.strategy", Queue, "deadLetterStrategy", "shared: one queue for all. individual: one for each queue, named with queuePrefix and queueSuffix. discard: none, only counted. ActiveMQ's deadLetterStrategy is accepted, with sharedDeadLetterStrategy, individualDeadLetterStrategy and discarding.",
			func(p *Policy) value {
				return word(&p.DeadLetter.Strategy, "shared", "individual", "discard", "sharedDeadLetterStrategy", "individualDeadLetterStrategy", "discarding")
			}},
		{"deadLetter.queue", Queue, "", "Name of the shared dead-letter queue.",
			func(p *Policy) value { return text(&p.DeadLetter.Queue, checkName) }},
		{"deadLetter.queuePrefix", Queue, "", "Put before the queue's name by strategy individual.",
			func(p *Policy) value { return text(&p.DeadLetter.QueuePrefix, optional(checkName)) }},
		{"deadLetter.queueSuffix", Queue, "", "Put behind the queue's name by strategy individual.",
			func(p *Policy) value { return text(&p.DeadLetter.QueueSuffix, optional(checkName)) }},
		{"deadLetter.processExpired", Queue, "", "Expired messages go to the dead-letter queue too.",
			func(p *Policy) value { return truth(&p.DeadLetter.ProcessExpired) }},
		{"deadLetter.processNonPersistent", Queue, "", "Non-persistent messages go to the dead-letter queue too.",
			func(p *Policy) value { return truth(&p.DeadLetter.ProcessNonPersistent) }},
		{"deadLetter.expiration", Queue, "", "Time to live of a message in the dead-letter queue. 0: for ever.",
			func(p *Policy) value { return spanMillis(&p.DeadLetter.Expiration, 0, forever) }},
	}
}
