package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"treadmq/ha/failover"
)

// Run puts the load on and returns what came out. The end of ctx stops the producers;
// what is confirmed is still received and checked. The Result is there also with an
// error, for what it is worth.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	addr, err := dialAny(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	r := &runner{cfg: &cfg, addr: addr, run: rand.Uint32(), result: &Result{Mode: cfg.Mode}}
	r.produced = make(chan error, cfg.Producers)
	r.consumed = make(chan error, cfg.Consumers)
	r.giveUp, r.abandon = context.WithCancel(context.WithoutCancel(ctx))
	defer r.abandon()
	err = r.all(ctx)
	r.result.Interrupted = ctx.Err() != nil
	return r.result, err
}

// pollInterval is how often the end of a run is looked for; quiet is how long nothing may
// come at the end, so that a message that comes twice is seen.
const (
	pollInterval = 5 * time.Millisecond
	quiet        = 50 * time.Millisecond
)

// runner is one run.
type runner struct {
	cfg     *Config
	addr    failover.Address
	run     uint32
	result  *Result
	giveUp  context.Context // ends all connections at once
	abandon context.CancelFunc

	mu        sync.Mutex // guards the slices against the progress report
	producers []*producer
	consumers []*consumer

	produced  chan error // told by each producer that has ended
	consumed  chan error // told by each consumer that has ended
	consuming time.Time  // when consuming began
	emptied   bool       // a drain ended because nothing more came
}

func (r *runner) all(ctx context.Context) error {
	stopProgress := r.reportProgress()
	defer stopProgress()
	if r.cfg.consuming() && r.cfg.Mode != FillDrain {
		if err := r.startConsumers(ctx); err != nil {
			return r.fail(err)
		}
	}
	begin, end := time.Now(), time.Now()
	if r.cfg.producing() {
		if err := r.dialProducers(ctx); err != nil {
			return r.fail(err)
		}
		begin = time.Now()
		if err := r.produce(ctx); err != nil {
			return r.fail(err)
		}
		end = time.Now()
	}
	if r.cfg.Mode == FillDrain {
		if err := r.startConsumers(context.WithoutCancel(ctx)); err != nil {
			return r.fail(err)
		}
	}
	if r.cfg.consuming() {
		if err := r.receive(ctx); err != nil {
			return r.fail(err)
		}
		r.result.Checked = true
	}
	r.figures(begin, end)
	r.result.round()
	r.judge()
	return nil
}

// fail ends all connections, waits for their goroutines and keeps the counts.
func (r *runner) fail(err error) error {
	r.abandon()
	for range r.consumers {
		<-r.consumed
	}
	r.result.Sent, r.result.Confirmed, r.result.Received = r.counts()
	return err
}

func (r *runner) counts() (sent, confirmed, received int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.producers {
		sent += p.sent.Load()
		confirmed += p.confirmed.Load()
	}
	for _, k := range r.consumers {
		received += k.received.Load()
	}
	return sent, confirmed, received
}

