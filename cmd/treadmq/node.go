package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"treadmq/broker"
	"treadmq/broker/stomp"
	"treadmq/conf"
	"treadmq/store"
	"treadmq/store/local"
	"treadmq/store/vfs"
)

// Times of a node's life.
const (
	shutdownGrace = 10 * time.Second // for clients to take their last frames
	realmPoll     = 2 * time.Second
)

// node is a running broker with everything around it, in the order in which it
// is started; it is stopped in the reverse order.
type node struct {
	flags   *serverFlags
	cfg     *conf.Config
	log     *slog.Logger
	reopen  func()
	users   *users
	tls     *reloadingTLS
	webTLS  *reloadingTLS
	store   *local.Store
	temp    *local.Store
	broker  *broker.Broker
	current atomic.Pointer[broker.Broker] // nil while the store replays
	stomp   *stomp.Server
	console *console
	state   *runState
	// listeners are those of STOMP, in the order of the configuration.
	listeners []net.Listener
	started   time.Time
	serving   sync.WaitGroup
	failed    chan error // a listener ended by itself
	stopping  atomic.Bool
	policies  atomic.Pointer[func(broker.Destination) broker.Policy]
	inForce   atomic.Pointer[conf.Config] // what the console shows: cfg, or what was reloaded of it
}

// runServer runs a broker in the foreground until a signal ends it, or its store fails.
func runServer(ctx context.Context, cfg *conf.Config, f *serverFlags) error {
	if cfg.Replicated.Enabled {
		return exitError(exitConfig, "[persistence.replicatedLevelDB]: this program cannot be a member of a group; take the section away to run a broker alone")
	}
	log, reopen, closeLog := openLog(cfg.Log)
	defer closeLog()
	n := &node{flags: f, cfg: cfg, log: log, reopen: reopen, started: time.Now(), failed: make(chan error, 16)}
	if s, alive, err := readRunState(cfg.Data); err == nil && alive {
		return exitError(1, "a broker runs on %s already, as process %d; stop it first or give another --data", s.Data, s.PID)
	}
	ctx, cancel := signal.NotifyContext(ctx, stopSignals...)
	defer cancel()
	defer paceHeap(int64(cfg.Memory.Limit) + heapSpare)()
	if err := n.start(); err != nil {
		n.stop()
		return err
	}
	defer watchStopFile(cfg.Data, cancel)()
	err := n.wait(ctx)
	n.stop()
	return err
}

func (n *node) start() error {
	for _, step := range []func() error{n.openUsers, n.openTLS, n.openStore, n.openStomp, n.openConsole, n.announce} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// openStore opens the durable store and, empty, the temporary one.
func (n *node) openStore() error {
	c := n.cfg.Store
	if err := os.MkdirAll(n.cfg.Data, 0o755); err != nil {
		return exitError(73, "the data folder cannot be made: %v", err)
	}
	seq := new(atomic.Uint64)
	opt := local.Options{
		Seq: seq, Dir: filepath.Join(n.cfg.Data, "store"), Logger: n.log,
		SegmentSize: int64(c.SegmentSize), TailLimit: int64(c.TailLimit), CheckpointInterval: c.CheckpointInterval,
		SlowSync: orNever(c.SlowSync), CompactBelow: c.CompactBelow, CompactRate: int64(c.CompactRate),
		DiskReserve: int64(c.DiskReserve), MinFree: int64(c.MinFreeDisk), IndexCache: int(c.IndexCache),
		OnGroup: func() {
			if b := n.current.Load(); b != nil {
				b.OnGroup()
			}
		},
	}
	if opt.CompactBelow == 0 {
		opt.CompactBelow = -1 // never; the store's 0 is its default
	}
	if n.flags.fault != "" {
		hook, err := vfs.ParseFault(n.flags.fault)
		if err != nil {
			return exitError(exitUsage, "%v", err)
		}
		opt.FS = vfs.NewFaults(vfs.OS{}, hook)
	}
	st, err := openPatiently(opt)
	if err != nil {
		return openError(err)
	}
	n.store = st
	opt.FS = nil
	opt.Dir, opt.Temporary, opt.OnGroup, opt.DiskReserve = filepath.Join(n.cfg.Data, "temp"), true, nil, 0
	if n.temp, err = local.Open(opt); err != nil {
		return openError(err)
	}
	return n.openBroker(seq)
}

// lockPatience is for the lock of a process that was killed a moment ago.
const lockPatience = 3 * time.Second

func openPatiently(opt local.Options) (*local.Store, error) {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(pollInterval) {
		st, err := local.Open(opt)
		if !errors.Is(err, store.ErrLocked) || time.Now().After(deadline) {
			return st, err
		}
	}
}

// orNever turns 0, which means never in the configuration, into a time that is not reached.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return 1<<63 - 1
	}
	return d
}

