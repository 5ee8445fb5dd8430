//go:build !windows

package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// handshake asks for a WebSocket as a browser's page of another site does, and returns the answer's status.
func handshake(t *testing.T, addr string) int {
	t.Helper()
	c := dialLine(t, addr)
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://shop.example.com\r\n\r\n", addr)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func dialLine(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// delivered sends a message to itself and returns the MESSAGE frame.
func delivered(t *testing.T, addr string) string {
	t.Helper()
	c := dialLine(t, addr)
	fmt.Fprint(c, "CONNECT\naccept-version:1.2\n\n\x00SUBSCRIBE\nid:1\ndestination:/topic/t\n\n\x00SEND\ndestination:/topic/t\n\nx\x00")
	r := bufio.NewReader(c)
	for {
		frame, err := r.ReadString(0)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(frame, "MESSAGE\n") {
			return frame
		}
	}
}

func TestReloadTakesUpOriginsAndDialect(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "treadmq.toml"), []byte("anonymous = true\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	p := serve(t, dir, nil, "--config", "treadmq.toml")
	addr := p.state.Stomp[0]
	if s := handshake(t, addr); s != http.StatusForbidden {
		t.Errorf("a page of another site: %d", s)
	}
	if f := delivered(t, addr); strings.Contains(f, "redelivered") {
		t.Errorf("%q", f)
	}
	write("[stomp]\ndialect = \"rabbitmq\"\n[stomp.webSocket]\norigins = [\"https://*.example.com\"]\n")
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.saysEventually(`"msg":"reloaded"`)
	if s := handshake(t, addr); s != http.StatusSwitchingProtocols {
		t.Errorf("a page of a site on the list: %d", s)
	}
	if f := delivered(t, addr); !strings.Contains(f, "redelivered:false") {
		t.Errorf("%q", f)
	}
}
