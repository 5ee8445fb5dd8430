package sim

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

func envInt(name string, def int) int {
	if v, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return v
	}
	return def
}

func TestOne(t *testing.T) {
	seed, nodes := uint64(envInt("SIM_SEED", 1)), envInt("SIM_NODES", 3)
	o := Options{Seed: seed, Nodes: nodes, Steps: envInt("SIM_STEPS", 1500)}
	if f := os.Getenv("SIM_TRACE"); f != "" {
		out, err := os.Create(f)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		o.Trace = out
	}
	r := Run(o)
	fmt.Printf("%+v\n", r)
	if r.Violation != "" {
		t.Error(r.Violation)
	}
}

func TestMany(t *testing.T) {
	n, nodes := envInt("SIM_SEEDS", 100), envInt("SIM_NODES", 3)
	bad := map[string]int{}
	var sum Stats
	for seed := range n {
		r := Run(Options{Seed: uint64(seed), Nodes: nodes, Steps: envInt("SIM_STEPS", 1500)})
		if r.Violation != "" {
			if len(bad) < 20 {
				fmt.Println(seed, r.Violation)
			}
			bad[r.Violation[:12]]++
		}
		sum.Epochs += r.Stats.Epochs
		sum.Commits += r.Stats.Commits
		sum.Events += r.Stats.Events
		sum.Installs += r.Stats.Installs
		sum.VoterChanges += r.Stats.VoterChanges
		sum.Truncations += r.Stats.Truncations
	}
	fmt.Printf("%v %+v\n", bad, sum)
}
