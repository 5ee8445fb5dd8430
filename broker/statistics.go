package broker

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"treadmq/store"
)

// Names that the broker answers, as ActiveMQ's statistics plug-in.
const (
	statisticsPrefix       = "ActiveMQ.Statistics."
	statisticsBroker       = statisticsPrefix + "Broker"
	statisticsDestination  = statisticsPrefix + "Destination"
	statisticsSubscription = statisticsPrefix + "Subscription"
	statisticsEnd          = statisticsDestination + ".List.End.With.Null"
)

// propTransformation is a request's wish for the form of its answers; front ends carry it out.
const propTransformation = "transformation"

// maxAnswers bounds the answers to one request.
const maxAnswers = 10_000

// SendTarget says what a client's SEND to d means: names that the broker answers itself become services, and
// advisories are the broker's own to send.
func SendTarget(d Destination) (Destination, error) {
	switch {
	case d.Kind != Queue && d.Kind != Topic || !hasPrefixFold(d.Name, ownPrefix):
		return d, nil
	case isAdvisory(d):
		return d, Errorf(CodeNotAuthorized, "%s is a topic on which the broker tells what happens; nobody else sends there", d.Name)
	case hasPrefixFold(d.Name, statisticsPrefix):
		return Destination{Service, d.String()}, nil
	}
	return d, nil
}

// ownPrefix begins the names that are the broker's own.
const ownPrefix = "ActiveMQ."

// MayName says why clients and operators may not name d, or nil: it would be made, and names that begin with
// ActiveMQ. are the broker's own. It makes dead-letter queues there by itself, whose consumers may come first.
func (b *Broker) MayName(d Destination) error {
	switch {
	case !strings.HasPrefix(d.Name, ownPrefix) || d.IsPattern(), d.Kind != Queue && d.Kind != Topic, isAdvisory(d):
		return nil
	case d.Kind == Queue && strings.HasPrefix(d.Name, ownPrefix+"DLQ"), b.Exists(d):
		return nil
	}
	return Errorf(CodeBadDestination, "there is no %s %s, and nobody may make it: names that begin with %s are the broker's own; choose another name", d.Kind, d.Name, ownPrefix)
}

// serve answers a request for statistics. Without a reply-to it is ignored.
func (b *Broker) serve(d Destination, m *Message) {
	reply, ok := m.ReplyTo()
	if !ok || reply.Kind == 0 || hasPrefixFold(reply.Name, statisticsPrefix) || isAdvisory(reply) || b.MayName(reply) != nil {
		return
	}
	kind, name := Queue, strings.TrimPrefix(d.Name, "queue://")
	if topic, found := strings.CutPrefix(d.Name, "topic://"); found {
		kind, name = Topic, topic
	}
	var answers []any
	switch {
	case hasPrefixFold(name, statisticsDestination):
		query := name[len(statisticsDestination):]
		end := m.hasProperty(statisticsEnd)
		if rest, found := strings.CutSuffix(query, statisticsEnd); found {
			query, end = rest, true
		}
		answers = b.destinationStatistics(Destination{kind, strings.Trim(query, ".")})
		if end {
			answers = append(answers, struct{}{})
		}
	case hasPrefixFold(name, statisticsSubscription):
		answers = b.subscriptionStatistics()
	case hasPrefixFold(name, statisticsBroker):
		answers = []any{b.statistics()}
	}
	b.answer(reply, m, answers)
}

// hasPrefixFold ignores case, as ActiveMQ does with these names.
func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// hasProperty reports whether the message has a property, whatever its value.
func (m *Message) hasProperty(name string) bool {
	for it := m.Properties(); it.Next(); {
		if string(it.Name) == name {
			return true
		}
	}
	return false
}

// answer sends JSON bodies to where the request wants them, and drops what there is no room for.
func (b *Broker) answer(to Destination, request *Message, bodies []any) {
	w := b.internalWork()
	correlation, correlated := request.Field(FieldCorrelationID)
	for _, body := range bodies[:min(len(bodies), maxAnswers)] {
		var bl Builder
		bl.Reset()
		bl.Kind, bl.Timestamp = BodyFigures, b.now().UnixMilli()
		bl.SetField(FieldType, []byte("Advisory"))
		bl.SetField(FieldContentType, []byte("application/json"))
		if correlated {
			bl.SetField(FieldCorrelationID, correlation)
		}
		if form := request.header(propTransformation); form != nil {
			bl.AddString([]byte(propTransformation), form)
		}
		text, err := json.Marshal(body)
		if err != nil {
			b.log.Error("statistics cannot be written as JSON", "err", err)
			continue
		}
		if err := w.Send([]Destination{to}, bl.Build(to, text)); err != nil {
			b.log.Debug("an answer was dropped", "dest", to.String(), "err", err)
			break
		}
	}
	w.Flush(nil)
}

