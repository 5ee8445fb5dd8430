package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"treadmq/cmd/treadmq/internal/load"
	"treadmq/ha/failover"
)

// benchOptions are what `bench` was asked for.
type benchOptions struct {
	stomp   stompFlags
	load    load.Config
	mode    choice
	ack     choice
	headers []string
	json    bool
}

func newBenchCommand() *cobra.Command {
	o := &benchOptions{
		mode: choice{string(load.Both), []string{string(load.Both), string(load.Fill), string(load.Drain), string(load.FillDrain)}},
		ack:  choice{"client-individual", []string{"auto", "client", "client-individual"}},
	}
	cmd := &cobra.Command{
		Use: "bench [DESTINATION]", Short: "Measure a broker, and check that it loses, doubles and reorders nothing",
		Long: `Put a broker under load, measure how fast it is, and check that no confirmed message
is lost, that none comes twice without being flagged as redelivered, and that each
producer's messages come in order. The exit code is 1 if any of that is not so.

Modes: both (produce and consume at once), fill (produce only), drain (consume only,
until nothing comes for --idle), fill-drain (produce all, then consume all). On a topic
(/topic/N) every consumer must get every message.

Latencies are from SEND to RECEIPT, and from SEND to the MESSAGE at a consumer. With
--rate they count from when a message was due, so that a stall of the broker shows in
all the messages it held up.

All connections go to the first broker of the address that answers; none is made anew.
Ctrl-C stops the producers; what they have sent is still received and checked. The last
line of the result is the command that repeats the run.`,
		Example: `  treadmq bench
  treadmq bench --producers 4 --consumers 4 --window 200 --count 1000000
  treadmq bench --rate 1000 --duration 60s -o json
  treadmq bench /topic/bench --consumers 8 --persistent=false`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.load.Destination = "/queue/treadmq.bench"
			if len(args) > 0 {
				o.load.Destination = args[0]
			}
			return bench(cmd, o)
		},
	}
	o.stomp.register(cmd)
	o.register(cmd)
	return cmd
}

func (o *benchOptions) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	l := &o.load
	fl.Var(&o.mode, "mode", "both, fill, drain or fill-drain")
	fl.IntVar(&l.Producers, "producers", 1, "connections that send")
	fl.IntVar(&l.Consumers, "consumers", 1, "connections that receive")
	fl.IntVar(&l.Destinations, "destinations", 1, "spread the load over this many: DESTINATION.0, .1 and so on")
	fl.IntVar(&l.Size, "size", 256, fmt.Sprintf("bytes of each body, at least %d", load.MinSize))
	fl.BoolVar(&l.Persistent, "persistent", true, "persistent messages")
	fl.Var(&o.ack, "ack", "auto, client or client-individual")
	fl.IntVar(&l.Window, "window", 100, "messages each producer may have unconfirmed; 0 asks for no receipts")
	fl.IntVar(&l.Prefetch, "prefetch", 0, "activemq.prefetchSize of each subscription (default the broker's)")
	fl.Float64Var(&l.Rate, "rate", 0, "messages per second over all producers (default as fast as possible)")
	fl.Int64VarP(&l.Count, "count", "n", 0, "messages over all producers (default 100000, or no limit with --duration)")
	fl.DurationVar(&l.Duration, "duration", 0, "stop sending after this long, for example 30s")
	fl.DurationVar(&l.Idle, "idle", 10*time.Second, "give up receiving when nothing came for this long")
	fl.StringArrayVarP(&o.headers, "header", "H", nil, "header of every message as key=value, may be repeated")
	fl.BoolVar(&o.json, "json", false, "the same as -o json")
	outputFlag(cmd)
	cmd.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions(o.mode.of, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("ack", cobra.FixedCompletions(o.ack.of, cobra.ShellCompDirectiveNoFileComp))
}

func bench(cmd *cobra.Command, o *benchOptions) error {
	if err := o.settle(cmd); err != nil {
		return err
	}
	bar := newProgress(cmd, o.load.Count, "bench")
	if bar != nil {
		o.load.Progress = func(sent, received int64) {
			if o.load.Mode == load.Fill {
				received = sent
			}
			bar.set(received)
		}
	}
	result, err := load.Run(cmd.Context(), o.load)
	bar.end()
	if err != nil {
		return benchError(o, result, err)
	}
	if err := printBench(cmd, o, result); err != nil {
		return err
	}
	return benchVerdict(cmd, result)
}

// settle turns what was asked for into a load that can be run.
func (o *benchOptions) settle(cmd *cobra.Command) error {
	if o.json {
		cmd.Flags().Set("output", string(formatJSON))
	}
	l := &o.load
	var err error
	if l.Destination, err = stompDestination(l.Destination); err != nil {
		return err
	}
	l.Mode, l.Ack = load.Mode(o.mode.value), o.ack.value
	if l.Count == 0 && l.Duration == 0 && l.Mode != load.Drain {
		l.Count = 100_000
	}
	for _, text := range o.headers {
		h, err := parseHeader(text)
		if err != nil {
			return err
		}
		l.Headers = append(l.Headers, h)
	}
	u, options, err := o.stomp.parse(cmd)
	if err != nil {
		return err
	}
	l.Addresses, l.Options = u.Addresses, options
	if err := l.Validate(); err != nil {
		return asUsage("this load is not possible", err)
	}
	return nil
}

