package admin

import (
	"math"
	"sync"
	"time"

	"treadmq/broker"
)

const (
	// rateWindow is the time constant of the moving average of rates.
	rateWindow = 10 * time.Second
	// maxHistories bounds the destinations that have a history.
	maxHistories = 5000
	// sampleShare bounds what measuring costs: it takes at most one part in so many
	// of the time, whatever the number of destinations.
	sampleShare = 50
)

// track follows the counters of one destination.
type track struct {
	created time.Time
	in, out uint64 // counters at the last measurement
	rateIn  float64
	rateOut float64
	round   uint64
	counts  sums
	history *history
}

// sums are counters over the whole broker. They never go back, also when a
// destination goes.
type sums [sumCount]uint64

// What is summed up.
const (
	sumEnqueued = iota
	sumDequeued
	sumRedelivered
	sumExpired
	sumDead
	sumDropped
	sumPublished
	sumDelivered
	sumDuplicates
	sumCount
)

// measured is a destination's counters at one time.
type measured struct {
	dest     broker.Destination
	created  time.Time
	messages int64
	in, out  uint64
	counts   sums
}

// sampler measures rates: a moving average and a short history for each
// destination and for the broker.
type sampler struct {
	b        *broker.Broker
	interval time.Duration
	stop     chan struct{} // closed by close
	once     sync.Once     // guards the closing
	done     chan struct{} // closed when run ended

	mu        sync.RWMutex // guards what follows
	last      time.Time
	round     uint64
	tracks    map[broker.Destination]*track
	histories int
	total     track
	all       sums
}

func newSampler(b *broker.Broker, interval time.Duration) *sampler {
	return &sampler{
		b: b, interval: interval, stop: make(chan struct{}), done: make(chan struct{}),
		tracks: map[broker.Destination]*track{}, total: track{history: &history{}},
	}
}

func (s *sampler) start() { go s.run() }

// close ends the measuring and waits for it.
func (s *sampler) close() {
	s.once.Do(func() { close(s.stop) })
	<-s.done
}

func (s *sampler) run() {
	defer close(s.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-timer.C:
		}
		begun := time.Now()
		s.update(begun, s.measure())
		timer.Reset(max(s.interval, sampleShare*time.Since(begun)))
	}
}

func (s *sampler) measure() []measured {
	queues, topics := s.b.Queues(nil), s.b.Topics(nil)
	list := make([]measured, 0, len(queues)+len(topics))
	for i := range queues {
		q := &queues[i]
		list = append(list, measured{q.Destination, q.Created, q.Messages, q.Enqueued, q.Dequeued, sums{
			sumEnqueued: q.Enqueued, sumDequeued: q.Dequeued, sumRedelivered: q.Redelivered, sumExpired: q.Expired, sumDead: q.DeadLettered, sumDropped: q.Dropped,
			sumDuplicates: q.Duplicates,
		}})
	}
	for _, q := range s.b.DurableSubscriptions(nil) {
		list = append(list, measured{q.Destination, q.Created, q.Messages, q.Enqueued, q.Dequeued, sums{
			sumEnqueued: q.Enqueued, sumDequeued: q.Dequeued, sumRedelivered: q.Redelivered, sumExpired: q.Expired, sumDead: q.DeadLettered, sumDropped: q.Dropped,
			sumDuplicates: q.Duplicates,
		}})
	}
	for i := range topics {
		t := &topics[i]
		list = append(list, measured{t.Destination, t.Created, int64(t.Backlog), t.Published, t.Delivered, sums{
			sumPublished: t.Published, sumDelivered: t.Delivered, sumDropped: t.Dropped, sumDuplicates: t.Duplicates,
		}})
	}
	return list
}

// update takes a measurement in.
func (s *sampler) update(now time.Time, list []measured) {
	s.mu.Lock()
	defer s.mu.Unlock()
	elapsed := now.Sub(s.last).Seconds()
	first := s.last.IsZero()
	s.last = now
	s.round++
	var messages int64
	var in, out float64
	for i := range list {
		m := &list[i]
		t := s.tracks[m.dest]
		if t == nil || !t.created.Equal(m.created) {
			t = s.newTrack(m, first)
		}
		t.round = s.round
		t.move(m, elapsed, first)
		s.count(t, m)
		s.remember(now, t, m)
		messages += m.messages
		in += t.rateIn
		out += t.rateOut
	}
	for d, t := range s.tracks {
		if t.round != s.round {
			s.forget(d, t)
		}
	}
	s.total.rateIn, s.total.rateOut = in, out
	s.total.history.add(now, point{float32(messages), float32(in), float32(out)})
}

// newTrack begins to follow a destination. One that came since the last
// measurement counts from nothing.
func (s *sampler) newTrack(m *measured, first bool) *track {
	if old := s.tracks[m.dest]; old != nil {
		s.forget(m.dest, old)
	}
	t := &track{created: m.created}
	if first {
		t.in, t.out = m.in, m.out
	}
	s.tracks[m.dest] = t
	return t
}

func (s *sampler) forget(d broker.Destination, t *track) {
	delete(s.tracks, d)
	if t.history != nil {
		s.histories--
	}
}

// move brings the averages up to date.
func (t *track) move(m *measured, elapsed float64, first bool) {
	if !first && elapsed > 0 {
		t.rateIn = average(t.rateIn, rate(t.in, m.in, elapsed), elapsed)
		t.rateOut = average(t.rateOut, rate(t.out, m.out, elapsed), elapsed)
	}
	t.in, t.out = m.in, m.out
}

// count adds what was counted since the last measurement.
func (s *sampler) count(t *track, m *measured) {
	for i, now := range m.counts {
		before := t.counts[i]
		if now < before {
			before = 0
		}
		s.all[i] += now - before
	}
	t.counts = m.counts
}

// counted returns the sums over all destinations there ever were.
func (s *sampler) counted() sums {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.all
}

// rate is the increase of a counter per second; a counter that began anew counts from zero.
func rate(before, now uint64, elapsed float64) float64 {
	if now < before {
		before = 0
	}
	return float64(now-before) / elapsed
}

// average moves an average towards a value; what is below one in a hundred seconds is nothing.
func average(old, value, elapsed float64) float64 {
	a := old + (value-old)*(1-math.Exp(-elapsed/rateWindow.Seconds()))
	if a < 0.01 && value == 0 {
		return 0
	}
	return a
}

// remember keeps a history of what moves.
func (s *sampler) remember(now time.Time, t *track, m *measured) {
	if t.history == nil {
		if t.rateIn == 0 && t.rateOut == 0 && m.messages == 0 || s.histories >= maxHistories {
			return
		}
		t.history = &history{}
		s.histories++
	}
	t.history.add(now, point{float32(m.messages), float32(t.rateIn), float32(t.rateOut)})
}

// rates returns a destination's averages.
func (s *sampler) rates(d broker.Destination) (in, out float64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tracks[d]; t != nil {
		return t.rateIn, t.rateOut
	}
	return 0, 0
}

// trace returns a destination's history of a span, oldest first.
func (s *sampler) trace(d broker.Destination, of int) []point {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tracks[d]; t != nil {
		return t.history.list(of)
	}
	return nil
}

// spark returns the small picture of what a destination did lately.
func (s *sampler) spark(d broker.Destination, of func(point) float32) []int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tracks[d]; t != nil {
		return t.history.spark(of)
	}
	return nil
}

// totals returns the averages of the whole broker and its history of a span.
func (s *sampler) totals(of int) (in, out float64, trace []point) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.total.rateIn, s.total.rateOut, s.total.history.list(of)
}
