package stomp

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"

	"treadmq/broker"
)

// groupLedger is what all consumers together know of the messages of groups. A message is somebody's from when the client has
// read it until just before it lets go of it, which is a part of the time in which the broker has given it away: what
// overlaps here overlaps there.
type groupLedger struct {
	t      *testing.T
	mu     sync.Mutex
	states map[string][]groupState
	holds  map[string]map[int]int // by group and consumer: how many messages
	conns  map[int]net.Conn       // of each consumer
}

type groupState struct {
	holder int // 0 for none
	acked  bool
	sure   bool // the broker has answered the ACK
}

func newGroupLedger(t *testing.T, groups, each int) *groupLedger {
	l := &groupLedger{t: t, states: map[string][]groupState{}, holds: map[string]map[int]int{}, conns: map[int]net.Conn{}}
	for i := range groups {
		name := fmt.Sprint("g", i)
		l.states[name], l.holds[name] = make([]groupState, each), map[int]int{}
	}
	return l
}

// took checks a message that a consumer has just read.
func (l *groupLedger) took(consumer int, group string, n int, m got) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for other, held := range l.holds[group] {
		if other != consumer && held > 0 {
			l.t.Errorf("consumer %d got %s %d while consumer %d held %d of the group", consumer, group, n, other, held)
		}
	}
	list := l.states[group]
	for i := range list[:n] {
		if before := &list[i]; !before.acked && before.holder != consumer {
			l.t.Errorf("consumer %d got %s %d before %d, which is not done: %+v", consumer, group, n, i, *before)
		}
	}
	if s := &list[n]; s.sure || s.holder != 0 {
		l.t.Errorf("consumer %d got %s %d again: %+v\n%v", consumer, group, n, *s, m)
	}
	list[n] = groupState{holder: consumer}
	l.holds[group][consumer]++
}

// leaves notes that a consumer is about to let go of a message.
func (l *groupLedger) leaves(consumer int, group string, n int, acked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states[group][n] = groupState{acked: acked}
	l.holds[group][consumer]--
}

// confirmed notes the answer to an ACK. Where the message came again before that was read, it had not been carried out.
func (l *groupLedger) confirmed(group string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states[group][n].sure = true
}

// groupConsumer comes and goes, and acknowledges, refuses or drops what it gets.
type groupConsumer struct {
	r        *rig
	l        *groupLedger
	n        int
	rnd      *rand.Rand
	c        *client
	held     map[string]string // "group number" to the id of its ACK
	prefetch int
	subs     int
}

func (g *groupConsumer) begin() {
	g.c = g.r.connected("")
	g.l.mu.Lock()
	g.l.conns[g.n] = g.c.nc
	g.l.mu.Unlock()
	g.subscribe()
}

func (g *groupConsumer) subscribe() {
	g.subs++
	g.held, g.prefetch = map[string]string{}, 1+g.rnd.IntN(6)*g.rnd.IntN(2)
	g.c.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/queue/q\nack:client-individual\nactivemq.prefetchSize:%d\n\n\x00", g.subs, g.prefetch))
}

func parseHeld(name string) (group string, n int) {
	_, _ = fmt.Sscanf(name, "%s %d", &group, &n)
	return group, n
}

// step reads a frame and does something about it; it reports whether the connection still works.
func (g *groupConsumer) step() bool {
	m, err := g.c.read()
	if err != nil {
		return false
	}
	if m.command == "RECEIPT" {
		g.l.confirmed(parseHeld(m.get("receipt-id")))
		if g.c.r.Buffered() == 0 {
			g.acknowledge()
		}
		return true
	}
	group, n := parseHeld(m.body)
	g.l.took(g.n, group, n, m)
	g.held[m.body] = m.get("ack")
	switch what := g.rnd.IntN(100); {
	case what < 4:
		g.drop()
		_ = g.c.nc.Close()
		g.begin()
	case what < 8:
		g.drop()
		g.c.send(fmt.Sprintf("UNSUBSCRIBE\nid:%d\nreceipt:bye\n\n\x00", g.subs))
		for m.get("receipt-id") != "bye" {
			if m, err = g.c.read(); err != nil {
				return false
			}
			if id := m.get("receipt-id"); strings.HasPrefix(id, "g") {
				g.l.confirmed(parseHeld(id))
			}
		}
		g.subscribe()
	case what < 14 && g.prefetch == 1:
		g.l.leaves(g.n, group, n, false)
		delete(g.held, m.body)
		g.c.send("NACK\nid:" + m.get("ack") + "\nx-delay:1\n\n\x00")
	case what < 60 || len(g.held) == g.prefetch || g.c.r.Buffered() == 0:
		g.acknowledge()
	}
	return true
}

// acknowledge acknowledges some of what it holds, at least one message, each group in order. What is left is its for a
// while: until the answers come.
func (g *groupConsumer) acknowledge() {
	keeps := map[string]bool{}
	for n := range len(g.l.states["g0"]) {
		for group := range g.l.states {
			name := fmt.Sprint(group, " ", n)
			id, ok := g.held[name]
			if !ok || keeps[group] {
				continue
			}
			keeps[group] = g.rnd.IntN(2) == 0
			delete(g.held, name)
			g.l.leaves(g.n, group, n, true)
			g.c.send("ACK\nid:" + id + "\nreceipt:" + name + "\n\n\x00")
		}
	}
}

// drop lets go of all it holds.
func (g *groupConsumer) drop() {
	for name := range g.held {
		group, n := parseHeld(name)
		g.l.leaves(g.n, group, n, false)
	}
	clear(g.held)
}

// While consumers come, go, refuse and crash, no two ever hold messages of one group at a time, each group is in order, and nothing
// is lost or comes again after it was acknowledged.
func TestMessageGroups_ConsumersComeAndGo(t *testing.T) {
	const groups, each, consumers = 12, 60, 5
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := newRig(t, withPolicy(func(_ broker.Destination, p *broker.Policy) {
				p.Redelivery.Maximum, p.MemoryLimit = -1, 20_000
			}))
			l := newGroupLedger(t, groups, each)
			var wg sync.WaitGroup
			for i := range consumers {
				wg.Go(func() {
					g := &groupConsumer{r: r, l: l, n: i + 1, rnd: rand.New(rand.NewPCG(seed, uint64(i)))}
					for g.begin(); g.step(); {
					}
				})
			}
			p := r.connected("")
			until(t, "all are there", func() bool { return len(r.b.Connections()) == consumers+1 })
			for n := range each {
				for i := range groups {
					p.send(fmt.Sprintf("SEND\ndestination:/queue/q\nJMSXGroupID:g%d\n\ng%d %d\x00", i, i, n))
				}
			}
			p.publish("/queue/end", "", "") // its receipt comes after all
			until(t, "all is acknowledged", func() bool { return depth(r, "/queue/q") == 0 })
			l.mu.Lock()
			for _, nc := range l.conns {
				_ = nc.Close()
			}
			l.mu.Unlock()
			wg.Wait()
			for group, list := range l.states {
				for n, s := range list {
					if !s.acked {
						t.Errorf("%s %d is gone and nobody acknowledged it", group, n)
					}
				}
			}
		})
	}
}
