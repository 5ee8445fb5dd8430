//go:build clients

package clients

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What every client must prove, each in the way its own API knows.
var (
	everyClient = []string{
		"login", "login-refused", "send-receipt", "subscribe-auto", "ack-client", "redelivery",
		"transaction-commit", "transaction-abort", "binary", "utf8", "topic", "reconnect-term", "reconnect-kill",
	}
	stomp11 = []string{"ack-individual", "nack", "heart-beat"}
	// Headers with the names that ActiveMQ gave them.
	activeMQ = []string{
		"amq-priority", "amq-exclusive", "amq-selector", "amq-browser", "amq-no-local", "amq-durable", "amq-scheduled", "amq-groups",
	}
)

// client is one program of this folder.
type client struct {
	name    string
	command []string            // relative to this folder
	needs   []string            // programs, or files of this folder
	modules map[string][]string // a command that fails if a library is missing
	steps   []string            // beyond everyClient
	only    []string            // in the place of everyClient and steps: programs that are about something else
	set     []string            // key=value settings of its broker
	config  string              // configuration file of its broker
}

// java is the command of a class of the folder java.
func java(class string) []string {
	return []string{"java", "-Dfile.encoding=UTF-8", "-XX:TieredStopAtLevel=1", "-cp", "java/target/classes:java/target/lib/*", "treadmq.clients." + class}
}

var javaNeeds = []string{"java", "java/target/classes", "java/target/lib"}

func clients(bin string) []client {
	return []client{
		{
			name: "go-stomp", command: []string{bin},
			steps: slices.Concat(stomp11, []string{"tls", "versions", "escaped-connect", "receipt-of-unsubscribe", "error-frame", "temp-queue", "selector", "browser"}),
		},
		{
			name: "stomp.py", command: []string{"/usr/bin/python3", "python/client.py"},
			needs:   []string{"/usr/bin/python3"},
			config:  "[[policy]]\ntopic = \"py.retroactive\"\n[policy.subscriptionRecoveryPolicy]\nkind = \"fixedCount\"\ncount = 2\n",
			modules: map[string][]string{"stomp.py": {"/usr/bin/python3", "-c", "import stomp"}},
			steps:   slices.Concat(stomp11, activeMQ, []string{"versions", "error-frame", "content-length", "amq-prefetch", "amq-statistics", "amq-advisory", "amq-retroactive"}),
		},
		{
			name: "stompjs", command: []string{"node", "js/stompjs.mjs"},
			needs: []string{"node", "js/node_modules/@stomp/stompjs"},
			steps: slices.Concat(stomp11, []string{"versions", "host", "without-content-length"}),
		},
		{
			name: "stompit", command: []string{"node", "js/stompit.mjs"},
			needs: []string{"node", "js/node_modules/stompit"},
			steps: slices.Concat(stomp11, []string{"tls", "versions", "stream"}),
		},
		{
			name: "ruby-stomp", command: []string{"ruby", "ruby/client.rb"},
			needs:   []string{"ruby"},
			modules: map[string][]string{"stomp (gem)": {"ruby", "-e", "require 'stomp'"}},
			steps:   slices.Concat(stomp11, activeMQ, []string{"tls", "versions", "unreceive", "crlf"}),
		},
		{
			name: "php-stomp", command: []string{"php", "php/client.php"},
			needs:   []string{"php"},
			modules: map[string][]string{"stomp (PHP extension)": {"php", "-r", "exit(extension_loaded('stomp') ? 0 : 1);"}},
			steps:   slices.Concat(stomp11, activeMQ, []string{"prefetch"}),
		},
		{
			name: "Net-Stomp", command: []string{"perl", "perl/client.pl"},
			needs:   []string{"perl"},
			modules: map[string][]string{"Net::Stomp": {"perl", "-MNet::Stomp", "-e", "1"}},
			steps:   slices.Concat(stomp11, []string{"send-transactional"}),
		},
		{
			name: "netcat", command: []string{"bash", "nc/client.sh"},
			needs: []string{"nc", "bash"},
			steps: slices.Concat(stomp11, []string{"crlf", "silence"}),
		},
		{
			name: "stompjms", command: java("StompJms"),
			needs: javaNeeds,
			steps: []string{"priority", "idle", "selector", "rollback"},
		},
		{
			name: "stompjms-client", command: java("StompClient"), // its JMS has no NACK and no heart-beats
			needs: javaNeeds,
			only:  stomp11,
		},
		{
			name: "stompjms-activemq", command: append(java("StompJmsServers"), "activemq"),
			needs: javaNeeds, set: []string{"stomp.serverHeader=ActiveMQ/5.19"},
			only: []string{"no-local", "durable-subscriber"},
		},
		{
			name: "stompjms-apollo", command: append(java("StompJmsServers"), "apollo"),
			needs: javaNeeds, set: []string{"stomp.serverHeader=apache-apollo/1.7"},
			only: []string{"browser", "browser-selector", "durable-subscriber"},
		},
		{
			name: "camel", command: java("CamelStomp"),
			needs: javaNeeds,
			only:  []string{"routes-started", "login-refused", "queue-to-queue", "headers", "topic", "selector", "stopped-route"},
		},
		{
			name: "spring", command: java("SpringRelay"),
			needs:  javaNeeds,
			config: "[[policy]]\nqueue = \"spring.>\"\ngcInactiveDestinations = true\ninactiveTimeoutBeforeGC = \"1s\"\n",
			only: []string{
				"relay-available", "topic", "application", "queue", "user-destination", "user-queue-vanishes", "user-queue-auto-delete",
				"user-on-other-server",
				"error-frame", "heart-beat", "reconnect-term", "reconnect-kill",
			},
		},
	}
}

