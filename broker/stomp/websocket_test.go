package stomp

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// wsClient is a WebSocket that speaks raw STOMP: each message received is kept whole.
type wsClient struct {
	t   testing.TB
	ctx context.Context
	ws  *websocket.Conn
}

func withWebSocket(o ListenerOptions) ListenerOptions {
	o.WebSocket = true
	return o
}

func (r *rig) dialWS(url string, o *websocket.DialOptions) *wsClient {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	ws, _, err := websocket.Dial(ctx, url, o)
	if err != nil {
		cancel()
		r.t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	r.t.Cleanup(func() { _ = ws.CloseNow(); cancel() })
	return &wsClient{r.t, ctx, ws}
}

func (c *wsClient) send(kind websocket.MessageType, text string) {
	c.t.Helper()
	if err := c.ws.Write(c.ctx, kind, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// expect reads a message that must be one frame of the command.
func (c *wsClient) expect(kind websocket.MessageType, command string) got {
	c.t.Helper()
	k, data, err := c.ws.Read(c.ctx)
	if err != nil {
		c.t.Fatalf("waiting for %s: %v", command, err)
	}
	g := frameOf(c.t, data)
	if k != kind || g.command != command {
		c.t.Fatalf("want %s in a message of type %v, got %v in %v", command, kind, g, k)
	}
	return g
}

// frameOf reads a message that must be a whole frame and no more.
func frameOf(t testing.TB, message []byte) got {
	t.Helper()
	text, ok := strings.CutSuffix(string(message), frameEnd)
	head, body, found := strings.Cut(text, "\n\n")
	if !ok || !found {
		t.Fatalf("not a frame: %q", message)
	}
	lines := strings.Split(head, "\n")
	return got{command: lines[0], headers: lines[1:], body: body}
}

const (
	wsText, wsBinary = websocket.MessageText, websocket.MessageBinary
	wsConnect        = connect12
)

func TestWebSocket(t *testing.T) {
	r := newRig(t)
	r.listen(withWebSocket(ListenerOptions{}))
	for _, kind := range []websocket.MessageType{wsText, wsBinary} {
		for _, path := range []string{"/", "/ws", "/stomp", "/any/thing?x=1"} {
			t.Run(kind.String()+path, func(t *testing.T) {
				c := r.dialWS("ws://"+r.addr+path, &websocket.DialOptions{Subprotocols: []string{"v10.stomp", "v11.stomp", "v12.stomp"}})
				if p := c.ws.Subprotocol(); p != "v12.stomp" {
					t.Fatalf("sub-protocol %q", p)
				}
				c.send(kind, wsConnect)
				if g := c.expect(kind, "CONNECTED"); g.get("version") != "1.2" {
					t.Fatal(g)
				}
				c.send(kind, "SUBSCRIBE\nid:1\ndestination:/queue/a\nreceipt:r1\n\n\x00SEND\ndestination:/queue/a\nreceipt:r2\n\ntwo frames in a message: é\x00\n")
				seen := map[string]got{}
				for range 3 {
					_, data, err := c.ws.Read(c.ctx)
					if err != nil {
						t.Fatal(err)
					}
					g := frameOf(t, data)
					seen[g.command+g.get("receipt-id")] = g
				}
				if g := seen["MESSAGE"]; g.body != "two frames in a message: é" || seen["RECEIPTr1"].command == "" || seen["RECEIPTr2"].command == "" {
					t.Fatal(seen)
				}
				for _, part := range []string{"SEND\ndesti", "nation:/queue/a\n\none frame in ", "", "five messages", "\x00\n"} {
					c.send(kind, part)
				}
				if g := c.expect(kind, "MESSAGE"); g.body != "one frame in five messages" {
					t.Fatal(g)
				}
				c.send(kind, "DISCONNECT\nreceipt:bye\n\n\x00")
				c.expect(kind, "RECEIPT")
				if _, _, err := c.ws.Read(c.ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
					t.Fatalf("want an orderly end, got %v", err)
				}
			})
		}
	}
}

// A text message must be UTF-8, or browsers end the connection.
func TestWebSocketBinaryBodyForTextClient(t *testing.T) {
	r := newRig(t)
	r.listen(withWebSocket(ListenerOptions{}))
	c := r.dialWS("ws://"+r.addr, nil)
	c.send(wsText, wsConnect)
	c.expect(wsText, "CONNECTED")
	c.send(wsText, "SUBSCRIBE\nid:1\ndestination:/topic/a\nreceipt:s\n\n\x00")
	c.expect(wsText, "RECEIPT")
	big := strings.Repeat("ä", 200<<10) // odd pieces, larger than the library's own limit
	tcp := r.connected("")
	for _, body := range []string{"plain", "\xff\xfe", big, big + "\xff"} {
		tcp.send(fmt.Sprintf("SEND\ndestination:/topic/a\ncontent-length:%d\n\n%s\x00", len(body), body))
	}
	for _, want := range []struct {
		kind websocket.MessageType
		body string
	}{{wsText, "plain"}, {wsBinary, "\xff\xfe"}, {wsText, big}, {wsBinary, big + "\xff"}} {
		if g := c.expect(want.kind, "MESSAGE"); g.body != want.body {
			t.Fatalf("body of %d bytes, want %d", len(g.body), len(want.body))
		}
	}
	c.send(wsText, fmt.Sprintf("SEND\ndestination:/topic/a\ncontent-length:%d\n\n%s\x00", len(big), big))
	if g := c.expect(wsText, "MESSAGE"); g.body != big {
		t.Fatalf("body of %d bytes", len(g.body))
	}
}

func TestWebSocketOverTLS(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, a.server(nil))
	r.listen(withWebSocket(ListenerOptions{TLSRequired: true}))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool}}}
	defer client.CloseIdleConnections()
	c := r.dialWS("wss://"+r.addr+"/ws", &websocket.DialOptions{HTTPClient: client})
	c.send(wsText, wsConnect)
	c.expect(wsText, "CONNECTED")
	if i := r.b.Connections(); len(i) != 1 || !i[0].ConnOptions.TLS || i[0].ConnOptions.Protocol != "STOMP 1.2 over WebSocket" {
		t.Fatalf("%+v", i)
	}
	if _, _, err := websocket.Dial(c.ctx, "ws://"+r.addr, nil); err == nil {
		t.Fatal("a WebSocket without TLS was taken where TLS is required")
	}
}

