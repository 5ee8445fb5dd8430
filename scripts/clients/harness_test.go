//go:build clients

package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"treadmq/scripts/internal/brokerproc"
)

// What clients log in with. The passcode has what escaping clients change in CONNECT.
const (
	login    = "tester"
	passcode = `s3:cr\et`
)

const (
	clientTimeout = 150 * time.Second // for a whole program
	countTimeout  = 30 * time.Second  // until a queue holds what it should
	countPause    = 20 * time.Millisecond
)

// environment is what the runs of all clients share.
type environment struct {
	broker   string // path of treadmq
	goClient string
	dir      string
	cert     certificate
}

func newEnvironment(t *testing.T, dir string) *environment {
	t.Helper()
	e := &environment{dir: dir}
	var err error
	if e.broker, err = brokerproc.Build(dir, os.Getenv("BROKER_RACE") != ""); err != nil {
		t.Fatal(err)
	}
	if e.goClient, err = buildGoClient(dir); err != nil {
		t.Fatal(err)
	}
	if e.cert, err = newCertificate(dir); err != nil {
		t.Fatal(err)
	}
	return e
}

// run runs a client's program against a broker of its own.
func (e *environment) run(t *testing.T, c client) {
	b, err := brokerproc.Start(brokerproc.Options{
		Binary: e.broker,
		Dir:    filepath.Join(e.dir, c.name),
		Realm:  login + ": " + strings.ReplaceAll(passcode, `\`, `\\`) + ",admin\n",
		Set:    append([]string{"stomp.tls.cert=" + e.cert.file, "stomp.tls.key=" + e.cert.key, "anonymous=false"}, c.set...),
		Config: c.config,
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &run{t: t, broker: b}
	r.program(c, e.cert.file)
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	if what := c.missing(r.proven); r.done && what != "" {
		t.Error(what)
	}
	if t.Failed() {
		t.Logf("what %s said:\n%s\nwhat the broker said:\n%s", c.name, r.said.String(), b.Log())
	}
}

// run is one client against its broker.
type run struct {
	t      *testing.T
	broker *brokerproc.Broker
	proven []string
	said   strings.Builder
	done   bool
}

// program runs the client and answers it until it ends.
func (r *run) program(c client, ca string) {
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	cmd.Env = append(os.Environ(), r.environ(ca)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its children end with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out, w, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		out.Close()
		r.t.Fatal(err)
	}
	var talk sync.WaitGroup
	talk.Go(func() {
		r.talk(out, stdin)
		stdin.Close() // a program that waits for an answer ends, too
	})
	err = cmd.Wait()
	talk.Wait()
	out.Close()
	r.said.Write(stderr.Bytes())
	switch {
	case ctx.Err() != nil:
		r.t.Errorf("%s was not finished after %v", c.name, clientTimeout)
	case err != nil:
		r.t.Errorf("%s: %v", c.name, err)
	case !r.done:
		r.t.Errorf("%s ended without saying done", c.name)
	}
}

func (r *run) environ(ca string) []string {
	host, port, err := net.SplitHostPort(r.broker.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	return []string{
		"STOMP_HOST=" + host, "STOMP_PORT=" + port, "STOMP_LOGIN=" + login, "STOMP_PASSCODE=" + passcode, "STOMP_CA=" + ca,
		"LC_ALL=C.UTF-8",
	}
}

// talk answers what the program says, line by line.
func (r *run) talk(out io.Reader, stdin io.Writer) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		fmt.Fprintf(&r.said, "%s\n", line)
		f := strings.Fields(line)
		var err error
		switch {
		case len(f) == 1 && f[0] == "done":
			r.done = true
			continue
		case len(f) == 2 && f[0] == "ok":
			r.proven = append(r.proven, f[1])
			continue
		case len(f) == 2 && f[0] == "restart":
			err = r.restart(f[1])
		case len(f) == 3 && f[0] == "count":
			err = r.count(f[1], f[2])
		case len(f) == 2 && f[0] == "there":
			err = r.until("is not there", f[1], func(_ int64, there bool) bool { return there })
		case len(f) == 2 && f[0] == "gone":
			err = r.until("is still there", f[1], func(_ int64, there bool) bool { return !there })
		default:
			continue
		}
		if err != nil {
			r.t.Errorf("%s: %v", line, err)
			return
		}
		if _, err := io.WriteString(stdin, "done\n"); err != nil {
			return // the program ended; its exit code says why
		}
	}
}

func (r *run) restart(how string) error {
	stop := r.broker.Kill
	if how == "term" {
		stop = r.broker.Stop
	}
	if err := stop(); err != nil {
		return err
	}
	return r.broker.Start()
}

// count waits until a queue holds n messages, as the broker's API says.
func (r *run) count(queue, n string) error {
	want, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		return err
	}
	return r.until("does not hold "+n, queue, func(depth int64, _ bool) bool { return depth == want })
}

// until waits until a queue is as it should be.
func (r *run) until(otherwise, queue string, ok func(depth int64, there bool) bool) error {
	deadline := time.Now().Add(countTimeout)
	for {
		depth, there, err := r.depth(queue)
		if err != nil {
			return err
		}
		if ok(depth, there) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("queue %s %s (it holds %d messages, exists: %v)", queue, otherwise, depth, there)
		}
		time.Sleep(countPause)
	}
}

// depth is how many messages a queue holds, those in flight included, and
// whether it exists.
func (r *run) depth(queue string) (depth int64, there bool, err error) {
	u, err := url.Parse(r.broker.Console())
	if err != nil {
		return 0, false, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
	defer cancel()
	where := u.Scheme + "://" + u.Host + "/api/v1/queues/" + url.PathEscape(queue)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return 0, false, err
	}
	req.SetBasicAuth(login, passcode)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, false, err
	}
	defer resp.Body.Close()
	var q struct{ Messages int64 }
	switch resp.StatusCode {
	case http.StatusNotFound:
		return 0, false, nil
	case http.StatusOK:
		err = json.NewDecoder(resp.Body).Decode(&q)
		return q.Messages, true, err
	}
	return 0, false, fmt.Errorf("GET %s: %s", where, resp.Status)
}
