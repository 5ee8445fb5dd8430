package broker

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"treadmq/store"
)

// ScheduleInfo is a snapshot of a schedule.
type ScheduleInfo struct {
	ID           string // its name, else the id of its message; PropScheduleID of what it delivers
	Name         string
	Destinations []Destination
	Due          time.Time // of the next delivery
	Created      time.Time
	Until        time.Time // zero: no end
	Delay        time.Duration
	Period       time.Duration
	Repeat       int64 // as in Schedule
	Left         int64 // further deliveries after the next; of this burst, with Cron; -1 = without end
	Cron         string
	Zone         string
	Deliveries   int64 // so far
	Size         int   // of the stored message in bytes
	Persistent   bool
	Cursor       string // for a ScheduleQuery that goes on behind it
}

// ScheduleQuery chooses schedules by when they are due next and where they deliver.
type ScheduleQuery struct {
	From, To    time.Time   // both included; zero: open
	Destination Destination // one of the schedule's; zero: any
	Cursor      string      // "" = the first
	Max         int         // at most so many are returned
}

// maxScheduleScan is how many schedules one call looks at, whatever it returns.
const maxScheduleScan = 10_000

// Schedules returns schedules in order of their next delivery, and the cursor to go on
// with, "" at the end. A page may have fewer than Max, even none, before the end: a call
// looks at 10,000 schedules at most.
func (b *Broker) Schedules(q ScheduleQuery) (list []ScheduleInfo, next string, err error) {
	next, err = b.sched.each(&q, func(r *store.Stored, j *job) (bool, error) {
		list = append(list, b.sched.info(r, j))
		return len(list) < max(q.Max, 1), nil
	})
	return list, next, err
}

// each calls fn for the schedules that a query chooses, as long as it says so, and
// returns the cursor behind the last.
func (s *scheduler) each(q *ScheduleQuery, fn func(*store.Stored, *job) (bool, error)) (string, error) {
	from, to := int64(0), keyBase-dueBase-1
	if !q.From.IsZero() {
		from = max(q.From.UnixMilli(), 0)
	}
	if !q.To.IsZero() {
		to = min(q.To.UnixMilli(), to)
	}
	cursor, err := parseScheduleCursor(q.Cursor, s.id())
	if err != nil {
		return "", err
	}
	if q.Cursor == "" {
		cursor = store.ExpiryCursor(dueBase + from)
	}
	if to < from {
		return "", nil
	}
	for scanned := 0; ; {
		page, next, err := s.b.store.Expired(nil, dueBase+to, cursor, fireBatch)
		if err != nil {
			return "", s.b.storeError(err)
		}
		for i := range page {
			r := &page[i]
			scanned++
			goOn, err := s.see(q, r, fn)
			if err != nil {
				return "", err
			}
			if !goOn || scanned >= maxScheduleScan {
				if i == len(page)-1 && next == nil {
					return "", nil
				}
				return scheduleCursor(r), nil
			}
		}
		if cursor = next; cursor == nil {
			return "", nil
		}
	}
}

// see calls fn for a job if the query chooses it.
func (s *scheduler) see(q *ScheduleQuery, r *store.Stored, fn func(*store.Stored, *job) (bool, error)) (bool, error) {
	j, err := decodeJob(r.Overlay)
	if err != nil {
		j = job{}
	}
	if q.Destination.Name != "" && !slices.Contains(j.dests, q.Destination) {
		return true, nil
	}
	if j.named {
		newest, err := s.newest(j.key)
		if err != nil {
			return false, s.b.storeError(err)
		}
		if newest.Seq > 0 && newest.Seq != r.Seq {
			return true, nil // replaced a moment ago
		}
	}
	return fn(r, &j)
}

func scheduleCursor(r *store.Stored) string {
	return strconv.FormatInt(r.Expiry-dueBase, 36) + "." + strconv.FormatUint(uint64(r.Seq), 36)
}

func parseScheduleCursor(text string, d store.DestID) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	due, seq, ok := strings.Cut(text, ".")
	at, err1 := strconv.ParseInt(due, 36, 64)
	n, err2 := strconv.ParseUint(seq, 36, 64)
	if !ok || err1 != nil || err2 != nil || at < 0 || at >= keyBase-dueBase {
		return nil, Errorf(CodeBadRequest, "%q is not a cursor of the list of schedules", text)
	}
	return store.AppendExpiryCursor(nil, dueBase+at, store.Ref{Dest: d, Lane: jobLane, Seq: store.Seq(n)}), nil
}

func (s *scheduler) info(r *store.Stored, j *job) ScheduleInfo {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	i := ScheduleInfo{
		ID: s.jobID(r, j), Destinations: j.dests, Due: time.UnixMilli(r.Expiry - dueBase), Created: time.UnixMilli(j.created),
		Delay: ms(j.delay), Period: ms(j.period), Repeat: j.repeat, Left: j.left, Cron: j.cron, Zone: j.zone,
		Deliveries: j.count, Size: int(r.Size), Persistent: MessageFlags(r.Flags)&FlagPersistent != 0,
		Cursor: scheduleCursor(r),
	}
	if j.named {
		i.Name = j.key
	}
	if j.until != 0 {
		i.Until = time.UnixMilli(j.until)
	}
	return i
}

