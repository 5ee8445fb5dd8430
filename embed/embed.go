package embed

import (
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"treadmq/broker"
	"treadmq/broker/stomp"
	"treadmq/store/local"
	"treadmq/store/vfs"
)

// Options shape a broker. All fields may be left zero.
type Options struct {
	// Dir keeps messages over restarts; its layout is that of the server's data folder. Empty: everything is in memory.
	Dir string
	// MaxMemory bounds what a store in memory takes, in bytes; sends are refused (store-full) beyond. It has no meaning
	// with Dir. Default 256 MiB.
	MaxMemory int64
	// Listen is the address of the STOMP and WebSocket port, port 0 a free one. Default 127.0.0.1:0.
	Listen string
	// NoPort opens no port: clients come by Dial only. Then all waiting is of a kind that testing/synctest knows.
	NoPort bool
	// Users are names and passwords; nil lets everybody in, with any login or none.
	Users map[string]string
	// TLS is offered on the port besides plain connections.
	TLS *tls.Config
	// Dialect settles what brokers contradict each other in; default ActiveMQ's.
	Dialect stomp.Dialect
	// Policy returns what holds for a destination; default broker.DefaultPolicy for all.
	Policy func(broker.Destination) broker.Policy
	// Logger gets what a server would log; default nothing.
	Logger *slog.Logger
}

// Broker is a running broker. Its methods may be called from any goroutine.
type Broker struct {
	core   *broker.Broker
	ready  atomic.Pointer[broker.Broker] // the core, for the store's goroutine
	server *stomp.Server
	main   *local.Store
	temp   *local.Store
	memory *pipeListener
	addr   string

	serving sync.WaitGroup
	once    sync.Once
	closed  error // of Close
}

// Sizes of a store in memory: small steps, so that space comes back soon.
const (
	defaultMaxMemory = 256 << 20
	memorySegment    = 4 << 20
	closeGrace       = time.Second
)

// Start starts a broker. The caller closes it.
func Start(o Options) (*Broker, error) {
	b := &Broker{memory: newPipeListener()}
	if err := b.start(&o); err != nil {
		return nil, errors.Join(fmt.Errorf("start an embedded broker: %w", err), b.Close())
	}
	return b, nil
}

func (b *Broker) start(o *Options) error {
	seq := new(atomic.Uint64)
	if err := b.openStores(o, seq); err != nil {
		return err
	}
	core, err := broker.New(broker.Options{Store: b.main, Temp: b.temp, Sequence: seq, Policy: o.Policy, Logger: o.Logger})
	if err != nil {
		return err
	}
	b.core = core
	b.ready.Store(core)
	so := stomp.Options{Broker: core, Anonymous: o.Users == nil, TLS: o.TLS, Logger: o.Logger}
	if o.Users != nil {
		so.Auth = users(o.Users)
	}
	if b.server, err = stomp.New(so); err != nil {
		return err
	}
	b.serve(b.memory, o)
	if o.NoPort {
		return nil
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return err
	}
	b.addr = l.Addr().String()
	b.serve(l, o)
	return nil
}

// openStores opens the store of queues and the one for what memory has no room for.
func (b *Broker) openStores(o *Options, seq *atomic.Uint64) (err error) {
	opt := local.Options{Seq: seq, Logger: o.Logger}
	if o.Dir == "" {
		if o.MaxMemory <= 0 {
			o.MaxMemory = defaultMaxMemory
		}
		fs := vfs.NewMem()
		fs.SetLimit(o.MaxMemory)
		opt.FS, opt.BootID, opt.SegmentSize, opt.MaxPending = fs, "memory", memorySegment, memorySegment
		opt.DiskReserve, opt.MinFree = min(3*memorySegment, o.MaxMemory/4), memorySegment/4
	}
	main := opt
	main.Dir, main.OnGroup = filepath.Join(o.Dir, "store"), b.onGroup
	if b.main, err = local.Open(main); err != nil {
		return err
	}
	opt.Dir, opt.Temporary, opt.DiskReserve = filepath.Join(o.Dir, "temp"), true, 0
	b.temp, err = local.Open(opt)
	return err
}

// onGroup is called when something was committed, the first time perhaps while the core is being made.
func (b *Broker) onGroup() {
	if core := b.ready.Load(); core != nil {
		core.OnGroup()
	}
}

func (b *Broker) serve(l net.Listener, o *Options) {
	b.serving.Add(1)
	go func() {
		defer b.serving.Done()
		_ = b.server.Serve(l, stomp.ListenerOptions{Dialect: o.Dialect, WebSocket: true}) // ends with Close
	}()
}

// users are names and passwords in the clear.
type users map[string]string

// Authenticate is stomp.Authenticator.
func (u users) Authenticate(user, password, _ string) (bool, string, time.Duration) {
	want, known := u[user]
	same := subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 1
	return known && same, user, 0
}

// Addr is the port's host:port, "" without a port.
func (b *Broker) Addr() string { return b.addr }

// URL is the port's address as clients write it, stomp://host:port, "" without a port.
func (b *Broker) URL() string { return b.url("stomp://") }

// WebSocketURL is the same for clients that speak STOMP over WebSocket: ws://host:port/ws.
func (b *Broker) WebSocketURL() string {
	if b.addr == "" {
		return ""
	}
	return b.url("ws://") + "/ws"
}

func (b *Broker) url(scheme string) string {
	if b.addr == "" {
		return ""
	}
	return scheme + b.addr
}

// Dial connects in memory. What is written waits for the broker to read it, so a client that reads and writes in turn
// works, as all client libraries do.
func (b *Broker) Dial() (net.Conn, error) { return b.memory.dial() }

// Depth is the number of messages of a queue, those that a consumer holds included; 0 if there is no such queue.
func (b *Broker) Depth(queue string) int64 {
	i, err := b.core.Queue(broker.Destination{Kind: broker.Queue, Name: queue})
	if err != nil {
		return 0
	}
	return i.Messages
}

// Disconnect ends every connection with an ERROR that says why, as an operator would, and returns how many there were:
// for tests of what a client does then.
func (b *Broker) Disconnect(why string) int {
	n := 0
	for _, c := range b.core.Connections() {
		if b.core.Kill(c.Serial, why) {
			n++
		}
	}
	return n
}

// Core is the broker itself, for everything else: its queues, policies and figures.
func (b *Broker) Core() *broker.Broker { return b.core }

// Close ends the broker and waits for all of it. What is in memory is gone. It may be called again.
func (b *Broker) Close() error {
	b.once.Do(func() { b.closed = b.close() })
	return b.closed
}

func (b *Broker) close() error {
	var errs []error
	if b.server != nil {
		errs = append(errs, b.server.Close())
	}
	errs = append(errs, b.memory.Close())
	b.serving.Wait()
	if b.core != nil {
		b.core.Close(closeGrace)
	}
	for _, st := range []*local.Store{b.temp, b.main} {
		if st != nil {
			errs = append(errs, st.Close())
		}
	}
	return errors.Join(errs...)
}
