package broker

import "fmt"

// Code is the kind of an error. Every front end words and maps it in its own
// way; over STOMP it is the header x-code.
type Code string

// Codes of errors.
const (
	CodeBadDestination Code = "bad-destination"
	CodeNoDestination  Code = "unknown-destination"
	CodeNotAuthorized  Code = "not-authorized"
	CodeBadSelector    Code = "bad-selector"
	CodeBadRequest     Code = "bad-request"
	CodeNoSubscription Code = "unknown-subscription"
	CodeNoTransaction  Code = "unknown-transaction"
	CodeTxFailed       Code = "transaction-failed"
	CodeNoSchedule     Code = "unknown-schedule"
	CodeInUse          Code = "in-use"
	CodeFull           Code = "queue-full"
	CodeStoreFull      Code = "store-full"
	CodeTooLarge       Code = "too-large"
	CodeLimit          Code = "limit"
	CodeNotMaster      Code = "not-master"
	CodeClosing        Code = "closing"
	CodeUnknownAck     Code = "unknown-ack"
	CodeNotOffered     Code = "not-offered"
	CodeInternal       Code = "internal"
)

// Error is an error with a kind, said in words: what, why and what to do.
type Error struct {
	Code Code
	Text string
	Err  error // the cause, may be nil
}

func (e *Error) Error() string { return e.Text }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error. A %w in the format also sets the cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Code: code, Text: err.Error()}
	if u, ok := err.(interface{ Unwrap() error }); ok {
		e.Err = u.Unwrap()
	}
	return e
}
