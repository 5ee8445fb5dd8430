package stomp

import (
	"bytes"
	"slices"
	"strings"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// Dialect says whose rules hold where brokers contradict each other (semantics 2.10). What does not contradict is
// understood in every dialect.
type Dialect uint8

// The dialects.
const (
	DialectActiveMQ Dialect = iota
	DialectRabbitMQ
	DialectArtemis
	DialectApollo
)

// rabbitPrefetch is the window of a RabbitMQ subscription that sets none, which there means no limit.
const rabbitPrefetch = 10_000

// alwaysRedelivered says that MESSAGE has redelivered:false too.
func (d Dialect) alwaysRedelivered() bool { return d == DialectRabbitMQ || d == DialectArtemis }

// alwaysLength says that MESSAGE has the length of every body that is not empty.
func (d Dialect) alwaysLength() bool { return d != DialectActiveMQ }

// destRules say how a listener's clients write destinations.
type destRules struct {
	dialect   Dialect
	separator byte // stands for the dot; 0: nothing does
}

func (s *session) rules() destRules { return destRules{s.listener.Dialect, s.listener.PathSeparator} }

// name is the name of a destination as it is meant.
func (r destRules) name(text string) string {
	if r.dialect == DialectRabbitMQ {
		text = strings.ReplaceAll(text, "%2F", "/")
	}
	if r.separator != 0 {
		text = strings.ReplaceAll(text, string(rune(r.separator)), ".")
	}
	return text
}

// split returns the names in a destination header.
func (r destRules) split(text string) []string {
	if r.dialect == DialectRabbitMQ {
		return []string{text}
	}
	return strings.SplitN(text, ",", maxComposite+1)
}

// exchange reads RabbitMQ's /exchange/E/K as well as a broker without exchanges can: the keys of amq.topic are topics, and
// those of amq.direct and of the default exchange are queues. In dialect rabbitmq those of any other are topics below
// its name: it means too little to be taken for that everywhere.
func (r destRules) exchange(text string) (d broker.Destination, ok bool) {
	rest, found := strings.CutPrefix(text, prefixExchange)
	if !found {
		return d, false
	}
	name, key, keyed := strings.Cut(rest, "/")
	switch key = r.name(key); {
	case name == "amq.topic":
		return broker.Destination{Kind: broker.Topic, Name: key}, true
	case name == "amq.direct" || name == "" && keyed:
		return broker.Destination{Kind: broker.Queue, Name: key}, true
	case r.dialect != DialectRabbitMQ:
		return d, false
	case keyed && key != "":
		return broker.Destination{Kind: broker.Topic, Name: r.name(name) + "." + key}, true
	}
	return broker.Destination{Kind: broker.Topic, Name: r.name(name)}, true
}

// applyDialect sets what SUBSCRIBE means in the listener's dialect.
func (s *session) applyDialect(o *broker.SubscribeOptions, f *frame.Frame) {
	if s.listener.Dialect != DialectRabbitMQ {
		return
	}
	if v, ok := f.Get("prefetch-count"); o.Prefetch == 0 || ok && string(bytes.Trim(v, " ")) == "0" {
		o.Prefetch = rabbitPrefetch
	}
	o.Exclusive = isTrue(f, "activemq.exclusive")
	o.Private = isTrue(f, "exclusive")
}

// mustExist refuses what names a queue that is there already and is not.
func (s *session) mustExist(dests []broker.Destination) error {
	for _, d := range dests {
		if !s.srv.opts.Broker.Exists(d) {
			return requestFault(broker.CodeNoDestination, "no such queue", "there is no queue %q; %s%s makes none, /queue/%s does", d.Name, prefixAMQQueue, d.Name, d.Name)
		}
	}
	return nil
}

// awaitReplies subscribes to a temporary queue that the client names in reply-to, unless it did so itself. In dialect
// rabbitmq the name is the subscription's id.
func (s *session) awaitReplies(name string, d broker.Destination) error {
	if !strings.HasPrefix(name, prefixTempQueue) || s.byID[name] != nil {
		return nil
	}
	for _, sub := range s.subscriptions() {
		if slices.Contains(sub.core.Options().Dests, d) {
			return nil
		}
	}
	if len(s.subscriptions()) >= s.srv.opts.MaxSubscriptions {
		return requestFault(broker.CodeLimit, "too many subscriptions", "a connection may have %d", s.srv.opts.MaxSubscriptions)
	}
	sub := &subscription{id: name, destination: name, version: s.version, replies: true,
		header: frame.AppendHeader(nil, s.version, "subscription", name)}
	var err error
	sub.core, err = s.conn.Subscribe(broker.SubscribeOptions{ID: name, Dests: []broker.Destination{d}, Auto: true, Prefetch: rabbitPrefetch})
	if err != nil {
		return err
	}
	s.enlist(sub)
	sub.core.Start()
	return nil
}

// endReplies ends such a subscription: the client subscribes itself.
func (s *session) endReplies(name string) {
	if sub := s.byID[name]; sub != nil && sub.replies {
		sub.core.Close()
		s.delist(sub)
	}
}

// apolloTTL takes Apollo's name of a time to live.
func (h *sendHeaders) apolloTTL(f *frame.Frame) {
	if v, ok := f.Get("ttl"); ok {
		h.seen |= 1 << hTTL
		h.ttl = v
	}
}
