package broker_test

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"treadmq/broker"
)

var overdue = flag.Int("overdue", 50_000, "schedules of BenchmarkOverdueSchedules")

// BenchmarkOverdueSchedules delivers schedules that all are due already, as after a start: to one queue, and to many.
func BenchmarkOverdueSchedules(b *testing.B) {
	for _, queues := range []int{1, 100} {
		b.Run(fmt.Sprintf("queues=%d", queues), func(b *testing.B) {
			var ahead atomic.Int64
			r := newRig(b, func(r *rig) {
				r.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			})
			c := r.connect()
			for b.Loop() {
				b.StopTimer()
				w := c.NewWork()
				for i := range *overdue {
					q := queueNamed(fmt.Sprintf("q%d", i%queues))
					s := broker.Schedule{Delay: time.Hour + time.Duration(i%1000)*time.Millisecond}
					if err := w.Schedule([]broker.Destination{q}, message(q, "0123456789"), &s); err != nil {
						b.Fatal(err)
					}
					if i%1000 == 999 || i == *overdue-1 {
						if err := flush(b, w); err != nil {
							b.Fatal(err)
						}
					}
				}
				if err := r.st.Checkpoint(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				ahead.Add(int64(2 * time.Hour))
				r.b.WakeScheduler()
				for depth := 0; depth < *overdue; time.Sleep(time.Millisecond) {
					depth = 0
					for _, q := range r.b.Queues(func(broker.Destination) bool { return true }) {
						depth += int(q.Messages)
					}
				}
				b.StopTimer()
				for i := range queues {
					if _, err := r.b.Purge(queueNamed(fmt.Sprintf("q%d", i)), func(error) {}); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(*overdue)*float64(b.N)/b.Elapsed().Seconds(), "schedules/s")
		})
	}
}

// BenchmarkScheduleLateness says how long after its time a message is delivered, in milliseconds, when a thousand are due
// a second. It means something on an idle machine only.
func BenchmarkScheduleLateness(b *testing.B) {
	const n = 2000
	for b.Loop() {
		r := newRig(b)
		c, q := r.connect(), queueNamed("q")
		c.subscribe(q, prefetch(n), auto)
		start := time.Now().Add(300 * time.Millisecond)
		w := c.NewWork()
		for i := range n {
			due := start.Add(time.Duration(i) * time.Millisecond)
			m := message(q, fmt.Sprint(due.UnixMilli()))
			if err := w.Schedule([]broker.Destination{q}, m, &broker.Schedule{At: due.UnixMilli()}); err != nil {
				b.Fatal(err)
			}
		}
		if err := flush(b, w); err != nil {
			b.Fatal(err)
		}
		late := make([]float64, n)
		for i := range late {
			due, err := strconv.ParseInt(string(c.take(1)[0].Message.Body()), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			late[i] = float64(time.Now().UnixMicro()-due*1000) / 1000
		}
		slices.Sort(late)
		b.ReportMetric(late[n/2], "p50-ms")
		b.ReportMetric(late[n*99/100], "p99-ms")
		b.ReportMetric(late[n-1], "max-ms")
	}
}