func openError(err error) error {
	if errors.Is(err, store.ErrLocked) {
		return exitError(75, "%v", err)
	}
	return exitError(66, "%v", err)
}

// openBroker starts the core on the stores.
func (n *node) openBroker(seq *atomic.Uint64) error {
	c := n.cfg.Stomp
	fn := policies(n.cfg)
	n.policies.Store(&fn)
	routes := routing(n.cfg)
	n.inForce.Store(n.cfg)
	b, err := broker.New(broker.Options{
		Store: n.store, Temp: n.temp, Sequence: seq, Node: n.cfg.BrokerName, Policy: fn, Routing: &routes, Now: n.flags.clock(),
		MemoryLimit: int64(n.cfg.Memory.Limit), MaxTransactions: c.MaxTransactions, MaxTxOps: c.MaxTransactionOps,
		MaxTxBytes: int64(c.MaxTransactionBytes), MaxDelayed: n.cfg.Memory.QueueDelayed, Logger: n.log,
	})
	if err != nil {
		return exitError(66, "%v", err)
	}
	n.broker = b
	n.current.Store(b)
	return nil
}

func (n *node) openStomp() error {
	c := n.cfg.Stomp
	srv, err := stomp.New(stomp.Options{
		Broker: n.broker, Auth: n.users, Anonymous: n.cfg.AnonymousAllowed(), TLS: n.tls.config(), CertUser: certUser(c.TLS.CertUser),
		ServerHeader: serverHeader(c.ServerHeader), MaxBody: int64(c.MaxBody), MaxHeaderLine: int(c.MaxHeaderLine), MaxHeaders: c.MaxHeaders,
		MaxConnections: c.MaxConnections, MaxConnectionsPerAddress: c.MaxConnectionsPerAddress, MaxSubscriptions: c.MaxSubscriptions,
		ConnectTimeout: c.ConnectTimeout, WriteTimeout: c.WriteTimeout, OutboundLimit: int(c.OutboundLimit),
		UnfinishedLimit: int64(c.UnfinishedLimit), HeartBeatMin: c.HeartBeatMin, HeartBeatMax: c.HeartBeatMax,
		SoftErrors: c.ErrorPolicy == "soft", StealClientID: c.ClientIDConflict == "steal", Logger: n.log,
	})
	if err != nil {
		return err
	}
	n.stomp = srv
	n.state = &runState{PID: os.Getpid(), Start: processStart(os.Getpid()), Version: version, Data: absolute(n.cfg.Data)}
	for i, o := range listenerOptions(n.cfg) {
		addr := n.cfg.Listeners()[i].Address
		l, err := listen(addr)
		if err != nil {
			return err
		}
		n.state.Stomp = append(n.state.Stomp, l.Addr().String())
		n.listeners = append(n.listeners, l)
		o.Name = l.Addr().String()
		n.serve("STOMP listener "+addr, func() error { return srv.Serve(l, o) })
	}
	return nil
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func certUser(s string) string {
	if s == "none" {
		return ""
	}
	return s
}

func serverHeader(s string) string {
	if s == "" {
		return "TreadMQ/" + version
	}
	return s
}

func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, exitError(73, "cannot listen on %s: %v; give another address, port 0 takes a free one", addr, err)
	}
	return l, nil
}

// serve runs a listener; its end before stop is a failure of the node.
func (n *node) serve(what string, run func() error) {
	n.serving.Add(1)
	go func() {
		defer n.serving.Done()
		if err := run(); err != nil && !errors.Is(err, stomp.ErrStopped) {
			select {
			case n.failed <- fmt.Errorf("%s: %w", what, err):
			default:
			}
		}
	}()
}