func benchError(o *benchOptions, r *load.Result, err error) error {
	f := &failure{code: exitFailure, what: "the load could not be completed", why: err}
	if r != nil && r.Sent+r.Received > 0 {
		f.what += fmt.Sprintf(" (sent %d, confirmed %d, received %d)", r.Sent, r.Confirmed, r.Received)
	}
	var refused *load.RefusedError
	var network net.Error
	switch {
	case errors.Is(err, load.ErrForeign):
		f.code, f.next = exitData, "for example: treadmq bench /queue/treadmq.bench2"
	case errors.As(err, &refused):
		f.code = refusalCode(refused.Code)
	case errors.As(err, &network):
		f.code, f.next = exitUnreachable, "is the broker at "+o.stomp.address()+" running? --url names another"
	}
	return f
}

func benchVerdict(cmd *cobra.Command, r *load.Result) error {
	if n := r.Faults(); n > 0 {
		return &failure{code: exitFailure, what: fmt.Sprintf("the broker failed the check: %d lost, %d duplicates, %d out of order", r.Lost, r.Duplicates, r.Disorder)}
	}
	if r.Interrupted {
		return canceled(cmd.Context(), "the figures are of the part that was run")
	}
	return nil
}

// benchReport is what `bench -o json` prints.
type benchReport struct {
	*load.Result
	Repeat string `json:"repeat"`
}

func printBench(cmd *cobra.Command, o *benchOptions, r *load.Result) error {
	repeat := o.commandLine()
	check := "not checked: nothing was received"
	if r.Checked {
		check = fmt.Sprintf("%d lost, %d duplicates, %d out of order, %d redelivered, %d of earlier loads",
			r.Lost, r.Duplicates, r.Disorder, r.Redelivered, r.Foreign)
	}
	cells := []string{
		string(r.Mode), fmt.Sprintf("%d, %d confirmed, in %.3f s", r.Sent, r.Confirmed, r.SendSeconds),
		fmt.Sprintf("%.0f msg/s, %.2f MB/s", r.SendRate, r.SendMBps),
		fmt.Sprintf("%d in %.3f s", r.Received, r.RecvSeconds),
		fmt.Sprintf("%.0f msg/s, %.2f MB/s", r.RecvRate, r.RecvMBps),
		latencyText(r.Receipt), latencyText(r.EndToEnd), check, repeat,
	}
	columns := []string{"mode", "sent", "send rate", "received", "receive rate", "send to receipt", "send to message", "check", "repeat"}
	if f := outputFormat(cmd); f == formatCSV {
		columns, cells = benchCSV(r, repeat)
	}
	return printOne(cmd, columns, record{value: benchReport{r, repeat}, cells: cells, name: repeat})
}

func latencyText(l load.Latency) string {
	if l.Count == 0 {
		return "-"
	}
	return fmt.Sprintf("p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f ms", l.P50, l.P90, l.P99, l.P999, l.Max)
}

// benchCSV is one row of plain numbers, to be gathered over many runs.
func benchCSV(r *load.Result, repeat string) (columns, cells []string) {
	add := func(name string, v any) {
		columns = append(columns, name)
		cells = append(cells, fmt.Sprint(v))
	}
	add("mode", r.Mode)
	add("sent", r.Sent)
	add("confirmed", r.Confirmed)
	add("received", r.Received)
	add("sendRate", int64(r.SendRate))
	add("recvRate", int64(r.RecvRate))
	for _, l := range []struct {
		name string
		load.Latency
	}{{"receiptMs", r.Receipt}, {"endToEndMs", r.EndToEnd}} {
		add(l.name+".p50", l.P50)
		add(l.name+".p90", l.P90)
		add(l.name+".p99", l.P99)
		add(l.name+".p999", l.P999)
		add(l.name+".max", l.Max)
	}
	add("lost", r.Lost)
	add("duplicates", r.Duplicates)
	add("disorder", r.Disorder)
	add("repeat", repeat)
	return columns, cells
}

// commandLine is the command that runs the same load again. Passwords are left out.
func (o *benchOptions) commandLine() string {
	l := &o.load
	words := []string{"treadmq", "bench", quoteShell(l.Destination), "--url", quoteShell(hidePasscode(o.stomp.address()))}
	add := func(flag, v string) { words = append(words, "--"+flag, quoteShell(v)) }
	if o.stomp.user != "" {
		add("user", o.stomp.user)
	}
	if o.stomp.passwordFile != "" {
		add("password-file", o.stomp.passwordFile)
	}
	if o.stomp.caFile != "" {
		add("ca-file", o.stomp.caFile)
	}
	add("mode", string(l.Mode))
	add("producers", strconv.Itoa(l.Producers))
	add("consumers", strconv.Itoa(l.Consumers))
	add("destinations", strconv.Itoa(l.Destinations))
	add("size", strconv.Itoa(l.Size))
	words = append(words, "--persistent="+strconv.FormatBool(l.Persistent))
	add("ack", l.Ack)
	add("window", strconv.Itoa(l.Window))
	add("prefetch", strconv.Itoa(l.Prefetch))
	add("rate", strconv.FormatFloat(l.Rate, 'f', -1, 64))
	add("count", strconv.FormatInt(l.Count, 10))
	add("duration", l.Duration.String())
	add("idle", l.Idle.String())
	for _, h := range l.Headers {
		add("header", h.Name+"="+h.Value)
	}
	return strings.Join(words, " ")
}

// quoteShell makes one word of a text for a POSIX shell.
func quoteShell(s string) string {
	plain := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:=,+@%", r))
	}
	if s != "" && strings.IndexFunc(s, plain) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// hidePasscode leaves the passcode out of an address that has one.
func hidePasscode(address string) string {
	u, err := failover.ParseURL(address)
	if err != nil {
		return address
	}
	for _, a := range u.Addresses {
		if a.Passcode != "" {
			return u.String()
		}
	}
	return address
}
