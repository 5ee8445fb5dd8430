package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

func newLifeCommand() *cobra.Command {
	f := &apiFlags{}
	steps := view{"what", []string{"at", "what", "destination", "to", "connection", "remote", "user", "detail"}}
	cmd := &cobra.Command{
		Use: "life ID", Short: "Tell what happened to a message",
		Long: `Tell what happened to a message, by the id in its header message-id: what went wrong
with it and what was done with it by hand, and, where its queue was traced
(treadmq queue trace), that it was received, delivered and acknowledged. The latest
8,192 events of each are kept in memory.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd, func(ctx context.Context, c *api.Client) error {
				events, err := c.Life(ctx, args[0])
				if err != nil {
					return apiError(c, fmt.Sprintf("what happened to %q cannot be told", args[0]), err)
				}
				if len(events) == 0 {
					talk(cmd, "nothing is known of it; was its queue traced, and lately? See treadmq queue trace")
				}
				return steps.list(cmd, events)
			})
		},
	}
	f.register(cmd)
	outputFlag(cmd)
	return cmd
}

func newTraceCommand(f *apiFlags) *cobra.Command {
	var span time.Duration
	cmd := &cobra.Command{
		Use: "trace NAME...", Short: "Note for a while what happens to each message of queues",
		Long: `Note for a while what happens to each message of queues: received, delivered to whom,
acknowledged. treadmq life and the console tell it. --for 0s ends it.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, f, queues(), args, "traceUntil", func(ctx context.Context, c *api.Client, name string) (any, error) {
				q, err := c.Trace(ctx, name, span)
				if err != nil {
					return nil, apiError(c, fmt.Sprintf("the queue %q cannot be traced", name), err)
				}
				return q.Text("traceUntil"), nil
			})
		},
	}
	cmd.Flags().DurationVar(&span, "for", 5*time.Minute, "how long, at most 1h; 0s ends it")
	outputFlag(cmd)
	return cmd
}
