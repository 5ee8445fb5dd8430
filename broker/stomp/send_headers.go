package stomp

import (
	"bytes"
	"strings"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// headerID is a header of SEND that means something to the broker.
type headerID uint8

const (
	hUser headerID = iota // none: the header is the application's
	hDrop                 // stripped: the client may not set it
	hDestination
	hDestinationType
	hReceipt
	hTransaction
	hPersistent
	hPriority
	hExpires
	hExpiration
	hTTL
	hCorrelationID
	hReplyTo
	hType
	hGroup
	hGroupSeq
	hContentType
	hMsgType
	hHint // what a queue is to be like that this SEND makes
	hNotOffered
	// The JMS names of some of them, which count only if the STOMP name is not there.
	hJMSPriority
	hJMSExpiration
	hJMSDeliveryMode
	hJMSCorrelationID
	hJMSReplyTo
	hJMSType
)

// headerOf says what a header name of SEND means. Semantics 1.4 (what is stripped), 2.3 and 2.6 (what the broker sets
// on MESSAGE itself).
func headerOf(name []byte) headerID {
	switch string(name) {
	case "destination":
		return hDestination
	case "receipt":
		return hReceipt
	case "content-length", "message-id", "subscription", "redelivered", "ack", "timestamp", "JMSXUserID",
		"JMSXDeliveryCount", "JMSXGroupFirstForConsumer", "JMSTimestamp", "JMSMessageID", "JMSDestination", "JMSRedelivered":
		return hDrop
	case "content-type":
		return hContentType
	case "persistent":
		return hPersistent
	case "priority":
		return hPriority
	case "expires":
		return hExpires
	case "correlation-id":
		return hCorrelationID
	case "reply-to":
		return hReplyTo
	case "type":
		return hType
	case "transaction":
		return hTransaction
	case "expiration":
		return hExpiration
	case "x-ttl":
		return hTTL
	case "amq-msg-type":
		return hMsgType
	case "destination-type":
		return hDestinationType
	case "JMSXGroupID", "message_group", "x-group-id":
		return hGroup
	case "JMSXGroupSeq":
		return hGroupSeq
	case "JMSPriority":
		return hJMSPriority
	case "JMSExpiration":
		return hJMSExpiration
	case "JMSDeliveryMode":
		return hJMSDeliveryMode
	case "JMSCorrelationID":
		return hJMSCorrelationID
	case "JMSReplyTo":
		return hJMSReplyTo
	case "JMSType":
		return hJMSType
	case "x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-overflow", "x-dead-letter-exchange",
		"x-dead-letter-routing-key", "auto-delete":
		return hHint
	case "AMQ_SCHEDULED_DELAY", "AMQ_SCHEDULED_TIME", "AMQ_SCHEDULED_PERIOD", "AMQ_SCHEDULED_REPEAT", "AMQ_SCHEDULED_CRON",
		"AMQ_SCHEDULER_ACTION", "_AMQ_SCHED_DELIVERY", "x-delay", "x-deliver-at", "x-dedup-id", "_AMQ_DUPL_ID",
		"x-producer-id", "retain", "ActiveMQ.Retain", "x-max-deliveries", "x-dead-letter-to", "x-on-full",
		"x-reply-timeout":
		return hNotOffered
	}
	return hUser
}

// sendHeaders are the headers of a SEND that mean something, the first of each.
type sendHeaders struct {
	seen uint32 // bit 1<<headerID

	destination, destinationType, receipt, transaction  []byte
	persistent, priority, expires, expiration, ttl      []byte
	correlationID, replyTo, msgTypeName                 []byte
	group, groupSeq, contentType, msgType, deliveryMode []byte

	bytes int // of all headers
	prio  uint8
	keep  bool // survive a restart
}

func (h *sendHeaders) has(id headerID) bool { return h.seen&(1<<id) != 0 }

// read collects the headers of f and checks those that need no more than themselves.
func (h *sendHeaders) read(f *frame.Frame) error {
	var jms [hJMSType + 1][]byte
	for i := range f.Headers {
		x := &f.Headers[i]
		h.bytes += len(x.Name) + len(x.Value)
		id := headerOf(x.Name)
		if id <= hDrop || h.has(id) {
			continue
		}
		h.seen |= 1 << id
		switch {
		case id == hNotOffered:
			return requestFault(broker.CodeNotOffered, "not offered: "+string(x.Name),
				"this version does not carry out the header %s; the message was not sent", x.Name)
		case id > hNotOffered:
			jms[id] = x.Value
		default:
			h.set(id, x.Value)
		}
	}
	if h.seen >= 1<<hJMSPriority {
		h.aliases(&jms)
	}
	return h.check()
}

func (h *sendHeaders) set(id headerID, v []byte) {
	switch id {
	case hDestination:
		h.destination = v
	case hDestinationType:
		h.destinationType = v
	case hReceipt:
		h.receipt = v
	case hTransaction:
		h.transaction = v
	case hPersistent:
		h.persistent = v
	case hPriority:
		h.priority = v
	case hExpires:
		h.expires = v
	case hExpiration:
		h.expiration = v
	case hTTL:
		h.ttl = v
	case hCorrelationID:
		h.correlationID = v
	case hReplyTo:
		h.replyTo = v
	case hType:
		h.msgTypeName = v
	case hGroup:
		h.group = v
	case hGroupSeq:
		h.groupSeq = v
	case hContentType:
		h.contentType = v
	case hMsgType:
		h.msgType = v
	}
}

// aliases takes up the JMS names where the STOMP name is missing.
func (h *sendHeaders) aliases(jms *[hJMSType + 1][]byte) {
	for _, a := range [...]struct{ from, to headerID }{
		{hJMSPriority, hPriority}, {hJMSExpiration, hExpires}, {hJMSCorrelationID, hCorrelationID},
		{hJMSReplyTo, hReplyTo}, {hJMSType, hType},
	} {
		if h.has(a.from) && !h.has(a.to) {
			h.seen |= 1 << a.to
			h.set(a.to, jms[a.from])
		}
	}
	h.deliveryMode = jms[hJMSDeliveryMode]
}

func (h *sendHeaders) check() error {
	if len(h.receipt) > maxReceiptID {
		return longReceipt(len(h.receipt))
	}
	h.prio = broker.DefaultPriority
	if h.has(hPriority) {
		n, err := priority(h.priority)
		if err != nil {
			return err
		}
		h.prio = n
	}
	h.keep = true
	if h.has(hPersistent) {
		h.keep = !bytes.EqualFold(bytes.Trim(h.persistent, " "), []byte("false"))
	} else if mode := strings.ToUpper(string(h.deliveryMode)); mode == "NON_PERSISTENT" || mode == "1" {
		h.keep = false
	}
	return nil
}

// priority reads a priority and moves it to between 0 and 9.
func priority(value []byte) (uint8, error) {
	v := bytes.Trim(value, " ")
	digits, negative := bytes.CutPrefix(v, []byte{'-'})
	n, ok := parseNumber(digits)
	switch {
	case !ok:
		return 0, requestFault(broker.CodeBadRequest, "bad header priority", "priority is %q; it must be a number from 0 to 9", value)
	case negative:
		return 0, nil
	}
	return uint8(min(n, 9)), nil
}
