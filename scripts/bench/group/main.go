//go:build linux

// Command group measures a replicated group of three brokers on loopback, against one
// ZooKeeper:
//
//	go run ./scripts/bench/group failover     kill -9 of the master to the first receipt of a failover client
//	go run ./scripts/bench/group throughput   messages per second, beside a single broker in the same run
//	go run ./scripts/bench/group attach       how long receipts take while a member with an empty disk gets a copy
//
// Both need bin/treadmq, which make build makes, and ZooKeeper: scripts/deps.sh zookeeper.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"treadmq/scripts/internal/group"
)

const (
	user     = "bench"
	password = "bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "group:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	binary := flag.String("binary", "bin/treadmq", "the broker's program")
	kills := flag.Int("kills", 50, "failover: for each session time-out")
	sessions := flag.String("sessions", "6s,30s", "failover: values of zkSessionTimeout")
	rounds := flag.Int("rounds", 3, "throughput: runs of each load")
	messages := flag.Int("messages", 200_000, "throughput: of the load with windows")
	megabytes := flag.Int("megabytes", 300, "attach: of messages in the store")
	what := ""
	if len(os.Args) > 1 {
		what = os.Args[1]
		if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
			return err
		}
	}
	path, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "treadmq-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	said, err := exec.Command(path, "version").Output()
	if err != nil {
		return fmt.Errorf("%s: %w; run make build", path, err)
	}
	version, _, _ := strings.Cut(string(said), "\n")
	fmt.Printf("# %s, %d cores, %s\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), version)
	switch what {
	case "failover":
		for text := range strings.SplitSeq(*sessions, ",") {
			session, err := time.ParseDuration(text)
			if err == nil {
				err = failoverTimes(ctx, path, filepath.Join(dir, text), session, *kills)
			}
			if err != nil {
				return err
			}
		}
		return nil
	case "throughput":
		return throughput(ctx, path, dir, *rounds, *messages)
	case "attach":
		return attach(ctx, path, dir, *megabytes)
	}
	return errors.New("say what to measure: failover, throughput or attach")
}

// start starts a group whose consoles know our user.
func start(ctx context.Context, binary, dir string, session time.Duration) (*group.Group, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	realm := filepath.Join(dir, "realm")
	if err := os.WriteFile(realm, []byte(user+": "+password+",admin\n"), 0o600); err != nil {
		return nil, err
	}
	return group.Start(ctx, group.Options{
		Binary: binary, Dir: dir, Realm: realm, TickTime: 2 * time.Second, // sessions up to 40 s
		Set: []string{"persistence.replicatedLevelDB.zkSessionTimeout=" + session.String()},
	})
}

// median and worst of sorted values.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func printTimes(what string, times []time.Duration) {
	slices.Sort(times)
	fmt.Printf("%s: %d times, median %.4g s, p99 %.4g s, worst %.4g s\n", what, len(times),
		quantile(times, 0.5).Seconds(), quantile(times, 0.99).Seconds(), times[len(times)-1].Seconds())
}
