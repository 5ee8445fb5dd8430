//go:build crash

package crash

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"treadmq/scripts/internal/brokerproc"
	"treadmq/scripts/internal/history"
	"treadmq/scripts/internal/places"
)

const (
	defaultRounds = 5
	maxRun        = 600 * time.Millisecond // of a round, before the kill
	maxStart      = 300 * time.Millisecond // of a start that is cut off by a kill
	maxShown      = 40                     // violations that are printed
)

// Where messages are sent to. All but the shared queue have one consumer at a time.
const (
	queueA      = "crash.a"
	queueB      = "crash.b"
	queueShared = "crash" + places.Shared
	queueLater  = "crash" + places.Later   // delivered with a delay
	virtual     = "crash" + places.Virtual // a virtual topic and the queue of a consumer
	durable     = "crash" + places.Durable // a topic and a durable subscription
)

func queues() []string { return []string{queueA, queueB, queueShared, queueLater, virtual, durable} }

const (
	maxDelay  = 200 // milliseconds
	lastDelay = 400 // of the message that is to be the last
	clientID  = "crash"
)

// sendTo returns the headers that send a message somewhere.
func sendTo(queue string, delay int) []string {
	to, headers := places.SendTo(queue, delay)
	return append(headers, "destination", to)
}

// subscribeTo returns the headers of CONNECT and SUBSCRIBE that consume from there.
func subscribeTo(queue string) (connect, subscribe []string) {
	if queue == durable {
		connect = []string{"client-id", clientID}
	}
	from, headers := places.SubscribeTo(queue)
	return connect, append(headers, "destination", from)
}

