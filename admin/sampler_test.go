package admin

import (
	"fmt"
	"math"
	"slices"
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
	if sumIn, _, trace := s.totals(0); sumIn != in || len(trace) != historyPoints || trace[historyPoints-1].in != float32(in) {
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
	if n := len(s.trace(q, 0)); n != 1 {
		t.Errorf("it has %d points of the old one", n)
	}
	s.update(began.Add(3*time.Second), nil)
	if len(s.tracks) != 0 || s.histories != 0 || s.trace(q, 0) != nil {
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
		h.add(began.Add(time.Duration(i)*time.Second), point{messages: float32(i)})
		list := h.list(0)
		if want := min(i+1, historyPoints); len(list) != want || list[want-1].messages != float32(i) || list[0].messages != float32(max(0, i+1-historyPoints)) {
			t.Fatalf("after %d: %v", i+1, list)
		}
	}
}

// The long spans keep the most messages and the mean of the rates of every step, and so many steps that they reach
// back as far as they say.
func TestLongSpans(t *testing.T) {
	var h history
	const hours = 30
	for i := range hours * 1800 { // every two seconds
		at := time.Duration(i) * 2 * time.Second
		p := point{messages: 1, in: float32(at / time.Hour)}
		if i%1800 == 900 {
			p.messages = 77 // for a moment in each hour
		}
		h.add(began.Add(at), p)
	}
	hour, day := h.list(1), h.list(2)
	if len(hour) != 60 || len(day) != 96 {
		t.Fatalf("%d points of an hour, %d of a day", len(hour), len(day))
	}
	top := float32(0)
	for _, p := range hour {
		top = max(top, p.messages)
	}
	if top != 77 || hour[59].in != hours-1 {
		t.Errorf("the most in the hour was %v, the last rate %v", top, hour[59].in)
	}
	if day[0].in != hours-24 || day[95].in != hours-1 {
		t.Errorf("the day begins with rate %v and ends with %v", day[0].in, day[95].in)
	}
}

// What was high for one measurement is high in a row's picture, which does not change but for what is new.
func TestSparkOfHistory(t *testing.T) {
	var h history
	var before []int
	for i := range 3 * historyPoints {
		p := point{messages: 10}
		if i%8 == 5 {
			p.messages = 40
		}
		h.add(began, p)
		now := h.spark(ofMessages)
		if len(now) > sparkPoints {
			t.Fatalf("%d points", len(now))
		}
		if i > historyPoints && i%2 == 0 {
			if !slices.Equal(now[:sparkPoints-1], before[1:]) {
				t.Fatalf("after %d: %v, before %v", i, now, before)
			}
		}
		if i > historyPoints && i%8 == 5 && now[len(now)-1] != sparkHeight {
			t.Errorf("after %d: %v", i, now)
		}
		before = now
	}
}
