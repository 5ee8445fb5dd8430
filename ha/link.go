package ha

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"treadmq/ha/replica"
	"treadmq/ha/replica/wire"
	"treadmq/store"
	"treadmq/store/local"
)

// Limits of a link.
const (
	maxQueued   = 256              // frames that wait to be written, beside the log's bytes
	writeTime   = 10 * time.Second // for one write
	writeUnit   = 1 << 20          // bytes of one write
	streamBatch = 1 << 20          // bytes of the log in one Data frame, unless one batch is larger
	keptBuffer  = 4 << 20          // bytes of a buffer that is used again
	flushTime   = time.Second      // for the last frames of a link that is closed
)

// link is a connection to another member that carries the protocol: its goroutine in
// run reads, a second one writes.
type link struct {
	n    *Node
	id   replica.LinkID
	conn net.Conn
	node replica.NodeID // that was dialled; "" if it dialled
	addr string         // the same
	wake chan struct{}  // capacity 1: there is something to write

	mu      sync.Mutex // guards everything below
	queue   []replica.Message
	streams *stream
	closing bool // what is queued is written, then the connection is closed
	offer   *offer
}

// stream is the log on its way to a follower.
type stream struct {
	replica.Stream
	feed  local.Feed
	next  store.Position
	frame []byte
	pin   func() // held until the follower has caught up once; nil: none
}

// Events of links.
type (
	linkUp struct {
		link *link
		op   replica.Op // Dial that it answers; 0: the other side dialled
	}
	linkDown struct{ link *link }
	received struct {
		link    *link
		message replica.Message
		body    *body // of Data
	}
)

func newLink(n *Node, id replica.LinkID, c net.Conn) *link {
	return &link{n: n, id: id, conn: c, wake: make(chan struct{}, 1)}
}

// run serves the link until it ends.
func (l *link) run() {
	var writer sync.WaitGroup
	writer.Go(l.write)
	err := l.read()
	if !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
		l.n.log.Debug("a link ended", "link", uint64(l.id), "remote", l.conn.RemoteAddr().String(), "err", err)
	}
	if errors.Is(err, wire.ErrFrame) {
		l.n.port.refuse(l.conn, err)
	}
	l.kill()
	writer.Wait()
	l.n.post(linkDown{l})
}

// kill ends the link at once.
func (l *link) kill() {
	l.conn.Close()
	l.mu.Lock()
	l.closing, l.queue = true, nil
	l.endStream()
	l.mu.Unlock()
	signal(l.wake)
}

// finish ends the link when what was sent is written.
func (l *link) finish() {
	l.mu.Lock()
	l.closing = true
	l.endStream()
	l.mu.Unlock()
	_ = l.conn.SetDeadline(time.Now().Add(flushTime))
	signal(l.wake)
}

// endStream forgets what the follower was being sent. Called with mu held.
func (l *link) endStream() {
	if s := l.streams; s != nil && s.pin != nil {
		s.pin()
	}
	l.streams = nil
	if l.offer != nil {
		go l.offer.release() // a read of it may be under way
		l.offer = nil
	}
}

// send queues a frame. A link that does not take frames is ended.
func (l *link) send(m replica.Message) {
	l.mu.Lock()
	full := len(l.queue) >= maxQueued
	if !full && !l.closing {
		l.queue = append(l.queue, m)
	}
	l.mu.Unlock()
	if full {
		l.n.log.Warn("a link takes no frames", "link", uint64(l.id), "remote", l.conn.RemoteAddr().String())
		l.kill()
		return
	}
	signal(l.wake)
}

// stream sends the log from a position on. A follower that comes from a snapshot keeps
// what it still needs pinned, until it has caught up once.
func (l *link) stream(a replica.Stream, feed local.Feed) {
	l.mu.Lock()
	var pin func()
	if l.offer != nil {
		pin = feed.Pin(a.From)
	}
	l.endStream()
	if l.closing {
		if pin != nil {
			pin()
		}
	} else {
		l.streams = &stream{Stream: a, feed: feed, next: a.From, pin: pin}
	}
	l.mu.Unlock()
	signal(l.wake)
}

// more says that there is more log to send.
func (l *link) more() {
	l.mu.Lock()
	streams := l.streams != nil
	l.mu.Unlock()
	if streams {
		signal(l.wake)
	}
}

// write writes what is queued, and between that the log.
func (l *link) write() {
	var queue []replica.Message
	var buf []byte
	for {
		l.mu.Lock()
		clear(queue)
		queue, l.queue = l.queue, queue[:0]
		s, closing := l.streams, l.closing
		l.mu.Unlock()
		var err error
		if len(queue) > 0 {
			if buf, err = l.encode(buf[:0], queue); err == nil {
				err = l.put(buf)
			}
		}
		switch {
		case err != nil:
			l.n.log.Debug("a link was not written to", "link", uint64(l.id), "err", err)
			l.kill()
			return
		case closing:
			l.conn.Close()
			return
		case s != nil && s.next < store.Position(l.n.readable.Load()):
			if err := l.ship(s); err != nil {
				level := slog.LevelDebug
				if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) { // it is too far behind, or this journal is damaged
					level = slog.LevelWarn
				}
				l.n.log.Log(context.Background(), level, "a follower is not sent the log any more", "remote", l.conn.RemoteAddr().String(), "pos", s.next, "err", err)
				l.kill()
				return
			}
		default:
			if s != nil && s.pin != nil {
				l.mu.Lock()
				s.pin() // it has caught up
				s.pin = nil
				l.mu.Unlock()
			}
			<-l.wake
		}
	}
}

