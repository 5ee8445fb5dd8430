package sendheader

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"treadmq/broker"
)

// Headers of SEND that say when a message is delivered. Semantics 2.3, rows Delay and Repeat / cron, and 5 #10.
const (
	Delay           = "AMQ_SCHEDULED_DELAY"
	Period          = "AMQ_SCHEDULED_PERIOD"
	Repeat          = "AMQ_SCHEDULED_REPEAT"
	Cron            = "AMQ_SCHEDULED_CRON"
	Time            = "AMQ_SCHEDULED_TIME"
	XDelay          = "x-delay"
	DeliverAt       = "x-deliver-at"
	ARTTime         = "_AMQ_SCHED_DELIVERY"
	CronZone        = "x-cron-tz"
	Until           = "x-schedule-until"
	ScheduleID      = "x-schedule-id"
	SchedulerAction = "AMQ_SCHEDULER_ACTION" // of a request to the scheduler
)

// BadHeader says which header is wrong, and why.
type BadHeader struct{ Name, Text string }

func (e *BadHeader) Error() string { return e.Name + ": " + e.Text }

func bad(name, format string, args ...any) error {
	return &BadHeader{name, fmt.Sprintf(format, args...)}
}

// First returns the first of some headers that is there and not empty, with its name.
func First(get func(name string) string, names ...string) (name, value string) {
	for _, name := range names {
		if v := strings.Trim(get(name), " "); v != "" {
			return name, v
		}
	}
	return "", ""
}

// ReadSchedule returns what the headers of a message say, nil if it is to be delivered
// at once. get returns a header, "" if it is not there. Errors are *BadHeader.
func ReadSchedule(get func(name string) string) (*broker.Schedule, error) {
	var s broker.Schedule
	for _, h := range scheduleHeaders {
		name, value := First(get, h.names...)
		if name == "" {
			continue
		}
		if err := h.set(&s, name, value); err != nil {
			return nil, err
		}
	}
	if s == (broker.Schedule{}) {
		return nil, nil
	}
	return &s, together(&s)
}

// scheduleHeaders are the headers in the order in which they count where several say the same.
var scheduleHeaders = [...]struct {
	names []string
	set   func(s *broker.Schedule, name, value string) error
}{
	{[]string{Delay, XDelay}, func(s *broker.Schedule, name, v string) (err error) {
		s.Delay, err = span(name, v)
		return err
	}},
	{[]string{Period}, func(s *broker.Schedule, name, v string) (err error) {
		s.Period, err = span(name, v)
		return err
	}},
	{[]string{Repeat}, func(s *broker.Schedule, name, v string) (err error) {
		s.Repeat, err = repetitions(name, v)
		return err
	}},
	{[]string{Cron}, func(s *broker.Schedule, name, v string) error {
		s.Cron = v
		return wrap(name, broker.CheckCron(v))
	}},
	{[]string{Time, DeliverAt, ARTTime}, func(s *broker.Schedule, name, v string) (err error) {
		s.At, err = Moment(name, v)
		return err
	}},
	{[]string{CronZone}, func(s *broker.Schedule, name, v string) error {
		s.Zone = v
		return wrap(name, broker.CheckZone(v))
	}},
	{[]string{Until}, func(s *broker.Schedule, name, v string) (err error) {
		s.Until, err = Moment(name, v)
		return err
	}},
	{[]string{ScheduleID}, func(s *broker.Schedule, name, v string) error {
		s.Name = v
		return wrap(name, broker.CheckScheduleName(v))
	}},
}

func wrap(name string, err error) error {
	if err == nil {
		return nil
	}
	return bad(name, "%v", err)
}

// together checks what headers mean to each other.
func together(s *broker.Schedule) error {
	timed := s.Delay > 0 || s.Period > 0 || s.At > 0 || s.Cron != ""
	switch {
	case s.Repeat != 0 && !timed:
		return bad(Repeat, "it needs %s, and may have %s or %s", Period, Delay, Cron)
	case s.Repeat < 0 && s.Period == 0:
		return bad(Repeat, "repeating without end needs %s", Period)
	case s.Repeat < 0 && s.Cron != "":
		return bad(Repeat, "with %s each time is repeated so often, which must have an end", Cron)
	case s.Zone != "" && s.Cron == "":
		return bad(CronZone, "it is the time zone of %s, which is not there", Cron)
	case s.Until != 0 && !timed && s.Name == "":
		return bad(Until, "it is the end of a schedule, and nothing says when the message is delivered")
	}
	return nil
}

// maxRepeat is the largest AMQ_SCHEDULED_REPEAT.
const maxRepeat = 1<<31 - 1

func repetitions(name, v string) (int64, error) {
	if v == "-1" {
		return -1, nil
	}
	n, ok := number(v)
	switch {
	case !ok:
		return 0, bad(name, "it is %.100q; it must be a number that is not negative, or -1", v)
	case n > maxRepeat:
		return 0, bad(name, "it is %d; the most is %d, and -1 repeats without end", n, maxRepeat)
	}
	return n, nil
}

// span reads a time in ms.
func span(name, v string) (time.Duration, error) {
	n, ok := number(v)
	if !ok {
		return 0, bad(name, "it is %.100q; it must be a number of ms that is not negative", v)
	}
	if most := broker.MaxScheduleAhead.Milliseconds(); n > most {
		return 0, bad(name, "it is %d ms; the most is %d ms (%d days)", n, most, most/86_400_000)
	}
	return time.Duration(n) * time.Millisecond, nil
}

const (
	// minMoment is below any time that is meant: it lies in March 1973.
	minMoment = 100_000_000_000
	// maxMoment is the end of the year 9999 in ms since 1970.
	maxMoment = 253_402_300_799_999
)

// Moment reads a time, ms since 1970 or RFC 3339, as ms since 1970.
func Moment(name, v string) (int64, error) {
	n, ok := number(v)
	if !ok {
		at, err := time.Parse(time.RFC3339, v)
		if err != nil {
			return 0, bad(name, "it is %.100q; it must be ms since 1970, or a time such as 2026-12-01T08:00:00Z", v)
		}
		n = at.UnixMilli()
	}
	if n < minMoment {
		return 0, bad(name, "it is %.100q, which lies before March 1973: it must be ms since 1970, not seconds and not a delay", v)
	}
	if n > maxMoment {
		return 0, bad(name, "it is %.100q, which lies after the year 9999", v)
	}
	return n, nil
}

// Bound is Moment for one end of a span of time: any number will do.
func Bound(name, v string) (int64, error) {
	if n, ok := number(v); ok {
		return min(n, maxMoment), nil
	}
	return Moment(name, v)
}

// number reads a number that is not negative.
func number(v string) (int64, bool) {
	n, err := strconv.ParseInt(v, 10, 64)
	return n, err == nil && n >= 0 && v[0] != '+'
}