// ScheduleCount is the number of schedules. A name that was scheduled again may count
// twice for a moment.
func (b *Broker) ScheduleCount() int64 {
	if b.sched.id() == 0 {
		return 0
	}
	return b.store.Counts()[b.sched.id()][jobLane].Refs
}

// Schedule returns a schedule and its message, by its id.
func (b *Broker) Schedule(id string) (ScheduleInfo, *Message, error) {
	s := b.sched
	r, j, err := s.find(id)
	if err != nil {
		return ScheduleInfo{}, nil, err
	}
	m, err := s.message(&r)
	if err != nil {
		return ScheduleInfo{}, nil, Errorf(CodeInternal, "the message of the schedule %q cannot be read: %w", id, err)
	}
	return s.info(&r, &j), m, nil
}

// find returns a schedule by its id.
func (s *scheduler) find(id string) (r store.Stored, j job, err error) {
	none := Errorf(CodeNoSchedule, "there is no schedule %q; it was delivered for the last time, cancelled, or never made", id)
	if s.id() == 0 {
		return r, j, none
	}
	ref, err := s.newest(id)
	if err != nil {
		return r, j, s.b.storeError(err)
	}
	if ref.Seq == 0 {
		n, ok := s.b.ParseMessageID([]byte(id))
		if !ok {
			return r, j, none
		}
		ref = store.Ref{Dest: s.id(), Lane: jobLane, Seq: store.Seq(n)}
	}
	if r, err = s.b.store.Find(ref); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return r, j, none
		}
		return r, j, s.b.storeError(err)
	}
	if j, err = decodeJob(r.Overlay); err != nil {
		return r, j, Errorf(CodeInternal, "the schedule %q: %w", id, err)
	}
	if s.jobID(&r, &j) != id {
		return r, j, none
	}
	return r, j, nil
}

// CancelSchedule removes a schedule by its id. When it returns nil that is on disk, and
// nothing more is delivered.
func (b *Broker) CancelSchedule(id string) error {
	s := b.sched
	return s.call(func() error {
		r, j, err := s.settled(id)
		if err != nil {
			return err
		}
		list, err := s.sameName(&j)
		if err != nil {
			return err
		}
		return s.commit(func(sb *store.Batch) {
			s.remove(sb, &r, &j)
			removeAll(sb, list)
		})
	})
}

// sameName returns the key references of a job's name, replaced ones too; none if it has
// no name.
func (s *scheduler) sameName(j *job) ([]store.Stored, error) {
	if !j.named {
		return nil, nil
	}
	list, err := s.byKey(j.key)
	if err != nil {
		err = s.b.storeError(err)
	}
	return list, err
}

// settled is find, after all that was handed to the store before is committed.
func (s *scheduler) settled(id string) (store.Stored, job, error) {
	if s.id() != 0 {
		if err := s.barrier(); err != nil {
			return store.Stored{}, job{}, err
		}
	}
	return s.find(id)
}

// cancelBatch is how many schedules are removed in one commit.
const cancelBatch = 1000

// CancelSchedules removes all schedules that a query chooses and returns how many. What
// is due meanwhile is delivered.
func (b *Broker) CancelSchedules(q ScheduleQuery) (n int64, err error) {
	s := b.sched
	for more := true; more && err == nil; {
		err = s.call(func() error {
			some, next, err := s.cancelSome(q)
			n += int64(some)
			q.Cursor, more = next, next != ""
			return err
		})
	}
	return n, err
}

func (s *scheduler) cancelSome(q ScheduleQuery) (n int, next string, err error) {
	if s.id() == 0 {
		return 0, "", nil
	}
	if err := s.barrier(); err != nil {
		return 0, "", err
	}
	var gone store.Batch
	next, err = s.each(&q, func(r *store.Stored, j *job) (bool, error) {
		list, err := s.sameName(j)
		s.remove(&gone, r, j)
		removeAll(&gone, list)
		n++
		return n < cancelBatch, err
	})
	if err != nil || n == 0 {
		return 0, next, err
	}
	return n, next, s.commit(func(sb *store.Batch) { sb.Ops = gone.Ops })
}

// RunSchedule delivers a schedule's message now. One that delivers once is done by that;
// any other goes on as it would have without.
func (b *Broker) RunSchedule(id string) error {
	s := b.sched
	return s.call(func() error {
		r, j, err := s.settled(id)
		if err != nil {
			return err
		}
		m, err := s.message(&r)
		if err != nil {
			return Errorf(CodeInternal, "the message of the schedule %q cannot be read: %w", id, err)
		}
		list, err := s.sameName(&j)
		if err != nil {
			return err
		}
		w := s.work()
		once := !j.repeats()
		if err := s.deliver(w, &r, &j, m, id, b.now().UnixMilli(), once); err != nil {
			w.drop()
			return err
		}
		if once {
			s.remove(&w.sb, &r, &j)
			removeAll(&w.sb, list)
		}
		return s.flush(w)
	})
}
