package admin

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"treadmq/broker"
)

// topQueues have series of their own in /metrics, the deepest ones; the others are
// summed up as "other". /metrics/per-destination has all of them.
const topQueues = 100

const otherQueues = "other"

// figure is one number of the broker.
type figure struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*gathered) float64
}

// gathered is what one scrape looks at.
type gathered struct {
	totals broker.Totals
	store  storeView
	sums   sums
}

func gauge(name, help string, value func(*gathered) float64) figure {
	return figure{prometheus.NewDesc("treadmq_"+name, help, nil, nil), prometheus.GaugeValue, value}
}

func counter(name, help string, value func(*gathered) float64) figure {
	return figure{prometheus.NewDesc("treadmq_"+name, help, nil, nil), prometheus.CounterValue, value}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// brokerFigures are those of the broker as a whole.
func brokerFigures() []figure {
	return []figure{
		gauge("start_time_seconds", "When the broker started, in seconds since 1970.", func(g *gathered) float64 { return float64(g.totals.Started.UnixMilli()) / 1000 }),
		gauge("connections", "Connections of clients.", func(g *gathered) float64 { return float64(g.totals.Connections) }),
		gauge("queues", "Queues.", func(g *gathered) float64 { return float64(g.totals.Queues) }),
		gauge("topics", "Topics.", func(g *gathered) float64 { return float64(g.totals.Topics) }),
		gauge("messages", "Messages in all queues.", func(g *gathered) float64 { return float64(g.totals.Messages) }),
		gauge("memory_bytes", "Memory that messages take.", func(g *gathered) float64 { return float64(g.totals.MemoryBytes) }),
		gauge("memory_limit_bytes", "Memory that messages may take.", func(g *gathered) float64 { return float64(g.totals.MemoryLimit) }),
		counter("enqueued_messages_total", "Messages that came into queues.", func(g *gathered) float64 { return float64(g.sums[sumEnqueued]) }),
		counter("dequeued_messages_total", "Messages of queues that were acknowledged.", func(g *gathered) float64 { return float64(g.sums[sumDequeued]) }),
		counter("published_messages_total", "Messages published to topics.", func(g *gathered) float64 { return float64(g.sums[sumPublished]) }),
		counter("delivered_messages_total", "Messages of topics that were delivered.", func(g *gathered) float64 { return float64(g.sums[sumDelivered]) }),
		counter("redelivered_messages_total", "Messages of queues that came back and were delivered again.", func(g *gathered) float64 { return float64(g.sums[sumRedelivered]) }),
		counter("expired_messages_total", "Messages that expired.", func(g *gathered) float64 { return float64(g.sums[sumExpired]) }),
		counter("dead_letter_messages_total", "Messages that became dead letters.", func(g *gathered) float64 { return float64(g.sums[sumDead]) }),
		counter("dropped_messages_total", "Messages that were purged, or dropped by a policy.", func(g *gathered) float64 { return float64(g.sums[sumDropped]) }),
		counter("duplicate_messages_total", "Messages that were sent again with an id that was known, and left out.", func(g *gathered) float64 { return float64(g.sums[sumDuplicates]) }),
		counter("stale_acknowledgements_total", "Acknowledgements of messages that were no longer outstanding.", func(g *gathered) float64 { return float64(g.totals.StaleAcks) }),
	}
}

// storeFigures are those of the store.
func storeFigures() []figure {
	return []figure{
		gauge("store_failed", "1 if the store has failed, which only a restart ends.", func(g *gathered) float64 { return truth(g.store.Failed != "") }),
		gauge("store_full", "1 if persistent messages are refused because the disk is full.", func(g *gathered) float64 { return truth(g.store.Full) }),
		gauge("store_disk_bytes", "Bytes of the journal on disk.", func(g *gathered) float64 { return float64(g.store.DiskBytes) }),
		gauge("store_live_bytes", "Bytes of live messages in the journal.", func(g *gathered) float64 { return float64(g.store.LiveBytes) }),
		gauge("store_index_bytes", "Bytes of the index on disk.", func(g *gathered) float64 { return float64(g.store.IndexBytes) }),
		gauge("store_free_bytes", "Bytes that the file system still gives; -1 if unknown.", func(g *gathered) float64 { return float64(g.store.FreeDisk) }),
		gauge("store_segments", "Segments of the journal.", func(g *gathered) float64 { return float64(g.store.Segments) }),
		gauge("store_tail_bytes", "Bytes of the journal that are not in the index yet.", func(g *gathered) float64 { return float64(g.store.TailBytes) }),
		counter("store_appends_total", "Batches appended to the journal.", func(g *gathered) float64 { return float64(g.store.Appends) }),
		counter("store_syncs_total", "Syncs of the journal to the disk.", func(g *gathered) float64 { return float64(g.store.Syncs) }),
		counter("store_sync_seconds_total", "Time spent in syncs, with the write where one call does both.", func(g *gathered) float64 { return g.store.SyncMillis / 1000 * float64(g.store.Syncs) }),
		counter("store_checkpoints_total", "Checkpoints of the index.", func(g *gathered) float64 { return float64(g.store.Checkpoints) }),
		counter("store_compacted_bytes_total", "Bytes moved by compaction.", func(g *gathered) float64 { return float64(g.store.CompactedBytes) }),
	}
}

// queueFigure is one number of a queue.
type queueFigure struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*broker.QueueInfo) float64
}

