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
	"treadmq/conf/realm"
	"treadmq/store"
	"treadmq/store/local"
)

// Times of a node's life.
const (
	shutdownGrace = 10 * time.Second // for clients to take their last frames
	realmPoll     = 2 * time.Second
)

// node is a running broker with everything around it, in the order in which it
// is started; it is stopped in the reverse order.
type node struct {
	flags    *serverFlags
	cfg      *conf.Config
	log      *slog.Logger
	reopen   func()
	users    *users
	names    atomic.Pointer[realm.Names] // of client certificates
	tls      *reloadingTLS
	webTLS   *reloadingTLS
	seq      atomic.Uint64 // of the stores and the broker
	store    *local.Store  // of a broker that stands alone
	current  atomic.Pointer[service]
	member   *member // nil for a broker that stands alone
	console  webConsole
	state    *runState
	started  time.Time
	serving  sync.WaitGroup
	failed   chan error // something ended by itself
	stopping atomic.Bool
	policies atomic.Pointer[func(broker.Destination) broker.Policy]
	inForce  atomic.Pointer[conf.Config] // what the console shows: cfg, or what was reloaded of it
}

// runServer runs a broker in the foreground until a signal ends it, or its store fails.
func runServer(ctx context.Context, cfg *conf.Config, f *serverFlags) error {
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
	steps := []func() error{n.openUsers, n.openTLS, n.prepare, n.openAlone, n.openConsole, n.announce}
	if n.cfg.Replicated.Enabled {
		steps = []func() error{n.openUsers, n.openTLS, n.prepare, n.openConsole, n.openMember, n.announce}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes what every node has.
func (n *node) prepare() error {
	n.inForce.Store(n.cfg)
	fn := policies(n.cfg)
	n.policies.Store(&fn)
	if n.cfg.Replicated.Enabled {
		n.member = &member{n: n}
	}
	n.state = &runState{PID: os.Getpid(), Start: processStart(os.Getpid()), Version: version, Data: absolute(n.cfg.Data)}
	return nil
}

// openAlone opens the store and serves clients on it.
func (n *node) openAlone() error {
	opt, err := n.storeOptions(filepath.Join(n.cfg.Data, "store"))
	if err != nil {
		return err
	}
	opt.OnGroup = onGroup(&n.current)
	if n.store, err = openPatiently(opt); err != nil {
		return openError(err)
	}
	s, err := n.openService(n.store, 0)
	if err != nil {
		return err
	}
	n.current.Store(s)
	n.authorize()
	n.state.Stomp = s.addresses()
	return nil
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
	switch {
	case errors.Is(err, store.ErrLocked):
		return exitError(exitTryAgain, "%v", err)
	case errors.Is(err, store.ErrCorrupt):
		return exitError(exitData, "%v", err)
	}
	return exitError(exitNoInput, "%v", err)
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, exitError(73, "cannot listen on %s: %v; give another address, port 0 takes a free one", addr, err)
	}
	return l, nil
}

// serve runs a listener; its end before it is stopped is a failure of the node.
func (n *node) serve(running *sync.WaitGroup, what string, run func() error) {
	running.Add(1)
	go func() {
		defer running.Done()
		if err := run(); err != nil && !errors.Is(err, stomp.ErrStopped) {
			select {
			case n.failed <- fmt.Errorf("%s: %w", what, err):
			default:
			}
		}
	}()
}

// announce tells people and the service manager that the broker runs: clients are
// taken, or this member takes part in its group.
func (n *node) announce() error {
	n.state.Warnings = n.warnings()
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
	var storeFailed <-chan struct{}
	if n.store != nil {
		storeFailed = n.store.Failed()
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
		case <-storeFailed:
			return exitError(74, "the store failed, so the broker ends before anything is acknowledged that is not safe: %v", n.store.Stats().Failed)
		case <-reload:
			n.reload()
		case <-poll.C:
			n.refreshUsers()
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
	whole := true
	wrong := func(what string, err error) {
		whole = false
		n.log.Error("reload: "+what, "err", err)
	}
	cfg, err := n.flags.load()
	if err != nil {
		wrong("the configuration is not usable, so the old one stays", err)
	} else {
		fn := policies(cfg)
		n.policies.Store(&fn)
		n.inForce.Store(cfg)
		if s := n.current.Load(); s != nil {
			s.reload(cfg, fn)
		}
	}
	n.refreshUsers()
	if err := n.readCertUsers(); err != nil {
		wrong("the users of certificates stay as they were", err)
	}
	for _, t := range []*reloadingTLS{n.tls, n.webTLS, n.member.certificates()} {
		if err := t.reload(); err != nil {
			wrong("certificates stay as they were", err)
		}
	}
	if whole {
		n.log.Info("reloaded")
	} else {
		n.log.Warn("reloaded in part: what was wrong stays as it was")
	}
}

var errStopping = broker.Errorf(broker.CodeClosing, "the broker is shutting down; connect again later or to another broker")

// stop undoes start, in reverse order, as far as it got.
func (n *node) stop() {
	n.stopping.Store(true)
	daemon.SdNotify(false, daemon.SdNotifyStopping)
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	if n.member != nil {
		n.member.close(ctx)
	}
	if n.console != nil {
		if err := n.console.Shutdown(ctx); err != nil {
			n.log.Warn("some console requests were cut off", "err", err)
		}
	}
	if s := n.current.Load(); s != nil {
		s.close(ctx, errStopping)
	}
	n.serving.Wait()
	if n.store != nil {
		if err := n.store.Close(); err != nil {
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
	if err := n.readCertUsers(); err != nil {
		return exitError(78, "stomp.tls.certUsers: %v", err)
	}
	if n.tls, err = loadTLS(c.Cert, c.Key, c.ClientCA, c.ClientAuth, c.MinVersion); err != nil {
		return exitError(78, "stomp.tls: %v", err)
	}
	w := n.cfg.Console.TLS
	if n.webTLS, err = loadTLS(w.Cert, w.Key, "", "", ""); err != nil {
		return exitError(78, "console.tls: %v", err)
	}
	return nil
}
