package sim

import (
	"fmt"
	"testing"

	"treadmq/ha/internal/mutate"
)

func elections(s *Swarm) {
	*s = Swarm{netMin: 1e5, netMax: 5e6, diskMin: 1e5, diskMax: 5e6, zkMin: 1e6, zkMax: 2e7, session: 2e9, proposeEvery: 6e7, faultEvery: 25e7,
		mode: s.mode, timing: s.timing, founded: true, spare: s.spare, staleReads: s.staleReads, lostReplies: s.lostReplies}
	for f, x := range map[fault]int{fKill: 4, fPower: 2, fPause: 3, fCutOne: 6, fIsolate: 8, fHeal: 10, fReset: 3, fCoordCut: 3, fCoordHeal: 6, fExpire: 3, fElect: 6, fHandover: 2} {
		s.weights[f] = x
	}
}

func TestMut(t *testing.T) {
	names := []string{"CompareLength", "NoFence", "AnyPromise", "NoTruncation", "TruncateToCommit", "EarlyAck", "CommitOldEpochs", "ResumeEpoch", "ReclaimBlindly", "AckUnsynced", "IgnoreSuspect", "VotersBlindly", "VolatilePromise", "AnyAck", "ActOnUnknown", "TruncateCommitted", "WipedVotes", "InstallEarly", "IgnoreForeign", "ServeEarly", "CommitAlone", "IgnoreCorrupt", "OldMaster", "KeepAppending"}
	for i, name := range names {
		for _, nodes := range []int{3, 5} {
			for _, tune := range []func(*Swarm){nil, elections} {
				found, first, at := 0, uint64(0), ""
				n := 0
				search(*seeds, 0, Options{Nodes: nodes, Steps: 1200, Broken: mutate.Set(1) << i, Harm: true, Tune: tune}, func(s uint64, r Result) bool {
					n++
					if r.Violation != "" {
						found++
						first, at = s, r.Violation
					}
					return found >= 5
				})
				fmt.Printf("%-18s %d nodes directed=%v: %4d of %d, %d %s\n", name, nodes, tune != nil, found, n, first, at)
			}
		}
	}
}
