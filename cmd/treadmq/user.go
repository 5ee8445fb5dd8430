package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"treadmq/conf/realm"
)

func newUserCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "user", Short: "List and change the users of the realm file",
		Long: `List and change the users of the realm file: the one that --realm names, or else the one
of the configuration. A broker that runs follows within seconds. Comments and all other
lines of the file stay as they are; passwords are stored with bcrypt.

A password is asked for twice at a terminal; otherwise it is the first line of standard
input, or of --password-file.`,
	}
	cmd.AddCommand(newUserListCommand(), newUserAddCommand(), newUserPasswordCommand(), newUserRolesCommand(), newUserRemoveCommand())
	return cmd
}

// userFlags find the realm file.
type userFlags struct{ server serverFlags }

func (f *userFlags) register(cmd *cobra.Command) {
	f.server.register(cmd)
	for _, name := range []string{"data", "stomp", "console"} {
		_ = cmd.Flags().MarkHidden(name) // they say nothing of users
	}
}

// file is the path of the realm file.
func (f *userFlags) file() (string, error) {
	cfg, err := readConfig(&f.server)
	if err != nil {
		return "", configError(err)
	}
	return cfg.Realm, nil
}

// userError words why a user cannot be changed.
func userError(what, file string, err error) error {
	if err == nil {
		return nil
	}
	f := fileError(what, err)
	var known *failure
	switch {
	case !errors.As(f, &known):
	case errors.Is(err, realm.ErrNoUser):
		known.code, known.next = exitNoInput, "treadmq user ls lists the users of "+file
	case errors.Is(err, realm.ErrUserExists):
		known.code, known.next = exitCannot, "treadmq user passwd and treadmq user roles change it"
	}
	return f
}

func newUserListCommand() *cobra.Command {
	f := &userFlags{}
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List who can log in, with roles, and what is wrong or weak",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := f.file()
			if err != nil {
				return err
			}
			return realmCheck(cmd, file)
		},
	}
	f.register(cmd)
	outputFlag(cmd)
	return cmd
}

func newUserAddCommand() *cobra.Command {
	f := &userFlags{}
	var roles, passwordFile string
	cmd := &cobra.Command{
		Use: "add USER", Short: "Add a user",
		Example: "  treadmq user add shop --roles user,shops",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeUser(cmd, f, args[0], passwordFile, func(file, stored string) error {
				return realm.Add(file, args[0], stored, splitRoles(roles))
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&roles, "roles", "", "roles, separated by commas: admin, user, viewer, or words of your own for [[authorization]]")
	passwordFlag(cmd, &passwordFile)
	return cmd
}

func newUserPasswordCommand() *cobra.Command {
	f := &userFlags{}
	var passwordFile string
	cmd := &cobra.Command{
		Use: "passwd USER", Short: "Give a user another password",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeUser(cmd, f, args[0], passwordFile, func(file, stored string) error {
				return realm.SetPassword(file, args[0], stored)
			})
		},
	}
	f.register(cmd)
	passwordFlag(cmd, &passwordFile)
	return cmd
}

func passwordFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "password-file", "", `file with the password in its first line; "-" is standard input`)
}

// changeUser gets a password and has it stored.
func changeUser(cmd *cobra.Command, f *userFlags, user, passwordFile string, change func(file, stored string) error) error {
	file, err := f.file()
	if err != nil {
		return err
	}
	password, err := newPassword(cmd, "password-file", passwordFile)
	if err != nil {
		return err
	}
	stored, err := realm.Hash(realm.BCrypt, "", password)
	if err != nil {
		return &failure{code: exitData, what: "this password cannot be stored", why: err}
	}
	if err := change(file, stored); err != nil {
		return userError("the user "+user+" was not changed", file, err)
	}
	talk(cmd, "the user %s is in %s", user, file)
	return nil
}

func newUserRolesCommand() *cobra.Command {
	f := &userFlags{}
	cmd := &cobra.Command{
		Use: "roles USER [ROLE ...]", Short: "Give a user these roles instead of those it has",
		Example: "  treadmq user roles shop user shops",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := f.file()
			if err != nil {
				return err
			}
			roles := splitRoles(strings.Join(args[1:], ","))
			if err := realm.SetRoles(file, args[0], roles); err != nil {
				return userError("the roles of "+args[0]+" were not changed", file, err)
			}
			talk(cmd, "the user %s has %s", args[0], plural(len(roles), "role"))
			return warnWithoutAdmin(cmd, file)
		},
	}
	f.register(cmd)
	return cmd
}

func newUserRemoveCommand() *cobra.Command {
	f := &userFlags{}
	cmd := &cobra.Command{
		Use: "rm USER", Aliases: []string{"remove", "delete"}, Short: "Take a user out of the file: it is logged out everywhere",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := f.file()
			if err != nil {
				return err
			}
			if err := confirm(cmd, "remove", args[0]); err != nil {
				return err
			}
			if err := realm.Remove(file, args[0]); err != nil {
				return userError("the user "+args[0]+" was not removed", file, err)
			}
			return warnWithoutAdmin(cmd, file)
		},
	}
	f.register(cmd)
	yesFlag(cmd)
	return cmd
}

// warnWithoutAdmin says that nobody is left who may manage the broker.
func warnWithoutAdmin(cmd *cobra.Command, file string) error {
	users, _, _, err := realm.Check(file, "")
	if err == nil && !slices.ContainsFunc(users, func(u realm.User) bool { return u.Has("admin") }) {
		warn(cmd.ErrOrStderr(), "no user of %s has the role admin: nobody can manage the broker in the console", file)
	}
	return nil
}

// splitRoles reads roles as the file has them.
func splitRoles(text string) []string {
	var roles []string
	for role := range strings.SplitSeq(text, ",") {
		if role = strings.TrimSpace(role); role != "" && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	return roles
}
