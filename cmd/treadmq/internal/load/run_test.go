package load

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"treadmq/ha/failover"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(t *testing.T, address string) Config {
	u, err := failover.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Addresses: u.Addresses, Mode: Both, Destination: "/queue/load", Destinations: 1, Producers: 2, Consumers: 1,
		Size: 64, Persistent: true, Ack: "client-individual", Window: 10, Count: 200, Idle: 200 * time.Millisecond,
	}
}

// TestFaultsAreFound lets a broker make one mistake of each kind.
func TestFaultsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		faults                     map[int]fault
		lost, duplicates, disorder uint64
		redelivered                uint64
		change                     func(*Config)
	}{
		"none":                 {},
		"a lost message":       {faults: map[int]fault{40: lose}, lost: 1},
		"the last one lost":    {faults: map[int]fault{199: lose}, lost: 1},
		"a duplicate":          {faults: map[int]fault{40: double}, duplicates: 1},
		"the last one doubled": {faults: map[int]fault{199: double}, duplicates: 1},
		"one again at the end": {faults: map[int]fault{40: late}, duplicates: 1},
		"two swapped":          {faults: map[int]fault{40: swap}, disorder: 1, change: func(c *Config) { c.Producers = 1 }},
		"a flagged one twice":  {faults: map[int]fault{40: flagged}, redelivered: 1},
		"all together": {faults: map[int]fault{10: lose, 20: double, 30: swap, 40: flagged}, lost: 1, duplicates: 1, disorder: 1, redelivered: 1,
			change: func(c *Config) { c.Producers = 1 }},
		"lost between consumers": {faults: map[int]fault{40: lose}, lost: 1, change: func(c *Config) { c.Consumers = 3 }},
		"lost on one of many":    {faults: map[int]fault{40: lose}, lost: 1, change: func(c *Config) { c.Destinations = 5 }},
		"without receipts":       {faults: map[int]fault{40: lose}, lost: 1, change: func(c *Config) { c.Window = 0 }},
		"fill-drain":             {faults: map[int]fault{40: lose}, lost: 1, change: func(c *Config) { c.Mode = FillDrain }},
		"a topic": {faults: map[int]fault{40: lose}, lost: 3, change: func(c *Config) {
			c.Destination, c.Consumers, c.Ack = "/topic/load", 3, "auto"
		}},
		"a topic's duplicate": {faults: map[int]fault{40: double}, duplicates: 3, change: func(c *Config) {
			c.Destination, c.Consumers, c.Ack = "/topic/load", 3, "auto"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, address := startFake(t, c.faults)
			cfg := config(t, address)
			if c.change != nil {
				c.change(&cfg)
			}
			r, err := Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if r.Lost != c.lost || r.Duplicates != c.duplicates || r.Disorder != c.disorder || r.Redelivered != c.redelivered {
				t.Errorf("lost %d, duplicates %d, disorder %d, redelivered %d; want %d %d %d %d",
					r.Lost, r.Duplicates, r.Disorder, r.Redelivered, c.lost, c.duplicates, c.disorder, c.redelivered)
			}
			if !r.Checked || r.Sent != 200 || r.Confirmed != 200 {
				t.Errorf("checked %v, sent %d, confirmed %d", r.Checked, r.Sent, r.Confirmed)
			}
		})
	}
}

func TestAckModes(t *testing.T) {
	for mode, low := range map[string]int{"auto": 0, "client": 200 / ackEvery, "client-individual": 200} {
		b, address := startFake(t, nil)
		cfg := config(t, address)
		cfg.Ack = mode
		if _, err := Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		if b.acks < low || b.acks > 200 || mode == "auto" && b.acks > 0 {
			t.Errorf("%s: %d acks", mode, b.acks)
		}
		b.mu.Unlock()
	}
}

