package broker

// Bounds of what one message becomes.
const (
	maxForwards = 16      // from destination to destination, one after the other
	maxRoutes   = 200_000 // places that it goes to
)

// spread finds all places that a message goes to, beginning with one destination
// that feeds others.
type spread struct {
	b     *Broker
	from  *Conn // the sender, for no-local; may be nil
	m     *Message
	lim   limits
	dst   []route
	path  []Destination // forwarded by
	first *fan          // where it was forwarded from first, nil = not forwarded
	topic bool          // it came through a topic: what is full holds nobody up
}

// spread routes a message that is sent to a destination with a fan.
func (b *Broker) spread(from *Conn, dst []route, d Destination, m *Message, lim limits) ([]route, error) {
	s := spread{b: b, from: from, m: m, lim: lim, dst: dst}
	err := s.visit(d)
	return s.dst, err
}

// visit adds one destination and what it feeds.
func (s *spread) visit(d Destination) error {
	if len(s.path) > maxForwards {
		return Errorf(CodeLimit, "a message to %s was forwarded more than %d times, at last to %s: the forwards, or mirrored queues, lead in a circle; change the configuration", s.path[0], maxForwards, d)
	}
	if !d.Kind.IsQueue() {
		t, err := s.b.topicFor(d)
		if err != nil {
			return err
		}
		f := t.fan.Load()
		if f == nil || !f.only {
			s.dst = append(s.dst, route{t: t, over: s.overlay()})
			if s.dst, err = s.b.routeRetained(s.dst, t, s.m); err != nil {
				return err
			}
		}
		was := s.topic
		s.topic = true
		err = s.feed(f)
		s.topic = was
		return err
	}
	for {
		q, err := s.b.queueFor(d, nil)
		if err != nil {
			return err
		}
		f := q.fan.Load()
		if f == nil || !f.only {
			there, err := s.put(q, s.overlay())
			if err != nil {
				return err
			}
			if !there {
				continue // deleted meanwhile; its name may be free again
			}
		}
		return s.feed(f)
	}
}

// overlay is that of a copy which was forwarded.
func (s *spread) overlay() []byte {
	if s.first == nil {
		return nil
	}
	return s.first.original
}

// feed adds what a destination feeds.
func (s *spread) feed(f *fan) error {
	if f == nil || (s.topic && s.lim == limitsProbe) {
		return nil
	}
	if f.selects && s.m.id == 0 {
		s.m.id = s.b.nextID() // selectors may ask for it
	}
	for i := range f.feeds {
		x := &f.feeds[i]
		if !s.wants(f, x) {
			continue
		}
		if len(s.dst) >= maxRoutes {
			return Errorf(CodeLimit, "a message to %s would go to more than %d places; take away some durable subscriptions or forwards", f.dest, maxRoutes)
		}
		var err error
		if x.q != nil {
			_, err = s.put(x.q, s.fedOverlay(f, x.q))
		} else {
			err = s.forward(f, x.to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *spread) wants(f *fan, x *feed) bool {
	if x.q != nil && x.q.dsub != nil && x.q.dsub.isLocal(s.from) {
		return false
	}
	if x.aware && !x.q.wanted(s.m, s.fedOverlay(f, x.q)) {
		return false
	}
	return x.filter.matches(s.b, s.m, f.dest, 0, s.m.Expiration(), s.overlay())
}

// forward goes on to another destination.
func (s *spread) forward(f *fan, to Destination) error {
	first := s.first
	if first == nil {
		s.first = f
	}
	s.path = append(s.path, f.dest)
	err := s.visit(to)
	s.path = s.path[:len(s.path)-1]
	s.first = first
	return err
}

// fedOverlay is the overlay of the copy for a queue that a topic feeds.
func (s *spread) fedOverlay(f *fan, q *queue) []byte {
	switch {
	case q.dsub == nil && s.first == nil:
		return f.original
	case q.dsub == nil:
		return s.first.original
	case s.first == nil && s.m.dest == f.dest:
		return nil
	case s.first == nil:
		return f.sentTo
	}
	var p Properties
	p.AddDestination(PropOriginalDestination, s.first.dest)
	p.AddDestination(PropSentTo, f.dest)
	return p.AppendTo(nil)
}

// put adds a queue, or the dead-letter queue when it is full. It reports false
// when the queue is deleted.
func (s *spread) put(q *queue, over []byte) (bool, error) {
	lim := s.lim
	if s.topic {
		lim = limitsFeed
	}
	for {
		r, err := s.b.routeQueue(q, s.m, lim)
		if err != nil {
			return true, err
		}
		if r.q == nil {
			return true, nil // dropped
		}
		if !r.q.deleted.Load() {
			if !r.dead {
				r.over = over
			}
			s.dst = append(s.dst, r)
			return true, nil
		}
		r.q.unreserve(int64(s.m.Size()))
		if r.q == q {
			return false, nil
		}
	}
}

// keepOrigin copies the properties that say by which topic and which schedule a message came.
func keepOrigin(p *Properties, it *PropIter) {
	switch string(it.Name) {
	case PropSentTo:
		if d, ok := it.Destination(); ok {
			p.AddDestination(PropSentTo, d)
		}
	case PropScheduleID:
		p.AddString(it.Name, it.Bytes)
	}
}

// shownDest is where a message of the queue was sent to, as its consumers see it.
func (q *queue) shownDest(m *Message, overlay []byte) Destination {
	if q.dsub == nil {
		return q.dest
	}
	for it := IterProperties(overlay); it.Next(); {
		if d, ok := it.Destination(); ok && string(it.Name) == PropSentTo {
			return d
		}
	}
	return m.dest
}
