package main

import (
	"encoding/csv"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// benchArgs make a short run that is still more than one window.
func benchArgs(dest string, more ...string) []string {
	return append([]string{"bench", dest, "-n", "3000", "--window", "50", "--idle", "5s"}, more...)
}

func TestBenchFindsNoFault(t *testing.T) {
	b := theBroker(t)
	for name, args := range map[string][]string{
		"both":           benchArgs("b1"),
		"many":           benchArgs("b2", "--producers", "3", "--consumers", "3", "--destinations", "5"),
		"client":         benchArgs("b3", "--ack", "client", "--prefetch", "10"),
		"auto":           benchArgs("b4", "--ack", "auto"),
		"non-persistent": benchArgs("b5", "--persistent=false"),
		"no receipts":    benchArgs("b6", "--window", "0"),
		"fill-drain":     benchArgs("b7", "--mode", "fill-drain"),
		"rate":           benchArgs("b8", "--rate", "20000"),
		"topic":          benchArgs("/topic/b9", "--consumers", "3"),
		"headers":        benchArgs("b10", "-H", "a=b c"),
	} {
		t.Run(name, func(t *testing.T) {
			var r benchReport
			decode(t, b.run(t, "", append(args, "--json")...).want(t, 0).stdout, &r)
			want := int64(3000)
			if name == "topic" {
				want *= 3
			}
			if !r.Checked || r.Faults() != 0 || r.Confirmed != 3000 || r.Received != want {
				t.Errorf("%+v", r.Result)
			}
			if l := r.EndToEnd; l.Count != want || l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max {
				t.Errorf("%+v", l)
			}
			if name != "no receipts" && (r.Receipt.Count != 3000 || r.SendRate <= 0 || r.RecvMBps <= 0) {
				t.Errorf("%+v", r.Result)
			}
		})
	}
}

// The line that a run prints must run, and print the same line.
func TestBenchPrintsTheLineThatRepeatsIt(t *testing.T) {
	b := theBroker(t)
	secret := filepath.Join(t.TempDir(), "pass word")
	os.WriteFile(secret, []byte(b.password+"\n"), 0o600)
	o := call{args: benchArgs("repeat", "--size", "100", "-H", "note=it's $HOME", "--json", "--url", b.url(), "--user", "admin", "--password-file", secret)}.run(t).want(t, 0)
	var first, second benchReport
	decode(t, o.stdout, &first)
	if strings.Contains(first.Repeat, b.password) {
		t.Error("the line holds the password")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", first.Repeat+" --json")
	cmd.Env = []string{"PATH=" + filepath.Dir(program)}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", first.Repeat, err)
	}
	decode(t, string(out), &second)
	if first.Repeat != second.Repeat || second.Confirmed != 3000 {
		t.Errorf("%s\n%s", first.Repeat, second.Repeat)
	}
}

func TestBenchFormats(t *testing.T) {
	b := theBroker(t)
	table := b.run(t, "", benchArgs("f1")...).want(t, 0).stdout
	for _, want := range []string{"send rate ", " msg/s, ", "MB/s", "p50 ", "p99.9 ", "0 lost, 0 duplicates, 0 out of order", "treadmq bench /queue/f1 "} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(b.run(t, "", benchArgs("f2", "-o", "csv")...).want(t, 0).stdout)).ReadAll()
	if err != nil || len(rows) != 2 || len(rows[0]) != len(rows[1]) || rows[1][1] != "3000" {
		t.Errorf("%v %v", rows, err)
	}
}

func TestBenchLeavesOtherMessagesAlone(t *testing.T) {
	b := theBroker(t)
	b.run(t, "", "send", "mine", "-b", "an order").want(t, 0)
	b.run(t, "", benchArgs("mine")...).want(t, exitData).says(t, "not of a load")
	eventually(t, "the order coming back", func() bool {
		return strings.Contains(b.run(t, "", "recv", "mine", "-n", "0", "--timeout", "300ms").stdout, "an order")
	})
}

// Messages that an interrupted run left behind are no fault of the next.
func TestBenchAfterAFill(t *testing.T) {
	b := theBroker(t)
	b.run(t, "", benchArgs("filled", "--mode", "fill")...).want(t, 0)
	var r benchReport
	decode(t, b.run(t, "", benchArgs("filled", "--json")...).want(t, 0).stdout, &r)
	if r.Foreign != 3000 || r.Received != 3000 || r.Faults() != 0 {
		t.Errorf("%+v", r.Result)
	}
	b.run(t, "", benchArgs("filled", "--mode", "fill")...).want(t, 0)
	decode(t, b.run(t, "", "bench", "filled", "--mode", "drain", "--idle", "1s", "--json").want(t, 0).stdout, &r)
	if r.Received != 3000 || r.Faults() != 0 || !r.Checked {
		t.Errorf("%+v", r.Result)
	}
}

func TestBenchInterrupted(t *testing.T) {
	b := theBroker(t)
	cmd := call{args: []string{"bench", "stopped", "--duration", "1h", "--rate", "500", "--json"}, env: b.env()}.command(t.Context())
	out, errs := &lockedBuffer{}, &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.awaitTraffic(t, "stopped")
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait()
	var r benchReport
	decode(t, out.String(), &r)
	if cmd.ProcessState.ExitCode() != 130 || !r.Checked || !r.Interrupted || r.Faults() != 0 || r.Received == 0 || r.Received != r.Confirmed {
		t.Errorf("exit code %d %+v %s", cmd.ProcessState.ExitCode(), r.Result, errs)
	}
}

// awaitTraffic waits until a queue has had messages.
func (b *runningBroker) awaitTraffic(t *testing.T, queue string) {
	t.Helper()
	eventually(t, "traffic on "+queue, func() bool {
		var q struct{ Dequeued int64 }
		o := b.run(t, "", "queue", "show", queue, "-o", "json")
		if o.code == 0 {
			decode(t, o.stdout, &q)
		}
		return q.Dequeued > 100
	})
}

func TestQuoteShell(t *testing.T) {
	for _, s := range []string{"plain/word", "", "a b", "it's", "$HOME", "a\nb", "*", "ü", `\`, "(x)?a=b&c"} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+quoteShell(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q came as %q: %v", s, out, err)
		}
	}
}
