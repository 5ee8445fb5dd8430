package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is the binary under test; TestMain builds it.
var program string

func TestMain(m *testing.M) {
	os.Exit(withProgram(m))
}

func withProgram(m *testing.M) int {
	dir, err := os.MkdirTemp("", "treadmq")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "treadmq")
	args := []string{"build", "-ldflags", "-X main.version=1.2.3-test", "-o", program}
	if os.Getenv("TREADMQ_TEST_RACE") != "" {
		args = append(args, "-race") // takes minutes, because it starts the program hundreds of times
	}
	build := exec.Command("go", append(args, ".")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s\n%v\n", out, err)
		return 1
	}
	defer sharedBroker.stop()
	return m.Run()
}

// call is one run of the program.
type call struct {
	args  []string
	env   []string // on top of an almost empty environment
	stdin io.Reader
	dir   string
}

// outcome is what came of it.
type outcome struct {
	stdout, stderr string
	code           int
}

// patience bounds every run and every wait of these tests.
const patience = 60 * time.Second

func (c call) command(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, c.args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}, c.env...)
	cmd.Stdin, cmd.Dir = c.stdin, c.dir
	return cmd
}

func (c call) run(t *testing.T) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := c.command(ctx)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("treadmq %s did not end\n%s\n%s", strings.Join(c.args, " "), &out, &errs)
	}
	return outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func treadmq(t *testing.T, args ...string) outcome {
	t.Helper()
	return call{args: args}.run(t)
}

// want fails the test unless the program ended as it should.
func (o outcome) want(t *testing.T, code int) outcome {
	t.Helper()
	if o.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", o.code, code, o.stdout, o.stderr)
	}
	return o
}

// says fails the test unless standard error holds the texts.
func (o outcome) says(t *testing.T, texts ...string) outcome {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(o.stderr, text) {
			t.Errorf("standard error does not say %q:\n%s", text, o.stderr)
		}
	}
	return o
}

// eventually waits for a condition of another process.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen within %s", what, patience)
		}
	}
}

// runningBroker is a broker process.
type runningBroker struct {
	args     []string // of console
	once     sync.Once
	dir      string
	cmd      *exec.Cmd
	ended    chan error
	state    runState
	password string
	err      error
}

var sharedBroker runningBroker

// theBroker starts the broker that all tests share; each uses destinations of its own.
func theBroker(t *testing.T) *runningBroker {
	t.Helper()
	sharedBroker.once.Do(func() { sharedBroker.err = sharedBroker.start() })
	if sharedBroker.err != nil {
		t.Fatal(sharedBroker.err)
	}
	return &sharedBroker
}

// ownBroker starts a broker for one test.
func ownBroker(t *testing.T, args ...string) *runningBroker {
	t.Helper()
	b := &runningBroker{args: args}
	t.Cleanup(b.stop)
	if err := b.start(); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *runningBroker) start() (err error) {
	if b.dir, err = os.MkdirTemp("", "treadmq-broker"); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(b.dir, "out"))
	if err != nil {
		return err
	}
	defer out.Close()
	c := call{args: []string{"console", "--data", "data", "--stomp", "127.0.0.1:0", "--console", "127.0.0.1:0"}, dir: b.dir}
	c.args = append(c.args, b.args...)
	b.cmd = c.command(context.Background())
	b.cmd.Stdout, b.cmd.Stderr = out, out
	if err := b.cmd.Start(); err != nil {
		return err
	}
	b.ended = make(chan error, 1)
	go func() { b.ended <- b.cmd.Wait() }()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(b.dir, "data", runFile))
		if err == nil && json.Unmarshal(text, &b.state) == nil {
			break
		}
		if time.Now().After(end) {
			said, _ := os.ReadFile(out.Name())
			return fmt.Errorf("the broker did not start: %s", said)
		}
	}
	said, err := os.ReadFile(out.Name())
	_, after, _ := strings.Cut(string(said), "admin / ")
	b.password, _, _ = strings.Cut(after, " ")
	return err
}

func (b *runningBroker) stop() {
	if b.cmd != nil && b.cmd.Process != nil {
		b.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-b.ended:
		case <-time.After(patience):
			b.cmd.Process.Kill()
			<-b.ended
		}
		b.cmd = nil
	}
	os.RemoveAll(b.dir)
}

func (b *runningBroker) url() string { return "tcp://" + b.state.Stomp[0] }

// env points the client commands to the broker.
func (b *runningBroker) env() []string {
	return []string{envURL + "=" + b.url(), envConsole + "=" + b.state.Console, envUser + "=admin", envPassword + "=" + b.password}
}

// run runs a client command against the broker.
func (b *runningBroker) run(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	return call{args: args, env: b.env(), stdin: strings.NewReader(stdin)}.run(t)
}

// lockedBuffer is what a process that still runs has written.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
