package admin

import (
	"net/url"
	"time"

	"treadmq/broker"
)

// point is one measurement.
type point struct {
	messages, in, out float32
}

// span is how far back figures are kept, and how finely. The longer, the coarser.
type span struct {
	name   string        // in addresses
	step   time.Duration // from one point to the next; 0: from one measurement to the next
	points int
}

// spans are what there is to choose from. The first is the finest.
var spans = [...]span{{"", 0, historyPoints}, {"1h", time.Minute, 60}, {"24h", 15 * time.Minute, 96}}

// historyPoints are kept of the latest measurements.
const historyPoints = 60

// spanOf is the span that an address names.
func spanOf(v url.Values) (int, error) {
	name := v.Get("range")
	for i, s := range spans {
		if s.name == name {
			return i, nil
		}
	}
	return 0, bad("error.range", "range is 1h or 24h; without it the last minutes come.")
}

// history is what a destination did, in every span.
type history struct {
	rings   [len(spans)]ring
	partial [len(spans)]partial // of the first: not used
}

// ring keeps the latest points.
type ring struct {
	points []point
	n      int // points ever taken
}

func (r *ring) add(p point, most int) {
	if len(r.points) < most {
		r.points = append(r.points, p)
	} else {
		r.points[r.n%most] = p
	}
	r.n++
}

// oldest is where the oldest point is.
func (r *ring) oldest() int {
	if r.n == len(r.points) {
		return 0
	}
	return r.n % len(r.points)
}

// list returns the points, oldest first.
func (r *ring) list() []point {
	at := r.oldest()
	return append(append(make([]point, 0, len(r.points)+1), r.points[at:]...), r.points[:at]...)
}

// partial gathers the measurements of a point to be.
type partial struct {
	slot int64 // number of the step
	n    int
	sum  point // of rates; the most of messages
}

func (p *partial) take(m point) {
	p.n++
	p.sum.messages = max(p.sum.messages, m.messages)
	p.sum.in += m.in
	p.sum.out += m.out
}

// point is the most messages there were, and the mean of the rates.
func (p *partial) point() point {
	return point{p.sum.messages, p.sum.in / float32(p.n), p.sum.out / float32(p.n)}
}

func (h *history) add(now time.Time, m point) {
	h.rings[0].add(m, spans[0].points)
	for i := 1; i < len(spans); i++ {
		slot := now.UnixNano() / int64(spans[i].step)
		p := &h.partial[i]
		if p.n > 0 && p.slot != slot {
			h.rings[i].add(p.point(), spans[i].points)
			*p = partial{}
		}
		p.slot = slot
		p.take(m)
	}
}

// list returns the points of a span, oldest first; the last of a coarse one is not complete.
func (h *history) list(of int) []point {
	if h == nil {
		return nil
	}
	list := h.rings[of].list()
	if p := &h.partial[of]; p.n > 0 {
		list = append(list, p.point())
	}
	return list[max(0, len(list)-spans[of].points):]
}

const (
	// sparkPoints are in the small picture of a list's row: of two measurements the higher one.
	sparkPoints = historyPoints / 2
	// sparkHeight is how high its highest point is.
	sparkHeight = 20
)

// spark is the small picture of what a destination did lately: heights, oldest first.
func (h *history) spark(of func(point) float32) []int {
	if h == nil {
		return nil
	}
	r := &h.rings[0]
	heights := make([]float32, 0, sparkPoints+1)
	top := float32(0)
	n, at := len(r.points), r.oldest()
	for i := range n { // what was a pair once stays one
		v := of(r.points[(at+i)%n])
		top = max(top, v)
		if i == 0 || (r.n-n+i)%2 == 0 {
			heights = append(heights, v)
		} else {
			last := &heights[len(heights)-1]
			*last = max(*last, v)
		}
	}
	heights = heights[max(0, len(heights)-sparkPoints):]
	list := make([]int, len(heights))
	for i, v := range heights {
		if top > 0 {
			list[i] = int(v/top*sparkHeight + 0.5)
		}
	}
	return list
}

// past is what a list tells of the time before.
type past struct {
	history, spark bool
	span           int
}

func pastOf(v url.Values) (past, error) {
	of, err := spanOf(v)
	return past{v.Get("history") == "true", v.Get("spark") == "true", of}, err
}

func ofMessages(p point) float32 { return p.messages }

func ofRateIn(p point) float32 { return p.in }

// past is what a destination did, as far as it was asked for.
func (s *Server) past(p past, d broker.Destination, of func(point) float32) (h *historyView, spark []int) {
	if p.history {
		h = s.historyView(s.rates.trace(d, p.span), p.span)
	}
	if p.spark {
		spark = s.rates.spark(d, of)
	}
	return h, spark
}
