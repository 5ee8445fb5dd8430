package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// heapSpare is what the broker needs beside the messages that memory.limit allows, in bytes.
const heapSpare = 64 << 20

// paceHeap keeps the process from growing to twice what is alive in it between two
// collections, as Go would let it: draining a long backlog makes garbage faster than
// anything else. It returns what ends it. An operator's own GOMEMLIMIT or GOGC holds instead.
func paceHeap(floor int64) (stop func()) {
	if os.Getenv("GOMEMLIMIT") != "" || os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetMemoryLimit(floor)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
		for {
			select {
			case <-tick.C:
				metrics.Read(samples)
				debug.SetMemoryLimit(heapLimit(floor, int64(samples[0].Value.Uint64()), int64(samples[1].Value.Uint64())))
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
		debug.SetMemoryLimit(before)
	}
}

// heapLimit leaves half as much again as is alive, so that collections never follow
// one another without end, and at least the floor.
func heapLimit(floor, live, stacks int64) int64 {
	return max(floor, live+live/2+stacks+heapSpare/2)
}
