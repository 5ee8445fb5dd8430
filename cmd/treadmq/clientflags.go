package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"treadmq/ha/failover"
)

// defaultURL is where a broker listens when nothing is configured.
const defaultURL = "tcp://127.0.0.1:61613"

// stompFlags say which broker to talk STOMP with.
type stompFlags struct {
	credentials
	url      string
	clientID string
}

func (f *stompFlags) register(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&f.url, "url", "", "broker: tcp://host:port, stomp+ssl://host:port or failover:(tcp://a:61613,tcp://b:61613)?option=value (env "+envURL+", default "+defaultURL+")")
	cmd.PersistentFlags().StringVar(&f.clientID, "client-id", "", "client-id of the connection")
	f.credentials.register(cmd)
}

// address is the broker that flags, the environment or the context name.
func (f *stompFlags) address() string {
	saved, _ := f.fromContext() // resolve says what is wrong with it
	return firstOf(f.url, os.Getenv(envURL), saved.URL, defaultURL)
}

// parse reads the address and gets the password.
func (f *stompFlags) parse(cmd *cobra.Command) (*failover.URL, failover.Options, error) {
	u, err := failover.ParseURL(f.address())
	if err != nil {
		return nil, failover.Options{}, asUsage("the address of the broker is not understood", err)
	}
	if err := f.resolve(cmd); err != nil {
		return nil, failover.Options{}, err
	}
	return u, failover.Options{
		Login: f.user, Passcode: f.password, ClientID: f.clientID, CAFile: f.caFile,
		DedupID:       true, // what is sent again after a failover is not there twice
		Logger:        clientLogger(cmd),
		OnInterrupted: func(addr string, err error) { talk(cmd, "connection to %s lost (%v); connecting again", addr, err) },
		OnResumed:     func(addr string) { talk(cmd, "connected again, to %s", addr) },
	}, nil
}

func clientLogger(cmd *cobra.Command) *slog.Logger {
	if verbose, _ := cmd.Flags().GetBool("verbose"); verbose {
		return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// dial connects to the broker.
func (f *stompFlags) dial(cmd *cobra.Command) (*failover.Conn, error) {
	u, o, err := f.parse(cmd)
	if err != nil {
		return nil, err
	}
	c, err := failover.Dial(cmd.Context(), u, o)
	if err != nil {
		return nil, stompError(fmt.Sprintf("cannot connect to the broker at %s", u), err)
	}
	return c, nil
}

// stompError puts what went wrong with a broker into words and an exit code.
func stompError(what string, err error) error {
	if err == nil {
		return nil
	}
	f := &failure{code: kindOf(err), what: what, why: err}
	var refused *failover.ServerError
	switch {
	case errors.Is(err, context.Canceled):
	case errors.Is(err, failover.ErrLogin), errors.As(err, &refused) && refused.Code == "login":
		f.next = "log in with --user and --password-file, or " + envUser + " and " + envPassword
	case refused != nil:
	case f.code == exitUnreachable:
		f.next = "start the broker (treadmq start), or give its address with --url or " + envURL
	}
	return f
}
