package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

func newTokenCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{
		Use: "token", Short: "List, make and revoke tokens, with which programs log in to the API",
		Long: `List, make and revoke tokens, with which programs log in to the API instead of a
password: Authorization: Bearer TOKEN, or --token-file of these commands. It needs the
role admin and a user's password: a token cannot make tokens.`,
	}
	f.register(cmd)
	tokens := view{"name", []string{"id", "name", "role", "createdBy", "createdAt", "expiresAt", "expired"}}
	cmd.AddCommand(newAllCommand(f, tokens, "List tokens, without their secrets", "the tokens", (*api.Client).Tokens),
		newTokenCreateCommand(f), newTokenRevokeCommand(f))
	return cmd
}

func newTokenCreateCommand(f *apiFlags) *cobra.Command {
	role := &choice{value: "viewer", of: []string{"admin", "user", "viewer"}}
	var days int
	made := view{"token", []string{"id", "name", "role", "expiresAt", "token"}}
	cmd := &cobra.Command{
		Use: "create NAME", Aliases: []string{"add"}, Short: "Make a token and print it, this once",
		Long:    `Make a token and print it; nobody can have it shown again. -o name prints nothing else.`,
		Example: "  treadmq token create dashboard -o name > dashboard.token\n  treadmq queue ls --token-file dashboard.token",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			failed := fmt.Sprintf("the token %q cannot be made", args[0])
			return f.askOne(cmd, made, failed, func(ctx context.Context, c *api.Client) (api.Item, error) {
				return c.MakeToken(ctx, args[0], role.value, days)
			})
		},
	}
	cmd.Flags().Var(role, "role", "what it may do: admin, user or viewer")
	cmd.Flags().IntVar(&days, "days", 90, "days until it expires, at most 3650")
	cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(role.of, cobra.ShellCompDirectiveNoFileComp))
	outputFlag(cmd)
	return cmd
}

func newTokenRevokeCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke NAME", Aliases: []string{"rm"}, Short: "Revoke a token, by its name or id; it is refused from then on",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd, func(ctx context.Context, c *api.Client) error { return revokeToken(ctx, cmd, c, args[0]) })
		},
	}
	yesFlag(cmd)
	return cmd
}

func revokeToken(ctx context.Context, cmd *cobra.Command, c *api.Client, name string) error {
	failed := fmt.Sprintf("the token %q cannot be revoked", name)
	items, err := c.Tokens(ctx)
	if err != nil {
		return apiError(c, failed, err)
	}
	i := slices.IndexFunc(items, func(x api.Item) bool { return x.Text("name") == name || x.Text("id") == name })
	if i < 0 {
		return &failure{code: exitFailure, what: fmt.Sprintf("there is no token %q", name), next: "treadmq token ls shows what there is"}
	}
	if err := confirm(cmd, "revoke", items[i].Text("name")); err != nil {
		return err
	}
	return apiError(c, failed, c.RevokeToken(ctx, items[i].Text("id")))
}
