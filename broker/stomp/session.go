package stomp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// session is one connection: the reader's goroutine runs serve from beginning to end.
type session struct {
	srv      *Server
	listener ListenerOptions
	nc       net.Conn // what is spoken over: the socket, TLS on it, WebSocket on either
	raw      net.Conn // the socket
	ws       *wsConn  // nil without WebSocket, else the same as nc
	pre      []byte   // what sniffing read
	remote   netip.AddrPort
	tls      bool
	certUser string // from a verified client certificate
	user     string // after login
	counted  string // for whom the connection counts, after login: Server.byUser
	producer string // x-producer-id of CONNECT

	// The reader's own.
	frames      *frame.Reader
	frame       frame.Frame
	conn        *broker.Conn // nil before login
	burst       *ticket      // what has been gathered since the last flush
	byID        map[string]*subscription
	subBytes    int                             // of the headers of all subscriptions
	dests       map[string][]broker.Destination // SEND headers seen lately
	builder     broker.Builder
	deadline    time.Time     // for the whole login; zero afterwards
	readTimeout time.Duration // between two bytes; 0 for no limit
	readAt      int64         // when the last bytes came, in ms since 1970: the timestamp of what is in them; 0 = to be asked
	warned      bool          // of an expires header that looks like a time to live

	// Set by the reader before the writer's first use, never changed after.
	version frame.Version
	number  uint64 // conn of an ackID
	soft    bool   // errors do not end the connection

	subs        atomic.Pointer[[]*subscription] // by serial, rising; the reader replaces it, the writer reads it
	aliases     aliases
	out         output
	beat        beatEntry
	lastWrite   atomic.Int64 // Server.clock of the last write
	interrupted atomic.Bool  // the reader must stop reading
	killed      atomic.Pointer[ending]
	done        chan struct{} // closed when the session must end
	doneOnce    atomic.Bool
}

// ending is why a session ends, and what the client is told.
type ending struct {
	fault   *fault // ERROR is sent; nil for none
	receipt []byte // header line receipt-id for the last frame, or nil
	quiet   bool   // the client went away by itself: nothing is sent
	bye     bool   // DISCONNECT
	err     error  // for the log
}

func newSession(srv *Server, listener ListenerOptions, nc net.Conn) *session {
	s := &session{srv: srv, listener: listener, nc: nc, raw: nc, done: make(chan struct{})}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		s.remote = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	s.aliases.reply = listener.Dialect == DialectRabbitMQ
	s.out.init(s)
	return s
}

// serve is the session's whole life.
func (s *session) serve() {
	s.deadline = time.Now().Add(s.srv.opts.ConnectTimeout)
	if s.listener.ProxyProtocol && !s.proxied() || !s.sniff() {
		return
	}
	s.frames = frame.NewReader(s, frame.ReaderOptions{
		Limits: frame.LoginLimits(), Budget: s.srv.budget, OnEvict: s.interrupt, Spare: broker.HeadRoom, Done: s.done,
	})
	defer s.frames.Close()
	why := s.connect()
	if why == nil {
		why = s.loop()
	}
	s.end(why)
}

// log is the logger with what names the session. It is made when it is needed: idle sessions are many.
func (s *session) log() *slog.Logger {
	l := s.srv.log.With("conn", s.raw.RemoteAddr().String())
	if s.number != 0 {
		l = l.With("sess", s.number&(1<<24-1))
	}
	if s.user != "" {
		l = l.With("user", s.user)
	}
	return l
}

// debug logs what is of interest only to who looks for a fault.
func (s *session) debug(msg string, args ...any) {
	if s.srv.log.Enabled(context.Background(), slog.LevelDebug) {
		s.log().Debug(msg, args...)
	}
}

// loop reads and carries out frames until the session ends.
func (s *session) loop() *ending {
	for {
		if err := s.frames.Read(&s.frame); err != nil {
			return s.readEnded(err)
		}
		if s.interrupted.Load() && s.over() {
			return s.readEnded(os.ErrDeadlineExceeded)
		}
		if why := s.handle(&s.frame); why != nil {
			return why
		}
		if s.full() || !s.frames.Buffered() {
			if s.frame.Memory != nil {
				s.frames.Release() // the message has it; what comes next may take long
			}
			s.hold()
			s.submit()
		}
	}
}

// over reports whether the session must end although there is more to read.
func (s *session) over() bool { return s.killed.Load() != nil || s.out.whyFailed() != nil }

// hold waits while too much of what the client sent is on its way. Nothing is read meanwhile, and the client's
// heart-beats are not missed.
func (s *session) hold() {
	s.out.room(s.srv.opts.OutboundLimit)
	if s.out.hasParked() {
		s.out.unpark(s.conn)
	}
}

// Read is the io.Reader of the frame reader. Each call gives the client new time.
func (s *session) Read(p []byte) (int, error) {
	if len(s.pre) > 0 {
		n := copy(p, s.pre)
		s.pre = s.pre[n:]
		return n, nil
	}
	s.armRead()
	s.readAt = 0
	if s.interrupted.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	return s.nc.Read(p)
}

