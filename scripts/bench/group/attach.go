//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"treadmq/ha/failover"
	"treadmq/scripts/internal/group"
)

// attachSize is the size of the messages that fill the store, in bytes.
const attachSize = 4096

// attach fills a group's store, wipes a follower's disk and measures how long a producer that awaits each
// receipt waits: before, and while the follower gets its copy.
func attach(ctx context.Context, binary, dir string, megabytes int) error {
	g, err := start(ctx, binary, dir, 6*time.Second)
	if err != nil {
		return err
	}
	defer g.Stop()
	m, err := g.Master(ctx)
	if err != nil {
		return err
	}
	count := megabytes << 20 / attachSize
	if _, err := bench(binary, m.Stomp, load{"fill", []string{"--mode", "fill", "--producers", "4", "--window", "200", "--size", strconv.Itoa(attachSize), "--count", strconv.Itoa(count)}}); err != nil {
		return err
	}
	if _, err := uses(g); err != nil {
		return err
	}
	u, err := failover.ParseURL(g.URL(""))
	if err != nil {
		return err
	}
	c, err := failover.Dial(ctx, u, failover.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	quiet, err := waits(ctx, c, func() bool { return false }, 10*time.Second)
	if err != nil {
		return err
	}
	printTimes("a receipt, before", quiet)
	wiped := g.Members[0]
	if wiped == m {
		wiped = g.Members[1]
	}
	return whileAttaching(ctx, c, wiped)
}

// whileAttaching measures while a member on an empty disk catches up.
func whileAttaching(ctx context.Context, c *failover.Conn, wiped *group.Member) error {
	wiped.Kill()
	if err := os.RemoveAll(filepath.Join(wiped.Dir, "data")); err != nil {
		return err
	}
	began := time.Now()
	if err := wiped.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		_, err := wiped.Await(ctx, "follower")
		done <- err
	}()
	var failed error
	times, err := waits(ctx, c, func() bool {
		select {
		case failed = <-done:
			return true
		default:
			return false
		}
	}, time.Minute)
	if err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	printTimes(fmt.Sprintf("a receipt, in the %.1f s in which a member with an empty disk got its copy and its place", time.Since(began).Seconds()), times)
	return nil
}

// waits sends one message after the other until it is enough, or the time is over, and returns how long each waited for its receipt.
func waits(ctx context.Context, c *failover.Conn, enough func() bool, most time.Duration) ([]time.Duration, error) {
	var times []time.Duration
	for end := time.Now().Add(most); time.Now().Before(end) && !enough(); {
		began := time.Now()
		if err := c.Send(ctx, "/queue/attach", "", make([]byte, 256), failover.H("persistent", "true")); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}
