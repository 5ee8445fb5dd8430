// Package group runs a replicated group of real processes on loopback: a ZooKeeper
// and some members, each a treadmq of its own, that can be killed and started again.
package group

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"treadmq/ha/zk/zktest"
)

// Bounds of waiting. They only end what hangs: nothing is measured by them.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
	pause        = 20 * time.Millisecond
)

// Options say what is started.
type Options struct {
	Binary  string // path of treadmq
	Dir     string // data, configurations and logs; made if it is not there
	Members int    // 0 = 3
	Realm   string // path of the realm file; empty: one without users in Dir
	// Ports gives the ports of the i-th member, from 0. nil = free ones.
	Ports func(i int) (stomp, console, replication int)
	Set   []string // key=value settings of all members
	// TickTime is ZooKeeper's unit of time, see zktest.Options: sessions last 2 to 20 of them.
	TickTime time.Duration
}

// Group is a ZooKeeper and the members.
type Group struct {
	ZooKeeper *zktest.Ensemble
	Members   []*Member
}

// Member is one broker process, or the place of one that was stopped.
type Member struct {
	Name        string
	Stomp       string // host:port
	Console     string // URL with a slash at its end
	Replication string // host:port
	Dir         string // data folder, log and configuration

	binary string
	set    []string
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone
}

// Start starts ZooKeeper and the members and waits until one of them is master.
func Start(ctx context.Context, o Options) (*Group, error) {
	if o.Members == 0 {
		o.Members = 3
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	z, err := zktest.Start(ctx, zktest.Options{Dir: o.Dir, TickTime: o.TickTime})
	if err != nil {
		return nil, err
	}
	g := &Group{ZooKeeper: z}
	for i := range o.Members {
		m, err := g.member(&o, i)
		if err == nil {
			g.Members = append(g.Members, m)
			err = m.Start()
		}
		if err != nil {
			g.Stop()
			return nil, err
		}
	}
	if _, err := g.Master(ctx); err != nil {
		err = fmt.Errorf("%w\n%s", err, g.Logs())
		g.Stop()
		return nil, err
	}
	return g, nil
}

// Add starts one more member, which asks for no vote.
func (g *Group) Add(o Options) (*Member, error) {
	m, err := g.member(&o, len(g.Members))
	if err != nil {
		return nil, err
	}
	g.Members = append(g.Members, m)
	return m, m.Start()
}

// member makes the place of the i-th member and writes its configuration.
func (g *Group) member(o *Options, i int) (*Member, error) {
	stomp, console, replication, err := ports(o, i)
	if err != nil {
		return nil, err
	}
	name := string(rune('a' + i))
	m := &Member{Name: name, Dir: filepath.Join(o.Dir, name), binary: o.Binary, set: o.Set, Stomp: fmt.Sprintf("127.0.0.1:%d", stomp),
		Console: fmt.Sprintf("http://127.0.0.1:%d/", console), Replication: fmt.Sprintf("127.0.0.1:%d", replication)}
	if err := os.MkdirAll(m.Dir, 0o755); err != nil {
		return nil, err
	}
	realm := o.Realm
	if realm == "" {
		realm = filepath.Join(o.Dir, "realm.properties")
		if err := os.WriteFile(realm, []byte("# nobody may log in\n"), 0o600); err != nil {
			return nil, err
		}
	}
	text := fmt.Sprintf(`brokerName = "cluster"
data = %q
realm = %q
anonymous = true
log.file = %q

[stomp]
listen = [%q]

[console]
listen = "127.0.0.1:%d"

[persistence.replicatedLevelDB]
name = %q
replicas = %d
bind = "tcp://%s"
hostname = "127.0.0.1"
zkAddress = [%q]
zkPassword = "only for tests"
securityToken = "only for tests"
`, filepath.Join(m.Dir, "data"), realm, m.LogFile(), m.Stomp, console, name, max(o.Members, 3), m.Replication, g.ZooKeeper.Addrs()[0])
	return m, os.WriteFile(m.config(), []byte(text), 0o600)
}

func (m *Member) config() string { return filepath.Join(m.Dir, "treadmq.toml") }

// LogFile is where the member logs.
func (m *Member) LogFile() string { return filepath.Join(m.Dir, "treadmq.log") }

func ports(o *Options, i int) (stomp, console, replication int, err error) {
	if o.Ports != nil {
		stomp, console, replication = o.Ports(i)
		return stomp, console, replication, nil
	}
	free := [3]int{}
	for k := range free {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, 0, err
		}
		defer l.Close() // after all were taken: no two are the same
		free[k] = l.Addr().(*net.TCPAddr).Port
	}
	return free[0], free[1], free[2], nil
}

