package stomp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// maxHandshake bounds the HTTP request that asks for a WebSocket, in bytes.
const maxHandshake = 16 << 10

// wsConn is a WebSocket as a session sees it. In: bytes, in whatever messages they come; a frame may span messages, and
// a message may hold several frames. Out: one message for each frame, of the kind that the client sends itself.
type wsConn struct {
	net.Conn // what is under it, the socket or TLS on it
	ws       *websocket.Conn
	socket   *wsSocket
	compress bool
	message  io.Reader   // the message being read, nil between two; the reader's own
	binary   atomic.Bool // the client's last message was binary
}

// wsSocket is the connection that the library has: any byte that comes, of a ping too, is a sign of life, every write
// has its time, and the socket is the session's to close.
type wsSocket struct {
	net.Conn
	s     *session
	ended atomic.Bool // nothing more is to be read
}

func (c *wsSocket) Read(p []byte) (int, error) {
	if c.ended.Load() {
		return 0, io.EOF
	}
	c.s.armRead()
	if c.s.interrupted.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	return c.Conn.Read(p)
}

func (c *wsSocket) Write(p []byte) (int, error) {
	c.s.armWrite()
	return c.Conn.Write(p)
}

// Close does nothing: what the client is told last must still reach it.
func (c *wsSocket) Close() error { return nil }

// upgrade answers the HTTP request that the connection began with. It reports false when no WebSocket came of it; the
// socket is closed then. RFC 6455, Opening Handshake.
func (s *session) upgrade() bool {
	br := bufio.NewReader(&io.LimitedReader{R: &prefixed{Conn: s.nc, pre: s.pre}, N: maxHandshake})
	s.pre = nil
	req, err := http.ReadRequest(br)
	w := &upgradeWriter{socket: &wsSocket{Conn: s.nc, s: s}, br: br, header: http.Header{}}
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, os.ErrDeadlineExceeded) {
			status = http.StatusRequestTimeout
		}
		s.log().Warn("HTTP request refused: it cannot be read, and this port speaks STOMP, over WebSocket too", "err", err)
		http.Error(w, fmt.Sprintf("no HTTP request came that can be read (within %v and %d bytes)", s.srv.opts.ConnectTimeout, maxHandshake), status)
		s.hangUp(true)
		return false
	}
	if !s.originAllowed(req) {
		s.log().Warn("WebSocket refused: pages of this origin may not connect; stomp.webSocket.origins says which may",
			"origin", cut(req.Header.Get("Origin"), maxErrorMessage), "host", cut(req.Host, maxErrorMessage))
		http.Error(w, "pages of this origin may not connect to this broker", http.StatusForbidden)
		s.hangUp(true)
		return false
	}
	compression := websocket.CompressionDisabled
	if s.listener.Compress {
		compression = websocket.CompressionNoContextTakeover // nothing is kept between messages: memory is for those at work only
	}
	ws, err := websocket.Accept(w, req, &websocket.AcceptOptions{
		Subprotocols: []string{"v12.stomp", "v11.stomp", "v10.stomp"}, InsecureSkipVerify: true, // checked above
		CompressionMode: compression, CompressionThreshold: compressFrom,
	})
	if err != nil {
		s.log().Warn("HTTP request refused: this port speaks STOMP, over WebSocket too", "err", err)
		s.hangUp(true)
		return false
	}
	ws.SetReadLimit(-1) // a message is a stream here; the frames in it have their limits
	s.ws = &wsConn{Conn: s.nc, ws: ws, socket: w.socket, compress: s.listener.Compress}
	s.nc = s.ws
	return true
}

// originAllowed reports whether a browser's page may connect: one of the same host, whatever its port, or of an origin
// on the list. What is not a browser sends no origin.
func (s *session) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	for _, pattern := range s.listener.Origins {
		if pattern == "*" || strings.EqualFold(pattern, origin) {
			return true
		}
		if ok, _ := path.Match(strings.ToLower(pattern), strings.ToLower(origin)); ok {
			return true
		}
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	own := &url.URL{Host: r.Host}
	return strings.EqualFold(u.Hostname(), own.Hostname())
}

