package broker

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// advisoryPrefix begins the names of the topics on which the broker tells what happens. Names as ActiveMQ's.
const advisoryPrefix = "ActiveMQ.Advisory."

// maxAdvisories bounds what happened and was not told yet. What comes then is not told.
const maxAdvisories = 4096

// advisories tells those who listen what happens. While nobody does an event costs one look at wanted.
type advisories struct {
	wanted atomic.Int64 // subscriptions that name such a topic
	events chan advisory
	lost   atomic.Uint64
}

// advisory is something that happened.
type advisory struct {
	what  string      // "Consumer", "Expired", ...
	about Destination // its kind and name follow in the topic's name, unless plain
	plain bool
	event string // "created", "started", ...
	count int    // consumers, producers or messages, see countNames
	conn  *Conn
	sub   *Subscription
	msgID uint64
	why   string
}

// countNames are the headers in which counts show.
var countNames = map[string]string{"Consumer": "consumerCount", "Producer": "producerCount", "MessageDiscarded": "discardedCount"}

// advised reports whether anybody listens to advisories at all.
func (b *Broker) advised() bool { return b.advisories.wanted.Load() > 0 }

// advise says that something happened. It never blocks, and may be called under any lock.
func (b *Broker) advise(a advisory) {
	if !b.advised() || isAdvisory(a.about) || a.about.Kind == DurableSub {
		return
	}
	select {
	case b.advisories.events <- a:
	default:
		b.advisories.lost.Add(1)
	}
}

func isAdvisory(d Destination) bool {
	return d.Kind == Topic && strings.HasPrefix(d.Name, advisoryPrefix)
}

// mayHear reports whether a subscription to d may hear advisories. A pattern has to name them: one for all topics
// does not mean them.
func mayHear(d Destination) bool {
	return isAdvisory(d) || d.Kind == Topic && IsPattern(d.Name) && strings.HasPrefix(d.Name, "ActiveMQ.")
}

// listen counts a subscription that hears advisories; closing it calls deaf.
func (b *Broker) listen(s *Subscription) {
	if s.hears {
		b.advisories.wanted.Add(1)
	}
}

func (b *Broker) deaf(s *Subscription) {
	if s.hears {
		b.advisories.wanted.Add(-1)
	}
}

// tellAdvisories is the goroutine that makes messages of what happened.
func (b *Broker) tellAdvisories() {
	lost := uint64(0)
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case a := <-b.advisories.events:
			b.tell(&a)
		case <-tick.C:
			if n := b.advisories.lost.Load(); n > lost {
				b.log.Warn("more happened than could be told on the advisory topics", "lost", n-lost)
				lost = n
			}
		}
	}
}

// tell publishes one advisory to those who listen to its topic.
func (b *Broker) tell(a *advisory) {
	t, subs := b.listeners(Destination{Topic, a.topic()})
	if len(subs) == 0 {
		return
	}
	m := a.message(b, t.dest)
	m.id = b.nextID()
	t.published.Add(1)
	var k wakes
	for _, s := range subs {
		if s.filter == nil || s.filter.matches(b, m, t.dest, 0, 0, nil) {
			s.publish(pendingMessage{t: t, m: m}, &k)
		}
	}
	k.flush()
}

// listeners returns who listens to an advisory's topic. It makes none that is not there: there may be one for each
// destination.
func (b *Broker) listeners(d Destination) (*topic, []*Subscription) {
	b.destMu.RLock()
	defer b.destMu.RUnlock()
	if t := b.topics[d]; t != nil {
		return t, *t.subs.Load()
	}
	var subs []*Subscription
	for _, s := range b.wild {
		if s.hears && s.wants(d) {
			subs = append(subs, s)
		}
	}
	return newTopic(b, d, nil), subs
}

// topic is the name of the advisory's topic.
func (a *advisory) topic() string {
	name := advisoryPrefix + a.what
	if a.plain {
		return name
	}
	kind := ".Queue."
	if !a.about.Kind.IsQueue() {
		kind = ".Topic."
	}
	return name + kind + a.about.Name
}

