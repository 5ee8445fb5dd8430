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
	cmd := &cobra.Command{
		Use: "life ID", Short: "Tell what happened to a message",
		Long: `Tell what happened to a message, by the id in its header message-id: what went wrong
with it and what was done with it by hand, and, where its queue was traced
(treadmq queue trace), that it was received, delivered and acknowledged. The latest
8,192 events of each are kept in memory.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			events, err := c.Life(cmd.Context(), args[0])
			if err != nil {
				return apiError(c, fmt.Sprintf("what happened to %q cannot be told", args[0]), err)
			}
			columns := []string{"at", "what", "destination", "to", "connection", "remote", "user", "detail"}
			p := newPrinter(cmd, columns...)
			for _, e := range events {
				r := record{value: e.RawMessage, name: e.Text("what")}
				for _, c := range columns {
					r.cells = append(r.cells, e.Text(c))
				}
				if err := p.add(r); err != nil {
					return err
				}
			}
			if p.n == 0 {
				talk(cmd, "nothing is known of it; was its queue traced, and lately? See treadmq queue trace")
			}
			return p.close()
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
			return eachQueue(cmd, f, args, "traceUntil", func(ctx context.Context, c *api.Client, name string) (record, error) {
				q, err := c.Trace(ctx, name, span)
				if err != nil {
					return record{}, apiError(c, fmt.Sprintf("the queue %q cannot be traced", name), err)
				}
				return changed(name, "traceUntil", q.Text("traceUntil")), nil
			})
		},
	}
	cmd.Flags().DurationVar(&span, "for", 5*time.Minute, "how long, at most 1h; 0s ends it")
	outputFlag(cmd)
	return cmd
}
