package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

func trashColumns() []string {
	return []string{"id", "name", "kind", "action", "messages", "bytes", "by", "at", "until"}
}

func newTrashCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{
		Use: "trash", Short: "See and undo what was purged or deleted lately",
		Long: `See and undo what was purged or deleted lately by the console, the API or a command.
How long that can be done is in the configuration: trash.keep.`,
	}
	f.register(cmd)
	cmd.AddCommand(newTrashListCommand(f), newTrashRestoreCommand(f), newTrashDropCommand(f))
	return cmd
}

func newTrashListCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List what can be undone, newest first",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			items, err := c.Trash(cmd.Context())
			if err != nil {
				return apiError(c, "the trash cannot be listed", err)
			}
			p := newPrinter(cmd, trashColumns()...)
			for _, item := range items {
				if err := p.add(trashRecord(item)); err != nil {
					return err
				}
			}
			return p.close()
		},
	}
	outputFlag(cmd)
	return cmd
}

func trashRecord(item api.Item) record {
	r := record{value: item.RawMessage, name: item.Text("id")}
	for _, c := range trashColumns() {
		r.cells = append(r.cells, item.Text(c))
	}
	return r
}

func newTrashRestoreCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore ID", Aliases: []string{"undo"}, Short: "Undo a purge or deletion",
		Long: `Undo a purge or deletion. A deleted queue is there again as it was. Where there is a
queue of that name, the messages go behind what it holds, as far as its limits
allow; the rest stays in the trash.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			item, err := c.Restore(cmd.Context(), args[0])
			if err != nil {
				return apiError(c, fmt.Sprintf("number %s of the trash cannot be restored", args[0]), err)
			}
			return printOne(cmd, trashColumns(), trashRecord(item))
		},
	}
	outputFlag(cmd)
	return cmd
}

func newTrashDropCommand(f *apiFlags) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "rm ID", Aliases: []string{"remove", "drop"}, Short: "Remove for good what a purge or deletion has left",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			if !yes {
				if err := confirm(cmd, "remove from the trash", args[0]); err != nil {
					return err
				}
			}
			if err = c.DropTrash(cmd.Context(), args[0]); err != nil {
				return apiError(c, fmt.Sprintf("number %s of the trash cannot be removed", args[0]), err)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask; needed where there is no terminal")
	return cmd
}

// tellUndo says how to have back what was removed.
func tellUndo(cmd *cobra.Command, r api.Removal) {
	if r.UndoID != 0 {
		talk(cmd, "undo: treadmq trash restore %d (until %s)", r.UndoID, r.UndoUntil)
	}
}
