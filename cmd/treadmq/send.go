package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"treadmq/ha/failover"
)

// sendOptions are what `send` was asked for.
type sendOptions struct {
	stomp       stompFlags
	file        string // empty or "-": standard input
	body        string
	hasBody     bool
	lines       bool
	nul         bool
	count       int
	rate        float64
	headers     []string
	persistent  bool
	priority    int
	ttl         time.Duration
	contentType string
	text        bool
}

func newSendCommand() *cobra.Command {
	o := &sendOptions{}
	cmd := &cobra.Command{
		Use: "send DESTINATION [FILE|-]", Short: "Send messages to a queue or a topic",
		Long: `Send the content of a file, of standard input, or of --body as it is as one message, or
with --lines each line as a message. The destination is the name of a queue ("orders"), or
as STOMP spells it ("/queue/orders", "/topic/prices").

A message counts as sent when the broker has confirmed it; a persistent one is then on
its disk. With a failover: address the command outlives the loss of a broker, and what
was not confirmed is sent again. The exit code is 0 only if all messages were confirmed.
With -H x-dedup-id=... it says when the broker had the message already and left it out.`,
		Example: `  treadmq send orders --body hello
  treadmq send orders order.json --content-type application/json -H region=eu
  treadmq send orders --body x --count 1000 --rate 100
  tail -F app.log | treadmq send /topic/log --lines --persistent=false`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				o.file = args[1]
			}
			o.hasBody = cmd.Flags().Changed("body")
			return send(cmd, o, args[0])
		},
	}
	o.stomp.register(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&o.body, "body", "b", "", "body of the message instead of a file")
	fl.BoolVarP(&o.lines, "lines", "l", false, "each line is a message")
	fl.BoolVarP(&o.nul, "null", "0", false, "with --lines: messages end with a NUL byte instead of a newline")
	fl.IntVarP(&o.count, "count", "n", 1, "send the message this many times")
	fl.Float64Var(&o.rate, "rate", 0, "at most this many messages per second (default no limit)")
	fl.StringArrayVarP(&o.headers, "header", "H", nil, "header as key=value or key:value, may be repeated")
	fl.BoolVar(&o.persistent, "persistent", true, "keep the message on disk; --persistent=false does not")
	fl.IntVar(&o.priority, "priority", 4, "0 to 9, 9 first")
	fl.DurationVar(&o.ttl, "ttl", 0, "time to live, for example 30s (default for ever)")
	fl.StringVar(&o.contentType, "content-type", "", "content-type header")
	fl.BoolVar(&o.text, "text", false, "send without content-length, which ActiveMQ's Java clients take for a TextMessage")
	cmd.MarkFlagsMutuallyExclusive("lines", "body")
	cmd.MarkFlagsMutuallyExclusive("lines", "count")
	return cmd
}

// check finds contradictions that the flags' own checks do not.
func (o *sendOptions) check() error {
	switch {
	case o.hasBody && o.file != "":
		return usagef("leave one of them out", "both --body and a file are given")
	case o.nul && !o.lines:
		return usagef("add --lines", "-0 is for --lines")
	case o.priority < 0 || o.priority > 9:
		return usagef("", "--priority %d is not between 0 and 9", o.priority)
	case o.count < 1:
		return usagef("", "--count %d is less than 1", o.count)
	case o.ttl < 0:
		return usagef("", "--ttl %s is negative", o.ttl)
	case o.rate < 0:
		return usagef("", "--rate %v is negative", o.rate)
	}
	return nil
}

// sendOpts are the headers of every message.
func (o *sendOptions) sendOpts() ([]failover.SendOpt, error) {
	opts := []failover.SendOpt{failover.H("persistent", strconv.FormatBool(o.persistent))}
	if o.priority != 4 {
		opts = append(opts, failover.H("priority", strconv.Itoa(o.priority)))
	}
	if o.ttl > 0 {
		opts = append(opts, failover.H("expires", strconv.FormatInt(time.Now().Add(o.ttl).UnixMilli(), 10)))
	}
	if o.text {
		opts = append(opts, failover.NoContentLength())
	}
	for _, text := range o.headers {
		h, err := parseHeader(text)
		if err != nil {
			return nil, err
		}
		opts = append(opts, h)
	}
	return opts, nil
}

// parseHeader reads key=value or key:value, whichever separator comes first.
func parseHeader(text string) (failover.Header, error) {
	i := strings.IndexAny(text, "=:")
	if i <= 0 {
		return failover.Header{}, usagef("for example -H region=eu", "%q is no header", text)
	}
	return failover.H(text[:i], text[i+1:]), nil
}

func send(cmd *cobra.Command, o *sendOptions, destination string) error {
	if err := o.check(); err != nil {
		return err
	}
	source, end, err := o.source(cmd)
	if err != nil {
		return err
	}
	defer end()
	total := int64(o.count)
	if o.lines {
		total = -1
	}
	return sendFrom(cmd, o, destination, source, total)
}

// sendFrom sends what next gives, total messages or -1 if nobody knows.
func sendFrom(cmd *cobra.Command, o *sendOptions, destination string, next func(context.Context) ([]byte, error), total int64) error {
	destination, err := stompDestination(destination)
	if err != nil {
		return err
	}
	opts, err := o.sendOpts()
	if err != nil {
		return err
	}
	c, err := o.stomp.dial(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	s := newSender(cmd.Context(), c, destination, o, opts)
	s.progress = newProgress(cmd, total, "sending")
	return s.run(cmd, next)
}

// source returns what gives one body after the other, io.EOF after the last, and what
// ends it.
func (o *sendOptions) source(cmd *cobra.Command) (next func(context.Context) ([]byte, error), end func(), err error) {
	if o.hasBody {
		return repeated([]byte(o.body), o.count), func() {}, nil
	}
	in, end := cmd.InOrStdin(), func() {}
	if o.file != "" && o.file != "-" {
		f, err := os.Open(o.file)
		if err != nil {
			return nil, nil, fileError("the file to send cannot be read", err)
		}
		in, end = f, func() { f.Close() }
	} else if isTerminal(in) {
		talk(cmd, "reading from the terminal; end with Ctrl-D")
	}
	if o.lines {
		delimiter := byte('\n')
		if o.nul {
			delimiter = 0
		}
		return lines(cmd.Context(), in, delimiter), end, nil
	}
	var body []byte
	err = interruptible(cmd.Context(), func() (err error) {
		body, err = io.ReadAll(io.LimitReader(in, maxBody+1))
		return err
	})
	if err == nil && len(body) > maxBody {
		err = &failure{code: exitData, what: fmt.Sprintf("the message is larger than %d bytes", maxBody), next: "send it in parts, for example with --lines"}
	}
	return repeated(body, o.count), end, err
}

// maxBody bounds the body of one message in bytes.
const maxBody = failover.DefaultMaxMessageSize

func repeated(body []byte, count int) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		if count == 0 {
			return nil, io.EOF
		}
		count--
		return body, ctx.Err()
	}
}

// isEnd tells the end of the source from its failure.
func isEnd(err error) bool { return errors.Is(err, io.EOF) }
