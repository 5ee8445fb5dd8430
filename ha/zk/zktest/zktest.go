// Package zktest runs real ZooKeeper servers for tests and demonstrations: one,
// or an ensemble, from Debian's package zookeeper, each a Java process of its own
// that can be killed, paused and started again on its data.
//
// Servers listen on loopback, or where Options says (tests with network
// namespaces). They end with the process that started them.
package zktest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Jar is where Debian's package keeps the server. Its manifest names the rest of the class path.
const Jar = "/usr/share/java/zookeeper.jar"

const (
	logJar       = "/usr/share/java/slf4j-simple.jar"
	mainClass    = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
	startTimeout = 60 * time.Second // ends a test that hangs; nothing is measured by it
	askTimeout   = 2 * time.Second
)

// ErrNotInstalled says that the machine has no ZooKeeper; scripts/deps.sh zookeeper installs it.
var ErrNotInstalled = errors.New("ZooKeeper is not installed (" + Jar + " is missing): run scripts/deps.sh zookeeper")

// Options say where servers run. The zero value is one server on loopback.
type Options struct {
	Dir   string // data, configuration and logs; must exist
	Nodes int    // servers; 0 = 1
	// Place says where the i-th server runs, from 0: the address that it listens on and that
	// the others know it by, and what to put before its command, such as ip netns exec z1.
	// nil = 127.0.0.1, nothing.
	Place func(i int) (host string, prefix []string)
	// TickTime is ZooKeeper's unit of time; sessions last 2 to 20 of them. 0 = 500 ms.
	TickTime time.Duration
}

// Ensemble is a set of servers that know each other.
type Ensemble struct {
	Servers []*Server
}

// Server is one ZooKeeper server. It is used by one goroutine at a time.
type Server struct {
	dir    string
	host   string
	client int // port for clients
	prefix []string

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone
}

// Start starts the servers and waits until they serve.
func Start(ctx context.Context, o Options) (*Ensemble, error) {
	if _, err := os.Stat(Jar); err != nil {
		return nil, ErrNotInstalled
	}
	o.Nodes = max(o.Nodes, 1)
	if o.TickTime == 0 {
		o.TickTime = 500 * time.Millisecond
	}
	if o.Place == nil {
		o.Place = func(int) (string, []string) { return "127.0.0.1", nil }
	}
	e, err := configure(o)
	if err != nil {
		return nil, err
	}
	for _, s := range e.Servers {
		if err := s.launch(); err != nil {
			e.Close()
			return nil, err
		}
	}
	for _, s := range e.Servers {
		if err := s.ready(ctx); err != nil {
			e.Close()
			return nil, err
		}
	}
	return e, nil
}

// configure writes the servers' configuration.
func configure(o Options) (*Ensemble, error) {
	e := &Ensemble{}
	var peers strings.Builder
	for i := range o.Nodes {
		host, prefix := o.Place(i)
		ports := []int{2181, 2888, 3888} // a namespace is the server's own
		if prefix == nil {
			var err error
			if ports, err = freePorts(host, 3); err != nil {
				return nil, err
			}
		}
		s := &Server{dir: filepath.Join(o.Dir, fmt.Sprintf("zookeeper-%d", i+1)), host: host, client: ports[0], prefix: prefix}
		e.Servers = append(e.Servers, s)
		fmt.Fprintf(&peers, "server.%d=%s:%d:%d\n", i+1, host, ports[1], ports[2])
	}
	for i, s := range e.Servers {
		data := filepath.Join(s.dir, "data")
		if err := os.MkdirAll(data, 0o755); err != nil {
			return nil, err
		}
		text := fmt.Sprintf("tickTime=%d\ndataDir=%s\nclientPortAddress=%s\nclientPort=%d\n"+
			"maxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\ninitLimit=20\nsyncLimit=10\n",
			o.TickTime.Milliseconds(), data, s.host, s.client)
		if o.Nodes > 1 {
			text += peers.String()
		}
		if err := os.WriteFile(filepath.Join(s.dir, "zoo.cfg"), []byte(text), 0o644); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(data, "myid"), []byte(strconv.Itoa(i+1)), 0o644); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// freePorts returns ports that nobody uses just now.
func freePorts(host string, n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all were taken: no two are the same
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// Addrs are the addresses of all servers, host:port.
func (e *Ensemble) Addrs() []string {
	var addrs []string
	for _, s := range e.Servers {
		addrs = append(addrs, s.Addr())
	}
	return addrs
}

// Leader returns the index of the server that leads the ensemble, or -1.
func (e *Ensemble) Leader() int {
	for i, s := range e.Servers {
		if mode, err := s.mode(); err == nil && (mode == "leader" || mode == "standalone") {
			return i
		}
	}
	return -1
}

// Close kills all servers and waits for their end.
func (e *Ensemble) Close() {
	for _, s := range e.Servers {
		s.Kill()
	}
}

// Addr is the address for clients, host:port. It stays the same over restarts.
func (s *Server) Addr() string { return net.JoinHostPort(s.host, strconv.Itoa(s.client)) }

// Log is what the server has logged so far.
func (s *Server) Log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(text)
}

// Run starts the server again after Kill and waits until it serves. A server of an
// ensemble serves only when a majority runs; StartOnly does not wait.
func (s *Server) Run(ctx context.Context) error {
	if err := s.launch(); err != nil {
		return err
	}
	return s.ready(ctx)
}

// StartOnly starts the server again after Kill and does not wait.
func (s *Server) StartOnly() error { return s.launch() }

// Ready waits until the server serves.
func (s *Server) Ready(ctx context.Context) error { return s.ready(ctx) }

func (s *Server) launch() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append(append([]string{}, s.prefix...), "java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-cp", Jar+":"+logJar, mainClass, filepath.Join(s.dir, "zoo.cfg"))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = endWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start ZooKeeper: %w", err)
	}
	exited := make(chan struct{})
	s.cmd, s.exited = cmd, exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	return nil
}

// ready waits until the server says which role it has.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		mode, err := s.mode()
		if err == nil && mode != "" {
			return nil
		}
		select {
		case <-retry.C:
		case <-s.exited:
			return fmt.Errorf("the ZooKeeper server %s ended:\n%s", s.Addr(), s.Log())
		case <-ctx.Done():
			return fmt.Errorf("the ZooKeeper server %s does not serve: %w\n%s", s.Addr(), ctx.Err(), s.Log())
		}
	}
}

// mode asks for the server's role: standalone, leader, follower, or "" while it has none.
func (s *Server) mode() (string, error) {
	c, err := net.DialTimeout("tcp", s.Addr(), askTimeout)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte("srvr")); err != nil {
		return "", err
	}
	for lines := bufio.NewScanner(c); lines.Scan(); {
		if mode, ok := strings.CutPrefix(lines.Text(), "Mode: "); ok {
			return mode, nil
		}
	}
	return "", nil
}

// Running says whether the server's process is there, paused or not.
func (s *Server) Running() bool {
	select {
	case <-s.exited:
		return false
	default:
		return s.exited != nil
	}
}

// Kill ends the server with SIGKILL and waits for its end. A paused one ends too.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
}
