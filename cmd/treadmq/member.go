package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"treadmq/admin"
	"treadmq/broker"
	"treadmq/conf"
	"treadmq/ha"
	"treadmq/ha/replica"
	"treadmq/ha/zk"
	"treadmq/store"
	"treadmq/store/local"
)

// deposeGrace is for clients to take their last frames when mastership ends.
const deposeGrace = 500 * time.Millisecond

// member is this broker's part in a replicated group. The broker and its listeners
// are there while it is master; the process and the console are there all the time.
type member struct {
	n       *node
	tls     *reloadingTLS // of the replication port; nil: plain
	node    atomic.Pointer[ha.Node]
	holding atomic.Bool // no quorum answers
	cancel  context.CancelFunc
	done    chan struct{} // closed when Run has returned
}

// certificates are those of the replication port, nil if there are none.
func (m *member) certificates() *reloadingTLS {
	if m == nil {
		return nil
	}
	return m.tls
}

// current says whether this member may still hand out messages; nil for a broker that
// stands alone.
func (m *member) current() func() bool {
	if m == nil {
		return nil
	}
	return func() bool {
		node := m.node.Load()
		return node != nil && node.Current()
	}
}

// cluster makes the header x-cluster: where clients of a listener reach the members at their listener of the same place in
// the list. nil for a broker that stands alone.
func (m *member) cluster(s *service) func(listener string) string {
	if m == nil {
		return nil
	}
	return func(listener string) string {
		node := m.node.Load()
		at := slices.IndexFunc(s.listeners, func(l net.Listener) bool { return l.Addr().String() == listener })
		if node == nil || at < 0 {
			return ""
		}
		var all []string
		for _, addresses := range node.Clients() {
			if at >= len(addresses) {
				continue
			}
			if host, port, err := net.SplitHostPort(addresses[at]); err == nil && host != "" {
				all = append(all, host+"/"+port)
			}
		}
		return strings.Join(all, ",")
	}
}

// openMember opens the replicated store and takes part in the group.
func (n *node) openMember() error {
	m := n.member
	if err := n.tryListeners(); err != nil {
		return err
	}
	m.warn()
	o, err := m.options()
	if err != nil {
		return err
	}
	node, err := newPatiently(o)
	if err != nil {
		return openError(err)
	}
	m.node.Store(node)
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.done = cancel, make(chan struct{})
	n.state.Stomp, n.state.Replication = o.Clients, node.Addr().String()
	go func() {
		defer close(m.done)
		if err := node.Run(ctx); err != nil {
			n.failed <- fmt.Errorf("this member of the group cannot go on: %w", err)
		}
	}()
	return nil
}

// warn tells of what works and is hardly meant.
func (m *member) warn() {
	r := &m.n.cfg.Replicated
	elsewhere := func(address string) bool { return !conf.Loopback(address) }
	if r.ZKPassword == "" && slices.ContainsFunc(r.ZKAddress, elsewhere) {
		m.n.log.Warn("zkPassword is empty: whoever reaches ZooKeeper can change this group")
	}
	if elsewhere(r.BindAddress()) && !slices.ContainsFunc(m.n.cfg.Listeners(), func(l conf.Listener) bool { return elsewhere(l.Address) }) {
		m.n.log.Warn("all addresses of stomp.listen are on loopback: clients on other machines cannot follow a failover to this one")
	}
}

// newPatiently waits a little for the lock of a process that was killed a moment ago.
func newPatiently(o ha.Options) (*ha.Node, error) {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(pollInterval) {
		node, err := ha.New(o)
		if !errors.Is(err, store.ErrLocked) || time.Now().After(deadline) {
			return node, err
		}
	}
}

