package broker

import "math"

// Which deliveries are measured: the first ones all, then one in so many. The clock is the dear part of it.
const (
	waitsAll   = 64
	waitsEvery = 64
)

// WaitTimes says how long messages were in a queue, in ms, before a consumer was given them. It knows of the first 64
// deliveries and of every 64th since.
type WaitTimes struct {
	N        uint64 // measured
	Sum      int64
	Min, Max int64
}

func (w *WaitTimes) add(ms int64) {
	ms = max(ms, 0) // clocks go back, and with trustTimestamp the sender's counts
	if w.N == 0 {
		w.Min = math.MaxInt64
	}
	w.N++
	w.Sum, w.Min, w.Max = w.Sum+ms, min(w.Min, ms), max(w.Max, ms)
}

// merge adds what another queue measured.
func (w *WaitTimes) merge(o WaitTimes) {
	switch {
	case o.N == 0:
	case w.N == 0:
		*w = o
	default:
		w.N, w.Sum, w.Min, w.Max = w.N+o.N, w.Sum+o.Sum, min(w.Min, o.Min), max(w.Max, o.Max)
	}
}

// Average is in ms; 0 while nothing was measured.
func (w *WaitTimes) Average() float64 { return average(w.Sum, int64(w.N)) }

// dispatched counts an entry that a consumer is given. q.mu is held, and c.mu of the consumer.
func (q *queue) dispatched(e *entry) {
	q.stats.dispatched++
	if n := q.stats.dispatched; n <= waitsAll || n%waitsEvery == 0 {
		q.stats.waits.add(q.b.now().UnixMilli() - e.msg.Timestamp())
	}
}
