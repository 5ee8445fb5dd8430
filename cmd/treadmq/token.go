package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

func tokenColumns() []string {
	return []string{"id", "name", "role", "createdBy", "createdAt", "expiresAt", "expired"}
}

func newTokenCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{
		Use: "token", Short: "List, make and revoke tokens, with which programs log in to the API",
		Long: `List, make and revoke tokens, with which programs log in to the API instead of a
password: Authorization: Bearer TOKEN, or --token-file of these commands. It needs the
role admin and a user's password: a token cannot make tokens.`,
	}
	f.register(cmd)
	cmd.AddCommand(newTokenListCommand(f), newTokenCreateCommand(f), newTokenRevokeCommand(f))
	return cmd
}

func newTokenListCommand(f *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List tokens, without their secrets",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			items, err := c.Tokens(cmd.Context())
			if err != nil {
				return apiError(c, "the tokens cannot be listed", err)
			}
			return printItems(cmd, "name", tokenColumns(), items)
		},
	}
	outputFlag(cmd)
	return cmd
}

// printItems prints objects of the API, a column for each field.
func printItems(cmd *cobra.Command, name string, columns []string, items []api.Item) error {
	p := newPrinter(cmd, columns...)
	for _, item := range items {
		if err := p.add(itemRecord(item, name, columns)); err != nil {
			return err
		}
	}
	return p.close()
}

func itemRecord(item api.Item, name string, columns []string) record {
	r := record{value: item.RawMessage, name: item.Text(name)}
	for _, c := range columns {
		r.cells = append(r.cells, item.Text(c))
	}
	return r
}

func newTokenCreateCommand(f *apiFlags) *cobra.Command {
	role := &choice{value: "viewer", of: []string{"admin", "user", "viewer"}}
	var days int
	cmd := &cobra.Command{
		Use: "create NAME", Aliases: []string{"add"}, Short: "Make a token and print it, this once",
		Long:    `Make a token and print it; nobody can have it shown again. -o name prints nothing else.`,
		Example: "  treadmq token create dashboard -o name > dashboard.token\n  treadmq queue ls --token-file dashboard.token",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			item, err := c.MakeToken(cmd.Context(), args[0], role.value, days)
			if err != nil {
				return apiError(c, fmt.Sprintf("the token %q cannot be made", args[0]), err)
			}
			columns := []string{"id", "name", "role", "expiresAt", "token"}
			return printOne(cmd, columns, itemRecord(item, "token", columns))
		},
	}
	cmd.Flags().Var(role, "role", "what it may do: admin, user or viewer")
	cmd.Flags().IntVar(&days, "days", 90, "days until it expires, at most 3650")
	cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(role.of, cobra.ShellCompDirectiveNoFileComp))
	outputFlag(cmd)
	return cmd
}

func newTokenRevokeCommand(f *apiFlags) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "revoke NAME", Aliases: []string{"rm"}, Short: "Revoke a token, by its name or id; it is refused from then on",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			what := fmt.Sprintf("the token %q cannot be revoked", args[0])
			items, err := c.Tokens(cmd.Context())
			if err != nil {
				return apiError(c, what, err)
			}
			i := slices.IndexFunc(items, func(x api.Item) bool { return x.Text("name") == args[0] || x.Text("id") == args[0] })
			if i < 0 {
				return &failure{code: exitFailure, what: fmt.Sprintf("there is no token %q", args[0]), next: "treadmq token ls shows what there is"}
			}
			if !yes {
				if err := confirm(cmd, "revoke", items[i].Text("name")); err != nil {
					return err
				}
			}
			return apiError(c, what, c.RevokeToken(cmd.Context(), items[i].Text("id")))
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask; needed where there is no terminal")
	return cmd
}
