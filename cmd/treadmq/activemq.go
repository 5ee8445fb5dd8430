package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/api"
)

// newActiveMQCommands are the words of ActiveMQ's activemq script, hidden in the help,
// for the fingers and the scripts that know them.
func newActiveMQCommands() []*cobra.Command {
	all := []*cobra.Command{
		newProducerCommand(), newConsumerCommand(), newDstatCommand(), newBstatCommand(),
		newQueryCommand(), newListBrokersCommand(), newPurgeAliasCommand(),
	}
	for _, c := range all {
		c.Hidden = true
	}
	return all
}

// activeMQClient are the flags that producer and consumer share.
type activeMQClient struct {
	destination string
	count       int
	sleep       int // ms
}

func (a *activeMQClient) register(cmd *cobra.Command, f *stompFlags) {
	f.register(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.url, "brokerUrl", "", "the same as --url")
	fl.StringVar(&a.destination, "destination", "queue://TEST", "queue://NAME or topic://NAME")
	fl.IntVar(&a.count, "messageCount", 1000, "how many messages")
	fl.IntVar(&a.sleep, "sleep", 0, "milliseconds between two messages")
}

func newProducerCommand() *cobra.Command {
	a := &activeMQClient{}
	o := &sendOptions{priority: 4, text: true}
	var message, persistent string
	var size int
	var ttl int64
	cmd := &cobra.Command{
		Use: "producer", Short: "ActiveMQ's word for send",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.count < 1 || a.sleep < 0 || size < 0 || size > maxBody || ttl < 0 {
				return usagef("", "--messageCount, --messageSize, --sleep or --msgTTL is out of range")
			}
			o.persistent, o.ttl = persistent != "false", time.Duration(ttl)*time.Millisecond
			if a.sleep > 0 {
				o.rate = 1000 / float64(a.sleep)
			}
			return sendFrom(cmd, o, a.destination, numbered(message, size, a.count), int64(a.count))
		},
	}
	a.register(cmd, &o.stomp)
	fl := cmd.Flags()
	fl.StringVar(&message, "message", "", "text of every message")
	fl.IntVar(&size, "messageSize", 0, "bytes of every message")
	fl.StringVar(&persistent, "persistent", "true", "true or false")
	fl.Int64Var(&ttl, "msgTTL", 0, "time to live in milliseconds")
	return cmd
}

// numbered gives count bodies: the text, or size bytes, or a text with a number.
func numbered(text string, size, count int) func(context.Context) ([]byte, error) {
	n := 0
	return func(ctx context.Context) ([]byte, error) {
		if n == count {
			return nil, io.EOF
		}
		n++
		switch {
		case text != "":
			return []byte(text), ctx.Err()
		case size > 0:
			return []byte(strings.Repeat("x", size)), ctx.Err()
		}
		return fmt.Appendf(nil, "test message: %d", n-1), ctx.Err()
	}
}

func newConsumerCommand() *cobra.Command {
	a := &activeMQClient{}
	o := &recvOptions{ack: choice{of: []string{"auto", "client", "client-individual"}}}
	cmd := &cobra.Command{
		Use: "consumer", Short: "ActiveMQ's word for recv",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.count < 1 || a.sleep < 0 {
				return usagef("", "--messageCount or --sleep is out of range")
			}
			o.count = a.count
			if a.sleep > 0 {
				o.rate = 1000 / float64(a.sleep)
			}
			return recv(cmd, o, a.destination)
		},
	}
	a.register(cmd, &o.stomp)
	cmd.Flags().StringVar(&o.selector, "selector", "", "only messages that match")
	outputFlag(cmd, formatRaw)
	return cmd
}

func newDstatCommand() *cobra.Command {
	f, l := &apiFlags{}, &listFlags{}
	cmd := &cobra.Command{
		Use: "dstat [queues|topics]", Short: "ActiveMQ's word for queue ls and topic ls",
		Args: cobra.MaximumNArgs(1), ValidArgs: []string{"queues", "topics"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 || args[0] == "queues":
				return list(cmd, f, queues(), l)
			case args[0] == "topics":
				return list(cmd, f, topics(), l)
			}
			return usagef("dstat queues, or dstat topics", "%q is neither queues nor topics", args[0])
		},
	}
	f.register(cmd)
	l.register(cmd)
	return cmd
}

func newBstatCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{
		Use: "bstat", Short: "ActiveMQ's word for the figures of the broker as a whole",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return overview(cmd, f, flatten) },
	}
	f.register(cmd)
	outputFlag(cmd)
	return cmd
}

func newListBrokersCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := &cobra.Command{
		Use: "list", Short: "ActiveMQ's word for naming the broker that runs",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return overview(cmd, f, func(item api.Item) (columns, cells []string) {
				columns, cells = flatten(item)
				for i, c := range columns {
					if c == "broker.name" {
						return []string{"brokerName"}, cells[i : i+1]
					}
				}
				return columns, cells
			})
		},
	}
	f.register(cmd)
	outputFlag(cmd)
	return cmd
}

// overview prints the broker as a whole.
func overview(cmd *cobra.Command, f *apiFlags, table func(api.Item) (columns, cells []string)) error {
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	item, err := c.Overview(cmd.Context())
	if err != nil {
		return apiError(c, "the broker's figures cannot be shown", err)
	}
	columns, cells := table(item)
	name := ""
	if broker, ok := item.Sub("broker").(map[string]any); ok {
		name, _ = broker["name"].(string)
	}
	return printOne(cmd, columns, record{value: item.RawMessage, cells: cells, name: name})
}

func newQueryCommand() *cobra.Command {
	f := &apiFlags{}
	var match string
	cmd := &cobra.Command{
		Use: "query", Short: "ActiveMQ's word for show: query -QQueue=NAME, -QTopic=NAME, or the broker",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kind, name, _ := strings.Cut(match, "=")
			switch {
			case match == "":
				return overview(cmd, f, flatten)
			case strings.EqualFold(kind, "queue") && name != "":
				return show(cmd, f, queues(), name)
			case strings.EqualFold(kind, "topic") && name != "":
				return show(cmd, f, topics(), name)
			}
			return usagef("query -QQueue=orders, or query -QTopic=prices", "-Q%s is not understood", match)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVarP(&match, "match", "Q", "", "Queue=NAME or Topic=NAME")
	outputFlag(cmd)
	return cmd
}

func newPurgeAliasCommand() *cobra.Command {
	f := &apiFlags{}
	cmd := newPurgeCommand(f)
	f.register(cmd)
	cmd.Short = "ActiveMQ's word for queue purge"
	return cmd
}
