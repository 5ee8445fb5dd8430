package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Environment variables of the commands that talk to a running broker.
const (
	envURL          = "TREADMQ_URL"
	envConsole      = "TREADMQ_CONSOLE_URL"
	envUser         = "TREADMQ_USER"
	envPassword     = "TREADMQ_PASSWORD"
	envPasswordFile = "TREADMQ_PASSWORD_FILE"
	envCAFile       = "TREADMQ_CA_FILE"
	envToken        = "TREADMQ_TOKEN"
	envTokenFile    = "TREADMQ_TOKEN_FILE"
)

// clientEnvironment are the variables that are no keys of the broker's configuration.
var clientEnvironment = []string{envURL, envConsole, envUser, envPassword, envPasswordFile, envCAFile, envToken, envTokenFile, envContext}

// credentials say who asks a broker for something. A flag wins over the environment.
type credentials struct {
	user         string
	password     string
	passwordFile string
	caFile       string
	context      string

	saved *savedContext // what the context says, nil before it was asked for
}

// fromContext is what the context says that the flags, the environment or the user have chosen.
func (c *credentials) fromContext() (savedContext, error) {
	if c.saved != nil {
		return *c.saved, nil
	}
	f, err := openContexts()
	if err != nil {
		return savedContext{}, err
	}
	s, err := f.chosen(c.context)
	if err == nil {
		c.saved = &s
	}
	return s, err
}

func (c *credentials) register(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVarP(&c.user, "user", "u", "", "user name (env "+envUser+")")
	f.StringVar(&c.passwordFile, "password-file", "", "file with the password in its first line (env "+envPasswordFile+", or "+envPassword+" with the password itself)")
	f.StringVar(&c.password, "password", "", "password; other users of this machine can see it, prefer --password-file")
	f.StringVar(&c.caFile, "ca-file", "", "PEM file of certificates to trust with TLS instead of the system's (env "+envCAFile+")")
	f.StringVar(&c.context, "context", "", "the broker and the login that treadmq context keeps under this name (env "+envContext+")")
	cmd.MarkFlagsMutuallyExclusive("password", "password-file")
	cmd.MarkFlagFilename("password-file")
	cmd.MarkFlagFilename("ca-file")
}

// resolve fills in what the environment, a file or a person at the terminal knows.
func (c *credentials) resolve(cmd *cobra.Command) error {
	saved, err := c.fromContext()
	if err != nil {
		return err
	}
	c.user = firstOf(c.user, os.Getenv(envUser))
	kept := c.user == "" // a password that is kept goes with its user only
	if kept {
		c.user = saved.User
	}
	c.caFile = firstOf(c.caFile, os.Getenv(envCAFile), saved.CAFile)
	if cmd.Flags().Changed("password") {
		warn(cmd.ErrOrStderr(), "--password shows the password to every user of this machine; prefer --password-file")
		return nil
	}
	if c.passwordFile == "" {
		if c.password = os.Getenv(envPassword); c.password != "" {
			return nil
		}
		c.passwordFile = os.Getenv(envPasswordFile)
	}
	if kept {
		c.passwordFile = firstOf(c.passwordFile, saved.PasswordFile)
	}
	switch {
	case c.passwordFile != "":
		c.password, err = passwordFromFile(c.passwordFile)
	case c.user != "":
		c.password, err = askPassword(cmd, fmt.Sprintf("Password of %s: ", c.user))
	}
	return err
}

func passwordFromFile(name string) (string, error) { return secretFromFile("password", name) }

// secretFromFile reads a password or a token, the first line of a file.
func secretFromFile(what, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fileError("the "+what+" file cannot be read", err)
	}
	defer f.Close()
	p, err := readLine(f)
	if err == io.EOF || err == nil && p == "" {
		return "", &failure{code: exitData, what: fmt.Sprintf("the %s file %s is empty", what, name), next: "put the " + what + " in its first line"}
	}
	return p, err
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// askPassword asks for a password without showing it. On standard input that is no
// terminal it is an error that names the flag.
func askPassword(cmd *cobra.Command, prompt string) (password string, err error) {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !isTerminal(in) || !isTerminal(cmd.ErrOrStderr()) {
		return "", usagef("give it with --password-file FILE or in "+envPassword, "a password is needed, and there is no terminal to ask on")
	}
	fd := int(in.Fd())
	state, err := term.MakeRaw(fd) // no echo before the prompt: somebody may type at once
	if err != nil {
		return "", err
	}
	defer term.Restore(fd, state)
	fmt.Fprint(cmd.ErrOrStderr(), prompt)
	err = interruptible(cmd.Context(), func() error {
		b, err := term.ReadPassword(fd)
		password = string(b)
		return err
	})
	term.Restore(fd, state)
	fmt.Fprintln(cmd.ErrOrStderr())
	if err != nil {
		return "", err
	}
	if len(password) > maxAnswer {
		return "", &failure{code: exitData, what: fmt.Sprintf("the password is longer than %d bytes", maxAnswer)}
	}
	return strings.TrimRight(password, "\r\n"), nil
}

// interruptible does what may wait for a person, and returns when ctx ends. Reading
// from a terminal cannot be stopped: what was begun then ends with the process, so
// this is only for what is the last thing a command does when it is interrupted.
func interruptible(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
