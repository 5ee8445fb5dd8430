package stomp

import (
	"errors"
	"net"
	"sync"
	"time"

	"treadmq/broker"
)

// output is a connection's way to its client: what waits to be written, and the writer's life. While there is nothing
// to write there is no writer.
type output struct {
	session *session

	mu   sync.Mutex // guards what follows; nothing of the broker is called under it
	cond sync.Cond  // on mu: something that a wait below looks at has changed

	conn      *broker.Conn           // nil before login
	open      []*ticket              // flushed bursts, oldest first
	openBytes int                    // of their messages
	parked    int                    // SENDs that wait for room in a full destination
	control   []byte                 // frames to write before any delivery
	starts    []*broker.Subscription // to start when control has been taken
	notes     []*fault               // soft errors to log
	failed    *ending                // the first burst that failed; no receipt follows
	beat      bool                   // a heart-beat is due

	writing bool   // a writer runs
	rounds  uint64 // rounds it has begun to look for; each ends the one before
	again   bool   // it has to look once more
	wakes   uint64 // calls of Wake so far
	closing bool   // no more deliveries are taken
	closed  bool   // no writer is started any more
	killed  bool   // the session must end
	err     error  // of the write that failed
}

func (o *output) init(s *session) {
	o.session = s
	o.cond.L = &o.mu
}

// startWriter makes sure that a writer looks at the output after now. o.mu is held.
func (o *output) startWriter() {
	o.again = true
	if o.writing || o.closed || o.err != nil {
		return
	}
	o.writing = true
	go o.session.write()
}

// Wake is broker.Sink: output is waiting, or parked sends went through.
func (s *session) Wake() {
	o := &s.out
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wakes++
	o.startWriter()
	o.cond.Broadcast()
}

// heartBeat asks for an EOL unless something else is written anyway.
func (o *output) heartBeat() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.writing && !o.closing {
		o.beat = true
		o.startWriter()
	}
}

// logIn lets deliveries flow after first, the CONNECTED frame.
func (o *output) logIn(c *broker.Conn, first []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conn = c
	o.control = append(o.control, first...)
	o.startWriter()
}

// parkedMore counts SENDs that wait for room.
func (o *output) parkedMore(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.parked += n
	o.cond.Broadcast()
}

// round is what one round of the writer begins with.
type round struct {
	conn    *broker.Conn // nil: take no deliveries
	beat    bool
	started []*broker.Subscription
	notes   []*fault
}

// take moves the control bytes to w and reports whether the writer has a round to do; if not, it is over.
func (o *output) take(w *writer) (r round, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rounds++
	if !o.again || o.err != nil {
		o.writing = false
		o.cond.Broadcast()
		return round{}, false
	}
	w.buf = append(w.buf, o.control...)
	if cap(o.control) > maxKeptControl {
		o.control = nil
	}
	r = round{beat: o.beat, started: append(w.starts[:0], o.starts...), notes: o.notes}
	if !o.closing {
		r.conn = o.conn
	}
	clear(o.starts)
	o.again, o.beat, o.control, o.starts, o.notes = false, false, o.control[:0], o.starts[:0], nil
	o.cond.Broadcast()
	return r, true
}

// whyFailed returns the burst that failed and ends the session, if one did.
func (o *output) whyFailed() *ending {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// brokenBy returns the error of the write that failed, if one did.
func (o *output) brokenBy() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// hasParked reports whether SENDs wait for room.
func (o *output) hasParked() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.parked > 0
}

// broken notes that the client cannot be written to.
func (o *output) broken(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
		o.session.interrupt()
	}
}

// room waits until the session may read on: not too much is open, and the client reads its receipts.
func (o *output) room(limit int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for (len(o.open) >= maxOpenTickets || o.openBytes >= maxTicketBytes || len(o.control) > limit) && !o.over() {
		o.cond.Wait()
	}
}

// drained waits until the bursts that were flushed are done.
func (o *output) drained() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.open) > 0 && !o.over() {
		o.cond.Wait()
	}
}

// over reports whether waiting has become pointless. o.mu is held.
func (o *output) over() bool { return o.err != nil || o.failed != nil || o.killed }

// delivered waits until the deliveries that the writer holds at present are written and known to be so.
func (o *output) delivered() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for round := o.rounds; o.writing && o.rounds == round && o.err == nil; {
		o.cond.Wait()
	}
}

// unpark waits until few enough bytes of the connection's SENDs wait for room.
func (o *output) unpark(c *broker.Conn) {
	for {
		o.mu.Lock()
		wakes := o.wakes
		o.mu.Unlock()
		if c.Parked() <= maxParked {
			return
		}
		o.mu.Lock()
		for o.wakes == wakes && !o.over() {
			o.cond.Wait()
		}
		over := o.over()
		o.mu.Unlock()
		if over {
			return
		}
	}
}

// finish takes no more deliveries and waits until the writer rests and all tickets are done, and with parked also the
// SENDs that wait for room; but no longer than until stop is closed. It returns the burst that failed, if one did.
func (o *output) finish(parked bool, expired *bool) *ending {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closing = true
	for !*expired && o.err == nil && (o.writing || len(o.open) > 0 || parked && o.parked > 0 && !o.over()) {
		o.cond.Wait()
	}
	return o.failed
}

