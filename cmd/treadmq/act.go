package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

// actFlags say which messages of a queue are meant, and how fast.
type actFlags struct {
	api.Action
}

func (a *actFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.Selector, "selector", "", "only messages that the selector lets through")
	cmd.Flags().StringVar(&a.Text, "text", "", "only messages whose body holds this")
	cmd.Flags().Int64Var(&a.Limit, "limit", 0, "at most this many (default all)")
	cmd.Flags().IntVar(&a.Rate, "rate", 0, "messages a second (default as fast as it goes)")
	cmd.Flags().BoolVar(&a.DryRun, "dry-run", false, "only count what would be hit")
	outputFlag(cmd)
}

func newMoveCommand() *cobra.Command {
	return newTransferCommand("move", "Move messages to another queue")
}

func newCopyCommand() *cobra.Command {
	return newTransferCommand("copy", "Copy messages to another queue")
}

func newTransferCommand(action, short string) *cobra.Command {
	f, a := &apiFlags{}, &actFlags{}
	cmd := &cobra.Command{
		Use: action + " QUEUE TARGET", Short: short,
		Long: short + `: all that were there when the command began, or those that
a selector or a text picks. Consumers keep what they hold. Ctrl-C ends it; what
was done stays done.`,
		Example: "  treadmq " + action + " orders orders.old --selector \"year < 2020\"\n  treadmq " + action + " ActiveMQ.DLQ parked --text timeout --dry-run",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := nameOf("queue", args[1])
			if err != nil {
				return err
			}
			a.Action.Action, a.To = action, to
			return act(cmd, f, a, args[0])
		},
	}
	f.register(cmd)
	a.register(cmd)
	return cmd
}

// act carries out an action and prints what came of it.
func act(cmd *cobra.Command, f *apiFlags, a *actFlags, text string) error {
	name, err := nameOf("queue", text)
	if err != nil {
		return err
	}
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	job, err := runAction(cmd, c, name, a.Action)
	if err != nil {
		return apiError(c, fmt.Sprintf("cannot %s messages of the queue %q", a.Action.Action, name), err)
	}
	done := view{"queue", []string{"queue", "action", "done", "inFlight", "noOrigin", "state"}}
	shown := done.columns
	if a.DryRun {
		talk(cmd, "nothing done: --dry-run")
		done.columns[5] = "dryRun"
		shown = slices.Clone(done.columns)
		shown[2] = "would"
	}
	if err := printOne(cmd, shown, done.record(job)); err != nil {
		return err
	}
	if job.Text("state") == "failed" {
		return &failure{code: exitFailure, what: fmt.Sprintf("stopped after %s messages", job.Text("done")), next: job.Text("error")}
	}
	return nil
}

// jobPoll is how often a long action is asked for.
const jobPoll = 500 * time.Millisecond

// runAction waits until an action has ended, and ends it when the command is interrupted.
func runAction(cmd *cobra.Command, c *api.Client, queue string, a api.Action) (api.Item, error) {
	ctx := cmd.Context()
	job, err := c.Act(ctx, queue, a)
	if err != nil {
		return job, err
	}
	id := job.Text("id")
	bar := newProgress(cmd, job.Int("total"), a.Action+" "+queue)
	defer bar.end()
	for job.Text("state") == "running" {
		if bar == nil {
			talk(cmd, "%s of %s messages looked at, %s done", job.Text("looked"), job.Text("total"), job.Text("done"))
		}
		bar.set(job.Int("looked"))
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if _, err := c.CancelJob(last, id); err != nil {
				talk(cmd, "the action %s goes on: %v", id, err)
			}
			return job, ctx.Err()
		case <-time.After(jobPoll):
		}
		if job, err = c.Job(ctx, id); err != nil {
			return job, err
		}
	}
	return job, nil
}

func newPauseCommand(f *apiFlags, paused bool) *cobra.Command {
	use, short := "resume", "Go on with the deliveries of queues"
	if paused {
		use, short = "pause", "Stop the deliveries of queues, until resumed"
	}
	cmd := &cobra.Command{
		Use: use + " NAME...", Short: short, Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, f, queues(), args, "paused", func(ctx context.Context, c *api.Client, name string) (any, error) {
				if _, err := c.Pause(ctx, name, paused); err != nil {
					return nil, apiError(c, fmt.Sprintf("cannot %s the queue %q", use, name), err)
				}
				return paused, nil
			})
		},
	}
	outputFlag(cmd)
	return cmd
}

func newDLQCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{Use: "dlq", Short: "List dead letters and send them back where they came from"}
	f.register(cmd)
	groups := view{"queue", []string{"queue", "origin", "reason", "messages", "cause"}}
	a := &actFlags{}
	retry := &cobra.Command{
		Use: "retry [QUEUE]", Short: "Send dead letters back to the queues where they came from",
		Long: `Send the dead letters of a queue (default ActiveMQ.DLQ) back where they came
from, all or those that match. They count as new there: tried again as often as
the policy says. --rate spares the consumers.`,
		Example: "  treadmq dlq retry --rate 50\n  treadmq dlq retry DLQ.orders --text timeout --dry-run",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := "ActiveMQ.DLQ"
			if len(args) > 0 {
				name = args[0]
			}
			a.Action.Action = "retry"
			return act(cmd, f, a, name)
		},
	}
	a.register(retry)
	cmd.AddCommand(newAllCommand(f, groups, "Dead letters by queue, origin and reason", "the dead letters", (*api.Client).DeadLetters), retry)
	return cmd
}

func newConnCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{Use: "conn", Aliases: []string{"connections"}, Short: "List and close connections"}
	f.register(cmd)
	kind := destinations{"connection", "connections", view{"serial", []string{"serial", "user", "remote", "protocol", "since", "received", "sent"}}}
	var reason string
	end := &cobra.Command{
		Use: "close SERIAL...", Short: "Close connections; their clients are told why", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, f, kind, args, "closed", func(ctx context.Context, c *api.Client, serial string) (any, error) {
				if err := c.CloseConnection(ctx, serial, reason); err != nil {
					return nil, apiError(c, "the connection "+serial+" cannot be closed", err)
				}
				return true, nil
			})
		},
	}
	end.Flags().StringVar(&reason, "reason", "", "what the clients are told")
	outputFlag(end)
	cmd.AddCommand(newListCommand(f, kind), newShowCommand(f, kind), end)
	return cmd
}
