package broker

import (
	"slices"

	"treadmq/store"
)

// A tailing browser (SubscribeOptions.Tail) shows what is in its queues and then what arrives, as long as it is there.
// Each queue tells it of which lane there is news; it reads that lane on from where it stood, as any browser does, so
// that it needs no memory for what it has not shown yet and holds up nobody. What a consumer takes before the browser
// has looked it does not see.

// tail is what a tailing browser knows. Guarded by Conn.mu.
type tail struct {
	places []*tailPlace // in turn
}

// tailPlace is where a tailing browser stands in a queue.
type tailPlace struct {
	q  *queue
	at [store.Lanes][sources]store.Seq // the last that was shown
	// news has a bit for each lane that may have messages behind at.
	news uint16
}

const allLanes = 1<<store.Lanes - 1

// next returns a place with news, nil if there is none.
func (t *tail) next() *tailPlace {
	for _, p := range t.places {
		if p.news != 0 && !p.q.deleted.Load() {
			return p
		}
	}
	return nil
}

// follow begins to tail the queues that there are; those that are made later it is told of.
func (b *Broker) follow(s *Subscription) error {
	s.c.mu.Lock()
	s.browser = &browser{upto: ^store.Seq(0), tail: &tail{}}
	s.c.mu.Unlock()
	for _, q := range b.joinWild(s) {
		q.follow(s)
	}
	return nil
}

// follow adds a tailing browser.
func (q *queue) follow(s *Subscription) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.closed || q.deleted.Load() {
		return
	}
	t := s.browser.tail
	t.places = slices.DeleteFunc(t.places, func(p *tailPlace) bool { return p.q.deleted.Load() })
	if slices.ContainsFunc(t.places, func(p *tailPlace) bool { return p.q == q }) {
		return
	}
	p := &tailPlace{q: q, news: allLanes}
	t.places = append(t.places, p)
	q.tails = append(q.tails, tailer{s, p})
	s.runBrowser()
}

// tailer is a tailing browser as its queue knows it.
type tailer struct {
	s *Subscription
	p *tailPlace
}

// news tells the tailing browsers that something arrived in a lane. q.mu is held.
func (q *queue) news(l store.Lane) {
	for _, t := range q.tails {
		t.s.c.mu.Lock()
		t.p.news |= 1 << l
		t.s.runBrowser()
		t.s.c.mu.Unlock()
	}
}

// unfollow ends a tailing browser, which is closed.
func (b *Broker) unfollow(s *Subscription) {
	s.c.mu.Lock()
	var places []*tailPlace
	if s.browser != nil && s.browser.tail != nil {
		places = s.browser.tail.places
	}
	s.c.mu.Unlock()
	for _, p := range places {
		p.q.mu.Lock()
		p.q.tails = slices.DeleteFunc(p.q.tails, func(t tailer) bool { return t.s == s })
		p.q.mu.Unlock()
	}
}

// showNews reads and delivers until there are no news, or no credit.
func (s *Subscription) showNews() {
	br, c := s.browser, s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		p := br.tail.next()
		if p == nil || s.closed || s.stopped || s.credit <= 0 || s.creditBytes <= 0 {
			br.running = false
			return
		}
		br.tail.turn(p)
		l := p.lane()
		p.news &^= 1 << l
		at := p.at[l]
		c.mu.Unlock()
		page, err := p.q.newer(l, at)
		if err != nil {
			c.b.log.Error("a browser that waits for new messages cannot read some", "dest", p.q.dest.String(), "err", err)
		}
		var k wakes
		c.mu.Lock()
		n := 0
		if !s.closed && !s.stopped {
			n = s.show(page.list, &k)
		}
		p.advance(l, &page, n)
		c.mu.Unlock()
		k.flush()
		c.mu.Lock()
	}
}

// turn puts a place behind the others.
func (t *tail) turn(p *tailPlace) {
	i := slices.Index(t.places, p)
	t.places = append(slices.Delete(t.places, i, i+1), p)
}

// lane returns the first lane with news.
func (p *tailPlace) lane() store.Lane {
	l := store.Lane(0)
	for p.news&(1<<l) == 0 {
		l++
	}
	return l
}

// newer reads a lane from two places on, one for each source: a persistent message may become visible later than a
// non-persistent one with a higher number.
func (q *queue) newer(l store.Lane, at [sources]store.Seq) (lanePage, error) {
	p, err := q.browseLane(l, at, browsePage, browseBytes)
	if err != nil {
		return lanePage{}, err
	}
	p.list = slices.DeleteFunc(p.list, func(m Browsed) bool { return !m.Persistent && m.Seq >= p.open })
	return p, nil
}

// advance moves on behind what was shown: the first n of a page.
func (p *tailPlace) advance(l store.Lane, page *lanePage, n int) {
	at := &p.at[l]
	for i := range page.list[:n] {
		src := transient
		if page.list[i].Persistent {
			src = durable
		}
		at[src] = page.list[i].Seq
	}
	if n < len(page.list) {
		p.news |= 1 << l
		return
	}
	if page.more {
		p.news |= 1 << l
	}
	for src := range sources { // over what is damaged
		upto := page.last[src]
		if page.more {
			upto = min(upto, page.end)
		}
		if src == transient {
			upto = min(upto, page.open-1)
		}
		at[src] = max(at[src], upto)
	}
}
