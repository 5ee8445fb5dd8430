package faults

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// swap is a compare-and-set of a register, or a read where from and to are the same.
type swap struct {
	from, to     int
	began, ended time.Duration // ended 0: nobody knows whether it happened, nor when
}

// checkTime bounds the search; a history of this size takes a moment.
const checkTime = time.Minute

// linearizable says whether there is an order of the operations, each at a moment between
// its beginning and its end, in which every swap found the value that it replaced. The
// register begins with 0, and no two swaps put in the same value.
func linearizable(swaps []swap) bool {
	ops := make([]porcupine.Operation, 0, len(swaps))
	for i, s := range happened(swaps) {
		end := int64(s.ended)
		if s.ended == 0 {
			end = math.MaxInt64
		}
		ops = append(ops, porcupine.Operation{ClientId: i, Input: s, Call: int64(s.began), Return: end})
	}
	model := porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, input, _ any) (bool, any) { return state == input.(swap).from, input.(swap).to },
	}
	return porcupine.CheckOperationsTimeout(model, ops, checkTime) == porcupine.Ok
}

// happened leaves out swaps without an answer whose value nobody found: since values differ, they did not
// happen, or as the last of all, which makes no difference. All others did.
func happened(swaps []swap) []swap {
	for {
		found := map[int]bool{}
		for _, s := range swaps {
			found[s.from] = true
		}
		n := len(swaps)
		swaps = slices.DeleteFunc(slices.Clone(swaps), func(s swap) bool { return s.ended == 0 && !found[s.to] })
		if len(swaps) == n {
			return swaps
		}
	}
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
		{"no answer three times", []swap{{0, 1, 1, 0}, {0, 2, 1, 0}, {2, 3, 3, 0}, {2, 4, 5, 6}, {4, 4, 7, 8}}, true},
		{"no answer, and both happened", []swap{{0, 1, 1, 0}, {0, 2, 1, 0}, {1, 3, 3, 4}, {2, 4, 5, 6}}, false},
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
