package frame

import "fmt"

// Kind says what is wrong with a frame, for a caller that words or counts errors of its own.
type Kind uint8

// The kinds of Error.
const (
	// Syntax: the bytes are not a frame.
	Syntax Kind = iota + 1
	// UnknownCommand: the command line is none of the protocol's commands.
	UnknownCommand
	// Limit: the head is longer, or has more headers, than allowed.
	Limit
	// TooLarge: the body is longer than allowed.
	TooLarge
	// Stalled: a large body stopped arriving while others needed the memory it held.
	Stalled
	// NoMemory: the memory shared by all large frames stayed full for too long.
	NoMemory
)

// String returns the kind in lower-case words joined by hyphens, fit for an x-code header.
func (k Kind) String() string {
	switch k {
	case Syntax:
		return "syntax"
	case UnknownCommand:
		return "unknown-command"
	case Limit:
		return "limit"
	case TooLarge:
		return "too-large"
	case Stalled:
		return "stalled"
	case NoMemory:
		return "no-memory"
	}
	return "unknown"
}

// Error is a fault in what the peer sent. No further frame can be read after it.
type Error struct {
	Kind    Kind
	Message string // a few words, fit for the message header of an ERROR frame
	Detail  string // what was found, and what to do about it; fit for its body
}

// Error returns message and detail.
func (e *Error) Error() string { return "stomp frame: " + e.Message + ": " + e.Detail }

func syntaxError(message, format string, args ...any) *Error {
	return &Error{Kind: Syntax, Message: message, Detail: fmt.Sprintf(format, args...)}
}

func limitError(message, format string, args ...any) *Error {
	return &Error{Kind: Limit, Message: message, Detail: fmt.Sprintf(format, args...)}
}

// maxQuoted bounds how much of the peer's own text an error repeats, in bytes.
const maxQuoted = 64

// quoted cuts b for use with %q.
func quoted(b []byte) []byte {
	if len(b) > maxQuoted {
		return b[:maxQuoted]
	}
	return b
}

// stalledError is what the Read of a frame that was told to give way returns.
func stalledError() *Error {
	return &Error{
		Kind:    Stalled,
		Message: "frame stalled",
		Detail:  "the frame stopped arriving while others needed the memory it held; send it again, without pauses",
	}
}
