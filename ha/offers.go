package ha

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"treadmq/ha/replica"
	"treadmq/ha/replica/wire"
	"treadmq/store"
	"treadmq/store/local"
)

// indexPiece is about how many bytes of the index go into a piece.
const indexPiece = wire.MaxPiece / 4

// bulkIdle ends a connection for pieces of a snapshot on which nobody asks for one.
const bulkIdle = time.Minute

// offers are the snapshots that followers may fetch from this master.
type offers struct {
	rate *limiter

	mu   sync.Mutex // guards open
	open map[uint64]*offer
}

// offer is one snapshot. It lives as long as its link wants it, and not longer than
// the mastership.
type offer struct {
	all  *offers
	id   uint64
	snap *local.Snapshot

	mu    sync.Mutex // held while the snapshot is read
	gone  bool
	index uint64 // offset in the index, as key and value bytes, of what after leads to
	after []byte // last key read
}

func newOffers(rate int64) *offers {
	return &offers{rate: &limiter{rate: rate}, open: map[uint64]*offer{}}
}

func (o *offers) add(snap *local.Snapshot) *offer {
	x := &offer{all: o, id: randomNumber(), snap: snap}
	o.mu.Lock()
	o.open[x.id] = x
	o.mu.Unlock()
	return x
}

func (o *offers) get(id uint64) *offer {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.open[id]
}

// releaseAll gives all snapshots up, before their store is closed.
func (o *offers) releaseAll() {
	o.mu.Lock()
	var all []*offer
	for _, x := range o.open {
		all = append(all, x)
	}
	o.mu.Unlock()
	for _, x := range all {
		x.release()
	}
}

func (x *offer) release() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone {
		return
	}
	x.gone = true
	x.snap.Release()
	x.all.mu.Lock()
	delete(x.all.open, x.id)
	x.all.mu.Unlock()
}

// welcome is a Welcome whose snapshot was taken.
type welcome struct {
	link  replica.LinkID
	frame *replica.Welcome
	offer *offer
	err   error
}

// offer takes a snapshot for a follower. It takes as long as a write of the index, so it
// is done aside.
func (n *Node) offer(a replica.Offer) {
	r, l := n.disk.snapshot.Load(), n.links[a.Link]
	if l == nil {
		return
	}
	l.mu.Lock()
	l.endStream()
	l.mu.Unlock()
	if r == nil {
		l.finish()
		return
	}
	n.port.spawn(func() {
		w := welcome{link: a.Link, frame: a.Welcome}
		snap, err := r.Snapshot()
		if err == nil {
			w.offer = n.offers.add(snap)
			w.frame.Snapshot = &replica.Manifest{ID: w.offer.id, At: snap.At, End: snap.End, Commit: w.frame.Commit, Active: w.frame.Active}
		}
		w.err = err
		select {
		case n.events <- w:
		case <-n.ended:
			if w.offer != nil {
				w.offer.release()
			}
		}
	})
}

func (n *Node) welcome(w welcome) {
	l := n.links[w.link]
	switch {
	case w.err != nil:
		n.log.Warn("no snapshot was taken for a follower", "err", w.err)
		if l != nil {
			l.finish()
		}
		return
	case l == nil || n.gate == nil:
		go w.offer.release()
		return
	}
	l.mu.Lock()
	l.offer = w.offer
	l.mu.Unlock()
	l.send(w.frame)
}

