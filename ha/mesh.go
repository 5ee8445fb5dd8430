package ha

import (
	"bufio"
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"treadmq/ha/replica"
	"treadmq/ha/replica/wire"
)

// mesh finds out which other members answer: a connection to each, on which a
// heartbeat is sent and comes back.
type mesh struct {
	n       *Node
	targets chan map[replica.NodeID]string // capacity 1: who is to be reached, and where
}

func newMesh(n *Node) *mesh { return &mesh{n: n, targets: make(chan map[replica.NodeID]string, 1)} }

// aim says who is to be reached. Only the core's goroutine calls it.
func (m *mesh) aim(at map[replica.NodeID]string) {
	select {
	case <-m.targets:
	default:
	}
	m.targets <- at
}

// pinger is the goroutine for one target.
type pinger struct {
	addr string
	stop context.CancelFunc
}

// answer says whether a target answers.
type answer struct {
	node replica.NodeID
	ok   bool
}

// run keeps one pinger for each target until ctx ends.
func (m *mesh) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	answers := make(chan answer)
	pingers := map[replica.NodeID]pinger{}
	up := map[replica.NodeID]bool{}
	for {
		changed := false
		select {
		case <-ctx.Done():
			return
		case a := <-answers:
			changed = up[a.node] != a.ok && pingers[a.node].stop != nil
			if changed && a.ok {
				up[a.node] = true
			} else if changed {
				delete(up, a.node)
			}
		case targets := <-m.targets:
			for id, p := range pingers {
				if targets[id] != p.addr {
					p.stop()
					delete(pingers, id)
					changed = changed || up[id]
					delete(up, id)
				}
			}
			for id, addr := range targets {
				if pingers[id].stop == nil && len(pingers) < replica.MaxMembers {
					c, stop := context.WithCancel(ctx)
					pingers[id] = pinger{addr, stop}
					wg.Go(func() { m.ping(c, id, addr, answers) })
				}
			}
		}
		if changed {
			var nodes []replica.NodeID
			for id := range up {
				nodes = append(nodes, id)
			}
			slices.Sort(nodes)
			m.n.post(replica.Reachable{Nodes: nodes})
		}
	}
}

// ping asks one member again and again whether it is there.
func (m *mesh) ping(ctx context.Context, id replica.NodeID, addr string, answers chan<- answer) {
	for {
		c, err := m.n.port.connect(ctx, addr, wire.Ping)
		if err == nil {
			unwatch := context.AfterFunc(ctx, func() { c.Close() })
			m.exchange(ctx, c, func() { m.say(ctx, answers, answer{id, true}) })
			unwatch()
			c.Close()
			m.say(ctx, answers, answer{id, false})
		}
		select {
		case <-time.After(m.n.opt.Timing.Heartbeat):
		case <-ctx.Done():
			return
		}
	}
}

func (m *mesh) say(ctx context.Context, answers chan<- answer, a answer) {
	select {
	case answers <- a:
	case <-ctx.Done():
	}
}

// exchange sends heartbeats and waits for each to come back, until one does not. It
// calls up after the first.
func (m *mesh) exchange(ctx context.Context, c net.Conn, up func()) {
	t := m.n.opt.Timing
	frame, err := wire.Append(nil, &replica.Heartbeat{Group: m.n.opt.Group}, 0)
	if err != nil {
		return
	}
	r := bufio.NewReader(c)
	var buf []byte
	for first := true; ctx.Err() == nil; first = false {
		if err := c.SetDeadline(time.Now().Add(t.Silence)); err != nil {
			return
		}
		if _, err := c.Write(frame); err != nil {
			return
		}
		if _, buf, err = wire.Read(r, buf); err != nil {
			return
		}
		if first {
			up()
		}
		select {
		case <-time.After(t.Heartbeat):
		case <-ctx.Done():
		}
	}
}

// echo sends back what a pinger sends.
func (p *port) echo(c net.Conn) {
	r := bufio.NewReader(c)
	var buf []byte
	for {
		if err := c.SetDeadline(time.Now().Add(10 * p.n.opt.Timing.Silence)); err != nil {
			return
		}
		f, b, err := wire.Read(r, buf)
		buf = b
		if err != nil {
			return
		}
		m, ok := f.Message.(*replica.Heartbeat)
		if !ok {
			return
		}
		frame, err := wire.Append(nil, m, 0)
		if err != nil {
			return
		}
		if _, err := c.Write(frame); err != nil {
			return
		}
	}
}
