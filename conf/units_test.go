package conf

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "4096": 4096, "7b": 7, "64k": 64 * KiB, "64KiB": 64 * KiB, "64 kib": 64 * KiB, "1g": GiB,
		"64MiB": 64 * MiB, "64MB": 64e6, "2TiB": 2 * TiB, "1tb": 1e12, " 5 m ": 5 * MiB, "9223372036854775807": 1<<63 - 1,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5GiB", "1 PiB", "0x10", "1e3", "9223372036854775808", "8388608TiB", "64Mi", "1 2"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q passes for %d", text, got)
		}
	}
}

func TestSizesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Size(rapid.Int64Range(0, 1<<62).Draw(t, "n") >> rapid.IntRange(0, 62).Draw(t, "shift") << rapid.IntRange(0, 20).Draw(t, "back"))
		if s < 0 {
			return
		}
		if got, err := ParseSize(s.String()); err != nil || got != s {
			t.Errorf("%d prints as %s, which is %d, %v", int64(s), s, int64(got), err)
		}
	})
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "500ms": 500 * time.Millisecond, "30s": 30 * time.Second, "1h30m": 90 * time.Minute,
		"7d": 7 * day, "1d12h": 36 * time.Hour, " 5m ": 5 * time.Minute,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "30", "-1s", "+1s", "1x", "d", "1d-1h", "1d1d", "999999999999d", "106751d24h", "1.5d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q passes for %s", text, got)
		}
	}
	if got, err := parseMillis("1500"); err != nil || got != 1500*time.Millisecond {
		t.Errorf("1500 ms is %s, %v", got, err)
	}
	for _, text := range []string{"-1", "9223372036854775807", "x"} {
		if got, err := parseMillis(text); err == nil {
			t.Errorf("%q ms passes for %s", text, got)
		}
	}
}

func TestDurationsRoundTrip(t *testing.T) {
	unit := rapid.SampledFrom([]time.Duration{1, time.Millisecond, time.Second, time.Minute, time.Hour, day})
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, 100000).Draw(t, "n")) * unit.Draw(t, "unit")
		if got, err := ParseDuration(FormatDuration(d)); err != nil || got != d {
			t.Errorf("%s prints as %s, which is %s, %v", d, FormatDuration(d), got, err)
		}
	})
	for d, want := range map[time.Duration]string{0: "0s", 5 * time.Minute: "5m", 12 * time.Hour: "12h", 10 * time.Minute: "10m", 2 * day: "2d", 90 * time.Second: "1m30s", 36 * time.Hour: "36h"} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%d prints as %s, want %s", d, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "ab", 1}, {"abc", "abxc", 1}, {"kitten", "sitting", 3}, {"abc", "xyz", 3}} {
		if got := distance(test.a, test.b, 9); got != test.want {
			t.Errorf("%q to %q is %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
