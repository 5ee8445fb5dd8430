package conf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// write puts a configuration file into a directory of its own.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "treadmq.toml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// complaints are the problems of loading a file, without its directory.
func complaints(t *testing.T, src Sources) []string {
	t.Helper()
	_, err := Load(src)
	var all *Error
	if !errors.As(err, &all) {
		t.Fatalf("got error %v, want an *Error", err)
	}
	var lines []string
	for _, p := range all.Problems {
		lines = append(lines, strings.ReplaceAll(p.String(), filepath.Dir(src.File)+string(filepath.Separator), ""))
	}
	return lines
}

func TestNothingConfiguredRuns(t *testing.T) {
	c, err := Load(Sources{File: filepath.Join(t.TempDir(), "none.toml")})
	if err != nil {
		t.Fatal(err)
	}
	if !c.AnonymousAllowed() {
		t.Error("anonymous STOMP is refused on loopback")
	}
	want := []string{"127.0.0.1:61613", "127.0.0.1:61614", "127.0.0.1:61616"}
	if diff := cmp.Diff(want, c.Stomp.Listen); diff != "" {
		t.Error(diff)
	}
	for _, e := range c.Keys() {
		if e.Origin.Kind != FromDefault {
			t.Errorf("%s comes from %s", e.Key, e.Origin)
		}
	}
}

func TestRequiredFileIsMissing(t *testing.T) {
	_, err := Load(Sources{File: filepath.Join(t.TempDir(), "none.toml"), Required: true})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.toml") {
		t.Errorf("got %v", err)
	}
}

func TestFileTooLarge(t *testing.T) {
	_, err := Load(Sources{File: write(t, strings.Repeat("#\n", int(maxFile)))})
	if err == nil || !strings.Contains(err.Error(), "larger than 1MiB") {
		t.Errorf("got %v", err)
	}
}

