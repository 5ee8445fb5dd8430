package load

import "math/bits"

// bitset is a set of sequence numbers. It costs a bit for each number of the ranges
// that are in use.
type bitset struct {
	pages map[uint64]*page
	last  *page // the page of lastN
	lastN uint64
	n     uint64
}

const pageWords = 128 // 8,192 numbers

type page [pageWords]uint64

// add puts a number in, and reports whether it was not in yet.
func (s *bitset) add(v uint64) bool {
	n := v / (pageWords * 64)
	if s.last == nil || s.lastN != n {
		if s.pages == nil {
			s.pages = map[uint64]*page{}
		}
		if s.pages[n] == nil {
			s.pages[n] = new(page)
		}
		s.last, s.lastN = s.pages[n], n
	}
	word, bit := &s.last[v/64%pageWords], uint64(1)<<(v%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	s.n++
	return true
}

// addAll puts all numbers of another set in, and returns how many were in already.
func (s *bitset) addAll(other *bitset) (overlap uint64) {
	for n, from := range other.pages {
		if s.pages == nil {
			s.pages = map[uint64]*page{}
		}
		to := s.pages[n]
		if to == nil {
			to = new(page)
			s.pages[n] = to
		}
		for i, w := range from {
			overlap += uint64(bits.OnesCount64(w & to[i]))
			to[i] |= w
		}
	}
	s.last = nil
	s.n += other.n - overlap
	return overlap
}

// missing is how many numbers of another set are not in this one.
func (s *bitset) missing(from *bitset) (n uint64) {
	for k, want := range from.pages {
		have := s.pages[k]
		for i, w := range want {
			if have != nil {
				w &^= have[i]
			}
			n += uint64(bits.OnesCount64(w))
		}
	}
	return n
}
