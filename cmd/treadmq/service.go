package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"treadmq/broker"
	"treadmq/broker/stomp"
	"treadmq/store"
	"treadmq/store/local"
	"treadmq/store/vfs"
)

// service is the broker on an open store, with its listeners: as long as the process
// for a broker that stands alone, as long as a mastership for a member of a group.
type service struct {
	n      *node
	store  *local.Store
	temp   *local.Store
	broker *broker.Broker
	stomp  *stomp.Server
	// listeners are those of STOMP, in the order of the configuration.
	listeners []net.Listener
	serving   sync.WaitGroup
}

// storeOptions are those of the durable store.
func (n *node) storeOptions(dir string) (local.Options, error) {
	c := n.cfg.Store
	if err := os.MkdirAll(n.cfg.Data, 0o755); err != nil {
		return local.Options{}, exitError(73, "the data folder cannot be made: %v", err)
	}
	opt := local.Options{
		Seq: &n.seq, Dir: dir, Logger: n.log,
		SegmentSize: int64(c.SegmentSize), TailLimit: int64(c.TailLimit), CheckpointInterval: c.CheckpointInterval,
		SlowSync: orNever(c.SlowSync), CompactBelow: c.CompactBelow, CompactRate: int64(c.CompactRate),
		DiskReserve: int64(c.DiskReserve), MinFree: int64(c.MinFreeDisk), IndexCache: int(c.IndexCache),
	}
	if opt.CompactBelow == 0 {
		opt.CompactBelow = -1 // never; the store's 0 is its default
	}
	if n.flags.fault != "" {
		hook, err := vfs.ParseFault(n.flags.fault)
		if err != nil {
			return opt, exitError(exitUsage, "%v", err)
		}
		opt.FS = vfs.NewFaults(vfs.OS{}, hook)
	}
	return opt, nil
}

// openService starts broker and listeners on a store. epoch is 0 for a broker that
// stands alone. After an error nothing is open.
func (n *node) openService(st *local.Store, epoch store.Epoch) (*service, error) {
	s := &service{n: n, store: st}
	for _, step := range []func() error{s.openTemp, s.openBroker, func() error { return s.openStomp(epoch) }} {
		if err := step(); err != nil {
			ctx, cancel := context.WithTimeout(context.Background(), deposeGrace) // some clients may be there
			defer cancel()
			s.close(ctx, errors.New("the broker could not be started"))
			return nil, err
		}
	}
	return s, nil
}

// openTemp opens the store of what does not outlive the broker, empty.
func (s *service) openTemp() error {
	opt, err := s.n.storeOptions(filepath.Join(s.n.cfg.Data, "temp"))
	if err != nil {
		return err
	}
	opt.FS, opt.Temporary, opt.DiskReserve = nil, true, 0
	if s.temp, err = local.Open(opt); err != nil {
		return openError(err)
	}
	return nil
}

// openBroker starts the core on the stores.
func (s *service) openBroker() error {
	n, c := s.n, s.n.inForce.Load()
	fn, routes := policies(c), routing(c)
	n.policies.Store(&fn)
	b, err := broker.New(broker.Options{
		Store: s.store, Temp: s.temp, Sequence: &n.seq, Node: c.BrokerName, Policy: fn, Routing: &routes, Now: n.flags.clock(),
		MemoryLimit: int64(c.Memory.Limit), StoreLimit: int64(c.Store.StoreUsage), TempLimit: int64(c.Store.TempUsage), MaxTransactions: c.Stomp.MaxTransactions, MaxTxOps: c.Stomp.MaxTransactionOps,
		MaxTxBytes: int64(c.Stomp.MaxTransactionBytes), MaxDelayed: c.Memory.QueueDelayed, Trash: trashLimits(c), Where: n.where, Logger: n.log,
	})
	if err != nil {
		return openError(err)
	}
	s.broker = b
	s.authorize()
	return nil
}

func (s *service) openStomp(epoch store.Epoch) error {
	n, c := s.n, s.n.cfg.Stomp
	srv, err := stomp.New(stomp.Options{
		Broker: s.broker, Auth: n.users, Anonymous: n.cfg.AnonymousAllowed(), TLS: n.tls.config(), CertUser: certUser(c.TLS.CertUser), CertOnly: c.TLS.CertOnly, CertUsers: n.certUsers(),
		ServerHeader: serverHeader(c.ServerHeader, epoch), MaxBody: int64(c.MaxBody), MaxHeaderLine: int(c.MaxHeaderLine), MaxHeaders: c.MaxHeaders,
		MaxConnections: c.MaxConnections, MaxConnectionsPerAddress: c.MaxConnectionsPerAddress, MaxConnectionsPerUser: c.MaxConnectionsPerUser, MaxSubscriptions: c.MaxSubscriptions,
		ConnectTimeout: c.ConnectTimeout, WriteTimeout: c.WriteTimeout, OutboundLimit: int(c.OutboundLimit),
		UnfinishedLimit: int64(c.UnfinishedLimit), HeartBeatMin: c.HeartBeatMin, HeartBeatMax: c.HeartBeatMax,
		Current: n.member.current(), Cluster: n.member.cluster(s), SoftErrors: c.ErrorPolicy == "soft", ClientIDConflict: conflict[c.ClientIDConflict], Logger: n.log,
	})
	if err != nil {
		return err
	}
	s.stomp = srv
	listeners, options := n.cfg.Listeners(), listenerOptions(n.inForce.Load())
	for _, at := range listeners[:min(len(listeners), len(options))] { // a reload may have changed how many; addresses are those of the start
		l, err := listen(at.Address)
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, l)
	}
	for i, l := range s.listeners {
		o := options[i]
		o.Name = l.Addr().String()
		n.serve(&s.serving, "STOMP listener "+listeners[i].Address, func() error { return srv.Serve(l, o) })
	}
	return nil
}

// addresses are those that the listeners are bound to.
func (s *service) addresses() []string {
	var all []string
	for _, l := range s.listeners {
		all = append(all, l.Addr().String())
	}
	return all
}

// close cuts the clients, with time to take their last frames until ctx ends, and
// stops the broker. The durable store stays open; nothing uses it any more.
func (s *service) close(ctx context.Context, why error) {
	if s.stomp != nil {
		if err := s.stomp.Stop(ctx, why); err != nil {
			s.n.log.Warn("some connections were cut off", "err", err)
		}
		if err := s.stomp.Close(); err != nil {
			s.n.log.Warn("the STOMP listeners did not end in order", "err", err)
		}
	}
	for _, l := range s.listeners {
		_ = l.Close() // mostly it is closed already
	}
	s.serving.Wait()
	if s.broker != nil {
		s.broker.Close(time.Second)
	}
	if s.temp != nil {
		if err := s.temp.Close(); err != nil {
			s.n.log.Error("the store of temporary destinations did not close in order", "err", err)
		}
	}
}

// onGroup tells the broker of a group of commits, when there is one.
func onGroup(b *atomic.Pointer[service]) func() {
	return func() {
		if s := b.Load(); s != nil {
			s.broker.OnGroup()
		}
	}
}

func certUser(s string) string {
	if s == "none" {
		return ""
	}
	return s
}

// serverHeader is the server header of CONNECTED. A master's has its epoch as a comment
// (STOMP 1.2, CONNECTED), so that people and tests can tell masters apart.
func serverHeader(s string, epoch store.Epoch) string {
	if s == "" {
		s = "TreadMQ/" + version
	}
	if epoch != 0 {
		s += fmt.Sprintf(" epoch=%d", epoch)
	}
	return s
}
