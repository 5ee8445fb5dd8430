package load

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// stream is what one producer sends to one destination.
type stream struct {
	id        uint32
	dest      int
	head      []byte // SEND up to the receipt header
	next      uint64
	confirmed bitset // belongs to the producer's reader until it has ended
}

// producer is one sending connection: run writes, a second goroutine reads the receipts.
type producer struct {
	cfg     *Config
	run     uint32
	conn    *conn
	streams []*stream
	quota   int64   // messages, 0 without limit
	none    bool    // there are fewer messages than producers: send nothing
	rate    float64 // per second, 0 without limit
	offset  time.Duration
	filler  []byte // what every body ends with, and its NUL

	sent      atomic.Int64
	confirmed atomic.Int64
	room      chan struct{} // told by the reader that confirmed has risen
	failed    chan error    // told by the reader that it ended; closed after that
	latency   histogram
}

func newProducer(cfg *Config, run uint32, c *conn, streams []*stream) *producer {
	p := &producer{
		cfg: cfg, run: run, conn: c, streams: streams,
		filler: make([]byte, cfg.Size-stampSize+1),
		room:   make(chan struct{}, 1), failed: make(chan error, 1),
		latency: newHistogram(),
	}
	for i := range p.filler[1:] {
		p.filler[i] = 'x'
	}
	for _, s := range streams {
		s.head = sendHead(cfg, s.dest)
	}
	return p
}

func sendHead(cfg *Config, dest int) []byte {
	var c conn
	c.command("SEND").header("destination", cfg.destination(dest)).
		raw("content-length", strconv.Itoa(cfg.Size)).raw("persistent", strconv.FormatBool(cfg.Persistent))
	for _, h := range cfg.Headers {
		c.header(h.Name, h.Value)
	}
	return c.out
}

// produce sends until its quota is used or stop ends, and returns when all that was sent
// is confirmed. When give up ends it returns at once.
func (p *producer) produce(stop, giveUp context.Context) error {
	defer p.conn.Close()
	unwatch := context.AfterFunc(giveUp, func() { p.conn.Close() })
	defer unwatch()
	reading := p.cfg.Window > 0
	if reading {
		go p.read()
	} else {
		close(p.failed)
	}
	err := p.write(stop)
	if err == nil {
		err = p.finish()
	}
	if !reading {
		return err
	}
	if err != nil {
		p.conn.Close()
	}
	if readErr := <-p.failed; err == nil || readErr != nil && !errors.Is(readErr, errEnded) {
		err = readErr // what the broker said explains why writing failed
	}
	if errors.Is(err, errEnded) {
		err = nil
	}
	return err
}

// errEnded is how the reader of receipts ends when all is well.
var errEnded = errors.New("ended")

func (p *producer) write(stop context.Context) error {
	begin := time.Now()
	for n := int64(0); !p.none && (p.quota == 0 || n < p.quota); n++ {
		at := time.Now()
		if p.rate > 0 {
			due := begin.Add(p.offset + time.Duration(float64(n)/p.rate*float64(time.Second)))
			if err := p.pause(stop, due); err != nil {
				return err
			}
			at = due // a late message counts from when it was due
		}
		if err := p.awaitRoom(stop); err != nil {
			return err
		}
		if stop.Err() != nil {
			return nil
		}
		p.append(p.streams[n%int64(len(p.streams))], at)
		p.sent.Add(1)
		if err := p.fill(); err != nil {
			return err
		}
	}
	return nil
}

// fill ends the frame that was begun last, and writes when much is gathered. A large body is written from where it is.
func (p *producer) fill() error {
	if len(p.filler) >= flushSize {
		return p.conn.flush(p.filler)
	}
	p.conn.out = append(p.conn.out, p.filler...)
	if len(p.conn.out) < flushSize {
		return nil
	}
	return p.conn.flush()
}

// append begins a frame: all but the filler.
func (p *producer) append(s *stream, at time.Time) {
	st := stamp{run: p.run, stream: s.id, seq: s.next, at: at.UnixNano()}
	s.next++
	b := append(p.conn.out, s.head...)
	if p.cfg.Window > 0 {
		b = append(b, "receipt:"...)
		b = st.appendID(b)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	p.conn.out = st.append(b)
}

// pause waits until due.
func (p *producer) pause(stop context.Context, due time.Time) error {
	wait := time.Until(due)
	if wait <= 0 {
		return nil
	}
	if err := p.conn.flush(); err != nil {
		return err
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-stop.Done():
	}
	return nil
}

// awaitRoom waits until the window is open.
func (p *producer) awaitRoom(stop context.Context) error {
	for p.cfg.Window > 0 && p.sent.Load()-p.confirmed.Load() >= int64(p.cfg.Window) {
		if err := p.conn.flush(); err != nil {
			return err
		}
		select {
		case <-p.room:
		case <-stop.Done():
			return nil
		case err := <-p.failed:
			p.failed <- err
			return err
		}
	}
	return nil
}

// finish brings out what is gathered and asks for a last receipt, which comes when all
// before it is done.
func (p *producer) finish() error {
	p.conn.out = append(p.conn.out, goodbye...)
	if err := p.conn.flush(); err != nil {
		return err
	}
	if p.cfg.Window > 0 {
		return nil // the reader sees it
	}
	p.conn.SetReadDeadline(time.Now().Add(goodbyeTimeout))
	var f inFrame
	for {
		if err := p.conn.read(&f); err != nil {
			return err
		}
		if f.command == "RECEIPT" {
			break
		}
	}
	for _, s := range p.streams {
		for seq := range s.next {
			s.confirmed.add(seq)
		}
	}
	p.confirmed.Store(p.sent.Load())
	return nil
}

// read takes the receipts until that of the goodbye.
func (p *producer) read() {
	byID := map[uint32]*stream{}
	for _, s := range p.streams {
		byID[s.id] = s
	}
	p.failed <- p.receipts(byID)
}

func (p *producer) receipts(byID map[uint32]*stream) error {
	var f inFrame
	for {
		if err := p.conn.read(&f); err != nil {
			return err
		}
		if f.command != "RECEIPT" {
			return fmt.Errorf("the broker sent %s to a producer", f.command)
		}
		if string(f.receipt) == "bye" {
			return errEnded
		}
		s, ok := parseID(f.receipt)
		if !ok || byID[s.stream] == nil || !byID[s.stream].confirmed.add(s.seq) {
			return fmt.Errorf("the broker sent a receipt that was not asked for: %q", f.receipt)
		}
		p.latency.record(time.Now().UnixNano() - s.at)
		p.confirmed.Add(1)
		select {
		case p.room <- struct{}{}:
		default: // it has been told already
		}
	}
}