// Figures in JSON, with the names that ActiveMQ's statistics have. What is not measured is left out.
type statisticsHead struct {
	BrokerName string `json:"brokerName"`
	BrokerID   string `json:"brokerId"`
}

type statisticsCounts struct {
	Size               int64   `json:"size"`
	EnqueueCount       uint64  `json:"enqueueCount"`
	DequeueCount       uint64  `json:"dequeueCount"`
	DispatchCount      uint64  `json:"dispatchCount"`
	ExpiredCount       uint64  `json:"expiredCount"`
	InflightCount      int64   `json:"inflightCount"`
	MessagesCached     int64   `json:"messagesCached"`
	AverageMessageSize float64 `json:"averageMessageSize"`
	MemoryPercentUsage int64   `json:"memoryPercentUsage"`
	MemoryUsage        int64   `json:"memoryUsage"`
	MemoryLimit        int64   `json:"memoryLimit"`
	ConsumerCount      int     `json:"consumerCount"`
	ProducerCount      int     `json:"producerCount"`
}

// statisticsWaits are of queues: a topic's messages do not wait.
type statisticsWaits struct {
	Average float64 `json:"averageEnqueueTime"`
	Min     int64   `json:"minEnqueueTime"`
	Max     int64   `json:"maxEnqueueTime"`
}

func (w *WaitTimes) statistics() statisticsWaits { return statisticsWaits{w.Average(), w.Min, w.Max} }

func (b *Broker) statisticsHead() statisticsHead { return statisticsHead{b.node, b.node} }

func percent(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return part * 100 / whole
}

func average(bytes, n int64) float64 {
	if n <= 0 {
		return 0
	}
	return float64(bytes) / float64(n)
}

func (b *Broker) queueCounts(i *QueueInfo, limit int64) statisticsCounts {
	return statisticsCounts{
		MessagesCached: b.cached(i.Destination),
		Size:           i.Messages, EnqueueCount: i.Enqueued, DequeueCount: i.Dequeued, DispatchCount: i.Dispatched, ExpiredCount: i.Expired,
		InflightCount: i.InFlight, AverageMessageSize: average(i.Bytes, i.Messages), MemoryUsage: i.MemoryBytes, MemoryLimit: limit,
		MemoryPercentUsage: percent(i.MemoryBytes, limit), ConsumerCount: i.Consumers, ProducerCount: i.Producers,
	}
}

func (i *TopicInfo) statistics() statisticsCounts {
	return statisticsCounts{Size: int64(i.Backlog), MessagesCached: int64(i.Cached), EnqueueCount: i.Published, DequeueCount: i.Delivered, DispatchCount: i.Delivered,
		ConsumerCount: i.Subscribers, ProducerCount: i.Producers}
}

// statistics are the figures of the whole broker.
func (b *Broker) statistics() any {
	var sum statisticsCounts
	var waits WaitTimes
	var bytes int64
	for _, i := range b.Queues(nil) {
		bytes += i.Bytes
		waits.merge(i.Waits)
		sum.add(b.queueCounts(&i, 0))
	}
	for _, i := range b.Topics(nil) {
		sum.add(i.statistics())
	}
	st := b.store.Stats()
	sum.AverageMessageSize = average(bytes, sum.Size)
	sum.MemoryUsage, sum.MemoryLimit = b.mem.Load(), b.memLimit
	sum.MemoryPercentUsage = percent(sum.MemoryUsage, sum.MemoryLimit)
	used, limit := b.StoreUsage(&st)
	temp, tempLimit := b.TempUsage(&st)
	return struct {
		statisticsHead
		statisticsCounts
		statisticsWaits
		StorePercentUsage int64 `json:"storePercentUsage"`
		StoreUsage        int64 `json:"storeUsage"`
		StoreLimit        int64 `json:"storeLimit"`
		TempPercentUsage  int64 `json:"tempPercentUsage"`
		TempUsage         int64 `json:"tempUsage"`
		TempLimit         int64 `json:"tempLimit"`
		statisticsWhere
	}{b.statisticsHead(), sum, waits.statistics(), percent(used, limit), used, limit, percent(temp, tempLimit), temp, tempLimit, b.statisticsWhere()}
}

// statisticsWhere has an empty text for each of ActiveMQ's transports that there is none of here.
type statisticsWhere struct {
	OpenWire      string `json:"openwire"`
	Stomp         string `json:"stomp"`
	SSL           string `json:"ssl"`
	StompTLS      string `json:"stomp+ssl"`
	VM            string `json:"vm"`
	DataDirectory string `json:"dataDirectory"`
}

func (b *Broker) statisticsWhere() statisticsWhere {
	w := b.opt.Where()
	return statisticsWhere{Stomp: w.Stomp, StompTLS: w.StompTLS, DataDirectory: w.DataDir}
}

