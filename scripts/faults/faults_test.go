//go:build faults && linux

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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
	defaultRounds = 10
	perWorld      = 10               // rounds after which a group is judged and made anew
	settleTime    = 60 * time.Second // for open receipts after all is healed: ends a run that hangs
	drainTime     = 2 * time.Minute  // ends a run that hangs
	maxShown      = 40               // violations that are printed
)

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

func TestFaults(t *testing.T) {
	seed := number(t, "FAULTS_SEED", uint64(time.Now().UnixNano()))
	rounds := int(number(t, "FAULTS_ROUNDS", defaultRounds))
	nodes := int(number(t, "FAULTS_NODES", 3))
	kinds, err := named(os.Getenv("FAULTS_ONLY"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "treadmq-faults-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() || os.Getenv("FAULTS_KEEP") != "" {
			t.Logf("seed %d; logs and histories are kept: %s", seed, dir)
			return
		}
		os.RemoveAll(dir)
	})
	binary, err := brokerproc.Build(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	gaps := &gaps{}
	deck := &deck{kinds: kinds, rand: rand.New(rand.NewPCG(seed, 0))}
	for i := 0; rounds > 0 && !t.Failed(); i++ {
		n := min(rounds, perWorld)
		rounds -= n
		t.Run(fmt.Sprintf("group %d", i+1), func(t *testing.T) {
			r := &play{t: t, dir: filepath.Join(dir, fmt.Sprint("group-", i+1)), rand: rand.New(rand.NewPCG(seed, uint64(i+1))), gaps: gaps}
			r.run(binary, nodes, deck.deal(n))
		})
	}
	t.Logf("seed %d; times without a receipt, from the fault on:\n%s", seed, gaps)
}

// deck deals faults so that each comes once before one comes again.
type deck struct {
	kinds []fault
	rand  *rand.Rand
	left  []fault
}

func (d *deck) deal(n int) (hand []fault) {
	for range n {
		if len(d.left) == 0 {
			d.left = slices.Clone(d.kinds)
			d.rand.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
		}
		hand = append(hand, d.left[0])
		d.left = d.left[1:]
	}
	return hand
}

// play is the life of one group.
type play struct {
	t      *testing.T
	dir    string
	rand   *rand.Rand
	gaps   *gaps
	w      *world
	tokens *tokens
}

func (r *play) run(binary string, nodes int, hand []fault) {
	t := r.t
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	r.w, err = newWorld(t.Context(), r.dir, binary, nodes, r.rand)
	defer func() {
		if t.Failed() {
			r.keep()
		}
		r.w.close()
	}()
	if err != nil {
		t.Fatal(err)
	}
	r.w.jumps = slices.ContainsFunc(hand, func(f fault) bool { return f.name == "clock-jump" })
	stop := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	producing, consuming := r.cast(ctx, stop)
	for i, f := range hand {
		if err := r.round(ctx, i, f); err != nil {
			t.Errorf("round %d, %s: %v", i+1, f.name, err)
			break
		}
	}
	close(stop)
	waitFor(t, "producers", producing, cancel)
	waitFor(t, "consumers", consuming, cancel)
	if !t.Failed() {
		r.end(t.Context())
	}
	r.judge()
}

// waitFor waits for workers; those that hang are told to end, which is a fault of the group.
func waitFor(t *testing.T, what string, wg *sync.WaitGroup, cancel func()) {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(settleTime):
		t.Errorf("stuck: %s had no answers %v after everything was healed", what, settleTime)
		cancel()
		<-done
	}
}

// cast starts the workers.
func (r *play) cast(ctx context.Context, stop <-chan struct{}) (producing, consuming *sync.WaitGroup) {
	producing, consuming = &sync.WaitGroup{}, &sync.WaitGroup{}
	start := func(wg *sync.WaitGroup, what string, f func(context.Context, <-chan struct{}) error) {
		wg.Go(func() {
			if err := f(ctx, stop); err != nil && ctx.Err() == nil {
				r.t.Errorf("%s: %v", what, err)
			}
		})
	}
	random := func() *rand.Rand { return rand.New(rand.NewPCG(r.rand.Uint64(), 1)) }
	r.subscribe()
	for i, p := range []*producer{
		{window: 1, queues: []string{queueA, queueB}},
		{window: 32, queues: []string{queueA, queueB}},
		{window: 32, queues: []string{shared, queueB}},
		{window: 8, queues: []string{virtual, durable}},
		{window: 8, queues: []string{durable, later}},
		{window: 8, queues: []string{later, virtual}},
		{window: 1, queues: []string{queueB, shared}},
	} {
		p.id, p.w, p.rand = i+1, r.w, random()
		start(producing, fmt.Sprint("producer ", p.id), p.work)
	}
	for i, q := range append(queues(), shared) {
		c := &consumer{w: r.w, rand: random(), queue: q, prefetch: []string{"1", "10", "1000"}[i%3]}
		start(consuming, "consumer of "+q, c.work)
	}
	r.tokens = &tokens{log: r.w.log}
	if err := r.tokens.found(ctx, r.w); err != nil {
		r.t.Fatal(err)
	}
	for range 2 {
		start(consuming, "token", func(ctx context.Context, stop <-chan struct{}) error { return r.tokens.pass(ctx, r.w, stop) })
	}
	return producing, consuming
}

