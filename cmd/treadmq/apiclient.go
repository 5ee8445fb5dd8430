package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

// apiFlags say which broker's API to ask.
type apiFlags struct {
	credentials
	url       string
	tokenFile string
}

func (f *apiFlags) register(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&f.url, "console", "", "address of the broker's console (env "+envConsole+", default "+api.DefaultURL+")")
	f.credentials.register(cmd)
	cmd.PersistentFlags().StringVar(&f.tokenFile, "token-file", "", "file with a token in its first line, to log in with instead of a password (env "+envTokenFile+", or "+envToken+" with the token itself)")
	for _, other := range []string{"user", "password", "password-file"} {
		cmd.MarkFlagsMutuallyExclusive("token-file", other)
	}
	cmd.MarkFlagFilename("token-file")
}

// token is what to log in with, "" if it is a user's password. A flag wins over the
// environment, whichever of the two it is about.
func (f *apiFlags) token(cmd *cobra.Command, saved *savedContext) (string, error) {
	switch {
	case f.tokenFile != "":
		return secretFromFile("token", f.tokenFile)
	case cmd.Flags().Changed("user") || cmd.Flags().Changed("password") || cmd.Flags().Changed("password-file"):
		return "", nil
	case os.Getenv(envToken) != "":
		return os.Getenv(envToken), nil
	case os.Getenv(envTokenFile) != "":
		return secretFromFile("token", os.Getenv(envTokenFile))
	case saved.TokenFile != "" && os.Getenv(envUser) == "":
		return secretFromFile("token", saved.TokenFile)
	}
	return "", nil
}

// connect makes the client. Nothing is sent yet.
func (f *apiFlags) connect(cmd *cobra.Command) (*api.Client, error) {
	saved, err := f.fromContext()
	if err != nil {
		return nil, err
	}
	token, err := f.token(cmd, &saved)
	if err != nil {
		return nil, err
	}
	if token != "" {
		f.caFile = firstOf(f.caFile, os.Getenv(envCAFile), saved.CAFile)
	} else if err := f.resolve(cmd); err != nil {
		return nil, err
	}
	c, err := api.New(api.Options{
		URL: firstOf(f.url, os.Getenv(envConsole), saved.Console), User: f.user, Password: f.password, Token: token, CAFile: f.caFile,
		Agent: "treadmq/" + version,
	})
	if err != nil {
		return nil, asUsage("the console cannot be asked", err)
	}
	return c, nil
}

// apiError puts what went wrong with a request into words and an exit code.
func apiError(c *api.Client, what string, err error) error {
	if err == nil {
		return nil
	}
	f := &failure{code: exitFailure, what: what, why: err}
	var no *api.Error
	var network *url.Error
	switch {
	case errors.Is(err, context.Canceled):
	case errors.As(err, &no):
		f.code, f.next = statusCode(no.Status)
		switch no.Code {
		case "in-use":
			f.next = "it is in use; --force does it nevertheless"
		case "not-master":
			f.next = "ask the master: give its console's address with --console or " + envConsole
		}
	case errors.Is(err, api.ErrNoAPI):
		f.code, f.next = exitUnreachable, fmt.Sprintf("is %s the console's address? set it with --console or %s", c.URL(), envConsole)
	case errors.As(err, &network):
		f.code, f.why = exitUnreachable, network.Err
		f.what = fmt.Sprintf("%s: no broker's console answers at %s", what, c.URL())
		f.next = "start the broker, or give its console's address with --console or " + envConsole
	}
	return f
}

// statusCode is the exit code for an HTTP status, and what a person can do about it.
func statusCode(status int) (code int, next string) {
	switch status {
	case http.StatusUnauthorized:
		return exitNotAllowed, "log in with --user and --password-file, or " + envUser + " and " + envPassword + "; programs with --token-file"
	case http.StatusForbidden:
		return exitNotAllowed, "use a user whose role allows it"
	case http.StatusNotFound:
		return exitFailure, "treadmq queue ls and treadmq topic ls show what there is"
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return exitData, ""
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusInsufficientStorage:
		return exitTryAgain, "try again in a moment"
	}
	return exitFailure, ""
}