// encode makes frames of messages. Where a follower's log is to be cut only the journal
// can say what its chain is.
func (l *link) encode(buf []byte, ms []replica.Message) ([]byte, error) {
	for _, m := range ms {
		if w, ok := m.(*replica.Welcome); ok && w.Snapshot == nil {
			feed := l.n.disk.feed.Load()
			if feed == nil {
				return buf, errStopped
			}
			var err error
			if w.Chain, err = feed.Chain(w.TruncateTo); err != nil {
				return buf, err
			}
		}
		var err error
		if buf, err = wire.Append(buf, m, 0); err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// put writes bytes, with a limit for each unit of them.
func (l *link) put(b []byte) error { return putAll(l.conn, b) }

func putAll(c net.Conn, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), writeUnit)
		if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
			return err
		}
		if _, err := c.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// ship sends the next part of the log. What the frame says is known when its body was read, so
// it is put before that.
func (l *link) ship(s *stream) error {
	var room [wire.MaxData]byte
	limit := min(streamBatch, int64(l.n.readable.Load())-int64(s.next))
	var err error
	if s.frame, err = s.feed.Read(append(s.frame[:0], room[:]...), s.next, int(limit)); err != nil {
		return err
	}
	body := len(s.frame) - len(room)
	d := replica.Data{Group: l.n.opt.Group, Epoch: s.Epoch, Session: s.Session, Pos: s.next, End: s.next + store.Position(body)}
	d.Commit = min(store.Position(l.n.told.Load()), d.End)
	head, err := wire.Append(room[:0], &d, body)
	if err != nil {
		return fmt.Errorf("encode %d bytes of the log: %w", body, err)
	}
	frame := s.frame[len(room)-len(head):]
	copy(frame, head)
	if err := l.put(frame); err != nil {
		return err
	}
	s.next = d.End
	if cap(s.frame) > keptBuffer {
		s.frame = nil
	}
	return nil
}

// read gives what arrives to the core.
func (l *link) read() error {
	r := bufio.NewReaderSize(l.conn, 64<<10)
	var buf []byte
	for {
		f, b, err := wire.Read(r, buf)
		buf = b
		if err != nil {
			return err
		}
		m, ok := f.Message.(replica.Message)
		if !ok {
			return fmt.Errorf("%w: %T on a link", wire.ErrFrame, f.Message)
		}
		ev := received{link: l, message: m}
		if d, ok := m.(*replica.Data); ok {
			if ev.body, err = l.readBody(r, d, f.Body); err != nil {
				return err
			}
		}
		l.n.post(ev)
	}
}

// readBody reads the bytes of a Data frame. Large ones take time, on the network or because
// the disk is slow: meanwhile the link is alive.
func (l *link) readBody(r io.Reader, d *replica.Data, size int) (*body, error) {
	alive := received{link: l, message: &replica.Heartbeat{Group: d.Group, Epoch: d.Epoch}}
	b := l.n.budget.take(size, l.n.opt.Timing.Heartbeat, func() { l.n.post(alive) })
	said := time.Now()
	for at := 0; at < size; {
		k := min(size-at, writeUnit)
		if _, err := io.ReadFull(r, b.bytes[at:at+k]); err != nil {
			b.free()
			return nil, err
		}
		if at += k; time.Since(said) > l.n.opt.Timing.Heartbeat {
			said = time.Now()
			l.n.post(alive)
		}
	}
	return b, nil
}

// budget bounds the bytes that arrived and are not written yet.
type budget struct {
	mu   sync.Mutex // guards used
	room chan struct{}
	used int
	pool sync.Pool // of *body
}

// maxArrived is how many bytes of the log may have arrived and not be written; one
// frame may always.
const maxArrived = 32 << 20

func newBudget() *budget { return &budget{room: make(chan struct{}, 1)} }

// body is bytes of the log.
type body struct {
	bytes  []byte
	budget *budget
}

// take waits until there is room for n bytes, and calls alive now and then meanwhile.
func (b *budget) take(n int, every time.Duration, alive func()) *body {
	for !b.tryTake(n) {
		select {
		case <-b.room:
		case <-time.After(every):
			alive()
		}
	}
	x, _ := b.pool.Get().(*body)
	if x == nil {
		x = &body{budget: b}
	}
	if cap(x.bytes) < n {
		x.bytes = make([]byte, n) // n is at most wire.MaxBody
	}
	x.bytes = x.bytes[:n]
	return x
}

func (b *budget) tryTake(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used > 0 && b.used+n > maxArrived {
		return false
	}
	b.used += n
	return true
}

// free gives the bytes back, once. It may be called on nil.
func (x *body) free() {
	if x == nil {
		return
	}
	b := x.budget
	b.mu.Lock()
	b.used -= len(x.bytes)
	b.mu.Unlock()
	signal(b.room)
	if cap(x.bytes) <= keptBuffer {
		b.pool.Put(x)
	}
}
