package replica

import (
	"fmt"
	"strings"
)

// SyncMode is a set of conditions for commit; all of them must hold.
type SyncMode uint8

// Conditions. The named modes of the configuration are sets of them.
const (
	localWritten  SyncMode = 1 << iota // in the master's page cache
	localStable                        // on the master's disk
	remoteWritten                      // in the page cache of a quorum, the master counted
	remoteStable                       // on the disks of a quorum less the master
)

// Modes by the names that ActiveMQ gave them. Only the quorum and remote modes
// keep what was acknowledged through a failover.
const (
	LocalMem   = localWritten
	LocalDisk  = localWritten | localStable
	RemoteMem  = localWritten | remoteWritten
	QuorumMem  = RemoteMem
	RemoteDisk = localWritten | remoteWritten | remoteStable
	QuorumDisk = LocalDisk | RemoteDisk
)

var modeNames = []struct {
	name string
	mode SyncMode
}{
	{"quorum_disk", QuorumDisk}, {"remote_disk", RemoteDisk}, {"quorum_mem", QuorumMem},
	{"remote_mem", RemoteMem}, {"local_disk", LocalDisk}, {"local_mem", LocalMem},
}

// ParseSync reads a list of modes with commas between them.
func ParseSync(s string) (SyncMode, error) {
	var m SyncMode
next:
	for name := range strings.SplitSeq(s, ",") {
		for _, n := range modeNames {
			if n.name == strings.TrimSpace(name) {
				m |= n.mode
				continue next
			}
		}
		return 0, fmt.Errorf("sync %q: use local_mem, local_disk, remote_mem, remote_disk, quorum_mem or quorum_disk", name)
	}
	return m, nil
}

func (m SyncMode) String() string {
	for _, n := range modeNames {
		if n.mode == m {
			return n.name
		}
	}
	if m == LocalDisk|RemoteMem {
		return "local_disk,remote_mem"
	}
	return fmt.Sprintf("sync(%d)", uint8(m))
}

// Replicated says whether what is committed survives the loss of the master.
func (m SyncMode) Replicated() bool { return m&remoteWritten != 0 }

// Volatile says whether a node may have acknowledged, or counted for a commit,
// what a loss of power takes from it.
func (m SyncMode) Volatile() bool { return m.Replicated() && m != QuorumDisk }

// held is how far one voter holds the log.
type held struct{ written, stable Position }

// candidate returns how far the log could be committed: what the mode asks of the
// master itself, and of the quorum's remaining voters, which are the ones that hold most.
func (m SyncMode) candidate(own held, others []held, quorum int) Position {
	c := own.written
	if m&localStable != 0 {
		c = min(c, own.stable)
	}
	if m&remoteWritten != 0 {
		c = min(c, kth(others, quorum-1, func(h held) Position { return h.written }))
	}
	if m&remoteStable != 0 {
		c = min(c, kth(others, quorum-1, func(h held) Position { return h.stable }))
	}
	return c
}

// kth returns the k-th largest value, 0 if there are fewer; for k = 0 there is no bound.
func kth(hs []held, k int, value func(held) Position) Position {
	if k <= 0 {
		return ^Position(0)
	}
	if len(hs) < k {
		return 0
	}
	var top [MaxVoters]Position // in falling order
	for _, h := range hs {
		v := value(h)
		for i := range k {
			if v > top[i] {
				v, top[i] = top[i], v
			}
		}
	}
	return top[k-1]
}