// serveBulk answers what a follower asks of a snapshot.
func (n *Node) serveBulk(c net.Conn) {
	r := bufio.NewReader(c)
	var buf, piece []byte
	for {
		if err := c.SetReadDeadline(time.Now().Add(bulkIdle)); err != nil {
			return
		}
		f, b, err := wire.Read(r, buf)
		buf = b
		if err != nil {
			if errors.Is(err, wire.ErrFrame) {
				n.port.refuse(c, err)
			}
			return
		}
		get, ok := f.Message.(*wire.Get)
		if !ok {
			n.port.refuse(c, fmt.Errorf("%w: %T where a piece of a snapshot is asked for", wire.ErrFrame, f.Message))
			return
		}
		x := n.offers.get(get.Offer)
		if x == nil {
			return // its link has ended: the follower asks for another one
		}
		get.Length = n.offers.rate.portion(get.Length)
		answer := wire.Piece{Group: get.Group, Epoch: get.Epoch, Offer: get.Offer, Part: get.Part, Segment: get.Segment, Offset: get.Offset}
		if piece, answer.Last, err = x.read(piece[:0], get); err != nil {
			n.log.Warn("a piece of a snapshot was not read", "part", get.Part, "pos", get.Segment, "offset", get.Offset, "err", err)
			return
		}
		answer.Length, answer.Sum = uint32(len(piece)), wire.Checksum(piece)
		if !n.offers.rate.wait(len(piece), n.ended) {
			return
		}
		frame, err := wire.Append(nil, &answer, len(piece))
		if err != nil {
			return
		}
		if putAll(c, frame) != nil || putAll(c, piece) != nil {
			return
		}
	}
}

// read reads a piece.
func (x *offer) read(dst []byte, g *wire.Get) (b []byte, last bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone {
		return dst, false, store.ErrClosed
	}
	switch g.Part {
	case wire.PartList:
		return x.list(dst, g)
	case wire.PartSegment:
		return x.segment(dst, g)
	}
	return x.keys(dst, g)
}

// list encodes the segments: first position and end of each.
func (x *offer) list(dst []byte, g *wire.Get) ([]byte, bool, error) {
	var all []byte
	for _, s := range x.snap.Segments {
		all = binary.LittleEndian.AppendUint64(all, uint64(s.First))
		all = binary.LittleEndian.AppendUint64(all, uint64(s.End))
	}
	if g.Offset > uint64(len(all)) {
		return dst, false, fmt.Errorf("the list has %d bytes", len(all))
	}
	n := min(uint64(g.Length), uint64(len(all))-g.Offset)
	return append(dst, all[g.Offset:g.Offset+n]...), g.Offset+n == uint64(len(all)), nil
}

func (x *offer) segment(dst []byte, g *wire.Get) ([]byte, bool, error) {
	for _, s := range x.snap.Segments {
		if s.First != g.Segment {
			continue
		}
		length := uint64(s.End - s.First)
		if g.Offset > length {
			break
		}
		n := min(uint64(g.Length), length-g.Offset)
		if uint64(cap(dst)) < n {
			dst = make([]byte, n)
		}
		dst = dst[:n]
		return dst, g.Offset+n == length, x.snap.ReadSegment(dst, s.First+store.Position(g.Offset))
	}
	return dst, false, fmt.Errorf("%w: no such bytes in the snapshot", store.ErrNotFound)
}

// keys reads the index from where the last piece ended, or from its beginning again.
func (x *offer) keys(dst []byte, g *wire.Get) ([]byte, bool, error) {
	switch g.Offset {
	case 0:
		x.index, x.after = 0, nil
	case x.index:
	default:
		return dst, false, fmt.Errorf("the index was sent up to %d, not to %d", x.index, g.Offset)
	}
	b, after, err := x.snap.ReadIndex(dst, x.after, int(min(g.Length, indexPiece))) // and one pair more
	if errors.Is(err, io.EOF) {
		return b, true, nil
	}
	if err != nil {
		return b, false, err
	}
	x.after = after
	x.index += uint64(len(b))
	return b, false, nil
}

// limiter bounds bytes per second.
type limiter struct {
	rate int64 // negative: no bound

	mu   sync.Mutex // guards next
	next time.Time
}

// portion makes a piece so small that it is not waited for long.
func (l *limiter) portion(n uint32) uint32 {
	if l.rate <= 0 {
		return n
	}
	return uint32(min(int64(n), max(l.rate, 4<<10)))
}

// wait waits until n bytes may go; false when quit is closed first.
func (l *limiter) wait(n int, quit <-chan struct{}) bool {
	if l.rate <= 0 {
		return true
	}
	now := time.Now()
	l.mu.Lock()
	if l.next.Before(now) {
		l.next = now
	}
	at := l.next
	l.next = at.Add(time.Duration(int64(n) * int64(time.Second) / l.rate))
	l.mu.Unlock()
	if at.Sub(now) <= 0 {
		return true
	}
	t := time.NewTimer(at.Sub(now))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-quit:
		return false
	}
}
