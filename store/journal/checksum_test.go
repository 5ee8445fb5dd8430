package journal

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestKnownChecksums: a checksum in which parts were known already is that of all bytes.
func TestKnownChecksums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Byte(), HeaderSize+TrailerSize, 2000).Draw(t, "batch")
		cuts := rapid.SliceOfN(rapid.IntRange(HeaderSize, len(p)-TrailerSize), 0, 8).Draw(t, "cuts")
		slices.Sort(cuts)
		var known []Known
		for i := 0; i+1 < len(cuts); i += 2 {
			a, b := cuts[i], cuts[i+1]
			known = append(known, Known{Off: a, Len: b - a, CRC: Checksum(p[a:b])})
		}
		if got, want := batchCRC(p, known...), batchCRC(p); got != want {
			t.Fatalf("checksum %#x, want %#x", got, want)
		}
	})
	large := make([]byte, 5<<20+3)
	large[0], large[len(large)-1] = 1, 1
	for _, n := range []int{1 << 20, 4<<20 + 1, len(large) - HeaderSize} {
		from := len(large) - n
		if got, want := join(Checksum(large[:from]), Checksum(large[from:]), n), Checksum(large); got != want {
			t.Errorf("%d bytes known: checksum %#x, want %#x", n, got, want)
		}
	}
}

func BenchmarkJoin(b *testing.B) {
	for b.Loop() {
		join(1, 2, 65_700)
	}
}