// Start starts the member and waits until its process takes part in the group.
func (m *Member) Start() error {
	args := []string{"console", "--config", m.config()}
	for _, s := range m.set {
		args = append(args, "--set", s)
	}
	out, err := os.OpenFile(filepath.Join(m.Dir, "out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	run := filepath.Join(m.Dir, "data", "treadmq.run")
	if err := os.Remove(run); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	m.cmd = exec.Command(m.binary, args...)
	m.cmd.Stdout, m.cmd.Stderr = out, out
	m.cmd.SysProcAttr = endWithParent()
	if err := m.cmd.Start(); err != nil {
		return err
	}
	m.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(exited)
	}(m.cmd, m.exited)
	for deadline := time.Now().Add(startTimeout); ; {
		if _, err := os.Stat(run); err == nil {
			return nil
		}
		select {
		case <-m.exited:
			return fmt.Errorf("member %s ended at its start:\n%s", m.Name, m.Said())
		case <-time.After(pause):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("member %s does not start:\n%s", m.Name, m.Said())
		}
	}
}

// Said is the end of what the member wrote and logged, over all its lives.
func (m *Member) Said() string {
	var text string
	for _, name := range []string{filepath.Join(m.Dir, "out"), m.LogFile()} {
		b, _ := os.ReadFile(name)
		text += string(b[max(0, len(b)-20000):])
	}
	return text
}

// Exited is closed when the process is gone.
func (m *Member) Exited() <-chan struct{} { return m.exited }

// ExitCode is how the process ended.
func (m *Member) ExitCode() int { return m.cmd.ProcessState.ExitCode() }

// Pid is the process.
func (m *Member) Pid() int { return m.cmd.Process.Pid }

// Running reports whether the process is there.
func (m *Member) Running() bool {
	if m.cmd == nil {
		return false
	}
	select {
	case <-m.exited:
		return false
	default:
		return true
	}
}

// Kill ends the process at once and waits for its end.
func (m *Member) Kill() { m.end(syscall.SIGKILL) }

// Stop asks the process to end, in order if it does so in time, and waits for its end.
func (m *Member) Stop() {
	if !m.Running() {
		return
	}
	_ = m.cmd.Process.Signal(syscall.SIGTERM) // it may just have ended
	select {
	case <-m.exited:
	case <-time.After(stopTimeout):
		m.Kill()
	}
}

func (m *Member) end(sig syscall.Signal) {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Signal(sig) // it may have ended
	<-m.exited
}

// Ready reports whether the member takes clients.
func (m *Member) Ready() bool {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	resp, err := client.Get(m.Console + "readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Role is what the member says of itself, empty if it does not answer.
func (m *Member) Role() string {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	resp, err := client.Get(m.Console + "readyz")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var said struct{ Role string }
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		return ""
	}
	return said.Role
}

// Await waits until the member has a role.
func (m *Member) Await(ctx context.Context, role string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		now := m.Role()
		if now == role {
			return role, nil
		}
		select {
		case <-ctx.Done():
			return now, fmt.Errorf("member %s is %q, not %s: %w\n%s", m.Name, now, role, ctx.Err(), m.Said())
		case <-time.After(pause):
		}
	}
}

// Master waits until a member takes clients, and returns it.
func (g *Group) Master(ctx context.Context) (*Member, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		for _, m := range g.Members {
			if m.Running() && m.Ready() {
				return m, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no member became master: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// URL is the failover address of all members, with options such as "?maxReconnectAttempts=5".
func (g *Group) URL(options string) string {
	var list []string
	for _, m := range g.Members {
		list = append(list, "tcp://"+m.Stomp)
	}
	return "failover:(" + strings.Join(list, ",") + ")" + options
}

// Logs is what all members said.
func (g *Group) Logs() string {
	var b strings.Builder
	for _, m := range g.Members {
		fmt.Fprintf(&b, "--- %s\n%s\n", m.Name, m.Said())
	}
	return b.String()
}

// Stop ends the members in order, the master last, and ZooKeeper.
func (g *Group) Stop() {
	var last []*Member
	for _, m := range g.Members {
		if m.Running() && m.Ready() {
			last = append(last, m)
			continue
		}
		m.Stop()
	}
	for _, m := range last {
		m.Stop()
	}
	g.ZooKeeper.Close()
}
