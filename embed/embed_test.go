package embed_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-stomp/stomp/v3"
	"go.uber.org/goleak"

	"treadmq/broker"
	"treadmq/embed"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

func start(t *testing.T, o embed.Options) *embed.Broker {
	t.Helper()
	b, err := embed.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func connect(t *testing.T, b *embed.Broker, opts ...func(*stomp.Conn) error) *stomp.Conn {
	t.Helper()
	nc, err := b.Dial()
	if err != nil {
		t.Fatal(err)
	}
	c, err := stomp.Connect(nc, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFolderKeepsMessages(t *testing.T) {
	dir := t.TempDir()
	for want := int64(0); want < 3; want++ {
		b := start(t, embed.Options{Dir: dir})
		if n := b.Depth("a"); n != want {
			t.Fatalf("%d messages, want %d", n, want)
		}
		if err := connect(t, b).Send("/queue/a", "", []byte("x"), stomp.SendOpt.Receipt); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFolderInUse(t *testing.T) {
	dir := t.TempDir()
	start(t, embed.Options{Dir: dir})
	if _, err := embed.Start(embed.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("got %v", err)
	}
}

func TestAddressInUse(t *testing.T) {
	b := start(t, embed.Options{})
	if _, err := embed.Start(embed.Options{Listen: b.Addr()}); err == nil {
		t.Fatal("two brokers share a port")
	}
}

func TestUsers(t *testing.T) {
	b := start(t, embed.Options{NoPort: true, Users: map[string]string{"alice": "secret"}})
	connect(t, b, stomp.ConnOpt.Login("alice", "secret"))
	for _, login := range [][2]string{{"alice", "wrong"}, {"bob", ""}, {"", ""}} {
		nc, err := b.Dial()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stomp.Connect(nc, stomp.ConnOpt.Login(login[0], login[1])); err == nil {
			t.Errorf("%v was let in", login)
		}
	}
}

// A store in memory has an end, and says so; room comes back when messages go.
func TestMemoryIsBounded(t *testing.T) {
	b := start(t, embed.Options{NoPort: true, MaxMemory: 32 << 20})
	c := connect(t, b, stomp.ConnOpt.HeartBeat(0, 0), stomp.ConnOpt.Header("x-errors", "soft"))
	var err error
	body := make([]byte, 1<<20)
	n := 0
	for ; n < 64 && err == nil; n++ {
		err = c.Send("/queue/a", "", body, stomp.SendOpt.Receipt)
	}
	if err == nil || !strings.Contains(err.Error(), "full") || n < 4 {
		t.Fatalf("after %d messages of 1 MiB: %v", n, err)
	}
}

func TestDisconnect(t *testing.T) {
	b := start(t, embed.Options{})
	nc, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := io.WriteString(nc, "CONNECT\n\n\x00"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(nc)
	if _, err := r.ReadString(0); err != nil {
		t.Fatal(err)
	}
	if n := b.Disconnect("try again"); n != 1 {
		t.Fatalf("%d connections", n)
	}
	if rest, _ := io.ReadAll(r); !strings.Contains(string(rest), "message:try again") {
		t.Fatalf("got %q", rest)
	}
}

func TestURLs(t *testing.T) {
	b := start(t, embed.Options{})
	if b.URL() != "stomp://"+b.Addr() || b.WebSocketURL() != "ws://"+b.Addr()+"/ws" {
		t.Error(b.URL(), b.WebSocketURL())
	}
	if b := start(t, embed.Options{NoPort: true}); b.Addr() != "" || b.URL() != "" || b.WebSocketURL() != "" {
		t.Error("there are URLs without a port")
	}
	b.Close()
	if _, err := b.Dial(); err == nil {
		t.Error("a closed broker was reached")
	}
}

// In a bubble of testing/synctest an hour takes no time.
func TestFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := embed.Start(embed.Options{NoPort: true, Policy: func(broker.Destination) broker.Policy { return broker.DefaultPolicy() }})
		if err != nil {
			t.Fatal(err)
		}
		c := connect(t, b)
		if err := c.Send("/queue/a", "", []byte("x"), stomp.SendOpt.Receipt, stomp.SendOpt.Header("x-ttl", "3600000")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Minute)
		if b.Depth("a") != 1 {
			t.Error("the message expired too early")
		}
		time.Sleep(2 * time.Minute)
		if b.Depth("a") != 0 || b.Depth("ActiveMQ.DLQ") != 1 {
			t.Errorf("%d and %d messages", b.Depth("a"), b.Depth("ActiveMQ.DLQ"))
		}
		if err := c.Disconnect(); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second) // the last goroutine of the index ends a second later
	})
}
