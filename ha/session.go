package ha

import (
	"context"
	"time"

	"treadmq/ha/coord"
	"treadmq/ha/replica"
)

// Times of the work with the coordination service.
const (
	reopenFirst = 100 * time.Millisecond // before the second attempt to open a session
	reopenMost  = 5 * time.Second
	markTime    = 2 * time.Second // for the mark of a failed sync, and the session's end
)

// coordinator talks with the coordination service: one goroutine opens a session and
// shows what it sees, another carries out changes in order and answers each once.
type coordinator struct {
	n      *Node
	box    *mailbox[replica.Action] // changes
	open   chan struct{}            // capacity 1: OpenSession
	marked chan bool                // capacity 1: how MarkSuspect ended

	session coord.Session     // the worker's copy of what current hands over
	id      replica.SessionID // of session
	current chan openSession  // capacity 1: from the one goroutine to the other
	last    replica.SessionID
}

type openSession struct {
	session coord.Session
	id      replica.SessionID
}

// viewSeen is a ViewSeen with what the core does not need.
type viewSeen struct {
	session replica.SessionID
	seen    seen
}

// reached says whether the coordination service is reached, and why not.
type reached struct{ err error }

func newCoordinator(n *Node) *coordinator {
	return &coordinator{n: n, box: newMailbox[replica.Action](), open: make(chan struct{}, 1), marked: make(chan bool, 1),
		current: make(chan openSession, 1)}
}

// run opens sessions, one after the other, until ctx ends.
func (c *coordinator) run(ctx context.Context) {
	for {
		select {
		case <-c.open:
		case <-ctx.Done():
			return
		}
		s := c.connect(ctx)
		if s == nil {
			return
		}
		c.last++
		id := c.last
		select {
		case <-c.current: // of a session that nothing was asked of
		default:
		}
		c.current <- openSession{s, id}
		c.n.post(replica.SessionUp{Session: id})
		c.show(ctx, s, id)
		s.Close()
		c.n.post(replica.SessionLost{Session: id})
	}
}

// connect opens a session, for as long as it takes; nil when ctx ends.
func (c *coordinator) connect(ctx context.Context) coord.Session {
	wait := reopenFirst
	last := ""
	for {
		s, err := c.n.opt.Coordinator.Open(ctx)
		if err == nil {
			c.n.post(reached{})
			return s
		}
		if ctx.Err() != nil {
			return nil
		}
		if err.Error() != last {
			last = err.Error()
			c.n.log.Warn("no session with the coordination service", "err", err)
		}
		c.n.post(reached{err})
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		wait = min(2*wait, reopenMost)
	}
}

// show tells the core what a session sees until it ends.
func (c *coordinator) show(ctx context.Context, s coord.Session, id replica.SessionID) {
	suspended := false
	for {
		select {
		case <-s.Changed():
		case <-s.Lost():
			return
		case <-ctx.Done():
			return
		}
		v := s.View()
		switch {
		case !v.Connected:
			if !suspended {
				suspended = true
				c.n.post(replica.Suspended{Session: id})
			}
		case v.Read:
			suspended = false
			c.n.post(viewSeen{id, decodeView(v)})
		}
	}
}

// work carries out changes until ctx ends.
func (c *coordinator) work(ctx context.Context) {
	var actions []replica.Action
	for {
		select {
		case <-c.box.wake:
		case <-ctx.Done():
			return
		}
		actions = c.box.take(actions)
		for _, a := range actions {
			c.do(ctx, a)
		}
	}
}

// in returns the session that an action was meant for, nil if it has ended.
func (c *coordinator) in(id replica.SessionID) coord.Session {
	select {
	case s := <-c.current:
		c.session, c.id = s.session, s.id
	default:
	}
	if c.id != id {
		return nil
	}
	return c.session
}

func (c *coordinator) do(ctx context.Context, a replica.Action) {
	switch a := a.(type) {
	case replica.Change:
		ch := coord.Change{Version: a.Version, Register: encode(a.Register), DropLease: a.DropLease}
		if a.CreateLease != nil {
			ch.CreateLease = c.lease(*a.CreateLease)
		}
		c.answer(a.Op, a.Session, func(s coord.Session) coord.Result { return s.Write(ctx, ch) })
	case replica.Reclaim:
		c.answer(a.Op, a.Session, func(s coord.Session) coord.Result { return s.Reclaim(ctx, a.Version, c.lease(a.Lease)) })
	case replica.Publish:
		b := encode(memberEntry{a.Member, c.n.card()})
		c.answer(a.Op, a.Session, func(s coord.Session) coord.Result { return s.Publish(ctx, string(a.Member.ID), b) })
	case replica.MarkSuspect:
		o := c.answer(a.Op, a.Session, func(s coord.Session) coord.Result { return s.Mark(ctx, string(c.n.id), []byte(`"a sync failed"`)) })
		c.marked <- o == coord.Done
	case replica.Unmark:
		c.answer(a.Op, a.Session, func(s coord.Session) coord.Result { return s.Unmark(ctx, string(c.n.id)) })
	}
}

func (c *coordinator) lease(l replica.Lease) []byte { return encode(leaseEntry{l, c.n.card()}) }

// answer carries out a change and tells the core what is known of it.
func (c *coordinator) answer(op replica.Op, id replica.SessionID, change func(coord.Session) coord.Result) coord.Outcome {
	r := coord.Result{Err: coord.ErrLost}
	if s := c.in(id); s != nil {
		r = change(s)
	}
	if r.Err != nil && r.Outcome != coord.Conflict {
		c.n.log.Debug("a change was not made for certain", "outcome", r.Outcome, "err", r.Err)
	}
	if r.Outcome == coord.Refused {
		c.n.log.Warn("the coordination service refuses a change", "err", r.Err)
	}
	c.n.post(replica.Answered{Op: op, Outcome: r.Outcome, Version: r.Version})
	return r.Outcome
}
