package load

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// fault is what a fake broker does to the n-th message it takes.
type fault int

const (
	fine fault = iota
	lose
	double
	swap    // with the next one
	late    // delivered again when it is acknowledged
	flagged // delivered twice, the second time as redelivered
	dropReceipt
	refuse // ERROR
	hangUp
)

// fakeBroker is a STOMP server that hands every message to the subscribers of its
// destination in turn, or to all for topics, and can be told to make mistakes.
type fakeBroker struct {
	stall time.Duration // before the first SEND is taken; set before the first client
	once  sync.Once

	t      *testing.T
	faults map[int]fault
	held   string // a message to be sent after the next

	mu      sync.Mutex
	taken   int
	subs    map[string][]*fakeSub
	turn    map[string]int
	queue   map[string][]string // of destinations without subscribers
	acks    int
	again   string // a message to deliver once more when all are acknowledged
	againTo string
	conns   sync.WaitGroup
}

type fakeSub struct {
	w  *lockedWriter
	id string
}

type lockedWriter struct {
	mu sync.Mutex
	net.Conn
}

func (w *lockedWriter) send(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.Conn, format, args...) // a client that is gone sees to itself
}

func startFake(t *testing.T, faults map[int]fault) (b *fakeBroker, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b = &fakeBroker{t: t, faults: faults, subs: map[string][]*fakeSub{}, turn: map[string]int{}, queue: map[string][]string{}}
	b.conns.Add(1)
	go func() {
		defer b.conns.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.conns.Add(1)
			go func() { defer b.conns.Done(); defer c.Close(); b.serve(c) }()
		}
	}()
	t.Cleanup(func() { l.Close(); b.conns.Wait() })
	return b, l.Addr().String()
}

func (b *fakeBroker) serve(c net.Conn) {
	r, w := bufio.NewReader(c), &lockedWriter{Conn: c}
	for {
		command, h, body, err := readFake(r)
		if err != nil {
			return
		}
		switch command {
		case "CONNECT":
			w.send("CONNECTED\nversion:1.2\n\n\x00")
		case "SUBSCRIBE":
			b.subscribe(h["destination"], &fakeSub{w, h["id"]})
		case "SEND":
			b.mu.Lock()
			stall := b.stall
			b.mu.Unlock()
			b.once.Do(func() { time.Sleep(stall) }) // what is measured, not a wait for anything
			if !b.take(h["destination"], body, w, h["receipt"]) {
				return
			}
			continue
		case "ACK":
			b.mu.Lock()
			b.acks++
			if b.again != "" && b.acks == b.taken {
				b.deliver(b.againTo, b.again, "")
				b.again = ""
			}
			b.mu.Unlock()
		}
		if id := h["receipt"]; id != "" {
			w.send("RECEIPT\nreceipt-id:%s\n\n\x00", id)
		}
		if command == "DISCONNECT" {
			io.Copy(io.Discard, r) // the client closes
			return
		}
	}
}

func readFake(r *bufio.Reader) (command string, h map[string]string, body string, err error) {
	raw, err := r.ReadString(0)
	if err != nil {
		return "", nil, "", err
	}
	head, body, _ := strings.Cut(strings.TrimLeft(strings.TrimSuffix(raw, "\x00"), "\n"), "\n\n")
	lines := strings.Split(head, "\n")
	h = map[string]string{}
	for _, l := range lines[1:] {
		k, v, _ := strings.Cut(l, ":")
		h[k] = v
	}
	return lines[0], h, body, nil
}

func (b *fakeBroker) subscribe(dest string, s *fakeSub) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs[dest] = append(b.subs[dest], s)
	waiting := b.queue[dest]
	b.queue[dest] = nil
	for _, m := range waiting {
		b.deliver(dest, m, "")
	}
}

// take carries out what is to happen to a message; false ends the connection.
func (b *fakeBroker) take(dest, body string, w *lockedWriter, receipt string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.taken
	b.taken++
	f := b.faults[n]
	switch f {
	case fine, dropReceipt:
		b.deliver(dest, body, "")
	case late:
		b.deliver(dest, body, "")
		b.again, b.againTo = body, dest
	case double:
		b.deliver(dest, body, "")
		b.deliver(dest, body, "")
	case flagged:
		b.deliver(dest, body, "")
		b.deliver(dest, body, "redelivered:true\n")
	case swap:
		b.held = body
	case refuse:
		w.send("ERROR\nmessage:queue full\nx-code:queue-full\n\n\x00")
		return false
	case hangUp:
		return false
	}
	if f != swap && b.held != "" {
		held := b.held
		b.held = ""
		b.deliver(dest, held, "")
	}
	if receipt != "" && f != dropReceipt {
		w.send("RECEIPT\nreceipt-id:%s\n\n\x00", receipt)
	}
	return true
}

func (b *fakeBroker) deliver(dest, body, header string) {
	subs := b.subs[dest]
	if len(subs) == 0 {
		b.queue[dest] = append(b.queue[dest], body)
		return
	}
	if !strings.HasPrefix(dest, "/topic/") {
		i := b.turn[dest] % len(subs)
		b.turn[dest]++
		subs = subs[i : i+1]
	}
	for _, s := range subs {
		s.w.send("MESSAGE\nsubscription:%s\nack:a\\c1\nmessage-id:1\n%scontent-length:%d\n\n%s\x00", s.id, header, len(body), body)
	}
}
