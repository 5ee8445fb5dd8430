//go:build faults && linux

package faults

import (
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"treadmq/scripts/internal/brokerproc"
	"treadmq/scripts/internal/rawstomp"
)

// TestADeposedMasterAcknowledgesNothing: what is sent to a master after it was paused or cut off from the
// others gets no receipt from it, not even when it is itself again.
func TestADeposedMasterAcknowledgesNothing(t *testing.T) {
	binary, err := brokerproc.Build(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w, err := newWorld(t.Context(), dir, binary, 3, rand.New(rand.NewPCG(1, 1)))
	defer w.close()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		do   func(m *member) error
	}{
		{"paused", func(m *member) error { m.pause(); return nil }},
		{"cut off from the others", func(m *member) error {
			return w.cut(t.Context(), 0, m, hosts(w.others(m)), true, true)
		}},
		{"cut off from the others and ZooKeeper", func(m *member) error {
			return w.cut(t.Context(), 0, m, append(hosts(w.others(m)), w.zkHosts...), true, true)
		}},
		{"mute to the others", func(m *member) error { return w.cut(t.Context(), 0, m, hosts(w.others(m)), true, false) }},
		{"deaf to the others", func(m *member) error { return w.cut(t.Context(), 0, m, hosts(w.others(m)), false, true) }},
	} {
		t.Run(test.name, func(t *testing.T) { deposed(t, w, test.do) })
	}
	if t.Failed() {
		for _, m := range w.members {
			text, _ := os.ReadFile(m.log())
			t.Logf("%s:\n%s", m.name, text)
		}
	}
}

func deposed(t *testing.T, w *world, do func(*member) error) {
	old, err := w.awaitMaster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := rawstomp.Dial(net.JoinHostPort(old.ip(), stompPort), login, passcode)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send := func(receipt string) {
		if err := c.Send("SEND", []byte("x"), "destination", "/queue/deposed", "persistent", "true", "receipt", receipt); err != nil {
			t.Fatal(err)
		}
	}
	send("before")
	if f, err := c.Receive(); err != nil || f.Command != "RECEIPT" {
		t.Fatalf("a master's answer is %v, %v", f, err)
	}
	if err := do(old); err != nil {
		t.Fatal(err)
	}
	send("after")
	for { // until another one serves clients
		if m, err := w.awaitMaster(t.Context()); err != nil {
			t.Fatal(err)
		} else if m != old {
			break
		}
	}
	if err := w.heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(recoverTime)); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := c.Receive()
		if err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Error("the old master keeps the connection")
			}
			break
		}
		if f.Command == "RECEIPT" {
			t.Errorf("the old master gave the receipt %q", f.Get("receipt-id"))
		}
	}
	if err := w.recovered(t.Context()); err != nil {
		t.Error(err)
	}
}
