package stomp

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"treadmq/broker"
	"treadmq/store"
)

// ask sends a request for statistics and returns n answers.
func (c *client) ask(destination, headers string, n int) []map[string]any {
	c.t.Helper()
	c.send("SEND\ndestination:" + destination + "\nreply-to:/temp-queue/stats\ncorrelation-id:7\n" + headers + "\n\x00")
	var all []map[string]any
	for range n {
		g := c.expect("MESSAGE")
		var body map[string]any
		if err := json.Unmarshal([]byte(g.body), &body); err != nil || g.get("correlation-id") != "7" || g.get("content-type") != "application/json" {
			c.t.Fatalf("%v: %v", err, g)
		}
		all = append(all, body)
	}
	return all
}

// As monitoring scripts written for ActiveMQ ask.
func TestStatistics(t *testing.T) {
	r := newRig(t)
	c := r.connected("client-id:monitor\n")
	c.send("SUBSCRIBE\nid:s\ndestination:/temp-queue/stats\nreceipt:1\n\n\x00")
	c.expectReceipt("1")
	for i := range 3 {
		c.send(fmt.Sprintf("SEND\ndestination:/queue/q.%d\nreceipt:x\n\nbody\x00", i%2))
		c.expectReceipt("x")
	}
	c.send("SEND\ndestination:/topic/t\n\nbody\x00")

	for _, destination := range []string{"/queue/ActiveMQ.Statistics.Broker", "/topic/ActiveMQ.Statistics.Broker", "ActiveMQ.Statistics.Broker"} {
		s := c.ask(destination, "", 1)[0]
		if s["brokerName"] != "test" || s["size"].(float64) < 3 || s["enqueueCount"].(float64) < 4 || s["storeUsage"].(float64) <= 0 || s["producerCount"].(float64) < 3 {
			t.Fatalf("%v", s)
		}
	}
	s := c.ask("/queue/ActiveMQ.Statistics.Destination.q.0", "", 1)[0]
	for key, want := range map[string]any{"destinationName": "queue://q.0", "size": 2.0, "enqueueCount": 2.0, "dequeueCount": 0.0,
		"dispatchCount": 0.0, "expiredCount": 0.0, "inflightCount": 0.0, "consumerCount": 0.0, "producerCount": 1.0} {
		if s[key] != want {
			t.Errorf("%s is %v, want %v", key, s[key], want)
		}
	}
	names := func(all []map[string]any) (list []string) {
		for _, s := range all {
			name, _ := s["destinationName"].(string)
			list = append(list, name)
		}
		return list
	}
	for _, x := range []struct {
		destination, headers string
		want                 []string
	}{
		{"ActiveMQ.Statistics.Destination.q.>", "", []string{"queue://q.0", "queue://q.1"}},
		{"/topic/ActiveMQ.Statistics.Destination.>", "", []string{"topic://t"}},
		{"/queue/ActiveMQ.Statistics.Destination.q.1", "ActiveMQ.Statistics.Destination.List.End.With.Null:true\n", []string{"queue://q.1", ""}},
		{"/queue/ActiveMQ.Statistics.Destination.noneActiveMQ.Statistics.Destination.List.End.With.Null", "", []string{""}},
	} {
		if got := names(c.ask(x.destination, x.headers, len(x.want))); !slices.Equal(got, x.want) {
			t.Errorf("%s: %q, want %q", x.destination, got, x.want)
		}
	}
	for _, name := range []string{"averageEnqueueTime", "minEnqueueTime", "maxEnqueueTime"} {
		if s[name] != 0.0 {
			t.Errorf("%s is %v before the first delivery", name, s[name])
		}
	}
	s = c.ask("/queue/ActiveMQ.Statistics.Subscription", "", 1)[0]
	if s["clientId"] != "monitor" || s["prefetchSize"] != 100.0 || s["exclusive"] != false || s["retroactive"] != false || s["maximumPendingMessageLimit"] != 0.0 {
		t.Errorf("%v", s)
	}
	// In a transaction the answer comes with the commit; without reply-to there is none; nothing was made of the names.
	c.send("BEGIN\ntransaction:t\n\n\x00SEND\ntransaction:t\ndestination:ActiveMQ.Statistics.Broker\nreply-to:/temp-queue/stats\n\n\x00" +
		"SEND\ndestination:/queue/ActiveMQ.Statistics.Broker\nreceipt:none\n\n\x00")
	c.expectReceipt("none")
	c.send("COMMIT\ntransaction:t\n\n\x00")
	c.expect("MESSAGE")
	for _, q := range r.b.Queues(nil) {
		if d := q.Destination; d.Name == "ActiveMQ.Statistics.Broker" {
			t.Errorf("there is a queue %s", d.Name)
		}
	}
}

