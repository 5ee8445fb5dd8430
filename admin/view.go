package admin

import (
	"math"
	"os"
	"time"

	"treadmq/broker"
	"treadmq/notice"
	"treadmq/store"
)

// The JSON of the API. Names are a contract: none changes within /api/v1.

type queueView struct {
	Name         string     `json:"name"`
	Kind         string     `json:"kind"`
	Messages     int64      `json:"messages"`
	Ready        int64      `json:"ready"`
	InFlight     int64      `json:"inFlight"`
	Delayed      int64      `json:"delayed"`
	Bytes        int64      `json:"bytes"`
	MemoryBytes  int64      `json:"memoryBytes"`
	Consumers    int        `json:"consumers"`
	Producers    int        `json:"producers"`
	Parked       int        `json:"parked"`
	Paused       bool       `json:"paused"`
	StandsStill  bool       `json:"standsStill"` // it holds messages that nothing moves
	Enqueued     uint64     `json:"enqueued"`
	Dequeued     uint64     `json:"dequeued"`
	Dispatched   uint64     `json:"dispatched"`
	Redelivered  uint64     `json:"redelivered"`
	Expired      uint64     `json:"expired"`
	DeadLettered uint64     `json:"deadLettered"`
	Dropped      uint64     `json:"dropped"`
	Duplicates   uint64     `json:"duplicates"` // repeats that were left out
	RateIn       float64    `json:"rateIn"`
	RateOut      float64    `json:"rateOut"`
	CreatedAt    time.Time  `json:"createdAt"`
	TraceUntil   *time.Time `json:"traceUntil,omitempty"` // what happens to its messages is noted until then

	History *historyView `json:"history,omitempty"`
	Spark   []int        `json:"spark,omitempty"` // its depth lately, oldest first, from 0 to 20 of the most
	dest    broker.Destination
}

func (q queueView) sortKey() (name, kind string) { return q.Name, q.Kind }

// queueDetail is one queue with all there is to say about it.
type queueDetail struct {
	queueView
	ConsumersList    []subscriptionView `json:"consumersList"`
	ProducersList    []producerView     `json:"producersList"`
	Policy           *policyView        `json:"policy,omitempty"`
	OldestAgeSeconds float64            `json:"oldestAgeSeconds"`
	Why              []string           `json:"why"`                // what keeps it from moving, in words
	Settings         []PolicySetting    `json:"settings,omitempty"` // of its policy, with where they come from

	findings []finding
}

type topicView struct {
	Name        string    `json:"name"`
	Kind        string    `json:"kind"`
	Subscribers int       `json:"subscribers"`
	Producers   int       `json:"producers"`
	Published   uint64    `json:"published"`
	Delivered   uint64    `json:"delivered"`
	Dropped     uint64    `json:"dropped"`
	Duplicates  uint64    `json:"duplicates"` // repeats that were left out
	Backlog     int       `json:"backlog"`
	RateIn      float64   `json:"rateIn"`
	RateOut     float64   `json:"rateOut"`
	CreatedAt   time.Time `json:"createdAt"`

	History *historyView `json:"history,omitempty"`
	Spark   []int        `json:"spark,omitempty"` // its rate in lately, oldest first, from 0 to 20 of the most
	dest    broker.Destination
}

func (t topicView) sortKey() (name, kind string) { return t.Name, t.Kind }

type topicDetail struct {
	topicView
	SubscribersList []subscriptionView `json:"subscribersList"`
	ProducersList   []producerView     `json:"producersList"`
	Policy          *policyView        `json:"policy,omitempty"`
}

type subscriptionView struct {
	Connection   uint64   `json:"connection"`
	Serial       uint32   `json:"serial"`
	ID           string   `json:"id"`
	Destinations []string `json:"destinations"`
	Prefetch     int      `json:"prefetch"`
	InFlight     int      `json:"inFlight"`
	Backlog      int      `json:"backlog"`
	Ack          string   `json:"ack"` // "auto" or "client"
	Exclusive    bool     `json:"exclusive"`
	Priority     int      `json:"priority"`
	Selector     string   `json:"selector,omitempty"`
	Waiting      bool     `json:"waiting"` // holds as much as it asked for
	Delivered    uint64   `json:"delivered"`
	Acked        uint64   `json:"acked"`
	Dropped      uint64   `json:"dropped"`
}

