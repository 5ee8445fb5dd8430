package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"treadmq/store"
)

// PropScheduleID is the property of a delivered copy that names its schedule, as in
// ActiveMQ: the name given to it, else the id of the message that was sent.
const PropScheduleID = "scheduledJobId"

// fireJob adds the delivery of a job to w, and what becomes of the job afterwards.
func (s *scheduler) fireJob(w *Work, r *store.Stored, now int64) error {
	j, err := decodeJob(r.Overlay)
	if err != nil {
		return s.postpone(w, r, &j, now+damagedRetry.Milliseconds(), err)
	}
	var older []store.Stored
	if j.named {
		list, err := s.byKey(j.key)
		if err != nil {
			return err
		}
		if best := newestOf(list); best != nil && jobRef(best.Ref) != r.Ref {
			s.remove(&w.sb, r, &j) // another schedule took its name
			return nil
		}
		older = list
	}
	m, err := s.message(r)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case errors.Is(err, store.ErrCorrupt), errors.Is(err, errBadMessage):
		return s.postpone(w, r, &j, now+damagedRetry.Milliseconds(), err)
	case err != nil:
		return err
	}
	id := s.jobID(r, &j)
	first := j.count == 0
	next, more := j.delivered(r.Expiry-dueBase, now)
	if err := s.deliver(w, r, &j, m, id, now, first); err != nil {
		if isClosing(err) || err == errLater {
			return err
		}
		if j, err2 := decodeJob(r.Overlay); err2 == nil { // as it was
			return s.postpone(w, r, &j, now+fireRetry.Milliseconds(), err)
		}
		return err
	}
	if more {
		w.sb.Link(r.Ref, s.refs(&j, next)...)
		w.noteDue(next)
	}
	s.remove(&w.sb, r, &j)
	removeAll(&w.sb, older)
	return nil
}

// removeAll takes out the jobs of some key references: what a name stood for before must
// not come to life again when its present job goes.
func removeAll(sb *store.Batch, keys []store.Stored) {
	for i := range keys {
		sb.Remove(jobRef(keys[i].Ref), keys[i].Loc)
		sb.Remove(keys[i].Ref, keys[i].Loc)
	}
}

// postpone tries a job again later.
func (s *scheduler) postpone(w *Work, r *store.Stored, j *job, due int64, why error) error {
	s.b.log.Error("a scheduled message cannot be delivered; it is tried again", "id", s.jobID(r, j), "ref", r.Ref.String(), "err", why)
	ref := store.NewRef{Dest: r.Dest, Lane: jobLane, Overlay: r.Overlay, Expiry: dueBase + due, OwnExpiry: true}
	refs := []store.NewRef{ref}
	if len(j.dests) > 0 { // it can be decoded
		j.key = s.jobID(r, j)
		refs = s.refs(j, due)
	}
	w.sb.Link(r.Ref, refs...)
	w.noteDue(due)
	old, _ := decodeJob(r.Overlay)
	s.remove(&w.sb, r, &old)
	return nil
}

// jobID is the name of a schedule, else the id of its message.
func (s *scheduler) jobID(r *store.Stored, j *job) string {
	if j.key != "" {
		return j.key
	}
	return string(s.b.AppendMessageID(nil, r.ID))
}

// message reads a job's message.
func (s *scheduler) message(r *store.Stored) (*Message, error) {
	for {
		enc, err := s.b.store.Read(r.Loc)
		if err == nil {
			return DecodeMessage(enc, r.ID)
		}
		if !errors.Is(err, store.ErrMoved) {
			return nil, err
		}
		fresh, err := s.b.store.Find(r.Ref)
		if err != nil {
			return nil, err
		}
		r.Loc = fresh.Loc
	}
}

// deliver adds one copy of a job's message for each of its destinations to w. A later
// copy than the first is a message of its own to whoever receives it.
func (s *scheduler) deliver(w *Work, r *store.Stored, j *job, m *Message, id string, now int64, first bool) error {
	routes, err := s.routes(w, j, m)
	if err != nil {
		return err
	}
	if !first {
		m = &Message{enc: m.enc, dest: m.dest, id: s.b.nextID()}
	}
	c := copyOf{m: m, over: scheduleOverlay(id), expiry: copyExpiry(m, now)}
	w.size += m.Size()
	for i := range routes {
		s.target(w, r, &c, &routes[i])
	}
	return nil
}

// copyOf is a message as it is delivered this time.
type copyOf struct {
	m      *Message
	over   []byte
	expiry int64
	topic  *Message // with that expiry in it: topics have no other place for it
}

// scheduleOverlay are the properties of a delivered copy.
func scheduleOverlay(id string) []byte {
	var p Properties
	p.Add(PropScheduleID, id)
	return p.AppendTo(nil)
}

// copyExpiry is when a copy that is delivered now expires: a message's time to live
// counts from its delivery, as in ActiveMQ.
func copyExpiry(m *Message, now int64) int64 {
	exp := m.Expiration()
	if exp == 0 {
		return 0
	}
	return exp + max(now-m.Timestamp(), 0)
}

