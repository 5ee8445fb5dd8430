package main

import (
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
		PendingLimit: p.PendingLimit, PendingBytes: int64(p.MemoryLimit), Evict: evict[p.Evict],
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

// The words of the configuration for the broker's choices.
var (
	onFull = map[string]broker.OnFull{"block": broker.FullBlock, "fail": broker.FullFail,
		"drop-oldest": broker.FullDropOldest, "dlq": broker.FullDeadLetter, "discard": broker.FullDiscard}
	nack = map[string]broker.Nack{"retry": broker.NackRetry, "dlq": broker.NackDeadLetter,
		"requeue": broker.NackRequeue, "discard": broker.NackDiscard}
	evict      = map[string]broker.Evict{"oldest": broker.EvictOldest, "disconnect": broker.EvictDisconnect}
	deadLetter = map[string]broker.DeadLetterStrategy{"shared": broker.DeadLetterShared,
		"individual": broker.DeadLetterIndividual, "discard": broker.DeadLetterDiscard}
)