// tryListeners finds out at the start, not at a failover, that an address is taken.
func (n *node) tryListeners() error {
	for _, c := range n.cfg.Listeners() {
		l, err := listen(c.Address)
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// options are those of the configuration.
func (m *member) options() (ha.Options, error) {
	n, r := m.n, &m.n.cfg.Replicated
	sync, err := replica.ParseSync(r.Sync)
	if err != nil {
		return ha.Options{}, exitError(exitConfig, "%v", err)
	}
	coordinator, err := zk.New(zk.Options{Servers: r.ZKAddress, Path: r.ZKPath, Group: r.Group, Password: r.ZKPassword, Timeout: r.ZKSessionTimeout, Log: n.log})
	if err != nil {
		return ha.Options{}, exitError(exitConfig, "%v", err)
	}
	st, err := n.storeOptions(n.cfg.ReplicatedDir())
	if err != nil {
		return ha.Options{}, err
	}
	o := ha.Options{
		Group: r.Group, BrokerName: n.cfg.BrokerName, Name: r.Name, Bind: r.Bind, Hostname: r.Hostname, Replicas: r.Replicas, Weight: r.Weight,
		Sync: sync, Token: []byte(r.SecurityToken), Coordinator: coordinator, Store: st, SnapshotRate: int64(r.SnapshotRate), Serve: m.serve,
		Replace: r.ReplaceWiped, StopOnLoss: r.ZKLoss == "stop", Log: n.log,
	}
	if o.SnapshotRate == 0 {
		o.SnapshotRate = -1 // no bound; the group's 0 is its default
	}
	if o.TLSServer, o.TLSClient, err = m.openTLS(); err != nil {
		return o, exitError(exitConfig, "persistence.replicatedLevelDB.tls: %v", err)
	}
	host, err := publicHost(r.Hostname)
	if err != nil {
		return o, exitError(exitConfig, "%v", err)
	}
	for _, l := range n.cfg.Listeners() {
		o.Clients = append(o.Clients, published(host, l.Address))
	}
	if before, after, ok := strings.Cut(n.state.Console, "://"); ok {
		address, path, _ := strings.Cut(after, "/")
		if at, _, err := net.SplitHostPort(n.cfg.Console.Listen); err == nil && unspecified(at) {
			address = net.JoinHostPort(host, portOf(address))
		}
		o.Console = before + "://" + address + "/" + path
	}
	return o, nil
}

func publicHost(hostname string) (string, error) {
	if hostname != "" {
		return hostname, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("this machine's name is not known (%w): set persistence.replicatedLevelDB.hostname", err)
	}
	return host, nil
}

// published is how others reach what listens on address.
func published(host, address string) string {
	at, port, err := net.SplitHostPort(address)
	if err != nil || !unspecified(at) {
		return address
	}
	return net.JoinHostPort(host, port)
}

func unspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// openTLS makes both sides of the replication port. Members check each other; both sides follow reloads.
func (m *member) openTLS() (server *tls.Config, client func() *tls.Config, err error) {
	c := m.n.cfg.Replicated.TLS
	if m.tls, err = loadTLS(c.Cert, c.Key, c.CA, "need", "1.3"); m.tls == nil || err != nil {
		return nil, nil, err
	}
	return m.tls.config(), func() *tls.Config {
		own := m.tls.current.Load()
		return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: own.ClientCAs,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own.Certificates[0], nil }}
	}, nil
}

// serve opens the broker of a mastership.
func (m *member) serve(st *local.Store, epoch store.Epoch) (ha.Service, error) {
	s, err := m.n.openService(st, epoch)
	if err != nil {
		return nil, err
	}
	m.holding.Store(false)
	if err := m.showBroker(s.broker); err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), deposeGrace)
		defer cancel()
		s.close(ctx, err)
		return nil, err
	}
	m.n.current.Store(s)
	m.n.authorize()
	m.notify(fmt.Sprintf("master, epoch %d", epoch))
	return &mastership{m, s}, nil
}

// showBroker puts a broker behind the console, or takes it away.
func (m *member) showBroker(b *broker.Broker) error {
	if w, ok := m.n.console.(*admin.Switch); ok {
		return w.SetBroker(b)
	}
	return nil
}

// notify tells the service manager what this member does.
func (m *member) notify(status string) {
	if _, err := daemon.SdNotify(false, "STATUS="+status); err != nil {
		m.n.log.Warn("the service manager was not told", "err", err)
	}
}

// mastership is a service as the group wants it.
type mastership struct {
	m *member
	*service
}

// OnGroup implements ha.Service.
func (s *mastership) OnGroup() { s.broker.OnGroup() }

// Hold implements ha.Service. Connections stop reading by themselves, each when
// stomp.outboundLimit of what it sent is on its way, and the store takes no more than
// its bound of what is not committed. What is left to do is to say so.
func (s *mastership) Hold(on bool) { s.m.holding.Store(on) }

// Stop implements ha.Service.
func (s *mastership) Stop(reason string) {
	s.n.current.CompareAndSwap(s.service, nil)
	ctx, cancel := context.WithTimeout(context.Background(), deposeGrace)
	defer cancel()
	var hidden sync.WaitGroup
	hidden.Go(func() {
		if err := s.m.showBroker(nil); err != nil {
			s.n.log.Error("the console still shows the broker", "err", err)
		}
	})
	s.close(ctx, broker.Errorf(broker.CodeNotMaster, "this broker is not the master of its group any more (%s); connect to another one", reason))
	hidden.Wait()
	s.m.notify("not master: " + reason)
}

// close leaves the group, with a handover if this member is master.
func (m *member) close(ctx context.Context) {
	if m.cancel == nil {
		return
	}
	m.cancel()
	select {
	case <-m.done:
	case <-ctx.Done():
		m.n.log.Warn("the group was not left in order; the others find out by themselves")
	}
}
