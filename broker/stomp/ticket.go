package stomp

import (
	"bytes"
	"sync"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// ticket is one burst of frames on its way through the broker, and the receipts that wait for it.
type ticket struct {
	s        *session
	work     *broker.Work
	complete func(error) // given to Work.Flush; made once

	ops      int    // frames gathered
	bytes    int    // of their messages
	receipts []byte // RECEIPT frames, in order
	once     []onceReceipt
	own      int // bytes of receipts for the burst itself; later ones belong to frames carried out since

	// Guarded by output.mu.
	done   bool
	err    error
	starts []*broker.Subscription // whose RECEIPT is among receipts
}

// gather returns the ticket of the burst being read.
func (s *session) gather() *ticket {
	if s.burst == nil {
		s.burst = newTicket(s)
	}
	s.burst.ops++
	return s.burst
}

// full reports whether the burst being read is large enough to be flushed.
func (s *session) full() bool {
	return s.burst != nil && (s.burst.ops >= maxBurstOps || s.burst.work.Size() >= maxBurstBytes)
}

// flush gives the burst to the broker, when it has room for it.
func (s *session) flush() {
	if s.burst != nil {
		s.hold()
		s.submit()
	}
}

// submit gives the burst to the broker.
func (s *session) submit() {
	t := s.burst
	if t == nil {
		return
	}
	s.burst = nil
	t.bytes, t.own = t.work.Size(), len(t.receipts)
	s.out.add(t)
	if t.work.Empty() {
		t.complete(nil)
		return
	}
	t.work.Flush(t.complete)
}

// tickets are those of no connection. One that is quiet keeps none, and the next burst of another finds one that has
// room already.
var tickets sync.Pool

func newTicket(s *session) *ticket {
	if t, ok := tickets.Get().(*ticket); ok {
		t.s = s
		s.conn.Take(t.work)
		return t
	}
	t := &ticket{s: s, work: s.conn.NewWork()}
	t.complete = func(err error) { t.s.out.completed(t, err) }
	return t
}

// recycle keeps t for another burst, of any session: nobody else has it any more.
func (t *ticket) recycle() {
	if cap(t.receipts) > maxKeptControl {
		return
	}
	clear(t.starts)
	clear(t.once)
	*t = ticket{work: t.work, complete: t.complete, receipts: t.receipts[:0], starts: t.starts[:0], once: t.once[:0]}
	t.work.Leave()
	tickets.Put(t)
}

// add opens t.
func (o *output) add(t *ticket) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = append(o.open, t)
	o.openBytes += t.bytes
}

// completed is called when the broker is done with t, mostly on the store's commit goroutine.
func (o *output) completed(t *ticket, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t.done, t.err = true, err
	n := 0
	for n < len(o.open) && o.open[n].done {
		o.openBytes -= o.open[n].bytes
		o.settle(o.open[n])
		n++
	}
	if n == 0 {
		return
	}
	m := copy(o.open, o.open[n:])
	clear(o.open[m:])
	o.open = o.open[:m]
	o.cond.Broadcast()
}

// settle sends off what waited for t, the oldest open ticket. o.mu is held.
func (o *output) settle(t *ticket) {
	if t.err != nil {
		o.fail(t.err, t.receipts[:t.own])
		t.receipts = t.receipts[t.own:]
	}
	if t.err == nil && len(t.once) > 0 {
		t.receipts = t.tellRepeats()
	}
	if o.failed == nil && len(t.receipts)+len(t.starts) > 0 {
		o.control = append(o.control, t.receipts...)
		o.starts = append(o.starts, t.starts...)
		o.startWriter()
	}
	if t.err == nil {
		t.recycle()
	}
}

// fail tells the client that frames with these receipts were not carried out: softly, or by ending the session. o.mu
// is held.
func (o *output) fail(err error, receipts []byte) {
	if o.failed != nil {
		return
	}
	f := toFault(err)
	if !o.session.soft || f.fatal {
		line, _ := nextReceipt(receipts)
		o.failed = &ending{fault: f, receipt: bytes.Clone(line)}
		o.session.interrupt()
		return
	}
	line, rest := nextReceipt(receipts)
	o.softError(f, line)
	for len(rest) > 0 {
		line, rest = nextReceipt(rest)
		o.softError(f, line)
	}
}

// softError queues an ERROR frame after which the connection goes on. o.mu is held.
func (o *output) softError(f *fault, receipt []byte) {
	o.control = appendError(o.control, o.session.version, f, receipt, true)
	if len(o.notes) < maxKeptNotes {
		o.notes = append(o.notes, f)
	}
	o.startWriter()
}

const receiptHead = "RECEIPT\n"

// appendReceipt appends a RECEIPT frame for the header receipt of a client's frame.
func appendReceipt(dst []byte, v frame.Version, id []byte) []byte {
	var line [128]byte
	return appendReceiptLine(dst, frame.AppendHeader(line[:0], v, "receipt-id", id))
}

// appendReceiptLine appends a RECEIPT frame with a header line. Nothing else writes one. STOMP 1.2, RECEIPT.
func appendReceiptLine(dst, line []byte) []byte {
	dst = append(dst, receiptHead...)
	dst = append(dst, line...)
	return append(append(dst, '\n'), frameEnd...)
}

// nextReceipt takes the first of some RECEIPT frames and returns its header line.
func nextReceipt(receipts []byte) (line, rest []byte) {
	one, rest, found := bytes.Cut(receipts, []byte(frameEnd))
	if !found {
		return nil, nil
	}
	return one[len(receiptHead) : len(one)-1], rest
}

// receipt queues the RECEIPT of a frame that was carried out at once, behind the tickets that are open, with more header
// lines. start, if not
// nil, begins when the receipt is on its way.
func (o *output) receipt(v frame.Version, id, more []byte, start *broker.Subscription) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.open); n > 0 {
		t := o.open[n-1]
		t.receipts = appendReceiptWith(t.receipts, v, id, more)
		if start != nil {
			t.starts = append(t.starts, start)
		}
		return
	}
	o.control = appendReceiptWith(o.control, v, id, more)
	if start != nil {
		o.starts = append(o.starts, start)
	}
	o.startWriter()
}

// refuse queues a soft ERROR behind the tickets that are open.
func (o *output) refuse(f *fault, receipt []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.open); n > 0 {
		t := o.open[n-1]
		t.receipts = appendError(t.receipts, o.session.version, f, receipt, true)
		return
	}
	o.control = appendError(o.control, o.session.version, f, receipt, true)
	o.startWriter()
}
