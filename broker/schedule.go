package broker

import (
	"math"
	"time"

	"treadmq/broker/cron"
)

// Limits of schedules.
const (
	// MaxScheduleAhead is how far in the future a delivery may lie, and the longest
	// delay and period.
	MaxScheduleAhead = 10 * 366 * 24 * time.Hour
	// MaxScheduleName is the longest name of a schedule in bytes.
	MaxScheduleName = 255
	// scheduleNoName begins the ids of schedules without a name.
	scheduleNoName = "ID-"
)

// Schedule says when a message is delivered, and how often.
//
// Without Cron the first delivery is at At, else after Delay, else after Period, and
// Repeat more follow, one each Period. With Cron each time that matches begins a burst:
// one delivery after Delay (after Period if there is Repeat and no Delay), and Repeat
// more, one each Period.
//
// What falls due while no broker runs is delivered once when one does, in order of the
// times at which it was due; then the schedule goes on at its next regular time. Repeat
// counts deliveries, so none of those is lost.
type Schedule struct {
	At     int64         // ms since 1970; with Cron: no match before it counts
	Delay  time.Duration // to the millisecond
	Period time.Duration // to the millisecond
	Repeat int64         // further deliveries; -1 = without end
	Cron   string        // five fields
	Zone   string        // of Cron, as Europe/Berlin; "" = the clock of the broker's machine
	Until  int64         // nothing is delivered later, ms since 1970; 0 = no end
	Name   string        // a later schedule of the same name takes this one's place; "" = none
}

// CheckCron says what is wrong with a cron expression, or nil.
func CheckCron(text string) error {
	_, err := cron.Parse(text)
	return err
}

// CheckZone says what is wrong with the name of a time zone, or nil.
func CheckZone(name string) error {
	_, err := cron.Zone(name)
	return err
}

// CheckScheduleName says what is wrong with the name of a schedule, or nil.
func CheckScheduleName(name string) error {
	switch {
	case name == "":
		return Errorf(CodeBadRequest, "the schedule's name is empty")
	case len(name) > MaxScheduleName:
		return Errorf(CodeLimit, "the schedule's name has %d bytes, more than %d", len(name), MaxScheduleName)
	case len(name) >= len(scheduleNoName) && name[:len(scheduleNoName)] == scheduleNoName:
		return Errorf(CodeBadRequest, "the schedule's name %q begins with %s, as the ids of schedules without a name do", name, scheduleNoName)
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] == 0x7f {
			return Errorf(CodeBadRequest, "the schedule's name %q has a control character", name)
		}
	}
	return nil
}

// check says what is wrong with a schedule at a time, or nil.
func (s *Schedule) check(now int64) error {
	ahead := MaxScheduleAhead.Milliseconds()
	switch {
	case s.Delay < 0 || s.Delay > MaxScheduleAhead:
		return Errorf(CodeLimit, "the delay is %v; it must lie between 0 and %v", s.Delay, MaxScheduleAhead)
	case s.Period < 0 || s.Period > MaxScheduleAhead:
		return Errorf(CodeLimit, "the period is %v; it must lie between 0 and %v", s.Period, MaxScheduleAhead)
	case s.At < 0 || s.At > now+ahead:
		return Errorf(CodeLimit, "the time of delivery lies more than %v ahead", MaxScheduleAhead)
	case s.Repeat < -1 || s.Repeat > math.MaxInt32:
		return Errorf(CodeLimit, "there are to be %d repetitions; the most is %d, and -1 is without end", s.Repeat, math.MaxInt32)
	case s.Repeat == -1 && s.Period <= 0:
		return Errorf(CodeBadRequest, "repeating without end needs a period")
	case s.Repeat == -1 && s.Cron != "":
		return Errorf(CodeBadRequest, "with a cron expression the repetitions of each time must have an end")
	case s.Until < 0:
		return Errorf(CodeBadRequest, "the end of the schedule lies before 1970")
	case s.Zone != "" && s.Cron == "":
		return Errorf(CodeBadRequest, "a time zone without a cron expression means nothing")
	}
	if s.Cron != "" {
		if err := CheckCron(s.Cron); err != nil {
			return Errorf(CodeBadRequest, "the cron expression %q is not valid: %w", s.Cron, err)
		}
		if err := CheckZone(s.Zone); err != nil {
			return Errorf(CodeBadRequest, "the schedule's time zone: %w", err)
		}
	}
	if s.Name != "" {
		return CheckScheduleName(s.Name)
	}
	return nil
}

