package admin

import (
	"cmp"
	"fmt"
	"runtime"
	"strings"
	"time"

	"treadmq/broker"
)

// amqDomain is where ActiveMQ's MBeans are.
const amqDomain = "org.apache.activemq"

// bean is an MBean: its name, and a way to its attributes.
type bean struct {
	name       objectName
	attributes func() map[string]any
}

// beans are the MBeans that a name or pattern means.
func (s *Server) beans(n objectName) []bean {
	var list []bean
	add := func(name objectName, attributes func() map[string]any) {
		if n.matches(name) {
			list = append(list, bean{name, attributes})
		}
	}
	if globMatch(n.domain, "java.lang") {
		add(javaName("Memory"), javaMemory)
		add(javaName("Runtime"), s.javaRuntime)
		add(javaName("Threading"), javaThreading)
		add(javaName("OperatingSystem"), javaSystem)
	}
	if globMatch(n.domain, amqDomain) {
		add(s.amqName(), s.brokerBean)
		add(s.amqName(objectKey{"service", "Health"}), s.healthBean)
		s.destinationBeans(n, add)
		s.consumerBeans(n, add)
	}
	return list
}

func (s *Server) amqName(more ...objectKey) objectName {
	return objectName{domain: amqDomain, keys: append([]objectKey{{"type", "Broker"}, {"brokerName", s.opt.Info().Name}}, more...)}
}

var beanKinds = map[broker.Kind]string{
	broker.Queue: "Queue", broker.Topic: "Topic", broker.TempQueue: "TempQueue", broker.TempTopic: "TempTopic",
}

func (s *Server) destName(d broker.Destination, more ...objectKey) objectName {
	return s.amqName(append([]objectKey{{"destinationType", beanKinds[d.Kind]}, {"destinationName", d.Name}}, more...)...)
}

// wanted narrows destinations down before anything is made of them.
func (s *Server) wanted(n objectName) func(broker.Destination) bool {
	kind, name := n.get("destinationType"), n.get("destinationName")
	exact := name != "" && !strings.ContainsAny(name, "*?_&") // neither a pattern nor perhaps written ActiveMQ's way
	return func(d broker.Destination) bool {
		if exact && d.Name != name {
			return false
		}
		return beanKinds[d.Kind] != "" && (kind == "" || globMatch(kind, beanKinds[d.Kind])) && n.matches(s.destName(d))
	}
}

func (s *Server) destinationBeans(n objectName, add func(objectName, func() map[string]any)) {
	if n.get("destinationName") == "" && !n.more {
		return
	}
	for _, i := range s.b.Queues(s.wanted(n)) {
		add(s.destName(i.Destination), func() map[string]any { return s.queueBean(&i) })
	}
	for _, i := range s.b.Topics(s.wanted(n)) {
		add(s.destName(i.Destination), func() map[string]any { return s.topicBean(&i) })
	}
}

// consumerBeans are the subscriptions of all connections, one for each destination.
func (s *Server) consumerBeans(n objectName, add func(objectName, func() map[string]any)) {
	if n.get("endpoint") == "" && !n.more {
		return
	}
	for _, c := range s.b.Connections() {
		for _, sub := range c.Subscriptions {
			for _, d := range sub.Destinations {
				if beanKinds[d.Kind] != "" {
					add(s.consumerName(d, &sub), func() map[string]any { return consumerBean(d, &c, &sub) })
				}
			}
		}
	}
}

func (s *Server) consumerName(d broker.Destination, sub *broker.SubscriptionInfo) objectName {
	return s.destName(d, objectKey{"endpoint", "Consumer"}, objectKey{"clientId", connectionID(sub.Connection)},
		objectKey{"consumerId", fmt.Sprintf("%d_%d", sub.Connection, sub.Serial)})
}

// connectionID stands for the client id of a connection that has none.
func connectionID(serial uint64) string { return fmt.Sprint("connection-", serial) }

// objectNames are names as attributes have them.
func objectNames(names []objectName) []map[string]string {
	list := make([]map[string]string, 0, len(names))
	for _, n := range names {
		list = append(list, map[string]string{"objectName": n.String()})
	}
	return list
}

