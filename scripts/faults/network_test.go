//go:build faults && linux

package faults

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	bridge   = "hbr"
	subnet   = "10.77.0."
	clientIP = subnet + "254" // of the tests' own namespace, where the clients are
	deadMAC  = "02:77:ff:ff:ff:ff"
)

// host is a machine: a network namespace with one address.
type host struct {
	name string
	n    int // last byte of address and MAC
}

func (h *host) ip() string  { return fmt.Sprint(subnet, h.n) }
func (h *host) mac() string { return fmt.Sprintf("02:77:00:00:00:%02x", h.n) }

// prefix is put before a command that is to run on the machine.
func (h *host) prefix() []string { return []string{"ip", "netns", "exec", h.name} }

// network connects machines by a bridge. Cuts are one-way and silent: what one machine sends
// to another goes to an Ethernet address that nobody has.
type network struct {
	hosts []*host

	mu  sync.Mutex // guards cut
	cut map[[2]string]bool
}

// newNetwork makes machines, names to the last bytes of their addresses.
func newNetwork(hosts []*host) (*network, error) {
	n := &network{hosts: hosts, cut: map[[2]string]bool{}}
	for _, c := range [][]string{
		{"link", "add", bridge, "type", "bridge"}, {"addr", "add", clientIP + "/24", "dev", bridge}, {"link", "set", bridge, "up"},
	} {
		if err := run("ip", c...); err != nil {
			return nil, err
		}
	}
	for _, h := range hosts {
		out := "v" + h.name
		for _, c := range [][]string{
			{"netns", "add", h.name},
			{"link", "add", out, "type", "veth", "peer", "name", "eth0", "address", h.mac(), "netns", h.name},
			{"link", "set", out, "master", bridge}, {"link", "set", out, "up"},
			{"-n", h.name, "link", "set", "lo", "up"}, {"-n", h.name, "addr", "add", h.ip() + "/24", "dev", "eth0"},
			{"-n", h.name, "link", "set", "eth0", "up"},
		} {
			if err := run("ip", c...); err != nil {
				return nil, err
			}
		}
	}
	for _, a := range hosts {
		for _, b := range hosts {
			if a != b {
				if err := n.neighbour(a, b, b.mac()); err != nil {
					return nil, err
				}
			}
		}
	}
	return n, nil
}

func (n *network) neighbour(a, b *host, mac string) error {
	return run("ip", "-n", a.name, "neigh", "replace", b.ip(), "lladdr", mac, "dev", "eth0", "nud", "permanent")
}

// cutOff loses what a sends to b, silently.
func (n *network) cutOff(a, b *host) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[[2]string{a.name, b.name}] = true
	return n.neighbour(a, b, deadMAC)
}

// heal undoes all cuts.
func (n *network) heal() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.hosts {
		for _, b := range n.hosts {
			if pair := [2]string{a.name, b.name}; n.cut[pair] {
				if err := n.neighbour(a, b, b.mac()); err != nil {
					return err
				}
				delete(n.cut, pair)
			}
		}
	}
	return nil
}

// close removes all machines. Their processes must have ended.
func (n *network) close() {
	for _, h := range n.hosts {
		_ = run("ip", "netns", "del", h.name) // it goes with our own namespace at the latest
		_ = run("ip", "link", "del", "v"+h.name)
	}
	_ = run("ip", "link", "del", bridge)
}

// listen opens a UDP socket on a machine: a socket stays in the namespace in which it was made.
func listen(t *testing.T, h *host) net.PacketConn {
	t.Helper()
	type result struct {
		c   net.PacketConn
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		f, err := os.Open("/run/netns/" + h.name)
		if err == nil {
			defer f.Close()
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			done <- result{err: err}
			return
		}
		c, err := net.ListenPacket("udp4", h.ip()+":7")
		done <- result{c, err}
	}()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { r.c.Close() })
	return r.c
}

// TestCuts: a cut works in one direction only, and is healed.
func TestCuts(t *testing.T) {
	a, b := &host{"t1", 1}, &host{"t2", 2}
	n, err := newNetwork([]*host{a, b})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	at, bt := listen(t, a), listen(t, b)
	// send sends what says; arrives waits for that, over whatever else comes.
	send := func(from net.PacketConn, to *host, what string) {
		if _, err := from.WriteTo([]byte(what), &net.UDPAddr{IP: net.ParseIP(to.ip()), Port: 7}); err != nil {
			t.Fatal(err)
		}
	}
	first := func(c net.PacketConn) string {
		if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		size, _, err := c.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:size])
	}
	send(at, b, "one")
	send(bt, a, "two")
	if x, y := first(bt), first(at); x != "one" || y != "two" {
		t.Fatalf("arrived %q and %q", x, y)
	}
	if err := n.cutOff(a, b); err != nil {
		t.Fatal(err)
	}
	send(at, b, "lost")
	send(bt, a, "three")
	if x := first(at); x != "three" {
		t.Errorf("the way that is not cut brought %q", x)
	}
	if err := n.heal(); err != nil {
		t.Fatal(err)
	}
	send(at, b, "four")
	if x := first(bt); x != "four" {
		t.Errorf("after a cut was healed %q arrived", x)
	}
}
