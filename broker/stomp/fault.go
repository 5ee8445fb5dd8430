package stomp

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// fault is an error as a client is told of it: an ERROR frame.
type fault struct {
	message string // header message, a few words
	detail  string // body, what to do about it; may be empty
	code    string // header x-code
	version bool   // add the header version: no version is in common
	fatal   bool   // ends the connection even where errors are soft
	logged  bool   // has had its line in the log
	err     error  // what went wrong, for the log
}

func (f *fault) Error() string {
	if f.detail == "" {
		return f.message
	}
	return f.message + ": " + f.detail
}

func (f *fault) Unwrap() error { return f.err }

// codeSyntax and the other codes below are those that the core has no use for.
const (
	codeSyntax   = broker.Code("syntax")
	codeProtocol = broker.Code("protocol")
	codeVersion  = broker.Code("version")
	codeLogin    = broker.Code("login")
	codeTimeout  = broker.Code("timeout")
	codeTLS      = broker.Code("tls-required")
)

// requestFault is a fault in what one frame asked for: with soft errors the connection goes on.
func requestFault(code broker.Code, message, format string, args ...any) *fault {
	return &fault{message: message, detail: fmt.Sprintf(format, args...), code: string(code)}
}

// protocolFault is a breach of the protocol: the connection ends in any case.
func protocolFault(code broker.Code, message, format string, args ...any) *fault {
	return &fault{message: message, detail: fmt.Sprintf(format, args...), code: string(code), fatal: true}
}

// toFault words any error.
func toFault(err error) *fault {
	var own *fault
	if errors.As(err, &own) {
		return own
	}
	var core *broker.Error
	if errors.As(err, &core) {
		fatal := core.Code == broker.CodeClosing || core.Code == broker.CodeInternal
		return &fault{message: core.Text, code: string(core.Code), fatal: fatal, err: err}
	}
	var codec *frame.Error
	if errors.As(err, &codec) {
		return &fault{message: codec.Message, detail: codec.Detail, code: frameCode(codec.Kind), fatal: true, err: err}
	}
	return &fault{message: "internal error", detail: err.Error(), code: string(broker.CodeInternal), fatal: true, err: err}
}

func frameCode(k frame.Kind) string {
	switch k {
	case frame.TooLarge:
		return string(broker.CodeTooLarge)
	case frame.Limit:
		return string(broker.CodeLimit)
	}
	return k.String()
}

// appendError appends an ERROR frame. receipt is the header line receipt-id with its LF, or empty; soft says that the
// connection goes on. STOMP 1.2, ERROR.
func appendError(dst []byte, v frame.Version, f *fault, receipt []byte, soft bool) []byte {
	dst = frame.AppendCommand(dst, frame.ERROR)
	dst = frame.AppendHeader(dst, v, "message", cut(f.message, maxErrorMessage))
	dst = frame.AppendHeader(dst, v, "x-code", f.code)
	if soft {
		dst = append(dst, "x-fatal:false\n"...)
	}
	if f.version {
		dst = append(dst, "version:"+frame.SupportedVersions+"\n"...)
	}
	dst = append(dst, receipt...)
	body := f.Error() + "\n"
	dst = append(dst, "content-type:text/plain\n"...)
	dst = frame.AppendHeaderInt(dst, "content-length", int64(len(body)))
	return append(append(frame.AppendEnd(dst), body...), frameEnd...)
}

// cut shortens s to at most n bytes without cutting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
