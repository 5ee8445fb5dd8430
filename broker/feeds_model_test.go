package broker_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"treadmq/broker"
)

// fedQueue is a queue that topics feed, as the model knows it.
type fedQueue struct {
	pattern string // of the topics
	key     string // of the selector; "" = all
	group   string // of a virtual topic's consumer
	want    []string
}

// feedModel is what topics feed, beside the real thing.
type feedModel struct {
	r      *rig
	from   *client
	sent   int
	queues map[broker.Destination]*fedQueue
}

var feedTopics = []string{"t.1", "t.2", "VirtualTopic.x", "VirtualTopic.y"}

// TestFeedsAgainstModel makes and deletes durable subscriptions and consumers of
// virtual topics, publishes, consumes, restarts and cuts the power at random. Each
// queue holds just what it should, in order; of a message that was under way when
// the power went, all copies are there or none.
func TestFeedsAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &rig{t: t}
		withPolicy(func(p *broker.Policy) { p.MemoryLimit = 3000 })(r)
		r.fs = newFS()
		r.routing = &broker.Routing{
			Virtual: broker.DefaultRouting().Virtual,
			Forwards: []broker.Forward{
				{From: queueNamed("in"), To: []broker.Destination{topicNamed("t.1"), topicNamed("VirtualTopic.x")}, Selector: "key = 'a'", Only: true},
			},
		}
		r.open()
		defer r.close()
		m := &feedModel{r: r, queues: map[broker.Destination]*fedQueue{}}
		m.from = r.connect()
		rt.Repeat(map[string]func(*rapid.T){
			"durable": m.durable, "virtual": m.virtual, "delete": m.delete, "publish": m.publish,
			"consume": m.consume, "restart": m.restart, "power cut": m.powerCut, "": m.check,
		})
	})
}

func (m *feedModel) durable(t *rapid.T) {
	name := rapid.SampledFrom([]string{"d1", "d2", "d3"}).Draw(t, "name")
	f := &fedQueue{pattern: rapid.SampledFrom([]string{"t.1", "t.*", ">"}).Draw(t, "pattern"), key: rapid.SampledFrom([]string{"", "a"}).Draw(t, "key")}
	o := broker.DurableOptions{Name: name, Topics: []string{f.pattern}}
	if f.key != "" {
		o.Selector = "key = '" + f.key + "'"
	}
	if err := m.r.b.OpenDurable(o); err != nil {
		t.Fatal(err)
	}
	d := broker.Destination{Kind: broker.DurableSub, Name: name}
	if old := m.queues[d]; old == nil || old.pattern != f.pattern || old.key != f.key {
		m.queues[d] = f
	}
}

func (m *feedModel) virtual(t *rapid.T) {
	group := rapid.SampledFrom([]string{"A", "B"}).Draw(t, "group")
	topic := rapid.SampledFrom([]string{"VirtualTopic.x", "VirtualTopic.>"}).Draw(t, "topic")
	d := queueNamed("Consumer." + group + "." + topic)
	c := m.r.connect()
	c.subscribe(d, prefetch(1))
	c.Conn.Close()
	if m.queues[d] == nil {
		m.queues[d] = &fedQueue{pattern: topic, group: group}
	}
}

func (m *feedModel) delete(t *rapid.T) {
	d, ok := m.any(t)
	if !ok {
		return
	}
	done := make(chan error, 1)
	fn := func(err error) { done <- err }
	var err error
	if d.Kind == broker.DurableSub {
		err = m.r.b.DeleteDurable(d.Name, false, fn)
	} else {
		err = m.r.b.DeleteQueue(d, false, fn)
	}
	if err == nil {
		err = <-done
	}
	if err != nil {
		t.Fatal(err)
	}
	delete(m.queues, d)
}

func (m *feedModel) any(t *rapid.T) (broker.Destination, bool) {
	if len(m.queues) == 0 {
		return broker.Destination{}, false
	}
	order := slices.SortedFunc(maps.Keys(m.queues), func(a, b broker.Destination) int { return strings.Compare(a.String(), b.String()) })
	return rapid.SampledFrom(order).Draw(t, "queue"), true
}

// message draws one, and says which queues get how many copies of it.
func (m *feedModel) message(t *rapid.T) (dests []broker.Destination, msg *broker.Message, body string, copies map[broker.Destination]int) {
	body = fmt.Sprintf("%05d", m.sent)
	m.sent++
	key := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
	for _, topic := range rapid.SliceOfNDistinct(rapid.SampledFrom(append([]string{"in"}, feedTopics...)), 1, 2, rapid.ID[string]).Draw(t, "topics") {
		if topic == "in" {
			dests = append(dests, queueNamed(topic))
		} else {
			dests = append(dests, topicNamed(topic))
		}
	}
	copies = map[broker.Destination]int{}
	for _, d := range dests {
		switch {
		case d.Kind == broker.Topic:
			m.copies(d.Name, key, copies)
		case key == "a":
			m.copies("t.1", key, copies)
			m.copies("VirtualTopic.x", key, copies)
		}
	}
	return dests, message(dests[0], body, property("key", key)), body, copies
}