// producerView is what a connection has sent to a destination.
type producerView struct {
	Connection  uint64     `json:"connection"`
	Destination string     `json:"destination"`
	Remote      string     `json:"remote"`
	User        string     `json:"user"`
	ClientID    string     `json:"clientId"`
	Messages    uint64     `json:"messages"`
	Last        *time.Time `json:"last,omitempty"` // to the second
}

func producerViews(list []broker.ProducerInfo) []producerView {
	views := make([]producerView, 0, len(list))
	for _, p := range list {
		v := producerView{Connection: p.Connection, Destination: destPath(p.Destination), Remote: p.Remote, User: p.User, ClientID: p.ClientID, Messages: p.Messages}
		if !p.Last.IsZero() {
			at := p.Last.UTC()
			v.Last = &at
		}
		views = append(views, v)
	}
	return views
}

type connectionView struct {
	Serial        uint64             `json:"serial"`
	Protocol      string             `json:"protocol"`
	Listener      string             `json:"listener"`
	Remote        string             `json:"remote"`
	User          string             `json:"user"`
	ClientID      string             `json:"clientId"`
	TLS           bool               `json:"tls"`
	Since         time.Time          `json:"since"`
	BeatOut       int64              `json:"heartBeatOutMillis"` // to the client, at least as often; 0: none
	BeatIn        int64              `json:"heartBeatInMillis"`  // expected of it
	Sent          uint64             `json:"sent"`
	Received      uint64             `json:"received"`
	Parked        int                `json:"parked"`
	Transactions  int                `json:"transactions"`
	Subscriptions []subscriptionView `json:"subscriptions"`
	Producers     []producerView     `json:"producers,omitempty"` // where it sends to; of one connection only
}

// historyView is what a destination did lately, oldest first.
type historyView struct {
	IntervalSeconds float64   `json:"intervalSeconds"`
	Messages        []float64 `json:"messages"`
	RateIn          []float64 `json:"rateIn"`
	RateOut         []float64 `json:"rateOut"`
}

type brokerView struct {
	Name          string     `json:"name"`
	Version       string     `json:"version"`
	Role          string     `json:"role"`
	StartedAt     time.Time  `json:"startedAt"`
	UptimeSeconds int64      `json:"uptimeSeconds"`
	PID           int        `json:"pid"`
	DataDir       string     `json:"dataDir"`
	Listeners     []Listener `json:"listeners"`
}

type storeView struct {
	Epoch           uint64  `json:"epoch"`
	Segments        int     `json:"segments"`
	DiskBytes       int64   `json:"diskBytes"`
	LiveBytes       int64   `json:"liveBytes"`
	IndexBytes      int64   `json:"indexBytes"`
	FreeDisk        int64   `json:"freeDisk"` // -1: unknown
	Full            bool    `json:"full"`
	Failed          string  `json:"failed"` // empty: it works
	Appends         uint64  `json:"appends"`
	Syncs           uint64  `json:"syncs"`
	Checkpoints     uint64  `json:"checkpoints"`
	SyncMillis      float64 `json:"syncMillis"` // mean time of a sync
	MaxSyncMillis   float64 `json:"maxSyncMillis"`
	TailMessages    int     `json:"tailMessages"` // not yet in the index
	TailBytes       int64   `json:"tailBytes"`
	CompactedBytes  uint64  `json:"compactedBytes"`
	JournalStart    uint64  `json:"journalStart"`
	JournalEnd      uint64  `json:"journalEnd"`
	CommittedUpTo   uint64  `json:"committedUpTo"`
	IndexedUpTo     uint64  `json:"indexedUpTo"`
	SynchronizedEnd uint64  `json:"synchronizedEnd"`
}

type overviewView struct {
	Broker       brokerView      `json:"broker"`
	Connections  int             `json:"connections"`
	Queues       int             `json:"queues"`
	Topics       int             `json:"topics"`
	Durables     int             `json:"subscriptions"` // durable ones
	Messages     int64           `json:"messages"`
	Enqueued     uint64          `json:"enqueued"`
	Dequeued     uint64          `json:"dequeued"`
	Published    uint64          `json:"published"`
	Expired      uint64          `json:"expired"`
	DeadLettered uint64          `json:"deadLettered"`
	RateIn       float64         `json:"rateIn"`
	RateOut      float64         `json:"rateOut"`
	MemoryBytes  int64           `json:"memoryBytes"`
	MemoryLimit  int64           `json:"memoryLimit"`
	StaleAcks    uint64          `json:"staleAcks"`
	Store        storeView       `json:"store"`
	History      *historyView    `json:"history"`
	Alarms       []notice.Notice `json:"alarms"` // in words, with what to do
	Members      []replicaView   `json:"members,omitempty"`
}

