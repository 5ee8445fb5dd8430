package ha

import (
	"errors"

	"treadmq/ha/replica"
	"treadmq/store"
	"treadmq/store/local"
)

// Limits of looking for damage.
const (
	scrubRate = 64 << 20 // bytes per second
	scrubPage = 1 << 20  // bytes read at once
)

// scrub reads once what was committed when the folder was opened, or fetched: a bit that
// flipped there is found before this member becomes master and needs it, and the store is fetched
// again. A group of one has nobody to fetch it from and keeps what it has.
func (d *disk) scrub(feed local.Feed, to store.Position) {
	if d.n.opt.Replicas == 1 {
		return
	}
	d.n.port.spawn(func() {
		rate := &limiter{rate: scrubRate}
		for _, seg := range feed.Segments() {
			if err := scrubSegment(feed, seg.First, min(seg.End, to), func(n int) bool { return rate.wait(n, d.n.ended) }); err != nil {
				d.n.post(replica.Damaged{Text: err.Error()})
				return
			}
		}
	})
}

// scrubSegment verifies the batches of a segment up to a position; wait says whether to go on.
func scrubSegment(feed local.Feed, at, to store.Position, wait func(n int) bool) error {
	var buf []byte
	for at < to {
		var err error
		switch buf, err = feed.Read(buf[:0], at, int(min(scrubPage, to-at))); {
		case errors.Is(err, store.ErrCorrupt):
			return err
		case err != nil: // it was deleted meanwhile, or the store closed
			return nil
		}
		at += store.Position(len(buf))
		if !wait(len(buf)) {
			return nil
		}
	}
	return nil
}