func queueGauge(name, help string, value func(*broker.QueueInfo) float64) queueFigure {
	return queueFigure{prometheus.NewDesc("treadmq_queue_"+name, help, []string{"destination"}, nil), prometheus.GaugeValue, value}
}

func queueCounter(name, help string, value func(*broker.QueueInfo) float64) queueFigure {
	return queueFigure{prometheus.NewDesc("treadmq_queue_"+name, help, []string{"destination"}, nil), prometheus.CounterValue, value}
}

// depthFigures can be summed up over queues.
func depthFigures() []queueFigure {
	return []queueFigure{
		queueGauge("messages", "Messages in the queue.", func(q *broker.QueueInfo) float64 { return float64(q.Messages) }),
		queueGauge("ready_messages", "Messages that wait for a consumer.", func(q *broker.QueueInfo) float64 { return float64(q.Ready) }),
		queueGauge("in_flight_messages", "Messages that consumers hold.", func(q *broker.QueueInfo) float64 { return float64(q.InFlight) }),
		queueGauge("bytes", "Bytes of the queue's messages.", func(q *broker.QueueInfo) float64 { return float64(q.Bytes) }),
		queueGauge("consumers", "Consumers of the queue.", func(q *broker.QueueInfo) float64 { return float64(q.Consumers) }),
		queueGauge("waiting_sends", "Sends that wait because the queue is full.", func(q *broker.QueueInfo) float64 { return float64(q.Parked) }),
	}
}

// flowFigures begin anew with their queue.
func flowFigures() []queueFigure {
	return []queueFigure{
		queueGauge("paused", "1 if deliveries are paused.", func(q *broker.QueueInfo) float64 { return truth(q.Paused) }),
		queueCounter("enqueued_messages_total", "Messages that came into the queue.", func(q *broker.QueueInfo) float64 { return float64(q.Enqueued) }),
		queueCounter("dequeued_messages_total", "Messages that were acknowledged.", func(q *broker.QueueInfo) float64 { return float64(q.Dequeued) }),
		queueCounter("redelivered_messages_total", "Messages that came back.", func(q *broker.QueueInfo) float64 { return float64(q.Redelivered) }),
		queueCounter("expired_messages_total", "Messages that expired.", func(q *broker.QueueInfo) float64 { return float64(q.Expired) }),
		queueCounter("dead_letter_messages_total", "Messages that became dead letters.", func(q *broker.QueueInfo) float64 { return float64(q.DeadLettered) }),
	}
}

// brokerCollector gives the figures of the broker and of its deepest queues.
type brokerCollector struct {
	s       *Server
	figures []figure
	queues  []queueFigure
	build   *prometheus.Desc
	ready   *prometheus.Desc
	age     *prometheus.Desc
}

