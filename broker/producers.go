package broker

import "sync"

// maxProducing bounds the destinations that a connection is counted as a producer of.
const maxProducing = 1000

// producers counts who sends where. STOMP has no producers: a connection is one for every destination that it has sent to.
type producers struct {
	mu     sync.Mutex // guards what follows; nothing is locked under it
	counts map[Destination]int
	of     map[*Conn]map[Destination]struct{}
}

// Produces says that the connection sends to some destinations. It is for a front end to call when it meets a
// destination for the first time, not for each message.
func (c *Conn) Produces(dests []Destination) {
	for _, d := range dests {
		if n, first := c.b.producers.add(c, d); first {
			c.b.advise(advisory{what: "Producer", about: d, event: "started", count: n, conn: c})
		}
	}
}

func (p *producers) add(c *Conn, d Destination) (n int, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.of[c]
	if _, ok := own[d]; ok || len(own) >= maxProducing || d.Kind == Service {
		return 0, false
	}
	if p.counts == nil {
		p.counts, p.of = map[Destination]int{}, map[*Conn]map[Destination]struct{}{}
	}
	if own == nil {
		own = map[Destination]struct{}{}
		p.of[c] = own
	}
	own[d] = struct{}{}
	p.counts[d]++
	return p.counts[d], true
}

// gone forgets a connection that has ended.
func (b *Broker) producerGone(c *Conn) {
	p := &b.producers
	type left struct {
		d Destination
		n int
	}
	var all []left
	p.mu.Lock()
	for d := range p.of[c] {
		n := p.counts[d] - 1
		if p.counts[d] = n; n == 0 {
			delete(p.counts, d)
		}
		all = append(all, left{d, n})
	}
	delete(p.of, c)
	p.mu.Unlock()
	for _, x := range all {
		b.advise(advisory{what: "Producer", about: x.d, event: "stopped", count: x.n, conn: c})
	}
}

// count returns how many connections send to a destination.
func (p *producers) count(d Destination) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[d]
}
