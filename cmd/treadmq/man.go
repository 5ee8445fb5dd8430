package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man FOLDER", Short: "Write the manual pages of all commands into a folder",
		Example: "  treadmq man /usr/local/share/man/man1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return &failure{code: exitCannot, what: "the folder cannot be made", why: err}
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // the same source gives the same pages
			header := &doc.GenManHeader{Section: "1", Source: "TreadMQ " + version, Manual: "TreadMQ"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return &failure{code: exitCannot, what: "the manual pages cannot be written", why: err}
			}
			talk(cmd, "manual pages written to %s; read one with: man -l %s/treadmq.1", args[0], args[0])
			return nil
		},
	}
}