// replicaView is a member of the group, in short.
type replicaView struct {
	Name string  `json:"name"`
	Role string  `json:"role"`
	Self bool    `json:"self"`
	Lag  *uint64 `json:"lag,omitempty"` // bytes behind the master
}

func kindName(k broker.Kind) string {
	switch k {
	case broker.Queue:
		return "queue"
	case broker.Topic:
		return "topic"
	case broker.TempQueue:
		return "temp-queue"
	case broker.TempTopic:
		return "temp-topic"
	case broker.DurableSub:
		return "subscription"
	}
	return "unknown"
}

func (s *Server) queueView(i *broker.QueueInfo) queueView {
	v := queueView{
		Name: i.Destination.Name, Kind: kindName(i.Destination.Kind), Messages: i.Messages, Ready: i.Ready, InFlight: i.InFlight,
		Delayed: i.Delayed, Bytes: i.Bytes, MemoryBytes: i.MemoryBytes, Consumers: i.Consumers, Producers: i.Producers, Parked: i.Parked, Paused: i.Paused,
		Enqueued: i.Enqueued, Dequeued: i.Dequeued, Dispatched: i.Dispatched, Redelivered: i.Redelivered, Expired: i.Expired,
		DeadLettered: i.DeadLettered, Dropped: i.Dropped, Duplicates: i.Duplicates, CreatedAt: i.Created.UTC(), dest: i.Destination,
	}
	if !i.TraceUntil.IsZero() {
		at := i.TraceUntil.UTC()
		v.TraceUntil = &at
	}
	v.RateIn, v.RateOut = s.rates.rates(i.Destination)
	v.StandsStill = standsStill(i, v.RateOut)
	return v
}

func (s *Server) topicView(i *broker.TopicInfo) topicView {
	v := topicView{
		Name: i.Destination.Name, Kind: kindName(i.Destination.Kind), Subscribers: i.Subscribers, Producers: i.Producers, Published: i.Published,
		Delivered: i.Delivered, Dropped: i.Dropped, Duplicates: i.Duplicates, Backlog: i.Backlog, CreatedAt: i.Created.UTC(), dest: i.Destination,
	}
	v.RateIn, v.RateOut = s.rates.rates(i.Destination)
	return v
}

func subscriptionViews(list []broker.SubscriptionInfo) []subscriptionView {
	views := make([]subscriptionView, 0, len(list))
	for _, i := range list {
		v := subscriptionView{
			Connection: i.Connection, Serial: i.Serial, ID: i.ID, Prefetch: i.Prefetch, InFlight: i.InFlight, Backlog: i.Backlog,
			Ack: "client", Exclusive: i.Exclusive, Priority: i.Priority, Selector: i.Selector, Waiting: i.NoCredit, Delivered: i.Delivered, Acked: i.Acked, Dropped: i.Dropped,
		}
		if i.Auto {
			v.Ack = "auto"
		}
		for _, d := range i.Destinations {
			v.Destinations = append(v.Destinations, destPath(d))
		}
		views = append(views, v)
	}
	return views
}

func connectionViewOf(i *broker.ConnInfo) connectionView {
	o := &i.ConnOptions
	return connectionView{
		Serial: i.Serial, Protocol: o.Protocol, Listener: o.Listener, Remote: o.Remote, User: o.User, ClientID: o.ClientID,
		TLS: o.TLS, Since: i.Since.UTC(), BeatOut: o.Beats.ToClient.Milliseconds(), BeatIn: o.Beats.FromClient.Milliseconds(), Sent: i.Sent, Received: i.Received, Parked: i.Parked, Transactions: i.Transactions,
		Subscriptions: subscriptionViews(i.Subscriptions),
	}
}

