package failover

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-stomp/stomp/v3/frame"
)

// Results that a program may want to tell apart, for use with errors.Is.
var (
	// ErrClosed: Close or Disconnect was called, or the subscription was ended.
	ErrClosed = errors.New("connection closed by this program")
	// ErrUnreachable: no broker of the list could be reached within the
	// attempts the address allows, or the only connection was lost.
	ErrUnreachable = errors.New("no broker reachable")
	// ErrLogin: a broker refused the login and no other took it.
	ErrLogin = errors.New("login refused")
	// ErrInterrupted: the connection ended before the operation took effect.
	// Repeat it.
	ErrInterrupted = errors.New("interrupted by the loss of the connection; nothing was done, repeat it")
	// ErrInDoubt: the request was written but its RECEIPT was not seen; the
	// broker may or may not have carried it out.
	ErrInDoubt = errors.New("in doubt: written, but the broker's receipt was not seen")
	// ErrStale: the message was received over an earlier connection or an ended
	// subscription; the broker delivers it again.
	ErrStale = errors.New("message belongs to an earlier connection or subscription and will be delivered again")
	// ErrTimeout: there was no connection for as long as the timeout option
	// allows. A message that had been written before may have been stored.
	ErrTimeout = errors.New("no connection within the timeout of the failover address")
	// ErrHeartBeat: the broker was silent for twice the agreed interval.
	ErrHeartBeat = errors.New("no heart-beat from the broker")
	// ErrProtocol: the broker sent what STOMP or this client's limits forbid.
	ErrProtocol = errors.New("broker violates the protocol")
)

// ServerError is an ERROR frame of the broker.
type ServerError struct {
	Message   string        // short text, header "message"
	Detail    string        // body, at most maxDetail bytes
	Code      string        // header "x-code", empty with brokers that have none
	ReceiptID string        // receipt of the frame that caused it, may be empty
	Header    *frame.Header // all headers
}

// maxDetail bounds how much of an ERROR's body is kept in a ServerError.
const maxDetail = 4 << 10

func (e *ServerError) Error() string {
	text, detail := e.Message, strings.TrimSpace(e.Detail)
	switch {
	case text != "" && strings.HasPrefix(detail, text): // TreadMQ's own are so, the header cut where it is long
		text, detail = detail, ""
	case text == "":
		text = "ERROR without a message header"
	}
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	if detail != "" {
		text += ": " + detail
	}
	return "broker says: " + text
}

func newServerError(f *frame.Frame) *ServerError {
	return &ServerError{
		Message:   f.Header.Get(frame.Message),
		Detail:    string(f.Body[:min(len(f.Body), maxDetail)]),
		Code:      f.Header.Get("x-code"),
		ReceiptID: f.Header.Get(frame.ReceiptId),
		Header:    f.Header,
	}
}

// elsewhere reports whether the same request may succeed at another broker or
// later, so that it is sent again instead of failing.
func (e *ServerError) elsewhere() bool {
	return e.Code == "not-master" || e.Code == "closing"
}

// refusesLogin judges an ERROR that answered CONNECT. Brokers without x-code
// are judged by the words they use for it.
func (e *ServerError) refusesLogin() bool {
	if e.Code != "" {
		return e.Code == "login" || e.Code == "not-authorized"
	}
	text := strings.ToLower(e.Message + " " + e.Detail)
	for _, word := range []string{"authent", "authoriz", "login", "password", "passcode", "credential", "access denied", "access refused", "not allowed", "security"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// refusesVersion reports that broker and client share no protocol version.
func (e *ServerError) refusesVersion() bool {
	_, has := e.Header.Contains(frame.Version)
	return has
}

func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}
