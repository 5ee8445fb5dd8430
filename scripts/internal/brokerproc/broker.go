// Package brokerproc runs the real treadmq program for whole-process tests: it
// starts one on a data folder, kills it or asks it to stop, and starts it again
// on the same folder and ports.
package brokerproc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Bounds of waiting. They only end a test that hangs: nothing is measured by them.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 60 * time.Second
	maxLog       = 1 << 20 // bytes of standard error that are kept: the last ones
)

// Options say how a broker is started.
type Options struct {
	Binary string   // path of treadmq, see Build
	Dir    string   // holds data folder, realm file and certificate; created if missing
	Realm  string   // content of the realm file
	Set    []string // key=value settings
	Config string   // content of the configuration file
	Env    []string // added to the environment
}

// Broker is a broker process, or the place of one that was stopped. It is used
// by one goroutine at a time; Addr and Console may be called by any.
type Broker struct {
	opts Options

	mu      sync.Mutex // guards what follows
	stomp   string     // host:port; the same after every restart
	console string     // URL
	log     tail

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone, after err was set
	err    error
	stdout sync.WaitGroup // the reader of standard output
}

// Build compiles treadmq into dir, with the race detector if race is set, and
// returns the program's path. The environment variable BROKER_BINARY names a
// program to use instead.
func Build(dir string, race bool) (string, error) {
	if bin := os.Getenv("BROKER_BINARY"); bin != "" {
		return filepath.Abs(bin)
	}
	bin := filepath.Join(dir, "treadmq")
	args := []string{"build", "-o", bin}
	if race {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "treadmq/cmd/treadmq")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build treadmq: %w\n%s", err, out)
	}
	return bin, nil
}

// Start starts a broker and waits until it takes clients.
func Start(o Options) (*Broker, error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	b := &Broker{opts: o, stomp: "127.0.0.1:0"}
	if err := os.WriteFile(b.realm(), []byte(o.Realm), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(b.config(), []byte(o.Config), 0o600); err != nil {
		return nil, err
	}
	if err := b.Start(); err != nil {
		return nil, err
	}
	return b, nil
}

// Data is the data folder.
func (b *Broker) Data() string { return filepath.Join(b.opts.Dir, "data") }

func (b *Broker) realm() string { return filepath.Join(b.opts.Dir, "jetty-realm.properties") }

func (b *Broker) config() string { return filepath.Join(b.opts.Dir, "treadmq.toml") }

// Addr is the host:port that STOMP clients connect to, in this life and the next.
func (b *Broker) Addr() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stomp
}

// Console is the URL of the console of the present life, with its path.
func (b *Broker) Console() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.console
}

// Log is the end of what the broker wrote to standard error, over all its lives.
func (b *Broker) Log() string { return b.log.String() }

// Exited is closed when the process of the present life is gone.
func (b *Broker) Exited() <-chan struct{} { return b.exited }

// Start starts the broker on the folder and port it had before.
func (b *Broker) Start() error {
	ready, err := b.launch()
	if err != nil {
		return err
	}
	select {
	case err = <-ready:
	case <-time.After(startTimeout):
		err = fmt.Errorf("the broker was not ready within %v", startTimeout)
	}
	if err != nil {
		_ = b.Kill()
		return fmt.Errorf("%w\n%s", err, b.Log())
	}
	return nil
}

// StartAndKill starts the broker and kills it after a while, ready or not.
func (b *Broker) StartAndKill(after time.Duration) error {
	if _, err := b.launch(); err != nil {
		return err
	}
	time.Sleep(after)
	return b.Kill()
}

// launch starts the process. What is received says whether clients are taken.
func (b *Broker) launch() (<-chan error, error) {
	args := []string{"console", "--data", b.Data(), "--stomp", b.Addr(), "--console", "127.0.0.1:0", "--realm", b.realm(),
		"--config", b.config()}
	for _, s := range b.opts.Set {
		args = append(args, "--set", s)
	}
	cmd := exec.Command(b.opts.Binary, args...)
	cmd.Dir = b.opts.Dir
	cmd.Env = append(environ(), b.opts.Env...)
	cmd.Stderr = &b.log
	// An *os.File of our own rather than StdoutPipe: Wait must not close it before it was read.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("start the broker: %w", err)
	}
	b.cmd, b.exited = cmd, make(chan struct{})
	go func() {
		b.err = cmd.Wait()
		close(b.exited)
	}()
	ready := make(chan error, 1)
	b.stdout.Go(func() { b.readStdout(r, ready) })
	return ready, nil
}

// environ is the environment without settings for brokers of the machine.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TREADMQ_") })
}

// readStdout reads the lines that a broker prints when it is ready, and the
// rest until its end.
func (b *Broker) readStdout(r io.ReadCloser, ready chan<- error) {
	defer r.Close()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		value = strings.TrimSpace(value)
		b.mu.Lock()
		switch name {
		case "stomp":
			b.stomp = value
		case "console":
			b.console = value
		}
		b.mu.Unlock()
		if name == "pid" {
			ready <- nil
			_, _ = io.Copy(io.Discard, r)
			return
		}
	}
	ready <- errors.New("the broker ended before it was ready")
}

// Kill ends the process with SIGKILL, as a crash does, and waits for its end.
func (b *Broker) Kill() error {
	_ = b.cmd.Process.Kill()
	return b.wait()
}

// Stop asks the process to end with SIGTERM and waits for its end. An exit code
// other than 0 or that of an answered signal is an error.
func (b *Broker) Stop() error {
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := b.wait(); err != nil {
		return err
	}
	var exit *exec.ExitError
	if errors.As(b.err, &exit) && exit.ExitCode() != 128+int(syscall.SIGTERM) {
		return fmt.Errorf("the broker ended with %w\n%s", b.err, b.Log())
	}
	return nil
}

func (b *Broker) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	select {
	case <-b.exited:
		b.stdout.Wait()
		return nil
	case <-ctx.Done():
		_ = b.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines show in the log
		select {
		case <-b.exited:
		case <-time.After(stopTimeout):
			_ = b.cmd.Process.Kill()
			<-b.exited
		}
		return fmt.Errorf("the broker did not end within %v\n%s", stopTimeout, b.Log())
	}
}

// tail is a writer that keeps the last maxLog bytes.
type tail struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - maxLog; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// Pid is the process of the present life.
func (b *Broker) Pid() int { return b.cmd.Process.Pid }
