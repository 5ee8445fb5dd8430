package e2e

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"treadmq/admin"
	"treadmq/broker"
	"treadmq/notice"
	"treadmq/store/local"
	"treadmq/store/vfs"
	"treadmq/webui"
)

// users lets in whoever has the password "name-pw".
type users map[string][]string

func (u users) Authenticate(name, password, _ string) (admin.User, bool, time.Duration) {
	roles, ok := u[name]
	return admin.User{Name: name, Roles: roles}, ok && password == name+"-pw", 0
}

// Users implements admin.UserLister.
func (u users) Users() []admin.UserInfo {
	return []admin.UserInfo{{Name: "alice", Roles: []string{"admin"}}, {Name: "uli", Roles: []string{"user"}, Weak: notice.New("weak.plain", "the password can be read in the file: make a new entry with treadmq realm hash")}, {Name: "vera", Roles: []string{"viewer"}}}
}

// Problems implements admin.UserLister.
func (u users) Problems() []notice.Notice { return nil }

// rig is a broker with its console on a port of its own.
type rig struct {
	t    *testing.T
	b    *broker.Broker
	url  string
	host string
}

func newRig(t *testing.T, change ...func(*admin.Options)) *rig {
	t.Helper()
	r := &rig{t: t, b: newBroker(t)}
	o := admin.Options{
		Broker: r.b, UI: webui.FS(), SampleInterval: 200 * time.Millisecond,
		Auth: users{"alice": {"admin"}, "uli": {"user"}, "vera": {"viewer"}, "nemo": nil},
		Info: func() admin.BrokerInfo {
			return admin.BrokerInfo{Name: "amsterdam-1", Version: "1.0.0", Role: "alone", DataDir: "/var/lib/treadmq",
				Listeners: []admin.Listener{{Name: "stomp", Address: "0.0.0.0:61613"}, {Name: "stomp", Address: "0.0.0.0:61614", TLS: true}}}
		},
		Policy: func(broker.Destination) broker.Policy { return broker.DefaultPolicy() },
		Rules: func() []admin.PolicyRule {
			return []admin.PolicyRule{{Kind: "queue", Pattern: "orders.>", Where: "treadmq.toml:41", Settings: []admin.PolicySetting{
				{Key: "maxMessages", Value: "1000000"}, {Key: "redelivery.maximumRedeliveries", Value: "3"}, {Key: "deadLetter.queue", Value: "DLQ.orders"}}}}
		},
		Settings: func(broker.Destination) []admin.PolicySetting {
			return []admin.PolicySetting{{Key: "maxMessages", Value: "1000000", Origin: `queue = "orders.>" (treadmq.toml:41)`}, {Key: "onFull", Value: "block", Origin: "default"}}
		},
		Config: func() []admin.ConfigEntry {
			return []admin.ConfigEntry{{Key: "brokerName", Value: "amsterdam-1", Default: "localhost", Origin: "treadmq.toml:3", Doc: "Name of the broker."},
				{Key: "stomp.maxBody", Value: "100MiB", Default: "100MiB", Origin: "default", Doc: "Largest body."}}
		},
	}
	for _, f := range change {
		f(&o)
	}
	s, err := admin.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(ctx) // the browser may keep connections open; they are cut then
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	r.host = l.Addr().String()
	r.url = "http://" + r.host
	return r
}

func newBroker(t *testing.T) *broker.Broker {
	t.Helper()
	seq := new(atomic.Uint64)
	var at atomic.Pointer[broker.Broker]
	st, err := local.Open(local.Options{FS: vfs.NewMem(), Dir: "store", Seq: seq, SegmentSize: 1 << 20, BootID: "test", OnGroup: func() {
		if b := at.Load(); b != nil {
			b.OnGroup()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Options{Store: st, Sequence: seq, Node: "amsterdam1",
		Trash: broker.TrashLimits{Keep: 10 * time.Minute, Messages: 1000, Bytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	at.Store(b)
	t.Cleanup(func() {
		b.Close(0)
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// sink is a client that only holds what it gets.
type sink struct{ killed chan error }

func (s *sink) Wake() {}

func (s *sink) Kill(err error) {
	select {
	case s.killed <- err:
	default:
	}
}

// client connects as a STOMP client would.
func (r *rig) client(user string) (*broker.Conn, *sink) {
	r.t.Helper()
	s := &sink{killed: make(chan error, 1)}
	c, err := r.b.Connect(broker.ConnOptions{Protocol: "STOMP 1.2", Listener: "stomp", Remote: "192.0.2.7:50312", User: user, Sink: s})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c, s
}

func queue(name string) broker.Destination { return broker.Destination{Kind: broker.Queue, Name: name} }

// fill sends messages and waits until they are stored.
func (r *rig) fill(d broker.Destination, bodies ...string) {
	r.t.Helper()
	c, _ := r.client("filler")
	defer c.Close()
	w := c.NewWork()
	for _, body := range bodies {
		var b broker.Builder
		b.Reset()
		b.Kind, b.Flags, b.Timestamp = broker.BodyText, broker.FlagPersistent, r.b.Now().UnixMilli()
		if strings.HasPrefix(body, "{") {
			b.SetField(broker.FieldContentType, []byte("application/json"))
		}
		b.AddString([]byte("tenant"), []byte("north"))
		if err := w.Send([]broker.Destination{d}, b.Build(d, []byte(body))); err != nil {
			r.t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	w.Flush(func(err error) { done <- err })
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) subscribe(c *broker.Conn, d broker.Destination) {
	r.t.Helper()
	s, err := c.Subscribe(broker.SubscribeOptions{ID: "worker-1", Dests: []broker.Destination{d}, Prefetch: 3})
	if err != nil {
		r.t.Fatal(err)
	}
	s.Start()
}

// depth is the number of messages of a queue, -1 if there is none.
func (r *rig) depth(name string) int64 {
	info, err := r.b.Queue(queue(name))
	if err != nil {
		return -1
	}
	return info.Messages
}

func topic(name string) broker.Destination { return broker.Destination{Kind: broker.Topic, Name: name} }