// copies adds what the queues get of a message to a topic.
func (m *feedModel) copies(topic, key string, to map[broker.Destination]int) {
	for d, f := range m.queues {
		if (f.key != "" && f.key != key) || !broker.MatchName(f.pattern, topic) {
			continue
		}
		if f.group != "" && f.pattern != topic && m.queues[queueNamed("Consumer."+f.group+"."+topic)] != nil {
			continue // its group has a queue that names the topic
		}
		to[d]++
	}
}

func (m *feedModel) expect(body string, copies map[broker.Destination]int) {
	for d, n := range copies {
		for range n {
			m.queues[d].want = append(m.queues[d].want, body)
		}
	}
}

func (m *feedModel) publish(t *rapid.T) {
	w := m.from.NewWork()
	for range rapid.IntRange(1, 10).Draw(t, "messages") {
		dests, msg, body, copies := m.message(t)
		if err := w.Send(dests, msg); err != nil {
			t.Fatal(err)
		}
		m.expect(body, copies)
	}
	if err := flush(m.r.t, w); err != nil {
		t.Fatal(err)
	}
}

// consume takes some from a queue.
func (m *feedModel) consume(t *rapid.T) {
	d, ok := m.any(t)
	if !ok {
		return
	}
	f := m.queues[d]
	if broker.IsPattern(d.Name) && m.queues[queueNamed("Consumer."+f.group+".VirtualTopic.x")] != nil {
		return // a subscription with the wildcard reads that one as well
	}
	n := rapid.IntRange(0, len(f.want)).Draw(t, "n")
	c := m.r.connect()
	c.subscribe(d, prefetch(1))
	for _, want := range f.want[:n] {
		ds := c.take(1)
		if string(ds[0].Message.Body()) != want {
			t.Fatalf("%s delivered %v (%v), want %v of %v, held %v", d, bodies(ds), ds[0].Attempts, want, f.want, m.held(t, d))
		}
		c.settle(broker.AckAccept, ds...)
	}
	f.want = f.want[n:]
	c.Conn.Close()
}

// seldom spares time: a start costs as much as a hundred messages.
func seldom(t *rapid.T) bool { return rapid.IntRange(0, 3).Draw(t, "seldom") == 0 }

func (m *feedModel) restart(t *rapid.T) {
	if !seldom(t) {
		return
	}
	m.from.Conn.Close()
	m.r.restart()
	m.from = m.r.connect()
}

// powerCut cuts the power while messages are under way.
func (m *feedModel) powerCut(t *rapid.T) {
	type pending struct {
		body   string
		copies map[broker.Destination]int
	}
	if !seldom(t) {
		return
	}
	var list []pending
	done := make(chan error, 100)
	n := rapid.IntRange(0, 20).Draw(t, "under way")
	for range n {
		w := m.from.NewWork()
		dests, msg, body, copies := m.message(t)
		if err := w.Send(dests, msg); err != nil {
			t.Fatal(err)
		}
		list = append(list, pending{body, copies})
		w.Flush(func(err error) { done <- err })
	}
	disk := m.r.fs.Crash(nil)
	for range n {
		<-done
	}
	m.from.Conn.Close()
	m.r.close()
	m.r.fs = disk
	m.r.open()
	m.from = m.r.connect()
	for _, p := range list {
		there := -1
		for d, n := range p.copies {
			got := 0
			for _, body := range m.held(t, d) {
				if body == p.body {
					got++
				}
			}
			if (got != 0 && got != n) || (there >= 0 && (got > 0) != (there > 0)) {
				t.Fatalf("%s: %d of %d copies of %s are there, and elsewhere %d", d, got, n, p.body, there)
			}
			there = got
		}
		if there > 0 {
			m.expect(p.body, p.copies)
		}
	}
}

// held are the bodies in a queue.
func (m *feedModel) held(t *rapid.T, d broker.Destination) (list []string) {
	page, _, _, err := m.r.b.Browse(d, broker.Cursor{}, 100_000, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range page {
		list = append(list, string(x.Message.Body()))
	}
	return list
}

func (m *feedModel) check(t *rapid.T) {
	for d, f := range m.queues {
		if got := m.held(t, d); !slices.Equal(got, f.want) {
			t.Fatalf("%s holds %v, want %v", d, got, f.want)
		}
	}
	if q, err := m.r.b.Queue(queueNamed("in")); err == nil && q.Messages > 0 {
		t.Fatalf("%d messages stayed in the forwarding queue", q.Messages)
	}
}
