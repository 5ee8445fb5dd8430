package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

func newJobCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{Use: "job", Aliases: []string{"jobs"}, Short: "List and cancel actions on many messages that are under way"}
	f.register(cmd)
	jobs := view{"id", []string{"id", "action", "queue", "to", "user", "state", "started", "looked", "total", "done"}}
	cancel := &cobra.Command{
		Use: "cancel ID", Short: "Cancel an action; what it has done stays done",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			failed := fmt.Sprintf("the action %s cannot be cancelled", args[0])
			return f.askOne(cmd, jobs, failed, func(ctx context.Context, c *api.Client) (api.Item, error) { return c.CancelJob(ctx, args[0]) })
		},
	}
	outputFlag(cancel)
	cmd.AddCommand(newAllCommand(f, jobs, "List actions under way and the latest that have ended, newest first", "the actions", (*api.Client).Jobs), cancel)
	return cmd
}

func newAuditCommand() *cobra.Command {
	f := &apiFlags{}
	var count int
	changes := view{"action", []string{"time", "user", "action", "target", "remote", "result", "detail"}}
	cmd := &cobra.Command{
		Use: "audit", Short: "List the latest changes: who, what, from where, with what result",
		Long: `List the latest changes by the console, the API and the commands, newest first: who, what,
to what, from where, with what result. The broker keeps the latest 1,000 since its start; its
log has all of them. It needs the role admin.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.askList(cmd, changes, "the changes cannot be listed", func(ctx context.Context, c *api.Client) ([]api.Item, error) {
				return c.Audit(ctx, count)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().IntVarP(&count, "count", "n", 100, "at most this many")
	outputFlag(cmd)
	return cmd
}
