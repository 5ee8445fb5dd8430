package broker

import (
	"slices"
	"strings"
)

// Routing says where messages go besides the destination that they are sent to.
type Routing struct {
	Virtual  []VirtualTopics
	Forwards []Forward
}

// VirtualTopics make topics feed the queues of their consumers: a message to a
// topic that Topics covers goes to every queue whose name is Prefix and the
// topic's name. As ActiveMQ's virtualTopic.
type VirtualTopics struct {
	Topics string // pattern of names of topics: VirtualTopic.>
	Prefix string // segments before the topic's name, with a dot at the end, * is one of any name: Consumer.*.
	// SelectorAware keeps from a consumer's queue what none of its consumers selects; while it has none, what none of
	// those selected that it had last. One that had no consumer since the start gets everything.
	SelectorAware bool
}

// Forward sends on what is sent to a destination. As ActiveMQ's compositeQueue and
// compositeTopic with filteredDestination.
type Forward struct {
	From     Destination   // queue or topic; its name may be a pattern
	To       []Destination // queues and topics
	Selector string        // only what it matches; "" = all
	Only     bool          // the destination itself gets nothing, matched or not
	filter   *filter
}

// DefaultRouting has virtual topics as ActiveMQ has them, and nothing else.
func DefaultRouting() Routing {
	return Routing{Virtual: []VirtualTopics{{Topics: "VirtualTopic.>", Prefix: "Consumer.*."}}}
}

// Check says what is wrong with the rules, or nil.
func (r *Routing) Check() error {
	for i := range r.Virtual {
		v := &r.Virtual[i]
		if !strings.HasSuffix(v.Prefix, ".") || CheckName(v.Topics, true) != nil {
			return Errorf(CodeBadRequest, "virtual topics need a pattern of topics and a prefix that ends in a dot, not %q and %q", v.Topics, v.Prefix)
		}
	}
	for i := range r.Forwards {
		f := &r.Forwards[i]
		if f.From.Kind != Queue && f.From.Kind != Topic {
			return Errorf(CodeBadRequest, "messages to a %s cannot be forwarded", f.From.Kind)
		}
		if err := CheckName(f.From.Name, true); err != nil {
			return err
		}
		for _, d := range f.To {
			if d.Kind != Queue && d.Kind != Topic {
				return Errorf(CodeBadRequest, "%s: messages are forwarded to queues and topics, not to a %s", f.From, d.Kind)
			}
			if err := CheckName(d.Name, false); err != nil {
				return err
			}
		}
		if _, err := newFilter(f.Selector, SelectorSTOMP); err != nil {
			return Errorf(CodeBadSelector, "forward from %s: %w", f.From, err)
		}
	}
	return nil
}

// compiled returns a copy of the rules, ready for use.
func (r *Routing) compiled() (*Routing, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	c := &Routing{Virtual: slices.Clone(r.Virtual), Forwards: slices.Clone(r.Forwards)}
	for i := range c.Forwards {
		f := &c.Forwards[i]
		f.filter, _ = newFilter(f.Selector, SelectorSTOMP) // was checked
	}
	return c, nil
}

// consumer takes a queue's name apart into who consumes and the name, or pattern,
// of the topics that feed it.
func (v *VirtualTopics) consumer(queue string) (who, topic string, ok bool) {
	rest, prefix := queue, v.Prefix
	for prefix != "" {
		p, pmore, _ := strings.Cut(prefix, ".")
		n, nmore, more := strings.Cut(rest, ".")
		if !more || n == "" || (p != "*" && p != n) {
			return "", "", false
		}
		prefix, rest = pmore, nmore
	}
	if rest == "" || !(MatchName(v.Topics, rest) || (IsPattern(rest) && MatchName(rest, v.Topics))) {
		return "", "", false
	}
	return queue[:len(queue)-len(rest)], rest, true
}

// SetRouting replaces the rules, for present and future destinations.
func (b *Broker) SetRouting(r Routing) error {
	c, err := r.compiled()
	if err != nil {
		return err
	}
	b.destMu.Lock()
	defer b.destMu.Unlock()
	b.routing = c
	b.rewire()
	return nil
}

// rewire works out anew what every destination feeds. destMu is held.
func (b *Broker) rewire() {
	b.taps = taps{}
	for _, q := range b.queues {
		b.tap(q)
	}
	for _, q := range b.queues {
		q.fan.Store(b.queueFan(q))
	}
	for _, t := range b.topics {
		t.fan.Store(b.topicFan(t.dest))
	}
}