// armRead sets the deadline of the next read. A socket that cannot take one fails the read itself.
func (s *session) armRead() {
	switch {
	case !s.deadline.IsZero():
		_ = s.raw.SetReadDeadline(s.deadline)
	case s.readTimeout > 0:
		_ = s.raw.SetReadDeadline(time.Now().Add(s.readTimeout))
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// interrupt wakes the reader for good. It never blocks.
func (s *session) interrupt() {
	s.interrupted.Store(true)
	_ = s.raw.SetReadDeadline(longAgo) // a closed socket wakes the reader by itself
}

// Kill is broker.Sink: the session is to tell the client why, and to end.
func (s *session) Kill(err error) {
	f := toFault(err)
	f.fatal = true
	if !s.killed.CompareAndSwap(nil, &ending{fault: f, err: err}) {
		return
	}
	s.interrupt()
	if s.doneOnce.CompareAndSwap(false, true) {
		close(s.done)
	}
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	s.out.killed = true
	s.out.cond.Broadcast()
}

// wrote notes that the client has just been sent something.
func (s *session) wrote() { s.lastWrite.Store(s.srv.clock()) }

// readEnded says why nothing more can be read.
func (s *session) readEnded(err error) *ending {
	if why := s.out.whyFailed(); why != nil {
		return why
	}
	if why := s.killed.Load(); why != nil {
		return why
	}
	var codec *frame.Error
	switch {
	case s.out.brokenBy() != nil:
		return &ending{quiet: true}
	case errors.As(err, &codec):
		return &ending{fault: toFault(err), receipt: s.receiptLine(&s.frame)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &ending{fault: s.tooSlow()}
	case errors.Is(err, io.EOF):
		return &ending{quiet: true}
	}
	return &ending{quiet: true, err: err}
}

func (s *session) tooSlow() *fault {
	if s.conn == nil {
		return protocolFault(codeTimeout, "no CONNECT in time", "CONNECT must come within %v", s.srv.opts.ConnectTimeout)
	}
	return protocolFault(codeTimeout, "no heart-beat", "nothing came for %v, more than the heart-beat agreed on", s.readTimeout)
}

// handle carries out one frame. It returns why the session ends, if it does.
func (s *session) handle(f *frame.Frame) *ending {
	var err error
	switch f.Command {
	case frame.SEND:
		err = s.handleSend(f)
	case frame.ACK:
		err = s.handleAck(f, broker.Ack{Kind: broker.AckAccept})
	case frame.NACK:
		err = s.handleNack(f)
	case frame.DISCONNECT:
		return &ending{bye: true, receipt: s.receiptLine(f)}
	default:
		s.flush()
		if err = s.handleOther(f); err == nil {
			return nil
		}
	}
	if err == nil {
		return nil
	}
	return s.refuse(f, err)
}

// handleOther carries out a frame that is not gathered into a burst.
func (s *session) handleOther(f *frame.Frame) error {
	switch f.Command {
	case frame.SUBSCRIBE:
		return s.handleSubscribe(f)
	case frame.UNSUBSCRIBE:
		return s.handleUnsubscribe(f)
	case frame.BEGIN:
		return s.handleBegin(f)
	case frame.COMMIT:
		return s.handleCommit(f)
	case frame.ABORT:
		return s.handleAbort(f)
	case frame.CONNECT, frame.STOMP:
		return protocolFault(codeProtocol, "already connected", "%s came a second time on this connection", f.Command)
	}
	return protocolFault(codeProtocol, "not a client's frame", "%s is for a server to send", f.Command)
}

// refuse tells the client that a frame was not carried out. It returns why the session ends, unless errors are soft.
func (s *session) refuse(f *frame.Frame, err error) *ending {
	bad := toFault(err)
	line := s.receiptLine(f)
	if bad.fatal || !s.soft {
		return &ending{fault: bad, receipt: line, err: err}
	}
	s.failTx(f, bad)
	s.flush()
	s.out.refuse(bad, line)
	s.log().Warn("error sent", "code", bad.code, "command", f.Command.String(), "err", bad.Error())
	return nil
}

// receiptLine is the header line receipt-id that answers a frame, or nil if it asks for no receipt.
func (s *session) receiptLine(f *frame.Frame) []byte {
	id, ok := f.Get("receipt")
	if !ok || len(id) > maxReceiptID {
		return nil
	}
	return frame.AppendHeader(nil, s.version, "receipt-id", id)
}

// receipt answers a frame that was carried out at once, if it asks for that.
func (s *session) receipt(f *frame.Frame) error {
	id, ok, err := receiptOf(f)
	if ok && err == nil {
		s.out.receipt(s.version, id, nil, nil)
	}
	return err
}

// receiptOf returns the header receipt.
func receiptOf(f *frame.Frame) (id []byte, ok bool, err error) {
	id, ok = f.Get("receipt")
	if len(id) > maxReceiptID {
		return nil, false, longReceipt(len(id))
	}
	return id, ok, nil
}

func longReceipt(n int) error {
	return requestFault(broker.CodeLimit, "receipt too long", "the header receipt has %d bytes, more than %d", n, maxReceiptID)
}