// reportProgress calls cfg.Progress about ten times in a second until stop.
func (r *runner) reportProgress() (stop func()) {
	if r.cfg.Progress == nil {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(100 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				sent, confirmed, received := r.counts()
				if r.cfg.Window > 0 {
					sent = confirmed
				}
				r.cfg.Progress(sent, received)
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-ended }
}

// startConsumers connects and subscribes all consumers. Those that run when it fails
// are counted in r.consumers.
func (r *runner) startConsumers(ctx context.Context) error {
	r.consuming = time.Now()
	for i := range r.cfg.Consumers {
		c, err := dial(ctx, r.cfg, r.addr)
		if err != nil {
			return err
		}
		k := newConsumer(r.cfg, r.run, c, r.cfg.spread(i, r.cfg.Consumers), r.consumed)
		if err := k.subscribe(); err != nil {
			c.Close()
			return err
		}
		r.mu.Lock()
		r.consumers = append(r.consumers, k)
		r.mu.Unlock()
		go k.consume(r.giveUp)
	}
	return nil
}

func (r *runner) dialProducers(ctx context.Context) error {
	n := r.cfg.Producers
	var id uint32
	for i := range n {
		c, err := dial(ctx, r.cfg, r.addr)
		if err != nil {
			for _, p := range r.producers {
				p.conn.Close()
			}
			return err
		}
		var streams []*stream
		for _, d := range r.cfg.spread(i, n) {
			streams = append(streams, &stream{id: id, dest: d})
			id++
		}
		p := newProducer(r.cfg, r.run, c, streams)
		p.quota = r.cfg.Count / int64(n)
		if int64(i) < r.cfg.Count%int64(n) {
			p.quota++
		}
		p.none = r.cfg.Count > 0 && p.quota == 0
		if r.cfg.Rate > 0 {
			p.rate = r.cfg.Rate / float64(n)
			p.offset = time.Duration(float64(i) / r.cfg.Rate * float64(time.Second)) // not all at once
		}
		r.mu.Lock()
		r.producers = append(r.producers, p)
		r.mu.Unlock()
	}
	return nil
}

// produce runs all producers to their end. The first that fails, or a consumer that
// ends, stops the others.
func (r *runner) produce(ctx context.Context) error {
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.cfg.Duration > 0 {
		stop, cancel = context.WithTimeout(stop, r.cfg.Duration)
		defer cancel()
	}
	for _, p := range r.producers {
		go func() { r.produced <- p.produce(stop, r.giveUp) }()
	}
	var first error
	for left := len(r.producers); left > 0; {
		var err error
		select {
		case err = <-r.produced:
			left--
		case err = <-r.consumed:
			r.consumed <- err // fail takes one from each
			err = errors.Join(errConsumerEnded, err)
			r.abandon()
			for ; left > 0; left-- {
				<-r.produced
			}
		}
		if err != nil && first == nil {
			first = err
			cancel()
		}
	}
	return first
}

// errConsumerEnded comes with the reason.
var errConsumerEnded = errors.New("a consumer's connection ended")

// receive waits until all that is expected was received, or nothing came for
// cfg.Idle, and then lets the consumers go.
func (r *runner) receive(ctx context.Context) error {
	expected := r.expected()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	begin := time.Now()
	interrupted := (<-chan struct{})(nil)
	if r.cfg.Mode == Drain {
		interrupted = ctx.Done() // in the other modes that only ends the producers
	}
wait:
	for {
		select {
		case err := <-r.consumed:
			r.consumed <- err
			return errors.Join(errConsumerEnded, err)
		case <-interrupted:
			break wait
		case <-poll.C:
			_, _, received := r.counts()
			idle := time.Since(r.lastMessage(begin))
			if expected >= 0 && received >= expected && idle > quiet {
				break wait
			}
			if idle > r.cfg.Idle {
				r.emptied = true
				break wait
			}
		}
	}
	for _, k := range r.consumers {
		k.stop()
	}
	var err error
	for range r.consumers {
		err = errors.Join(err, <-r.consumed)
	}
	if err != nil {
		for range r.consumers {
			r.consumed <- nil // fail takes one from each
		}
	}
	return err
}

// expected is how many messages the consumers should get, -1 when nobody knows.
func (r *runner) expected() (n int64) {
	if r.cfg.Mode == Drain {
		if r.cfg.Count == 0 {
			return -1
		}
		return r.cfg.Count
	}
	copies := make([]int64, r.cfg.Destinations)
	for _, k := range r.consumers {
		for _, d := range k.dests {
			copies[d]++
		}
	}
	for _, p := range r.producers {
		for _, s := range p.streams {
			if r.cfg.Topic() {
				n += int64(s.confirmed.n) * copies[s.dest]
			} else {
				n += int64(s.confirmed.n)
			}
		}
	}
	return n
}

func (r *runner) lastMessage(last time.Time) time.Time {
	for _, k := range r.consumers {
		if t := time.Unix(0, k.last.Load()); t.After(last) {
			last = t
		}
	}
	return last
}

// figures fills in counts, rates and latencies. All goroutines have ended.
func (r *runner) figures(begin, end time.Time) {
	res := r.result
	res.Sent, res.Confirmed, res.Received = r.counts()
	receipts, endToEnd := newHistogram(), newHistogram()
	for _, p := range r.producers {
		receipts.Merge(p.latency.Histogram)
	}
	for _, k := range r.consumers {
		endToEnd.Merge(k.latency.Histogram)
	}
	res.Receipt, res.EndToEnd = receipts.latency(), endToEnd.latency()
	if len(r.producers) > 0 {
		res.SendSeconds = end.Sub(begin).Seconds()
		res.SendRate = float64(res.Confirmed) / res.SendSeconds
		res.SendMBps = res.SendRate * float64(r.cfg.Size) / 1e6
		res.Seconds = res.SendSeconds
	}
	if res.Received == 0 {
		return
	}
	from, last := r.consuming, r.lastMessage(r.consuming)
	if r.cfg.Mode == Both {
		from = begin
	}
	res.RecvSeconds = max(last.Sub(from).Seconds(), 1e-9)
	res.RecvRate = float64(res.Received) / res.RecvSeconds
	res.RecvMBps = res.RecvRate * float64(r.cfg.Size) / 1e6
	if len(r.producers) == 0 {
		begin = from
	}
	res.Seconds = max(last.Sub(begin).Seconds(), res.SendSeconds)
}

// judge compares what was confirmed with what was received.
func (r *runner) judge() {
	if !r.result.Checked {
		return
	}
	var v verdict
	switch {
	case r.cfg.Mode == Drain:
		v = judgeDrained(r.tracks())
		if !r.emptied {
			v.lost = 0 // the rest is still in the queue
		}
	case r.cfg.Topic():
		for _, k := range r.consumers {
			for i, d := range k.dests {
				v.add(judgeQueue(k.tracks[i:i+1], r.sent(d)))
			}
		}
	default:
		v = judgeQueue(r.tracks(), r.sent(-1))
	}
	res := r.result
	res.Lost, res.Duplicates, res.Disorder, res.Redelivered, res.Foreign = v.lost, v.duplicates, v.disorder, v.redelivered, v.foreign
}

func (r *runner) tracks() (all []*track) {
	for _, k := range r.consumers {
		all = append(all, k.tracks...)
	}
	return all
}

// sent is what was confirmed by stream: of one destination, or of all with -1.
func (r *runner) sent(dest int) map[streamKey]*bitset {
	all := map[streamKey]*bitset{}
	for _, p := range r.producers {
		for _, s := range p.streams {
			if dest < 0 || s.dest == dest {
				all[streamKey{r.run, s.id}] = &s.confirmed
			}
		}
	}
	return all
}
