// Command treadmq is TreadMQ: the message broker, and the tools to use and to
// look after it, in one program.
//
// What every command keeps to: standard output carries data only, everything
// said to people goes to standard error; -o chooses the format of data; exit
// codes are those of exit.go; nothing is asked without a terminal.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = "dev"

func main() { os.Exit(run(os.Args[1:])) }

// run is the whole program; it returns its exit code.
func run(args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "treadmq: this is a bug: %v\n\n%s\nnext: please report it with the lines above\n", p, debug.Stack())
			code = exitBug
		}
	}()
	ctx, stop := untilSignal(context.Background())
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var sig signalError
	if errors.As(context.Cause(ctx), &sig) && errors.Is(err, context.Canceled) {
		err = &failure{code: 128 + int(sig.Signal), what: interruptedText(err)}
	}
	report(cmd, err)
	return exitCode(err)
}

// signalError is the cause with which the context of all commands ends.
type signalError struct{ syscall.Signal }

func (s signalError) Error() string { return s.Signal.String() }

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. The
// second one ends the process. stop waits for the goroutine behind it.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-caught:
			signal.Stop(caught)
			sys, _ := s.(syscall.Signal)
			cancel(signalError{sys})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(caught)
		cancel(nil)
		<-ended
	}
}

// The groups of commands in the help.
const (
	groupServer  = "server"
	groupClient  = "client"
	groupOffline = "offline"
	groupOther   = "other"
)

// newRoot makes the tree of all commands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "treadmq",
		Short: "A message broker for STOMP, and its tools",
		Long: `TreadMQ is a message broker for STOMP, and its tools, in one program.

Run a broker here with "treadmq console" (Ctrl-C ends it) or "treadmq start".
It listens on 127.0.0.1:61613; its web console is http://127.0.0.1:8161/.
Then, for example:

  treadmq send orders --body hello
  treadmq recv orders
  treadmq queue ls

Exit codes: 0 done, 1 failed, 64 wrong usage, 65 bad data, 66 no input,
69 broker unreachable, 70 bug, 73 cannot create, 75 try again, 77 not allowed,
78 bad configuration, 130 interrupted.`,
		Version:                    version,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		Args:                       cobra.ArbitraryArgs,
		RunE:                       groupRun,
	}
	root.SetVersionTemplate("treadmq {{.Version}}\n")
	root.AddGroup(
		&cobra.Group{ID: groupServer, Title: "The broker on this machine:"},
		&cobra.Group{ID: groupClient, Title: "Messages and destinations of a running broker:"},
		&cobra.Group{ID: groupOffline, Title: "Files of a broker:"},
		&cobra.Group{ID: groupOther, Title: "This program:"},
	)
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	pf := root.PersistentFlags()
	pf.Bool("no-color", false, "no colour and no progress bar (also: NO_COLOR, TERM=dumb, CI)")
	pf.BoolP("quiet", "q", false, "say nothing on standard error but errors")
	pf.BoolP("verbose", "v", false, "say more on standard error")
	addAll(root, groupServer, append(newServerCommands(), newDoctorCommand())...)
	addAll(root, groupClient, newTopCommand(), newExportCommand(), newImportCommand())
	addAll(root, groupClient, newSendCommand(), newRecvCommand(), newBrowseCommand(),
		newQueueCommand(), newTopicCommand(), newSubCommand(), newSchedCommand(), newMoveCommand(),
		newCopyCommand(), newDLQCommand(), newTrashCommand(), newLifeCommand(), newConnCommand(), newTokenCommand(), newLinkCommand(), newJobCommand(), newAuditCommand(), newClusterCommand(), newBenchCommand(), newCheckCommand())
	addAll(root, groupOffline, newConfigCommand(), newRealmCommand(), newUserCommand(), newStoreCommand())
	addAll(root, groupOther, newContextCommand(), newVersionCommand(), newManCommand())
	root.AddCommand(newActiveMQCommands()...)
	root.InitDefaultCompletionCmd()
	finish(root)
	return root
}

func addAll(root *cobra.Command, group string, cmds ...*cobra.Command) {
	for _, c := range cmds {
		c.GroupID = group
	}
	root.AddCommand(cmds...)
}
