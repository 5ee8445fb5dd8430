package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"treadmq/conf/realm"
)

func newRealmConvertCommand() *cobra.Command {
	roles := map[string]string{}
	cmd := &cobra.Command{
		Use: "convert USERS [GROUPS]", Short: "Print entries for the file of users made of ActiveMQ's users and groups",
		Long: `Print entries for the file of users made of ActiveMQ's users.properties and
groups.properties. Passwords are stored with bcrypt; argon2 hashes stay as they are. A group becomes a role of the same name:
--role says which becomes another; admin, user and viewer mean something to the console.
The exit code is 65 when a user could not be converted; the others are printed.`,
		Example: "  treadmq realm convert users.properties groups.properties --role admins=admin > conf/jetty-realm.properties",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			groups := ""
			if len(args) > 1 {
				groups = args[1]
			}
			return realmConvert(cmd, args[0], groups, roles)
		},
	}
	cmd.Flags().StringToStringVar(&roles, "role", nil, "GROUP=ROLE: the role that a group becomes; any number of times")
	return cmd
}

func realmConvert(cmd *cobra.Command, users, groups string, roles map[string]string) error {
	c, err := realm.Convert(users, groups, roles)
	if err != nil {
		return fileError("the files of ActiveMQ cannot be read", err)
	}
	for _, line := range c.Lines {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
			return err
		}
	}
	for _, p := range c.Problems {
		warn(cmd.ErrOrStderr(), "%s", p)
	}
	talk(cmd, "%s converted", plural(len(c.Lines), "user"))
	if len(c.Problems) > 0 {
		return &failure{code: exitData, what: "some users or groups could not be converted"}
	}
	return nil
}