func TestClients(t *testing.T) {
	dir := t.TempDir()
	e := newEnvironment(t, dir)
	for _, c := range clients(e.goClient) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t)
			e.run(t, c)
		})
	}
}

// check fails with what to do if something that the client needs is missing.
func (c client) check(t *testing.T) {
	t.Helper()
	const next = "install it with: scripts/deps.sh clients"
	for _, n := range c.needs {
		if _, err := exec.LookPath(n); err != nil {
			if _, err := os.Stat(n); err != nil {
				t.Fatalf("%s needs %s, which is not there; %s", c.name, n, next)
			}
		}
	}
	for lib, try := range c.modules {
		if out, err := exec.Command(try[0], try[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s needs the library %s, which is not there; %s\n%s", c.name, lib, next, out)
		}
	}
}

// wanted are the steps that must be reported.
func (c client) wanted() []string {
	if c.only != nil {
		return c.only
	}
	return slices.Concat(everyClient, c.steps)
}

// missing returns a text that names the steps that were not proven, and those
// that nobody asked for; "" if there are none.
func (c client) missing(proven []string) string {
	var b strings.Builder
	for _, s := range c.wanted() {
		if !slices.Contains(proven, s) {
			fmt.Fprintf(&b, "step %s was not proven\n", s)
		}
	}
	for _, s := range proven {
		if !slices.Contains(c.wanted(), s) {
			fmt.Fprintf(&b, "step %s is not on the list of %s in clients_test.go\n", s, c.name)
		}
	}
	return b.String()
}

// A program that leaves a step out, or tells of one that nobody knows, does not pass.
func TestMissing(t *testing.T) {
	c := client{name: "c", steps: []string{"extra"}}
	if what := c.missing(c.wanted()); what != "" {
		t.Error(what)
	}
	if what := c.missing(c.wanted()[1:]); what != "step login was not proven\n" {
		t.Errorf("%q", what)
	}
	if what := c.missing(append(c.wanted(), "bonus")); !strings.Contains(what, "step bonus is not on the list") {
		t.Errorf("%q", what)
	}
}

// buildGoClient compiles the program that uses go-stomp.
func buildGoClient(dir string) (string, error) {
	bin := filepath.Join(dir, "gostomp")
	out, err := exec.Command("go", "build", "-o", bin, "./gostomp").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build gostomp: %w\n%s", err, out)
	}
	return bin, nil
}
