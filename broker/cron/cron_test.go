package cron

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// TestNext has the cases that people write, and the changes of clocks.
func TestNext(t *testing.T) {
	const form = "2006-01-02 15:04:05 -0700"
	for _, c := range []struct {
		expr, zone, from string
		want             string // several, with ", "
	}{
		{"0 * * * *", "UTC", "2026-01-01 00:00:00 +0000", "2026-01-01 01:00:00 +0000, 2026-01-01 02:00:00 +0000"},
		{"*/15 8-9 * * MON-FRI", "UTC", "2026-01-02 09:30:00 +0000", "2026-01-02 09:45:00 +0000, 2026-01-05 08:00:00 +0000"},
		{"0 0 29 2 *", "UTC", "2096-03-01 00:00:00 +0000", "2104-02-29 00:00:00 +0000"},
		{"0 12 13 * 5", "UTC", "2026-02-01 00:00:00 +0000", "2026-02-06 12:00:00 +0000, 2026-02-13 12:00:00 +0000"},
		{"30 6 ? * sun", "UTC", "2026-01-01 00:00:00 +0000", "2026-01-04 06:30:00 +0000, 2026-01-11 06:30:00 +0000"},
		{"5/20 1 * * 7", "UTC", "2026-01-01 00:00:00 +0000", "2026-01-04 01:05:00 +0000, 2026-01-04 01:25:00 +0000, 2026-01-04 01:45:00 +0000, 2026-01-11 01:05:00 +0000"},
		{"0 8 1 dec *", "Europe/Berlin", "2026-11-01 00:00:00 +0100", "2026-12-01 08:00:00 +0100"},
		// Clocks go forward from 2 to 3: what is due at 2:30 is due at the change.
		{"30 2 * * *", "Europe/Berlin", "2026-03-28 12:00:00 +0100", "2026-03-29 03:00:00 +0200, 2026-03-30 02:30:00 +0200"},
		{"*/20 2 * * *", "Europe/Berlin", "2026-03-29 00:00:00 +0100", "2026-03-29 03:00:00 +0200, 2026-03-30 02:00:00 +0200"},
		{"30 * * * *", "Europe/Berlin", "2026-03-29 00:45:00 +0100", "2026-03-29 01:30:00 +0100, 2026-03-29 03:30:00 +0200"},
		// Clocks go back from 3 to 2: once at given hours, through both hours otherwise.
		{"30 2 * * *", "Europe/Berlin", "2026-10-24 12:00:00 +0200", "2026-10-25 02:30:00 +0200, 2026-10-26 02:30:00 +0100"},
		{"30 * * * *", "Europe/Berlin", "2026-10-25 01:45:00 +0200", "2026-10-25 02:30:00 +0200, 2026-10-25 02:30:00 +0100, 2026-10-25 03:30:00 +0100"},
		{"0 1-3 * * *", "Europe/Berlin", "2026-10-25 00:00:00 +0200", "2026-10-25 01:00:00 +0200, 2026-10-25 02:00:00 +0200, 2026-10-25 03:00:00 +0100"},
		// Clocks change at midnight, by half an hour, and a day is left out.
		{"0 0 * * *", "America/Asuncion", "2023-09-30 12:00:00 -0400", "2023-10-01 01:00:00 -0300, 2023-10-02 00:00:00 -0300"},
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00:00 +1030", "2026-10-04 02:30:00 +1100, 2026-10-05 02:15:00 +1100"},
		{"0 9 30 12 *", "Pacific/Apia", "2011-12-01 00:00:00 -1000", "2011-12-31 00:00:00 +1400, 2012-12-30 09:00:00 +1400"},
	} {
		e, err := Parse(c.expr)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		at, err := time.Parse(form, c.from)
		if err != nil {
			t.Fatal(err)
		}
		at = at.In(zone(t, c.zone))
		var got []string
		for range strings.Count(c.want, ",") + 1 {
			at = e.Next(at)
			got = append(got, at.Format(form))
		}
		if g := strings.Join(got, ", "); g != c.want {
			t.Errorf("%s in %s after %s:\n got %s\nwant %s", c.expr, c.zone, c.from, g, c.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{"", "0 fields"},
		{"* * * *", "4 fields"},
		{"0 * * * * *", "6 fields"},
		{"@every 1s", "2 fields"},
		{"TZ=0", "1 fields"},
		{"CRON_TZ=UTC * * * * *", "6 fields"},
		{"60 * * * *", `minute is "60"`},
		{"* 24 * * *", `hour is "24"`},
		{"* * 0 * *", `day of month is "0"`},
		{"* * * JANUARY *", `month is "JANUARY"`},
		{"* * * * 8", `day of week is "8"`},
		{"5-1 * * * *", "ends before it begins"},
		{"*/0 * * * *", "step"},
		{"*/ * * * *", "step"},
		{"1,,2 * * * *", `"" is not a number`},
		{"-1 * * * *", `"" is not a number`},
		{"0 0 31 4,6 *", "no month"},
		{"0 0 30 FEB *", "no month"},
		{strings.Repeat(" ", MaxLength) + "* * * * *", "bytes"},
	} {
		if _, err := Parse(c.expr); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.expr, err, c.want)
		}
	}
}