// Read reads on, over the ends of messages.
func (c *wsConn) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			kind, r, err := c.ws.Reader(context.Background())
			if err != nil {
				return 0, wsError(err)
			}
			c.message = r
			c.binary.Store(kind == websocket.MessageBinary)
		}
		n, err := c.message.Read(p)
		if err == io.EOF {
			c.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, wsError(err)
		}
	}
}

// wsError makes an orderly end of the WebSocket that of the connection.
func wsError(err error) error {
	if websocket.CloseStatus(err) != -1 {
		return io.EOF
	}
	return err
}

// send writes one frame as one message. What a client that sends text could not decode as such is a binary message.
func (c *wsConn) send(parts ...[]byte) error {
	kind := websocket.MessageText
	if c.binary.Load() {
		kind = websocket.MessageBinary
	}
	for _, p := range parts { // each ends with a whole character
		if kind == websocket.MessageText && !utf8.Valid(p) {
			kind = websocket.MessageBinary
		}
	}
	ctx := context.Background() // time limits are the socket's
	if len(parts) == 1 && len(parts[0]) <= writeChunk {
		return c.ws.Write(ctx, kind, parts[0])
	}
	w, err := c.ws.Writer(ctx, kind)
	if err != nil {
		return err
	}
	if c.compress {
		parts = withLongStart(parts)
	}
	for _, p := range parts {
		for len(p) > 0 {
			n := min(len(p), writeChunk)
			if _, err := w.Write(p[:n]); err != nil {
				return err
			}
			p = p[n:]
		}
	}
	return w.Close()
}

// compressFrom is from what length on messages are compressed.
const compressFrom = 512

// withLongStart returns the same bytes in other parts, the first of which is long enough, if all are, to be compressed: the
// library decides by the first that it is given.
func withLongStart(parts [][]byte) [][]byte {
	var start []byte
	rest := slices.Clone(parts)
	for len(rest) > 0 && len(start) < compressFrom {
		n := min(compressFrom-len(start), len(rest[0]))
		start = append(start, rest[0][:n]...)
		if rest[0] = rest[0][n:]; len(rest[0]) == 0 {
			rest = rest[1:]
		}
	}
	return append([][]byte{start}, rest...)
}

// CloseWrite says that nothing more will come: a close frame, and the end of our direction of the socket.
func (c *wsConn) CloseWrite() error {
	c.socket.ended.Store(true) // the client's answer is not waited for here
	_ = c.ws.Close(websocket.StatusNormalClosure, "")
	shutWrite(c.Conn)
	return nil
}

// sendControl writes the frames in the buffer, none of which has a NUL in it, each as a message.
func (s *session) sendControl(w *writer) error {
	for rest := w.buf; len(rest) > 0; {
		n := len(rest)
		if i := bytes.Index(rest, []byte(frameEnd)); i >= 0 {
			n = i + len(frameEnd)
		}
		if err := s.ws.send(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	w.buf = w.buf[:0]
	s.wrote()
	return nil
}

// sendMessage writes the buffer, which is one frame, as a message.
func (s *session) sendMessage(w *writer) error {
	if len(w.buf) == 0 {
		return nil
	}
	parts := make([][]byte, 0, 3)
	pos := 0
	for _, c := range w.cuts {
		parts = append(parts, w.buf[pos:c.at], c.body)
		pos = c.at
	}
	if err := s.ws.send(append(parts, w.buf[pos:])...); err != nil {
		return err
	}
	clear(w.cuts)
	w.buf, w.cuts, w.large = w.buf[:0], w.cuts[:0], 0
	s.wrote()
	return nil
}

// upgradeWriter is the http.ResponseWriter of a handshake: what the library says goes straight to the socket.
type upgradeWriter struct {
	socket *wsSocket
	br     *bufio.Reader
	header http.Header
	status int
}

func (w *upgradeWriter) Header() http.Header { return w.header }

func (w *upgradeWriter) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if status != http.StatusSwitchingProtocols {
		w.header.Set("Connection", "close")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = w.header.Write(&b) // to memory
	_, _ = io.WriteString(w.socket, b.String()+"\r\n")
}

func (w *upgradeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.socket.Write(p)
}

// Hijack is http.Hijacker.
func (w *upgradeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.socket, bufio.NewReadWriter(w.br, bufio.NewWriter(w.socket)), nil
}
