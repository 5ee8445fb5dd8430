package stomp

import (
	"strings"
	"testing"

	"treadmq/broker"
)

// passes sends a message to a topic and reports whether the selector lets it through.
func passes(t *testing.T, selector, headers string) bool {
	t.Helper()
	r := newRig(t)
	c := r.connected("")
	c.subscribe("/topic/orders.new", "selector:"+strings.ReplaceAll(selector, ":", `\c`)+"\n")
	p := r.connected("")
	p.publish("/topic/orders.new", headers, "body")
	p.publish("/topic/orders.new", "everything:end\n", "end")
	return c.expect("MESSAGE").body == "body"
}

// A selector knows the names of JMS, of Artemis and of STOMP's own headers, and any other in double quotes.
func TestCompatSelector_Names(t *testing.T) {
	headers := "type:parcel\ncorrelation-id:c7\npriority:7\nreply-to:/queue/r\nJMSXGroupID:g\nJMSXGroupSeq:3\nx-ttl:100000\n" +
		"content-type:text/plain\nx-own:1\n$odd_1:yes\n"
	for selector, want := range map[string]bool{
		"JMSType = 'parcel' AND type = 'parcel'":                               true,
		`JMSCorrelationID = 'c7' AND "correlation-id" = 'c7'`:                  true,
		"JMSPriority = 7 AND priority > 6 AND AMQPriority < 8":                 true,
		"JMSDeliveryMode = 'NON_PERSISTENT' OR JMSDeliveryMode = 'PERSISTENT'": true,
		"JMSMessageID LIKE 'ID-%'":                                             true,
		"JMSTimestamp > 1600000000000 AND JMSExpiration > JMSTimestamp":        true,
		"JMSXGroupID = 'g' AND JMSXGroupSeq = 3 AND AMQGroupID = 'g'":          true,
		"NOT JMSRedelivered AND JMSXDeliveryCount = 1":                         true,
		"JMSReplyTo = 'queue://r'":                                             true,
		"JMSReplyTo = '/queue/r'":                                              true,
		"JMSDestination = 'topic://orders.new'":                                true,
		"JMSDestination = '/topic/orders.new' AND AMQAddress = 'orders.new'":   true,
		"persistent = 'true' AND persistent = TRUE AND persistent":             true,
		"persistent = 'DURABLE' OR persistent = 'false'":                       false,
		"redelivered = 'false' AND NOT redelivered":                            true,
		`"reply-to" = '/queue/r' AND destination = '/topic/orders.new'`:        true,
		"expires > timestamp AND AMQDurable = 'DURABLE'":                       true,
		"AMQSize = 4 AND AMQExpiration > AMQTimestamp":                         true,
		`"content-type" = 'text/plain' AND "x-own" = 1 AND $odd_1 = 'yes'`:     true,
		"persistent = 'true' OR persistent = 'false'":                          true,
		"persistent = TRUE OR NOT persistent":                                  true,
		"persistent = 'DURABLE' OR persistent IS NULL":                         false,
		"redelivered = 'false' AND expires > 0 AND timestamp > 0":              true,
		"jmstype = 'parcel'":                                                   false, // names have their case
		"everything = 'body'":                                                  false,
		"JMSXUserID IS NOT NULL":                                               false,
	} {
		if got := passes(t, selector+" OR everything = 'end'", headers); got != want {
			t.Errorf("%s: %v", selector, got)
		}
	}
}

// The prefixes that other brokers need are understood: text that is a number is one without the first, and with the
// second a hyphen is part of a name.
func TestCompatSelector_Prefixes(t *testing.T) {
	for selector, want := range map[string]bool{
		"weight > 2":                            true,
		"convert_string_expressions:weight > 2": true,
		"hyphenated_props:my-key = 'v'":         true,
		"my-key = 'v'":                          false,
		"convert_string_expressions:hyphenated_props:my-key = 'v'": true,
	} {
		prefix := ""
		for _, p := range []string{"convert_string_expressions:", "hyphenated_props:"} {
			if rest, ok := strings.CutPrefix(selector, p); ok {
				prefix, selector = prefix+p, rest
			}
		}
		text := prefix + "(" + selector + ") OR everything = 'end'"
		if got := passes(t, text, "weight:2.5\nmy-key:v\n"); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// With and without an index a selector finds what lies behind others and beyond the memory of the queue.
func TestCompatSelector_Index(t *testing.T) {
	for _, headers := range [][]string{nil, {"n", "type"}} {
		r := newRig(t, withPolicy(func(_ broker.Destination, p *broker.Policy) {
			p.MemoryLimit = 10_000
			p.IndexHeaders = headers
		}))
		c := r.connected("")
		fill(c, "/queue/a", 1000)
		c.publish("/queue/a", "type:last\n", "last")
		for selector, want := range map[string]string{"n = 999": "999", "n IN ('no', '750') AND JMSPriority = 4": "750", "JMSType = 'last' OR type = 'other'": "last"} {
			c.subscribe("/queue/a", "selector:"+selector+"\nack:client-individual\n")
			c.take(want)
			c.unsubscribe("")
		}
	}
}
