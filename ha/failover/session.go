package failover

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"
)

// maxBatch is the number of frames the writer takes at once.
const maxBatch = 64

// session is one connection to one broker, from CONNECTED to its end. It has
// two goroutines, reader and writer, which stop when dead is closed; wg waits
// for them.
type session struct {
	c       *Conn
	addr    Address
	nc      net.Conn // TCP, below TLS
	reader  *frameReader
	writer  *frameWriter
	version stomp.Version
	cluster string // CONNECTED x-cluster

	sendEvery  time.Duration // we must write within it, 0 never
	readWithin time.Duration // the broker must write within it, 0 never

	epoch  uint64 // number of the attachment, guarded by Conn.mu, 0 before
	useful bool   // a RECEIPT or MESSAGE came, guarded by Conn.mu

	wake chan struct{} // one token: there may be frames to write
	dead chan struct{} // closed by fail, after err was set
	once sync.Once
	err  error
	wg   sync.WaitGroup
}

// deadlineReader arms the read deadline before each read, so that the
// broker's silence counts only while this side is reading.
type deadlineReader struct {
	net.Conn
	within time.Duration
}

func (r *deadlineReader) Read(p []byte) (int, error) {
	if r.within > 0 {
		if err := r.SetReadDeadline(time.Now().Add(r.within)); err != nil {
			return 0, err
		}
	}
	return r.Conn.Read(p)
}

// connect dials, logs in and starts the goroutines of a session.
func (c *Conn) connect(ctx context.Context, a Address) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, a.ConnectionTimeout)
	defer cancel()
	raw, err := c.opts.DialContext(ctx, "tcp", a.HostPort())
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", a.HostPort(), err)
	}
	s, err := c.login(ctx, raw, a)
	if err != nil {
		_ = raw.Close() // the first error says more
		return nil, fmt.Errorf("connect to %s: %w", a.HostPort(), err)
	}
	s.wg.Go(s.readLoop)
	s.wg.Go(s.writeLoop)
	return s, nil
}

// login runs TLS and the STOMP handshake; ctx bounds both.
func (c *Conn) login(ctx context.Context, raw net.Conn, a Address) (*session, error) {
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	s, err := c.handshake(ctx, raw, a)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		if errors.Is(cause, context.DeadlineExceeded) {
			return nil, fmt.Errorf("no CONNECTED within %v: %w", a.ConnectionTimeout, cause)
		}
		return nil, cause
	}
	if err == nil && !stop() {
		return nil, context.Cause(ctx)
	}
	return s, err
}

func (c *Conn) handshake(ctx context.Context, raw net.Conn, a Address) (*session, error) {
	setSocketOptions(raw, a)
	nc := raw
	if a.TLS {
		secure := tls.Client(raw, c.opts.tlsConfig(a))
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		nc = secure
	}
	if err := writeConnect(nc, c.connectHeaders(a)); err != nil {
		return nil, fmt.Errorf("write CONNECT: %w", err)
	}
	timed := &deadlineReader{Conn: nc}
	s := &session{
		c: c, addr: a, nc: raw,
		reader: newFrameReader(timed, c.opts.MaxMessageSize),
		writer: newFrameWriter(nc),
		wake:   make(chan struct{}, 1),
		dead:   make(chan struct{}),
	}
	f, err := s.readAnswer()
	if err != nil {
		return nil, err
	}
	if err := s.accept(f); err != nil {
		return nil, err
	}
	timed.within = s.readWithin
	return s, nil
}

func setSocketOptions(nc net.Conn, a Address) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	// Both only tune the connection; it works without them.
	_ = tcp.SetNoDelay(a.TCPNoDelay)
	_ = tcp.SetKeepAlive(a.KeepAlive)
}

func (c *Conn) connectHeaders(a Address) []Header {
	host, login, passcode := c.opts.Host, c.opts.Login, c.opts.Passcode
	if host == "" {
		host = a.Host
	}
	if a.Login != "" || a.Passcode != "" {
		login, passcode = a.Login, a.Passcode
	}
	beat := strconv.FormatInt(c.opts.HeartBeat.Milliseconds(), 10)
	headers := []Header{
		H(frame.AcceptVersion, "1.1,1.2"),
		H(frame.Host, host),
		H(frame.HeartBeat, beat+","+beat),
	}
	if login != "" || passcode != "" {
		headers = append(headers, H(frame.Login, login), H(frame.Passcode, passcode))
	}
	if c.opts.ClientID != "" {
		headers = append(headers, H("client-id", c.opts.ClientID))
	}
	return append(headers, c.opts.Headers...)
}

