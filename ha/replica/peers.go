package replica

import (
	"slices"
	"time"

	"treadmq/ha/internal/mutate"
	"treadmq/notice"
	"treadmq/store"
)

type peerState uint8

// States of a link that another node opened.
const (
	peerNew peerState = iota
	peerFetching
	peerStreaming
)

// peer is the master's side of a link.
type peer struct {
	link    LinkID
	state   peerState
	node    NodeID
	session uint64
	held    held
	applied Position
	noVote  bool // as it last said
	heard   time.Duration
	sent    time.Duration
}

// maxPeers bounds links that others opened; one more is refused.
const maxPeers = 2 * MaxMembers

func (c *Core) accepted(id LinkID) {
	if len(c.peers) >= maxPeers {
		c.emit(Close{id})
		return
	}
	c.peers = append(c.peers, peer{link: id, heard: c.now, sent: c.now})
}

func (c *Core) peer(id LinkID) *peer {
	for i := range c.peers {
		if c.peers[i].link == id {
			return &c.peers[i]
		}
	}
	return nil
}

func (c *Core) dropPeer(id LinkID) {
	c.peers = slices.DeleteFunc(c.peers, func(p peer) bool { return p.link == id })
}

func (c *Core) closePeer(id LinkID) {
	c.emit(Close{id})
	c.dropPeer(id)
}

func (c *Core) refuse(id LinkID, why Reason) {
	c.emit(Send{id, &Refuse{Group: c.cfg.Group, Epoch: max(c.lead.epoch, c.meta.Promised), Reason: why}})
	c.closePeer(id)
}

func (c *Core) linkDown(id LinkID) {
	if id == c.follow.link && c.follow.state != idle {
		c.masterLost(notice.New("story.lost.cut", "the link was cut"))
		return
	}
	c.dropPeer(id)
}

func (c *Core) received(id LinkID, m Message) {
	if id == c.follow.link && c.follow.state > dialing {
		c.follow.heard = c.now
		c.fromMaster(m)
		return
	}
	p := c.peer(id)
	if p == nil {
		return // of a link that was closed
	}
	p.heard = c.now
	switch m := m.(type) {
	case *Hello:
		c.hello(p, m)
	case *Ack:
		c.ack(p, m)
	case *Heartbeat:
		if m.Epoch > c.lead.epoch && c.lead.epoch != 0 {
			c.stepDown(notice.New("story.down.followerknows", "a follower knows a higher epoch"))
		}
	case *Refuse:
		c.closePeer(id)
	default:
		c.closePeer(id)
	}
}

// unfit says why a follower is refused, 0 if it is not.
func (c *Core) unfit(h *Hello) Reason {
	switch {
	case h.Group != c.cfg.Group:
		return OtherGroup
	case h.Cluster != "" && c.meta.Cluster != "" && h.Cluster != c.meta.Cluster:
		return OtherCluster
	case h.Min > MaxVersion || h.Max < MinVersion:
		return OtherVersion
	case c.lead.epoch == 0:
		return NotMaster
	case h.Feature < c.lead.register.Feature:
		return TooOld
	case c.plan.epoch != 0 && h.Promised == c.plan.epoch || c.lead.end == 0:
		return Unready
	case h.Promised > c.lead.epoch:
		return HigherEpoch
	}
	return 0
}

// hello opens a session: the follower is told where its log parts from this one.
func (c *Core) hello(p *peer, h *Hello) {
	if why := c.unfit(h); why != 0 {
		c.refuse(p.link, why)
		if why == HigherEpoch {
			c.stepDown(notice.New("story.down.followerpromised", "a follower has promised a higher epoch"))
		}
		return
	}
	id := p.link
	for i := 0; i < len(c.peers); i++ {
		if o := c.peers[i]; o.node == h.Node && o.link != id {
			c.closePeer(o.link) // an older connection
			i--
		}
	}
	p = c.peer(id)
	p.node, p.session, p.held, p.applied, p.noVote = h.Node, h.Session, held{}, 0, false
	p.sent = c.now
	at, ok := c.parting(h)
	w := &Welcome{Group: c.cfg.Group, Epoch: c.lead.epoch, Version: min(h.Max, MaxVersion), Session: h.Session, TruncateTo: at,
		Commit: c.known, Active: c.active(), Epochs: c.epochs()}
	if h.Snapshot || !ok || at < c.log.Tail {
		p.state = peerFetching
		c.emit(Offer{id, w})
		return
	}
	p.state = peerStreaming
	c.emit(Send{id, w})
	c.emit(Stream{id, c.lead.epoch, h.Session, at})
}

// parting returns the position up to which the follower's log is this one. ok is false
// when the lists of epochs do not tell.
func (c *Core) parting(h *Hello) (at Position, ok bool) {
	switch {
	case c.broken.Has(mutate.NoTruncation):
		return min(h.End, c.log.End), true
	case c.broken.Has(mutate.TruncateToCommit):
		return min(h.Known, c.log.End), true
	case h.End == 0:
		return 0, true
	}
	return store.Divergence(c.log.Epochs, c.log.End, h.Epochs, h.End)
}

// ack takes what a follower holds. It counts only in its session of this epoch.
func (c *Core) ack(p *peer, a *Ack) {
	if !c.broken.Has(mutate.AnyAck) {
		switch {
		case a.Epoch > c.lead.epoch && c.lead.epoch != 0:
			c.stepDown(notice.New("story.down.followeracknowledges", "a follower acknowledges a higher epoch"))
			return
		case a.Epoch != c.lead.epoch || p.state != peerStreaming || a.Session != p.session:
			return
		case a.Written > c.log.End || a.Stable > a.Written:
			c.report(Warning, "story.overacknowledged", "node %s acknowledges what it was not sent; its link is closed", p.node)
			c.closePeer(p.link)
			return
		}
	}
	p.held.written = max(p.held.written, a.Written)
	p.held.stable = max(p.held.stable, a.Stable)
	p.applied = max(p.applied, a.Applied)
	p.noVote = a.NoVote
}

// beat sends heartbeats and closes links on which nothing is heard. Both are done
// here, so that a process that hangs is not taken for one that lives.
func (c *Core) beat() {
	for i := 0; i < len(c.peers); i++ {
		p := &c.peers[i]
		if c.now-p.heard > c.t.Silence && !c.broken.Has(mutate.AnyAck) {
			c.closePeer(p.link)
			i--
			continue
		}
		if p.state != peerNew && c.now-p.sent >= c.t.Heartbeat {
			p.sent = c.now
			c.emit(Send{p.link, &Heartbeat{c.cfg.Group, c.lead.epoch, c.known, c.active()}})
		}
	}
}
