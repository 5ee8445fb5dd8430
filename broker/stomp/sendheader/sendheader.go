// Package sendheader is the table of the headers of SEND: what each name means. The sessions of STOMP read frames by
// it, and whoever else takes messages with headers, such as the JSON API, so that a header means the same everywhere.
package sendheader

import "bytes"

// ID is a header of SEND that means something to the broker.
type ID uint8

// What headers mean. Those without a comment are told by their name.
const (
	User ID = iota // none: the header is the application's
	Drop           // stripped: the client may not set it
	Destination
	DestinationType
	Receipt
	Transaction
	Persistent
	Priority
	Expires
	Expiration
	TTL
	CorrelationID
	ReplyTo
	Type
	Group
	GroupSeq
	ContentType
	MsgType
	Timestamp // kept where the policy trusts it
	Retain    // set or remove; ActiveMQ.Retain has true for set
	Hint      // what a queue is to be like that this SEND makes
	Schedule  // one of those that say when it is delivered; see ReadSchedule
	DedupID   // recognises a repeat of the message
	ProducerID
	ProducerSeq
	NotOffered
	// The JMS names of some of them, which count only if the STOMP name is not there.
	JMSPriority
	JMSExpiration
	JMSDeliveryMode
	JMSCorrelationID
	JMSReplyTo
	JMSType
)

// Of says what a header name of SEND means. Semantics 1.4 (what is stripped), 2.3 and 2.6 (what the broker sets
// on MESSAGE itself).
func Of(name []byte) ID {
	switch string(name) {
	case "destination":
		return Destination
	case "receipt":
		return Receipt
	case "content-length", "message-id", "subscription", "redelivered", "ack", "JMSXUserID",
		"JMSXDeliveryCount", "JMSXGroupFirstForConsumer", "JMSMessageID", "JMSDestination", "JMSRedelivered":
		return Drop
	case "content-type":
		return ContentType
	case "timestamp", "JMSTimestamp":
		return Timestamp
	case "retain", "ActiveMQ.Retain":
		return Retain
	case "persistent":
		return Persistent
	case "priority":
		return Priority
	case "expires":
		return Expires
	case "correlation-id":
		return CorrelationID
	case "reply-to":
		return ReplyTo
	case "type":
		return Type
	case "transaction":
		return Transaction
	case "expiration":
		return Expiration
	case "x-ttl":
		return TTL
	case "amq-msg-type":
		return MsgType
	case "destination-type":
		return DestinationType
	case "JMSXGroupID", "message_group", "x-group-id":
		return Group
	case "JMSXGroupSeq":
		return GroupSeq
	case "JMSPriority":
		return JMSPriority
	case "JMSExpiration":
		return JMSExpiration
	case "JMSDeliveryMode":
		return JMSDeliveryMode
	case "JMSCorrelationID":
		return JMSCorrelationID
	case "JMSReplyTo":
		return JMSReplyTo
	case "JMSType":
		return JMSType
	case "x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-overflow", "x-dead-letter-exchange",
		"x-dead-letter-routing-key", "auto-delete":
		return Hint
	case Delay, Period, Repeat, Cron, Time, XDelay, DeliverAt, ARTTime, CronZone, Until, ScheduleID, SchedulerAction:
		return Schedule
	case "x-dedup-id", "_AMQ_DUPL_ID":
		return DedupID
	case "x-producer-id":
		return ProducerID
	case "x-producer-seq":
		return ProducerSeq
	case "x-max-deliveries", "x-dead-letter-to", "x-on-full", "x-reply-timeout":
		return NotOffered
	}
	return User
}

// Standard is the STOMP header that a JMS name stands for when the STOMP one is not there, or id itself.
// JMSDeliveryMode stands for persistent, with values of its own.
func (id ID) Standard() ID {
	switch id {
	case JMSPriority:
		return Priority
	case JMSExpiration:
		return Expires
	case JMSDeliveryMode:
		return Persistent
	case JMSCorrelationID:
		return CorrelationID
	case JMSReplyTo:
		return ReplyTo
	case JMSType:
		return Type
	}
	return id
}

// NonPersistent reports whether a value of JMSDeliveryMode means that the message need not survive a restart.
func NonPersistent(deliveryMode []byte) bool {
	return bytes.EqualFold(deliveryMode, []byte("NON_PERSISTENT")) || string(deliveryMode) == "1"
}

// IsRetain reads a value of Retain: whether the topic is to keep the message, or none any more. ok is false for what is
// no such value.
func IsRetain(value string) (set, remove, ok bool) {
	switch value {
	case "set", "true":
		return true, false, true
	case "remove":
		return false, true, true
	case "false":
		return false, false, true
	}
	return false, false, false
}