func TestFillThenDrain(t *testing.T) {
	b, address := startFake(t, map[int]fault{40: lose})
	cfg := config(t, address)
	cfg.Mode = Fill
	r, err := Run(t.Context(), cfg)
	if err != nil || r.Confirmed != 200 || r.Checked {
		t.Fatalf("fill: %+v, %v", r, err)
	}
	cfg.Mode, cfg.Count = Drain, 0
	r, err = Run(t.Context(), cfg)
	if err != nil || r.Received != 199 || r.Lost != 1 || r.Faults() != 1 {
		t.Fatalf("drain: %+v, %v", r, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.acks != 199 {
		t.Errorf("%d acks", b.acks)
	}
}

func TestForeignMessagesAreLeftAlone(t *testing.T) {
	b, address := startFake(t, nil)
	b.mu.Lock()
	b.queue["/queue/load"] = []string{"an order worth a lot"}
	b.mu.Unlock()
	_, err := Run(t.Context(), config(t, address))
	if !errors.Is(err, ErrForeign) {
		t.Fatalf("%v", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.acks != 0 {
		t.Error("it was acknowledged")
	}
}

func TestRefusalIsReported(t *testing.T) {
	_, address := startFake(t, map[int]fault{40: refuse})
	_, err := Run(t.Context(), config(t, address))
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Code != "queue-full" || !strings.Contains(err.Error(), "queue full") {
		t.Fatalf("%v", err)
	}
}

func TestLostConnectionIsReported(t *testing.T) {
	_, address := startFake(t, map[int]fault{40: hangUp})
	r, err := Run(t.Context(), config(t, address))
	if err == nil || r.Checked {
		t.Fatalf("%+v %v", r, err)
	}
}

func TestInterruptedRunIsStillChecked(t *testing.T) {
	_, address := startFake(t, map[int]fault{5: lose})
	cfg := config(t, address)
	cfg.Count, cfg.Rate = 0, 1000
	cfg.Duration = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg.Progress = func(sent, received int64) {
		if received > 20 {
			cancel()
		}
	}
	r, err := Run(ctx, cfg)
	if err != nil || !r.Interrupted || !r.Checked || r.Lost != 1 || r.Received != r.Confirmed-1 {
		t.Fatalf("%+v %v", r, err)
	}
}

func TestDurationEndsARun(t *testing.T) {
	_, address := startFake(t, nil)
	cfg := config(t, address)
	cfg.Count, cfg.Duration = 0, 50*time.Millisecond
	r, err := Run(t.Context(), cfg)
	if err != nil || r.Interrupted || r.Confirmed == 0 || r.Faults() != 0 {
		t.Fatalf("%+v %v", r, err)
	}
}

// A stall must show in every message that it held up, not in one only.
func TestRateCountsFromWhenAMessageWasDue(t *testing.T) {
	const stall = 50 * time.Millisecond
	b, address := startFake(t, nil)
	b.mu.Lock()
	b.stall = stall
	b.mu.Unlock()
	cfg := config(t, address)
	cfg.Producers, cfg.Window, cfg.Count, cfg.Rate = 1, 1, 100, 1e9 // all are due at once
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if least := 0.9 * float64(stall.Milliseconds()); r.Receipt.P50 < least {
		t.Errorf("half of the messages show less than %v ms: %+v", least, r.Receipt)
	}
}

func TestLargeBodies(t *testing.T) {
	for _, size := range []int{MinSize, bufferSize - 1, bufferSize, 3*bufferSize + 7} {
		_, address := startFake(t, nil)
		cfg := config(t, address)
		cfg.Size, cfg.Count = size, 10
		if r, err := Run(t.Context(), cfg); err != nil || r.Received != 10 || r.Faults() != 0 {
			t.Errorf("size %d: %+v %v", size, r, err)
		}
	}
}

func TestFewerMessagesThanProducers(t *testing.T) {
	_, address := startFake(t, nil)
	cfg := config(t, address)
	cfg.Producers, cfg.Count = 5, 3
	if r, err := Run(t.Context(), cfg); err != nil || r.Sent != 3 || r.Received != 3 {
		t.Errorf("%+v %v", r, err)
	}
}

func TestValidateNamesEverything(t *testing.T) {
	err := (&Config{Mode: Drain, Destination: "/topic/x", Size: 3, Window: -1}).Validate()
	for _, want := range []string{"no address", "consumers 0", "mode drain needs a queue", "size 3", "window -1", "destinations 0", "idle"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
