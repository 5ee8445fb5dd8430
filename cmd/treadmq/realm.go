package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"treadmq/conf/realm"
)

func newRealmCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "realm", Short: "Make, check and convert entries of the file of users"}
	cmd.AddCommand(newRealmHashCommand(), newRealmCheckCommand(), newRealmConvertCommand())
	return cmd
}

func newRealmHashCommand() *cobra.Command {
	var roles, file string
	kind := &choice{value: string(realm.BCrypt), of: []string{string(realm.BCrypt), string(realm.Argon2), string(realm.MD5), string(realm.OBF)}}
	cmd := &cobra.Command{
		Use: "hash [USER]", Short: "Print an entry for the file of users",
		Long: `Print an entry for the file of users (conf/jetty-realm.properties): with USER the
whole line, without it the password's part only. The password is asked for twice at a
terminal; otherwise it is the first line of standard input, or of --password-file.

bcrypt and argon2 (argon2id with 64 MiB and 3 passes) are both safe; a check of argon2 takes
that memory, and longer passwords than 72 bytes. md5 and obf are for other programs that read the same file; both can be turned back
into the password.`,
		Example: "  treadmq realm hash alice --roles admin >> conf/jetty-realm.properties",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			user := ""
			if len(args) > 0 {
				user = args[0]
			}
			return realmHash(cmd, realm.Kind(kind.value), user, roles, file)
		},
	}
	cmd.Flags().Var(kind, "kind", "bcrypt, argon2, md5 or obf")
	cmd.Flags().StringVar(&roles, "roles", "", "roles to add to the line, separated by commas: admin, user, viewer")
	cmd.Flags().StringVar(&file, "password-file", "", `file with the password in its first line; "-" is standard input`)
	cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(kind.of, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func realmHash(cmd *cobra.Command, kind realm.Kind, user, roles, file string) error {
	if roles != "" && user == "" {
		return usagef("treadmq realm hash USER --roles "+roles, "--roles needs a user")
	}
	password, err := newPassword(cmd, "password-file", file)
	if err != nil {
		return err
	}
	line, err := realm.Hash(kind, user, password)
	if err != nil {
		return &failure{code: exitData, what: "this password or user name cannot be stored so", why: err}
	}
	for _, r := range strings.Split(roles, ",") {
		if r = strings.TrimSpace(r); r != "" {
			line += ", " + r
		}
	}
	fmt.Fprintln(cmd.OutOrStdout(), line)
	if !kind.Strong() {
		warn(cmd.ErrOrStderr(), "%s can be turned back into the password; bcrypt and argon2 cannot", kind)
	}
	return nil
}

// newPassword gets a secret from the file that a flag names or from standard input, or twice from a person.
func newPassword(cmd *cobra.Command, flag, file string) (string, error) {
	if file != "" && file != "-" {
		return passwordFromFile(file)
	}
	if file == "" && isTerminal(cmd.InOrStdin()) {
		first, err := askPassword(cmd, "Password: ")
		if err != nil {
			return "", err
		}
		second, err := askPassword(cmd, "Again: ")
		if err == nil && first != second {
			err = &failure{code: exitData, what: "the two are not the same"}
		}
		return first, err
	}
	var line string
	err := interruptible(cmd.Context(), func() (err error) {
		line, err = readLine(cmd.InOrStdin())
		return err
	})
	if errors.Is(err, io.EOF) {
		return "", &failure{code: exitNoInput, what: "standard input holds no password", next: "give it there, or with --" + flag}
	}
	return line, err
}

func newRealmCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Tell who can log in, and what is wrong or weak in a file of users",
		Long: `Tell who can log in, and what is wrong or weak in a file of users. The exit code is
65 when an entry does not work; weak entries do work.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return realmCheck(cmd, args[0]) },
	}
	outputFlag(cmd)
	return cmd
}

// realmEntry is one finding as `realm check -o json` prints it.
type realmEntry struct {
	User   string   `json:"user"`
	Status string   `json:"status"` // ok, weak, broken
	Line   int      `json:"line,omitempty"`
	Roles  []string `json:"roles,omitempty"`
	Text   string   `json:"text,omitempty"`
}

func realmCheck(cmd *cobra.Command, file string) error {
	users, problems, weak, err := realm.Check(file, "")
	if err != nil {
		return fileError("the file of users cannot be read", err)
	}
	p := newPrinter(cmd, "user", "status", "line", "roles", "text")
	for _, e := range realmEntries(users, problems, weak) {
		line := ""
		if e.Line > 0 {
			line = strconv.Itoa(e.Line)
		}
		r := record{value: e, name: e.User, cells: []string{e.User, e.Status, line, strings.Join(e.Roles, ","), e.Text}}
		if err := p.add(r); err != nil {
			return err
		}
	}
	if err := p.close(); err != nil {
		return err
	}
	talk(cmd, "%s can log in, %s weak, %s broken", plural(len(users), "user"), plural(len(weak), "entry"), plural(len(problems), "entry"))
	if len(problems) > 0 {
		return &failure{code: exitData, what: "some entries do not work: nobody can log in with them"}
	}
	return nil
}

func realmEntries(users []realm.User, problems []realm.Problem, weak []realm.Weakness) (all []realmEntry) {
	found := map[string]realm.Weakness{}
	for _, w := range weak {
		found[w.User] = w
	}
	for _, u := range users {
		e := realmEntry{User: u.Name, Status: "ok", Roles: u.Roles}
		if w, ok := found[u.Name]; ok {
			e.Status, e.Line, e.Text = "weak", w.Line, w.Text.Text
			delete(found, u.Name)
		}
		all = append(all, e)
	}
	for _, w := range weak {
		if _, left := found[w.User]; left {
			all = append(all, realmEntry{User: w.User, Status: "weak", Line: w.Line, Text: w.Text.Text})
		}
	}
	for _, p := range problems {
		all = append(all, realmEntry{User: p.User, Status: "broken", Line: p.Line, Text: p.Text.Text})
	}
	return all
}
