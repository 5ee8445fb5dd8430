package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"treadmq/broker"
)

// schedule schedules a message and waits until it is on disk.
func (c *client) schedule(d broker.Destination, body string, s broker.Schedule, opts ...msgOption) {
	c.r.t.Helper()
	if err := c.trySchedule(d, body, s, opts...); err != nil {
		c.r.t.Fatal(err)
	}
}

func (c *client) trySchedule(d broker.Destination, body string, s broker.Schedule, opts ...msgOption) error {
	c.r.t.Helper()
	w := c.NewWork()
	if err := w.Schedule([]broker.Destination{d}, message(d, body, opts...), &s); err != nil {
		return err
	}
	return flush(c.r.t, w)
}

func after(d time.Duration) broker.Schedule { return broker.Schedule{Delay: d} }

// schedules lists all.
func (r *rig) schedules() (list []broker.ScheduleInfo) {
	r.t.Helper()
	q := broker.ScheduleQuery{Max: 100}
	for {
		page, next, err := r.b.Schedules(q)
		if err != nil {
			r.t.Fatal(err)
		}
		list = append(list, page...)
		if q.Cursor = next; next == "" {
			return list
		}
	}
}

func scheduleID(d broker.Delivery) string {
	for it := broker.IterProperties(d.Overlay); it.Next(); {
		if string(it.Name) == broker.PropScheduleID {
			return string(it.Bytes)
		}
	}
	for it := d.Message.Properties(); it.Next(); {
		if string(it.Name) == broker.PropScheduleID {
			return string(it.Bytes)
		}
	}
	return ""
}

func TestScheduleDelay(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("q")
	c.subscribe(q)
	start := time.Now()
	c.schedule(q, "later", after(80*time.Millisecond), priority(7), property("a", "b"))
	c.send(q, "now")
	wantBodies(t, c.take(1), "now")
	list := r.schedules()
	if len(list) != 1 || list[0].Destinations[0] != q || list[0].Delay != 80*time.Millisecond || !list[0].Persistent {
		t.Fatalf("listed as %+v", list)
	}
	d := c.take(1)[0]
	if time.Since(start) < 80*time.Millisecond {
		t.Fatal("it came early")
	}
	if string(d.Message.Body()) != "later" || d.Message.Priority() != 7 || d.Attempts != 1 || d.Redelivered {
		t.Fatalf("delivered %+v", d)
	}
	if id := scheduleID(d); id != list[0].ID || id != string(r.b.AppendMessageID(nil, d.Message.ID())) {
		t.Fatalf("schedule %q, message %x, listed as %q", id, d.Message.ID(), list[0].ID)
	}
	c.settle(broker.AckAccept, d)
	if list := r.schedules(); len(list) > 0 || r.b.ScheduleCount() != 0 {
		t.Fatalf("still listed: %+v", list)
	}
}

// TestScheduleRepeat delivers with a message id of its own each time, from one stored body.
func TestScheduleRepeat(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("q")
	c.subscribe(q)
	c.schedule(q, "tick", broker.Schedule{Delay: 10 * time.Millisecond, Period: 5 * time.Millisecond, Repeat: 4})
	ids, job := map[uint64]bool{}, ""
	for _, d := range c.take(5) {
		ids[d.Message.ID()] = true
		if job == "" {
			job = scheduleID(d)
		}
		if scheduleID(d) != job {
			t.Fatalf("schedule %q, before %q", scheduleID(d), job)
		}
		c.settle(broker.AckAccept, d)
	}
	if len(ids) != 5 {
		t.Fatalf("%d message ids for 5 deliveries", len(ids))
	}
	until(t, "the schedule ends", func() bool { return len(r.schedules()) == 0 })
}

func TestScheduleToTopicsAndSeveralDestinations(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	dests := []broker.Destination{queueNamed("a"), topicNamed("t"), queueNamed("b")}
	for _, d := range dests {
		c.subscribe(d)
	}
	w := c.NewWork()
	m := message(dests[0], "all", property("x", "y"))
	if err := w.Schedule(dests, m, &broker.Schedule{Delay: 20 * time.Millisecond, Name: "n"}); err != nil {
		t.Fatal(err)
	}
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	var from []string
	for _, d := range c.take(3) {
		if string(d.Message.Body()) != "all" || scheduleID(d) != "n" {
			t.Fatalf("%s brought %q of schedule %q", d.Dest, d.Message.Body(), scheduleID(d))
		}
		for it := d.Message.Properties(); it.Next(); {
			if string(it.Name) == "x" && string(it.Bytes) == "y" {
				from = append(from, d.Dest.String())
			}
		}
	}
	slices.Sort(from)
	if got := strings.Join(from, " "); got != "queue://a queue://b topic://t" {
		t.Fatalf("delivered from %s", got)
	}
}