func TestWebSocketErrorReachesClient(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.MaxBody, o.ConnectTimeout = 64, 200*time.Millisecond }))
	r.listen(withWebSocket(ListenerOptions{}))
	for name, say := range map[string]string{
		"too-large": wsConnect + "SEND\ndestination:/queue/a\ncontent-length:65\n\n",
		"syntax":    "CONNECT\nno colon\n\n\x00",
		"timeout":   "CONN",
	} {
		c := r.dialWS("ws://"+r.addr, nil)
		c.send(wsText, say)
		if name == "too-large" {
			c.expect(wsText, "CONNECTED")
		}
		if g := c.expect(wsText, "ERROR"); g.get("x-code") != name {
			t.Fatalf("want %s, got %v", name, g)
		}
		if _, _, err := c.ws.Read(c.ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Fatalf("%s: want an orderly end, got %v", name, err)
		}
	}
	c := r.dialWS("ws://"+r.addr, nil)
	c.send(wsText, wsConnect)
	c.expect(wsText, "CONNECTED")
	r.b.Kill(r.b.Connections()[0].Serial, "enough")
	if g := c.expect(wsText, "ERROR"); g.get("message") != "enough" {
		t.Fatal(g)
	}
}

func TestWebSocketOrigin(t *testing.T) {
	r := newRig(t)
	r.listen(withWebSocket(ListenerOptions{Origins: []string{"https://shop.example.com", "https://*.test.example.com"}}))
	_, port, _ := net.SplitHostPort(r.addr)
	for origin, ok := range map[string]bool{
		"": true, "http://127.0.0.1:" + port: true, "http://127.0.0.1:3000": true, "https://shop.example.com": true,
		"https://a.test.example.com": true, "http://shop.example.com": false, "https://evil.example.com": false,
		"https://shop.example.com.evil.net": false, "null": false, "https://127.0.0.1.evil.net": false, "://": false,
	} {
		if status := r.handshake(t, "GET", origin); (status == http.StatusSwitchingProtocols) != ok || !ok && status != http.StatusForbidden {
			t.Errorf("origin %q: status %d", origin, status)
		}
	}
	r.listen(withWebSocket(ListenerOptions{Origins: []string{"*"}}))
	for _, origin := range []string{"null", "https://anywhere.example.com"} {
		if status := r.handshake(t, "GET", origin); status != http.StatusSwitchingProtocols {
			t.Errorf("origin %q: status %d", origin, status)
		}
	}
}

