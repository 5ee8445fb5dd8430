package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// ranError marks an error that a command itself returned. Whatever cobra returns
// without the mark is about how the command was called.
type ranError struct{ error }

func (e ranError) Unwrap() error { return e.error }

// finish makes all commands of a tree alike: errors are marked, a command that only
// groups others refuses words it does not know.
func finish(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		finish(sub)
	}
	if cmd.RunE == nil && cmd.Run == nil {
		cmd.RunE, cmd.Args = groupRun, cobra.ArbitraryArgs
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(c *cobra.Command, args []string) error {
			if err := run(c, args); err != nil {
				return ranError{err}
			}
			return nil
		}
	}
}

// groupRun is what a command does that only groups others.
func groupRun(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		if cmd.HasParent() {
			return &failure{code: exitUsage, what: fmt.Sprintf("%q needs a command: %s", cmd.CommandPath(), strings.Join(subcommands(cmd), ", ")),
				next: fmt.Sprintf("%s --help", cmd.CommandPath())}
		}
		return cmd.Help()
	}
	f := &failure{code: exitUsage, what: fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())}
	cmd.SuggestionsMinimumDistance = cmd.Root().SuggestionsMinimumDistance // it is not inherited
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		f.next = "did you mean " + strings.Join(s, " or ") + "?"
	} else {
		f.next = cmd.CommandPath() + " --help lists the commands"
	}
	return f
}

func subcommands(cmd *cobra.Command) (names []string) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// usageError words what cobra found wrong with a call, with a suggestion for a
// misspelled flag.
func usageError(cmd *cobra.Command, err error) *failure {
	f := &failure{code: exitUsage, what: err.Error(), next: cmd.UseLine() + " (" + cmd.CommandPath() + " --help tells more)"}
	if name, ok := strings.CutPrefix(err.Error(), "unknown flag: --"); ok {
		if near := nearestFlag(cmd, name); near != "" {
			f.next = "did you mean --" + near + "?"
		}
	}
	return f
}

// asUsage turns a bad value of a flag or an argument into a usage error.
func asUsage(what string, err error) error {
	return &failure{code: exitUsage, what: what, why: err}
}

func usagef(next, format string, args ...any) error {
	return &failure{code: exitUsage, what: fmt.Sprintf(format, args...), next: next}
}

func isUsage(err error) bool {
	var ran ranError
	return !errors.As(err, &ran)
}