// routes resolves the destinations of a job. What was accepted is delivered: a full
// destination that would refuse it or make it wait goes beyond its limit.
func (s *scheduler) routes(w *Work, j *job, m *Message) ([]route, error) {
	dests := make([]Destination, 0, len(j.dests))
	for _, d := range j.dests {
		if d.Kind.IsTemporary() {
			if _, ok := s.b.TempOwner(d); !ok {
				s.b.log.Debug("a scheduled message's temporary destination is gone", "dest", d.String())
				continue
			}
		}
		dests = append(dests, d)
	}
	routes, err := s.b.route(nil, nil, nil, dests, m, limitsHold)
	var e *Error
	if err != ErrWouldBlock && !(errors.As(err, &e) && e.Code == CodeFull) {
		return routes, err
	}
	if len(w.targets) > 0 {
		return nil, errLater // some of those that are on their way may have to give way first
	}
	return s.b.route(nil, nil, nil, dests, m, limitsOff)
}

// errLater says that a job is to be delivered in the next batch.
var errLater = errors.New("in the next batch")

// target adds one copy for one destination.
func (s *scheduler) target(w *Work, r *store.Stored, c *copyOf, rt *route) {
	t := target{msg: c.m, conn: w.c, q: rt.q, t: rt.t, op: -1, over: joinProperties(rt.over, c.over), exp: c.expiry}
	if rt.dead {
		t.exp = rt.exp
	}
	switch {
	case rt.t != nil:
		if c.topic == nil {
			c.topic = c.m.expiringAt(c.expiry)
		}
		t.msg = c.topic
	case rt.stored(c.m):
		t.from = &entry{seq: r.Seq, loc: r.Loc, id: c.m.id, size: r.Size, lane: laneOf(c.m), src: durable}
		t.op = len(w.sb.Ops)
		t.ref = w.sb.LinkAs(c.m.id, r.Ref, store.NewRef{Dest: rt.q.id, Lane: t.from.lane, Overlay: t.over, Expiry: t.exp, OwnExpiry: true})
	}
	w.targets = append(w.targets, t)
}

// expiringAt is the same message with another expiration.
func (m *Message) expiringAt(expiration int64) *Message {
	if m.Expiration() == expiration {
		return m
	}
	enc := slices.Clone(m.enc)
	binary.BigEndian.PutUint64(enc[12:], uint64(expiration))
	return &Message{enc: enc, dest: m.dest, id: m.id}
}

// joinProperties joins two encoded lists.
func joinProperties(a, b []byte) []byte {
	na, wa := binary.Uvarint(a)
	nb, wb := binary.Uvarint(b)
	if wa <= 0 {
		return b
	}
	joined := binary.AppendUvarint(make([]byte, 0, len(a)+len(b)+1), na+nb)
	return append(append(joined, a[wa:]...), b[max(wb, 0):]...)
}

// newest returns the reference of the schedule that a key belongs to: the one that was
// sent last. Its Seq is 0 if there is none.
func (s *scheduler) newest(key string) (store.Ref, error) {
	list, err := s.byKey(key)
	if best := newestOf(list); best != nil {
		return jobRef(best.Ref), err
	}
	return store.Ref{}, err
}

func newestOf(list []store.Stored) (best *store.Stored) {
	for i := range list {
		if best == nil || newer(&list[i], best) {
			best = &list[i]
		}
	}
	return best
}

// newer compares schedules of one name. A repetition keeps its message's id and has a
// higher number.
func newer(a, b *store.Stored) bool {
	if a.ID != b.ID {
		return a.ID > b.ID
	}
	return a.Seq > b.Seq
}

// byKey returns the key references of a key.
func (s *scheduler) byKey(key string) ([]store.Stored, error) {
	at := keyPlace(key)
	cursor := store.ExpiryCursor(at)
	var found []store.Stored
	for {
		list, next, err := s.b.store.Expired(nil, at, cursor, fireBatch)
		if err != nil {
			return nil, fmt.Errorf("look up the schedule %s: %w", strconv.Quote(key), err)
		}
		for _, r := range list {
			if string(r.Overlay) == key {
				found = append(found, r)
			}
		}
		if cursor = next; cursor == nil {
			return found, nil
		}
	}
}

// dropReplaced removes older schedules of names that were scheduled again.
func (s *scheduler) dropReplaced() {
	s.mu.Lock()
	names := s.replaced
	s.replaced = nil
	s.mu.Unlock()
	if len(names) == 0 {
		return
	}
	sb := &store.Batch{Lazy: true, Done: func(*store.Batch, error) {}}
	for _, name := range names {
		if err := s.dropOlder(sb, name); err != nil {
			s.b.log.Warn("schedules that were replaced stay until they are due", "name", name, "err", err)
			return
		}
	}
	if sb.Empty() {
		return
	}
	if err := s.b.store.Append(sb); err != nil {
		s.b.log.Warn("schedules that were replaced stay until they are due", "err", s.b.storeError(err))
	}
}

func (s *scheduler) dropOlder(sb *store.Batch, name string) error {
	list, err := s.byKey(name)
	if err != nil || len(list) < 2 {
		return err
	}
	best := newestOf(list)
	for i := range list {
		if &list[i] != best {
			removeAll(sb, list[i:i+1])
		}
	}
	return nil
}
