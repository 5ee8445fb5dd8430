package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

func linkColumns() []string {
	return []string{"id", "page", "bodies", "createdBy", "createdAt", "expiresAt", "expired"}
}

func newLinkCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{
		Use: "link", Short: "List, make and revoke links that show one page of the console without a login",
		Long: `List, make and revoke links. Whoever has one sees its page of the console, read-only and
without a login, until it expires or is revoked, or until who made it gets another password or
is no user any more. It needs the role user or admin, and a user's password instead of a token.`,
	}
	f.register(cmd)
	cmd.AddCommand(newLinkListCommand(f), newLinkCreateCommand(f), newLinkRevokeCommand(f))
	return cmd
}

func newLinkListCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List your links, as an admin those of everybody, without their addresses",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			items, err := c.Links(cmd.Context())
			if err != nil {
				return apiError(c, "the links cannot be listed", err)
			}
			return printItems(cmd, "id", linkColumns(), items)
		},
	}
	outputFlag(cmd)
	return cmd
}

func newLinkCreateCommand(f *apiFlags) *cobra.Command {
	var hours int
	var bodies bool
	cmd := &cobra.Command{
		Use: "create PAGE", Aliases: []string{"add"}, Short: "Make a link and print it, this once",
		Long: `Make a link to a page of the console and print it; nobody can have it shown again. PAGE
is the page's address as a browser shows it, or its path and query. -o name prints nothing else.`,
		Example: "  treadmq link create '/admin/queue?name=orders' --hours 8 -o name",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			item, err := c.MakeLink(cmd.Context(), pageOf(args[0]), hours, bodies)
			if err != nil {
				return apiError(c, "the link cannot be made", err)
			}
			columns := []string{"id", "page", "bodies", "expiresAt", "url"}
			return printOne(cmd, columns, itemRecord(item, "url", columns))
		},
	}
	cmd.Flags().IntVar(&hours, "hours", 24, "hours until it expires, at most 720")
	cmd.Flags().BoolVar(&bodies, "bodies", false, "show bodies of messages too")
	outputFlag(cmd)
	return cmd
}

// pageOf is a page's path and query. People copy the address that their browser shows.
func pageOf(text string) string {
	if u, err := url.Parse(text); err == nil && strings.HasPrefix(u.Scheme, "http") {
		return u.RequestURI()
	}
	return text
}

func newLinkRevokeCommand(f *apiFlags) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "revoke ID|--all", Aliases: []string{"rm"}, Short: "Revoke a link, or as an admin all of them",
		Long: `Revoke a link, by its id; or with --all those of everybody, and take another key to sign
with, so that nothing that was signed before can be good again.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return usagef("treadmq link ls shows ids", "give the id of one link, or --all")
			}
			c, err := f.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			if !all {
				return apiError(c, fmt.Sprintf("the link %s cannot be revoked", args[0]), c.RevokeLink(cmd.Context(), args[0]))
			}
			n, err := c.RevokeLinks(cmd.Context())
			if err == nil {
				talk(cmd, "%s revoked", plural(int(n), "link"))
			}
			return apiError(c, "the links cannot be revoked", err)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "revoke all links")
	return cmd
}