func newBrokerCollector(s *Server) *brokerCollector {
	return &brokerCollector{s: s, figures: append(brokerFigures(), storeFigures()...), queues: depthFigures(),
		build: prometheus.NewDesc("treadmq_build_info", "Always 1; what runs here.", []string{"version", "role"}, nil),
		ready: prometheus.NewDesc("treadmq_ready", "1 if clients are taken, else 0.", nil, nil),
		age: prometheus.NewDesc("treadmq_queue_oldest_message_age_seconds", "Age of the queue's oldest message, 0 if it is empty. Of the deepest queues only: each is looked into.",
			[]string{"destination"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *brokerCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.build
	ch <- c.ready
	ch <- c.age
	for _, f := range c.figures {
		ch <- f.desc
	}
	for _, f := range c.queues {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *brokerCollector) Collect(ch chan<- prometheus.Metric) {
	info := c.s.opt.Info()
	ch <- prometheus.MustNewConstMetric(c.build, prometheus.GaugeValue, 1, info.Version, info.Role)
	ready, _ := c.s.opt.Ready()
	ch <- prometheus.MustNewConstMetric(c.ready, prometheus.GaugeValue, truth(ready))
	if c.s.b == nil {
		return // not master: there are no figures of a broker
	}
	st := c.s.b.StoreStats()
	g := &gathered{totals: c.s.b.Totals(), store: storeViewOf(&st), sums: c.s.rates.counted()}
	for _, f := range c.figures {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(g))
	}
	queues := c.s.lastingQueues()
	slices.SortStableFunc(queues, func(a, b broker.QueueInfo) int { return -cmp.Compare(a.Messages, b.Messages) })
	for _, f := range c.queues {
		rest := 0.0
		for i := range queues {
			v := f.value(&queues[i])
			if i < topQueues && queues[i].Destination.Name != otherQueues {
				ch <- prometheus.MustNewConstMetric(f.desc, f.kind, v, queues[i].Destination.Name)
				continue
			}
			rest += v
		}
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, rest, otherQueues)
	}
	for _, q := range queues[:min(len(queues), topQueues)] {
		age := 0.0
		if q.Messages > 0 {
			var err error
			if age, err = c.s.oldestAge(q.Destination); err != nil {
				continue // it was deleted meanwhile, or the store does not answer: no figure rather than a wrong one
			}
		}
		ch <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, age, q.Destination.Name)
	}
}

// lastingQueues are the queues that are not temporary: those have names of their own each time.
func (s *Server) lastingQueues() []broker.QueueInfo {
	return s.b.Queues(func(d broker.Destination) bool { return d.Kind == broker.Queue })
}

// queueCollector gives all figures of all queues.
type queueCollector struct {
	s       *Server
	figures []queueFigure
}

// Describe implements prometheus.Collector.
func (c *queueCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range c.figures {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *queueCollector) Collect(ch chan<- prometheus.Metric) {
	if c.s.b == nil {
		return
	}
	queues := c.s.lastingQueues()
	for _, f := range c.figures {
		for i := range queues {
			ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(&queues[i]), queues[i].Destination.Name)
		}
	}
}

// openMetrics makes the two registries.
func (s *Server) openMetrics() error {
	all, each := prometheus.NewRegistry(), prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{newBrokerCollector(s), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), clusterCollector{s}} {
		if err := all.Register(c); err != nil {
			return err
		}
	}
	if err := each.Register(&queueCollector{s, append(depthFigures(), flowFigures()...)}); err != nil {
		return err
	}
	s.metrics, s.perQueue = all, each
	opt := promhttp.HandlerOpts{MaxRequestsInFlight: maxHeavy}
	s.metricsHandler, s.perQueueHandler = promhttp.HandlerFor(all, opt), promhttp.HandlerFor(each, opt)
	return nil
}

func (s *Server) metricsPage(w http.ResponseWriter, r *http.Request) error {
	s.metricsHandler.ServeHTTP(w, r)
	return nil
}

func (s *Server) perQueuePage(w http.ResponseWriter, r *http.Request) error {
	s.perQueueHandler.ServeHTTP(w, r)
	return nil
}
