package broker

import (
	"slices"
	"strings"
)

// Right is something that a user may do with a destination; rights are added up.
type Right uint8

// The rights, as ActiveMQ's authorizationEntry has them.
const (
	RightRead  Right = 1 << iota // consume and browse
	RightWrite                   // send
	RightAdmin                   // make it, by naming it first

	AllRights = RightRead | RightWrite | RightAdmin
)

// Guard says who may do what. Its methods are called from any goroutine and answer
// from memory. A change of its answers takes another Guard, see SetGuard.
type Guard interface {
	// Rights are what a user may do with a destination; "" is a client without a
	// login. A name with wildcards stands for all names that it matches: only what
	// the user may do with every one of them counts.
	Rights(user string, d Destination) Right
}

// guarded is a Guard with an identity of its own, for those who remember its answers.
type guarded struct{ Guard }

// SetGuard says who may do what from now on; nil lets everybody do everything.
// Connections whose subscriptions are no longer allowed are ended, with an error
// that says so. Everything else is asked for when it is done the next time.
func (b *Broker) SetGuard(g Guard) {
	if g == nil {
		b.guard.Store(nil)
		return
	}
	b.guard.Store(&guarded{g})
	b.connMu.Lock()
	conns := make([]*Conn, 0, len(b.conns))
	for _, c := range b.conns {
		conns = append(conns, c)
	}
	b.connMu.Unlock()
	for _, c := range conns {
		if err := c.recheck(g); err != nil {
			b.log.Warn("connection ended: the rules do not allow its subscription any more", "user", c.opt.User, "err", err)
			c.opt.Sink.Kill(err)
		}
	}
}

// recheck says why a subscription of the connection is not allowed any more. Any goroutine.
func (c *Conn) recheck(g Guard) error {
	if c.opt.Trusted {
		return nil
	}
	c.mu.Lock()
	subs := slices.Clone(c.subs)
	c.mu.Unlock()
	for _, s := range subs {
		for _, d := range s.opt.Dests {
			if c.b.rights(g, c.opt.User, d)&RightRead == 0 {
				return c.denied(RightRead, d)
			}
		}
	}
	return nil
}

// Allowed reports whether the rules give a user a right on a destination.
func (b *Broker) Allowed(user string, right Right, d Destination) bool {
	g := b.guard.Load()
	return g == nil || b.rights(g, user, d)&right != 0
}

// Authorize says why the connection's user may not do something with destinations,
// or nil. Who may not make a destination may not name one that is not there, either.
// Sends and subscriptions ask by themselves; it is for front ends that do or tell
// something before. Reader only.
func (c *Conn) Authorize(right Right, dests ...Destination) error {
	g := c.b.guard.Load()
	if g == nil || c.opt.Trusted {
		return nil
	}
	for _, d := range dests {
		if err := c.judge(right, c.grants.of(c, g, d), d); err != nil {
			return err
		}
	}
	return nil
}

// judge says what is missing of the rights that somebody has.
func (c *Conn) judge(right, have Right, d Destination) error {
	switch {
	case have&right != 0 && (have&RightAdmin != 0 || !c.wouldMake(d)):
		return nil
	case have&right != 0:
		return Errorf(CodeNotAuthorized, "there is no %s %s, and %s may not make one: the authorization rules give the right admin on it to others", d.Kind, d.Name, c.userName())
	}
	return c.denied(right, d)
}

func (c *Conn) denied(right Right, d Destination) error {
	return Errorf(CodeNotAuthorized, "%s may not %s the %s %s: the authorization rules do not allow it", c.userName(), deeds[right], d.Kind, d.Name)
}

var deeds = map[Right]string{RightRead: "read from", RightWrite: "send to", RightAdmin: "make"}

func (c *Conn) userName() string {
	if c.opt.User == "" {
		return "a client without login"
	}
	return "the user " + c.opt.User
}