// last queues the last frame and waits until the writer has written everything or cannot. No writer runs afterwards
// unless expired cut the wait short.
func (o *output) last(b []byte, expired *bool) (clean bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(b) > 0 {
		o.control = append(o.control, b...)
		o.startWriter()
	}
	for !*expired && o.err == nil && o.writing {
		o.cond.Wait()
	}
	o.closed = true
	return o.err == nil && !o.writing
}

// rest waits until no writer runs. The socket is closed, so none lasts.
func (o *output) rest() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for o.writing {
		o.cond.Wait()
	}
}

// writer is what a running writer needs; pooled.
type writer struct {
	buf    []byte
	cuts   []cutIn // large bodies
	large  int     // bytes of them
	ds     []broker.Delivery
	starts []*broker.Subscription
	vec    [2][]byte
	sub    *subscription // the last one looked up
}

// cutIn is a body that belongs into the buffer at an offset, followed by a NUL that is already there.
type cutIn struct {
	at   int
	body []byte
}

var writers = sync.Pool{New: func() any { return &writer{buf: make([]byte, 0, outputBufferSize)} }}

func (w *writer) release() {
	clear(w.ds)
	clear(w.cuts)
	clear(w.starts)
	w.ds, w.cuts, w.starts, w.sub, w.buf, w.large = w.ds[:0], w.cuts[:0], w.starts[:0], nil, w.buf[:0], 0
	if cap(w.ds) > maxKeptDelivers {
		w.ds = nil
	}
	if cap(w.buf) <= maxPooledBuffer {
		writers.Put(w)
	}
}

// write is the writer: it lives while there is something to write.
func (s *session) write() {
	w := writers.Get().(*writer)
	defer w.release()
	for {
		r, ok := s.out.take(w)
		if !ok {
			return
		}
		if err := s.writeRound(w, r); err != nil {
			s.out.broken(err)
		}
	}
}

// writeRound writes what is waiting: control bytes, then deliveries.
func (s *session) writeRound(w *writer, r round) error {
	for i, sub := range r.started {
		sub.Start()
		r.started[i] = nil
	}
	w.starts = r.started[:0]
	for _, f := range r.notes {
		s.log().Warn("error sent", "code", f.code, "err", f.Error())
	}
	if s.ws != nil {
		if err := s.sendControl(w); err != nil {
			return err
		}
	}
	w.ds = w.ds[:0]
	if r.conn != nil {
		w.ds = r.conn.Output(w.ds)
	}
	if r.beat && len(w.buf) == 0 && len(w.ds) == 0 {
		w.buf = append(w.buf, '\n')
	}
	written := 0
	for i := range w.ds {
		s.appendDelivery(w, &w.ds[i])
		if len(w.buf)+w.large < writeChunk && s.ws == nil {
			continue
		}
		if err := s.send(w); err != nil {
			return err
		}
		r.conn.Written(w.ds[written : i+1])
		written = i + 1
	}
	if err := s.send(w); err != nil {
		return err
	}
	if written < len(w.ds) {
		r.conn.Written(w.ds[written:])
	}
	clear(w.ds)
	return nil
}

// heldPoll is how often a writer that holds messages back looks again.
const heldPoll = 10 * time.Millisecond

var errNotCurrent = errors.New("messages were held back, because another broker may have them, when the connection ended")

// awaitCurrent holds messages back while another broker may have been elected to deliver them.
func (s *session) awaitCurrent() error {
	current := s.srv.opts.Current
	for current != nil && !current() {
		if s.out.ending() {
			return errNotCurrent
		}
		time.Sleep(heldPoll)
	}
	return nil
}

// ending reports whether no more deliveries are taken.
func (o *output) ending() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closing || o.closed || o.over()
}

// send writes the buffer and the large bodies that belong into it, and empties both.
func (s *session) send(w *writer) error {
	if len(w.ds) > 0 {
		if err := s.awaitCurrent(); err != nil {
			return err
		}
	}
	if s.ws != nil {
		return s.sendMessage(w)
	}
	pos := 0
	for i := range w.cuts {
		c := &w.cuts[i]
		if err := s.sendLarge(w, w.buf[pos:c.at], c.body); err != nil {
			return err
		}
		pos = c.at
		c.body = nil
	}
	for pos < len(w.buf) {
		n := min(len(w.buf)-pos, writeChunk)
		s.armWrite()
		if _, err := s.nc.Write(w.buf[pos : pos+n]); err != nil {
			return err
		}
		pos += n
	}
	w.buf, w.cuts, w.large = w.buf[:0], w.cuts[:0], 0
	s.wrote()
	return nil
}

// sendLarge writes a head and a body without copying the body, in pieces that must each make it in time.
func (s *session) sendLarge(w *writer, head, body []byte) error {
	for len(head)+len(body) > 0 {
		n := min(len(body), writeChunk)
		w.vec = [2][]byte{head, body[:n]}
		pieces := net.Buffers(w.vec[:])
		s.armWrite()
		if _, err := pieces.WriteTo(s.nc); err != nil {
			return err
		}
		head, body = nil, body[n:]
	}
	return nil
}

// armWrite gives the next write its time. A socket that cannot take a deadline is closed and fails the write itself.
func (s *session) armWrite() { _ = s.nc.SetWriteDeadline(time.Now().Add(s.srv.opts.WriteTimeout)) }
