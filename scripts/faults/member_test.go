//go:build faults && linux

package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"treadmq/admin"
	"treadmq/scripts/internal/rawstomp"
)

const (
	login    = "tester"
	passcode = "secret"

	stompPort   = "61613"
	consolePort = "8161"
	memberPort  = "61619"

	diskSize    = 192 << 20 // bytes of a member's disk
	askTimeout  = 2 * time.Second
	stopTimeout = 60 * time.Second // ends a run that hangs
)

// config has no limit of deliveries: every lost connection counts as one, and many are lost here.
const config = `[[policy]]
queue = ">"
[policy.redelivery]
maximumRedeliveries = -1
`

// member is a broker process on a machine, with a disk of its own.
type member struct {
	host
	binary string
	dir    string   // of the machine: realm file, log, clock; its disk is below
	args   []string // of every start

	mu     sync.Mutex // guards what follows
	cmd    *exec.Cmd  // nil while none runs
	exited chan struct{}
	mayEnd bool // an end by itself is part of a fault
	paused bool
	ends   []string // of processes that ended by themselves and should not have
}

func (m *member) disk() string  { return filepath.Join(m.dir, "disk") }
func (m *member) data() string  { return filepath.Join(m.disk(), "data") }
func (m *member) clock() string { return filepath.Join(m.dir, "clock") }
func (m *member) log() string   { return filepath.Join(m.dir, "log") }

// install makes the member's folder and disk.
func (m *member) install() error {
	if err := os.MkdirAll(m.disk(), 0o755); err != nil {
		return err
	}
	if err := unix.Mount(m.name, m.disk(), "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
		return fmt.Errorf("mount a disk: %w", err)
	}
	conf := filepath.Join(m.dir, "treadmq.toml")
	if err := os.WriteFile(conf, []byte(config), 0o600); err != nil {
		return err
	}
	m.args = append([]string{"console", "--config", conf, "--data", m.data(), "--realm", filepath.Join(m.dir, "realm"), "--clock-offset", m.clock(),
		"--stomp", net.JoinHostPort(m.ip(), stompPort), "--console", net.JoinHostPort(m.ip(), consolePort)}, m.args...)
	return os.WriteFile(filepath.Join(m.dir, "realm"), []byte(login+": "+passcode+",admin\n"), 0o600)
}

// start starts the process; more are further arguments of this start.
func (m *member) start(more ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd != nil {
		return fmt.Errorf("%s runs already", m.name)
	}
	log, err := os.OpenFile(m.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	fmt.Fprintf(log, "---- started at %s %v\n", time.Now().Format(time.RFC3339Nano), more)
	args := append(append(append(m.prefix(), m.binary), m.args...), more...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = m.dir, log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	m.cmd, m.exited, m.mayEnd, m.paused = cmd, make(chan struct{}), len(more) > 0, false
	go m.wait(cmd, m.exited)
	return nil
}

// wait notes the end of a process.
func (m *member) wait(cmd *exec.Cmd, exited chan struct{}) {
	_ = cmd.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == cmd {
		m.cmd = nil
		if !m.mayEnd {
			m.ends = append(m.ends, fmt.Sprintf("%s ended by itself: %v", m.name, cmd.ProcessState))
		}
	}
	close(exited)
}

// signal sends the process a signal; final says that it is expected to end by that.
func (m *member) signal(s syscall.Signal, final bool) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		done := make(chan struct{})
		close(done)
		return done
	}
	m.mayEnd = m.mayEnd || final
	_ = m.cmd.Process.Signal(s) // one that has ended is on its way to be noted
	m.paused = s == syscall.SIGSTOP
	return m.exited
}

// kill ends the process with SIGKILL and waits for its end.
func (m *member) kill() { <-m.signal(syscall.SIGKILL, true) }

// stop asks the process to end and waits for that.
func (m *member) stop() error {
	ended := m.signal(syscall.SIGTERM, true)
	select {
	case <-ended:
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("%s did not end within %v of SIGTERM; its goroutines are in its log", m.name, stopTimeout), m.quit())
	}
}

// quit ends the process so that all its goroutines show in its log.
func (m *member) quit() error {
	ended := m.signal(syscall.SIGQUIT, true)
	select {
	case <-ended:
		return nil
	case <-time.After(stopTimeout):
		m.kill()
		return fmt.Errorf("%s did not end within %v of SIGQUIT", m.name, stopTimeout)
	}
}

// pause stops the process and waits until all its threads stand still.
func (m *member) pause() {
	m.signal(syscall.SIGSTOP, false)
	for m.there() && !m.stands() {
		time.Sleep(time.Millisecond)
	}
}

func (m *member) resume() { m.signal(syscall.SIGCONT, false) }

// stands says whether all threads are stopped, or gone.
func (m *member) stands() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return true
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", m.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		return true
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err == nil && !strings.HasPrefix(string(text[strings.LastIndexByte(string(text), ')')+1:]), " T") {
			return false
		}
	}
	return true
}

// runs says whether the process is there, and not paused.
func (m *member) runs() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cmd != nil && !m.paused
}

// there says whether the process is there, paused or not.
func (m *member) there() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cmd != nil
}

// mayStop says that the process may end by itself from now on; well, that it may not any more.
func (m *member) mayStop() { m.setMayEnd(true) }
func (m *member) well()    { m.setMayEnd(false) }

func (m *member) setMayEnd(may bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mayEnd = may
}

// surprises are ends that no fault explains.
func (m *member) surprises() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ends
}

// epoch connects as a client and returns the epoch of CONNECTED; ok is false unless it serves clients.
func (m *member) epoch() (epoch uint64, ok bool) {
	if !m.runs() {
		return 0, false
	}
	c, err := rawstomp.DialTimeout(net.JoinHostPort(m.ip(), stompPort), login, passcode, askTimeout)
	if err != nil {
		return 0, false
	}
	defer c.Close()
	return parseEpoch(c.Connected.Get("server")), true
}

// status asks the member's API.
func (m *member) status() (*admin.ClusterStatus, error) {
	if !m.runs() {
		return nil, fmt.Errorf("%s does not run", m.name)
	}
	req, err := http.NewRequest("GET", "http://"+net.JoinHostPort(m.ip(), consolePort)+"/api/v1/cluster", nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(login, passcode)
	client := http.Client{Timeout: askTimeout}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", m.name, resp.Status)
	}
	s := &admin.ClusterStatus{}
	return s, json.NewDecoder(resp.Body).Decode(s)
}

// ballast fills the member's disk up to the last byte; free gives the room back.
func (m *member) ballast() error {
	f, err := os.Create(filepath.Join(m.disk(), "ballast"))
	if err != nil {
		return err
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
	return nil
}

func (m *member) free() error { return os.Remove(filepath.Join(m.disk(), "ballast")) }

// wipe is a new disk in the place of the old.
func (m *member) wipe() error { return os.RemoveAll(m.data()) }

// jump sets the member's clock off by so much.
func (m *member) jump(d time.Duration) error {
	return os.WriteFile(m.clock(), []byte(d.String()), 0o644)
}

// panics returns what the log says of crashes of the program itself.
func (m *member) panics() []string {
	text, err := os.ReadFile(m.log())
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.Contains(line, "DATA RACE") {
			found = append(found, m.name+": "+strings.TrimSpace(line))
		}
	}
	return found
}
