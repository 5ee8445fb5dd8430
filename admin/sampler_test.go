package admin

import (
	"fmt"
	"math"
	"testing"
	"time"

	"treadmq/broker"
)

var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func sampled(name string, created time.Time, in, out uint64) measured {
	return measured{broker.Destination{Kind: broker.Queue, Name: name}, created, int64(in - out), in, out, sums{}}
}

func TestRates(t *testing.T) {
	s := newSampler(nil, time.Second)
	q := broker.Destination{Kind: broker.Queue, Name: "q"}
	now := began
	n := uint64(1_000_000) // counted before anybody looked
	s.update(now, []measured{sampled("q", began, n, n)})
	if in, _ := s.rates(q); in != 0 {
		t.Errorf("rate %v after the first measurement", in)
	}
	for range 60 {
		now = now.Add(2 * time.Second)
		n += 200
		s.update(now, []measured{sampled("q", began, n, n-1000)})
	}
	in, out := s.rates(q)
	if math.Abs(in-100) > 0.1 || math.Abs(out-100) > 1 {
		t.Errorf("in %v, out %v instead of 100/s", in, out)
	}
	if sumIn, _, trace := s.totals(); sumIn != in || len(trace) != historyPoints || trace[historyPoints-1].in != in {
		t.Errorf("total %v, %d points", sumIn, len(trace))
	}
	for range 100 {
		now = now.Add(2 * time.Second)
		s.update(now, []measured{sampled("q", began, n, n)})
	}
	if in, out = s.rates(q); in != 0 || out != 0 {
		t.Errorf("a quiet queue has %v, %v", in, out)
	}
}

// A destination that came since the last look counts from nothing; one that was
// deleted and made again begins anew; one that is gone is forgotten.
func TestRatesOfDestinationsThatComeAndGo(t *testing.T) {
	s := newSampler(nil, time.Second)
	q := broker.Destination{Kind: broker.Queue, Name: "q"}
	s.update(began, nil)
	s.update(began.Add(time.Second), []measured{sampled("q", began, 50, 0)})
	if in, _ := s.rates(q); in <= 0 {
		t.Errorf("a new queue with 50 messages has rate %v", in)
	}
	s.update(began.Add(2*time.Second), []measured{sampled("q", began.Add(time.Second), 1, 0)})
	if in, _ := s.rates(q); in < 0 || in > 1 {
		t.Errorf("the queue made again has rate %v", in)
	}
	if n := len(s.trace(q)); n != 1 {
		t.Errorf("it has %d points of the old one", n)
	}
	s.update(began.Add(3*time.Second), nil)
	if len(s.tracks) != 0 || s.histories != 0 || s.trace(q) != nil {
		t.Errorf("%d tracks, %d histories are left", len(s.tracks), s.histories)
	}
}

// Histories are bounded, whatever the number of queues, and given back.
func TestHistoriesAreBounded(t *testing.T) {
	s := newSampler(nil, time.Second)
	var list []measured
	for i := range maxHistories + 100 {
		list = append(list, sampled(fmt.Sprint(i), began, 10, 0))
	}
	list = append(list, sampled("idle", began, 0, 0))
	s.update(began, list)
	s.update(began.Add(time.Second), list)
	if s.histories != maxHistories {
		t.Errorf("%d histories", s.histories)
	}
	s.update(began.Add(2*time.Second), list[len(list)-1:])
	if s.histories != 0 || s.tracks[list[len(list)-1].dest].history != nil {
		t.Errorf("%d histories are left, or an idle queue has one", s.histories)
	}
}

func TestHistoryIsInOrder(t *testing.T) {
	var h history
	for i := range historyPoints + 7 {
		h.add(point{messages: float64(i)})
		list := h.list()
		if want := min(i+1, historyPoints); len(list) != want || list[want-1].messages != float64(i) || list[0].messages != float64(max(0, i+1-historyPoints)) {
			t.Fatalf("after %d: %v", i+1, list)
		}
	}
}
