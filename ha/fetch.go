package ha

import (
	"bufio"
	"context"
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

// Limits of fetching a snapshot.
const (
	maxList   = 1 << 20 // bytes of the list of segments: 65,536 of them
	pieceTime = 30 * time.Second
)

// fetch gets a snapshot from the master into a folder beside the store.
type fetch struct {
	n      *Node
	action replica.Fetch
	addr   string
	stop   context.CancelFunc
	done   chan struct{}
	before chan struct{} // closed when an earlier attempt ended; nil: there was none

	mu       sync.Mutex // guards progress
	progress Progress
}

// startFetch begins to fetch. Only the core's goroutine calls it.
func (n *Node) startFetch(a replica.Fetch) {
	n.stopFetch()
	l := n.links[a.Link]
	if l == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &fetch{n: n, action: a, addr: l.addr, stop: stop, done: make(chan struct{}),
		progress: Progress{From: nameOf(n.view.view, l.node), Since: time.Now(), Phase: "segments"}}
	if n.fetch != nil {
		f.before = n.fetch.done
	}
	n.fetch = f
	go f.run(ctx)
}

// stopFetch gives fetching up. The next attempt waits until this one writes nothing any more.
func (n *Node) stopFetch() {
	if n.fetch != nil {
		n.fetch.stop()
	}
}

// finishFetch ends fetching with the member.
func (n *Node) finishFetch() {
	if n.fetch != nil {
		n.fetch.stop()
		<-n.fetch.done
	}
}

func (f *fetch) run(ctx context.Context) {
	defer close(f.done)
	if f.before != nil {
		<-f.before
	}
	end, err := f.get(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		f.n.log.Warn("the snapshot was not fetched; what is there is used by the next attempt", "from", f.addr, "err", err)
		f.n.post(func() { f.n.giveUp(f) })
	default:
		f.note(func(p *Progress) { p.Phase = "done" })
		f.n.post(replica.Staged{Op: f.action.Op, End: end})
	}
}

// giveUp ends the link that the snapshot was offered on: the member comes back and gets another.
func (n *Node) giveUp(f *fetch) {
	if l := n.links[f.action.Link]; n.fetch == f && l != nil {
		l.kill()
	}
}

func (f *fetch) note(change func(*Progress)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.progress)
}

// get fetches list, segments and index, and checks what came.
func (f *fetch) get(ctx context.Context) (store.Position, error) {
	c, err := f.n.port.connect(ctx, f.addr, wire.Bulk)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	b := &bulk{c: c, r: bufio.NewReaderSize(c, 64<<10), get: wire.Get{Group: f.n.opt.Group, Offer: f.action.Manifest.ID, Length: wire.MaxPiece}}
	segs, err := b.list()
	if err != nil {
		return 0, err
	}
	_, m, err := local.MemberOf(f.n.opt.Store)
	if err != nil {
		return 0, err
	}
	st, err := local.NewStage(f.n.opt.Store, f.n.opt.Group, f.action.Manifest.At, segs)
	if err != nil {
		return 0, err
	}
	var end store.Position
	if err = f.segments(b, st, segs); err == nil {
		if err = f.index(b, st); err == nil {
			f.note(func(p *Progress) { p.Phase = "checking" })
			end, err = st.Finish(m)
		}
	}
	if err != nil {
		st.Abandon()
	}
	return end, err
}

func (f *fetch) segments(b *bulk, st *local.Stage, segs []local.SegmentInfo) error {
	var total int64
	for _, s := range segs {
		total += int64(s.End - s.First)
	}
	f.note(func(p *Progress) { p.Total, p.Bytes = total, total-missing(st, segs) })
	for {
		at, _, more := st.Missing()
		if !more {
			return nil
		}
		for _, s := range segs {
			if at >= s.First && at < s.End {
				b.get.Part, b.get.Segment, b.get.Offset = wire.PartSegment, s.First, uint64(at-s.First)
			}
		}
		piece, _, err := b.piece()
		if err == nil && len(piece) == 0 {
			err = errors.New("the master sent nothing")
		}
		if err == nil {
			err = st.Write(at, piece)
		}
		if err != nil {
			return err
		}
		f.note(func(p *Progress) { p.Bytes += int64(len(piece)) })
	}
}

// missing is how many bytes of the segments are not there.
func missing(st *local.Stage, segs []local.SegmentInfo) int64 {
	var n int64
	for _, s := range segs {
		n += int64(s.End - s.First - st.Have(s.First))
	}
	return n
}

func (f *fetch) index(b *bulk, st *local.Stage) error {
	f.note(func(p *Progress) { p.Phase = "index" })
	b.get.Part, b.get.Segment, b.get.Offset = wire.PartIndex, 0, 0
	for {
		pairs, last, err := b.piece()
		if err == nil && len(pairs) > 0 {
			err = st.WriteIndex(pairs)
		}
		if err != nil || last {
			return err
		}
		b.get.Offset += uint64(len(pairs))
	}
}

// bulk asks for pieces of a snapshot.
type bulk struct {
	c     net.Conn
	r     *bufio.Reader
	get   wire.Get
	frame []byte
	buf   []byte
	body  []byte
}

// piece asks for one piece and returns its bytes, valid until the next call.
func (b *bulk) piece() ([]byte, bool, error) {
	var err error
	if b.frame, err = wire.Append(b.frame[:0], &b.get, 0); err != nil {
		return nil, false, err
	}
	if err = b.c.SetDeadline(time.Now().Add(pieceTime)); err != nil {
		return nil, false, err
	}
	if _, err = b.c.Write(b.frame); err != nil {
		return nil, false, err
	}
	f, buf, err := wire.Read(b.r, b.buf)
	b.buf = buf
	if errors.Is(err, io.EOF) {
		err = errors.New("the master does not offer that snapshot any more")
	}
	if err != nil {
		return nil, false, err
	}
	p, ok := f.Message.(*wire.Piece)
	if !ok || p.Offer != b.get.Offer || p.Part != b.get.Part || p.Segment != b.get.Segment || p.Offset != b.get.Offset {
		return nil, false, fmt.Errorf("%w: not the piece that was asked for", wire.ErrFrame)
	}
	if cap(b.body) < f.Body {
		b.body = make([]byte, f.Body) // at most wire.MaxPiece
	}
	b.body = b.body[:f.Body]
	if _, err := io.ReadFull(b.r, b.body); err != nil {
		return nil, false, err
	}
	if wire.Checksum(b.body) != p.Sum {
		return nil, false, fmt.Errorf("%w: a piece fails its checksum", wire.ErrFrame)
	}
	return b.body, p.Last, nil
}

// list fetches the list of segments.
func (b *bulk) list() ([]local.SegmentInfo, error) {
	b.get.Part = wire.PartList
	var all []byte
	for last := false; !last; {
		piece, end, err := b.piece()
		if err != nil {
			return nil, err
		}
		if all, last = append(all, piece...), end; len(all) > maxList || len(piece) == 0 && !last {
			return nil, fmt.Errorf("%w: a list of segments without an end", wire.ErrFrame)
		}
		b.get.Offset += uint64(len(piece))
	}
	if len(all)%16 != 0 {
		return nil, fmt.Errorf("%w: a list of segments of %d bytes", wire.ErrFrame, len(all))
	}
	var segs []local.SegmentInfo
	for ; len(all) > 0; all = all[16:] {
		segs = append(segs, local.SegmentInfo{First: store.Position(binary.LittleEndian.Uint64(all)), End: store.Position(binary.LittleEndian.Uint64(all[8:]))})
	}
	return segs, nil
}
