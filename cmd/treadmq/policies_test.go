package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"treadmq/broker"
	"treadmq/conf"
)

// TestPolicyEntryNames: a policy with every attribute of ActiveMQ's policyEntry is taken as it is, and what has an effect
// reaches the broker.
func TestPolicyEntryNames(t *testing.T) {
	c := loadPolicies(t, `
[[policy]]
queue = "few.>"
advisoryForConsumed = true
advisoryForDelivery = true
advisoryForFastProducers = true
advisoryForSlowConsumers = true
advisoryWhenFull = true
allowTempDestinationStealing = true
gcInactiveDestinations = true
inactiveTimoutBeforeGC = 5000
maxBrowsePageSize = 400
maxPageSize = 200
maxDestinations = 7
memoryLimit = "1MiB"
minimumMessageSize = 1024
prioritizedMessages = false
producerFlowControl = true
blockedProducerWarningInterval = 30000
storeUsageHighWaterMark = 80
useCache = true
usePrefetchExtension = true
sendFailIfNoSpace = true
sendFailIfNoSpaceAfterTimeout = 1000
slowConsumerStrategy = "abortSlowConsumerStrategy"
enableAudit = true
maxAuditDepth = 10000
maxProducersToAudit = 64
cursorMemoryHighWaterMark = 70
allConsumersExclusiveByDefault = true
consumersBeforeDispatchStarts = 3
timeBeforeDispatchStarts = 2000
expireMessagesPeriod = 30000
lazyDispatch = false
optimizedDispatch = false
persistJMSRedelivered = false
queuePrefetch = 11
queueBrowserPrefetch = 12
strictOrderDispatch = true
useConsumerPriority = false
messageGroupMapFactory = "cached"
trustTimestamp = true
populateJMSXUserID = true
lastValueKey = "k"
lastValueKeys = 99
[policy.dedup]
count = 7
time = "2h"

[[policy]]
topic = ">"
alwaysRetroactive = true
topicPrefetch = 21
durableTopicPrefetch = 22
pendingMessageLimitStrategy = "prefetchRate"
pendingPrefetchRate = 3.5
messageEvictionStrategy = "uniqueProperty:stock"
sendAdvisoryIfNoConsumers = false
advisoryForDiscardingMessages = true
dispatchPolicy = "strictOrder"
[policy.subscriptionRecoveryPolicy]
kind = "timed"
maximumSize = 5
bytes = "2MiB"
recoverDuration = 9000
[policy.slowConsumer]
ackTimeout = 60000
action = "notify"
`)
	q := policies(c)(broker.Destination{Kind: broker.Queue, Name: "few.1"})
	want := broker.Policy{
		OnFull: broker.FullFail, BlockTimeout: time.Second, MemoryLimit: 1 << 20, Prefetch: 11, BrowserPrefetch: 12, InactiveGC: 5 * time.Second,
		ExpirePeriod: 30 * time.Second, AllExclusive: true, IgnorePriority: true, StrictOrder: true, ConsumersToStart: 3, TimeBeforeStart: 2 * time.Second,
		LastValueKey: "k", LastValueKeys: 99, AckTimeout: 30 * time.Second, Overdue: broker.OverdueClose, StoreHighWater: 80,
		TrustTimestamp: true, UserID: true, StealTemp: true, MaxDestinations: 7, CountedBy: "few.>",
		Dedup: broker.DedupPolicy{Count: 7, Time: 2 * time.Hour},
	}
	others := cmpopts.IgnoreFields(broker.Policy{}, "PrefetchBytes", "PendingLimit", "PendingBytes", "SpillLimit", "Redelivery", "DeadLetter", "Recovery")
	if diff := cmp.Diff(want, q, others); diff != "" {
		t.Errorf("queue (-want +got)\n%s", diff)
	}
	p := policies(c)(broker.Destination{Kind: broker.Topic, Name: "t"})
	if p.Prefetch != 21 || p.DurablePrefetch != 22 || p.PendingRate != 3.5 || p.Evict != broker.EvictOlderOfKey || p.EvictKey != "stock" ||
		p.AckTimeout != time.Minute || p.Overdue != broker.OverdueNotify {
		t.Errorf("topic: %+v", p)
	}
	if diff := cmp.Diff(broker.Recovery{Kind: broker.RecoverTimed, Count: 5, Bytes: 2 << 20, Duration: 9 * time.Second, Always: true}, p.Recovery); diff != "" {
		t.Errorf("recovery (-want +got)\n%s", diff)
	}
}

func TestSpillPolicy(t *testing.T) {
	c := loadPolicies(t, "[[policy]]\ntopic = \"a.>\"\nevict = \"spill\"\nspillLimit = \"5MiB\"\n")
	if p := policies(c)(broker.Destination{Kind: broker.Topic, Name: "a.b"}); p.Evict != broker.EvictSpill || p.SpillLimit != 5<<20 {
		t.Errorf("evict %v, %d bytes", p.Evict, p.SpillLimit)
	}
	if p := policies(c)(broker.Destination{Kind: broker.Topic, Name: "b"}); p.Evict != broker.EvictOldest {
		t.Errorf("evict %v", p.Evict)
	}
}