func percent(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return int64(float64(part) / float64(whole) * 100)
}

// brokerBean has the attributes of ActiveMQ's BrokerViewMBean that there is something to
// say about.
func (s *Server) brokerBean() map[string]any {
	t, st, info, sums := s.b.Totals(), s.b.StoreStats(), s.opt.Info(), s.rates.counted()
	up := s.opt.Now().Sub(t.Started)
	used, room := s.b.StoreUsage(&st)
	temp, tempRoom := s.b.TempUsage(&st)
	a := map[string]any{
		"BrokerName": info.Name, "BrokerId": info.Name, "BrokerVersion": info.Version, "DataDirectory": info.DataDir,
		"Uptime": up.Truncate(time.Second).String(), "UptimeMillis": up.Milliseconds(), "Persistent": true, "Slave": info.Role != "alone" && info.Role != "master",
		"CurrentConnectionsCount": t.Connections, "TotalConnectionsCount": t.Accepted,
		"TotalMessageCount": t.Messages, "TotalEnqueueCount": sums[sumEnqueued] + sums[sumPublished], "TotalDequeueCount": sums[sumDequeued] + sums[sumDelivered],
		"TotalQueuesCount": t.Queues, "TotalTopicsCount": t.Topics,
		"MemoryLimit": t.MemoryLimit, "MemoryUsageByteCount": t.MemoryBytes, "MemoryPercentUsage": percent(t.MemoryBytes, t.MemoryLimit),
		"StoreLimit": room, "StorePercentUsage": percent(used, room),
		"TempLimit": tempRoom, "TempPercentUsage": percent(temp, tempRoom), "JobSchedulerStorePercentUsage": 0,
	}
	connectors := map[string]any{}
	for i, l := range info.Listeners {
		name := l.Name
		if connectors[name] != nil {
			name = fmt.Sprint(name, i+1)
		}
		scheme := "stomp"
		if l.TLS {
			scheme = "stomp+ssl"
		}
		connectors[name] = scheme + "://" + l.Address
	}
	a["TransportConnectors"] = connectors
	var consumers, producers int
	names := map[broker.Kind][]objectName{}
	for _, i := range s.b.Queues(func(d broker.Destination) bool { return beanKinds[d.Kind] != "" }) {
		consumers, producers = consumers+i.Consumers, producers+i.Producers
		names[i.Destination.Kind] = append(names[i.Destination.Kind], s.destName(i.Destination))
	}
	for _, i := range s.b.Topics(nil) {
		consumers, producers = consumers+i.Subscribers, producers+i.Producers
		names[i.Destination.Kind] = append(names[i.Destination.Kind], s.destName(i.Destination))
	}
	a["TotalConsumerCount"], a["TotalProducerCount"] = consumers, producers
	a["Queues"], a["Topics"] = objectNames(names[broker.Queue]), objectNames(names[broker.Topic])
	a["TemporaryQueues"], a["TemporaryTopics"] = objectNames(names[broker.TempQueue]), objectNames(names[broker.TempTopic])
	return a
}

// healthBean is Good, or says what is not.
func (s *Server) healthBean() map[string]any {
	v := s.overviewView(0)
	status := "Good"
	if len(v.Alarms) > 0 {
		var b strings.Builder
		for _, a := range v.Alarms {
			b.WriteString(" " + a.Text)
		}
		status = b.String()[1:]
	}
	return map[string]any{"CurrentStatus": status}
}

