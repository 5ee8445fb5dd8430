package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Semantics 2.7, row Memory limit: storeUsage and tempUsage bound what is kept, senders are told, and consuming makes room again.
func TestStoreAndTempUsage(t *testing.T) {
	p := serve(t, t.TempDir(), nil, "--set", "store.storeUsage=1MiB", "--set", "store.tempUsage=1MiB", "--set", "memory.limit=1MiB", "--set", "memory.queueWindow=256KiB")
	l := newStompLine(t, dialLine(t, p.state.Stomp[0]), "")
	l.expect("CONNECTED")
	l.send("SUBSCRIBE\nid:s\ndestination:/temp-queue/r\n\n\x00SEND\ndestination:ActiveMQ.Statistics.Broker\nreply-to:/temp-queue/r\n\n\x00")
	l.expect("MESSAGE", `"storePercentUsage":0`, `"storeLimit":1048576`, `"tempLimit":1048576`, `"stomp":"stomp://`+p.state.Stomp[0]+`"`, `"dataDirectory":"/`)
	for _, headers := range []string{"persistent:true\n", "persistent:false\n"} {
		l := newStompLine(t, dialLine(t, p.state.Stomp[0]), "x-errors:soft\n")
		l.expect("CONNECTED")
		send := func() (frame string) {
			l.send("SEND\ndestination:/queue/q\nreceipt:1\n" + headers + "\n" + strings.Repeat("x", 20_000) + "\x00")
			return l.expect()
		}
		sent := 0
		eventually(t, "the limit", func() bool {
			frame := send()
			if sent++; strings.Contains(frame, "RECEIPT") {
				return false
			}
			sent--
			if !strings.Contains(frame, "x-code:store-full\n") || !strings.Contains(frame, "x-fatal:false\n") {
				t.Fatal(frame)
			}
			return true
		})
		if sent < 40 {
			t.Errorf("there was room for %d messages", sent)
		}
		l.send("SUBSCRIBE\nid:s\ndestination:/queue/q\n\n\x00")
		for range sent {
			l.expect("MESSAGE")
		}
		l.send("UNSUBSCRIBE\nid:s\nreceipt:u\n\n\x00")
		l.expect("RECEIPT")
		eventually(t, "room", func() bool { return strings.Contains(send(), "RECEIPT") })
		l.send("SUBSCRIBE\nid:s\ndestination:/queue/q\n\n\x00")
		l.expect("MESSAGE")
		l.send("UNSUBSCRIBE\nid:s\nreceipt:u\n\n\x00")
		l.expect("RECEIPT")
	}
}

// A full disk keeps nobody from consuming, so a load balancer leaves the broker alone; who asks for the checks is told.
func TestReadyOnAFullDisk(t *testing.T) {
	p := serve(t, t.TempDir(), nil, "--set", "store.minFreeDisk=1TiB", "--set", "console.listen=127.0.0.1:0")
	l := newStompLine(t, dialLine(t, p.state.Stomp[0]), "x-errors:soft\n")
	l.expect("CONNECTED")
	eventually(t, "the store to see how little is free", func() bool {
		l.send("SEND\ndestination:/queue/q\nreceipt:1\n\nx\x00")
		return strings.Contains(l.expect(), "x-code:store-full\n")
	})
	a, err := http.Get(strings.TrimSuffix(p.state.Console, "/admin/") + "/readyz?verbose")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(body); a.StatusCode != http.StatusOK || !strings.Contains(text, `{"name":"disk","ok":false,"reason":"the disk is full`) {
		t.Errorf("%d %s", a.StatusCode, text)
	}
}
