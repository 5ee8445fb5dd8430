package main

import (
	"time"

	"treadmq/broker"
	"treadmq/conf"
)

// policies turns the configuration's rules into the broker's policies. Answers
// are merged per destination when it is first seen and when rules change.
func policies(c *conf.Config) func(broker.Destination) broker.Policy {
	return func(d broker.Destination) broker.Policy {
		kind := conf.Queue
		switch {
		case d.Kind == broker.DurableSub:
			kind = conf.Durable
		case !d.Kind.IsQueue():
			kind = conf.Topic
		}
		return brokerPolicy(c, kind, c.Policies.Match(kind, d.Name))
	}
}

func brokerPolicy(c *conf.Config, kind conf.Kind, p conf.Policy) broker.Policy {
	out := broker.Policy{
		MaxMessages: int64(p.MaxMessages), MaxBytes: int64(p.MaxBytes),
		OnFull: onFull[p.OnFull], BlockTimeout: p.BlockTimeout,
		MemoryLimit: int64(p.MemoryLimit), Prefetch: p.QueuePrefetch, PrefetchBytes: int64(p.PrefetchBytes),
		DefaultTTL: p.DefaultTTL, MaxTTL: p.MaxTTL, Nack: nack[p.NackDefault], ExpirePeriod: p.ExpireMessagesPeriod,
		PendingLimit: p.PendingLimit, PendingBytes: int64(p.MemoryLimit), SpillLimit: int64(p.SpillLimit),
		MirrorTo: p.MirrorTo,
		Redelivery: broker.Redelivery{
			Maximum: p.Redelivery.MaximumRedeliveries, Initial: p.Redelivery.InitialRedeliveryDelay,
			Delay: p.Redelivery.RedeliveryDelay, Backoff: p.Redelivery.UseExponentialBackOff,
			Multiplier: p.Redelivery.BackOffMultiplier, MaximumDelay: p.Redelivery.MaximumRedeliveryDelay,
			CollisionFactor: p.Redelivery.CollisionAvoidanceFactor, Blocks: p.Redelivery.RedeliveryBlocks,
		},
		DeadLetter: broker.DeadLetter{
			Strategy: deadLetter[p.DeadLetter.Strategy], Queue: p.DeadLetter.Queue,
			Prefix: p.DeadLetter.QueuePrefix, Suffix: p.DeadLetter.QueueSuffix,
			ProcessExpired: p.DeadLetter.ProcessExpired, ProcessNonPersistent: p.DeadLetter.ProcessNonPersistent,
			Expiration: p.DeadLetter.Expiration,
		},
	}
	setDispatch(&out, &p)
	setLimits(&out, &p)
	if p.GCInactiveDestinations {
		out.InactiveGC = p.InactiveTimeoutBeforeGC
	}
	if kind == conf.Topic {
		out.Prefetch = p.TopicPrefetch
	}
	if out.MemoryLimit == 0 {
		out.MemoryLimit = int64(c.Memory.QueueWindow)
	}
	if out.PendingBytes == 0 {
		out.PendingBytes = int64(c.Memory.TopicSubscription)
	}
	return out
}

// setDispatch sets how messages are handed out.
func setDispatch(out *broker.Policy, p *conf.Policy) {
	d := &p.Dispatch
	out.AllExclusive, out.IgnorePriority, out.StrictOrder = d.AllConsumersExclusiveByDefault, !d.UseConsumerPriority, d.StrictOrderDispatch
	out.ConsumersToStart, out.TimeBeforeStart = d.ConsumersBeforeDispatchStarts, d.TimeBeforeDispatchStarts
	out.BrowserPrefetch, out.DurablePrefetch = d.QueueBrowserPrefetch, d.DurableTopicPrefetch
	out.LastValueKey, out.LastValueKeys = d.LastValueKey, d.LastValueKeys
	out.IndexHeaders = d.IndexHeaders
	out.Recovery = broker.Recovery{Kind: recovery[conf.RecoveryKind(p.Recovery.Kind)], Count: p.Recovery.Count, Bytes: int64(p.Recovery.Bytes),
		Duration: p.Recovery.RecoverDuration, Always: p.AlwaysRetroactive}
	out.AckTimeout, out.Overdue = p.SlowConsumer.AckTimeout, overdue[p.SlowConsumer.Action]
	if p.SlowConsumerStrategy != "none" {
		out.Overdue = broker.OverdueClose
		if out.AckTimeout == 0 {
			out.AckTimeout = abortSlowAfter
		}
	}
}

