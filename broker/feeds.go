package broker

import (
	"slices"
	"strings"
)

// fan is what a destination feeds: who gets its messages besides those who are
// subscribed to it. It does not change; the destination has a pointer to the
// present one, nil where there is nothing, which is all that a plain send looks at.
type fan struct {
	dest     Destination
	only     bool // the destination itself gets nothing
	selects  bool // some of feeds have a selector
	feeds    []feed
	original []byte // overlay: was sent here first
	sentTo   []byte // overlay of durable subscriptions: came by this topic
}

// feed is one of those: a queue fed by a topic, where it ends, or a forward, which
// goes on.
type feed struct {
	q      *queue      // durable subscription, or consumer queue of a virtual topic; nil = forward
	to     Destination // of a forward
	filter *filter
	aware  bool // only what the queue's consumers select
}

// PropSentTo is a property of a reference in a durable subscription: the topic by
// which the message came, where that is not what the message was sent to.
const PropSentTo = "destination"

// tap says that a topic, or those a pattern covers, feed a queue.
type tap struct {
	topic string
	q     *queue
	who   string         // of a virtual topic: its queues share one copy; "" = durable subscription
	rule  *VirtualTopics // of a virtual topic
}

// taps are all of them, found by the topic's name. Guarded by Broker.destMu.
type taps struct {
	named map[string][]tap
	wild  []tap
}

func (t *taps) add(x tap) {
	if IsPattern(x.topic) {
		t.wild = append(t.wild, x)
		return
	}
	if t.named == nil {
		t.named = map[string][]tap{}
	}
	t.named[x.topic] = append(t.named[x.topic], x)
}

// remove takes a queue's taps out.
func (t *taps) remove(q *queue, topics []string) {
	own := func(x tap) bool { return x.q == q }
	for _, name := range topics {
		if left := slices.DeleteFunc(t.named[name], own); len(left) > 0 {
			t.named[name] = left
		} else {
			delete(t.named, name)
		}
	}
	t.wild = slices.DeleteFunc(t.wild, own)
}

// of returns the taps of a topic. Of a virtual topic's consumer only the queue
// that names the topic most closely gets a copy.
func (t *taps) of(topic string) []tap {
	list := slices.Clone(t.named[topic])
	for _, x := range t.wild {
		if MatchName(x.topic, topic) && (x.rule == nil || MatchName(x.rule.Topics, topic)) {
			list = append(list, x)
		}
	}
	best := map[string]tap{}
	for _, x := range list {
		if old, ok := best[x.who]; x.who != "" && (!ok || closer(x.topic, old.topic)) {
			best[x.who] = x
		}
	}
	seen := map[*queue]bool{}
	return slices.DeleteFunc(list, func(x tap) bool {
		drop := seen[x.q] || (x.who != "" && best[x.who].q != x.q)
		seen[x.q] = true
		return drop
	})
}

// closer reports whether a, a name or a pattern, says more than b.
func closer(a, b string) bool {
	if pa, pb := IsPattern(a), IsPattern(b); pa != pb {
		return pb
	}
	if na, nb := strings.Count(a, "."), strings.Count(b, "."); na != nb {
		return na > nb
	}
	return a > b // any order will do, but always the same
}

// tap notes which topics feed a queue and returns their names and patterns. destMu is held.
func (b *Broker) tap(q *queue) (topics []string) {
	switch q.dest.Kind {
	case DurableSub:
		for _, name := range q.dsub.opt.Topics {
			b.taps.add(tap{topic: name, q: q})
		}
		return q.dsub.opt.Topics
	case Queue:
		for i := range b.routing.Virtual {
			v := &b.routing.Virtual[i]
			if who, topic, ok := v.consumer(q.dest.Name); ok {
				b.taps.add(tap{topic: topic, q: q, who: who, rule: v})
				topics = append(topics, topic)
			}
		}
	}
	return topics
}

// isFed reports whether topics feed the queue, as a consumer of virtual topics.
// destMu is held.
func (b *Broker) isFed(q *queue) bool {
	for i := range b.routing.Virtual {
		if _, _, ok := b.routing.Virtual[i].consumer(q.dest.Name); ok && q.dest.Kind == Queue {
			return true
		}
	}
	return false
}

// connectFeeds is called when a queue comes into being: what it feeds, and which
// topics feed it. destMu is held.
func (b *Broker) connectFeeds(q *queue) {
	q.fan.Store(b.queueFan(q))
	b.refreshTopics(b.tap(q))
}

// disconnectFeeds is called when a queue is deleted. destMu is held.
func (b *Broker) disconnectFeeds(q *queue) {
	var topics []string
	if q.dsub != nil {
		topics = q.dsub.opt.Topics
	} else if q.dest.Kind == Queue {
		for i := range b.routing.Virtual {
			if _, topic, ok := b.routing.Virtual[i].consumer(q.dest.Name); ok {
				topics = append(topics, topic)
			}
		}
	}
	if len(topics) == 0 {
		return
	}
	b.taps.remove(q, topics)
	b.refreshTopics(topics)
}

// refreshTopics works out anew what the topics of these names and patterns feed.
// destMu is held.
func (b *Broker) refreshTopics(names []string) {
	for _, name := range names {
		if !IsPattern(name) {
			if t := b.topics[Destination{Topic, name}]; t != nil {
				t.fan.Store(b.topicFan(t.dest))
			}
			continue
		}
		for d, t := range b.topics {
			if d.Kind == Topic && MatchName(name, d.Name) {
				t.fan.Store(b.topicFan(d))
			}
		}
	}
}

// topicFan works out what a topic feeds. destMu is held.
func (b *Broker) topicFan(d Destination) *fan {
	if d.Kind != Topic {
		return nil
	}
	f := &fan{dest: d}
	for _, x := range b.taps.of(d.Name) {
		fd := feed{q: x.q, aware: x.rule != nil && x.rule.SelectorAware}
		if x.q.dsub != nil {
			fd.filter = x.q.dsub.filter
		}
		f.add(fd)
	}
	return f.finish(b)
}

// queueFan works out what a queue feeds. destMu is held.
func (b *Broker) queueFan(q *queue) *fan {
	if q.dest.Kind != Queue {
		return nil
	}
	f := &fan{dest: q.dest}
	if prefix := q.policy.Load().MirrorTo; prefix != "" {
		f.add(feed{to: Destination{Topic, prefix + q.dest.Name}})
	}
	return f.finish(b)
}

func (f *fan) add(x feed) {
	f.feeds = append(f.feeds, x)
	f.selects = f.selects || x.filter != nil || x.aware
}

// finish adds the forwards and returns nil if there is nothing at all.
func (f *fan) finish(b *Broker) *fan {
	for i := range b.routing.Forwards {
		r := &b.routing.Forwards[i]
		if r.From.Kind != f.dest.Kind || !MatchName(r.From.Name, f.dest.Name) {
			continue
		}
		f.only = f.only || r.Only
		for _, to := range r.To {
			f.add(feed{to: to, filter: r.filter})
		}
	}
	if len(f.feeds) == 0 && !f.only {
		return nil
	}
	var original, sentTo Properties
	original.AddDestination(PropOriginalDestination, f.dest)
	sentTo.AddDestination(PropSentTo, f.dest)
	f.original, f.sentTo = original.AppendTo(nil), sentTo.AppendTo(nil)
	return f
}
