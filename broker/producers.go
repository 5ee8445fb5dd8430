package broker

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxProducing bounds the destinations that a connection is counted as a producer of.
const maxProducing = 1000

// producers counts who sends where. STOMP has no producers: a connection is one for every destination that it has sent to.
type producers struct {
	mu     sync.Mutex // guards what follows; nothing is locked under it
	counts map[Destination]int
	of     map[*Conn]map[Destination]*producer
}

// producer is what one connection has sent to one destination.
type producer struct {
	messages atomic.Uint64
	last     atomic.Int64 // ms since 1970, to the second
}

// Produced counts a message that a front end has built for some destinations. It is the reader's and takes no lock for
// destinations that are known.
func (c *Conn) Produced(dests []Destination) {
	for _, d := range dests {
		p := c.lastProducer
		if p == nil || c.lastProduced != d {
			if p = c.producing[d]; p == nil {
				if p = c.b.producers.find(c, d); p == nil {
					continue
				}
				if c.producing == nil {
					c.producing = map[Destination]*producer{}
				}
				c.producing[d] = p
			}
			c.lastProduced, c.lastProducer = d, p
		}
		p.messages.Add(1)
		p.last.Store(c.b.tick.Load())
	}
}

func (p *producers) find(c *Conn, d Destination) *producer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[c][d]
}

// ProducerInfo says what a connection has sent to a destination.
type ProducerInfo struct {
	Connection  uint64 // serial
	Destination Destination
	Remote      string
	User        string
	ClientID    string
	Messages    uint64
	Last        time.Time // of the last one, to the second; zero: none yet
}

// Producers lists which connections that are there have sent to a destination, who sent last first.
func (b *Broker) Producers(d Destination) []ProducerInfo {
	return b.producers.list(func(_ *Conn, x Destination) bool { return x == d })
}

// ProducesTo lists where a connection has sent to.
func (b *Broker) ProducesTo(conn uint64) []ProducerInfo {
	return b.producers.list(func(c *Conn, _ Destination) bool { return c.serial == conn })
}

func (p *producers) list(wanted func(*Conn, Destination) bool) []ProducerInfo {
	list := []ProducerInfo{}
	p.mu.Lock()
	for c, own := range p.of {
		for d, x := range own {
			if !wanted(c, d) {
				continue
			}
			i := ProducerInfo{Connection: c.serial, Destination: d, Remote: c.opt.Remote, User: c.opt.User, ClientID: c.opt.ClientID, Messages: x.messages.Load()}
			if at := x.last.Load(); at > 0 {
				i.Last = time.UnixMilli(at)
			}
			list = append(list, i)
		}
	}
	p.mu.Unlock()
	slices.SortFunc(list, func(a, b ProducerInfo) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Connection, b.Connection), strings.Compare(a.Destination.Name, b.Destination.Name))
	})
	return list
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
		p.counts, p.of = map[Destination]int{}, map[*Conn]map[Destination]*producer{}
	}
	if own == nil {
		own = map[Destination]*producer{}
		p.of[c] = own
	}
	own[d] = &producer{}
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
