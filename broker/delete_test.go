package broker_test

import (
	"fmt"
	"sync"
	"testing"

	"treadmq/broker"
)

// A queue that is deleted while somebody makes it anew is, after a restart, what
// it was before: there with the new message, or gone.
func TestQueueDeletedWhileItIsMadeAnewSurvivesARestart(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	want := map[string]int64{}
	for i := range 60 {
		q := queueNamed(fmt.Sprintf("q%02d", i))
		c.send(q, "old")
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := r.b.DeleteQueue(q, true, func(error) {}); err != nil {
				t.Error(err)
			}
		})
		c.send(q, "new")
		wg.Wait()
		if info, err := r.b.Queue(q); err == nil {
			want[q.Name] = info.Messages
		}
	}
	r.restart()
	for _, i := range r.b.Queues(nil) {
		if i.Messages != want[i.Destination.Name] {
			t.Errorf("%s holds %d messages, it held %d", i.Destination.Name, i.Messages, want[i.Destination.Name])
		}
		delete(want, i.Destination.Name)
	}
	for name, n := range want {
		t.Errorf("%s with %d messages is gone", name, n)
	}
}

// Who subscribes while the destination is deleted hears the one that is made next.
func TestSubscribeDuringADelete(t *testing.T) {
	for name, kind := range map[string]broker.Kind{"queue": broker.Queue, "topic": broker.Topic} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			p, c := r.connect(), r.connect()
			for i := range 200 {
				d := broker.Destination{Kind: kind, Name: fmt.Sprint("d", i)}
				p.send(d, "makes it", volatile, expires(1))
				var wg sync.WaitGroup
				wg.Go(func() {
					if kind == broker.Queue {
						_ = r.b.DeleteQueue(d, false, func(error) {})
					} else {
						_ = r.b.DeleteTopic(d)
					}
				})
				s := c.subscribe(d, auto)
				wg.Wait()
				p.send(d, "hello", volatile)
				wantBodies(t, c.take(1), "hello")
				s.Close()
			}
		})
	}
}

// What a connection makes while it is being closed goes with it.
func TestNothingOutlivesAClosingConnection(t *testing.T) {
	r := newRig(t)
	for range 200 {
		c, err := r.b.Connect(broker.ConnOptions{Sink: deaf{}})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = c.CreateTemp(broker.TempQueue) })
		wg.Go(func() { _, _ = c.Subscribe(broker.SubscribeOptions{Dests: []broker.Destination{queueNamed("w.>")}}) })
		wg.Go(func() {
			if tx, err := c.Begin("t"); err == nil {
				_ = tx.Send([]broker.Destination{queueNamed("a")}, message(queueNamed("a"), "x"))
				_ = c.NewWork().Commit(tx)
			}
		})
		c.Close()
		wg.Wait()
	}
	for _, q := range r.b.Queues(nil) {
		if q.Destination.Kind == broker.TempQueue {
			t.Errorf("%s is still there", q.Destination)
		}
	}
	if n := r.b.Wildcards(); n != 0 {
		t.Errorf("%d closed subscriptions listen for new queues", n)
	}
}
