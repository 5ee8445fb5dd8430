package load

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestBitsetIsASet(t *testing.T) {
	numbers := rapid.SliceOf(rapid.OneOf(rapid.Uint64Range(0, 200), rapid.Uint64Range(0, maxSeq-1)))
	rapid.Check(t, func(t *rapid.T) {
		var a, b bitset
		inA, inB := map[uint64]bool{}, map[uint64]bool{}
		for _, v := range numbers.Draw(t, "a") {
			if a.add(v) == inA[v] {
				t.Fatalf("add(%d) does not tell whether it was in", v)
			}
			inA[v] = true
		}
		for _, v := range numbers.Draw(t, "b") {
			b.add(v)
			inB[v] = true
		}
		var missing, overlap uint64
		for v := range inB {
			if inA[v] {
				overlap++
			} else {
				missing++
			}
		}
		if got := a.missing(&b); got != missing {
			t.Fatalf("missing %d, want %d", got, missing)
		}
		if got := a.addAll(&b); got != overlap {
			t.Fatalf("overlap %d, want %d", got, overlap)
		}
		maps.Copy(inA, inB)
		if a.n != uint64(len(inA)) {
			t.Fatalf("%d numbers, want %d", a.n, len(inA))
		}
		if v := rapid.Uint64Range(0, 300).Draw(t, "v"); a.add(v) == inA[v] {
			t.Fatalf("add(%d) after addAll is wrong", v)
		}
	})
}

// TestVerdict injures a perfect delivery and expects to hear of exactly that.
func TestVerdict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "messages")
		consumers := rapid.IntRange(1, 4).Draw(t, "consumers")
		streams := rapid.IntRange(1, 3).Draw(t, "streams")
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var want verdict
		tracks := make([]*track, consumers)
		for i := range tracks {
			tracks[i] = newTrack(7, false)
		}
		sent := map[streamKey]*bitset{}
		for s := range uint32(streams) {
			sent[streamKey{7, s}] = &bitset{}
			for seq := range uint64(n) {
				sent[streamKey{7, s}].add(seq)
				m := stamp{run: 7, stream: s, seq: seq}
				to := tracks[rnd.IntN(consumers)]
				switch rnd.IntN(12) {
				case 0:
					want.lost++
					continue
				case 1: // delivered twice, not flagged
					tracks[rnd.IntN(consumers)].message(m, false)
					want.duplicates++
				case 2: // the first delivery came back, the second is flagged
					to.message(m, true)
					want.redelivered++
					continue
				case 3: // of somebody else
					to.message(stamp{run: 8, stream: s, seq: seq}, false)
					want.foreign++
				}
				to.message(m, false)
			}
		}
		if d := cmp.Diff(want, judgeQueue(tracks, sent), cmp.AllowUnexported(verdict{})); d != "" {
			t.Fatal(d)
		}
	})
}

func TestDisorderIsPerStreamAndSubscription(t *testing.T) {
	tr := newTrack(1, false)
	for _, seq := range []uint64{0, 1, 5, 2, 6} {
		tr.message(stamp{run: 1, stream: 3, seq: seq}, false)
		tr.message(stamp{run: 1, stream: 4, seq: 100 - seq}, true) // flagged: may come in any order
	}
	other := newTrack(1, false)
	for _, seq := range []uint64{3, 4} { // another subscription: nobody can tell
		other.message(stamp{run: 1, stream: 3, seq: seq}, false)
	}
	if v := judgeQueue([]*track{tr, other}, nil); v.disorder != 1 || v.duplicates != 0 {
		t.Fatalf("%+v", v)
	}
}

func TestDrainedFindsGaps(t *testing.T) {
	a, b := newTrack(1, true), newTrack(1, true)
	for _, seq := range []uint64{10, 12, 15} {
		a.message(stamp{run: 5, stream: 1, seq: seq}, false)
	}
	b.message(stamp{run: 5, stream: 1, seq: 13}, true)
	b.message(stamp{run: 6, stream: 1, seq: 4}, false) // another run, another stream
	if v := judgeDrained([]*track{a, b}); v.lost != 2 || v.duplicates != 0 || v.foreign != 0 {
		t.Fatalf("%+v, want 11 and 14 lost", v)
	}
}

func TestStampRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := stamp{rapid.Uint32().Draw(t, "run"), rapid.Uint32().Draw(t, "stream"), rapid.Uint64Range(0, maxSeq-1).Draw(t, "seq"), rapid.Int64().Draw(t, "at")}
		b := append(s.append(nil), "rest of the body"...)
		if got, ok := parseStamp(b); !ok || got != s {
			t.Fatalf("%v %v, want %v", got, ok, s)
		}
		id := s.appendID(nil)
		s.run = 0
		if got, ok := parseID(id); !ok || got != s {
			t.Fatalf("%v %v, want %v", got, ok, s)
		}
	})
	for _, bad := range []string{"", "hello", string(make([]byte, stampSize))} {
		if _, ok := parseStamp([]byte(bad)); ok {
			t.Errorf("%q passes for a stamp", bad)
		}
	}
}

func TestSpreadCoversAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{Destinations: rapid.IntRange(1, 50).Draw(t, "destinations")}
		n := rapid.IntRange(1, 50).Draw(t, "clients")
		got := map[int]int{}
		for i := range n {
			dests := c.spread(i, n)
			if len(dests) == 0 {
				t.Fatalf("client %d has no destination", i)
			}
			for _, d := range dests {
				got[d]++
			}
		}
		if keys := slices.Sorted(maps.Keys(got)); len(keys) != c.Destinations || keys[0] != 0 || keys[len(keys)-1] != c.Destinations-1 {
			t.Fatalf("destinations used: %v", keys)
		}
	})
}
