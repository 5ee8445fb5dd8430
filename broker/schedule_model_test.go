package broker_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"treadmq/broker"
	"treadmq/store"
	"treadmq/store/local"
)

// scheduleModel is what a scheduler should hold and deliver, on a clock that the test sets.
type scheduleModel struct {
	r      *rig
	clock  *setClock
	jobs   []*modelJob
	n      int
	got    *client
	sender *client
}

type modelJob struct {
	name   string
	body   string
	due    int64
	period int64
	left   int64
}

// setClock is a clock that stands still until it is set.
type setClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *setClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *setClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// TestSchedulerAgainstModel schedules, replaces, cancels, runs, restarts, cuts the power
// and lets time pass at random: what is due is delivered in order of time, each job as
// often as it should be, and the list is what it should be.
func TestSchedulerAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &scheduleModel{clock: &setClock{now: time.UnixMilli(1_800_000_000_000)}}
		m.r = &rig{t: t, fs: newFS(), now: m.clock.Now}
		m.r.open()
		defer m.r.close()
		m.connect()
		rt.Repeat(map[string]func(*rapid.T){
			"schedule": m.schedule, "name": m.named, "cancel": m.cancel, "wait": m.wait, "down": m.down, "": m.check,
		})
	})
}

func (m *scheduleModel) connect() {
	m.sender, m.got = m.r.connect(), m.r.connect()
	m.got.subscribe(queueNamed("q"), prefetch(1000))
}

func (m *scheduleModel) add(t *rapid.T, name string) {
	w := m.sender.NewWork()
	for range rapid.IntRange(1, 4).Draw(t, "jobs") {
		s := broker.Schedule{Delay: time.Duration(rapid.IntRange(1, 50).Draw(t, "delay")) * time.Second, Name: name}
		j := &modelJob{name: name, body: fmt.Sprintf("%04d", m.n), due: m.clock.Now().Add(s.Delay).UnixMilli()}
		if rapid.Bool().Draw(t, "repeats") {
			s.Period, s.Repeat = time.Duration(rapid.IntRange(1, 20).Draw(t, "period"))*time.Second, int64(rapid.IntRange(1, 3).Draw(t, "repeat"))
			j.period, j.left = s.Period.Milliseconds(), s.Repeat
		}
		m.n++
		if err := w.Schedule([]broker.Destination{queueNamed("q")}, message(queueNamed("q"), j.body), &s); err != nil {
			t.Fatal(err)
		}
		if name != "" {
			m.jobs = slices.DeleteFunc(m.jobs, func(x *modelJob) bool { return x.name == name })
		}
		m.jobs = append(m.jobs, j)
	}
	if err := flush(m.r.t, w); err != nil {
		t.Fatal(err)
	}
}

func (m *scheduleModel) schedule(t *rapid.T) { m.add(t, "") }
func (m *scheduleModel) named(t *rapid.T) {
	m.add(t, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"))
}

func (m *scheduleModel) cancel(t *rapid.T) {
	list := m.r.schedules()
	if len(list) == 0 {
		return
	}
	i := rapid.SampledFrom(list).Draw(t, "which")
	_, msg, err := m.r.b.Schedule(i.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.r.b.CancelSchedule(i.ID); err != nil {
		t.Fatal(err)
	}
	before := len(m.jobs)
	m.jobs = slices.DeleteFunc(m.jobs, func(x *modelJob) bool { return x.body == string(msg.Body()) })
	if len(m.jobs) != before-1 {
		t.Fatalf("%s of %s was cancelled, which the model does not have", i.ID, msg.Body())
	}
}

// wait lets time pass: no further than to the next delivery, whose order is open
// only among those of one time.
func (m *scheduleModel) wait(t *rapid.T) {
	step := time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds")) * time.Second
	end := m.clock.Now().Add(step)
	for {
		next := end
		for _, j := range m.jobs {
			if at := time.UnixMilli(j.due); at.Before(next) {
				next = at
			}
		}
		m.clock.add(next.Sub(m.clock.Now()))
		m.fire(t)
		if !next.Before(end) {
			return
		}
	}
}

// down lets time pass without a broker.
func (m *scheduleModel) down(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "really") > 0 {
		return // it takes long
	}
	crash := rapid.Bool().Draw(t, "crash")
	disk := m.r.fs
	if crash {
		disk = m.r.fs.Crash(nil)
	}
	m.r.close()
	m.r.fs = disk
	m.clock.add(time.Duration(rapid.IntRange(0, 60).Draw(t, "seconds")) * time.Second)
	m.r.open()
	m.connect()
	m.fire(t)
}

// fire takes what must be delivered by now and compares it with the model, order included.
func (m *scheduleModel) fire(t *rapid.T) {
	now := m.clock.Now().UnixMilli()
	var want []*modelJob
	for _, j := range m.jobs {
		if j.due <= now {
			want = append(want, j)
		}
	}
	slices.SortStableFunc(want, func(a, b *modelJob) int { return int(a.due - b.due) })
	m.r.b.WakeScheduler()
	for deadline := time.Now().Add(10 * time.Second); m.got.waiting() < len(want); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d deliveries came, %d were expected\nnow %d, listed %+v\n%s", m.got.waiting(), len(want), now, m.r.schedules(), m.r.b.Dump(queueNamed("q")))
		}
	}
	got := m.got.take(len(want))
	if len(got) > 0 {
		m.got.settle(broker.AckAccept, got...)
	}
	times := map[string]int64{}
	for _, j := range want {
		times[j.body] = j.due
	}
	last := int64(0)
	for _, d := range got {
		due, ok := times[string(d.Message.Body())]
		if !ok || due < last {
			t.Fatalf("%q was delivered, due %d after %d", d.Message.Body(), due, last)
		}
		delete(times, string(d.Message.Body()))
		last = due
	}
	for _, j := range want {
		if j.left == 0 {
			m.jobs = slices.DeleteFunc(m.jobs, func(x *modelJob) bool { return x == j })
			continue
		}
		j.left--
		j.due += j.period
		if j.due <= now {
			j.due += ((now-j.due)/j.period + 1) * j.period
		}
	}
}

