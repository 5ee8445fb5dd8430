package stomp

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// durableHeaders name a durable subscription in SUBSCRIBE and UNSUBSCRIBE: ActiveMQ's name, the same as releases
// before 5.6 spelled it, and Artemis's two.
var durableHeaders = [...]string{"activemq.subscriptionName", "activemq.subcriptionName", "durable-subscription-name", "durable-subscriber-name"}

// durableNamed returns the name of the durable subscription that a frame names in one of durableHeaders. It belongs to
// the client id of the connection, or to all that have none.
func (s *session) durableNamed(f *frame.Frame) (name, clientID string, ok bool) {
	for _, header := range durableHeaders {
		if v, ok := f.Get(header); ok && len(v) > 0 {
			if clientID = s.conn.Info().ClientID; clientID == "" {
				return "shared." + string(v), "", true
			}
			return clientID + "." + string(v), clientID, true
		}
	}
	return "", "", false
}

// asksDurable reports whether a frame asks for a durable subscription as RabbitMQ's clients do.
func asksDurable(f *frame.Frame) bool {
	return (isTrue(f, "durable") || isTrue(f, "persistent")) && !isTrue(f, "auto-delete")
}

// durableDerived is the name of a durable subscription in RabbitMQ's way: x-queue-name, or made of id and destination.
func durableDerived(f *frame.Frame, destination string) (string, bool) {
	if name, ok := f.Get("x-queue-name"); ok && len(name) > 0 {
		return string(name), true
	}
	id, ok := f.Get("id")
	if !ok || len(id) == 0 {
		return "", false
	}
	sum := sha256.Sum256([]byte(string(id) + "\x00" + destination))
	hash := hex.EncodeToString(sum[:8])
	if name := string(id) + "." + hash; broker.CheckName(name, false) == nil {
		return name, true
	}
	return "stomp-subscription." + hash, true
}

// durable returns the durable subscription that a SUBSCRIBE to these destinations wants, or nil.
func (s *session) durable(f *frame.Frame, sub *subscription, o *broker.SubscribeOptions) (*broker.DurableOptions, error) {
	isQueue := func(d broker.Destination) bool { return d.Kind != broker.Topic }
	name, clientID, named := s.durableNamed(f)
	switch onTopics := !slices.ContainsFunc(o.Dests, isQueue); {
	case named && (!onTopics || o.Browser):
		return nil, requestFault(broker.CodeBadDestination, "not a topic",
			"%s cannot have a durable subscription: topics have them, queues keep messages anyway", sub.destination)
	case !named && (!onTopics || o.Browser || !asksDurable(f)):
		return nil, nil
	case !named:
		if name, named = durableDerived(f, sub.destination); !named {
			return nil, requestFault(broker.CodeBadRequest, "durable subscription without id",
				"durable:true needs a header id, or x-queue-name, to tell the subscription by when the client comes again")
		}
	}
	topics := make([]string, len(o.Dests))
	for i, d := range o.Dests {
		topics[i] = d.Name
	}
	return &broker.DurableOptions{Name: name, ClientID: clientID, Topics: topics,
		Selector: o.Selector, SelectorMode: o.SelectorMode, NoLocal: o.NoLocal}, nil
}

// unsubscribed returns the durable subscription that an UNSUBSCRIBE wants to be deleted, "" for none. sub is the
// subscription that the frame names, or nil.
func (s *session) unsubscribed(f *frame.Frame, sub *subscription) string {
	if name, _, ok := s.durableNamed(f); ok {
		return name
	}
	if !asksDurable(f) {
		return ""
	}
	if sub != nil {
		return sub.durable
	}
	dest, ok := f.Get("destination")
	if _, named := f.Get("x-queue-name"); !ok && !named {
		return ""
	}
	name, _ := durableDerived(f, string(dest))
	return name
}

// consumesDurable returns the connection's subscription that is the consumer of a durable one, or nil.
func (s *session) consumesDurable(name string) *subscription {
	for _, sub := range s.subscriptions() {
		if sub.durable == name {
			return sub
		}
	}
	return nil
}

// deleteDurable deletes a durable subscription and returns when that is on disk.
func (s *session) deleteDurable(name string) error {
	if err := s.conn.Authorize(broker.RightRead, broker.Destination{Kind: broker.DurableSub, Name: name}); err != nil {
		return err
	}
	done := make(chan error, 1)
	if err := s.srv.opts.Broker.DeleteDurable(name, false, func(err error) { done <- err }); err != nil {
		return err
	}
	return <-done
}

// ofTopic is Artemis's address::queue: a durable subscription that has the topic.
func (s *session) ofTopic(topic, name string) (broker.Destination, error) {
	info, err := s.srv.opts.Broker.DurableSubscription(name)
	if err != nil {
		return broker.Destination{}, err
	}
	covers := func(pattern string) bool { return pattern == topic || broker.MatchName(pattern, topic) }
	if !slices.ContainsFunc(info.Topics, covers) {
		return broker.Destination{}, requestFault(broker.CodeNoDestination, "not of that topic",
			"the durable subscription %q is not of the topic %q", name, topic)
	}
	return info.Destination, nil
}
