package replica

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestParseSync(t *testing.T) {
	for in, want := range map[string]SyncMode{
		"quorum_disk": QuorumDisk, "quorum_mem": QuorumMem, "remote_mem": QuorumMem, "remote_disk": RemoteDisk,
		"local_disk": LocalDisk, "local_mem": LocalMem, "local_disk, remote_disk": QuorumDisk, "local_disk,quorum_mem": LocalDisk | RemoteMem,
	} {
		if got, err := ParseSync(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "disk", "quorum_disk,", "QUORUM_DISK"} {
		if m, err := ParseSync(in); err == nil {
			t.Errorf("%q is taken for %v", in, m)
		}
	}
	if QuorumDisk.Volatile() || !QuorumMem.Volatile() || !RemoteDisk.Volatile() || LocalDisk.Volatile() || LocalMem.Replicated() {
		t.Error("what a mode can lose")
	}
}

// TestCandidate compares with the definition: what is committed is held by the master
// and by a quorum, in the way that the mode asks for.
func TestCandidate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) held {
			w := rapid.Uint64Range(0, 20).Draw(t, name)
			return held{Position(w), Position(rapid.Uint64Range(0, w).Draw(t, name+" stable"))}
		}
		replicas := rapid.SampledFrom([]int{1, 2, 3, 4, 5, 7}).Draw(t, "replicas")
		own := draw("own")
		var others []held
		for range rapid.IntRange(0, replicas-1).Draw(t, "links") {
			others = append(others, draw("other"))
		}
		mode := rapid.SampledFrom([]SyncMode{LocalMem, LocalDisk, QuorumMem, RemoteDisk, QuorumDisk, LocalDisk | RemoteMem}).Draw(t, "mode")
		quorum := replicas/2 + 1
		committed := func(p Position) bool {
			count := func(on func(held) Position) int {
				n := 1 // the master
				for _, o := range others {
					if on(o) >= p {
						n++
					}
				}
				return n
			}
			return own.written >= p && (mode&localStable == 0 || own.stable >= p) &&
				(mode&remoteWritten == 0 || count(func(h held) Position { return h.written }) >= quorum) &&
				(mode&remoteStable == 0 || count(func(h held) Position { return h.stable }) >= quorum)
		}
		got := mode.candidate(own, slices.Clone(others), quorum)
		if got > 0 && !committed(got) || committed(got+1) {
			t.Fatalf("%v: own %v, others %v, quorum %d: %d", mode, own, others, quorum, got)
		}
	})
}