// TestPolicyDefaults: without rules nothing of it is on.
func TestPolicyDefaults(t *testing.T) {
	p := policies(loadPolicies(t, ""))(broker.Destination{Kind: broker.Queue, Name: "q"})
	if p.AllExclusive || p.IgnorePriority || p.StrictOrder || p.LastValueKey != "" || p.AckTimeout != 0 || p.StoreHighWater != 0 ||
		p.MaxDestinations != 0 || p.TrustTimestamp || p.UserID || p.PendingRate != 0 || p.Evict != broker.EvictOldest || p.OnFull != broker.FullBlock ||
		p.Dedup != (broker.DedupPolicy{Count: broker.DefaultDedupCount, Time: broker.DefaultDedupTime}) {
		t.Errorf("%+v", p)
	}
}

func loadPolicies(t *testing.T, text string) *conf.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "treadmq.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := conf.Load(conf.Sources{File: path, Required: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The configuration refuses just those headers that the broker cannot index.
func TestIndexHeaders(t *testing.T) {
	c := loadPolicies(t, "[[policy]]\nqueue = \">\"\nindexHeaders = [\"type\", \"tenant\"]\n")
	if got := policies(c)(broker.Destination{Kind: broker.Queue, Name: "a"}).IndexHeaders; !slices.Equal(got, []string{"type", "tenant"}) {
		t.Errorf("the broker is to index %q", got)
	}
	for _, name := range []string{"tenant", "type", "correlation-id", "content-type", "priority", "timestamp", "expires", "persistent", "redelivered", "message-id",
		"reply-to", "destination", "JMSType", "JMSCorrelationID", "JMSMessageID", "JMSPriority", "JMSTimestamp", "JMSExpiration", "JMSDeliveryMode", "JMSRedelivered",
		"JMSXDeliveryCount", "JMSXGroupID", "JMSXGroupSeq", "JMSXUserID", "JMSReplyTo", "JMSDestination", "AMQUserID", "AMQPriority", "AMQTimestamp",
		"AMQExpiration", "AMQDurable", "AMQSize", "AMQGroupID", "AMQAddress"} {
		file := filepath.Join(t.TempDir(), "treadmq.toml")
		if err := os.WriteFile(file, []byte("[[policy]]\nqueue = \">\"\nindexHeaders = [\""+name+"\"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := conf.Load(conf.Sources{File: file, Required: true})
		if (err == nil) != broker.IndexableHeader(name) {
			t.Errorf("%s: the configuration says %v", name, err)
		}
	}
}

// ActiveMQ's name of the key and of its choices mean what deadLetter.strategy does.
func TestDeadLetterStrategyNames(t *testing.T) {
	for word, want := range map[string]broker.DeadLetterStrategy{
		"sharedDeadLetterStrategy": broker.DeadLetterShared, "individualDeadLetterStrategy": broker.DeadLetterIndividual, "discarding": broker.DeadLetterDiscard,
		"shared": broker.DeadLetterShared, "individual": broker.DeadLetterIndividual, "discard": broker.DeadLetterDiscard,
	} {
		c := loadPolicies(t, "[[policy]]\nqueue = \"a\"\ndeadLetterStrategy = \""+word+"\"\n[policy.deadLetter]\nqueuePrefix = \"DEAD.\"\n")
		p := policies(c)(broker.Destination{Kind: broker.Queue, Name: "a"})
		if p.DeadLetter.Strategy != want || p.DeadLetter.Prefix != "DEAD." {
			t.Errorf("%s: %+v", word, p.DeadLetter)
		}
	}
}

// The key may stand without a table, with ActiveMQ's words or ours.
func TestRecoveryPolicyNames(t *testing.T) {
	for word, want := range map[string]broker.RecoveryKind{
		"none": broker.RecoverNothing, "lastImage": broker.RecoverLastImage, "timed": broker.RecoverTimed,
		"noSubscriptionRecoveryPolicy": broker.RecoverNothing, "lastImageSubscriptionRecoveryPolicy": broker.RecoverLastImage,
		"fixedCountSubscriptionRecoveryPolicy": broker.RecoverCount, "fixedSizedSubscriptionRecoveryPolicy": broker.RecoverBytes,
		"timedSubscriptionRecoveryPolicy": broker.RecoverTimed,
	} {
		for _, rule := range []string{"subscriptionRecoveryPolicy = \"" + word + "\"", "[policy.subscriptionRecoveryPolicy]\nkind = \"" + word + "\""} {
			p := policies(loadPolicies(t, "[[policy]]\ntopic = \"a\"\n"+rule+"\n"))(broker.Destination{Kind: broker.Topic, Name: "a"})
			if p.Recovery.Kind != want {
				t.Errorf("%s: %v, want %v", rule, p.Recovery.Kind, want)
			}
		}
	}
}
