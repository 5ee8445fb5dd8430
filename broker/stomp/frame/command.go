package frame

// Command is the first line of a frame.
type Command uint8

// The commands of STOMP 1.0 to 1.2. The zero Command stands for none.
const (
	unknown Command = iota
	CONNECT
	STOMP
	SEND
	SUBSCRIBE
	UNSUBSCRIBE
	ACK
	NACK
	BEGIN
	COMMIT
	ABORT
	DISCONNECT
	CONNECTED
	MESSAGE
	RECEIPT
	ERROR
)

// String returns the command as it stands on the wire, or "unknown".
func (c Command) String() string {
	switch c {
	case CONNECT:
		return "CONNECT"
	case STOMP:
		return "STOMP"
	case SEND:
		return "SEND"
	case SUBSCRIBE:
		return "SUBSCRIBE"
	case UNSUBSCRIBE:
		return "UNSUBSCRIBE"
	case ACK:
		return "ACK"
	case NACK:
		return "NACK"
	case BEGIN:
		return "BEGIN"
	case COMMIT:
		return "COMMIT"
	case ABORT:
		return "ABORT"
	case DISCONNECT:
		return "DISCONNECT"
	case CONNECTED:
		return "CONNECTED"
	case MESSAGE:
		return "MESSAGE"
	case RECEIPT:
		return "RECEIPT"
	case ERROR:
		return "ERROR"
	}
	return "unknown"
}

// FromServer reports whether only a server may send c.
func (c Command) FromServer() bool { return c >= CONNECTED }

// hasBody reports whether a frame with this command may have a body. STOMP 1.2, Body.
func (c Command) hasBody() bool { return c == SEND || c == MESSAGE || c == ERROR }

// raw reports whether the headers of c are never escaped, for the sake of 1.0 peers. STOMP 1.2, Value Encoding. STOMP
// is CONNECT under another name.
func (c Command) raw() bool { return c == CONNECT || c == STOMP || c == CONNECTED }

// parseCommand finds the command spelled exactly as line; commands are case-sensitive.
func parseCommand(line []byte) Command {
	switch string(line) {
	case "SEND":
		return SEND
	case "ACK":
		return ACK
	case "MESSAGE":
		return MESSAGE
	case "RECEIPT":
		return RECEIPT
	case "NACK":
		return NACK
	case "BEGIN":
		return BEGIN
	case "COMMIT":
		return COMMIT
	case "ABORT":
		return ABORT
	case "SUBSCRIBE":
		return SUBSCRIBE
	case "UNSUBSCRIBE":
		return UNSUBSCRIBE
	case "CONNECT":
		return CONNECT
	case "STOMP":
		return STOMP
	case "CONNECTED":
		return CONNECTED
	case "DISCONNECT":
		return DISCONNECT
	case "ERROR":
		return ERROR
	}
	return unknown
}