// TestNextAgainstMinutes compares Next with looking at every single minute.
func TestNextAgainstMinutes(t *testing.T) {
	zones := []*time.Location{time.UTC, zone(t, "Europe/Berlin"), zone(t, "America/New_York"), zone(t, "Asia/Kolkata")}
	part := rapid.SampledFrom([]string{"*", "0", "5", "1-4", "*/7", "2,3", "1/2"})
	rapid.Check(t, func(t *rapid.T) {
		text := fmt.Sprintf("%s %s %s %s %s", part.Draw(t, "minute"), part.Draw(t, "hour"),
			rapid.SampledFrom([]string{"*", "1", "25-29", "*/3"}).Draw(t, "day"),
			rapid.SampledFrom([]string{"*", "3", "10"}).Draw(t, "month"), rapid.SampledFrom([]string{"*", "SUN", "1-5"}).Draw(t, "weekday"))
		e, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		loc := rapid.SampledFrom(zones).Draw(t, "zone")
		start := rapid.SampledFrom([]string{"2026-03-27", "2026-10-23", "2026-03-06", "2026-10-30", "2026-07-01"}).Draw(t, "start")
		at, err := time.ParseInLocation("2006-01-02", start, loc)
		if err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Duration(rapid.IntRange(0, 3*86400).Draw(t, "seconds")) * time.Second)
		limit := at.Add(4 * 24 * time.Hour)
		want := brute(e, at, limit)
		got := e.Next(at)
		if got.Before(limit) != !want.IsZero() || (!want.IsZero() && !got.Equal(want)) {
			t.Fatalf("%s after %s: %s, want %s", text, at, got, want)
		}
	})
}

// brute looks at each minute. Hours that are left out count at the change, hours that
// come twice once, unless every hour counts.
func brute(e *Expr, at, limit time.Time) time.Time {
	wall := func(t time.Time) time.Time {
		_, offset := t.Zone()
		return time.Unix(t.Unix()+int64(offset), 0).UTC()
	}
	due := func(w time.Time) bool {
		return e.matchesDay(w.Day(), w.Month(), w.Weekday()) && e.hour&(1<<w.Hour()) != 0 && e.minute&(1<<w.Minute()) != 0
	}
	for m := at.Truncate(time.Minute).Add(time.Minute); m.Before(limit); m = m.Add(time.Minute) {
		here, before := wall(m), wall(m.Add(-time.Minute))
		if e.hour == allHours {
			if due(here) {
				return m
			}
			continue
		}
		for w := before.Add(time.Minute); w.Before(here); w = w.Add(time.Minute) {
			if due(w) {
				return m
			}
		}
		again := wall(m.Add(-time.Hour)).Equal(here)
		if due(here) && !again {
			return m
		}
	}
	return time.Time{}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"* * * * *", "*/5 1-3,7 ? JAN-MAR mon", "0 0 29 2 *", "TZ=0", "CRON_TZ=UTC", "@every 1s", "0 0 31 2 1/9", "59/1 23 * * 7"} {
		f.Add(s, int64(1_790_000_000), "Europe/Berlin")
	}
	f.Fuzz(func(t *testing.T, text string, from int64, name string) {
		e, err := Parse(text)
		if err != nil {
			return
		}
		loc, err := Zone(name)
		if err != nil {
			loc = time.UTC
		}
		at := time.Unix(from%(1<<35), 0).In(loc)
		for range 3 {
			next := e.Next(at)
			if !next.After(at) {
				t.Fatalf("%q in %s after %s: %s", text, loc, at, next)
			}
			at = next
		}
	})
}