// readAnswer skips ends of line before the broker's first frame.
func (s *session) readAnswer() (*frame.Frame, error) {
	const mostEOLs = 100
	for range mostEOLs {
		f, err := s.reader.read()
		if err != nil {
			return nil, fmt.Errorf("wait for CONNECTED: %w", err)
		}
		if f != nil {
			return f, nil
		}
	}
	return nil, protocolError("only ends of line instead of CONNECTED")
}

// accept takes what CONNECTED settles: version and heart-beats.
func (s *session) accept(f *frame.Frame) error {
	switch f.Command {
	case frame.CONNECTED:
	case frame.ERROR:
		return newServerError(f)
	default:
		return protocolError("%q instead of CONNECTED; is this a STOMP port?", shorten(f.Command))
	}
	s.version = stomp.Version(f.Header.Get(frame.Version))
	if s.version != stomp.V11 && s.version != stomp.V12 {
		return protocolError("version %q in CONNECTED, this client speaks 1.1 and 1.2", shorten(f.Header.Get(frame.Version)))
	}
	s.cluster = f.Header.Get("x-cluster")
	text, ok := f.Header.Contains(frame.HeartBeat)
	if !ok {
		return nil
	}
	theirs, wanted, err := frame.ParseHeartBeat(text)
	if err != nil {
		return protocolError("heart-beat %q in CONNECTED", shorten(text))
	}
	ours := s.c.opts.HeartBeat
	if ours > 0 && wanted > 0 {
		s.sendEvery = max(ours, wanted)
	}
	if ours > 0 && theirs > 0 {
		s.readWithin = 2 * max(ours, theirs)
	}
	return nil
}

// fail ends the session for the reason given; later reasons are dropped.
func (s *session) fail(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.dead)
		_ = s.nc.Close() // both loops end on it; nothing to say to a lost peer
		s.c.sessionEnded()
	})
}

// end fails the session and waits for its goroutines.
func (s *session) end(err error) {
	s.fail(err)
	s.wg.Wait()
}

func (s *session) alive() bool {
	select {
	case <-s.dead:
		return false
	default:
		return true
	}
}

// poke tells the writer to look for frames.
func (s *session) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // a token is there already
	}
}

func (s *session) readLoop() {
	for s.c.mayRead(s) {
		f, err := s.reader.read()
		if err == nil && f != nil {
			err = s.c.handle(s, f)
		}
		if err != nil {
			s.fail(s.readError(err))
			return
		}
	}
}

func (s *session) readError(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w for %v", ErrHeartBeat, s.readWithin)
	case errors.Is(err, io.EOF):
		return errors.New("the broker closed the connection")
	}
	return err
}

func (s *session) writeLoop() {
	beat, stop := s.beats()
	defer stop()
	for {
		wrote, err := s.writePending()
		if err != nil {
			s.fail(fmt.Errorf("write: %w", err))
			return
		}
		if wrote {
			beat.Reset(s.beatInterval())
		}
		select {
		case <-s.wake:
		case <-beat.C:
			if err := s.writeBeat(); err != nil {
				s.fail(fmt.Errorf("write heart-beat: %w", err))
				return
			}
			beat.Reset(s.beatInterval())
		case <-s.dead:
			return
		}
	}
}

// beatInterval leaves a margin of a fifth, so that a beat is not late at the
// broker.
func (s *session) beatInterval() time.Duration {
	const never = 1 << 62
	if s.sendEvery == 0 {
		return never
	}
	return s.sendEvery * 4 / 5
}

func (s *session) beats() (*time.Timer, func() bool) {
	t := time.NewTimer(s.beatInterval())
	return t, t.Stop
}

func (s *session) writeBeat() error {
	if err := s.writer.write(nil); err != nil {
		return err
	}
	return s.writer.flush()
}

// writePending writes what the outbox has and flushes when it has no more.
func (s *session) writePending() (wrote bool, err error) {
	var batch [maxBatch]*frame.Frame
	for s.alive() {
		frames := s.c.takeFrames(s, batch[:0])
		if len(frames) == 0 {
			break
		}
		for _, f := range frames {
			if err := s.writer.write(f); err != nil {
				return wrote, err
			}
		}
		wrote = true
	}
	if !wrote {
		return false, nil
	}
	return true, s.writer.flush()
}