// handshake sends the request for a WebSocket and returns the answer's status.
func (r *rig) handshake(t *testing.T, method, origin string) int {
	t.Helper()
	c := r.dial()
	c.send(method + " /ws HTTP/1.1\r\nHost: " + r.addr + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: " + origin + "\r\n\r\n")
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// What is no handshake is refused in words, and costs no more than its bounds.
func TestWebSocketBadHandshakes(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.ConnectTimeout = time.Second }))
	r.listen(withWebSocket(ListenerOptions{}))
	for name, request := range map[string]string{
		"garbage":     "GET \x00\x01\r\n\r\n",
		"endless":     "GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", maxHandshake),
		"half":        "GET / HTTP/1.1\r\nHost: ",
		"plain HTTP":  "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"old":         "GET / HTTP/1.0\r\n\r\n",
		"no key":      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
		"bad version": "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n\r\n",
	} {
		c := r.dial()
		c.send(request)
		res, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode < 400 || len(body) == 0 {
			t.Errorf("%s: status %d, %q", name, res.StatusCode, body)
		}
	}
	c := r.dial()
	c.send("GET ")
	_ = c.nc.(*net.TCPConn).CloseWrite()
	_, _ = io.ReadAll(c.r) // ends
	until(t, "all are gone", func() bool { return r.srv.Connections() == 0 })
}

// countedConn counts what comes in.
type countedConn struct {
	net.Conn
	n *atomic.Int64
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// permessage-deflate in both directions where it is switched on, and nowhere else.
func TestWebSocketCompression(t *testing.T) {
	for _, on := range []bool{true, false} {
		r := newRig(t)
		r.listen(withWebSocket(ListenerOptions{Compress: on}))
		var received atomic.Int64
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return countedConn{nc, &received}, err
		}
		c := r.dialWS("ws://"+r.addr, &websocket.DialOptions{
			CompressionMode: websocket.CompressionContextTakeover, HTTPClient: &http.Client{Transport: &http.Transport{DialContext: dial}},
		})
		c.send(wsText, wsConnect)
		c.expect(wsText, "CONNECTED")
		body := strings.Repeat("so much to say ", 10_000)
		c.send(wsText, "SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\x00SEND\ndestination:/topic/a\n\n"+body+"\x00")
		if got := c.expect(wsText, "MESSAGE"); got.body != body {
			t.Fatalf("%d bytes of body are not what was sent", len(got.body))
		}
		if small := received.Load() < int64(len(body)/10); small != on {
			t.Errorf("compression %v: %d bytes came for a body of %d", on, received.Load(), len(body))
		}
	}
}

// Compressed frames have the same limits as others: a small message that becomes a large one is refused before it does.
func TestWebSocketCompressedBomb(t *testing.T) {
	r := newRig(t)
	r.listen(withWebSocket(ListenerOptions{Compress: true}))
	c := r.dialWS("ws://"+r.addr, &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover})
	c.send(wsText, "CONNECT\naccept-version:1.2\nhost:"+strings.Repeat("a", 4<<20)+"\n\n\x00")
	c.expect(wsText, "ERROR")
}

// Raw frames that break RFC 6455, and a ping, which is answered.
func TestWebSocketRawFrames(t *testing.T) {
	r := newRig(t)
	r.listen(withWebSocket(ListenerOptions{}))
	open := func() *client {
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		if res, err := http.ReadResponse(c.r, nil); err != nil || res.StatusCode != 101 {
			t.Fatal(res, err)
		}
		return c
	}
	c := open()
	c.send("\x89\x82\x00\x00\x00\x00hi")
	if pong := readN(t, c.r, 4); pong != "\x8a\x02hi" {
		t.Fatalf("got %q", pong)
	}
	for name, raw := range map[string]string{
		"not masked":        "\x81\x02hi",
		"reserved bits":     "\xf1\x80\x00\x00\x00\x00",
		"stray rest":        "\x80\x80\x00\x00\x00\x00",
		"unknown opcode":    "\x83\x80\x00\x00\x00\x00",
		"ping too long":     "\x89\xfe\x01\x00\x00\x00\x00\x00",
		"negative length":   "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
		"bad close payload": "\x88\x81\x00\x00\x00\x00x",
	} {
		c := open()
		c.send(raw)
		_ = c.nc.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, c.r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_ = c.nc.Close()
	until(t, "all are gone", func() bool { return r.srv.Connections() == 0 })
}

func readN(t *testing.T, r *bufio.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Heart-beats go both ways, and a ping of the WebSocket counts as one.
func TestWebSocketHeartBeat(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.HeartBeatMin = 50 * time.Millisecond }))
	r.listen(withWebSocket(ListenerOptions{}))
	c := r.dialWS("ws://"+r.addr, nil)
	c.send(wsText, "CONNECT\naccept-version:1.2\nhost:x\nheart-beat:0,50\n\n\x00")
	c.expect(wsText, "CONNECTED")
	for range 3 {
		if kind, data, err := c.ws.Read(c.ctx); err != nil || kind != wsText || string(data) != "\n" {
			t.Fatalf("%v %q %v", kind, data, err)
		}
	}
}
