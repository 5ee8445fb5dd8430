package main

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestHeapLimit(t *testing.T) {
	const floor = 192 << 20
	for live, want := range map[int64]int64{0: floor, 50 << 20: floor, 1 << 30: 1<<30 + 1<<29 + 10 + heapSpare/2} {
		if got := heapLimit(floor, live, 10); got != want {
			t.Errorf("with %d bytes alive the limit is %d, want %d", live, got, want)
		}
	}
}

func TestPaceHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetMemoryLimit(-1)
	stop := paceHeap(1 << 30)
	if got := debug.SetMemoryLimit(-1); got != 1<<30 {
		t.Errorf("the limit is %d", got)
	}
	stop()
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("afterwards the limit is %d, before it was %d", got, before)
	}
	t.Setenv("GOMEMLIMIT", "1GiB")
	paceHeap(1 << 30)()
	if got := debug.SetMemoryLimit(-1); got != before && got != math.MaxInt64 {
		t.Errorf("the operator's limit was changed to %d", got)
	}
}