// advisoryBody is the body in JSON; the headers say the same.
type advisoryBody struct {
	Advisory    string `json:"advisory"`
	Event       string `json:"event,omitempty"`
	Destination string `json:"destination,omitempty"`
	Count       *int   `json:"count,omitempty"`
	Connection  string `json:"connectionId,omitempty"`
	ClientID    string `json:"clientId,omitempty"`
	User        string `json:"user,omitempty"`
	Remote      string `json:"remote,omitempty"`
	Consumer    string `json:"consumerId,omitempty"`
	MessageID   string `json:"messageId,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Broker      string `json:"brokerName"`
	Time        int64  `json:"time"` // ms since 1970
}

// message makes the message of an advisory: facts as headers, named as ActiveMQ does where it has a name, and a body.
func (a *advisory) message(b *Broker, to Destination) *Message {
	var bl Builder
	bl.Reset()
	bl.Kind, bl.Timestamp = BodyText, b.now().UnixMilli()
	body := advisoryBody{Advisory: a.what, Event: a.event, Reason: a.why, Broker: b.node, Time: bl.Timestamp}
	bl.SetField(FieldType, []byte("Advisory"))
	bl.SetField(FieldContentType, []byte("application/json"))
	p := bl.Props()
	p.Add("originBrokerName", b.node)
	add := func(name, value string) {
		if value != "" {
			p.Add(name, value)
		}
	}
	add("event", a.event)
	if a.about.Name != "" {
		body.Destination = a.about.String()
		p.AddDestination("originDestination", a.about)
	}
	if name := countNames[a.what]; name != "" {
		body.Count = &a.count
		p.Add(name, strconv.Itoa(a.count))
	}
	if a.conn != nil {
		o := &a.conn.opt
		body.Connection, body.ClientID, body.User, body.Remote = strconv.FormatUint(a.conn.serial, 10), o.ClientID, o.User, o.Remote
		add("connectionId", body.Connection)
		add("clientId", o.ClientID)
		add("userName", o.User)
		add("remoteAddress", o.Remote)
	}
	if a.sub != nil {
		body.Consumer = strconv.FormatUint(a.sub.c.serial, 10) + "-" + strconv.FormatUint(uint64(a.sub.serial), 10)
		add("consumerId", body.Consumer)
	}
	if a.msgID != 0 {
		body.MessageID = string(b.AppendMessageID(nil, a.msgID))
		add("orignalMessageId", body.MessageID) // ActiveMQ's spelling
	}
	switch a.what {
	case "FULL":
		add("usageName", a.why)
	default:
		add("reason", a.why)
	}
	text, _ := json.Marshal(body) // plain data
	return bl.Build(to, text)
}

// adviseConsumer says that a consumer came or went; n are left.
func (b *Broker) adviseConsumer(d Destination, s *Subscription, event string, n int) {
	b.advise(advisory{what: "Consumer", about: d, event: event, count: n, conn: s.c, sub: s})
}

// adviseDestination says that a destination was made or deleted.
func (b *Broker) adviseDestination(d Destination, event string) {
	what := map[Kind]string{Queue: "Queue", Topic: "Topic", TempQueue: "TempQueue", TempTopic: "TempTopic"}[d.Kind]
	if what != "" {
		b.advise(advisory{what: what, about: d, plain: true, event: event})
	}
}

// adviseFull says that a queue is full, once a second at most.
func (q *queue) adviseFull(p *Policy) {
	now := q.b.now().Unix()
	if !q.b.advised() || q.fullTold.Swap(now) == now {
		return
	}
	why := "maxBytes"
	if p.MaxMessages > 0 && q.depth.Load() >= p.MaxMessages {
		why = "maxMessages"
	}
	q.b.advise(advisory{what: "FULL", about: q.dest, why: why})
}

// adviseDropped says that a subscription is so slow that messages were dropped for it; that it is slow it says once.
// c.mu is held.
func (s *Subscription) adviseDropped(t *topic, n int) {
	if !s.slow {
		s.slow = true
		t.b.advise(advisory{what: "SlowConsumer", about: t.dest, conn: s.c, sub: s})
	}
	t.b.advise(advisory{what: "MessageDiscarded", about: t.dest, count: n, conn: s.c, sub: s})
}