func (m *scheduleModel) check(t *rapid.T) {
	if n := m.got.waiting(); n > 0 {
		t.Fatalf("%d deliveries that nobody waits for: %s", n, bodies(m.got.take(n)))
	}
	type line struct {
		due  int64
		name string
		left int64
	}
	var want, got []line
	for _, j := range m.jobs {
		want = append(want, line{j.due, j.name, j.left})
	}
	for _, i := range m.r.schedules() {
		got = append(got, line{i.Due.UnixMilli(), i.Name, i.Left})
	}
	order := func(a, b line) int {
		return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.left, b.left), cmp.Compare(a.name, b.name))
	}
	if !slices.IsSortedFunc(got, func(a, b line) int { return int(a.due - b.due) }) {
		t.Fatalf("the list is out of order: %v", got)
	}
	slices.SortFunc(want, order)
	slices.SortFunc(got, order)
	if fmt.Sprint(want) != fmt.Sprint(got) {
		t.Fatalf("listed %v, want %v", got, want)
	}
}

// TestSchedulerPutsOffWhatCannotBeDelivered: no destination can be made, so the delivery is tried again,
// and what comes after it is not held up.
func TestSchedulerPutsOffWhatCannotBeDelivered(t *testing.T) {
	clock := &setClock{now: time.UnixMilli(1_800_000_000_000)}
	r := newRig(t, func(r *rig) { r.now, r.limit = clock.Now, 2 })
	c := r.connect()
	c.subscribe(queueNamed("there"), auto)
	c.schedule(queueNamed("new"), "put off", after(time.Second))
	c.schedule(queueNamed("there"), "next", after(2*time.Second))
	c.send(queueNamed("full"), "x")
	clock.add(2 * time.Second)
	r.b.WakeScheduler()
	wantBodies(t, c.take(1), "next")
	var list []broker.ScheduleInfo
	until(t, "it is put off", func() bool {
		list = r.schedules()
		return len(list) == 1 && list[0].Due.After(clock.Now())
	})
	if err := r.b.DeleteQueue(queueNamed("full"), true, func(error) {}); err != nil {
		t.Fatal(err)
	}
	if _, m, err := r.b.Schedule(list[0].ID); err != nil || string(m.Body()) != "put off" {
		t.Fatal(err)
	}
	clock.add(time.Minute)
	r.b.WakeScheduler()
	until(t, "it is delivered", func() bool { return r.b.ScheduleCount() == 0 && r.queue(queueNamed("new")).Messages == 1 })
}

// fired waits until no schedule is left and what they delivered is in its queues: the store counts first, and
// what is committed later is told later.
func (r *rig) fired() {
	r.t.Helper()
	until(r.t, "all are delivered", func() bool { return r.b.ScheduleCount() == 0 })
	r.connect().send(queueNamed("behind"), "-")
}

// TestScheduleOnAFullDisk: a schedule is refused, what is due is delivered.
func TestScheduleOnAFullDisk(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr))
	c, q := r.connect(), queueNamed("q")
	c.subscribe(q, auto)
	c.schedule(q, "due", after(100*time.Millisecond))
	tr.set(full)
	var e *broker.Error
	if err := c.trySchedule(q, "refused", after(time.Millisecond)); !errors.As(err, &e) || e.Code != broker.CodeStoreFull {
		t.Fatal(err)
	}
	wantBodies(t, c.take(1), "due")
	if n := r.b.ScheduleCount(); n != 0 {
		t.Fatalf("%d schedules", n)
	}
}

