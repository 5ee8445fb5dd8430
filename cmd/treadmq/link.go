package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

func newLinkCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{
		Use: "link", Short: "List, make and revoke links that show one page of the console without a login",
		Long: `List, make and revoke links. Whoever has one sees its page of the console, read-only and
without a login, until it expires or is revoked, or until who made it gets another password or
is no user any more. It needs the role user or admin, and a user's password instead of a token.`,
	}
	f.register(cmd)
	links := view{"id", []string{"id", "page", "bodies", "createdBy", "createdAt", "expiresAt", "expired"}}
	cmd.AddCommand(newAllCommand(f, links, "List your links, as an admin those of everybody, without their addresses", "the links", (*api.Client).Links),
		newLinkCreateCommand(f), newLinkRevokeCommand(f))
	return cmd
}

func newLinkCreateCommand(f *apiFlags) *cobra.Command {
	var hours int
	var bodies bool
	made := view{"url", []string{"id", "page", "bodies", "expiresAt", "url"}}
	cmd := &cobra.Command{
		Use: "create PAGE", Aliases: []string{"add"}, Short: "Make a link and print it, this once",
		Long: `Make a link to a page of the console and print it; nobody can have it shown again. PAGE
is the page's address as a browser shows it, or its path and query. -o name prints nothing else.`,
		Example: "  treadmq link create '/admin/queue?name=orders' --hours 8 -o name",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.askOne(cmd, made, "the link cannot be made", func(ctx context.Context, c *api.Client) (api.Item, error) {
				return c.MakeLink(ctx, pageOf(args[0]), hours, bodies)
			})
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
			return f.ask(cmd, func(ctx context.Context, c *api.Client) error {
				if !all {
					return apiError(c, fmt.Sprintf("the link %s cannot be revoked", args[0]), c.RevokeLink(ctx, args[0]))
				}
				n, err := c.RevokeLinks(ctx)
				if err == nil {
					talk(cmd, "%s revoked", plural(int(n), "link"))
				}
				return apiError(c, "the links cannot be revoked", err)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "revoke all links")
	return cmd
}
