package selector

import "strings"

// Field is a message field that JMS or Artemis gives an identifier to.
type Field uint8

// The fields, the Value each should have, and the identifiers that name it.
const (
	FieldNone          Field = iota // not a field: a header or property of that name
	FieldMessageID                  // String: JMSMessageID, AMQUserID
	FieldCorrelationID              // String: JMSCorrelationID
	FieldType                       // String: JMSType
	FieldPriority                   // Int, 0 to 9: JMSPriority, AMQPriority
	FieldTimestamp                  // Int, ms since 1970: JMSTimestamp, AMQTimestamp
	FieldExpiration                 // Int, ms since 1970, 0 never: JMSExpiration, AMQExpiration
	FieldDeliveryMode               // String, PERSISTENT or NON_PERSISTENT: JMSDeliveryMode
	FieldRedelivered                // Bool: JMSRedelivered
	FieldDeliveryCount              // Int, 1 on the first delivery: JMSXDeliveryCount
	FieldGroupID                    // String: JMSXGroupID, AMQGroupID
	FieldGroupSeq                   // Int: JMSXGroupSeq
	FieldUserID                     // String: JMSXUserID
	FieldReplyTo                    // String, queue://N and the like: JMSReplyTo
	FieldDestination                // String, queue://N and the like: JMSDestination
	FieldDurable                    // String, DURABLE or NON_DURABLE: AMQDurable
	FieldSize                       // Int, bytes: AMQSize
	FieldAddress                    // String, the destination's name alone: AMQAddress
)

// Canonical returns the field that an identifier names, and false for all other names, which are plain headers. Artemis's
// AMQUserID is the id of the message, not of the user.
func Canonical(name string) (Field, bool) {
	if len(name) < len("JMSType") || !strings.HasPrefix(name, "JMS") && !strings.HasPrefix(name, "AMQ") {
		return FieldNone, false
	}
	f := fieldOf(name)
	return f, f != FieldNone
}

func fieldOf(name string) Field {
	switch name {
	case "JMSMessageID", "AMQUserID":
		return FieldMessageID
	case "JMSCorrelationID":
		return FieldCorrelationID
	case "JMSType":
		return FieldType
	case "JMSPriority", "AMQPriority":
		return FieldPriority
	case "JMSTimestamp", "AMQTimestamp":
		return FieldTimestamp
	case "JMSExpiration", "AMQExpiration":
		return FieldExpiration
	case "JMSDeliveryMode":
		return FieldDeliveryMode
	case "JMSRedelivered":
		return FieldRedelivered
	case "JMSXDeliveryCount":
		return FieldDeliveryCount
	case "JMSXGroupID", "AMQGroupID":
		return FieldGroupID
	case "JMSXGroupSeq":
		return FieldGroupSeq
	case "JMSXUserID":
		return FieldUserID
	case "JMSReplyTo":
		return FieldReplyTo
	case "JMSDestination":
		return FieldDestination
	case "AMQDurable":
		return FieldDurable
	case "AMQSize":
		return FieldSize
	case "AMQAddress":
		return FieldAddress
	}
	return FieldNone
}

// destinationText rewrites text that is compared with a destination from STOMP's form to that of JMS, so that
// JMSDestination = '/queue/N' and JMSDestination = 'queue://N' mean the same.
func destinationText(s string) string {
	for _, kind := range [...]string{"queue", "topic", "temp-queue", "temp-topic"} {
		if name, ok := strings.CutPrefix(s, "/"+kind+"/"); ok {
			return kind + "://" + name
		}
	}
	return s
}

// isDestination reports whether the identifier's value is a destination.
func isDestination(name string) bool {
	f := fieldOf(name)
	return f == FieldReplyTo || f == FieldDestination || name == "reply-to" || name == "destination"
}
