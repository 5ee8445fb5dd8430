package journal

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is CRC-32C (Castagnoli) of p.
func Checksum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// Known is a part of a batch whose checksum is known already: a large message. Its bytes need not be gone over again.
type Known struct {
	Off int // in the batch
	Len int
	CRC uint32
}

// KnownMin is the length in bytes from which a known checksum saves more than joining it costs (about 1 us).
const KnownMin = 16 << 10

// join is the checksum of two byte strings one behind the other, from the checksums of both and the length of the second.
// A CRC is the remainder of a polynomial over GF(2), so appending n bytes multiplies what came before by x^8n.
func join(first, second uint32, length int) uint32 {
	shift := uint32(1) << 31 // x^0: bits are reflected
	for i := 3; length > 0; i++ {
		if length&1 != 0 {
			shift = times(powers[i&31], shift)
		}
		length >>= 1
	}
	return times(shift, first) ^ second
}

// times is the product of two polynomials modulo the checksum's.
func times(a, b uint32) uint32 {
	var p uint32
	for bit := uint32(1) << 31; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			p ^= b
		}
		carry := b & 1
		b >>= 1
		b ^= -carry & crc32.Castagnoli
	}
	return p
}

// powers holds x^(2^i). The 32nd is the first again.
var powers = func() (p [32]uint32) {
	p[0] = 1 << 30 // x^1
	for i := 1; i < len(p); i++ {
		p[i] = times(p[i-1], p[i-1])
	}
	return p
}()
