package admin

import (
	"context"
	"time"

	"treadmq/broker"
)

// bulkAction is what somebody asked to do with messages of a queue.
type bulkAction struct {
	Action   string   `json:"action"`             // "delete", "move", "copy" or "retry"
	To       string   `json:"to,omitempty"`       // a queue, for move and copy
	At       []string `json:"at,omitempty"`       // cursors of single messages; without them, all that match
	Selector string   `json:"selector,omitempty"` // as in SUBSCRIBE
	Text     string   `json:"text,omitempty"`     // part of the body
	Limit    int64    `json:"limit,omitempty"`    // at most so many, 0: all
	Rate     int      `json:"rate,omitempty"`     // messages per second, 0: as fast as it goes
	DryRun   bool     `json:"dryRun,omitempty"`   // only count
	NoUndo   bool     `json:"noUndo,omitempty"`   // what is deleted does not go to the trash
}

// bulk is an action that was checked.
type bulk struct {
	bulkAction
	queue   broker.Destination
	to      broker.Destination
	kind    broker.Action
	matcher *broker.Matcher
	at      []broker.Cursor

	held, gone []string // of those, what was left alone; set by run
}

var actionKinds = map[string]broker.Action{
	"delete": broker.ActDelete, "move": broker.ActMove, "copy": broker.ActCopy, "retry": broker.ActRetry,
}

// checkBulk finds everything wrong with an action before anything is done.
func (s *Server) checkBulk(d broker.Destination, a bulkAction) (*bulk, error) {
	b := &bulk{bulkAction: a, queue: d}
	var ok bool
	if b.kind, ok = actionKinds[a.Action]; !ok {
		return nil, bad("error.action", "action is delete, move, copy or retry.")
	}
	if b.kind == broker.ActMove || b.kind == broker.ActCopy {
		b.to = broker.Destination{Kind: broker.Queue, Name: a.To}
		if err := b.to.Check(false); err != nil {
			return nil, err
		}
	}
	switch {
	case b.kind == broker.ActMove && b.to == d:
		return nil, bad("error.there", "The messages are in that queue already.")
	case a.Limit < 0 || a.Rate < 0 || a.Rate > maxRate:
		return nil, bad("error.rate", "limit and rate are not negative, and rate is at most 1000000.")
	case len(a.At) > broker.MaxAct:
		return nil, bad("error.most", "At most 500 messages can be named; use a selector or no restriction for more.")
	case len(a.At) > 0 && (a.Selector != "" || a.Text != ""):
		return nil, badRequest("Name messages by at, or give a selector or text: not both.")
	}
	for _, text := range a.At {
		c, err := broker.ParseCursor(text)
		if err != nil {
			return nil, err
		}
		b.at = append(b.at, c)
	}
	if _, err := s.b.Queue(d); err != nil {
		return nil, err
	}
	var err error
	b.matcher, err = s.b.NewMatcher(a.Selector, a.Text)
	return b, err
}

const maxRate = 1_000_000

// Bounds of one step of a bulk action.
const (
	bulkPage  = 256
	bulkBytes = 1 << 20
)

// run carries the action out, page by page, so that memory does not grow with the
// queue. Messages that come while it runs are left alone. progress is told what
// was looked at and done.
func (b *bulk) run(ctx context.Context, core *broker.Broker, bin *broker.TrashBin, progress func(looked int64, done broker.Acted)) error {
	if len(b.at) > 0 {
		got, err := core.ActNaming(b.queue, b.at, b.kind, b.to, bin, func(place broker.Cursor, held bool) {
			if held {
				b.held = append(b.held, place.String())
			} else {
				b.gone = append(b.gone, place.String())
			}
		})
		progress(int64(len(b.at)), got)
		return err
	}
	upto := core.NextSeq()
	var done int64
	cursor, more := broker.Cursor{}, true
	pace := newPace(b.Rate)
	for more {
		var list []broker.Browsed
		var err error
		if list, cursor, more, err = core.Browse(b.queue, cursor, pace.page(), bulkBytes); err != nil {
			return err
		}
		var at []broker.Cursor
		for i := range list {
			if m := &list[i]; m.Seq < upto && (b.Limit == 0 || done+int64(len(at)) < b.Limit) && b.matcher.Matches(m) {
				at = append(at, broker.Cursor{Lane: m.Lane, Seq: m.Seq})
			}
		}
		var got broker.Acted
		switch {
		case b.DryRun:
			got.Done = len(at)
		case len(at) > 0:
			got, err = core.Act(b.queue, at, b.kind, b.to, bin)
		}
		done += int64(got.Done)
		progress(int64(len(list)), got)
		if err != nil || (b.Limit > 0 && done >= b.Limit) {
			return err
		}
		if err := pace.wait(ctx, got.Done); err != nil {
			return err
		}
	}
	return nil
}

// pace keeps to a number of messages a second.
type pace struct {
	rate  int
	begun time.Time
	done  int
}

func newPace(rate int) *pace { return &pace{rate: rate, begun: time.Now()} }

// page is how many messages are looked at in one step.
func (p *pace) page() int {
	if p.rate == 0 {
		return bulkPage
	}
	return min(bulkPage, max(1, p.rate/4))
}

// wait waits until n more messages were not too many.
func (p *pace) wait(ctx context.Context, n int) error {
	p.done += n
	if p.rate == 0 {
		return ctx.Err()
	}
	due := p.begun.Add(time.Duration(float64(p.done) / float64(p.rate) * float64(time.Second)))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