// plan is a message's schedule as it is stored.
type plan struct {
	job
	due int64 // of the first delivery, ms since 1970
}

// plan checks a schedule and works out the first delivery. nil is at once.
func (b *Broker) plan(dests []Destination, s *Schedule) (*plan, error) {
	clock := b.now()
	now := clock.UnixMilli()
	if err := s.check(now); err != nil {
		return nil, err
	}
	for _, d := range dests {
		if err := d.Check(false); err != nil {
			return nil, err
		}
	}
	p := &plan{job: job{
		dests: dests, key: s.Name, named: s.Name != "", cron: s.Cron, zone: s.Zone, created: now, until: s.Until,
		delay: s.Delay.Milliseconds(), period: s.Period.Milliseconds(), repeat: s.Repeat, left: s.Repeat,
	}}
	var err error
	whole := clock.Add(time.Millisecond - 1).UnixMilli() // a part of a millisecond counts as one: nothing comes early
	if p.due, err = p.first(s.At, whole); err != nil {
		return nil, err
	}
	switch {
	case s.Until != 0 && p.due > s.Until:
		return nil, Errorf(CodeBadRequest, "the schedule ends before its first delivery")
	case p.due > now+2*MaxScheduleAhead.Milliseconds():
		return nil, Errorf(CodeLimit, "the first delivery lies more than %v ahead", 2*MaxScheduleAhead)
	case p.due <= now && !p.repeats() && !p.named:
		return nil, nil
	}
	return p, nil
}

// Schedule adds a message that is to be delivered later. It is stored whether it is
// persistent or not: that says how it is delivered. Its destinations' limits count when
// it is delivered. What is due at once and only once is sent.
func (w *Work) Schedule(dests []Destination, m *Message, s *Schedule) error {
	p, err := w.b.plan(dests, s)
	if err != nil {
		return err
	}
	if err := w.c.authorizePlan(dests, m, p); err != nil {
		return err
	}
	if p == nil {
		return w.Send(dests, m)
	}
	if _, err := w.b.sched.makeDest(); err != nil {
		return err
	}
	if m.dedup != nil {
		if dests, err = w.fresh(dests, m, p); err != nil || len(dests) == 0 {
			return err
		}
		p.dests = dests
	}
	w.addPlan(dests, m, p)
	return nil
}

// addPlan adds a message with its schedule.
func (w *Work) addPlan(dests []Destination, m *Message, p *plan) {
	op := w.putPlan(m, p)
	if m.dedup != nil {
		w.noteOnce(dests, m, op, len(w.targets), p)
	}
}

// putPlan stores a message in the scheduler's destination, which exists, and returns the operation that does.
func (w *Work) putPlan(m *Message, p *plan) (op int) {
	op = len(w.sb.Ops)
	if p.repeats() && !p.named {
		m.id = w.b.nextID()
		p.key = string(w.b.AppendMessageID(nil, m.id))
	}
	first := w.b.sched.enqueue(&w.sb, m, p)
	w.size += m.Size()
	w.c.received.Add(1)
	w.noteDue(p.due)
	if m.id == 0 {
		w.sched.sent = append(w.sched.sent, unnumbered{m, first})
	}
	if p.named {
		w.sched.names = append(w.sched.names, p.key)
	}
	return op
}

// workSchedule is what a Work has to tell the scheduler when it is committed.
type workSchedule struct {
	due   int64    // the first of what it scheduled
	names []string // of what it scheduled
	sent  []unnumbered
}

// unnumbered is a message whose id is the number of one of the Work's references.
type unnumbered struct {
	m   *Message
	ref int
}

func (w *Work) noteDue(due int64) {
	if w.sched == nil {
		w.sched = &workSchedule{due: due}
	}
	w.sched.due = min(w.sched.due, due)
}

// Schedule adds a message that is to be delivered later to the transaction. Delays count
// from now on, not from the commit.
func (t *Tx) Schedule(dests []Destination, m *Message, s *Schedule) error {
	p, err := t.c.b.plan(dests, s)
	if err != nil {
		return err
	}
	if err := t.c.authorizePlan(dests, m, p); err != nil {
		return err
	}
	if p == nil {
		return t.Send(dests, m)
	}
	if _, err := t.c.b.sched.makeDest(); err != nil {
		return err
	}
	if dests, err = t.fresh(dests, m); err != nil || len(dests) == 0 {
		return err
	}
	p.dests = dests
	return t.keep(txSend{dests: dests, m: m, plan: p})
}
