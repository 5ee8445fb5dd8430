package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"treadmq/ha/failover"
)

// TestTheClockJumps: tests of a group let the clock of one broker jump, so that must have an effect.
func TestTheClockJumps(t *testing.T) {
	file := filepath.Join(t.TempDir(), "offset")
	p := serve(t, t.TempDir(), nil, "--clock-offset", file)
	u, err := failover.ParseURL("tcp://" + p.state.Stomp[0])
	if err != nil {
		t.Fatal(err)
	}
	c, err := failover.Dial(t.Context(), u, failover.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sub, err := c.Subscribe(t.Context(), "/queue/a", failover.AckClientIndividual)
	if err != nil {
		t.Fatal(err)
	}
	stamp := func() time.Time {
		if err := c.Send(t.Context(), "/queue/a", "text/plain", nil); err != nil {
			t.Fatal(err)
		}
		m, err := sub.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ms, err := strconv.ParseInt(m.Header.Get("timestamp"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.UnixMilli(ms)
	}
	if at := stamp(); time.Until(at) > time.Hour {
		t.Fatalf("without an offset a message is of %v", at)
	}
	if err := os.WriteFile(file, []byte("48h\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a message from the day after tomorrow", func() bool { return time.Until(stamp()) > 47*time.Hour })
}
