package conf

import (
	"errors"
	"fmt"
	"net"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Replicated is section [persistence.replicatedLevelDB]: this broker is a member of
// a replicated group. Keys have the names of ActiveMQ's attributes.
type Replicated struct {
	Enabled bool // the section, or a key of it, is there

	Directory        string // empty: see Config.ReplicatedDir
	Replicas         int
	Bind             string   // tcp://host:port
	Hostname         string   // empty: the machine's
	Name             string   // empty: hostname and port of replication
	Group            string   // a segment of a ZooKeeper path
	ZKAddress        []string // host:port
	ZKPassword       string
	ZKPath           string
	ZKSessionTimeout time.Duration
	ZKLoss           string // serve, stop
	Sync             string // modes with commas between them
	Weight           int
	SecurityToken    string
	ReplaceWiped     bool
	SnapshotRate     Size // bytes a second; 0: as fast as it goes
	TLS              ReplicatedTLS
}

// ReplicatedTLS is section [persistence.replicatedLevelDB.tls]. Members check each
// other's certificates against CA.
type ReplicatedTLS struct {
	Cert string // path of PEM; empty: plain
	Key  string
	CA   string
}

const (
	replicatedSection = "persistence.replicatedLevelDB"
	replicatedDir     = "replicated" // below Data, when Directory is empty
	bindScheme        = "tcp://"
	maxReplicas       = 7
	maxSecret         = 1024
)

// ReplicatedDir is the directory of the replicated store.
func (c *Config) ReplicatedDir() string {
	if d := c.Replicated.Directory; d != "" {
		return d
	}
	return filepath.Join(c.Data, replicatedDir)
}

// BindAddress is Bind as host:port.
func (r *Replicated) BindAddress() string { return strings.TrimPrefix(r.Bind, bindScheme) }

func defaultReplicated() Replicated {
	return Replicated{
		Replicas: 3, Bind: bindScheme + "0.0.0.0:0", Group: "default", ZKAddress: []string{"127.0.0.1:2181"}, ZKPath: "/treadmq",
		ZKSessionTimeout: 6 * time.Second, ZKLoss: "serve", Sync: "quorum_disk", Weight: 1, ReplaceWiped: true, SnapshotRate: 64 * MiB,
	}
}

const replicatedDoc = "A member of a replicated group: several brokers with one store, one of them the master. " +
	"The section being there, or a key of it, switches it on; without it the broker stands alone. brokerName is the same on all members. See cluster.md."

// syncDoc says of each mode what it can lose.
const syncDoc = "When a message counts as stored, so that its receipt is sent. " +
	"quorum_disk: on the disks of a majority; loses nothing when machines crash or lose power, also all at once, as long as a majority of disks is left. " +
	"remote_disk: in the master's memory and on the disks of a majority less one; loses nothing to the crash of any process; may lose the last 100 ms when the master and another machine lose power together. " +
	"quorum_mem, remote_mem: in the memory of a majority; loses nothing to the crash of any process; may lose about the last 100 ms when a majority of machines loses power at once. " +
	"local_disk: on the master's disk only; every failover may lose what was acknowledged last. " +
	"local_mem: in the master's memory only; every failover and every loss of power may lose it. " +
	"Several modes with commas between them: all of them must hold."

func replicatedKeys() []key {
	const p = replicatedSection + "."
	return []key{
		{p + "directory", "Directory of this member's store. Empty: the folder replicated in the data directory. It must not be shared with another member.",
			func(c *Config) value { return text(&c.Replicated.Directory, anything) }},
		{p + "replicas", "How many members hold the store, an odd number. A majority of them, replicas/2+1, must be there to work. It counts when the group is founded; later it changes by a command.",
			func(c *Config) value { return whole(&c.Replicated.Replicas, 1, maxReplicas) }},
		{p + "bind", "Address that the other members connect to while this one is master, as tcp://host:port. Port 0 takes a free one, which a firewall between machines does not like.",
			func(c *Config) value { return text(&c.Replicated.Bind, checkBind) }},
		{p + "hostname", "Name or address by which the other members and clients reach this machine. Empty: the machine's host name.",
			func(c *Config) value { return text(&c.Replicated.Hostname, optional(checkHostname)) }},
		{p + "name", "Name of this member, unlike those of the others: letters, digits, dot, dash, underscore and colon. A member that lost its disk comes back under it. Empty: hostname and port of bind, so with port 0 give one.",
			func(c *Config) value { return text(&c.Replicated.Name, optional(checkMemberName)) }},
		{p + "group", "Name of the group below zkPath, one segment of a path.",
			func(c *Config) value { return text(&c.Replicated.Group, checkSegment) }},
		{p + "zkAddress", "ZooKeeper servers, as host:port. Three of them, so that one may fail.",
			func(c *Config) value { return list(&c.Replicated.ZKAddress, checkAddress) }},
		{p + "zkPassword", "Password that protects the group's nodes in ZooKeeper: only who knows it can read or change them. Empty: everyone who reaches ZooKeeper can. The same on all members.",
			func(c *Config) value { return secret(&c.Replicated.ZKPassword) }},
		{p + "zkPath", "Node of ZooKeeper below which the groups are. The same on all members.",
			func(c *Config) value { return text(&c.Replicated.ZKPath, checkZKPath) }},
		{p + "zkSessionTimeout", "ZooKeeper forgets a member that it has not heard of for this long. A failover does not wait for it while a majority of members sees that the master is gone.",
			func(c *Config) value { return span(&c.Replicated.ZKSessionTimeout, time.Second, 10*time.Minute) }},
		{p + "zkLoss", "What a master does that cannot reach ZooKeeper: serve goes on as long as a majority of members acknowledges, which is safe; stop gives up mastership, as ActiveMQ did.",
			func(c *Config) value { return word(&c.Replicated.ZKLoss, "serve", "stop") }},
		{p + "sync", syncDoc,
			func(c *Config) value { return text(&c.Replicated.Sync, checkSync) }},
		{p + "weight", "Among members that are equally up to date the one with the highest weight becomes master.",
			func(c *Config) value { return whole(&c.Replicated.Weight, 0, 1000) }},
		{p + "securityToken", "Secret that members prove to each other that they know; it is never sent. The same on all members. ${file:path} reads it from a file. Empty only while bind is on loopback, or with tls.",
			func(c *Config) value { return secret(&c.Replicated.SecurityToken) }},
		{p + "replaceWiped", "Whether the master gives the place of a member that came back under its name with an empty disk to it, by itself. false: an operator does.",
			func(c *Config) value { return truth(&c.Replicated.ReplaceWiped) }},
		{p + "snapshotRate", "Most bytes a second that the master sends to a member that needs a whole copy of the store. 0: as fast as it goes.",
			func(c *Config) value { return size(&c.Replicated.SnapshotRate, 0, TiB) }},
	}
}

func replicatedTLSKeys() []key {
	const p = replicatedSection + ".tls."
	return []key{
		{p + "cert", "Certificate chain of this member, PEM. Setting it makes members speak TLS with each other.",
			func(c *Config) value { return text(&c.Replicated.TLS.Cert, anything) }},
		{p + "key", "Private key of the certificate, PEM.",
			func(c *Config) value { return text(&c.Replicated.TLS.Key, anything) }},
		{p + "ca", "Certificates of the authorities that the other members' certificates are checked against, PEM. An authority of your own: whoever has a certificate of it counts as a member.",
			func(c *Config) value { return text(&c.Replicated.TLS.CA, anything) }},
	}
}

// SyncModes are the words of the key sync, the safest first.
func SyncModes() []string {
	return []string{"quorum_disk", "remote_disk", "quorum_mem", "remote_mem", "local_disk", "local_mem"}
}

func checkSync(s string) error {
	for mode := range strings.SplitSeq(s, ",") {
		if mode = strings.TrimSpace(mode); !slices.Contains(SyncModes(), mode) {
			return fmt.Errorf("%q is not one of %s", mode, strings.Join(SyncModes(), ", "))
		}
	}
	return nil
}

func checkBind(s string) error {
	address, ok := strings.CutPrefix(s, bindScheme)
	if !ok || checkAddress(address) != nil {
		return fmt.Errorf("%q is not an address for members: write tcp://host:port, for example tcp://0.0.0.0:61619", s)
	}
	return nil
}

func checkHostname(s string) error {
	if strings.ContainsAny(s, " /@\\,[]?#") || strings.Contains(s, ":") && net.ParseIP(s) == nil {
		return fmt.Errorf("%q is not a host: write a name or an IP address without scheme, port or path", s)
	}
	return nil
}

func checkMemberName(s string) error {
	if len(s) > maxBrokerName {
		return fmt.Errorf("a member's name has at most %d characters", maxBrokerName)
	}
	return checkBrokerName(strings.ReplaceAll(s, ":", "."))
}

func checkSegment(s string) error {
	if s == "." || s == ".." {
		return fmt.Errorf("%q cannot be the name of a group", s)
	}
	return checkBrokerName(s)
}

func checkZKPath(s string) error {
	switch {
	case !strings.HasPrefix(s, "/") || s == "/" || path.Clean(s) != s:
		return fmt.Errorf("%q is not a path of ZooKeeper: write it with a slash in front and none at the end, for example /treadmq", s)
	case s == "/zookeeper" || strings.HasPrefix(s, "/zookeeper/"):
		return errors.New("what is below /zookeeper is ZooKeeper's own; take another path, for example /treadmq")
	case strings.ContainsFunc(s, control):
		return errors.New("the path has a control character")
	}
	return nil
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

// secret is a text whose value is not shown.
func secret(field *string) value {
	hide := func(s string) string {
		if s == "" {
			return ""
		}
		return HiddenSecret
	}
	v := text(field, func(s string) error {
		if len(s) > maxSecret || strings.ContainsFunc(s, control) {
			return fmt.Errorf("it may have at most %d bytes and no control characters, not even a line's end", maxSecret)
		}
		return nil
	}).(cell[string])
	v.codec.format, v.codec.literal = hide, quoted(hide)
	return v
}

// HiddenSecret stands for a secret that is set, where values are shown.
const HiddenSecret = "(hidden)"

// replicated checks the section when it is in force.
func (v *validator) replicated() {
	r := &v.config.Replicated
	if !r.Enabled {
		return
	}
	const p = replicatedSection + "."
	if r.Replicas%2 == 0 {
		v.fail(p+"replicas", "%d is even: %d members survive no more failures than %d do, so write %d or %d", r.Replicas, r.Replicas, r.Replicas-1, r.Replicas-1, r.Replicas+1)
	}
	if len(r.ZKAddress) == 0 {
		v.fail(p+"zkAddress", "there is no ZooKeeper server: name at least one, for example 127.0.0.1:2181")
	}
	tls := r.TLS.Cert != ""
	if tls != (r.TLS.Key != "") || tls != (r.TLS.CA != "") {
		v.fail(p+"tls.cert", "certificate, key and authority belong together: set %stls.cert, key and ca, or none", p)
	}
	if r.SecurityToken == "" && !tls && !Loopback(r.BindAddress()) {
		v.fail(p+"securityToken", "it is empty, and %s can be reached from other machines: whoever can connect could read every message. Set the same secret on all members, or certificates in [%s.tls], or bind to loopback", r.Bind, replicatedSection)
	}
	for _, l := range v.config.Listeners() {
		if anyPort(l.Address) {
			v.fail("stomp.listen", "%s takes another port with every mastership, which clients cannot know: give members of a group fixed ports", l.Address)
		}
	}
	if address := r.BindAddress(); !anyPort(address) && (address == v.config.Console.Listen || slices.ContainsFunc(v.config.Listeners(), func(l Listener) bool { return l.Address == address })) {
		v.fail(p+"bind", "%s is a listener for clients or the console already: replication needs a port of its own", address)
	}
}
