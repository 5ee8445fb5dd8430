package sim

import (
	"flag"
	"strings"
	"testing"

	"treadmq/ha/internal/mutate"
)

// mutation is a safety rule that is switched off, and how long a search for the
// violation may take.
type mutation struct {
	name   string
	rule   mutate.Set
	tune   func(*Swarm) // nil: the weights that the seeds draw
	budget int          // seeds
	harm   func(*Swarm) // for TestHarm, if not as drawn
}

var mutations = []mutation{
	{"the longest log wins (2.5)", mutate.CompareLength, elections, 6000, nil},
	{"measure without a fence (2.5)", mutate.NoFence, nil, 100, nil},
	{"any promise counts (2.5)", mutate.AnyPromise, nil, 200, nil},
	{"no truncation (2.4)", mutate.NoTruncation, nil, 1000, nil},
	{"truncate to the own commit (2.4)", mutate.TruncateToCommit, nil, 100, nil},
	{"ACK before the truncation (2.4)", mutate.EarlyAck, nil, 1000, brokenLinks},
	{"commit older epochs by counting (2.5)", mutate.CommitOldEpochs, nil, 500, elections},
	{"resume the epoch after a restart (2.5)", mutate.ResumeEpoch, nil, 500, elections},
	{"make the lease again without a look (2.7)", mutate.ReclaimBlindly, nil, 2000, nil},
	{"ACK before the sync (2.3)", mutate.AckUnsynced, nil, 100, nil},
	{"a suspect node votes (2.12)", mutate.IgnoreSuspect, nil, 2000, nil},
	{"voters change before they hold the log (2.11)", mutate.VotersBlindly, nil, 2000, changes},
	{"the promise is in memory only (2.5)", mutate.VolatilePromise, nil, 500, staleWorld},
	{"an unknown answer is taken for success (2.5)", mutate.ActOnUnknown, nil, 1000, nil},
	{"a wiped node votes (2.12)", mutate.WipedVotes, nil, 4000, nil},
	{"a snapshot is installed early (2.9)", mutate.InstallEarly, nil, 500, nil},
	{"a foreign register is believed (invariant 20)", mutate.IgnoreForeign, nil, 1000, nil},
	{"serve before the start is committed (2.6)", mutate.ServeEarly, nil, 100, nil},
	{"commit without the others (2.3)", mutate.CommitAlone, nil, 100, nil},
	{"a damaged node votes (2.13)", mutate.IgnoreCorrupt, nil, 4000, nil},
	{"follow the old master after a promise (2.5)", mutate.OldMaster, nil, 500, nil},
	{"append while voters change (2.11)", mutate.KeepAppending, nil, 2000, changes},
}

// masked are rules behind which another one stands: switching one off does nothing alone.
var masked = []mutation{
	{"an ACK counts whatever its epoch, session and link (2.4)", mutate.AnyAck, elections, 0, brokenLinks},
	{"cut below the known commit (invariant 13)", mutate.TruncateCommitted, elections, 0, nil},
}

var (
	harm = flag.Bool("harm", false, "count in how many seeds a broken rule harms what was acknowledged")
	rule = flag.String("rule", "", "only rules whose name contains this")
)

// TestHarm counts, for the table in ha/DESIGN.md, how often a broken rule does harm that
// somebody outside can notice. It says why a rule is there; TestMutations says that it is checked.
func TestHarm(t *testing.T) {
	if !*harm {
		t.Skip("a table, not a test: -harm -seeds 5000 -v")
	}
	for _, m := range append(mutations, masked...) {
		if !strings.Contains(m.name, *rule) {
			continue
		}
		for _, nodes := range sizes() {
			found, example := 0, ""
			search(*seeds, 0, Options{Nodes: nodes, Steps: *steps, Broken: m.rule, Tune: m.harm, Harm: true}, func(_ uint64, r Result) bool {
				if r.Violation != "" {
					found, example = found+1, r.Violation
				}
				return false
			})
			t.Logf("%-50s %d nodes %5d of %d %s", m.name, nodes, found, *seeds, example)
		}
	}
}

// TestMutations: a checker that finds nothing may be broken. Each rule of the protocol is
// switched off in turn, and the simulation must notice within its budget.
func TestMutations(t *testing.T) {
	if raced {
		t.Skip("slow with the race detector, which adds nothing here: make sim-short")
	}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			for _, nodes := range sizes() {
				found, at := "", uint64(0)
				search(m.budget, 0, Options{Nodes: nodes, Steps: 1200, Broken: m.rule, Tune: m.tune}, func(seed uint64, r Result) bool {
					if r.Violation != "" && found == "" {
						found, at = r.Violation, seed
					}
					return found != ""
				})
				if found == "" {
					t.Errorf("%d nodes: nothing found in %d seeds", nodes, m.budget)
				}
				t.Logf("%d nodes, seed %d: %s", nodes, at, found)
			}
		})
	}
}