// abortSlowAfter is how long ActiveMQ's strategies wait by default.
const abortSlowAfter = 30 * time.Second

// setLimits sets what holds for senders, and for what waits for topic subscriptions.
func setLimits(out *broker.Policy, p *conf.Policy) {
	if p.SendFailIfNoSpace && out.OnFull == broker.FullBlock {
		out.OnFull = broker.FullFail
	}
	if p.SendFailIfNoSpaceAfterTimeout > 0 {
		out.BlockTimeout = p.SendFailIfNoSpaceAfterTimeout
	}
	if p.StoreUsageHighWaterMark < 100 {
		out.StoreHighWater = p.StoreUsageHighWaterMark
	}
	out.Dedup = broker.DedupPolicy{Count: int64(p.Dedup.Count), Time: p.Dedup.Time}
	out.TrustTimestamp, out.UserID, out.StealTemp = p.TrustTimestamp, p.PopulateUserID, p.AllowTempDestinationStealing
	if p.MaxDestinations >= 0 {
		out.MaxDestinations, out.CountedBy = max(p.MaxDestinations, 1), p.MaxDestinationsOf
	}
	choice, header, _ := conf.EvictKey(p.Evict)
	out.Evict, out.EvictKey = evict[choice], header
	if p.PendingMessageLimitStrategy == "prefetchRate" {
		out.PendingRate = p.PendingPrefetchRate
	}
}

// The words of the configuration for the broker's choices.
var (
	onFull = map[string]broker.OnFull{"block": broker.FullBlock, "fail": broker.FullFail,
		"drop-oldest": broker.FullDropOldest, "dlq": broker.FullDeadLetter, "discard": broker.FullDiscard}
	nack = map[string]broker.Nack{"retry": broker.NackRetry, "dlq": broker.NackDeadLetter,
		"requeue": broker.NackRequeue, "discard": broker.NackDiscard}
	evict = map[string]broker.Evict{"oldest": broker.EvictOldest, "disconnect": broker.EvictDisconnect, "spill": broker.EvictSpill,
		"lowest-priority": broker.EvictLowestPriority, "key": broker.EvictOlderOfKey}
	recovery = map[string]broker.RecoveryKind{"none": broker.RecoverNothing, "lastImage": broker.RecoverLastImage,
		"fixedCount": broker.RecoverCount, "fixedSize": broker.RecoverBytes, "timed": broker.RecoverTimed}
	conflict   = map[string]broker.Conflict{"probe": broker.ConflictProbe, "reject": broker.ConflictReject, "steal": broker.ConflictSteal}
	overdue    = map[string]broker.Overdue{"requeue": broker.OverdueRequeue, "notify": broker.OverdueNotify, "close": broker.OverdueClose}
	deadLetter = map[string]broker.DeadLetterStrategy{"shared": broker.DeadLetterShared,
		"individual": broker.DeadLetterIndividual, "discard": broker.DeadLetterDiscard,
		"sharedDeadLetterStrategy": broker.DeadLetterShared, "individualDeadLetterStrategy": broker.DeadLetterIndividual, "discarding": broker.DeadLetterDiscard}
)

func trashLimits(c *conf.Config) broker.TrashLimits {
	t := c.Trash
	return broker.TrashLimits{Keep: t.Keep, Messages: int64(t.Messages), Bytes: int64(t.Bytes)}
}
