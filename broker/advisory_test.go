package broker_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"treadmq/broker"
)

const advisories = "ActiveMQ.Advisory."

// told waits for an advisory on a topic, and returns its headers and body. Others before it are forgotten.
func (c *client) told(topic string) map[string]string {
	c.r.t.Helper()
	for {
		d := c.take(1)[0]
		if d.Dest.Name != advisories+topic {
			continue
		}
		facts := map[string]string{}
		for it := d.Message.Properties(); it.Next(); {
			facts[string(it.Name)] = string(it.AppendText(nil))
		}
		var body map[string]any
		if err := json.Unmarshal(d.Message.Body(), &body); err != nil || body["brokerName"] != facts["originBrokerName"] {
			c.r.t.Fatalf("%s: %v %v", d.Message.Body(), err, facts)
		}
		if d.Message.Text(broker.FieldType) != "Advisory" || d.Message.ID() == 0 {
			c.r.t.Fatal("no advisory message")
		}
		return facts
	}
}

func (c *client) toldFact(topic, header, value string) {
	c.r.t.Helper()
	if facts := c.told(topic); facts[header] != value {
		c.r.t.Fatalf("%s: %s is %q, want %q: %v", topic, header, facts[header], value, facts)
	}
}

// listener hears all advisories.
func (r *rig) listener(pattern string) *client {
	c := r.connect()
	c.subscribe(topicNamed(pattern), prefetch(100_000), func(o *broker.SubscribeOptions) { o.Auto = true })
	return c
}

func TestAdvisories(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) {
		p.Redelivery.Maximum, p.Redelivery.Initial = 0, 0
		p.PendingLimit, p.MaxMessages, p.OnFull = 2, 3, broker.FullFail
	}))
	l := r.listener("ActiveMQ.Advisory.>")
	l.toldFact("MasterBroker", "event", "started")
	c := r.connect()
	l.toldFact("Connection", "event", "started")

	d := queueNamed("a.b")
	c.Produces([]broker.Destination{d})
	l.toldFact("Producer.Queue.a.b", "producerCount", "1")
	c.Produces([]broker.Destination{d}) // is known
	c.send(d, "1")
	l.toldFact("Queue", "originDestination", "queue://a.b")
	l.told("NoConsumer.Queue.a.b")
	s := c.subscribe(d)
	l.toldFact("Consumer.Queue.a.b", "consumerCount", "1")
	c.settle(broker.AckDeadLetter, c.take(1)...)
	l.toldFact("MessageDLQd.Queue.a.b", "reason", "rejected")
	c.send(d, "old", expires(time.Now().UnixMilli()-1))
	if facts := l.told("Expired.Queue.a.b"); !strings.HasPrefix(facts["orignalMessageId"], "ID-") {
		t.Fatal(facts)
	}
	s.Close()
	l.toldFact("Consumer.Queue.a.b", "consumerCount", "0")
	for range 3 {
		c.send(d, "x")
	}
	if err := c.NewWork().Send([]broker.Destination{d}, message(d, "x")); err == nil {
		t.Fatal("there was room")
	}
	l.toldFact("FULL.Queue.a.b", "usageName", "maxMessages")

	n := topicNamed("news")
	c.send(n, "nobody")
	l.toldFact("Topic", "originDestination", "topic://news")
	l.told("NoConsumer.Topic.news")
	c.subscribe(n, prefetch(1))
	l.toldFact("Consumer.Topic.news", "consumerCount", "1")
	for range 4 {
		c.send(n, "x")
	}
	l.told("SlowConsumer.Topic.news")
	l.toldFact("MessageDiscarded.Topic.news", "discardedCount", "1")

	temp, err := c.CreateTemp(broker.TempQueue)
	if err != nil {
		t.Fatal(err)
	}
	l.toldFact("TempQueue", "event", "created")
	c.Conn.Close()
	l.toldFact("Producer.Queue.a.b", "producerCount", "0")
	if facts := l.told("TempQueue"); facts["event"] != "deleted" || facts["originDestination"] != temp.String() {
		t.Fatal(facts)
	}
	l.toldFact("Connection", "event", "stopped")
	if err := r.b.DeleteQueue(d, true, func(error) {}); err != nil {
		t.Fatal(err)
	}
	l.toldFact("Queue", "event", "deleted")
	if got := len(r.b.Topics(nil)); got != 1 { // news
		t.Errorf("%d topics: the advisories made some", got)
	}
}

// One name, a selector, and a pattern for all topics, which does not mean advisories.
func TestAdvisoryListeners(t *testing.T) {
	r := newRig(t)
	all := r.listener(">")
	one := r.listener(advisories + "Consumer.Queue.a")
	late := r.listener("*.>") // the topic is there already
	chosen := r.connect()
	chosen.subscribe(topicNamed(advisories+"Consumer.>"), func(o *broker.SubscribeOptions) { o.Selector = "consumerCount = 2" })
	c := r.connect()
	c.subscribe(queueNamed("b"))
	c.subscribe(queueNamed("a"))
	c.subscribe(queueNamed("a"))
	one.toldFact("Consumer.Queue.a", "consumerCount", "1")
	one.toldFact("Consumer.Queue.a", "consumerCount", "2")
	chosen.toldFact("Consumer.Queue.a", "consumerCount", "2")
	if n := all.waiting() + late.waiting(); n != 0 {
		t.Errorf("%d advisories went to who asked for all topics", n)
	}
}

// A listener that does not read holds nobody up, and misses what is too much for it.
func TestSlowAdvisoryListener(t *testing.T) {
	r := newRig(t)
	slow := r.connect()
	slow.subscribe(topicNamed("ActiveMQ.>"), prefetch(1))
	c := r.connect()
	for range 20_000 {
		c.subscribe(topicNamed("x")).Close()
	}
	if n := slow.waiting(); n > 1 {
		t.Errorf("%d came", n)
	}
}

func TestProducers(t *testing.T) {
	r := newRig(t)
	a, b := r.connect(), r.connect()
	d, n := queueNamed("a"), topicNamed("n")
	a.send(d, "x")
	a.send(n, "x")
	a.Produces([]broker.Destination{d, n})
	b.Produces([]broker.Destination{d, d})
	if i := r.queue(d); i.Producers != 2 {
		t.Errorf("%d producers", i.Producers)
	}
	b.Conn.Close()
	if i := r.queue(d); i.Producers != 1 {
		t.Errorf("%d producers are left", i.Producers)
	}
	if i := r.b.Topics(nil); i[0].Producers != 1 {
		t.Errorf("%+v", i)
	}
}

func TestSendTargets(t *testing.T) {
	for name, want := range map[string]broker.Kind{
		"a": broker.Queue, "ActiveMQ.DLQ": broker.Queue, "ActiveMQ.Statistics.Broker": broker.Service,
		"activemq.statistics.broker": broker.Service, "ActiveMQ.Statistics.Destination.>": broker.Service, "ActiveMQ.Advisory.Queue": broker.Queue,
	} {
		if d, err := broker.SendTarget(queueNamed(name)); err != nil || d.Kind != want {
			t.Errorf("%s: %v %v", name, d, err)
		}
	}
	if _, err := broker.SendTarget(topicNamed("ActiveMQ.Advisory.Queue")); err == nil {
		t.Error("a client may send advisories")
	}
}