// wouldMake reports whether naming a destination would make it.
func (c *Conn) wouldMake(d Destination) bool {
	switch d.Kind {
	case Queue, Topic:
	default:
		return false
	}
	c.b.destMu.RLock()
	defer c.b.destMu.RUnlock()
	if c.b.queues[d] != nil || c.b.topics[d] != nil {
		return false
	}
	return !d.IsPattern() || c.b.sharedPattern(d)
}

// rights are a user's on a destination as the rules see it: a durable subscription
// is what its topics are together, and a service is the name it is asked for by.
func (b *Broker) rights(g Guard, user string, d Destination) Right {
	switch d.Kind {
	case TempQueue, TempTopic:
		return g.Rights(user, Destination{Kind: d.Kind})
	case Service:
		kind, name := Queue, strings.TrimPrefix(d.Name, "queue://")
		if topic, found := strings.CutPrefix(d.Name, "topic://"); found {
			kind, name = Topic, topic
		}
		return g.Rights(user, Destination{kind, name})
	case DurableSub:
		b.destMu.RLock()
		q := b.queues[d]
		b.destMu.RUnlock()
		have := AllRights // of one that is not there nothing can be had
		if q != nil {
			for _, topic := range q.dsub.opt.Topics {
				have &= g.Rights(user, Destination{Topic, topic})
			}
		}
		return have
	}
	return g.Rights(user, d)
}

// authorizeDurable asks for a durable subscription: its topics are read, and so is
// what it has from the topics that it had before. It makes none of them.
func (c *Conn) authorizeDurable(o *DurableOptions) error {
	g := c.b.guard.Load()
	if g == nil || c.opt.Trusted {
		return nil
	}
	dests := []Destination{{DurableSub, o.Name}}
	for _, topic := range o.Topics {
		dests = append(dests, Destination{Topic, topic})
	}
	for _, d := range dests {
		if c.b.rights(g, c.opt.User, d)&RightRead == 0 {
			return c.denied(RightRead, d)
		}
	}
	return nil
}

// authorizeSend asks for a message that is sent. What is sent to a service is answered
// by the broker, which must not send for somebody what he could not send himself.
func (c *Conn) authorizeSend(dests []Destination, m *Message) error {
	if c.b.guard.Load() == nil {
		return nil
	}
	for _, d := range dests {
		if reply, ok := m.ReplyTo(); ok && d.Kind == Service {
			if err := c.Authorize(RightWrite, reply); err != nil {
				return err
			}
		}
	}
	return c.Authorize(RightWrite, dests...)
}

// authorizePlan asks for a message that is delivered later; nil is at once, and asked
// for then. One with a name may take the place of another, which it then may end.
func (c *Conn) authorizePlan(dests []Destination, m *Message, p *plan) error {
	if p == nil || c.b.guard.Load() == nil {
		return nil
	}
	if err := c.authorizeSend(dests, m); err != nil || !p.named {
		return err
	}
	old, _, err := c.b.Schedule(p.key)
	if err != nil { // most likely there is none
		return nil
	}
	return c.Authorize(RightWrite, old.Destinations...)
}

// grants remembers what the rules gave a connection's user. Reader only.
type grants struct {
	from  *guarded // whose answers they are
	last  Destination
	right Right // on last
	known map[Destination]Right
}

// maxGrants bounds the destinations remembered for a connection.
const maxGrants = 256

func (s *grants) of(c *Conn, g *guarded, d Destination) Right {
	if s.from == g && s.last == d {
		return s.right
	}
	if d.Kind == DurableSub || d.Kind.IsTemporary() { // topics change, and temporary names are many
		return c.b.rights(g, c.opt.User, d)
	}
	if s.from != g || len(s.known) >= maxGrants {
		*s = grants{from: g, known: map[Destination]Right{}}
	}
	right, ok := s.known[d]
	if !ok {
		right = c.b.rights(g, c.opt.User, d)
		s.known[d] = right
	}
	s.last, s.right = d, right
	return right
}