// Each source beats the ones before it, and Origin says which one won.
func TestPrecedence(t *testing.T) {
	path := write(t, "[stomp]\nmaxHeaders = 101\nmaxSubscriptions = 101\nmaxTransactions = 101\nmaxTransactionOps = 101\n")
	c, err := Load(Sources{
		File: path,
		Env: []string{"TREADMQ_STOMP_MAX_SUBSCRIPTIONS=102", "TREADMQ_STOMP_MAX_TRANSACTIONS=102",
			"TREADMQ_STOMP_MAX_TRANSACTION_OPS=102", "PATH=/bin"},
		Set:   []string{"stomp.maxTransactions=99", "stomp.maxTransactions = 103", "stomp.maxTransactionOps=103"},
		Flags: map[string]string{"stomp.maxTransactionOps": "104"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		key    string
		value  int
		kind   SourceKind
		origin string
	}{
		{"stomp.maxHeaders", 101, FromFile, path + ":2:1"},
		{"stomp.maxSubscriptions", 102, FromEnv, "TREADMQ_STOMP_MAX_SUBSCRIPTIONS"},
		{"stomp.maxTransactions", 103, FromSet, "--set"},
		{"stomp.maxTransactionOps", 104, FromFlag, "flag"},
		{"stomp.maxConnections", 100000, FromDefault, "default"},
	} {
		from := c.Origin(want.key)
		if from.Kind != want.kind || from.String() != want.origin {
			t.Errorf("%s comes from %v, want %s %s", want.key, from, want.kind, want.origin)
		}
	}
	got := []int{c.Stomp.MaxHeaders, c.Stomp.MaxSubscriptions, c.Stomp.MaxTransactions, c.Stomp.MaxTransactionOps, c.Stomp.MaxConnections}
	if diff := cmp.Diff([]int{101, 102, 103, 104, 100000}, got); diff != "" {
		t.Error(diff)
	}
}

// Every kind of value can be set from the file, the environment and --set.
func TestEveryKindOfValue(t *testing.T) {
	want := func(t *testing.T, c *Config, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if c.BrokerName != "b1" || c.Anonymous != Yes || c.Log.Level != "debug" || c.Stomp.MaxBody != 3*MiB ||
			c.Stomp.MaxHeaders != 77 || c.Stomp.WriteTimeout != 90*time.Second || !c.Console.HTTPS || c.Store.CompactBelow != 0.25 {
			t.Errorf("got %+v", c)
		}
		if diff := cmp.Diff([]string{"0.0.0.0:1", "[::1]:2"}, c.Stomp.Listen); diff != "" {
			t.Error(diff)
		}
	}
	t.Run("file", func(t *testing.T) {
		c, err := Load(Sources{File: write(t, `
brokerName = "b1"
anonymous = true
log.level = "debug"
stomp = { maxBody = 3145728, maxHeaders = 77, writeTimeout = "1m30s", listen = ["0.0.0.0:1", "[::1]:2"] }
[console]
https = true
[store]
compactBelow = 0.25
`)})
		want(t, c, err)
	})
	t.Run("environment", func(t *testing.T) {
		c, err := Load(Sources{Env: []string{"TREADMQ_BROKER_NAME=b1", "TREADMQ_ANONYMOUS=true", "TREADMQ_LOG_LEVEL=debug",
			"TREADMQ_STOMP_MAX_BODY=3m", "TREADMQ_STOMP_MAX_HEADERS=77", "TREADMQ_STOMP_WRITE_TIMEOUT=90s",
			"TREADMQ_STOMP_LISTEN=0.0.0.0:1, [::1]:2", "TREADMQ_CONSOLE_HTTPS=on", "TREADMQ_STORE_COMPACT_BELOW=.25"}})
		want(t, c, err)
	})
	t.Run("set", func(t *testing.T) {
		c, err := Load(Sources{Set: []string{"brokerName=b1", "anonymous=yes", "log.level=debug", "stomp.maxBody=3MiB",
			"stomp.maxHeaders=77", "stomp.writeTimeout=1m30s", "stomp.listen=0.0.0.0:1,[::1]:2", "console.https=yes", "store.compactBelow=0.25"}})
		want(t, c, err)
	})
}

func TestComplaints(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		want []string
	}{
		"all at once, in the order of the file": {
			"brokerName = 7\n\n[stomp]\n  maxBdy = 1\nmaxHeaders = \"9\"\n[stmp]\nlisten = []\n",
			[]string{
				`treadmq.toml:1:1: brokerName: a whole number does not fit here: write a string, in quotes`,
				`treadmq.toml:4:3: unknown key stomp.maxBdy; did you mean stomp.maxBody?`,
				`treadmq.toml:5:1: stomp.maxHeaders: "9" is a string: write a whole number, without quotes`,
				`treadmq.toml:6:2: unknown section [stmp]; did you mean stomp?`,
			},
		},
		"capitals": {"[stomp]\nmaxbody = 1",
			[]string{`treadmq.toml:2:1: unknown key stomp.maxbody; did you mean stomp.maxBody?`}},
		"wrong section": {"segmentSize = 1",
			[]string{`treadmq.toml:1:1: unknown key segmentSize; did you mean store.segmentSize?`}},
		"nothing near": {"[stomp]\nfrobnicate = 1",
			[]string{`treadmq.toml:2:1: unknown key stomp.frobnicate`}},
		"dotted key in quotes": {"\"stomp.maxBody\" = 1",
			[]string{`treadmq.toml:1:1: unknown key "stomp.maxBody"; did you mean stomp.maxBody?`}},
		"inline table": {"stomp = { tls = { crt = \"x\" } }",
			[]string{`treadmq.toml:1:19: unknown key stomp.tls.crt; did you mean stomp.tls.cert?`}},
		"policy key outside a policy": {"[log]\nnackDefault = \"retry\"",
			[]string{`treadmq.toml:2:1: unknown key log.nackDefault: it belongs in a [[policy]]`}},
		"syntax": {"[stomp\nmaxBody = 1",
			[]string{`treadmq.toml:1:7: expected ']' to close table name`}},
		"a key twice": {"data = \"a\"\ndata = \"b\"",
			[]string{`treadmq.toml:2:1: key data is already defined`}},
		"a section for a key": {"[stomp.maxBody]\nx = 1",
			[]string{`treadmq.toml:1:8: stomp.maxBody: a table does not fit here: write a size, such as "64MiB"`}},
		"values": {
			"anonymous = \"maybe\"\n[log]\nlevel = \"loud\"\n[stomp]\nmaxBody = \"5 parsecs\"\nwriteTimeout = 30\nmaxHeaders = 0\nlisten = [\"61613\", 5]\n[store]\ncompactBelow = nan\n[console]\nhttps = 1\n",
			[]string{
				`treadmq.toml:1:1: anonymous: "maybe" is neither true nor false`,
				`treadmq.toml:3:1: log.level: "loud" is not one of debug, info, warn, error`,
				`treadmq.toml:5:1: stomp.maxBody: "5 parsecs" has no known unit: use k, KiB, MiB, GiB, TiB (powers of 1024) or KB, MB, GB, TB (powers of 1000)`,
				`treadmq.toml:6:1: stomp.writeTimeout: 30 has no unit: write for example "30ms" or "30s"`,
				`treadmq.toml:7:1: stomp.maxHeaders: 0 is out of range: the least is 16, the most is 1048576`,
				`treadmq.toml:8:1: stomp.listen: entry 2 of the list is a whole number: every entry is a string in quotes`,
				`treadmq.toml:10:1: store.compactBelow: NaN is out of range: the least is 0, the most is 0.95`,
				`treadmq.toml:12:1: console.https: a whole number does not fit here: write true or false`,
			},
		},
		"addresses": {
			"stomp.listen = [\"61613\"]\nconsole.listen = \"http://localhost:8161\"\nconsole.pathPrefix = \"treadmq/\"\nconsole.trustedOrigins = [\"ops.example.com\"]\n",
			[]string{
				`treadmq.toml:1:7: stomp.listen: "61613" is not an address: write host:port, for example 127.0.0.1:61613 or [::1]:61613`,
				`treadmq.toml:2:9: console.listen: "http://localhost:8161" is not an address: write host:port, for example 127.0.0.1:61613 or [::1]:61613`,
				`treadmq.toml:3:9: console.pathPrefix: "treadmq/" is not a path prefix: write it with a slash in front and none at the end, for example /treadmq`,
				`treadmq.toml:4:9: console.trustedOrigins: "ops.example.com" is not an origin: write scheme and host, and the port if it is unusual, for example https://ops.example.com:8443`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, complaints(t, Sources{File: write(t, test.file)})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestComplaintsOutsideTheFile(t *testing.T) {
	got := complaints(t, Sources{
		Env: []string{"TREADMQ_STOMP_MAXBODY=1", "TREADMQ_STOMP_MAX_HEADERS=x", "TREADMQ_POLICY=1",
			"TREADMQ_HOME=/opt", "TREADMQ_URL=x", "TREADMQ_DATA=d"},
		OtherEnv: []string{"TREADMQ_URL"},
		Set:      []string{"stomp.maxBdy=1", "stomp.maxBody", "policy.queuePrefetch=3"},
		Flags:    map[string]string{"dta": "x"},
	})
	want := []string{
		`TREADMQ_POLICY: unknown environment variable`,
		`TREADMQ_STOMP_MAXBODY: unknown environment variable; did you mean TREADMQ_STOMP_MAX_BODY?`,
		`TREADMQ_STOMP_MAX_HEADERS: stomp.maxHeaders: "x" is not a whole number`,
		`--set: unknown key stomp.maxBdy; did you mean stomp.maxBody?`,
		`--set: "stomp.maxBody" has no equals sign: write --set key=value`,
		`--set: unknown key policy.queuePrefetch: policies are written in the file, as [[policy]]`,
		`flag: unknown key dta; did you mean data?`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Kubernetes injects these for services called treadmq and treadmq-console.
func TestServiceLinksArePassedOver(t *testing.T) {
	var env []string
	for _, name := range []string{"SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_STOMP", "PORT", "PORT_61613_TCP",
		"PORT_61613_TCP_PROTO", "PORT_61613_TCP_PORT", "PORT_61613_TCP_ADDR",
		"CONSOLE_SERVICE_HOST", "CONSOLE_SERVICE_PORT_HTTP", "CONSOLE_PORT_8161_TCP_ADDR"} {
		env = append(env, "TREADMQ_"+name+"=tcp://10.0.0.1:61613")
	}
	if _, err := Load(Sources{Env: env}); err != nil {
		t.Error(err)
	}
	for _, k := range keys() {
		if serviceLink.MatchString(envName(k.name)) {
			t.Errorf("%s looks like a service link", envName(k.name))
		}
	}
}

func TestEnvironmentNames(t *testing.T) {
	for key, want := range map[string]string{
		"data":                           "TREADMQ_DATA",
		"stomp.maxBody":                  "TREADMQ_STOMP_MAX_BODY",
		"stomp.tls.clientCA":             "TREADMQ_STOMP_TLS_CLIENT_CA",
		"stomp.maxConnectionsPerAddress": "TREADMQ_STOMP_MAX_CONNECTIONS_PER_ADDRESS",
	} {
		if got := envName(key); got != want {
			t.Errorf("%s has the variable %s, want %s", key, got, want)
		}
	}
	seen := map[string]string{}
	for _, k := range keys() {
		name := envName(k.name)
		if seen[name] != "" {
			t.Errorf("%s and %s share %s", k.name, seen[name], name)
		}
		seen[name] = k.name
	}
}

func TestExpansion(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "name")
	if err := os.WriteFile(secret, []byte("from-file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{
		File: write(t, "brokerName = \"${env:WHO}-${file:"+filepath.ToSlash(secret)+"}\"\ndata = \"$${x}$\"\n"+
			"[stomp]\nmaxHeaders = \"${env:N}\"\nserverHeader = \"${env:NEST}\"\n[console]\nhttps = \"${env:YES}\""),
		Env: []string{"WHO=a", "N=99", "NEST=$${env", "YES=true", "TREADMQ_LOG_FILE=${env:WHO}.log"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.BrokerName != "a-from-file" || c.Data != "${x}$" || c.Stomp.MaxHeaders != 99 || !c.Console.HTTPS || c.Log.File != "a.log" {
		t.Errorf("got %+v", c)
	}
	if c.Stomp.ServerHeader != "$${env" {
		t.Errorf("got %q: what is brought in was expanded again", c.Stomp.ServerHeader)
	}
}

func TestExpansionComplaints(t *testing.T) {
	got := complaints(t, Sources{File: write(t, `brokerName = "${env:NONE}"
data = "${file:/no/such/file}"
realm = "${what:x}"
log.file = "${env:X"
stomp.listen = ["${env:}"]
`)})
	want := []string{
		`treadmq.toml:1:1: brokerName: ${env:NONE}: the environment variable NONE is not set`,
		`treadmq.toml:2:1: data: ${file:/no/such/file}: open /no/such/file: no such file or directory`,
		`treadmq.toml:3:1: realm: ${what:x} is not known: write ${env:NAME} or ${file:path}, or $${ for a literal ${`,
		`treadmq.toml:4:5: log.file: "${env:X" has no closing brace: write ${env:NAME} or ${file:path}, or $${ for a literal ${`,
		`treadmq.toml:5:7: stomp.listen: ${env:} is not known: write ${env:NAME} or ${file:path}, or $${ for a literal ${`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestExpansionOfALargeFile(t *testing.T) {
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, make([]byte, maxInsert+1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(Sources{Set: []string{"data=${file:" + big + "}"}})
	if err == nil || !strings.Contains(err.Error(), "is larger than 64KiB") {
		t.Errorf("got %v", err)
	}
}
