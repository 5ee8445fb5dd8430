package broker_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"treadmq/broker"
)

func retroactive(o *broker.SubscribeOptions) { o.Retroactive = true }

func retain(b *broker.Builder)   { b.Flags |= broker.FlagRetain }
func unretain(b *broker.Builder) { b.Flags |= broker.FlagUnretain }

func TestRetroactiveSubscriberGetsWhatTheTopicKeeps(t *testing.T) {
	body := strings.Repeat("x", 1000)
	for name, x := range map[string]struct {
		recovery broker.Recovery
		key      string
		want     []string
	}{
		"none":        {},
		"last image":  {recovery: broker.Recovery{Kind: broker.RecoverLastImage}, want: []string{"9"}},
		"fixed count": {recovery: broker.Recovery{Kind: broker.RecoverCount, Count: 3}, want: []string{"7", "8", "9"}},
		"fixed size":  {recovery: broker.Recovery{Kind: broker.RecoverBytes, Bytes: 2200}, want: []string{"8", "9"}},
		"timed":       {recovery: broker.Recovery{Kind: broker.RecoverTimed, Duration: time.Hour}, want: strings.Split("0123456789", "")},
		"bounded":     {recovery: broker.Recovery{Kind: broker.RecoverTimed, Duration: time.Hour, Bytes: 1100}, want: []string{"9"}},
		"last value":  {key: "k", want: []string{"7", "8", "9"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withPolicy(func(p *broker.Policy) { p.Recovery, p.LastValueKey = x.recovery, x.key }))
			p, d := r.connect(), topicNamed("t")
			for i := range 10 {
				p.send(d, fmt.Sprint(i)+body, property("k", fmt.Sprint(i%3)))
			}
			plain, c := r.connect(), r.connect()
			plain.subscribe(d)
			c.subscribe(d, retroactive)
			p.send(d, "live")
			var got []string
			for _, d := range c.take(len(x.want) + 1) {
				got = append(got, strings.TrimSuffix(string(d.Message.Body()), body))
			}
			if fmt.Sprint(got) != fmt.Sprint(append(x.want, "live")) {
				t.Errorf("it got %v, expected %v", got, x.want)
			}
			wantBodies(t, plain.take(1), "live")
		})
	}
}

func TestAlwaysRetroactive(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) {
		p.Recovery = broker.Recovery{Kind: broker.RecoverCount, Count: 10, Always: true}
	}))
	p, d := r.connect(), topicNamed("t")
	p.send(d, "a", property("k", "1"))
	p.send(d, "b", property("k", "2"))
	c := r.connect()
	c.subscribe(d, selecting("k = '2'"))
	wantBodies(t, c.take(1), "b")
}

// Each subscriber gets each message just once, before or after its subscription.
func TestRetroactiveWhilePublishing(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) {
		p.Recovery = broker.Recovery{Kind: broker.RecoverCount, Count: 100_000, Bytes: 1 << 30}
		p.PendingBytes = 1 << 30
	}))
	p, d := r.connect(), topicNamed("t")
	const n = 2000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range n {
			p.send(d, fmt.Sprint(i))
		}
	}()
	for range 10 {
		c := r.connect()
		c.subscribe(d, retroactive, auto, prefetch(10_000))
		defer func() {
			for i, x := range c.take(n) {
				if string(x.Message.Body()) != fmt.Sprint(i) {
					t.Errorf("message %d is %s", i, x.Message.Body())
					return
				}
			}
		}()
	}
	<-done
}

func TestRetainedMessage(t *testing.T) {
	r := newRig(t)
	p, d := r.connect(), topicNamed("t")
	sees := func(want ...string) {
		t.Helper()
		c := r.connect()
		c.subscribe(d)
		p.send(d, "live")
		ds := c.take(len(want) + 1)
		wantBodies(t, ds, append(want, "live")...)
		if len(want) > 0 && len(ds[0].Overlay) == 0 {
			t.Error("the retained message does not say so")
		}
		c.Conn.Close()
	}
	sees()
	p.send(d, "1", retain)
	p.send(d, "2", retain)
	sees("2")
	r.restart()
	p = r.connect()
	sees("2")
	p.send(d, "gone", unretain)
	sees()
	p.send(d, "3", retain)
	r.crash()
	p = r.connect()
	sees("3")
	p.send(d, "memory", retain, volatile)
	sees("memory")
	r.restart()
	p = r.connect()
	sees()
	p.send(d, "4", retain)
	p.send(d, "gone", unretain, volatile)
	r.crash()
	p = r.connect()
	sees()
	p.send(d, "5", retain)
	if err := r.b.DeleteTopic(d); err != nil {
		t.Fatal(err)
	}
	sees()
}

func TestRetainedMessagesAreBounded(t *testing.T) {
	r := newRig(t)
	p, d := r.connect(), topicNamed("t")
	w := p.NewWork()
	if err := w.Send([]broker.Destination{d}, message(d, strings.Repeat("x", 2<<20), retain)); code(err) != broker.CodeTooLarge {
		t.Errorf("a large one: %v", err)
	}
}

func TestTimedRecoveryForgets(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	r := newRig(t, func(r *rig) { r.now = func() time.Time { return time.Unix(0, now.Load()) } },
		withPolicy(func(p *broker.Policy) {
			p.Recovery = broker.Recovery{Kind: broker.RecoverTimed, Duration: time.Minute}
		}))
	p, d := r.connect(), topicNamed("t")
	p.send(d, "old")
	now.Add(int64(50 * time.Second))
	p.send(d, "new")
	now.Add(int64(20 * time.Second))
	c := r.connect()
	c.subscribe(d, retroactive)
	wantBodies(t, c.take(1), "new")
}
