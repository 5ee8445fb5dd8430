package stomp

import (
	"net/url"
	"strings"

	"treadmq/broker"
)

// Prefixes of destination headers (semantics 2.1), and what they mean.
const (
	prefixQueue           = "/queue/"
	prefixTopic           = "/topic/"
	prefixTempQueue       = "/temp-queue/"
	prefixTempTopic       = "/temp-topic/"
	prefixRemoteTempQueue = "/remote-temp-queue/"
	prefixRemoteTempTopic = "/remote-temp-topic/"
	prefixReplyQueue      = "/reply-queue/"
	prefixAMQQueue        = "/amq/queue/"
	prefixDurable         = "/dsub/"
	prefixExchange        = "/exchange/"
)

// plainPrefixes are those that stand for a kind and nothing else.
var plainPrefixes = [...]struct {
	text string
	kind broker.Kind
}{
	{prefixQueue, broker.Queue},
	{prefixTopic, broker.Topic},
	{prefixAMQQueue, broker.Queue},
	{prefixDurable, broker.DurableSub},
	{"dsub://", broker.DurableSub},
	{"queue://", broker.Queue},
	{"topic://", broker.Topic},
	{prefixRemoteTempQueue, broker.TempQueue},
	{prefixRemoteTempTopic, broker.TempTopic},
	{prefixReplyQueue, broker.TempQueue},
	{"temp-queue://", broker.TempQueue},
	{"temp-topic://", broker.TempTopic},
}

// notOffered are prefixes that mean something this broker does not do.
var notOffered = [...]struct{ prefix, hint string }{
	{prefixExchange, "exchanges but amq.topic and amq.direct are offered in the dialect rabbitmq only; use /queue/NAME or /topic/NAME"},
	{"/broker/", "names under /broker/ are reserved"},
}

// temps turns names that say less than a whole destination into one: a connection's own names of temporary
// destinations, and Artemis's address::queue.
type temps interface {
	temp(kind broker.Kind, alias string) (broker.Destination, error)
	ofTopic(topic, name string) (broker.Destination, error)
	rules() destRules
}

// destOption is one ?consumer.X=Y of a destination header.
type destOption struct{ name, value string }

// destHeader is a parsed destination header.
type destHeader struct {
	dests   []broker.Destination
	options []destOption
	present []broker.Destination // those of dests that must be there already
}

// parseDest reads a destination header: one name, or several separated by commas. bare is the kind of a name without a
// prefix; wildcards says whether names may be patterns.
func parseDest(text string, bare broker.Kind, wildcards bool, t temps) (destHeader, error) {
	var h destHeader
	for _, part := range t.rules().split(text) {
		if len(h.dests) >= maxComposite {
			return destHeader{}, requestFault(broker.CodeLimit, "too many destinations",
				"the header names more than %d destinations", maxComposite)
		}
		part = strings.Trim(part, " ")
		part, h.options = cutOptions(part, h.options)
		d, err := parseOne(part, bare, t)
		if err != nil {
			return destHeader{}, err
		}
		if !wildcards {
			if d, err = broker.SendTarget(d); err != nil {
				return destHeader{}, err
			}
		}
		if err := d.Check(wildcards || d.Kind == broker.Service); err != nil {
			return destHeader{}, err
		}
		h.dests = append(h.dests, d)
		if strings.HasPrefix(part, prefixAMQQueue) {
			h.present = append(h.present, d)
		}
	}
	return h, nil
}

// parseOne reads one name.
func parseOne(text string, bare broker.Kind, t temps) (broker.Destination, error) {
	if d, ok, err := parsePrefixed(text, t); ok || err != nil {
		return d, err
	}
	if d, ok := t.rules().exchange(text); ok {
		return d, nil
	}
	for _, n := range notOffered {
		if strings.HasPrefix(text, n.prefix) {
			return broker.Destination{}, requestFault(broker.CodeNotOffered, "destination not offered", "%q: %s", text, n.hint)
		}
	}
	if topic, name, ok := strings.Cut(text, "::"); ok {
		return t.ofTopic(topic, name)
	}
	return broker.Destination{Kind: bare, Name: t.rules().name(text)}, nil
}

// parsePrefixed reads a name that says its kind. ok is false if it does not.
func parsePrefixed(text string, t temps) (d broker.Destination, ok bool, err error) {
	for i := range plainPrefixes {
		if name, found := strings.CutPrefix(text, plainPrefixes[i].text); found {
			if !plainPrefixes[i].kind.IsTemporary() {
				name = t.rules().name(name)
			}
			return broker.Destination{Kind: plainPrefixes[i].kind, Name: name}, true, nil
		}
	}
	if alias, found := strings.CutPrefix(text, prefixTempQueue); found {
		d, err = t.temp(broker.TempQueue, alias)
		return d, true, err
	}
	if alias, found := strings.CutPrefix(text, prefixTempTopic); found {
		d, err = t.temp(broker.TempTopic, alias)
		return d, true, err
	}
	return broker.Destination{}, false, nil
}

// cutOptions takes ?consumer.X=Y&... from the end of a name. Any other question mark is part of the name. Values are
// escaped as in a URL, so that one may hold & or a comma; what is no escape stays as it stands.
func cutOptions(text string, options []destOption) (string, []destOption) {
	name, query, found := strings.Cut(text, "?")
	if !found || !strings.HasPrefix(query, "consumer.") {
		return text, options
	}
	for part := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(part, "=")
		if key, found := strings.CutPrefix(key, "consumer."); found {
			if plain, err := url.PathUnescape(value); err == nil {
				value = plain
			}
			options = append(options, destOption{key, value})
		}
	}
	return name, options
}

// bareKind is the kind of names without a prefix: a queue, unless destination-type (SEND) or subscription-type
// (SUBSCRIBE) says otherwise.
func bareKind(value []byte) (broker.Kind, error) {
	switch string(value) {
	case "", "ANYCAST":
		return broker.Queue, nil
	case "MULTICAST":
		return broker.Topic, nil
	}
	return 0, requestFault(broker.CodeBadDestination, "bad destination type",
		"%q is not a destination type; it is ANYCAST (queue) or MULTICAST (topic)", value)
}

// appendDest appends a destination as everyone sees it.
func appendDest(dst []byte, d broker.Destination) []byte {
	switch d.Kind {
	case broker.Queue:
		dst = append(dst, prefixQueue...)
	case broker.Topic:
		dst = append(dst, prefixTopic...)
	case broker.TempQueue:
		dst = append(dst, prefixRemoteTempQueue...)
	case broker.TempTopic:
		dst = append(dst, prefixRemoteTempTopic...)
	case broker.DurableSub:
		dst = append(dst, prefixDurable...)
	}
	return append(dst, d.Name...)
}
