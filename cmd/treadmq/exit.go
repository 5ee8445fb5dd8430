package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"treadmq/conf"
	"treadmq/ha/failover"
)

// Exit codes, those of sysexits.h where it has one. status has its own, from the LSB.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 64
	exitData        = 65 // a file or a message is not what it should be
	exitNoInput     = 66 // a file to read is not there
	exitUnreachable = 69 // no broker answers
	exitBug         = 70
	exitCannot      = 73 // a file cannot be created
	exitTryAgain    = 75 // no master at the moment, or a store in use
	exitNotAllowed  = 77
	exitConfig      = 78
)

// failure is an error in three parts: what went wrong, why, and what to do next.
type failure struct {
	code int
	what string // empty: everything has been said already
	why  error  // may be nil
	next string // may be empty
}

func (f *failure) Error() string {
	text := f.what
	if f.why != nil {
		text += ": " + f.why.Error()
	}
	if f.next != "" {
		text += "; " + f.next
	}
	return text
}

func (f *failure) Unwrap() error { return f.why }

// ExitCode is the process's exit code for this error.
func (f *failure) ExitCode() int { return f.code }

// exitCode is the process's exit code for an error of a command.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if coded := (interface{ ExitCode() int })(nil); errors.As(err, &coded) {
		return coded.ExitCode()
	}
	if isUsage(err) {
		return exitUsage
	}
	return kindOf(err)
}

// kindOf finds the exit code of errors that other packages return.
func kindOf(err error) int {
	var refused *failover.ServerError
	var config *conf.Error
	switch {
	case errors.As(err, &config):
		return exitConfig
	case errors.Is(err, failover.ErrLogin):
		return exitNotAllowed
	case errors.As(err, &refused):
		return refusalCode(refused.Code)
	case errors.Is(err, failover.ErrUnreachable), errors.Is(err, failover.ErrHeartBeat), errors.Is(err, failover.ErrTimeout):
		return exitUnreachable
	case errors.Is(err, fs.ErrNotExist):
		return exitNoInput
	case errors.Is(err, fs.ErrPermission):
		return exitNotAllowed
	}
	return exitFailure
}

// refusalCode is the exit code for the x-code of a broker's ERROR.
func refusalCode(code string) int {
	switch code {
	case "not-authorized", "login", "tls-required":
		return exitNotAllowed
	case "not-master", "closing", "queue-full", "store-full", "limit":
		return exitTryAgain
	case "bad-destination", "bad-selector", "bad-request", "too-large", "syntax":
		return exitData
	}
	return exitFailure
}

// report tells a person of an error, in its three parts.
func report(cmd *cobra.Command, err error) {
	w := cmd.ErrOrStderr()
	head := "treadmq:"
	if colored(cmd, w) {
		head = "\x1b[31;1mtreadmq:\x1b[0m"
	}
	var f *failure
	switch {
	case errors.As(err, &f):
	case isUsage(err) && !hasCode(err):
		f = usageError(cmd, err)
	default:
		f = &failure{what: err.Error()}
	}
	if f.what == "" {
		return
	}
	fmt.Fprintf(w, "%s %s\n", head, indent(f.what))
	if f.why != nil {
		fmt.Fprintf(w, "  why:  %s\n", indent(f.why.Error()))
	}
	if f.next != "" {
		fmt.Fprintf(w, "  next: %s\n", indent(f.next))
	}
}

func hasCode(err error) bool {
	coded := (interface{ ExitCode() int })(nil)
	return errors.As(err, &coded)
}

// indent keeps further lines of a text under its first, and a broker's text from
// commanding the terminal.
func indent(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range lines {
		lines[i] = printable(l)
	}
	return strings.Join(lines, "\n        ")
}

// interruptedText is what to say when a signal ended a command: what it had done so
// far if its error says so.
func interruptedText(err error) string {
	var f *failure
	if errors.As(err, &f) {
		return f.what
	}
	return "interrupted"
}

// talk says something to people, on standard error, unless --quiet.
func talk(cmd *cobra.Command, format string, args ...any) {
	if quiet, _ := cmd.Flags().GetBool("quiet"); !quiet {
		fmt.Fprintf(cmd.ErrOrStderr(), "treadmq: "+format+"\n", args...)
	}
}

// warn says what must be said even with --quiet.
func warn(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "treadmq: warning: "+format+"\n", args...)
}

// canceled is the error of a command that a signal ended; did says how far it came.
func canceled(ctx context.Context, did string) error {
	return &failure{code: exitFailure, what: "interrupted: " + did, why: ctx.Err()}
}

// fileError words a failure to read or to write a file.
func fileError(what string, err error) error {
	f := &failure{code: exitFailure, what: what, why: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.code, f.next = exitNoInput, "check the name"
	case errors.Is(err, fs.ErrExist):
		f.code, f.next = exitCannot, "choose another name, or --force to replace it"
	case errors.Is(err, fs.ErrPermission):
		f.code = exitNotAllowed
	case errors.Is(err, os.ErrDeadlineExceeded):
		f.code = exitTryAgain
	}
	return f
}
