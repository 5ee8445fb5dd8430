package sim

import (
	"bytes"
	"flag"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	seeds   = flag.Int("seeds", 100, "seeds to simulate, for each size of the group")
	first   = flag.Uint64("first", 0, "first seed")
	steps   = flag.Int("steps", 1200, "events per seed before everything is healed")
	size    = flag.Int("nodes", 0, "size of the group; 0: 3 and 5")
	history = flag.String("history", "", "file for the history of the first seed")
)

// search runs seeds on all processors until stop says so, and returns the sum of their statistics.
func search(n int, from uint64, opt Options, stop func(seed uint64, r Result) bool) Stats {
	var (
		next atomic.Uint64
		done atomic.Bool
		mu   sync.Mutex // guards sum and calls of stop
		sum  Stats
		wg   sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !done.Load() {
				i := next.Add(1) - 1
				if i >= uint64(n) {
					return
				}
				o := opt
				o.Seed = from + i
				r := Run(o)
				mu.Lock()
				sum.Add(r.Stats)
				if stop(o.Seed, r) {
					done.Store(true)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return sum
}

func sizes() []int {
	if *size != 0 {
		return []int{*size}
	}
	return []int{3, 5}
}

// TestSeeds: whatever happens, no invariant is violated, and the group works again
// when everything is healed. "make sim-short" runs 25,000 seeds, "make sim" a million.
func TestSeeds(t *testing.T) {
	for _, nodes := range sizes() {
		bad := 0
		sum := search(*seeds, *first, Options{Nodes: nodes, Steps: *steps}, func(seed uint64, r Result) bool {
			if r.Violation != "" {
				bad++
				t.Errorf("%d nodes, seed %d: %s\nsee it with: go test ./ha/sim -run TestSeeds -nodes %d -first %d -seeds 1 -steps %d -history FILE",
					nodes, seed, r.Violation, nodes, seed, *steps)
			}
			return bad >= 10
		})
		t.Logf("%d nodes, %d seeds: %+v", nodes, *seeds, sum)
		if *seeds >= 100 && (sum.Epochs < *seeds || sum.Commits < 10**seeds || sum.Installs == 0 || sum.VoterChanges == 0 || sum.Truncations == 0) {
			t.Errorf("the runs exercise too little: %+v", sum)
		}
		if *history != "" {
			out, err := os.Create(*history)
			if err != nil {
				t.Fatal(err)
			}
			Run(Options{Seed: *first, Nodes: nodes, Steps: *steps, Trace: out})
			if err := out.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSameHistory: a seed is a history, byte for byte.
func TestSameHistory(t *testing.T) {
	for _, nodes := range []int{3, 5} {
		for seed := range uint64(8) {
			var a, b bytes.Buffer
			ra := Run(Options{Seed: seed, Nodes: nodes, Steps: 600, Trace: &a})
			rb := Run(Options{Seed: seed, Nodes: nodes, Steps: 600, Trace: &b})
			if ra != rb || !bytes.Equal(a.Bytes(), b.Bytes()) {
				t.Fatalf("%d nodes, seed %d: two runs differ: %+v %+v", nodes, seed, ra, rb)
			}
			if rc := Run(Options{Seed: seed, Nodes: nodes, Steps: 600}); rc != ra {
				t.Fatalf("%d nodes, seed %d: tracing changes the run", nodes, seed)
			}
		}
	}
}