func (s *Server) historyView(trace []point, of int) *historyView {
	h := &historyView{IntervalSeconds: s.opt.SampleInterval.Seconds(), Messages: make([]float64, len(trace)), RateIn: make([]float64, len(trace)), RateOut: make([]float64, len(trace))}
	if step := spans[of].step; step > 0 {
		h.IntervalSeconds = step.Seconds()
	}
	for i, p := range trace {
		h.Messages[i], h.RateIn[i], h.RateOut[i] = float64(p.messages), hundredths(p.in), hundredths(p.out)
	}
	return h
}

// hundredths is exact enough for a rate in a history, and short.
func hundredths(v float32) float64 { return math.Round(float64(v)*100) / 100 }

func storeViewOf(st *store.Stats) storeView {
	v := storeView{
		Epoch: uint64(st.Epoch), Segments: st.Segments, DiskBytes: st.DiskBytes, LiveBytes: st.LiveBytes, IndexBytes: st.IndexBytes,
		FreeDisk: st.FreeDisk, Full: st.Full, Appends: st.Appends, Syncs: st.Syncs, Checkpoints: st.Checkpoints,
		MaxSyncMillis: float64(st.MaxSyncNanos) / 1e6, TailMessages: st.TailRefs, TailBytes: st.TailBytes, CompactedBytes: st.CompactedBytes,
		JournalStart: uint64(st.Start), JournalEnd: uint64(st.End), CommittedUpTo: uint64(st.Commit), IndexedUpTo: uint64(st.Applied),
		SynchronizedEnd: uint64(st.Synced),
	}
	if st.Syncs > 0 {
		v.SyncMillis = float64(st.SyncNanos) / float64(st.Syncs) / 1e6
	}
	if st.Failed != nil {
		v.Failed = st.Failed.Error()
	}
	return v
}

// overviewView is the broker as a whole, with its history of a span.
func (s *Server) overviewView(of int) overviewView {
	t, st, info := s.b.Totals(), s.b.StoreStats(), s.opt.Info()
	v := overviewView{
		Broker: brokerView{
			Name: info.Name, Version: info.Version, Role: info.Role, StartedAt: t.Started.UTC(),
			UptimeSeconds: int64(s.opt.Now().Sub(t.Started).Seconds()), PID: os.Getpid(), DataDir: info.DataDir, Listeners: info.Listeners,
		},
		Connections: t.Connections, Queues: t.Queues, Topics: t.Topics, Durables: t.Durables, Messages: t.Messages, Enqueued: t.Enqueued, Dequeued: t.Dequeued,
		Published: t.Published, Expired: t.Expired, DeadLettered: t.DeadLettered, MemoryBytes: t.MemoryBytes, MemoryLimit: t.MemoryLimit,
		StaleAcks: t.StaleAcks, Store: storeViewOf(&st),
	}
	if v.Broker.Listeners == nil {
		v.Broker.Listeners = []Listener{}
	}
	var trace []point
	v.RateIn, v.RateOut, trace = s.rates.totals(of)
	v.History = s.historyView(trace, of)
	v.Alarms = s.alarms(&v)
	if s.opt.Cluster != nil {
		for _, m := range s.opt.Cluster.Status().Members {
			v.Members = append(v.Members, replicaView{m.Name, m.Role, m.Self, m.Lag})
		}
	}
	return v
}

// lowDisk is the free disk space in bytes below which people are warned.
const lowDisk = 1 << 30

// alarms are what needs somebody to look, in words.
func (s *Server) alarms(v *overviewView) []notice.Notice {
	list := []notice.Notice{}
	say := func(code, format string, facts ...any) { list = append(list, notice.New(code, format, facts...)) }
	switch {
	case v.Store.Failed != "":
		say("alarm.store.failed", "The store has failed and nothing more is accepted: %s. Look at the disk and the log, then restart the broker.", v.Store.Failed)
	case v.Store.Full:
		say("alarm.store.full", "The disk is full: persistent messages are refused until there is room. Consume or purge, or make room on the disk.")
	case v.Store.FreeDisk >= 0 && v.Store.FreeDisk < lowDisk:
		say("alarm.store.low", "The disk is nearly full: %s are left. Make room before messages are refused.", formatBytes(float64(v.Store.FreeDisk)))
	}
	if ok, reasons := s.opt.Ready(); !ok {
		for _, reason := range reasons {
			say("alarm.notready", "Clients are not taken: %s", reason)
		}
	}
	if s.opt.Cluster != nil {
		list = append(list, s.opt.Cluster.Status().Alarms...)
	}
	return list
}
