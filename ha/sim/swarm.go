package sim

import (
	"math/rand/v2"
	"time"

	"treadmq/ha/replica"
)

// Swarm is what a seed draws: how fast and how broken its world is.
type Swarm struct {
	netMin, netMax, netSlowBy int64
	netSlow                   float64
	diskMin, diskMax          int64
	diskSlow, syncFails       float64
	zkMin, zkMax, session     int64
	staleReads, lostReplies   float64
	tailMoves                 float64
	proposeEvery, faultEvery  int64
	weights                   [faults]int
	mode                      replica.SyncMode
	timing                    replica.Timing
	replace, stopOnLoss       bool
	spare                     int
	founded                   bool
	wipedCoord                bool
}

func drawSwarm(r *rand.Rand, nodes int) Swarm {
	ms := int64(time.Millisecond)
	pick := func(vs ...int64) int64 { return vs[r.IntN(len(vs))] }
	some := func(p float64, vs ...float64) float64 {
		if r.Float64() < p {
			return vs[r.IntN(len(vs))]
		}
		return 0
	}
	s := Swarm{netMin: ms / 10, netMax: pick(1, 5, 30) * ms, netSlow: some(0.4, 0.02, 0.2), netSlowBy: pick(100, 1000) * ms,
		diskMin: ms / 10, diskMax: pick(1, 10, 50) * ms, diskSlow: some(0.3, 0.01), syncFails: some(0.1, 0.005),
		zkMin: ms, zkMax: pick(5, 30, 100) * ms, session: pick(2000, 6000) * ms,
		staleReads: some(0.5, 0.1, 0.5), lostReplies: some(0.4, 0.05, 0.3), tailMoves: some(0.4, 0.05, 0.4),
		proposeEvery: pick(60, 200, 600) * ms, faultEvery: pick(100, 300, 800) * ms,
		mode: replica.QuorumDisk, timing: replica.DefaultTiming(), replace: r.IntN(2) == 0, stopOnLoss: r.IntN(8) == 0, founded: r.IntN(10) > 0}
	switch r.IntN(10) {
	case 0:
		s.mode = replica.QuorumMem
	case 1:
		s.mode = replica.RemoteDisk
	case 2:
		s.mode = []replica.SyncMode{replica.LocalDisk, replica.LocalMem, replica.LocalDisk | replica.RemoteMem}[r.IntN(3)]
	}
	s.timing.Replace = 3 * time.Second
	for f := range s.weights {
		if r.IntN(2) == 0 {
			s.weights[f] = 1 + r.IntN(10)
		}
	}
	s.weights[fHeal] += 6
	s.weights[fCoordHeal] += 4
	rare := func(f fault, oneIn int) {
		if r.IntN(oneIn) != 0 {
			s.weights[f] = 0
		} else {
			s.weights[f] = min(s.weights[f], 2)
		}
	}
	rare(fCoordWipe, 10)
	rare(fPowerAll, 2)
	rare(fWipe, 2)
	rare(fFlip, 2)
	if r.IntN(2) == 0 && nodes+2 <= maxNodes {
		s.spare = 1 + r.IntN(2)
	}
	switch r.IntN(10) {
	case 0:
		elections(&s)
	case 1:
		brokenLinks(&s)
	case 2:
		staleWorld(&s)
	case 3:
		changes(&s)
	}
	return s
}

// elections has masters that are cut off with a tail of their own, time and again.
func elections(s *Swarm) {
	s.netMin, s.netMax, s.netSlow, s.netSlowBy = 1e5, 5e6, 0, 0
	s.diskMin, s.diskMax, s.diskSlow, s.syncFails = 1e5, 5e6, 0, 0
	s.zkMin, s.zkMax, s.session = 1e6, 2e7, 2e9
	s.proposeEvery, s.faultEvery, s.founded = 6e7, 25e7, true
	s.weights = [faults]int{fKill: 4, fPower: 2, fPause: 3, fCutOne: 6, fIsolate: 8, fHeal: 10, fReset: 3,
		fCoordCut: 3, fCoordHeal: 6, fExpire: 3, fElect: 6, fHandover: 2}
}

// brokenLinks has connections that fail all the time, and a slow network.
func brokenLinks(s *Swarm) {
	elections(s)
	s.netMax, s.netSlow, s.netSlowBy, s.diskMax = 3e7, 0.2, 5e8, 5e7
	s.weights[fReset], s.weights[fCutOne], s.weights[fElect], s.weights[fKill] = 20, 10, 15, 8
	s.faultEvery = 1e8
}

// staleWorld has processes that die while their disk is slow, and come back to an old view.
func staleWorld(s *Swarm) {
	elections(s)
	s.mode = replica.QuorumDisk
	s.diskMin, s.diskMax, s.staleReads, s.session, s.zkMax = 5e6, 1e8, 0.9, 6e9, 5e6
	s.weights = [faults]int{fKill: 15, fElect: 15, fCoordCut: 6, fCoordHeal: 5, fHeal: 1}
	s.faultEvery, s.proposeEvery = 15e7, 6e7
}

// changes has voters that change all the time.
func changes(s *Swarm) {
	elections(s)
	s.spare = 2
	s.weights[fVoters], s.weights[fKill], s.weights[fHandover] = 20, 8, 2
}