// Every key of ActiveMQ's plug-in is there, so that a script finds what it asks for.
func TestStatistics_Keys(t *testing.T) {
	r := newRig(t, queuePolicy(func(p *broker.Policy) { p.MemoryLimit = 64 << 10 }))
	c := r.connected("")
	c.subscribe("/temp-queue/stats", "")
	body := strings.Repeat("x", 10<<10)
	for range 20 { // beyond the memory
		c.publish("/queue/kept", "", body)
		c.publish("/queue/passing", "persistent:false\n", body)
	}
	has := func(destination string, keys ...string) map[string]any {
		t.Helper()
		s := c.ask(destination, "", 1)[0]
		for _, k := range keys {
			if s[k] == nil {
				t.Errorf("%s: no key %s: %v", destination, k, s)
			}
		}
		return s
	}
	s := has("/queue/ActiveMQ.Statistics.Destination.kept", "brokerName", "brokerId", "destinationName", "size", "enqueueCount", "dequeueCount", "dispatchCount",
		"expiredCount", "inflightCount", "messagesCached", "averageMessageSize", "memoryPercentUsage", "memoryUsage", "memoryLimit",
		"averageEnqueueTime", "maxEnqueueTime", "minEnqueueTime", "consumerCount", "producerCount")
	if n := s["messagesCached"].(float64); n < 1 || n > 6 {
		t.Errorf("memory has %v of 20 messages", n)
	}
	s = has("ActiveMQ.Statistics.Broker", "messagesCached", "storePercentUsage", "storeUsage", "storeLimit", "tempPercentUsage", "tempUsage", "tempLimit",
		"openwire", "stomp", "ssl", "stomp+ssl", "vm", "dataDirectory")
	if s["tempUsage"].(float64) < 50<<10 || s["messagesCached"].(float64) > 13 || s["vm"] != "" {
		t.Errorf("%v", s)
	}
	other := r.connected("")
	other.send("SUBSCRIBE\nid:1\ndestination:/topic/t\nactivemq.retroactive:true\nactivemq.maximumPendingMessageLimit:7\nreceipt:1\n\n\x00")
	other.expectReceipt("1")
	for _, s := range c.ask("ActiveMQ.Statistics.Subscription", "", 2) {
		if s["destinationName"] == "topic://t" && (s["retroactive"] != true || s["maximumPendingMessageLimit"] != 7.0) {
			t.Errorf("%v", s)
		}
	}
}

func TestAdvisoryOverSTOMP(t *testing.T) {
	r := newRig(t)
	l := r.connected("")
	l.send("SUBSCRIBE\nid:a\ndestination:/topic/ActiveMQ.Advisory.Consumer.Queue.orders\nreceipt:1\n\n\x00")
	l.expectReceipt("1")
	c := r.connected("client-id:worker\n")
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/orders\n\n\x00")
	g := l.expect("MESSAGE")
	for name, want := range map[string]string{"destination": "/topic/ActiveMQ.Advisory.Consumer.Queue.orders", "consumerCount": "1",
		"clientId": "worker", "type": "Advisory", "originDestination": "/queue/orders", "originBrokerName": "test", "event": "started"} {
		if g.get(name) != want {
			t.Errorf("%s is %q, want %q: %v", name, g.get(name), want, g)
		}
	}
	c.send("SEND\ndestination:/topic/ActiveMQ.Advisory.Consumer.Queue.orders\nreceipt:x\n\nforged\x00")
	c.expectError("not-authorized")
}

// An answer knows of what the connection sent before, also while the store takes its time.
func TestStatisticsAfterCommit(t *testing.T) {
	g := &gate{}
	r := newRig(t, func(r *rig) { r.wrap = func(s store.Store) store.Store { g.Store = s; return g } })
	c := r.connected("")
	c.send("SUBSCRIBE\nid:s\ndestination:/temp-queue/stats\n\n\x00SEND\ndestination:/queue/a\nreceipt:1\n\nx\x00")
	c.expectReceipt("1")
	g.set(true)
	c.send("SEND\ndestination:/queue/a\n\nx\x00SEND\ndestination:ActiveMQ.Statistics.Destination.a\nreply-to:/temp-queue/stats\n\n\x00")
	until(t, "the message is on its way", func() bool { return g.waiting() > 0 })
	c.expectNothing()
	g.set(false)
	var s map[string]any
	if g := c.expect("MESSAGE"); json.Unmarshal([]byte(g.body), &s) != nil || s["size"] != 2.0 {
		t.Fatal(g)
	}
}

// How long messages waited is measured on the first deliveries and then on one in 64.
func TestStatistics_EnqueueTimes(t *testing.T) {
	r := newRig(t, queuePolicy(func(p *broker.Policy) { p.TrustTimestamp = true }))
	c := r.connected("")
	c.subscribe("/temp-queue/stats", "")
	consumer := r.connected("")
	consumer.subscribe("/queue/a", "activemq.prefetchSize:1000\n")
	const hour = 3_600_000
	deliver := func(n int, age int64) {
		t.Helper()
		for i := range n {
			body := fmt.Sprint(i)
			c.publish("/queue/a", fmt.Sprintf("timestamp:%d\n", time.Now().UnixMilli()-age), body)
			consumer.take(body)
		}
	}
	times := func(destination string) (least, average, most float64) {
		s := c.ask(destination, "", 1)[0]
		return s["minEnqueueTime"].(float64), s["averageEnqueueTime"].(float64), s["maxEnqueueTime"].(float64)
	}
	deliver(1, 5*hour)
	deliver(1, 3*hour)
	for _, destination := range []string{"/queue/ActiveMQ.Statistics.Destination.a", "ActiveMQ.Statistics.Broker"} {
		if least, average, most := times(destination); destination[0] == '/' && (least < 3*hour || least > 4*hour) || average < 2*hour || average > 5*hour || most < 5*hour {
			t.Errorf("%s: %v, %v, %v", destination, least, average, most)
		}
	}
	deliver(62, -hour)    // to 64: all are measured, and none waited less than no time
	deliver(63, 100*hour) // to 127: none is
	if least, average, most := times("/queue/ActiveMQ.Statistics.Destination.a"); least != 0 || average < hour/8 || average > hour/6 || most > 6*hour {
		t.Errorf("after 127: %v, %v, %v", least, average, most)
	}
	deliver(1, 100*hour)
	if _, _, most := times("/queue/ActiveMQ.Statistics.Destination.a"); most < 100*hour {
		t.Errorf("after 128: at most %v", most)
	}
}
