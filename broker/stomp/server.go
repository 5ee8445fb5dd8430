package stomp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// Server is the STOMP front end: any number of listeners and their connections.
type Server struct {
	opts    Options
	log     *slog.Logger
	budget  *frame.Budget
	beats   beats
	started time.Time
	epoch   uint64 // of the broker's store since this start, see connNumber
	stats   Stats
	refusal chan struct{} // a place for each connection that is being told that it is one too many

	mu        sync.Mutex // guards what follows
	listeners map[net.Listener]ListenerOptions
	sessions  map[*session]struct{}
	byAddr    map[netip.Addr]int
	byUser    map[string]int // connections of each user
	byPort    map[string]int // and of each listener, by its name
	gone      sync.Cond      // on mu: a session or an accept loop ended
	accepting int            // accept loops
	closed    bool
}

// Stats counts what happened since the server was made.
type Stats struct {
	Accepted atomic.Uint64 // connections let in
	Rejected atomic.Uint64 // connections over a limit
	Refused  atomic.Uint64 // logins
	Errors   atomic.Uint64 // ERROR frames that ended a connection
	Dropped  atomic.Uint64 // messages for temporary destinations that were gone
}

// ListenerOptions describe one listener.
type ListenerOptions struct {
	Name        string // for logs and the registry; default its address
	TLSRequired bool   // refuse clients that do not use TLS
	WebSocket   bool   // take STOMP over WebSocket too, found by the first bytes a client sends
	// Dialect settles what brokers contradict each other in.
	Dialect Dialect
	// PathSeparator is a character that clients may write for the dot in names of destinations; 0 is none.
	PathSeparator byte
	// Origins of web pages that may connect by WebSocket besides those of the same host: "https://shop.example.com",
	// with * for any part of it, or "*" alone for all.
	Origins []string
	// ProxyProtocol takes clients from a proxy that says who they are before their own bytes, and nobody else: PROXY
	// protocol, version 1 or 2. Whoever can connect to such a listener can claim any address.
	ProxyProtocol bool
	// MaxConnections is the most connections of this listener at a time; 0: as many as the server takes.
	MaxConnections int
	// Compress offers permessage-deflate to clients of WebSocket, for messages of 512 bytes and more. RFC 7692.
	Compress bool
}

// ErrStopped is what Serve returns when its listener was closed by Stop, Shutdown or Close.
var ErrStopped = errors.New("stomp: listener stopped")

// New makes a server. It listens to nothing before Serve.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	srv := &Server{
		opts: o, log: o.Logger, started: time.Now(), epoch: uint64(o.Broker.StoreStats().Epoch), refusal: make(chan struct{}, maxRefusals),
		budget:    frame.NewBudget(frame.BudgetOptions{Bytes: o.UnfinishedLimit}),
		listeners: make(map[net.Listener]ListenerOptions),
		sessions:  make(map[*session]struct{}),
		byAddr:    make(map[netip.Addr]int),
		byUser:    make(map[string]int),
		byPort:    make(map[string]int),
	}
	srv.gone.L = &srv.mu
	srv.beats.clock = srv.clock
	return srv, nil
}

// clock is milliseconds since the server was made.
func (srv *Server) clock() int64 { return time.Since(srv.started).Milliseconds() }

// Stats returns the counters.
func (srv *Server) Stats() *Stats { return &srv.stats }

// Connections returns the number of open connections.
func (srv *Server) Connections() int {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return len(srv.sessions)
}

// Stop closes all listeners, tells every client why, and waits until the last connection has ended or ctx is done; then
// it closes the remaining sockets and waits for their goroutines. Afterwards Serve may be called again, for instance
// when mastership returns.
func (srv *Server) Stop(ctx context.Context, why error) error {
	srv.mu.Lock()
	for l := range srv.listeners {
		_ = l.Close() // Serve sees it
	}
	clear(srv.listeners)
	for s := range srv.sessions {
		s.Kill(why)
	}
	srv.mu.Unlock()
	stop := context.AfterFunc(ctx, srv.cut)
	defer stop()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for len(srv.sessions) > 0 || srv.accepting > 0 {
		srv.gone.Wait()
	}
	return ctx.Err()
}

// cut closes every socket.
func (srv *Server) cut() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for s := range srv.sessions {
		_ = s.raw.Close() // its goroutine sees it
	}
}

// Shutdown is Stop for good, with the words for a broker that goes away.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.mu.Lock()
	srv.closed = true
	srv.mu.Unlock()
	err := srv.Stop(ctx, broker.Errorf(broker.CodeClosing, "the broker is shutting down; connect again later or to another broker"))
	srv.beats.close()
	return err
}

// Close ends everything at once.
func (srv *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := srv.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
