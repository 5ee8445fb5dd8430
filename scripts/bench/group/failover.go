//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"treadmq/ha/failover"
	"treadmq/scripts/internal/group"
)

// failoverTimes kills the master again and again, under a client that sends one message
// after the other, and measures from before the kill to the first receipt after the process was gone.
func failoverTimes(ctx context.Context, binary, dir string, session time.Duration, kills int) error {
	g, err := start(ctx, binary, dir, session)
	if err != nil {
		return err
	}
	defer g.Stop()
	u, err := failover.ParseURL(g.URL("?initialReconnectDelay=10&maxReconnectDelay=100"))
	if err != nil {
		return err
	}
	c, err := failover.Dial(ctx, u, failover.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	s := &sender{conn: c, receipts: make(chan time.Time)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.send(ctx)
	var times []time.Duration
	for range kills {
		took, err := s.kill(ctx, g)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, g.Logs())
		}
		times = append(times, took)
	}
	printTimes(fmt.Sprintf("kill -9 of the master to the first receipt, zkSessionTimeout %v", session), times)
	return nil
}

// sender sends all the time and tells when receipts came, once it is asked.
type sender struct {
	conn     *failover.Conn
	wanted   atomic.Bool
	receipts chan time.Time
}

func (s *sender) send(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.conn.Send(ctx, "/queue/bench", "", []byte("x"), failover.H("persistent", "true"))
		if now := time.Now(); err == nil && s.wanted.Swap(false) {
			s.receipts <- now
		}
	}
}

// kill kills the master, waits for a receipt, and brings the member back.
func (s *sender) kill(ctx context.Context, g *group.Group) (time.Duration, error) {
	m, err := g.Master(ctx)
	if err != nil {
		return 0, err
	}
	for _, x := range g.Members {
		if x != m {
			if _, err := x.Await(ctx, "follower"); err != nil {
				return 0, err
			}
		}
	}
	time.Sleep(time.Duration(rand.Int64N(int64(time.Second)))) // the moment of the kill is what is measured
	began := time.Now()
	m.Kill()
	s.wanted.Store(true)
	select {
	case at := <-s.receipts:
		return at.Sub(began), m.Start()
	case <-time.After(time.Minute):
		return 0, fmt.Errorf("no receipt within a minute of the kill of %s", m.Name)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
