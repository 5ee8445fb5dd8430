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
	url string
}

func (f *apiFlags) register(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&f.url, "console", "", "address of the broker's console (env "+envConsole+", default "+api.DefaultURL+")")
	f.credentials.register(cmd)
}

// connect makes the client. Nothing is sent yet.
func (f *apiFlags) connect(cmd *cobra.Command) (*api.Client, error) {
	if err := f.resolve(cmd); err != nil {
		return nil, err
	}
	c, err := api.New(api.Options{
		URL: firstOf(f.url, os.Getenv(envConsole)), User: f.user, Password: f.password, CAFile: f.caFile,
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
		if no.Code == "in-use" {
			f.next = "it is in use; --force does it nevertheless"
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
		return exitNotAllowed, "log in with --user and --password-file, or " + envUser + " and " + envPassword
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
