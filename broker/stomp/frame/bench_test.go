package frame

import (
	"bytes"
	"io"
	"strings"
	"testing"

	stomp "github.com/go-stomp/stomp/v3/frame"
)

// loop is a reader that gives the same bytes over and over.
type loop struct {
	data []byte
	pos  int
}

func (l *loop) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m := copy(p[n:], l.data[l.pos:])
		n += m
		l.pos = (l.pos + m) % len(l.data)
	}
	return n, nil
}

var (
	sendFrame = "SEND\ndestination:/queue/orders.incoming\npersistent:true\npriority:4\n" +
		"content-type:application/json\ncontent-length:256\nreceipt:message-12345\n\n" + strings.Repeat("x", 256) + "\x00"
	ackFrame = "ACK\nid:17-42-123456\n\n\x00"
)

func benchRead(b *testing.B, text string) {
	r := NewReader(&loop{data: []byte(text)}, ReaderOptions{Version: V12, Budget: NewBudget(BudgetOptions{})})
	var f Frame
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Read(&f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadSend(b *testing.B) { benchRead(b, sendFrame) }
func BenchmarkReadAck(b *testing.B)  { benchRead(b, ackFrame) }
func BenchmarkRead1MiB(b *testing.B) {
	benchRead(b, "SEND\ndestination:/queue/a\ncontent-length:1048576\n\n"+strings.Repeat("x", 1<<20)+"\x00")
}

// benchReadPeer measures go-stomp's reader on the same input.
func benchReadPeer(b *testing.B, text string) {
	r := stomp.NewReader(&loop{data: []byte(text)})
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Read(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPeerReadSend(b *testing.B) { benchReadPeer(b, sendFrame) }
func BenchmarkPeerReadAck(b *testing.B)  { benchReadPeer(b, ackFrame) }

func BenchmarkAppendMessage(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 256)
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendCommand(dst[:0], MESSAGE)
		dst = AppendHeader(dst, V12, "subscription", "sub-1")
		dst = AppendHeader(dst, V12, "message-id", "17-42-123456")
		dst = AppendHeader(dst, V12, "destination", "/queue/orders.incoming")
		dst = AppendHeader(dst, V12, "ack", "17-42-123456")
		dst = AppendHeader(dst, V12, "content-type", "application/json")
		dst = AppendHeaderInt(dst, "content-length", int64(len(body)))
		dst = AppendBody(AppendEnd(dst), body)
	}
}

func BenchmarkPeerAppendMessage(b *testing.B) {
	w := stomp.NewWriter(io.Discard)
	f := stomp.New("MESSAGE", "subscription", "sub-1", "message-id", "17-42-123456", "destination", "/queue/orders.incoming",
		"ack", "17-42-123456", "content-type", "application/json", "content-length", "256")
	f.Body = bytes.Repeat([]byte("x"), 256)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(f); err != nil {
			b.Fatal(err)
		}
	}
}
