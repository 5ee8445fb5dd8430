//go:build faults && linux

package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"treadmq/ha/failover"
	"treadmq/scripts/internal/history"
)

// client is a failover client that knows which broker it is connected to.
type client struct {
	*failover.Conn
	log   *history.Recorder
	queue string // that it consumes from, for the record of lost connections
	epoch atomic.Uint64
	conns atomic.Int64 // number of the connection
}

// connections gives every connection of every client a number of its own.
var connections atomic.Int64

// dial connects a client; window is how many messages it may have without receipts.
func dial(ctx context.Context, w *world, queue, id string, window int) (*client, error) {
	return dialOnce(ctx, w, queue, id, window, false)
}

// dialOnce is dial; with once, messages have ids by which the broker recognises what is sent again.
func dialOnce(ctx context.Context, w *world, queue, id string, window int, once bool) (*client, error) {
	u, err := failover.ParseURL(w.url())
	if err != nil {
		return nil, err
	}
	c := &client{log: w.log, queue: queue}
	c.Conn, err = failover.Dial(ctx, u, failover.Options{
		Login: login, Passcode: passcode, ClientID: id, HeartBeat: time.Second, Window: window, DedupID: once,
		DialContext: c.open, OnInterrupted: func(string, error) { c.interrupted() },
	})
	return c, err
}

// interrupted notes that what the client held goes back.
func (c *client) interrupted() {
	if c.queue != "" {
		c.log.Add(history.Event{Kind: history.Lost, Key: history.Key{Queue: c.queue}, Epoch: c.epoch.Load()})
	}
}

// open opens a connection that tells the epoch of the broker at its other end. The client has one connection at a time.
func (c *client) open(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &sniffer{Conn: raw, client: c}, nil
}

// sniffer looks at the first frame that comes.
type sniffer struct {
	net.Conn
	client *client
	head   []byte
	done   bool
}

func (s *sniffer) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if !s.done {
		s.head = append(s.head, p[:n]...)
		if i := bytes.IndexByte(s.head, 0); i >= 0 {
			s.connected(string(s.head[:i]))
			s.done, s.head = true, nil
		}
	}
	return n, err
}

func (s *sniffer) connected(frame string) {
	if !strings.HasPrefix(strings.TrimLeft(frame, "\r\n"), "CONNECTED") {
		return
	}
	for line := range strings.SplitSeq(frame, "\n") {
		if server, ok := strings.CutPrefix(line, "server:"); ok {
			s.client.epoch.Store(parseEpoch(server))
		}
	}
	s.client.conns.Store(connections.Add(1))
}

// parseEpoch reads the epoch in the comment of a server header; 0 if there is none.
func parseEpoch(server string) uint64 {
	for word := range strings.FieldsSeq(server) {
		if text, ok := strings.CutPrefix(word, "epoch="); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
			return n
		}
	}
	return 0
}

// event is one of this client's, over its present connection.
func (c *client) event(kind history.Kind, k history.Key) history.Event {
	return history.Event{Kind: kind, Key: k, Epoch: c.epoch.Load(), Conn: int(c.conns.Load())}
}

// since is an event that ends what began then.
func (c *client) since(began time.Duration, kind history.Kind, k history.Key) history.Event {
	e := c.event(kind, k)
	e.Began = began
	return e
}

// refused records an ERROR that nothing explains. Those that a full disk or a broker that stops explains are none.
func (c *client) refused(what string, err error) {
	var e *failover.ServerError
	if !errors.As(err, &e) {
		return
	}
	switch e.Code {
	case "not-master", "closing", "store-full", "in-use":
		return
	}
	c.log.Add(history.Event{Kind: history.Refused, Note: fmt.Sprintf("%s: %v", what, err)})
}
