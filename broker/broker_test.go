package broker_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"treadmq/broker"
	"treadmq/store"
	"treadmq/store/local"
	"treadmq/store/vfs"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

// rig is a broker on a store in memory that survives restarts.
type rig struct {
	t        testing.TB
	fs       *vfs.Mem
	b        *broker.Broker
	st, tp   *local.Store
	policy   func(broker.Destination) broker.Policy
	memory   int64
	block    int              // IndexBlock, 0 = default
	delayed  int              // MaxDelayed, 0 = default
	now      func() time.Time // nil = time.Now
	limit    int              // of destinations, 0 = default
	trash    broker.TrashLimits
	routing  *broker.Routing               // nil = default
	wrapTemp func(store.Store) store.Store // the same for the temporary store
	wrap     func(store.Store) store.Store // puts something between broker and store
	options  func(*broker.Options)         // nil = leaves them as they are
	writing  sync.RWMutex                  // held by the clients' writers while they write
}

func newRig(t testing.TB, change ...func(*rig)) *rig {
	r := &rig{t: t, fs: vfs.NewMem()}
	for _, f := range change {
		f(r)
	}
	r.open()
	t.Cleanup(r.close)
	return r
}

func newFS() *vfs.Mem { return vfs.NewMem() }

func withPolicy(change func(*broker.Policy)) func(*rig) {
	return func(r *rig) {
		p := broker.DefaultPolicy()
		change(&p)
		r.policy = func(broker.Destination) broker.Policy { return p }
	}
}

func (r *rig) open() {
	r.t.Helper()
	seq := new(atomic.Uint64)
	var b atomic.Pointer[broker.Broker]
	group := func() {
		if b := b.Load(); b != nil {
			b.OnGroup()
		}
	}
	var err error
	r.st, err = local.Open(local.Options{FS: r.fs, Dir: "store", Seq: seq, OnGroup: group, SegmentSize: 1 << 20, CheckpointInterval: 10 * time.Millisecond})
	if err != nil {
		r.t.Fatal(err)
	}
	r.tp, err = local.Open(local.Options{FS: r.fs, Dir: "temp", Seq: seq, Temporary: true, SegmentSize: 1 << 20})
	if err != nil {
		r.t.Fatal(err)
	}
	var durable store.Store = r.st
	if r.wrap != nil {
		durable = r.wrap(durable)
	}
	var temp store.Store = r.tp
	if r.wrapTemp != nil {
		temp = r.wrapTemp(temp)
	}
	o := broker.Options{Store: durable, Temp: temp, Sequence: seq, Policy: r.policy, MemoryLimit: r.memory, MaxDestinations: r.limit, Routing: r.routing, MaxDelayed: r.delayed, IndexBlock: r.block, Now: r.now, Trash: r.trash}
	if r.options != nil {
		r.options(&o)
	}
	r.b, err = broker.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	b.Store(r.b)
}

func (r *rig) close() {
	if r.b == nil {
		return
	}
	r.b.Close(0)
	r.b = nil
	r.writing.Lock() // a front end lets its writers end before it closes the store
	defer r.writing.Unlock()
	if err := r.st.Close(); err != nil {
		r.t.Error(err)
	}
	if err := r.tp.Close(); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) restart() {
	r.close()
	r.open()
}

// crash ends the broker as a power cut does: what was not synced is gone.
func (r *rig) crash() {
	disk := r.fs.Crash(nil)
	r.close()
	r.fs = disk
	r.open()
}

// damage changes a bit of a text wherever the journal has it.
func (r *rig) damage(text string) {
	r.t.Helper()
	names, err := r.fs.ReadDir("store")
	if err != nil {
		r.t.Fatal(err)
	}
	found := false
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") {
			continue
		}
		name = "store/" + name
		f, err := r.fs.OpenFile(name, os.O_RDONLY, 0)
		if err != nil {
			r.t.Fatal(err)
		}
		size, _ := r.fs.Stat(name)
		data := make([]byte, size)
		f.ReadAt(data, 0)
		f.Close()
		if i := bytes.Index(data, []byte(text)); i >= 0 {
			r.fs.Flip(name, int64(i), 3)
			found = true
		}
	}
	if !found {
		r.t.Fatalf("the journal does not hold %q", text)
	}
}

// client is a connection and what came out of it.
type client struct {
	*broker.Conn
	r    *rig
	mu   sync.Mutex
	cond *sync.Cond
	got  []broker.Delivery
	dead error
	wake bool
	end  bool
	done chan struct{}
}

func (c *client) Wake() {
	c.mu.Lock()
	c.wake = true
	c.cond.Broadcast()
	c.mu.Unlock()
}

func (c *client) Kill(err error) {
	c.mu.Lock()
	c.dead = err
	c.mu.Unlock()
	go c.Conn.Close()
}

func (r *rig) connect() *client {
	r.t.Helper()
	return r.connectAs("")
}

