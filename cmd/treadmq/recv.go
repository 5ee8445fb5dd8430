package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"treadmq/ha/failover"
)

// recvOptions are what `recv` was asked for.
type recvOptions struct {
	stomp    stompFlags
	count    int
	follow   bool
	timeout  time.Duration
	selector string
	ack      choice
	nul      bool
	headers  []string
	rate     float64 // messages per second at most, 0 without limit
}

func newRecvCommand() *cobra.Command {
	o := &recvOptions{ack: choice{of: []string{"auto", "client", "client-individual"}}}
	cmd := &cobra.Command{
		Use: "recv DESTINATION", Aliases: []string{"receive"}, Short: "Receive messages from a queue or a topic",
		Long: `Receive messages and print them, each on a line. One message, -n of them, or with
--follow all until Ctrl-C. Without --timeout the command waits until it has them all;
with it, it also ends, with exit code 0, when no message came for that long: so
"-n 0 --timeout 1s" empties a queue.

A message of a queue is acknowledged after it was printed: what is printed and not
acknowledged when something fails comes again. Topics need no acknowledgement.

-o raw prints bodies only; bodies that hold newlines are told apart with -0 (NUL after
each) or with -o jsonl, which has all headers too.`,
		Example: `  treadmq recv orders
  treadmq recv orders -n 0 --timeout 1s -o jsonl > orders.jsonl
  treadmq recv /topic/prices --follow --selector "symbol = 'X'"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return recv(cmd, o, args[0]) },
	}
	o.stomp.register(cmd)
	fl := cmd.Flags()
	fl.IntVarP(&o.count, "count", "n", 1, "how many messages; 0 is without limit")
	fl.BoolVarP(&o.follow, "follow", "f", false, "go on until interrupted")
	fl.DurationVar(&o.timeout, "timeout", 0, "end when no message came for this long, for example 2s (default never)")
	fl.StringVar(&o.selector, "selector", "", "only messages that match, for example \"region = 'eu' AND amount > 10\"")
	fl.Var(&o.ack, "ack", "client-individual, client or auto (default client-individual for queues, auto for topics)")
	fl.BoolVarP(&o.nul, "null", "0", false, "with -o raw: a NUL byte after each message instead of a newline")
	fl.StringArrayVarP(&o.headers, "header", "H", nil, "header of SUBSCRIBE as key=value, may be repeated")
	outputFlag(cmd, formatRaw)
	cmd.MarkFlagsMutuallyExclusive("follow", "count")
	cmd.RegisterFlagCompletionFunc("ack", cobra.FixedCompletions(o.ack.of, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// check finds contradictions, and settles what was left open.
func (o *recvOptions) check(cmd *cobra.Command, destination string) error {
	if o.follow {
		o.count = 0
	}
	if o.count < 0 {
		return usagef("", "-n %d is negative", o.count)
	}
	if o.nul && outputFormat(cmd) != formatRaw {
		return usagef("leave out -o", "-0 is for -o raw")
	}
	topic := strings.HasPrefix(destination, "/topic/")
	if o.ack.value == "" {
		o.ack.value = "client-individual"
		if topic {
			o.ack.value = "auto"
		}
	}
	if o.ack.value == "auto" && !topic && o.count > 0 {
		return usagef("use --follow, or another --ack", "with --ack auto the broker counts messages as done that are under way when this command ends: -n would lose them")
	}
	return nil
}

func (o *recvOptions) subscribeHeaders() ([]failover.Header, error) {
	// no more than wanted: what is fetched and not printed would be held from others
	prefetch := 100
	if o.count > 0 {
		prefetch = min(prefetch, o.count)
	}
	headers := []failover.Header{failover.H("activemq.prefetchSize", strconv.Itoa(prefetch))}
	if o.count > 0 { // the room that acknowledging makes is not for one more
		headers = append(headers, failover.H("x-max-messages", strconv.Itoa(o.count)))
	}
	if o.selector != "" {
		headers = append(headers, failover.H("selector", o.selector))
	}
	for _, text := range o.headers {
		h, err := parseHeader(text)
		if err != nil {
			return nil, err
		}
		headers = append(headers, h)
	}
	return headers, nil
}

func recv(cmd *cobra.Command, o *recvOptions, destination string) error {
	destination, err := stompDestination(destination)
	if err != nil {
		return err
	}
	if err := o.check(cmd, destination); err != nil {
		return err
	}
	headers, err := o.subscribeHeaders()
	if err != nil {
		return err
	}
	c, err := o.stomp.dial(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	modes := map[string]failover.AckMode{"auto": failover.AckAuto, "client": failover.AckClient, "client-individual": failover.AckClientIndividual}
	sub, err := c.Subscribe(cmd.Context(), destination, modes[o.ack.value], headers...)
	if err != nil {
		return stompError("cannot subscribe to "+destination, err)
	}
	r := &receiver{cmd: cmd, options: o, conn: c, sub: sub, pace: pacer{rate: o.rate},
		printer: newPrinter(cmd, append(messageColumns(), "destination", "body")...)}
	return r.run()
}

// receiver prints the messages of a subscription and acknowledges them.
type receiver struct {
	cmd     *cobra.Command
	options *recvOptions
	conn    *failover.Conn
	sub     *failover.Subscription
	printer *printer
	pace    pacer
	n       int
}

func (r *receiver) run() error {
	err := r.loop()
	if closing := r.close(); err == nil {
		err = closing
	}
	switch {
	case errors.Is(err, context.Canceled):
		return canceled(r.cmd.Context(), "received "+plural(r.n, "message"))
	case err != nil:
		return stompError(fmt.Sprintf("received %s, then receiving ended", plural(r.n, "message")), err)
	}
	talk(r.cmd, "received %s from %s", plural(r.n, "message"), r.sub.Destination())
	return nil
}

func (r *receiver) loop() error {
	for r.options.count == 0 || r.n < r.options.count {
		if err := r.pace.wait(r.cmd.Context()); err != nil {
			return err
		}
		m, err := r.next()
		if errors.Is(err, context.DeadlineExceeded) {
			return nil // --timeout
		}
		if err != nil {
			return err
		}
		if err := r.print(m); err != nil {
			return err
		}
		r.n++
		if r.options.ack.value == "auto" {
			continue
		}
		if err := m.Ack(r.cmd.Context()); errors.Is(err, failover.ErrStale) {
			talk(r.cmd, "message %s was printed, but the connection was lost before it was acknowledged: it will come again", m.ID())
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (r *receiver) next() (*failover.Message, error) {
	ctx := r.cmd.Context()
	if r.options.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.options.timeout)
		defer cancel()
	}
	return r.sub.Receive(ctx)
}

// print writes a message and brings it to the output: it is acknowledged afterwards.
func (r *receiver) print(m *failover.Message) error {
	p := r.printer
	if p.format == formatRaw {
		p.w.Write(m.Body)
		delimiter := byte('\n')
		if r.options.nul {
			delimiter = 0
		}
		p.w.WriteByte(delimiter)
		return p.w.Flush()
	}
	v := messageOf(m)
	if err := p.add(record{value: v, cells: v.cells(m), name: v.ID}); err != nil {
		return err
	}
	return p.flush()
}

// close ends the output and says goodbye, so that the broker has carried out every ACK.
func (r *receiver) close() error {
	var err error
	if r.printer.format == formatRaw {
		err = r.printer.w.Flush()
	} else {
		err = r.printer.close()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.cmd.Context()), goodbyeTimeout)
	defer cancel()
	if bye := r.conn.Disconnect(ctx); bye != nil && r.options.ack.value != "auto" {
		err = errors.Join(err, fmt.Errorf("the last acknowledgements may be lost, those messages come again: %w", bye))
	}
	return err
}

// message is a received message as JSON, with the names of the JSON API.
type message struct {
	ID            string            `json:"id"`
	Destination   string            `json:"destination"`
	Timestamp     int64             `json:"timestamp"` // Unix time in ms
	Expires       int64             `json:"expires"`   // the same, 0 for never
	Priority      int               `json:"priority"`
	Persistent    bool              `json:"persistent"`
	Redelivered   bool              `json:"redelivered"`
	DeliveryCount int               `json:"deliveryCount"`
	Size          int               `json:"size"` // of the body in bytes
	Headers       map[string]string `json:"headers"`
	Body          *string           `json:"body,omitempty"` // when it is UTF-8 text
	BodyBase64    []byte            `json:"bodyBase64,omitempty"`
}

func messageOf(m *failover.Message) message {
	h := m.Header
	v := message{
		ID: m.ID(), Destination: m.Destination, Size: len(m.Body), Headers: map[string]string{},
		Persistent: h.Get("persistent") == "true", Redelivered: h.Get("redelivered") == "true", Priority: 4,
	}
	v.Timestamp, _ = strconv.ParseInt(h.Get("timestamp"), 10, 64)
	v.Expires, _ = strconv.ParseInt(h.Get("expires"), 10, 64)
	if p, err := strconv.Atoi(h.Get("priority")); err == nil {
		v.Priority = p
	}
	v.DeliveryCount, _ = strconv.Atoi(firstOf(h.Get("x-delivery-count"), h.Get("JMSXDeliveryCount")))
	for i := range h.Len() {
		name, value := h.GetAt(i)
		if _, twice := v.Headers[name]; !twice { // STOMP 1.2: the first one counts
			v.Headers[name] = value
		}
	}
	if utf8.Valid(m.Body) {
		text := string(m.Body)
		v.Body = &text
	} else {
		v.BodyBase64 = m.Body
	}
	return v
}

func (v *message) cells(m *failover.Message) []string {
	return []string{v.ID, strconv.FormatInt(v.Timestamp, 10), strconv.Itoa(v.Priority), strconv.FormatBool(v.Redelivered),
		strconv.Itoa(v.DeliveryCount), strconv.Itoa(v.Size), v.Destination, string(m.Body)}
}
