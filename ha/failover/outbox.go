package failover

import (
	"time"

	"github.com/go-stomp/stomp/v3/frame"
)

// item is one frame on its way to the broker. The frame is not changed after
// the item was pushed; the other fields are guarded by Conn.mu.
type item struct {
	frame   *frame.Frame
	receipt string // receipt awaited, empty for none
	resend  bool   // survives its connection; the others end with it
	message bool   // counts against the window
	size    int    // bytes that count against the window

	done     func(error)        // told the outcome once, without the lock; may be nil
	repeat   func(first string) // told of a repeat; may be nil
	again    bool               // it was written more than once
	finished bool
	sentIn   uint64      // epoch of the connection it was last written to, 0 none
	strikes  int         // unattributed ERRORs that may have been meant for it
	timer    *time.Timer // fails it when there is no connection for too long
	sub      *Subscription
	tx       *Tx
}

// outcome is a call to make after the lock was released.
type outcome struct {
	done   func(error)
	err    error
	repeat func() // before done; may be nil
}

func report(outcomes ...outcome) {
	for _, o := range outcomes {
		if o.repeat != nil {
			o.repeat()
		}
		if o.done != nil {
			o.done(o.err)
		}
	}
}

// outbox holds items in the order of the program's calls until they are
// finished. items[head:] are kept, items[next:] not yet written to the present
// connection; waiting finds items by receipt. Guarded by Conn.mu.
type outbox struct {
	items      []*item
	head, next int
	waiting    map[string]*item

	messages, bytes int // unfinished items that count against the window
	controls        int // unfinished others
}

func (o *outbox) push(it *item) {
	o.items = append(o.items, it)
	o.count(it, 1)
	if it.receipt != "" {
		o.waiting[it.receipt] = it
	}
}

// restart prepares for a connection that just began: take starts over with the
// oldest unfinished item, after these new ones.
func (o *outbox) restart(items []*item) {
	for _, it := range items {
		o.count(it, 1)
		if it.receipt != "" {
			o.waiting[it.receipt] = it
		}
	}
	o.items = append(append(make([]*item, 0, len(items)+len(o.items)-o.head), items...), o.items[o.head:]...)
	o.head, o.next = 0, 0
}

func (o *outbox) count(it *item, by int) {
	if it.message {
		o.messages += by
		o.bytes += by * it.size
		return
	}
	o.controls += by
}

// finish takes an item out, whatever its place, and returns the call to make.
func (o *outbox) finish(it *item, err error) outcome {
	if it.finished {
		return outcome{}
	}
	it.finished = true
	o.count(it, -1)
	delete(o.waiting, it.receipt)
	if it.timer != nil {
		it.timer.Stop()
	}
	o.trim()
	return outcome{done: it.done, err: err}
}

// trim drops finished items at the front and gives memory back.
func (o *outbox) trim() {
	for o.head < len(o.items) && o.items[o.head].finished {
		o.items[o.head] = nil
		o.head++
	}
	o.next = max(o.next, o.head)
	if o.head < 64 || o.head*2 < len(o.items) {
		return
	}
	n := copy(o.items, o.items[o.head:])
	clear(o.items[n:])
	o.items = o.items[:n]
	o.next -= o.head
	o.head = 0
}

// take returns up to limit frames to write to the connection of that epoch.
// What awaits no receipt is finished with it.
func (o *outbox) take(epoch uint64, frames []*frame.Frame, limit int) ([]*frame.Frame, []outcome) {
	var outcomes []outcome
	for len(frames) < limit && o.next < len(o.items) {
		it := o.items[o.next]
		o.next++
		if it.finished {
			continue
		}
		it.again = it.again || it.sentIn != 0
		it.sentIn = epoch
		frames = append(frames, it.frame)
		if it.receipt == "" {
			outcomes = append(outcomes, o.finish(it, nil))
		}
	}
	return frames, outcomes
}

// unfinished returns what is still open, oldest first.
func (o *outbox) unfinished() []*item {
	var open []*item
	for _, it := range o.items[o.head:] {
		if !it.finished {
			open = append(open, it)
		}
	}
	return open
}

// oldestSent returns the oldest unfinished item written in that epoch.
func (o *outbox) oldestSent(epoch uint64) *item {
	for _, it := range o.items[o.head:o.next] {
		if !it.finished && it.sentIn == epoch {
			return it
		}
	}
	return nil
}