// cached is how many of a queue's messages memory knows: those next in line, and those that consumers hold. The rest is in
// the store only.
func (b *Broker) cached(d Destination) (n int64) {
	q, err := b.existing(d)
	if err != nil {
		return 0 // deleted meanwhile
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.lanes {
		for l := range q.lanes[i] {
			n += int64(q.lanes[i][l].ready.len())
		}
	}
	return n + q.inflight
}

// StoreUsage is what of the store counts as used and how much it may be: the bytes on disk and all that the disk has, or the
// live bytes and Options.StoreLimit.
func (b *Broker) StoreUsage(st *store.Stats) (used, limit int64) {
	if b.opt.StoreLimit > 0 {
		return st.LiveBytes, b.opt.StoreLimit
	}
	return st.DiskBytes, st.DiskBytes + max(st.FreeDisk, 0)
}

// TempUsage is the same of the temporary store, where messages go that need not survive and that memory has no room for:
// 0 of 0 if there is none. st are the figures of the store, which is on the same disk.
func (b *Broker) TempUsage(st *store.Stats) (used, limit int64) {
	if b.temp == nil {
		return 0, 0
	}
	used = b.temp.Stats().LiveBytes
	if b.opt.TempLimit > 0 {
		return used, b.opt.TempLimit
	}
	return used, used + max(st.FreeDisk, 0)
}

func (c *statisticsCounts) add(o statisticsCounts) {
	c.Size += o.Size
	c.EnqueueCount += o.EnqueueCount
	c.DequeueCount += o.DequeueCount
	c.DispatchCount += o.DispatchCount
	c.ExpiredCount += o.ExpiredCount
	c.InflightCount += o.InflightCount
	c.MessagesCached += o.MessagesCached
	c.ConsumerCount += o.ConsumerCount
	c.ProducerCount += o.ProducerCount
}

// destinationStatistics are the figures of each destination that a name or pattern means.
func (b *Broker) destinationStatistics(query Destination) (all []any) {
	type figures struct {
		statisticsHead
		DestinationName string `json:"destinationName"`
		statisticsCounts
	}
	type waiting struct {
		figures
		statisticsWaits
	}
	wanted := func(d Destination) bool {
		return d.Kind == query.Kind && (d.Name == query.Name || query.IsPattern() && query.Covers(d.Name))
	}
	if query.Kind == Topic {
		for _, i := range b.Topics(wanted) {
			all = append(all, figures{b.statisticsHead(), i.Destination.String(), i.statistics()})
		}
		return all
	}
	for _, i := range b.Queues(wanted) {
		f := figures{b.statisticsHead(), i.Destination.String(), b.queueCounts(&i, b.policyOf(i.Destination).MemoryLimit)}
		all = append(all, waiting{f, i.Waits.statistics()})
	}
	return all
}

// subscriptionStatistics are the figures of each subscription.
func (b *Broker) subscriptionStatistics() (all []any) {
	type figures struct {
		statisticsHead
		DestinationName     string `json:"destinationName"`
		ClientID            string `json:"clientId"`
		ConnectionID        string `json:"connectionId"`
		SessionID           int64  `json:"sessionId"`
		Selector            string `json:"selector"`
		EnqueueCounter      uint64 `json:"enqueueCounter"`
		DequeueCounter      uint64 `json:"dequeueCounter"`
		DispatchedCounter   uint64 `json:"dispatchedCounter"`
		DispatchedQueueSize int    `json:"dispatchedQueueSize"`
		PrefetchSize        int    `json:"prefetchSize"`
		MaximumPending      int    `json:"maximumPendingMessageLimit"`
		Exclusive           bool   `json:"exclusive"`
		Retroactive         bool   `json:"retroactive"`
		SlowConsumer        bool   `json:"slowConsumer"`
	}
	for _, c := range b.Connections() {
		for _, s := range c.Subscriptions {
			names := make([]string, 0, len(s.Destinations))
			for _, d := range s.Destinations {
				names = append(names, d.String())
			}
			slices.Sort(names)
			all = append(all, figures{
				statisticsHead: b.statisticsHead(), DestinationName: strings.Join(names, ","), ClientID: c.ConnOptions.ClientID,
				ConnectionID: strconv.FormatUint(c.Serial, 10), SessionID: int64(s.Serial), Selector: s.Selector,
				EnqueueCounter: s.Delivered + uint64(s.Backlog), DequeueCounter: s.Acked, DispatchedCounter: s.Delivered,
				DispatchedQueueSize: s.InFlight, PrefetchSize: s.Prefetch, MaximumPending: s.PendingLimit,
				Exclusive: s.Exclusive, Retroactive: s.Retroactive, SlowConsumer: s.Backlog > 0,
			})
		}
	}
	return all
}