func TestCrash(t *testing.T) {
	seed := number(t, "CRASH_SEED", uint64(time.Now().UnixNano()))
	rounds := number(t, "CRASH_ROUNDS", defaultRounds)
	dir, err := os.MkdirTemp("", "treadmq-crash-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d; the data folder is kept: %s", seed, dir)
			return
		}
		os.RemoveAll(dir)
	})
	bin, err := brokerproc.Build(dir, os.Getenv("CRASH_RACE") != "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := brokerproc.Start(brokerproc.Options{
		Binary: bin, Dir: filepath.Join(dir, "broker"), Realm: login + ": " + passcode + ",admin\n",
		// Small files and a small tail, so that their ends are met often.
		Set: []string{"store.segmentSize=1MiB", "store.tailLimit=1MiB", "store.checkpointInterval=20ms"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	r := &run{t: t, broker: b, rand: rand.New(rand.NewPCG(seed, 0)), log: &recorder{Recorder: history.NewRecorder(), life: 1}}
	r.subscribe()
	for i := range rounds {
		r.round(i)
	}
	r.drain("drain")
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	r.restart()
	r.empty()
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	r.judge()
}

func number(t *testing.T, env string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(env)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	return n
}

// subscribe makes the virtual topic's queue and the durable subscription: they get what is sent from then on.
func (r *run) subscribe() {
	r.t.Helper()
	c := r.client()
	for _, q := range []string{virtual, durable} {
		conn, err := c.subscribe(q, "receipt", "there")
		if err != nil {
			r.t.Fatal(err)
		}
		if f, err := conn.Receive(); err != nil || f.Command != "RECEIPT" {
			r.t.Fatalf("no receipt: %v %v", f, err)
		}
		if err := conn.Send("DISCONNECT", nil, "receipt", "bye"); err != nil {
			r.t.Fatal(err)
		}
		if f, err := conn.Receive(); err != nil || f.Command != "RECEIPT" {
			r.t.Fatalf("no receipt: %v %v", f, err)
		}
		conn.Close()
	}
}

// run is a broker in its lives.
type run struct {
	t      *testing.T
	broker *brokerproc.Broker
	rand   *rand.Rand
	log    *recorder
}

// round lets producers and consumers work, kills the broker and starts it again.
func (r *run) round(n uint64) {
	r.t.Helper()
	ws := r.workers()
	var wg sync.WaitGroup
	for _, w := range ws {
		wg.Go(w.work)
	}
	pause := time.Duration(r.rand.Int64N(int64(maxRun)))
	select {
	case <-time.After(pause): // the moment of the kill is what is tested
	case <-r.broker.Exited():
		r.t.Fatalf("round %d: the broker ended by itself\n%s", n, r.broker.Log())
	}
	if err := r.broker.Kill(); err != nil {
		r.t.Fatal(err)
	}
	wg.Wait() // whatever the sockets still held was read, so that no old delivery is seen after a new one
	for r.rand.IntN(4) == 0 {
		if err := r.broker.StartAndKill(time.Duration(r.rand.Int64N(int64(maxStart)))); err != nil {
			r.t.Fatal(err)
		}
		r.log.nextLife()
	}
	r.restart()
}

func (r *run) restart() {
	r.t.Helper()
	if err := r.broker.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.log.nextLife()
}

type worker interface{ work() }

// workers are those of one round.
func (r *run) workers() []worker {
	var ws []worker
	for i, p := range []struct {
		window int
		queues []string
	}{
		{1, []string{queueA, queueB}},
		{32, []string{queueA, queueB}},
		{32, []string{queueShared, queueB}},
		{8, []string{virtual, durable}},
		{8, []string{durable, queueLater}},
		{8, []string{queueLater, virtual}},
	} {
		ws = append(ws, &producer{
			client: r.client(), id: i + 1, window: p.window, queues: p.queues})
	}
	for _, q := range append(queues(), queueShared) {
		ws = append(ws, &consumer{client: r.client(), queue: q})
	}
	return ws
}

func (r *run) client() client {
	return client{addr: r.broker.Addr(), log: r.log, rand: rand.New(rand.NewPCG(r.rand.Uint64(), 1))}
}

// drain consumes every queue up to a message that is sent last.
func (r *run) drain(what string) {
	r.t.Helper()
	for _, q := range queues() {
		d := drainer{client: r.client(), queue: q, last: r.sentinel(q)}
		if err := d.run(); err != nil {
			r.t.Errorf("%s of %s: %v\n%s", what, q, err, r.broker.Log())
		}
	}
}

// empty proves that a queue holds nothing: the next message sent is the first that comes. Nothing of what was
// given out may have gone to the dead letters either.
func (r *run) empty() {
	r.t.Helper()
	for _, q := range append(queues(), "ActiveMQ.DLQ") {
		d := drainer{client: r.client(), queue: q, last: r.sentinel(q), nothingElse: true}
		if err := d.run(); err != nil {
			r.t.Errorf("look into %s: %v\n%s", q, err, r.broker.Log())
		}
	}
}

func (r *run) sentinel(queue string) history.Key {
	return history.Key{Producer: 1000, Seq: r.log.Next(series), Queue: queue}
}

// judge checks the history.
func (r *run) judge() {
	r.t.Helper()
	events := r.log.Events()
	count := map[history.Kind]int{}
	for _, e := range events {
		count[e.Kind]++
	}
	r.t.Logf("%d lives; sent %d, receipted %d, committed %d, delivered %d, acknowledged %d, refused by consumers %d",
		r.log.life, count[history.Sent], count[history.Receipted], count[history.Committed], count[history.Delivered],
		count[history.Acked], count[history.Nacked])
	found := history.Check(events, places.Ordered).Faults
	if len(found) == 0 {
		return
	}
	shown := found[:min(len(found), maxShown)]
	r.t.Errorf("%d violations:\n%s", len(found), strings.Join(shown, "\n"))
	r.t.Logf("the broker's log:\n%s", r.broker.Log())
}

// The numbers of producers' messages, and of transactions.
const (
	series   = "messages"
	seriesTx = "transactions"
)

// recorder collects events, each with the life of the broker that it belongs to.
type recorder struct {
	*history.Recorder

	mu   sync.Mutex // guards life
	life uint64
}

func (r *recorder) add(e history.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Epoch = r.life
	r.Add(e)
}

func (r *recorder) nextLife() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.life++
}