// announce tells people and the service manager that clients are taken.
func (n *node) announce() error {
	if err := n.state.write(); err != nil {
		return exitError(73, "the run file cannot be written: %v", err)
	}
	n.state.print(os.Stdout)
	n.log.Info("ready", "version", version, "stomp", strings.Join(n.state.Stomp, " "), "console", n.state.Console, "data", n.cfg.Data, "pid", n.state.PID)
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		n.log.Warn("the service manager was not told", "err", err)
	}
	return nil
}

// wait returns when the node has to stop.
func (n *node) wait(ctx context.Context) error {
	reload := make(chan os.Signal, 1)
	if len(reloadSignals) > 0 {
		signal.Notify(reload, reloadSignals...)
		defer signal.Stop(reload)
	}
	watchdog := time.NewTicker(watchdogInterval())
	defer watchdog.Stop()
	poll := time.NewTicker(realmPoll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			n.log.Info("stopping")
			return nil
		case err := <-n.failed:
			return exitError(70, "%v", err)
		case <-n.store.Failed():
			return exitError(74, "the store failed, so the broker ends before anything is acknowledged that is not safe: %v", n.store.Stats().Failed)
		case <-reload:
			n.reload()
		case <-poll.C:
			n.users.refresh(n.log)
		case <-watchdog.C:
			daemon.SdNotify(false, daemon.SdNotifyWatchdog)
		}
	}
}

func watchdogInterval() time.Duration {
	if d, err := daemon.SdWatchdogEnabled(false); err == nil && d > 0 {
		return d / 2
	}
	return time.Hour
}

// reload takes up what may change while the broker runs: policies, users,
// certificates, the log file. What is wrong is logged and the old stays.
func (n *node) reload() {
	n.reopen()
	cfg, err := n.flags.load()
	if err != nil {
		n.log.Error("reload: the configuration is not usable, so the old one stays", "err", err)
	} else {
		fn := policies(cfg)
		n.policies.Store(&fn)
		n.inForce.Store(cfg)
		n.broker.SetPolicy(fn)
		if err := n.broker.SetRouting(routing(cfg)); err != nil {
			n.log.Error("reload: the forwards stay as they were", "err", err)
		}
		n.reloadListeners(cfg)
	}
	n.users.refresh(n.log)
	for _, t := range []*reloadingTLS{n.tls, n.webTLS} {
		if err := t.reload(); err != nil {
			n.log.Error("reload: certificates stay as they were", "err", err)
		}
	}
	n.log.Info("reloaded")
}

// stop undoes start, in reverse order, as far as it got.
func (n *node) stop() {
	n.stopping.Store(true)
	daemon.SdNotify(false, daemon.SdNotifyStopping)
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	if n.console != nil {
		if err := n.console.shutdown(ctx); err != nil {
			n.log.Warn("some console requests were cut off", "err", err)
		}
	}
	if n.stomp != nil {
		if err := n.stomp.Shutdown(ctx); err != nil {
			n.log.Warn("some connections were cut off", "err", err)
		}
	}
	n.serving.Wait()
	if n.broker != nil {
		n.broker.Close(time.Second)
	}
	for _, st := range []*local.Store{n.temp, n.store} {
		if st == nil {
			continue
		}
		if err := st.Close(); err != nil {
			n.log.Error("the store did not close in order; the next start repairs it", "err", err)
		}
	}
	if n.state != nil {
		os.Remove(n.state.path())
	}
	n.log.Info("stopped")
}

func (n *node) openTLS() (err error) {
	c := n.cfg.Stomp.TLS
	if n.tls, err = loadTLS(c.Cert, c.Key, c.ClientCA, c.ClientAuth, c.MinVersion); err != nil {
		return exitError(78, "stomp.tls: %v", err)
	}
	w := n.cfg.Console.TLS
	if n.webTLS, err = loadTLS(w.Cert, w.Key, "", "", ""); err != nil {
		return exitError(78, "console.tls: %v", err)
	}
	return nil
}
