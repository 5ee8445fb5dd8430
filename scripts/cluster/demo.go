//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"treadmq/ha/failover"
	"treadmq/scripts/internal/group"
)

const demoQueue = "/queue/demo"

// demonstrate sends messages, kills the master amid them, and receives them all.
func demonstrate(ctx context.Context, binary string, messages int) (err error) {
	if messages < 10 {
		return errors.New("--messages must be 10 or more")
	}
	dir, err := os.MkdirTemp("", "treadmq-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			fmt.Fprintln(os.Stderr, "logs are kept in", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	path, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	fmt.Println("starting ZooKeeper and three brokers")
	g, err := group.Start(ctx, group.Options{Binary: path, Dir: dir})
	if err != nil {
		return err
	}
	defer g.Stop()
	first, err := g.Master(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("broker %s is master\n", first.Name)
	if err := sendThroughFailure(ctx, g, first, messages); err != nil {
		return err
	}
	second, err := g.Master(ctx)
	if err != nil {
		return err
	}
	if second == first {
		return errors.New("the broker that was killed is master")
	}
	fmt.Printf("broker %s is master now; receiving\n", second.Name)
	if err := receiveAll(ctx, g, messages); err != nil {
		return err
	}
	if err := first.Start(); err != nil {
		return err
	}
	role, err := first.Await(ctx, "follower")
	if err != nil {
		return err
	}
	fmt.Printf("broker %s is back, as a %s\n", first.Name, role)
	return nil
}

func dial(ctx context.Context, g *group.Group) (*failover.Conn, error) {
	u, err := failover.ParseURL(g.URL("?initialReconnectDelay=20&maxReconnectDelay=200"))
	if err != nil {
		return nil, err
	}
	return failover.Dial(ctx, u, failover.Options{})
}

// sendThroughFailure sends numbered messages, each until its receipt came, and kills
// the master when a third of them is acknowledged.
func sendThroughFailure(ctx context.Context, g *group.Group, master *group.Member, messages int) error {
	c, err := dial(ctx, g)
	if err != nil {
		return err
	}
	defer c.Close()
	var acknowledged atomic.Int64
	results := make(chan error, messages)
	killed := make(chan time.Time, 1)
	for i := range messages {
		c.SendAsync(ctx, demoQueue, "text/plain", []byte(strconv.Itoa(i)), func(err error) {
			if err == nil && acknowledged.Add(1) == int64(messages/3) {
				go func() {
					at := time.Now()
					master.Kill()
					fmt.Printf("killed broker %s with SIGKILL; %d of %d messages were acknowledged\n", master.Name, acknowledged.Load(), messages)
					killed <- at
				}()
			}
			results <- err
		})
	}
	for range messages {
		if err := <-results; err != nil {
			return fmt.Errorf("a message was not acknowledged: %w", err)
		}
	}
	fmt.Printf("all %d messages are acknowledged, %v after the kill\n", messages, time.Since(<-killed).Round(time.Millisecond))
	return nil
}

// receiveAll receives until every number came, and checks that there is nothing else.
func receiveAll(ctx context.Context, g *group.Group, messages int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := dial(ctx, g)
	if err != nil {
		return err
	}
	defer c.Close()
	sub, err := c.Subscribe(ctx, demoQueue, failover.AckClientIndividual)
	if err != nil {
		return err
	}
	seen := make([]int, messages)
	for distinct, twice := 0, 0; distinct < messages; {
		m, err := sub.Receive(ctx)
		if err != nil {
			return fmt.Errorf("%d of %d messages came, then: %w", distinct, messages, err)
		}
		n, err := strconv.Atoi(string(m.Body))
		if err != nil || n < 0 || n >= messages {
			return fmt.Errorf("nobody sent %q", m.Body)
		}
		if seen[n]++; seen[n] == 1 {
			distinct++
		} else {
			twice++
		}
		if err := m.Ack(ctx); err != nil {
			return err
		}
		if distinct == messages {
			fmt.Printf("all %d messages arrived, %d of them twice\n", messages, twice)
		}
	}
	return nil
}
