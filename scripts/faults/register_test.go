package faults

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"treadmq/ha/failover"
)

// swap is a compare-and-set of a register, or a read where from and to are the same.
type swap struct {
	from, to     int
	began, ended time.Duration // ended 0: nobody knows whether it happened, nor when
}

// fate is what is known of an operation's outcome.
type fate int

const (
	done fate = iota + 1
	undone
	unknown
)

func outcome(err error) fate {
	switch {
	case err == nil:
		return done
	case errors.Is(err, failover.ErrInterrupted):
		return undone
	}
	return unknown
}

// checkTime bounds the search; a history of this size takes a moment.
const checkTime = time.Minute

// linearizable says whether there is an order of the operations, each at a moment between
// its beginning and its end, in which every swap found the value that it replaced. The
// register begins with 0.
func linearizable(swaps []swap) bool {
	ops := make([]porcupine.Operation, 0, len(swaps))
	for i, s := range swaps {
		end := int64(s.ended)
		if s.ended == 0 {
			end = math.MaxInt64
		}
		ops = append(ops, porcupine.Operation{ClientId: i, Input: s, Output: s.ended != 0, Call: int64(s.began), Return: end})
	}
	model := porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, input, certain any) (bool, any) {
			s := input.(swap)
			if state == s.from {
				return true, s.to
			}
			return !certain.(bool), state // one without an answer may have done nothing
		},
	}
	return porcupine.CheckOperationsTimeout(model, ops, checkTime) == porcupine.Ok
}

func TestRegister(t *testing.T) {
	for _, test := range []struct {
		name  string
		swaps []swap
		want  bool
	}{
		{"one after the other", []swap{{0, 1, 1, 2}, {1, 2, 3, 4}, {2, 2, 5, 6}}, true},
		{"at the same time", []swap{{1, 2, 1, 9}, {0, 1, 2, 8}}, true},
		{"no answer, and it happened", []swap{{0, 1, 1, 0}, {1, 2, 3, 4}, {2, 2, 5, 6}}, true},
		{"no answer, and it did not", []swap{{0, 1, 1, 0}, {0, 2, 3, 4}, {2, 2, 5, 6}}, true},
		{"no answer, and it happened late", []swap{{0, 1, 1, 0}, {0, 0, 3, 4}, {1, 1, 5, 6}}, true},
		{"two took the same token", []swap{{0, 1, 1, 2}, {0, 2, 3, 4}}, false},
		{"two took the same token at the same time", []swap{{0, 1, 1, 9}, {0, 2, 1, 9}}, false},
		{"the last one is lost", []swap{{0, 1, 1, 2}, {1, 2, 3, 4}, {1, 1, 5, 6}}, false},
		{"a token that nobody put in", []swap{{0, 1, 1, 2}, {7, 8, 3, 4}}, false},
		{"taken before it was there", []swap{{1, 2, 1, 2}, {0, 1, 3, 4}}, false},
	} {
		if got := linearizable(test.swaps); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
