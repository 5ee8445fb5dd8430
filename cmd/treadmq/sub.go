package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

func subscriptions() destinations {
	return destinations{"subscription", "subscriptions", view{"name", []string{"name", "topics", "messages", "inFlight", "consumers", "enqueued", "dequeued", "selector"}}}
}

func newSubCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{Use: "sub", Aliases: []string{"subs", "subscription"}, Short: "List, show, create and remove durable subscriptions"}
	f.register(cmd)
	cmd.AddCommand(newListCommand(f, subscriptions()), newShowCommand(f, subscriptions()), newSubCreateCommand(f), newRemoveCommand(f, subscriptions(), "durable subscriptions"))
	return cmd
}

func newSubCreateCommand(f *apiFlags) *cobra.Command {
	var topics []string
	var selector, clientID string
	cmd := &cobra.Command{
		Use: "create NAME --topic TOPIC", Short: "Create a durable subscription that collects from now on",
		Long: `Create a durable subscription that collects from now on. A client finds it by its
name: NAME is clientId.name, with --client-id clientId, or shared.name for clients
without one. One that is there with the same topics and selector stays as it is; with
others it is made anew, without its messages, unless somebody is subscribed.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, f, subscriptions(), args, "created", func(ctx context.Context, c *api.Client, name string) (any, error) {
				if err := c.CreateSubscription(ctx, name, clientID, topics, selector); err != nil {
					return nil, apiError(c, fmt.Sprintf("the durable subscription %q cannot be created", name), err)
				}
				return true, nil
			})
		},
	}
	cmd.Flags().StringArrayVar(&topics, "topic", nil, "a topic's name, or a pattern of names; any number of times")
	cmd.Flags().StringVar(&clientID, "client-id", "", "client id of the CONNECT frames that it belongs to")
	cmd.Flags().StringVar(&selector, "selector", "", "only messages that this JMS selector matches")
	if err := cmd.MarkFlagRequired("topic"); err != nil {
		panic(err) // there is such a flag
	}
	outputFlag(cmd)
	return cmd
}