// queueBean has the attributes of QueueViewMBean.
func (s *Server) queueBean(i *broker.QueueInfo) map[string]any {
	a := map[string]any{
		"Name": i.Destination.Name, "QueueSize": i.Messages, "EnqueueCount": i.Enqueued, "DequeueCount": i.Dequeued, "DispatchCount": i.Dispatched,
		"InFlightCount": i.InFlight, "ExpiredCount": i.Expired, "ConsumerCount": i.Consumers, "ProducerCount": i.Producers, "Paused": i.Paused,
		"MemoryUsageByteCount": i.MemoryBytes, "StoreMessageSize": i.Bytes, "AverageMessageSize": int64(0), "BlockedSends": i.Parked,
		"DLQ": s.isDead(i.Destination.Name), "Subscriptions": s.subscriptionNames(i.Destination),
		"AverageEnqueueTime": i.Waits.Average(), "MinEnqueueTime": i.Waits.Min, "MaxEnqueueTime": i.Waits.Max,
	}
	if i.Messages > 0 {
		a["AverageMessageSize"] = i.Bytes / i.Messages
	}
	limit := s.b.Policy(i.Destination).MemoryLimit
	a["MemoryLimit"], a["MemoryPercentUsage"] = limit, percent(i.MemoryBytes, limit)
	return a
}

func (s *Server) isDead(name string) bool {
	return name == broker.DefaultPolicy().DeadLetter.Queue || strings.HasPrefix(name, "DLQ.")
}

// topicBean has the attributes of TopicViewMBean.
func (s *Server) topicBean(i *broker.TopicInfo) map[string]any {
	return map[string]any{
		"Name": i.Destination.Name, "EnqueueCount": i.Published, "DispatchCount": i.Delivered, "DequeueCount": i.Delivered,
		"QueueSize": i.Backlog, "InFlightCount": i.Backlog, "ConsumerCount": i.Subscribers, "ProducerCount": i.Producers,
		"MemoryPercentUsage": 0, "Subscriptions": s.subscriptionNames(i.Destination),
	}
}

func (s *Server) subscriptionNames(d broker.Destination) []map[string]string {
	var names []objectName
	for _, sub := range s.b.Consumers(d) {
		names = append(names, s.consumerName(d, &sub))
	}
	return objectNames(names)
}

// consumerBean has the attributes of SubscriptionViewMBean.
func consumerBean(d broker.Destination, c *broker.ConnInfo, sub *broker.SubscriptionInfo) map[string]any {
	return map[string]any{
		"DestinationName": d.Name, "DestinationQueue": d.Kind.IsQueue(), "DestinationTopic": !d.Kind.IsQueue(), "DestinationTemporary": d.Kind.IsTemporary(),
		"ClientId": cmp.Or(c.ConnOptions.ClientID, connectionID(c.Serial)), "ConnectionId": fmt.Sprint(c.Serial), "SubscriptionId": sub.Serial, "SubscriptionName": sub.ID, "UserName": c.ConnOptions.User, "Active": true,
		"Selector": sub.Selector, "PrefetchSize": sub.Prefetch, "DispatchedQueueSize": sub.InFlight, "MessageCountAwaitingAcknowledge": sub.InFlight,
		"PendingQueueSize": sub.Backlog, "DispatchedCounter": sub.Delivered, "EnqueueCounter": sub.Delivered, "DequeueCounter": sub.Acked,
		"Exclusive": sub.Exclusive, "Priority": sub.Priority, "SlowConsumer": sub.NoCredit,
	}
}

func javaName(kind string) objectName {
	return objectName{domain: "java.lang", keys: []objectKey{{"type", kind}}}
}

// javaMemory answers for the heap of this process, which is none of Java's.
func javaMemory() map[string]any {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return map[string]any{
		"HeapMemoryUsage":    map[string]any{"init": 0, "used": m.HeapAlloc, "committed": m.HeapSys - m.HeapReleased, "max": -1},
		"NonHeapMemoryUsage": map[string]any{"init": 0, "used": m.StackInuse, "committed": m.Sys - m.HeapSys, "max": -1},
	}
}

func (s *Server) javaRuntime() map[string]any {
	info, started := s.opt.Info(), s.b.Totals().Started
	return map[string]any{
		"Name": info.Name, "VmName": "Go", "VmVersion": runtime.Version(), "StartTime": started.UnixMilli(), "Uptime": s.opt.Now().Sub(started).Milliseconds(),
	}
}

func javaThreading() map[string]any { return map[string]any{"ThreadCount": runtime.NumGoroutine()} }

func javaSystem() map[string]any {
	return map[string]any{"Name": runtime.GOOS, "Arch": runtime.GOARCH, "AvailableProcessors": runtime.NumCPU()}
}