// TestScheduleAfterARefusedDelivery: the store does not take the delivery, so it is made again, once.
func TestScheduleAfterARefusedDelivery(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr))
	c, q := r.connect(), queueNamed("q")
	c.subscribe(q, auto)
	var once sync.Once
	tr.set(func(b *store.Batch) (err error) {
		if len(b.Ops) > 0 && b.Ops[0].Kind == store.OpLink {
			once.Do(func() { err = store.ErrFull })
		}
		return err
	})
	c.schedule(q, "due", after(time.Millisecond))
	wantBodies(t, c.take(1), "due")
	c.send(q, "end")
	wantBodies(t, c.take(1), "end")
}

// TestSchedulesGoBeyondLimits: a queue that is full when a schedule is due takes it, unless its policy is
// to drop the oldest.
func TestSchedulesGoBeyondLimits(t *testing.T) {
	for policy, want := range map[broker.OnFull]int64{broker.FullBlock: 4, broker.FullFail: 4, broker.FullDropOldest: 1, broker.FullDeadLetter: 1} {
		r := newRig(t, withPolicy(func(p *broker.Policy) { p.MaxMessages, p.OnFull = 1, policy }))
		c, q := r.connect(), queueNamed("q")
		for range 3 {
			c.schedule(q, "later", after(50*time.Millisecond))
		}
		c.send(q, "first")
		r.fired()
		if n := r.queue(q).Messages; n != want {
			t.Errorf("policy %d: %d messages, want %d", policy, n, want)
		}
	}
}

// TestScheduleOneBody: repetitions share the body that was stored.
func TestScheduleOneBody(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("q")
	before := r.st.Stats().End
	body := fmt.Sprintf("%0100000d", 1)
	c.schedule(q, body, broker.Schedule{Period: time.Millisecond, Repeat: 49})
	r.fired()
	if n := r.queue(q).Messages; n != 50 {
		t.Fatalf("%d messages", n)
	}
	if n := r.st.Stats().End - before; n > 250_000 {
		t.Fatalf("50 deliveries of 100,000 bytes took %d bytes of journal", n)
	}
	c.subscribe(q, auto)
	for _, d := range c.take(50) {
		if string(d.Message.Body()) != body {
			t.Fatal("another body")
		}
	}
}

var manyTimers = flag.Int("timers", 20_000, "timers of TestManyTimers; try 1000000")

// TestManyTimers keeps many timers with little memory, starts without reading them, and
// delivers all.
func TestManyTimers(t *testing.T) {
	n := *manyTimers
	clock := &setClock{now: time.UnixMilli(1_800_000_000_000)}
	heap := func() int64 {
		runtime.GC()
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		return int64(ms.HeapAlloc)
	}
	before := heap()
	dir := t.TempDir()
	b, st, end := openFolder(t, dir, clock)
	c, q := &client{}, queueNamed("q")
	var err error
	if c.Conn, err = b.Connect(broker.ConnOptions{Sink: quiet{}}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for i := 0; i < n; {
		w := c.NewWork()
		for range min(1000, n-i) {
			s := broker.Schedule{Delay: time.Duration(1+(i*7919)%n) * time.Second}
			if err := w.Schedule([]broker.Destination{q}, message(q, "timer"), &s); err != nil {
				t.Fatal(err)
			}
			i++
		}
		if err := flush(t, w); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d timers set in %v", n, time.Since(start).Round(time.Millisecond))
	if err := st.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	t.Logf("heap grown by %d KiB, buffers of the writing included", (heap()-before)>>10)
	c.Conn.Close()
	end()
	start = time.Now()
	b, _, end = openFolder(t, dir, clock)
	defer end()
	t.Logf("opened in %v", time.Since(start).Round(time.Millisecond))
	grown := heap() - before
	t.Logf("heap grown by %d KiB", grown>>10)
	if grown > 32<<20 {
		t.Errorf("%d timers take %d MiB of memory", n, grown>>20)
	}
	if got := b.ScheduleCount(); got != int64(n) {
		t.Fatalf("%d schedules after the restart", got)
	}
	clock.add(time.Duration(n+1) * time.Second)
	start = time.Now()
	b.WakeScheduler()
	for limit := time.Now().Add(5 * time.Minute); b.ScheduleCount() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d are left", b.ScheduleCount())
		}
	}
	t.Logf("delivered in %v, heap %d KiB", time.Since(start).Round(time.Millisecond), heap()>>10)
	if i, err := b.Queue(q); err != nil || i.Messages != int64(n) {
		t.Fatalf("%+v %v", i, err)
	}
}

type quiet struct{}

func (quiet) Wake()      {}
func (quiet) Kill(error) {}

// openFolder opens a broker on a folder of the disk.
func openFolder(t *testing.T, dir string, clock *setClock) (*broker.Broker, *local.Store, func()) {
	t.Helper()
	seq := new(atomic.Uint64)
	st, err := local.Open(local.Options{Dir: dir, Seq: seq})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Options{Store: st, Sequence: seq, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return b, st, func() {
		b.Close(0)
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
}
