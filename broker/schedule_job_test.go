package broker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestJobTimes follows schedules over their deliveries, as fast as they come and after a
// time without a broker. Times are in ms from the sending on.
func TestJobTimes(t *testing.T) {
	base := time.Date(2026, 11, 22, 8, 0, 30, 0, time.UTC)
	now := base.UnixMilli()
	minute := time.Minute.Milliseconds()
	for _, c := range []struct {
		name string
		s    Schedule
		late map[int]int64 // delivery -> how late it was made
		want []int64       // when due; the end is part of it unless there are 8
	}{
		{"delay", Schedule{Delay: time.Second}, nil, []int64{1000}},
		{"time", Schedule{At: now + 5}, nil, []int64{5}},
		{"time wins over delay", Schedule{At: now + 5, Delay: time.Hour}, nil, []int64{5}},
		{"period alone is a delay", Schedule{Period: time.Second}, nil, []int64{1000}},
		{"delay first, then the period", Schedule{Delay: 10 * time.Millisecond, Period: time.Second, Repeat: 3}, nil, []int64{10, 1010, 2010, 3010}},
		{"period first without a delay", Schedule{Period: time.Second, Repeat: 2}, nil, []int64{1000, 2000, 3000}},
		{"no period: a millisecond", Schedule{Delay: time.Second, Repeat: 2}, nil, []int64{1000, 1001, 1002}},
		{"without end", Schedule{Period: time.Second, Repeat: -1}, nil, []int64{1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000}},
		{"missed periods are one, none of the count is lost", Schedule{Period: time.Second, Repeat: 3}, map[int]int64{1: 5500}, []int64{1000, 2000, 8000, 9000}},
		{"exactly on the next period", Schedule{Period: time.Second, Repeat: 2}, map[int]int64{0: 1000}, []int64{1000, 3000, 4000}},
		{"until", Schedule{Period: time.Second, Repeat: -1, Until: now + 3500}, nil, []int64{1000, 2000, 3000}},
		{"until itself is in", Schedule{Period: time.Second, Repeat: -1, Until: now + 3000}, nil, []int64{1000, 2000, 3000}},
		{"cron", Schedule{Cron: "*/10 * * * *", Zone: "UTC", Until: now + 45*minute}, nil, []int64{10*minute - 30000, 20*minute - 30000, 30*minute - 30000, 40*minute - 30000}},
		{"cron from a time on", Schedule{Cron: "*/10 * * * *", Zone: "UTC", At: now + 20*minute - 30000, Until: now + 35*minute}, nil, []int64{20*minute - 30000, 30*minute - 30000}},
		{"missed times of cron are one", Schedule{Cron: "*/10 * * * *", Zone: "UTC", Until: now + 50*minute}, map[int]int64{0: 25 * minute},
			[]int64{10*minute - 30000, 40*minute - 30000, 50*minute - 30000}},
		{"a burst at each time", Schedule{Cron: "*/10 * * * *", Zone: "UTC", Delay: time.Second, Period: 2 * time.Second, Repeat: 2, Until: now + 25*minute}, nil,
			[]int64{10*minute - 29000, 10*minute - 27000, 10*minute - 25000, 20*minute - 29000, 20*minute - 27000, 20*minute - 25000}},
		{"a burst begins after its period without a delay", Schedule{Cron: "0 9 * * *", Zone: "UTC", Period: 2 * time.Second, Repeat: 1, Until: now + 120*minute}, nil,
			[]int64{60*minute - 28000, 60*minute - 26000}},
		{"a time that comes during a burst is left out", Schedule{Cron: "* * * * *", Zone: "UTC", Period: time.Minute, Repeat: 1, Until: now + 6*minute}, nil,
			[]int64{90000, 150000, 270000, 330000}},
	} {
		b := &Broker{now: func() time.Time { return base }}
		p, err := b.plan([]Destination{{Queue, "q"}}, &c.s)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		j, due := p.job, p.due
		var got []int64
		for n := 0; n < 8; n++ {
			got = append(got, due-now)
			decoded, err := decodeJob(j.encode())
			if err != nil || cmp.Diff(j, decoded, cmp.AllowUnexported(job{})) != "" {
				t.Fatalf("%s: %+v came back as %+v, %v", c.name, j, decoded, err)
			}
			next, ok := decoded.delivered(due, due+c.late[n])
			if !ok {
				break
			}
			j, due = decoded, next
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestJobNeverStandsStill: whatever a schedule says and whenever it is delivered, its
// next time lies ahead, and a count comes to its end.
func TestJobNeverStandsStill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := func(name string) time.Duration {
			return time.Duration(rapid.SampledFrom([]int64{0, 0, 1, 7, 1000, 86_400_000, MaxScheduleAhead.Milliseconds()}).Draw(t, name)) * time.Millisecond
		}
		now := rapid.Int64Range(0, 4e12).Draw(t, "now")
		s := Schedule{Delay: ms("delay"), Period: ms("period"), Repeat: rapid.Int64Range(-1, 20).Draw(t, "repeat"),
			Cron: rapid.SampledFrom([]string{"", "", "* * * * *", "0 3 * * MON", "0 0 29 2 *"}).Draw(t, "cron"), Name: "n"}
		b := &Broker{now: func() time.Time { return time.UnixMilli(now) }}
		p, err := b.plan([]Destination{{Queue, "q"}}, &s)
		if err != nil {
			return
		}
		j, due, deliveries := p.job, p.due, int64(0)
		if due < now {
			t.Fatalf("first due %d ms ago", now-due)
		}
		for range 30 {
			deliveries++
			now = max(now, due) + rapid.Int64Range(0, 1e9).Draw(t, "late")
			next, ok := j.delivered(due, now)
			if !ok {
				if s.Cron != "" || s.Repeat < 0 || deliveries != s.Repeat+1 {
					t.Fatalf("ended after %d deliveries: %+v", deliveries, s)
				}
				return
			}
			if next <= now {
				t.Fatalf("next due %d ms ago", now-next)
			}
			due = next
		}
		if s.Cron == "" && s.Repeat >= 0 {
			t.Fatalf("not ended after %d deliveries: %+v", deliveries, s)
		}
	})
}

// FuzzDecodeJob: no overlay, however damaged, makes trouble.
func FuzzDecodeJob(f *testing.F) {
	for _, s := range []Schedule{{Delay: time.Hour}, {Cron: "0 * * * *", Zone: "UTC", Name: "n"}, {Period: 1e6, Repeat: -1, Until: 1}} {
		j := job{dests: []Destination{{Queue, "q"}, {Topic, "t"}}, key: s.Name, cron: s.Cron, zone: s.Zone, period: 5, left: -1, until: s.Until}
		f.Add(j.encode(), int64(5), int64(7))
	}
	f.Fuzz(func(t *testing.T, overlay []byte, due, now int64) {
		j, err := decodeJob(overlay)
		if err != nil {
			return
		}
		if _, err := decodeJob(j.encode()); err != nil {
			t.Fatalf("%+v cannot be decoded again: %v", j, err)
		}
		due, now = due&(1<<50-1), now&(1<<50-1)
		if j.period <= MaxScheduleAhead.Milliseconds() && j.delay >= 0 && j.delay <= MaxScheduleAhead.Milliseconds() {
			if next, ok := j.delivered(due, now); ok && next <= now {
				t.Fatalf("%+v due %d, delivered %d: next %d", j, due, now, next)
			}
		}
	})
}
