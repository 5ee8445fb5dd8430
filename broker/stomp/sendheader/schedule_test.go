package sendheader

import (
	"strings"
	"testing"
	"time"

	"treadmq/broker"
)

func getter(text string) func(string) string {
	headers := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		name, value, _ := strings.Cut(line, ":")
		if _, ok := headers[name]; !ok {
			headers[name] = value
		}
	}
	return func(name string) string { return headers[name] }
}

// TestReadSchedule: where several headers say the same, the first in the order of the documents counts.
func TestReadSchedule(t *testing.T) {
	for text, want := range map[string]*broker.Schedule{
		"":                                  nil,
		"AMQ_SCHEDULED_DELAY: ":             nil,
		"AMQ_SCHEDULER_ACTION:BROWSE":       nil,
		"AMQ_SCHEDULED_DELAY:0":             nil,
		"x-delay:7\nAMQ_SCHEDULED_DELAY:8":  {Delay: 8 * time.Millisecond},
		"AMQ_SCHEDULED_DELAY:\nx-delay: 7 ": {Delay: 7 * time.Millisecond},
		"_AMQ_SCHED_DELIVERY:1800000000000\nx-deliver-at:1800000000001": {At: 1800000000001},
		"x-deliver-at:2026-12-01T08:00:00.5+01:00":                      {At: time.Date(2026, 12, 1, 7, 0, 0, 5e8, time.UTC).UnixMilli()},
		"AMQ_SCHEDULED_PERIOD:1000\nAMQ_SCHEDULED_REPEAT:-1\nx-schedule-until:1900000000000\nx-schedule-id: a b ": {
			Period: time.Second, Repeat: -1, Until: 1900000000000, Name: "a b"},
		"AMQ_SCHEDULED_CRON:0 8 * * MON\nx-cron-tz:Europe/Berlin": {Cron: "0 8 * * MON", Zone: "Europe/Berlin"},
	} {
		got, err := ReadSchedule(getter(text))
		if err != nil || (got == nil) != (want == nil) || (got != nil && *got != *want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// FuzzReadSchedule: any headers give a schedule that the core can take, or an error that names one.
func FuzzReadSchedule(f *testing.F) {
	for _, s := range []string{
		"x-delay:1", "AMQ_SCHEDULED_CRON:*/5 * * * *\nx-cron-tz:UTC", "x-deliver-at:2026-12-01T08:00:00Z", "AMQ_SCHEDULED_REPEAT:-1\nAMQ_SCHEDULED_PERIOD:9223372036854775807",
		"x-schedule-until:99999999999999999999", "AMQ_SCHEDULED_TIME:+1", "x-cron-tz:../..", "AMQ_SCHEDULED_CRON:TZ=0", "x-deliver-at:0000-00-00T00:00:00Z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadSchedule(getter(text))
		if err != nil {
			if bad := err.(*BadHeader); bad.Name == "" || bad.Text == "" {
				t.Fatalf("%q: %#v", text, bad)
			}
			return
		}
		if s != nil && (s.Delay < 0 || s.Delay > broker.MaxScheduleAhead || s.Period < 0 || s.At < 0 || s.Until < 0 || s.Repeat < -1) {
			t.Fatalf("%q: %+v", text, s)
		}
	})
}
