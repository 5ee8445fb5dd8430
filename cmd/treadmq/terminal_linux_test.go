package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo-terminal: what a person sees and types is at master.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// person is somebody at a terminal who runs a command.
type person struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	screen *lockedBuffer // standard error, and the echo of what is typed
	stdout *lockedBuffer
	read   chan struct{}
}

func atTerminal(t *testing.T, c call) *person {
	t.Helper()
	master, slave := openTerminal(t)
	p := &person{t: t, master: master, screen: &lockedBuffer{}, stdout: &lockedBuffer{}, read: make(chan struct{})}
	p.cmd = c.command(t.Context())
	p.cmd.Stdin, p.cmd.Stderr, p.cmd.Stdout = slave, slave, p.stdout
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	go func() {
		defer close(p.read)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			p.screen.Write(buf[:n])
			if err != nil {
				return // the last process has closed the other side
			}
		}
	}()
	return p
}

func (p *person) sees(text string) {
	p.t.Helper()
	eventually(p.t, "the screen showing "+text, func() bool { return strings.Contains(p.screen.String(), text) })
}

func (p *person) types(text string) { p.master.WriteString(text) }

func (p *person) end() (code int, screen string) {
	p.t.Helper()
	p.cmd.Wait()
	<-p.read
	return p.cmd.ProcessState.ExitCode(), p.screen.String()
}

func TestPurgeAsksForTheName(t *testing.T) {
	b := theBroker(t)
	b.run(t, "a\nb\n", "send", "asked", "--lines").want(t, 0)
	for _, c := range []struct {
		answer string
		code   int
		left   string
	}{{"yes\n", exitFailure, "2"}, {"\x04", exitFailure, "2"}, {"\x03", 130, "2"}, {"asked\n", 0, "0"}} {
		p := atTerminal(t, call{args: []string{"queue", "purge", "asked"}, env: b.env()})
		p.sees("2 messages")
		p.sees("Type the name to purge it (asked): ")
		p.types(c.answer)
		if code, screen := p.end(); code != c.code {
			t.Errorf("%q: exit code %d, want %d: %s", c.answer, code, c.code, screen)
		}
		if o := b.run(t, "", "queue", "ls", "asked", "-o", "csv").want(t, 0); !strings.Contains(o.stdout, "asked,"+c.left+",") {
			t.Errorf("after %q: %s", c.answer, o.stdout)
		}
	}
}

func TestPasswordIsAskedForAndNotShown(t *testing.T) {
	b := theBroker(t)
	p := atTerminal(t, call{args: []string{"queue", "ls", "--user", "admin", "--console", b.state.Console}})
	p.sees("Password of admin: ")
	p.types(b.password + "\n")
	if code, screen := p.end(); code != 0 || strings.Contains(screen, b.password) || !strings.Contains(p.stdout.String(), "NAME") {
		t.Errorf("exit code %d: %s%s", code, screen, p.stdout)
	}
	// Ctrl-C at the prompt ends the command and leaves the terminal as it was
	p = atTerminal(t, call{args: []string{"queue", "ls", "--user", "admin", "--console", b.state.Console}})
	p.sees("Password of admin: ")
	p.types("\x03")
	code, screen := p.end()
	if code != 130 {
		t.Errorf("exit code %d: %s", code, screen)
	}
}

func TestRealmHashAsksTwice(t *testing.T) {
	for second, code := range map[string]int{"secret\n": 0, "typo\n": exitData} {
		p := atTerminal(t, call{args: []string{"realm", "hash", "alice"}})
		p.sees("Password: ")
		p.types("secret\n")
		p.sees("Again: ")
		p.types(second)
		got, screen := p.end()
		if got != code || strings.Contains(screen, "secret") || code == 0 && !strings.HasPrefix(p.stdout.String(), "alice: BCRYPT:") {
			t.Errorf("exit code %d: %s%s", got, screen, p.stdout)
		}
	}
}

// Progress and colour are for terminals, and for those who want them.
func TestProgressOnlyOnATerminal(t *testing.T) {
	b := theBroker(t)
	args := []string{"send", "/topic/progress", "-b", "x", "-n", "200", "--rate", "400"}
	for name, c := range map[string]struct {
		args, env []string
		bar       bool
	}{
		"terminal":   {nil, []string{"TERM=xterm"}, true},
		"NO_COLOR":   {nil, []string{"TERM=xterm", "NO_COLOR=1"}, false},
		"dumb":       {nil, []string{"TERM=dumb"}, false},
		"CI":         {nil, []string{"TERM=xterm", "CI=true"}, false},
		"--no-color": {[]string{"--no-color"}, []string{"TERM=xterm"}, false},
		"--quiet":    {[]string{"--quiet"}, []string{"TERM=xterm"}, false},
	} {
		p := atTerminal(t, call{args: append(args, c.args...), env: append(b.env(), c.env...)})
		code, screen := p.end()
		if code != 0 || strings.Contains(screen, "sending") != c.bar || p.stdout.String() != "" {
			t.Errorf("%s: exit code %d, bar %v: %q", name, code, c.bar, screen)
		}
	}
	o := b.run(t, "", args...).want(t, 0)
	if strings.ContainsAny(o.stderr, "\r\x1b") {
		t.Errorf("without a terminal: %q", o.stderr)
	}
}

// What takes long shows how far it is: loads that end after a time, actions on many messages, and the commands that read a store.
func TestProgressOfLongJobs(t *testing.T) {
	b := ownBroker(t)
	b.run(t, "", "send", "many", "-b", "x", "-n", "3000").want(t, 0)
	look := func(bar string, args ...string) {
		t.Helper()
		p := atTerminal(t, call{args: args, env: append(b.env(), "TERM=xterm")})
		if code, screen := p.end(); code != 0 || !strings.Contains(screen, bar) {
			t.Errorf("%v: exit code %d, no %q on the screen: %q", args, code, bar, screen)
		}
	}
	look("bench (", "bench", "short", "--duration", "500ms")
	b.run(t, "", "stop", "--data", b.state.Data).want(t, 0)
	look("checking  ", "store", "check", b.state.Data)
	look("compacting (", "store", "compact", b.state.Data)
	look("opening (", "store", "stats", b.state.Data)
	look("rebuilding  ", "store", "rebuild", b.state.Data)
}

func TestErrorsAreColouredOnATerminalOnly(t *testing.T) {
	for _, env := range [][]string{{"TERM=xterm"}, {"TERM=xterm", "NO_COLOR=1"}} {
		_, screen := atTerminal(t, call{args: []string{"nonsense"}, env: env}).end()
		if strings.Contains(screen, "\x1b[31") != (len(env) == 1) {
			t.Errorf("%v: %q", env, screen)
		}
	}
}
