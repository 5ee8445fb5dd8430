package conf

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidateTellsEverythingAtOnce(t *testing.T) {
	got := complaints(t, Sources{
		File: write(t, `
log.maxAge = "36h"
memory = { limit = "1MiB", queueWindow = "2MiB" }
console = { listen = "127.0.0.1:61613", sessionIdle = "13h", tls = { key = "k" } }
[stomp]
heartBeatMin = "10m"
unfinishedLimit = "1MiB"
listen = ["127.0.0.1:61613", "127.0.0.1:61613", "127.0.0.1:0", "127.0.0.1:0"]
tls = { key = "k", clientAuth = "need", required = true }
`),
		Env: []string{"TREADMQ_STOMP_TLS_CERT_USER=cn"},
		Set: []string{"stomp.tls.clientAuth=none"},
	})
	want := []string{
		`treadmq.toml:8:1: stomp.listen: 127.0.0.1:61613 is there twice`,
		`treadmq.toml:4:13: console.listen: 127.0.0.1:61613 is a STOMP listener already: the console needs a port of its own`,
		`treadmq.toml:6:1: stomp.heartBeatMin: 10m is longer than stomp.heartBeatMax, 5m`,
		`treadmq.toml:7:1: stomp.unfinishedLimit: 1MiB is less than stomp.maxBody, 100MiB: a largest message could never arrive`,
		`treadmq.toml:2:5: log.maxAge: 36h is not a number of whole days: write for example 7d`,
		`treadmq.toml:3:28: memory.queueWindow: 2MiB for one queue is more than memory.limit, 1MiB for all`,
		`stomp.tls.cert: certificate and key belong together: set both stomp.tls.cert and stomp.tls.key, or none`,
		`TREADMQ_STOMP_TLS_CERT_USER: stomp.tls.certUser: "cn" needs stomp.tls.clientAuth = "want" or "need", else no certificate is asked for`,
		`treadmq.toml:9:41: stomp.tls.required: TLS is asked for but there is no certificate: set stomp.tls.cert and stomp.tls.key`,
		`console.tls.cert: certificate and key belong together: set both console.tls.cert and console.tls.key, or none`,
		`treadmq.toml:4:41: console.sessionIdle: 13h is longer than console.sessionMax, 12h`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := Default().Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

func TestValidateMore(t *testing.T) {
	for set, want := range map[string]string{
		"stomp.listen=":                     "--set: stomp.listen: there is no address to listen on: name at least one, for example 127.0.0.1:61613",
		"stomp.tls.certOnly=true":           `--set: stomp.tls.certOnly: it needs stomp.tls.certUser, else no certificate names a user and nobody could connect`,
		"stomp.tls.clientAuth=want":         `--set: stomp.tls.clientAuth: "want" needs stomp.tls.clientCA to check client certificates against`,
		"brokerName=a b":                    `--set: brokerName: "a b" has ' ' in it: a broker name has letters, digits, dot, dash and underscore only`,
		"brokerName=":                       "--set: brokerName: a broker name has 1 to 64 characters",
		"data=":                             "--set: data: it may not be empty",
		"stomp.serverHeader=A:B":            `--set: stomp.serverHeader: "A:B" has ':' in it: the server header has no colon, backslash or control character`,
		"stomp.listen=a/b:1":                `--set: stomp.listen: "a/b:1" has no valid host: write a name or an IP address without scheme or path`,
		"stomp.listen=a:99999":              `--set: stomp.listen: "a:99999" has no port number from 0 to 65535`,
		"console.trustedOrigins=https://a/": `--set: console.trustedOrigins: "https://a/" is not an origin: write scheme and host, and the port if it is unusual, for example https://ops.example.com:8443`,
	} {
		got := complaints(t, Sources{Set: []string{set}})
		if len(got) == 0 || got[0] != want {
			t.Errorf("%s: got %q\nwant %q", set, got, want)
		}
	}
}

func TestAnonymous(t *testing.T) {
	for _, test := range []struct {
		anonymous, listen string
		want              bool
	}{
		{"auto", "127.0.0.1:1,[::1]:1,localhost:1,127.9.9.9:1,[::ffff:127.0.0.1]:1", true},
		{"auto", "127.0.0.1:1,:1", false},
		{"auto", "0.0.0.0:1", false},
		{"auto", "[::]:1", false},
		{"auto", "192.168.1.5:1", false},
		{"auto", "broker.example.com:1", false},
		{"auto", "localhost.example.com:1", false},
		{"true", "0.0.0.0:1", true},
		{"false", "127.0.0.1:1", false},
	} {
		c, err := Load(Sources{Set: []string{"anonymous=" + test.anonymous, "stomp.listen=" + test.listen}})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.AnonymousAllowed(); got != test.want {
			t.Errorf("anonymous %s on %s: %t, want %t", test.anonymous, test.listen, got, test.want)
		}
	}
}

// Whatever the file holds, loading ends in a configuration or in words.
func FuzzLoad(f *testing.F) {
	f.Add(string(Example()))
	f.Add("[[policy]]\nqueue = \">\"\nredelivery = {maximumRedeliveries = 1}\n")
	f.Add("policy = [{queue = \"a\"}, {topic = \"b\", evict = \"oldest\"}]\na.b.\"c.d\" = [[1], {x = 1}]")
	f.Add("data = \"${env:A}$${\"\n[stomp.tls]\nrequired = true\n[stomp.tls.x]")
	f.Fuzz(func(t *testing.T, file string) {
		l := newLoader([]string{"A=b"})
		if strings.Contains(file, "file:") {
			return // would read files of the machine
		}
		l.toml("f", []byte(file))
		for _, p := range l.problems {
			if strings.HasPrefix(p.Where, "f:0:") {
				t.Errorf("a problem without a place: %s", p)
			}
		}
	})
}