func (r *rig) connectAs(user string) *client {
	r.t.Helper()
	c := &client{r: r, done: make(chan struct{})}
	c.cond = sync.NewCond(&c.mu)
	var err error
	c.Conn, err = r.b.Connect(broker.ConnOptions{Protocol: "test", User: user, Sink: c})
	if err != nil {
		r.t.Fatal(err)
	}
	go c.write()
	r.t.Cleanup(func() {
		c.Conn.Close()
		c.mu.Lock()
		c.end = true
		c.cond.Broadcast()
		c.mu.Unlock()
		<-c.done
	})
	return c
}

// write is the front end's writer: it takes output whenever it is woken.
func (c *client) write() {
	defer close(c.done)
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for !c.wake && !c.end {
			c.cond.Wait()
		}
		if c.end {
			return
		}
		c.wake = false
		c.mu.Unlock()
		c.r.writing.RLock()
		ds := c.Output(nil)
		c.mu.Lock()
		c.got = append(c.got, ds...)
		c.cond.Broadcast()
		c.mu.Unlock()
		c.Written(ds)
		c.r.writing.RUnlock()
		c.mu.Lock()
	}
}

// take waits for n deliveries and forgets them.
func (c *client) take(n int) []broker.Delivery {
	c.r.t.Helper()
	late := time.AfterFunc(20*time.Second, func() {
		c.mu.Lock()
		c.end = true
		c.cond.Broadcast()
		c.mu.Unlock()
	})
	defer late.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.got) < n && !c.end {
		c.cond.Wait()
	}
	if len(c.got) < n {
		c.r.t.Fatalf("%d deliveries came, %d were expected", len(c.got), n)
	}
	ds := c.got[:n:n]
	c.got = c.got[n:]
	return ds
}

func (c *client) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

func queueNamed(name string) broker.Destination {
	return broker.Destination{Kind: broker.Queue, Name: name}
}
func topicNamed(name string) broker.Destination {
	return broker.Destination{Kind: broker.Topic, Name: name}
}

type msgOption func(*broker.Builder)

func priority(p uint8) msgOption { return func(b *broker.Builder) { b.Priority = p } }
func volatile(b *broker.Builder) { b.Flags &^= broker.FlagPersistent }
func expires(ms int64) msgOption { return func(b *broker.Builder) { b.Expiration = ms } }

func message(d broker.Destination, body string, opts ...msgOption) *broker.Message {
	var b broker.Builder
	b.Reset()
	b.Flags = broker.FlagPersistent
	b.Kind = broker.BodyText
	b.Timestamp = time.Now().UnixMilli()
	for _, o := range opts {
		o(&b)
	}
	return b.Build(d, []byte(body))
}

// flush waits for a Work to complete.
func flush(t testing.TB, w *broker.Work) error {
	t.Helper()
	done := make(chan error, 1)
	w.Flush(func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("a Work was never completed")
		return nil
	}
}

func (c *client) send(d broker.Destination, body string, opts ...msgOption) {
	c.r.t.Helper()
	w := c.NewWork()
	if err := w.Send([]broker.Destination{d}, message(d, body, opts...)); err != nil {
		c.r.t.Fatal(err)
	}
	if err := flush(c.r.t, w); err != nil {
		c.r.t.Fatal(err)
	}
}

func (c *client) subscribe(d broker.Destination, change ...func(*broker.SubscribeOptions)) *broker.Subscription {
	c.r.t.Helper()
	o := broker.SubscribeOptions{ID: d.Name, Dests: []broker.Destination{d}}
	for _, f := range change {
		f(&o)
	}
	s, err := c.Subscribe(o)
	if err != nil {
		c.r.t.Fatal(err)
	}
	s.Start()
	return s
}

func prefetch(n int) func(*broker.SubscribeOptions) {
	return func(o *broker.SubscribeOptions) { o.Prefetch = n }
}

func auto(o *broker.SubscribeOptions) { o.Auto = true }

// settle acknowledges deliveries and waits for the commit.
func (c *client) settle(kind broker.AckKind, ds ...broker.Delivery) {
	c.r.t.Helper()
	w := c.NewWork()
	for _, d := range ds {
		if n := w.Ack(d.Sub, d.Tag, d.Tag, broker.Ack{Kind: kind}); n != 1 {
			c.r.t.Fatalf("delivery %d of %q was not outstanding", d.Tag, d.Message.Body())
		}
	}
	if err := flush(c.r.t, w); err != nil {
		c.r.t.Fatal(err)
	}
}

func bodies(ds []broker.Delivery) (out []string) {
	for _, d := range ds {
		out = append(out, string(d.Message.Body()))
	}
	return out
}

func wantBodies(t testing.TB, ds []broker.Delivery, want ...string) {
	t.Helper()
	if got := fmt.Sprint(bodies(ds)); got != fmt.Sprint(want) {
		t.Fatalf("delivered %s, expected %s", got, want)
	}
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func (r *rig) queue(d broker.Destination) broker.QueueInfo {
	r.t.Helper()
	i, err := r.b.Queue(d)
	if err != nil {
		r.t.Fatal(err)
	}
	return i
}