// TestScheduleInTransaction takes effect with the commit, and not without.
func TestScheduleInTransaction(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("q")
	c.subscribe(q)
	for _, commit := range []bool{false, true} {
		tx, err := c.Begin("t")
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Schedule([]broker.Destination{q}, message(q, "later"), &broker.Schedule{Delay: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Send([]broker.Destination{q}, message(q, "now")); err != nil {
			t.Fatal(err)
		}
		if !commit {
			tx.Abort()
			continue
		}
		if n := len(r.schedules()); n != 0 {
			t.Fatalf("%d schedules before the commit", n)
		}
		w := c.NewWork()
		if err := w.Commit(tx); err != nil {
			t.Fatal(err)
		}
		if err := flush(t, w); err != nil {
			t.Fatal(err)
		}
	}
	wantBodies(t, c.take(2), "now", "later")
	c.send(q, "end")
	wantBodies(t, c.take(1), "end")
}

// TestScheduleName replaces by name, cancels by name, and finds by name after a restart.
func TestScheduleName(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("q")
	for i := range 5 {
		c.schedule(q, fmt.Sprint("old ", i), broker.Schedule{Delay: time.Hour, Name: "inv-42"})
	}
	c.schedule(q, "other", broker.Schedule{Delay: time.Hour, Name: "inv-43"})
	c.schedule(q, "new", broker.Schedule{Delay: 2 * time.Hour, Name: "inv-42"})
	check := func(want string) {
		t.Helper()
		var got []string
		for _, i := range r.schedules() {
			got = append(got, i.Name)
		}
		if fmt.Sprint(got) != want {
			t.Fatalf("listed %v, want %s", got, want)
		}
	}
	check("[inv-43 inv-42]")
	until(t, "what was replaced is removed", func() bool { return r.b.ScheduleCount() == 2 })
	r.restart()
	check("[inv-43 inv-42]")
	i, m, err := r.b.Schedule("inv-42")
	if err != nil || string(m.Body()) != "new" || i.Delay != 2*time.Hour {
		t.Fatalf("%+v %v %v", i, m, err)
	}
	if err := r.b.CancelSchedule("inv-43"); err != nil {
		t.Fatal(err)
	}
	check("[inv-42]")
	if err := r.b.CancelSchedule("inv-43"); err == nil {
		t.Fatal("cancelled twice")
	}
	c = r.connect()
	c.subscribe(q)
	c.schedule(q, "at once", broker.Schedule{Name: "inv-42"})
	wantBodies(t, c.take(1), "at once")
	until(t, "nothing is left", func() bool { return len(r.schedules()) == 0 && r.b.ScheduleCount() == 0 })
}

// TestScheduleAfterRestart delivers at once what was due meanwhile, in order of the
// times at which it was due, once, and goes on.
func TestScheduleAfterRestart(t *testing.T) {
	for _, crash := range []bool{false, true} {
		clock := &setClock{now: time.UnixMilli(1_800_000_000_000)}
		r := newRig(t, func(r *rig) { r.now = clock.Now })
		c, q := r.connect(), queueNamed("q")
		base := clock.Now().Add(150 * time.Millisecond)
		at := func(d time.Duration) int64 { return base.Add(d).UnixMilli() }
		c.schedule(q, "third", broker.Schedule{At: at(30 * time.Millisecond)})
		c.schedule(q, "first", broker.Schedule{At: at(0)})
		c.schedule(q, "tick", broker.Schedule{At: at(10 * time.Millisecond), Period: time.Hour, Repeat: -1, Name: "tick"})
		c.schedule(q, "fourth", broker.Schedule{At: at(400 * time.Millisecond)})
		r.close()
		disk := r.fs
		if crash {
			disk = r.fs.Crash(nil)
		}
		clock.add(200 * time.Millisecond) // the broker is down while they fall due
		r.fs = disk
		r.open()
		c = r.connect()
		c.subscribe(q)
		wantBodies(t, c.take(3), "first", "tick", "third")
		clock.add(400 * time.Millisecond)
		r.b.WakeScheduler()
		wantBodies(t, c.take(1), "fourth")
		list := r.schedules()
		if len(list) != 1 || list[0].ID != "tick" || list[0].Deliveries != 1 || list[0].Due.UnixMilli() != at(10*time.Millisecond+time.Hour) {
			t.Fatalf("left: %+v", list)
		}
	}
}

func TestScheduleRun(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("q")
	c.subscribe(q)
	c.schedule(q, "once", after(time.Hour))
	c.schedule(q, "often", broker.Schedule{Delay: 2 * time.Hour, Period: time.Hour, Repeat: -1})
	list := r.schedules()
	for _, i := range list {
		if err := r.b.RunSchedule(i.ID); err != nil {
			t.Fatal(err)
		}
	}
	got := c.take(2)
	wantBodies(t, got, "once", "often")
	if string(r.b.AppendMessageID(nil, got[1].Message.ID())) == list[1].ID {
		t.Fatal("the extra copy has the id that the first regular one will have")
	}
	if left := r.schedules(); len(left) != 1 || left[0].ID != list[1].ID || left[0].Due != list[1].Due {
		t.Fatalf("left: %+v", left)
	}
	if err := r.b.RunSchedule(list[0].ID); err == nil {
		t.Fatal("what was delivered can be run again")
	}
}

// TestScheduleListAndCancel lists pages by time and destination, and removes by both.
func TestScheduleListAndCancel(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	start := time.Now().Add(time.Hour)
	for i := range 50 {
		d := queueNamed(fmt.Sprint("q", i%2))
		c.schedule(d, fmt.Sprint(i), broker.Schedule{At: start.Add(time.Duration(49-i) * time.Minute).UnixMilli()})
	}
	q := broker.ScheduleQuery{From: start.Add(10 * time.Minute), To: start.Add(29 * time.Minute), Destination: queueNamed("q0"), Max: 3}
	var got []string
	for {
		page, next, err := r.b.Schedules(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page {
			_, m, err := r.b.Schedule(i.ID)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(m.Body()))
		}
		if q.Cursor = next; next == "" {
			break
		}
	}
	if fmt.Sprint(got) != "[38 36 34 32 30 28 26 24 22 20]" {
		t.Fatalf("listed %v", got)
	}
	q.Cursor = ""
	if n, err := r.b.CancelSchedules(q); n != 10 || err != nil {
		t.Fatalf("%d cancelled, %v", n, err)
	}
	if n := r.b.ScheduleCount(); n != 40 {
		t.Fatalf("%d are left", n)
	}
	if n, err := r.b.CancelSchedules(broker.ScheduleQuery{}); n != 40 || err != nil {
		t.Fatalf("%d cancelled, %v", n, err)
	}
	if _, _, err := r.b.Schedules(broker.ScheduleQuery{Cursor: "x"}); err == nil {
		t.Fatal("a cursor of nobody's was taken")
	}
}

func TestScheduleRefused(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("q")
	for _, s := range []struct {
		s    broker.Schedule
		want string
	}{
		{broker.Schedule{Delay: -1}, "delay"},
		{broker.Schedule{Delay: broker.MaxScheduleAhead + 1}, "delay"},
		{broker.Schedule{Period: broker.MaxScheduleAhead + 1}, "period"},
		{broker.Schedule{At: 1 << 60}, "ahead"},
		{broker.Schedule{Repeat: -2, Period: 1}, "repetitions"},
		{broker.Schedule{Repeat: -1}, "needs a period"},
		{broker.Schedule{Repeat: -1, Period: time.Second, Cron: "* * * * *"}, "must have an end"},
		{broker.Schedule{Cron: "* * * *"}, "five"},
		{broker.Schedule{Cron: "* * * * *", Zone: "Europe/Nowhere"}, "time zone"},
		{broker.Schedule{Cron: "* * * * *", Zone: "../../etc/passwd"}, "time zone"},
		{broker.Schedule{Zone: "UTC", Delay: time.Hour}, "without a cron"},
		{broker.Schedule{Delay: time.Hour, Until: 1}, "ends before"},
		{broker.Schedule{Name: "ID-1", Delay: time.Hour}, "begins with"},
		{broker.Schedule{Name: "a\nb", Delay: time.Hour}, "control"},
		{broker.Schedule{Name: strings.Repeat("n", broker.MaxScheduleName+1), Delay: time.Hour}, "bytes"},
	} {
		err := c.trySchedule(q, "m", s.s)
		if err == nil || !strings.Contains(err.Error(), s.want) {
			t.Errorf("%+v: %v, want %q", s.s, err, s.want)
		}
	}
	if n := r.b.ScheduleCount(); n != 0 {
		t.Fatalf("%d schedules", n)
	}
}

// TestScheduleCrashWhileDelivering cuts the power several times while much is due: each message is in the queue
// once, or still to be delivered, never both and never neither.
func TestScheduleCrashWhileDelivering(t *testing.T) {
	r := newRig(t)
	q := queueNamed("q")
	const n = 3000
	c := r.connect()
	w := c.NewWork()
	at := time.Now().Add(100 * time.Millisecond).UnixMilli()
	for i := range n {
		if err := w.Schedule([]broker.Destination{q}, message(q, fmt.Sprint(i)), &broker.Schedule{At: at + int64(i%50)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	depth := func() int64 {
		i, err := r.b.Queue(q)
		if err != nil {
			return 0
		}
		return i.Messages
	}
	for _, reached := range []int64{1, n / 4, n / 2} {
		until(t, fmt.Sprintf("%d are delivered", reached), func() bool { return depth() >= reached })
		r.crash()
		if got := depth() + r.b.ScheduleCount(); got > n {
			until(t, "the counts settle", func() bool { return depth()+r.b.ScheduleCount() <= n })
		}
	}
	until(t, "all are delivered", func() bool { return r.b.ScheduleCount() == 0 })
	c = r.connect()
	c.subscribe(q, auto, prefetch(n))
	seen := map[string]bool{}
	for _, d := range c.take(n) {
		if body := string(d.Message.Body()); seen[body] {
			t.Fatalf("%s came twice", body)
		} else {
			seen[body] = true
		}
	}
	if c.waiting() > 0 || depth() > n {
		t.Fatal("there are more")
	}
}

// TestScheduleDamaged: a message that the disk has damaged is put off and holds nothing up.
func TestScheduleDamaged(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("q")
	at := time.Now().Add(time.Second).UnixMilli()
	c.schedule(q, "this will be damaged", broker.Schedule{At: at, Name: "bad"})
	c.schedule(q, "good", broker.Schedule{At: at + 10})
	if err := r.st.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	r.damage("this will be damaged")
	c.subscribe(q, auto)
	wantBodies(t, c.take(1), "good")
	list := r.schedules()
	if len(list) != 1 || list[0].ID != "bad" || time.Until(list[0].Due) < 50*time.Minute {
		t.Fatalf("left: %+v", list)
	}
	if err := r.b.CancelSchedule("bad"); err != nil {
		t.Fatal(err)
	}
}

// A scheduled message that dies says by which schedule it came, and so it does when it is sent back.
func TestScheduleIDOfDeadLetters(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.Redelivery.Maximum = 0 }))
	c, q, dlq := r.connect(), queueNamed("q"), queueNamed("ActiveMQ.DLQ")
	c.subscribe(q)
	c.schedule(q, "x", broker.Schedule{Delay: time.Millisecond, Name: "job-7"})
	c.settle(broker.AckRetry, c.take(1)...)
	until(t, "it is dead", func() bool {
		i, err := r.b.Queue(dlq)
		return err == nil && i.Messages == 1
	})
	dead := r.connect()
	s := dead.subscribe(dlq)
	if got := scheduleID(dead.take(1)[0]); got != "job-7" {
		t.Errorf("the dead letter is of the schedule %q", got)
	}
	s.Close()
	at, _ := r.places(dlq)
	r.act(dlq, at, broker.ActRetry, broker.Destination{})
	if got := scheduleID(c.take(1)[0]); got != "job-7" {
		t.Errorf("sent back, it is of the schedule %q", got)
	}
}