// subscribe makes the virtual topic's queue and the durable subscription: they get what is sent from then on.
func (r *play) subscribe() {
	for _, q := range []string{virtual, durable} {
		d := drainer{w: r.w, rand: r.rand, queue: q, first: true}
		if err := d.run(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// round does something to the group and waits until it is whole again.
func (r *play) round(ctx context.Context, i int, f fault) error {
	w := r.w
	if err := w.between(ctx, 300*time.Millisecond, time.Second); err != nil {
		return err
	}
	m, err := w.awaitMaster(ctx)
	if err != nil {
		return err
	}
	from := w.log.Now()
	w.log.Add(history.Event{Kind: history.Remark, Note: fmt.Sprintf("round %d: %s; master %s", i+1, f.name, m.name)})
	if err := f.do(ctx, w, m); err != nil {
		return err
	}
	w.log.Add(history.Event{Kind: history.Remark, Note: "healed"})
	if err := w.heal(ctx); err != nil {
		return err
	}
	if err := w.recovered(ctx); err != nil {
		return err
	}
	if err := r.served(ctx, w.log.Now()); err != nil {
		return err
	}
	gap := r.gaps.add(f.name, w.log.Events(), from)
	r.t.Logf("round %d: %-27s master was %s, whole again after %5.1f s, without a receipt for %4.1f s",
		i+1, f.name, m.name, (w.log.Now() - from).Seconds(), gap.Seconds())
	return nil
}

// served waits until a producer has a receipt after a moment.
func (r *play) served(ctx context.Context, since time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	for {
		for _, e := range slices.Backward(r.w.log.Events()) {
			if e.At < since {
				break
			}
			if e.Kind == history.Receipted {
				return nil
			}
		}
		if err := nap(ctx, poll); err != nil {
			return fmt.Errorf("the group is whole and no producer gets a receipt: %w\n%s", err, r.w.describe())
		}
	}
}

// end empties all queues, proves that they are empty, stops the group and compares its stores.
func (r *play) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	for _, q := range queues() {
		d := drainer{w: r.w, rand: r.rand, queue: q}
		if err := d.run(ctx); err != nil {
			r.t.Errorf("drain of %s: %v\n%s", q, err, r.w.describe())
		}
	}
	for _, q := range append(queues(), "ActiveMQ.DLQ") {
		d := drainer{w: r.w, rand: r.rand, queue: q, nothingElse: true}
		if err := d.run(ctx); err != nil {
			r.t.Errorf("look into %s: %v\n%s", q, err, r.w.describe())
		}
	}
	if err := r.tokens.last(ctx, r.w); err != nil {
		r.t.Error(err)
	}
	if err := r.w.rest(ctx); err != nil {
		r.t.Error(err)
		return
	}
	for _, problem := range compareStores(r.w.members) {
		r.t.Error(problem)
	}
}

// judge checks the history and the processes.
func (r *play) judge() {
	events := r.w.log.Events()
	count := map[history.Kind]int{}
	for _, e := range events {
		count[e.Kind]++
	}
	v := history.Check(events, places.Ordered)
	r.t.Logf("sent %d, receipted %d, transactions committed %d, delivered %d, acknowledged %d, refused by consumers %d, connections lost %d, "+
		"deliveries of deposed masters %d, tokens passed %d", count[history.Sent], count[history.Receipted], count[history.Committed],
		count[history.Delivered], count[history.Acked], count[history.Nacked], count[history.Lost], v.Stale, len(r.tokens.swaps))
	if n := len(v.Faults); n > 0 {
		r.t.Errorf("%d violations:\n%s", n, strings.Join(v.Faults[:min(n, maxShown)], "\n"))
	}
	if !r.t.Failed() && !linearizable(r.tokens.swaps) {
		r.t.Errorf("the token's history is not linearizable: %v", happened(r.tokens.swaps))
	}
	for _, m := range r.w.members {
		for _, problem := range append(m.surprises(), m.panics()...) {
			r.t.Error(problem)
		}
	}
}

// keep writes the history beside the logs, in which all goroutines show, and copies what is on the disks, which are in memory.
func (r *play) keep() {
	for _, m := range r.w.members {
		m.resume()
		if err := m.quit(); err != nil {
			r.t.Log(err)
		}
		if err := run("cp", "-r", m.disk(), filepath.Join(m.dir, "kept")); err != nil {
			r.t.Log(err)
		}
	}
	f, err := os.Create(filepath.Join(r.dir, "history.jsonl"))
	if err == nil {
		defer f.Close()
		err = history.Write(f, r.w.log.Events())
	}
	if err != nil {
		r.t.Log(err)
	}
}

// gaps are the longest times without a receipt, by fault.
type gaps struct{ of map[string][]time.Duration }

// add finds the longest gap from a moment on.
func (g *gaps) add(name string, events []history.Event, from time.Duration) time.Duration {
	last, longest := from, time.Duration(0)
	for _, e := range events {
		if e.Kind == history.Receipted && e.At > from {
			longest = max(longest, e.At-last)
			last = e.At
		}
	}
	if g.of == nil {
		g.of = map[string][]time.Duration{}
	}
	g.of[name] = append(g.of[name], longest)
	return longest
}

func (g *gaps) String() string {
	var b strings.Builder
	for _, f := range faults() {
		if l := slices.Sorted(slices.Values(g.of[f.name])); len(l) > 0 {
			fmt.Fprintf(&b, "%-27s %3d times: median %5.2f s, worst %5.2f s\n", f.name, len(l), l[len(l)/2].Seconds(), l[len(l)-1].Seconds())
		}
	}
	return b.String()
}
