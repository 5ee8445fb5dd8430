package ha

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"treadmq/ha/coord"
	"treadmq/ha/replica"
	"treadmq/store"
	"treadmq/store/local"
)

// Feature is the newest format of the journal that this program writes and understands.
const Feature = 1

// Defaults of [Options].
const (
	DefaultGroup        = "default"
	DefaultRetain       = 512 << 20 // bytes of the journal's end that are kept for members that were away
	DefaultSnapshotRate = 64 << 20  // bytes per second
)

// Options of a member. Names in parentheses are those of the configuration.
type Options struct {
	Group      string           // one segment of a path; default DefaultGroup
	BrokerName string           // the same on all members (brokerName)
	Name       string           // this member's own, unique in the group; default: the address of its replication port
	Bind       string           // where the replication port listens: tcp://host:port, port 0 takes a free one (bind)
	Hostname   string           // by which the others reach it; default: Bind's host, or this machine's name (hostname)
	Replicas   int              // places for voters in a group that this member founds; default 3 (replicas)
	Weight     int              // among members with the same log the highest becomes master (weight)
	Sync       replica.SyncMode // when a batch is committed; default replica.QuorumDisk (sync)

	// Token is shown by both sides of each connection, as an HMAC (securityToken). Without
	// one, and without TLS with client certificates, whoever reaches the port can join.
	Token []byte
	// TLSServer and TLSClient encrypt the replication port: both or neither. TLSClient is asked for each
	// connection that is dialled, so that it may follow certificates and authorities that change.
	TLSServer *tls.Config
	TLSClient func() *tls.Config

	Coordinator coord.Coordinator // ha/zk, or coord.Memory for a group of one and for tests

	// Store says where the member's store is. Gate and OnGroup are the member's own.
	// Retain defaults to DefaultRetain.
	Store local.Options
	// SnapshotRate bounds what a master sends of snapshots, over all members, in bytes per
	// second. Default DefaultSnapshotRate; negative: no bound.
	SnapshotRate int64

	// Clients and Console are published: where clients and people reach this member.
	Clients []string
	Console string
	// Serve makes the service of a master on its store: the broker and the ports of clients.
	// An error ends the member, so that another takes over. What the service appends before
	// Serve returns is followed by one OnGroup.
	Serve func(s *local.Store, epoch store.Epoch) (Service, error)

	// Replace lets a master give the place of a voter whose disk was lost to the empty
	// member that came back with its name.
	Replace bool
	// StopOnLoss ends mastership when the session with the coordination service is lost,
	// as ActiveMQ did. Default: master and quorum go on.
	StopOnLoss bool

	Timing replica.Timing // zero durations are those of replica.DefaultTiming
	Log    *slog.Logger   // default: nothing
}

// Service is what serves clients while a member is master.
type Service interface {
	// OnGroup is called on the store's commit goroutine after each group of commits.
	OnGroup()
	// Hold says whether to stop reading from producers: no quorum answers. It must not block long.
	Hold(on bool)
	// Stop cuts all clients. From the moment it is called nothing can be acknowledged any
	// more; when it returns nothing uses the store. The reason is for people.
	Stop(reason string)
}

// complete checks the options and fills in defaults.
func (o *Options) complete() error {
	if o.Group == "" {
		o.Group = DefaultGroup
	}
	if o.Replicas == 0 {
		o.Replicas = 3
	}
	if o.Sync == 0 {
		o.Sync = replica.QuorumDisk
	}
	o.Timing = o.Timing.OrDefault()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Store.Logger == nil {
		o.Store.Logger = o.Log
	}
	if o.Store.Retain == 0 {
		o.Store.Retain = DefaultRetain
	}
	if o.SnapshotRate == 0 {
		o.SnapshotRate = DefaultSnapshotRate
	}
	switch {
	case strings.ContainsAny(o.Group, "/\x00") || o.Group == "." || o.Group == ".." || len(o.Group) > 255:
		return fmt.Errorf("group %q: use a name of one path segment", o.Group)
	case o.BrokerName == "" || len(o.BrokerName) > replica.MaxName:
		return errors.New("brokerName is missing or too long: give the same name on all members of the group")
	case len(o.Name) > replica.MaxName || len(o.Hostname) > replica.MaxName:
		return fmt.Errorf("a name of the member has more than %d bytes", replica.MaxName)
	case o.Replicas < 1 || o.Replicas > replica.MaxVoters:
		return fmt.Errorf("replicas is %d: 1 to %d are possible, and an odd number is useful", o.Replicas, replica.MaxVoters)
	case o.Coordinator == nil:
		return errors.New("no coordination service is given")
	case o.Serve == nil:
		return errors.New("no service is given")
	case (o.TLSServer == nil) != (o.TLSClient == nil):
		return errors.New("TLS of the replication port needs a configuration for both sides")
	}
	return nil
}

// bindAddress returns host:port of a bind option.
func bindAddress(bind string) (string, error) {
	if bind == "" {
		bind = "tcp://0.0.0.0:0"
	}
	addr, ok := strings.CutPrefix(bind, "tcp://")
	if !ok && strings.Contains(bind, "://") {
		return "", fmt.Errorf("bind %q: only tcp:// is possible, as in tcp://0.0.0.0:0", bind)
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return "", fmt.Errorf("bind %q: give tcp://host:port, port 0 takes a free one: %w", bind, err)
	}
	return addr, nil
}

// publicAddress is where the other members reach the replication port.
func publicAddress(hostname string, bound net.Addr) (string, error) {
	host, port, err := net.SplitHostPort(bound.String())
	if err != nil {
		return "", err
	}
	if hostname != "" {
		return net.JoinHostPort(hostname, port), nil
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
		return net.JoinHostPort(host, port), nil
	}
	if host, err = os.Hostname(); err != nil {
		return "", fmt.Errorf("this machine's name is not known, set hostname: %w", err)
	}
	return net.JoinHostPort(host, port), nil
}

// dialTimeout bounds the way from a dial to the end of the handshake.
const dialTimeout = time.Second
