package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serverProcess is `treadmq console` with flags of the test's choice.
type serverProcess struct {
	t     *testing.T
	dir   string
	cmd   *exec.Cmd
	ended chan struct{}
	state runState
}

// serve starts a broker in a folder and waits until it is ready.
func serve(t *testing.T, dir string, env []string, flags ...string) *serverProcess {
	t.Helper()
	p := &serverProcess{t: t, dir: dir, ended: make(chan struct{})}
	args := append([]string{"console", "--data", "data", "--stomp", "127.0.0.1:0", "--console", "127.0.0.1:0"}, flags...)
	p.cmd = call{args: args, env: env, dir: dir}.command(context.Background())
	out, err := os.OpenFile(filepath.Join(dir, "out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	os.Remove(filepath.Join(dir, "data", runFile))
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { p.end(syscall.SIGKILL) })
	eventually(t, "a broker that is ready:\n"+p.said(), func() bool {
		select {
		case <-p.ended:
			t.Fatalf("the broker ended:\n%s", p.said())
		default:
		}
		text, err := os.ReadFile(filepath.Join(dir, "data", runFile))
		return err == nil && json.Unmarshal(text, &p.state) == nil
	})
	return p
}

func (p *serverProcess) said() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "out"))
	return string(b)
}

// end sends a signal and waits; it returns the exit code.
func (p *serverProcess) end(sig syscall.Signal) int {
	p.cmd.Process.Signal(sig)
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

func (p *serverProcess) client(args ...string) outcome {
	p.t.Helper()
	return call{args: args, env: []string{envURL + "=tcp://" + p.state.Stomp[0]}}.run(p.t)
}

func (p *serverProcess) saysEventually(text string) {
	p.t.Helper()
	eventually(p.t, "a log line with "+text, func() bool { return strings.Contains(p.said(), text) })
}

func TestMessagesSurviveKill9(t *testing.T) {
	dir := t.TempDir()
	p := serve(t, dir, nil)
	p.client("send", "orders", "--body", "one").want(t, 0)
	p.end(syscall.SIGKILL)
	p = serve(t, dir, nil)
	if o := p.client("recv", "orders", "-n", "1").want(t, 0); !strings.Contains(o.stdout, "one") {
		t.Errorf("received %q", o.stdout)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("an orderly stop ended with %d:\n%s", code, p.said())
	}
}

func TestFailingSyncEndsTheBrokerAndLosesNothing(t *testing.T) {
	dir := t.TempDir()
	p := serve(t, dir, nil, "--store-fault", "sync@.log:8+:EIO")
	confirmed := 0
	for range 20 {
		if o := p.client("send", "orders", "--body", "x"); o.code != 0 {
			break
		}
		confirmed++
	}
	<-p.ended
	if code := p.cmd.ProcessState.ExitCode(); code != 74 {
		t.Errorf("exit code %d:\n%s", code, p.said())
	}
	if confirmed == 0 || confirmed == 20 {
		t.Fatalf("%d messages were confirmed: the fault came at the wrong time", confirmed)
	}
	p = serve(t, dir, nil)
	o := p.client("recv", "orders", "-n", "100", "--timeout", "1s")
	if n := strings.Count(o.stdout, "x"); n < confirmed {
		t.Errorf("%d messages were confirmed and %d are there", confirmed, n)
	}
}

func TestSecondBrokerOnAFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	p := serve(t, dir, nil)
	second := call{args: []string{"console", "--data", "data", "--stomp", "127.0.0.1:0", "--console", "", "--realm", "r"}, dir: dir}
	second.run(t).want(t, 1).says(t, "runs on")
	os.Remove(filepath.Join(dir, "data", runFile)) // also when the run file is gone: the store is locked
	second.run(t).want(t, exitTryAgain).says(t, "in use")
	p.client("send", "orders", "--body", "x").want(t, 0)
}

func TestAddressInUseIsSaidInWords(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	call{args: []string{"console", "--data", "data", "--stomp", l.Addr().String(), "--console", ""}, dir: t.TempDir()}.
		run(t).want(t, exitCannot).says(t, "cannot listen on "+l.Addr().String(), "port 0")
}

func TestServiceManagerIsTold(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: sock, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := serve(t, t.TempDir(), []string{"NOTIFY_SOCKET=" + sock, "WATCHDOG_USEC=100000"})
	seen := map[string]bool{}
	buf := make([]byte, 100)
	l.SetReadDeadline(time.Now().Add(patience))
	for !seen["READY=1"] || !seen["WATCHDOG=1"] {
		n, err := l.Read(buf)
		if err != nil {
			t.Fatalf("it was told %v: %v", seen, err)
		}
		seen[string(buf[:n])] = true
	}
	go p.end(syscall.SIGTERM)
	for !seen["STOPPING=1"] {
		n, err := l.Read(buf)
		if err != nil {
			t.Fatalf("it was told %v: %v", seen, err)
		}
		seen[string(buf[:n])] = true
	}
}

func TestReloadTakesUpPoliciesUsersAndCertificates(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certificate(t, dir, "first")
	conf := "anonymous = true\n[stomp.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n"
	write("treadmq.toml", conf)
	p := serve(t, dir, nil, "--config", "treadmq.toml")
	p.client("send", "small", "--body", "1").want(t, 0)
	p.client("send", "small", "--body", "2").want(t, 0)
	if name := served(t, p.state.Stomp[0]); name != "first" {
		t.Errorf("the certificate is of %q", name)
	}

	certificate(t, dir, "second")
	write("treadmq.toml", conf+"[[policy]]\nqueue = \"small\"\nmaxMessages = 2\nonFull = \"fail\"\n")
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.saysEventually(`"msg":"reloaded"`)
	p.client("send", "small", "--body", "3").want(t, exitTryAgain).says(t, "full")
	if name := served(t, p.state.Stomp[0]); name != "second" {
		t.Errorf("after the reload the certificate is of %q", name)
	}

	write("treadmq.toml", "nonsense = 1\n")
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.saysEventually("the configuration is not usable")
	p.saysEventually(`"msg":"reloaded in part`)
	if n := strings.Count(p.said(), `"msg":"reloaded"`); n != 1 {
		t.Errorf("it was reloaded %d times, and once only in part:\n%s", n, p.said())
	}
	p.client("send", "small", "--body", "3").want(t, exitTryAgain).says(t, "full")
}

// certificate writes cert.pem and key.pem for a name.
func certificate(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der},
		"key.pem":  {Type: "EC PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// served is the name in the certificate that a listener shows.
func served(t *testing.T, addr string) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}
