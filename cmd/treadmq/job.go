package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newJobCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{Use: "job", Aliases: []string{"jobs"}, Short: "List and cancel actions on many messages that are under way"}
	f.register(cmd)
	columns := []string{"id", "action", "queue", "to", "user", "state", "started", "looked", "total", "done"}
	list := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List actions under way and the latest that have ended, newest first",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			items, err := c.Jobs(cmd.Context())
			if err != nil {
				return apiError(c, "the actions cannot be listed", err)
			}
			return printItems(cmd, "id", columns, items)
		},
	}
	cancel := &cobra.Command{
		Use: "cancel ID", Short: "Cancel an action; what it has done stays done",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			item, err := c.CancelJob(cmd.Context(), args[0])
			if err != nil {
				return apiError(c, fmt.Sprintf("the action %s cannot be cancelled", args[0]), err)
			}
			return printOne(cmd, columns, itemRecord(item, "id", columns))
		},
	}
	outputFlag(list)
	outputFlag(cancel)
	cmd.AddCommand(list, cancel)
	return cmd
}

func newAuditCommand() *cobra.Command {
	f := &apiFlags{}
	var count int
	cmd := &cobra.Command{
		Use: "audit", Short: "List the latest changes: who, what, from where, with what result",
		Long: `List the latest changes by the console, the API and the commands, newest first: who, what,
to what, from where, with what result. The broker keeps the latest 1,000 since its start; its
log has all of them. It needs the role admin.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			items, err := c.Audit(cmd.Context(), count)
			if err != nil {
				return apiError(c, "the changes cannot be listed", err)
			}
			return printItems(cmd, "action", []string{"time", "user", "action", "target", "remote", "result", "detail"}, items)
		},
	}
	f.register(cmd)
	cmd.Flags().IntVarP(&count, "count", "n", 100, "at most this many")
	outputFlag(cmd)
	return cmd
}
