package conf

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seed is the attributes of an ActiveMQ configuration, as TOML.
const seed = `
brokerName = "shop"
[persistence.replicatedLevelDB]
directory = "activemq-data"
replicas = 3
bind = "tcp://0.0.0.0:0"
zkAddress = ["zoo1.example.org:2181", "zoo2.example.org:2181", "zoo3.example.org:2181"]
zkPassword = "password"
zkSessionTimeout = "2s"
zkPath = "/activemq/leveldb-stores"
hostname = "broker1.example.org"
sync = "local_disk, quorum_mem"
weight = 5
securityToken = "tok"
`

func TestTheAttributesOfActiveMQAreKeys(t *testing.T) {
	c, err := Load(Sources{File: write(t, seed)})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Replicated
	if !r.Enabled || r.Hostname != "broker1.example.org" || len(r.ZKAddress) != 3 || r.Sync != "local_disk, quorum_mem" || r.Weight != 5 {
		t.Errorf("read as %+v", r)
	}
	if c.ReplicatedDir() != "activemq-data" || r.BindAddress() != "0.0.0.0:0" {
		t.Errorf("directory %s, bind %s", c.ReplicatedDir(), r.BindAddress())
	}
}

func TestASectionMakesAMember(t *testing.T) {
	for name, src := range map[string]Sources{
		"section": {File: write(t, "[persistence.replicatedLevelDB]\nbind = \"tcp://127.0.0.1:0\"\n")},
		"empty":   {File: write(t, "[persistence.replicatedLevelDB]\n"), Set: []string{"persistence.replicatedLevelDB.securityToken=s"}},
		"set":     {Set: []string{"persistence.replicatedLevelDB.bind=tcp://[::1]:0"}},
		"env":     {Env: []string{"TREADMQ_PERSISTENCE_REPLICATED_LEVEL_DB_SECURITY_TOKEN=s"}},
	} {
		c, err := Load(src)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !c.Replicated.Enabled {
			t.Errorf("%s: the broker stands alone", name)
		}
	}
	if c, err := Load(Sources{File: write(t, "[persistence]\n")}); err != nil || c.Replicated.Enabled {
		t.Errorf("[persistence] alone: member %v, %v", c.Replicated.Enabled, err)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	c, err := Load(Sources{File: write(t, seed)})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c.Keys() {
		if e.Value == "password" || e.Value == "tok" || strings.Contains(e.Literal, `"tok"`) {
			t.Errorf("%s shows its value", e.Key)
		}
		if strings.HasSuffix(e.Key, "securityToken") && e.Value != HiddenSecret {
			t.Errorf("%s is shown as %q", e.Key, e.Value)
		}
	}
}

func TestWhatAMemberCannotBe(t *testing.T) {
	const p = "persistence.replicatedLevelDB."
	for set, want := range map[string]string{
		"replicas=4":         p + "replicas: 4 is even: 4 members survive no more failures than 3 do, so write 3 or 5",
		"replicas=9":         p + "replicas: 9 is out of range: the least is 1, the most is 7",
		"zkAddress=":         p + "zkAddress: there is no ZooKeeper server: name at least one, for example 127.0.0.1:2181",
		"zkAddress=zoo":      p + `zkAddress: "zoo" is not an address: write host:port, for example 127.0.0.1:61613 or [::1]:61613`,
		"zkPath=activemq":    p + `zkPath: "activemq" is not a path of ZooKeeper: write it with a slash in front and none at the end, for example /treadmq`,
		"zkPath=/zookeeper":  p + "zkPath: what is below /zookeeper is ZooKeeper's own; take another path, for example /treadmq",
		"zkSessionTimeout=1": p + `zkSessionTimeout: "1" has no unit: write for example 1ms or 1s`,
		"sync=quorum":        p + `sync: "quorum" is not one of quorum_disk, remote_disk, quorum_mem, remote_mem, local_disk, local_mem`,
		"bind=0.0.0.0:0":     p + `bind: "0.0.0.0:0" is not an address for members: write tcp://host:port, for example tcp://0.0.0.0:61619`,
		"hostname=a:1":       p + `hostname: "a:1" is not a host: write a name or an IP address without scheme, port or path`,
		"group=a/b":          p + `group: "a/b" has '/' in it: a broker name has letters, digits, dot, dash and underscore only`,
		"zkLoss=":            p + `zkLoss: "" is not one of serve, stop`,
		"tls.cert=c":         p + "tls.cert: certificate, key and authority belong together: set " + p + "tls.cert, key and ca, or none",
		"bind=tcp://:61619":  p + "securityToken: it is empty, and tcp://:61619 can be reached from other machines: whoever can connect could read every message. Set the same secret on all members, or certificates in [persistence.replicatedLevelDB.tls], or bind to loopback",
	} {
		all := []string{p + set}
		if !strings.HasPrefix(set, "bind") {
			all = append(all, p+"bind=tcp://127.0.0.1:0")
		}
		got := complaints(t, Sources{Set: all})
		for i := range got {
			got[i] = strings.TrimPrefix(got[i], "--set: ")
		}
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Errorf("%s: %s", set, diff)
		}
	}
	got := complaints(t, Sources{Set: []string{p + "bind=tcp://127.0.0.1:61613"}})
	if len(got) != 1 || !strings.Contains(got[0], "replication needs a port of its own") {
		t.Errorf("a bind that is a listener: %q", got)
	}
}
