package load

// track is what one subscription saw. It belongs to its consumer's goroutine until that
// has ended.
type track struct {
	run     uint32
	anyRun  bool // draining: whatever run has filled the queue
	ours    map[streamKey]*seen
	foreign uint64 // messages of other runs
	last    *seen
	lastKey streamKey
}

// streamKey names a stream among those of all runs.
type streamKey struct{ run, stream uint32 }

// seen is what came of one stream.
type seen struct {
	next        uint64 // one more than the highest number so far
	first       uint64 // the lowest
	fresh       bitset // came without redelivered:true
	flagged     bitset // came with it
	duplicates  uint64 // came again without it
	redelivered uint64
	disorder    uint64 // came after a higher number
}

func newTrack(run uint32, anyRun bool) *track {
	return &track{run: run, anyRun: anyRun, ours: map[streamKey]*seen{}}
}

func (t *track) stream(k streamKey) *seen {
	if t.last != nil && t.lastKey == k {
		return t.last
	}
	s := t.ours[k]
	if s == nil {
		s = &seen{first: maxSeq}
		t.ours[k] = s
	}
	t.last, t.lastKey = s, k
	return s
}

// message notes a message. What was delivered before, as the broker says, may come out
// of order and again. ours is false for a message of another run.
func (t *track) message(s stamp, redelivered bool) (ours bool) {
	if s.run != t.run && !t.anyRun {
		t.foreign++
		return false
	}
	of := t.stream(streamKey{s.run, s.stream})
	of.first = min(of.first, s.seq)
	switch {
	case redelivered:
		of.redelivered++
		of.flagged.add(s.seq)
	case !of.fresh.add(s.seq):
		of.duplicates++
	case s.seq < of.next:
		of.disorder++
	}
	of.next = max(of.next, s.seq+1)
	return true
}

// verdict is what all subscriptions together saw.
type verdict struct {
	lost, duplicates, redelivered, disorder, foreign uint64
}

// judgeQueue checks that the subscriptions together got each message of sent once: all
// subscriptions of a queue, or one of a topic.
func judgeQueue(tracks []*track, sent map[streamKey]*bitset) (v verdict) {
	all := mergeTracks(tracks, &v)
	for id, want := range sent {
		v.lost += lostOf(all[id], want)
	}
	return v
}

// judgeDrained checks a drained queue of which nobody knows what was sent: whatever is
// missing between the first and the last of a stream is lost.
func judgeDrained(tracks []*track) (v verdict) {
	for _, s := range mergeTracks(tracks, &v) {
		s.fresh.addAll(&s.flagged)
		v.lost += s.next - s.first - s.fresh.n
	}
	return v
}

func mergeTracks(tracks []*track, v *verdict) map[streamKey]*seen {
	all := map[streamKey]*seen{}
	for _, t := range tracks {
		v.foreign += t.foreign
		for id, s := range t.ours {
			v.duplicates += s.duplicates
			v.redelivered += s.redelivered
			v.disorder += s.disorder
			to := all[id]
			if to == nil {
				to = &seen{first: maxSeq}
				all[id] = to
			}
			to.first, to.next = min(to.first, s.first), max(to.next, s.next)
			v.duplicates += to.fresh.addAll(&s.fresh)
			to.flagged.addAll(&s.flagged)
		}
	}
	return all
}

func lostOf(s *seen, want *bitset) uint64 {
	if s == nil {
		return want.n
	}
	var got bitset
	got.addAll(&s.fresh)
	got.addAll(&s.flagged)
	return got.missing(want)
}

func (v *verdict) add(o verdict) {
	v.lost += o.lost
	v.duplicates += o.duplicates
	v.redelivered += o.redelivered
	v.disorder += o.disorder
	v.foreign += o.foreign
}
