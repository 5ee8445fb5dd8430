package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

func trash() view {
	return view{"id", []string{"id", "name", "kind", "action", "messages", "bytes", "by", "at", "until"}}
}

func newTrashCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{
		Use: "trash", Short: "See and undo what was purged or deleted lately",
		Long: `See and undo what was purged or deleted lately by the console, the API or a command.
How long that can be done is in the configuration: trash.keep.`,
	}
	f.register(cmd)
	cmd.AddCommand(newAllCommand(f, trash(), "List what can be undone, newest first", "the trash", (*api.Client).Trash), newTrashRestoreCommand(f), newTrashDropCommand(f))
	return cmd
}

func newTrashRestoreCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore ID", Aliases: []string{"undo"}, Short: "Undo a purge or deletion",
		Long: `Undo a purge or deletion. A deleted queue is there again as it was. Where there is a
queue of that name, the messages go behind what it holds, as far as its limits
allow; the rest stays in the trash.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			failed := fmt.Sprintf("number %s of the trash cannot be restored", args[0])
			return f.askOne(cmd, trash(), failed, func(ctx context.Context, c *api.Client) (api.Item, error) { return c.Restore(ctx, args[0]) })
		},
	}
	outputFlag(cmd)
	return cmd
}

func newTrashDropCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rm ID", Aliases: []string{"remove", "drop"}, Short: "Remove for good what a purge or deletion has left",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd, func(ctx context.Context, c *api.Client) error {
				if err := confirm(cmd, "remove from the trash", args[0]); err != nil {
					return err
				}
				return apiError(c, fmt.Sprintf("number %s of the trash cannot be removed", args[0]), c.DropTrash(ctx, args[0]))
			})
		},
	}
	yesFlag(cmd)
	return cmd
}

// tellUndo says how to have back what was removed.
func tellUndo(cmd *cobra.Command, r api.Removal) {
	if r.UndoID != 0 {
		talk(cmd, "undo: treadmq trash restore %d (until %s)", r.UndoID, r.UndoUntil)
	}
}
