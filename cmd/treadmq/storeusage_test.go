package main

import (
	"strings"
	"testing"
)

// Semantics 2.7, row Memory limit: storeUsage and tempUsage bound what is kept, senders are told, and consuming makes room again.
func TestStoreAndTempUsage(t *testing.T) {
	p := serve(t, t.TempDir(), nil, "--set", "store.storeUsage=1MiB", "--set", "store.tempUsage=1MiB", "--set", "memory.limit=1MiB", "--set", "memory.queueWindow=256KiB")
	l := newStompLine(t, dialLine(t, p.state.Stomp[0]), "")
	l.expect("CONNECTED")
	l.send("SUBSCRIBE\nid:s\ndestination:/temp-queue/r\n\n\x00SEND\ndestination:ActiveMQ.Statistics.Broker\nreply-to:/temp-queue/r\n\n\x00")
	l.expect("MESSAGE", `"storePercentUsage":0`, `"storeLimit":1048576`)
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
