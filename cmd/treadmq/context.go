package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
)

// envContext names the context that counts instead of the one in use.
const envContext = "TREADMQ_CONTEXT"

// savedContext is a broker and a login under a name. It has no secrets, only the files that do.
type savedContext struct {
	URL          string `json:"url,omitempty"`
	Console      string `json:"console,omitempty"`
	User         string `json:"user,omitempty"`
	PasswordFile string `json:"passwordFile,omitempty"`
	TokenFile    string `json:"tokenFile,omitempty"`
	CAFile       string `json:"caFile,omitempty"`
}

// contextFile is the user's file of contexts.
type contextFile struct {
	Current  string                  `json:"current"` // the one in use, "" for none
	Contexts map[string]savedContext `json:"contexts"`

	path string
}

// openContexts reads the user's contexts. Without a folder for such files there are none.
func openContexts() (*contextFile, error) {
	f := &contextFile{Contexts: map[string]savedContext{}}
	dir, err := os.UserConfigDir()
	if err != nil {
		return f, nil
	}
	f.path = filepath.Join(dir, "treadmq", "contexts.json")
	text, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(text, f)
	}
	if err != nil {
		return nil, &failure{code: exitConfig, what: "the contexts in " + f.path + " cannot be read", why: err, next: "mend the file, or remove it"}
	}
	return f, nil
}

// chosen is the context that a flag, the environment or the file names; an empty one if none does.
func (f *contextFile) chosen(flag string) (savedContext, error) {
	name := firstOf(flag, os.Getenv(envContext))
	if name == "" {
		return f.Contexts[f.Current], nil // empty for none
	}
	c, ok := f.Contexts[name]
	if !ok {
		return c, noContext(name)
	}
	return c, nil
}

func noContext(name string) error {
	return &failure{code: exitConfig, what: fmt.Sprintf("there is no context %q", name), next: "treadmq context ls shows what there is, treadmq context add makes one"}
}

func (f *contextFile) save() error {
	if f.path == "" {
		return &failure{code: exitCannot, what: "there is no folder for the file of contexts", next: "set HOME"}
	}
	text, err := encodeJSON(f)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(f.path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(f.path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(f.path+".new", f.path)
	}
	if err != nil {
		return fileError("the contexts cannot be written", err)
	}
	return nil
}

func newContextCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "context", Short: "Keep brokers and logins under names, and choose one",
		Long: `Keep brokers and logins under names, and choose one. A flag counts more than the
environment, the environment more than the context. --context and ` + envContext + ` choose
another one for a command. A context names files of secrets and has none.`,
	}
	cmd.AddCommand(newContextAddCommand(), newContextListCommand(), newContextUseCommand(), newContextRemoveCommand())
	return cmd
}

func newContextAddCommand() *cobra.Command {
	c := savedContext{}
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Keep a broker and a login, or other ones, under a name",
		Example: "  treadmq context add prod --url stomp+ssl://mq:61614 --console https://mq:8161 --user ops --password-file ~/.mq\n  treadmq context use prod",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := openContexts()
			if err != nil {
				return err
			}
			for _, file := range []*string{&c.PasswordFile, &c.TokenFile, &c.CAFile} {
				if *file != "" { // commands run in any folder
					if *file, err = filepath.Abs(*file); err != nil {
						return err
					}
				}
			}
			f.Contexts[args[0]] = c
			return f.save()
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&c.URL, "url", "", "broker, as --url of the other commands")
	fl.StringVar(&c.Console, "console", "", "address of the broker's console")
	fl.StringVarP(&c.User, "user", "u", "", "user name")
	fl.StringVar(&c.PasswordFile, "password-file", "", "file with the password in its first line")
	fl.StringVar(&c.TokenFile, "token-file", "", "file with a token in its first line, for the API instead of a password")
	fl.StringVar(&c.CAFile, "ca-file", "", "PEM file of certificates to trust with TLS")
	return cmd
}

func newContextListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List contexts; the one in use is marked",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := openContexts()
			if err != nil {
				return err
			}
			p := newPrinter(cmd, "name", "current", "url", "console", "user")
			for _, name := range slices.Sorted(maps.Keys(f.Contexts)) {
				c, current := f.Contexts[name], name == f.Current
				value := struct {
					Name    string `json:"name"`
					Current bool   `json:"current"`
					savedContext
				}{name, current, c}
				if err := p.add(record{value: value, name: name, cells: []string{name, fmt.Sprint(current), c.URL, c.Console, c.User}}); err != nil {
					return err
				}
			}
			return p.close()
		},
	}
	outputFlag(cmd)
	return cmd
}

func newContextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME|-", Short: "Choose the context of the commands to come; - is none",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := openContexts()
			if err != nil {
				return err
			}
			name := args[0]
			if _, ok := f.Contexts[name]; !ok && name != "-" {
				return noContext(name)
			}
			if name == "-" {
				name = ""
			}
			f.Current = name
			return f.save()
		},
	}
}

func newContextRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Aliases: []string{"remove"}, Short: "Remove a context",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := openContexts()
			if err != nil {
				return err
			}
			if _, ok := f.Contexts[args[0]]; !ok {
				return noContext(args[0])
			}
			delete(f.Contexts, args[0])
			if f.Current == args[0] {
				f.Current = ""
			}
			return f.save()
		},
	}
}
