package stomp

import (
	"bytes"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
	"treadmq/broker/stomp/sendheader"
)

// headerID is a header of SEND that means something to the broker; package sendheader has the table of names.
type headerID = sendheader.ID

const (
	hUser             = sendheader.User
	hDrop             = sendheader.Drop
	hDestination      = sendheader.Destination
	hDestinationType  = sendheader.DestinationType
	hReceipt          = sendheader.Receipt
	hTransaction      = sendheader.Transaction
	hPersistent       = sendheader.Persistent
	hPriority         = sendheader.Priority
	hExpires          = sendheader.Expires
	hExpiration       = sendheader.Expiration
	hTTL              = sendheader.TTL
	hCorrelationID    = sendheader.CorrelationID
	hReplyTo          = sendheader.ReplyTo
	hType             = sendheader.Type
	hGroup            = sendheader.Group
	hGroupSeq         = sendheader.GroupSeq
	hContentType      = sendheader.ContentType
	hMsgType          = sendheader.MsgType
	hTimestamp        = sendheader.Timestamp
	hRetain           = sendheader.Retain
	hHint             = sendheader.Hint
	hSchedule         = sendheader.Schedule
	hDedupID          = sendheader.DedupID
	hProducerID       = sendheader.ProducerID
	hProducerSeq      = sendheader.ProducerSeq
	hNotOffered       = sendheader.NotOffered
	hJMSPriority      = sendheader.JMSPriority
	hJMSExpiration    = sendheader.JMSExpiration
	hJMSDeliveryMode  = sendheader.JMSDeliveryMode
	hJMSCorrelationID = sendheader.JMSCorrelationID
	hJMSReplyTo       = sendheader.JMSReplyTo
	hJMSType          = sendheader.JMSType
)

func headerOf(name []byte) headerID { return sendheader.Of(name) }

// sendHeaders are the headers of a SEND that mean something, the first of each.
type sendHeaders struct {
	seen uint32 // bit 1<<headerID

	destination, destinationType, receipt, transaction  []byte
	persistent, priority, expires, expiration, ttl      []byte
	correlationID, replyTo, msgTypeName                 []byte
	group, groupSeq, contentType, msgType, deliveryMode []byte
	timestamp, retain                                   []byte
	dedupID, producerID, producerSeq                    []byte

	bytes int    // of all headers
	user  uint64 // bit 1<<i: header i of the frame, of the first 64, means nothing to the broker
	prio  uint8
	keep  bool // survive a restart
}

func (h *sendHeaders) has(id headerID) bool { return h.seen&(1<<id) != 0 }

// isUser reports whether header i of the frame, called name, means nothing to the broker.
func (h *sendHeaders) isUser(i int, name []byte) bool {
	if i < 64 {
		return h.user&(1<<i) != 0
	}
	return headerOf(name) == hUser
}

// jmsNames are the values of the headers that have a JMS name, from hJMSPriority on.
type jmsNames [hJMSType - hJMSPriority + 1][]byte

// read collects the headers of f and checks those that need no more than themselves.
func (h *sendHeaders) read(f *frame.Frame) error {
	var jms jmsNames
	for i := range f.Headers {
		x := &f.Headers[i]
		h.bytes += len(x.Name) + len(x.Value)
		id := headerOf(x.Name)
		if id <= hDrop || h.has(id) {
			if id == hUser {
				h.user |= 1 << i
			}
			continue
		}
		h.seen |= 1 << id
		switch {
		case id == hNotOffered:
			return requestFault(broker.CodeNotOffered, "not offered: "+string(x.Name),
				"this version does not carry out the header %s; the message was not sent", x.Name)
		case id > hNotOffered:
			jms[id-hJMSPriority] = x.Value
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
	case hTimestamp:
		h.timestamp = v
	case hRetain:
		h.retain = v
	case hDedupID:
		h.dedupID = v
	case hProducerID:
		h.producerID = v
	case hProducerSeq:
		h.producerSeq = v
	}
}

// aliases takes up the JMS names where the STOMP name is missing.
func (h *sendHeaders) aliases(jms *jmsNames) {
	for from := hJMSPriority; from <= hJMSType; from++ {
		if to := from.Standard(); from != hJMSDeliveryMode && h.has(from) && !h.has(to) {
			h.seen |= 1 << to
			h.set(to, jms[from-hJMSPriority])
		}
	}
	h.deliveryMode = jms[hJMSDeliveryMode-hJMSPriority]
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
	} else if sendheader.NonPersistent(h.deliveryMode) {
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
