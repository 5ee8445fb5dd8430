package store

import "slices"

// EpochStart says where an epoch's first batch lies: the one with its epoch-start
// record. The first epoch of all begins at 0, with the first segment's metadata.
type EpochStart struct {
	Epoch Epoch
	Start Position
}

// EpochList is the journal's epochs in order: one entry per epoch-start record.
type EpochList []EpochStart

// MaxEpochs bounds the list; the oldest entries go first. A copy that diverged
// longer ago than that is rebuilt from a snapshot.
const MaxEpochs = 4096

// Add appends an epoch whose epoch-start record is the first of the batch at start,
// dropping the oldest beyond MaxEpochs.
func (l EpochList) Add(e Epoch, start Position) EpochList {
	if len(l) == 0 {
		start = 0
	}
	if n := len(l); n > 0 && l[n-1].Epoch >= e {
		return l
	}
	if len(l) >= MaxEpochs {
		l = slices.Delete(l, 0, len(l)-MaxEpochs+1)
	}
	return append(l, EpochStart{e, start})
}

// Last returns the newest epoch, 0 if there is none.
func (l EpochList) Last() Epoch {
	if len(l) == 0 {
		return 0
	}
	return l[len(l)-1].Epoch
}

// Truncate forgets the epochs that start at or behind a position.
func (l EpochList) Truncate(to Position) EpochList {
	for len(l) > 0 && l[len(l)-1].Start >= to {
		l = l[:len(l)-1]
	}
	return l
}

// endOf returns where epoch e ends in a journal with this list that ends at end.
func (l EpochList) endOf(i int, end Position) Position {
	if i+1 < len(l) {
		return l[i+1].Start
	}
	return end
}

// Divergence returns the position up to which two journals are certainly the
// same: the lower end of the newest epoch that both have. ok is false when they
// share no epoch, which for two non-empty journals means that only a snapshot helps.
func Divergence(a EpochList, aEnd Position, b EpochList, bEnd Position) (at Position, ok bool) {
	i, j := len(a)-1, len(b)-1
	for i >= 0 && j >= 0 {
		switch {
		case a[i].Epoch > b[j].Epoch:
			i--
		case a[i].Epoch < b[j].Epoch:
			j--
		case a[i].Start != b[j].Start:
			return 0, false // not the same group
		default:
			return min(a.endOf(i, aEnd), b.endOf(j, bEnd)), true
		}
	}
	return 0, false
}
