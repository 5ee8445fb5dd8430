package stomp

import (
	"errors"
	"fmt"
	"testing"
	"time"

	gostomp "github.com/go-stomp/stomp/v3"
)

func goDial(t *testing.T, r *rig, opts ...func(*gostomp.Conn) error) *gostomp.Conn {
	t.Helper()
	opts = append(opts, gostomp.ConnOpt.UnsubscribeReceiptTimeout(5*time.Second))
	c, err := gostomp.Dial("tcp", r.addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.MustDisconnect() })
	return c
}

func TestGoStompAckModes(t *testing.T) {
	r := newRig(t)
	for _, v := range []gostomp.Version{gostomp.V10, gostomp.V11, gostomp.V12} {
		for name, mode := range map[string]gostomp.AckMode{
			"auto": gostomp.AckAuto, "client": gostomp.AckClient, "client-individual": gostomp.AckClientIndividual,
		} {
			t.Run(fmt.Sprint(v, " ", name), func(t *testing.T) {
				c := goDial(t, r, gostomp.ConnOpt.AcceptVersion(v))
				queue := fmt.Sprintf("/queue/%v-%s", v, name)
				sub, err := c.Subscribe(queue, mode)
				if err != nil {
					t.Fatal(err)
				}
				for i := range 20 {
					body := fmt.Sprintf("message:%d\\\n", i)
					if err := c.Send(queue, "text/plain", []byte(body), gostomp.SendOpt.Receipt,
						gostomp.SendOpt.Header("odd", "a:b\\c\nd")); err != nil {
						t.Fatal(err)
					}
					m := <-sub.C
					if m.Err != nil || string(m.Body) != body || m.ContentType != "text/plain" {
						t.Fatalf("got %+v", m)
					}
					if got := m.Header.Get("odd"); v != gostomp.V10 && got != "a:b\\c\nd" {
						t.Fatalf("header is %q", got)
					}
					if mode != gostomp.AckAuto {
						if err := c.Ack(m); err != nil {
							t.Fatal(err)
						}
					}
				}
				unsubscribe(t, sub)
				until(t, "everything is acknowledged", func() bool { return depth(r, queue) == 0 })
			})
		}
	}
}

// unsubscribe ends a subscription: its channel is closed when the RECEIPT came.
// go-stomp v3.1.5 announces that without the lock under which Unsubscribe waits for
// it, so that Unsubscribe now and then waits for its time-out although all is done.
func unsubscribe(t *testing.T, sub *gostomp.Subscription) {
	t.Helper()
	err := sub.Unsubscribe()
	if err == nil {
		return
	}
	if m, open := <-sub.C; !errors.Is(err, &gostomp.ErrUnsubscribeReceiptTimeout) || open {
		t.Fatalf("%v, channel open %v: %+v", err, open, m)
	}
}

func depth(r *rig, name string) int64 {
	for _, q := range r.b.Queues(nil) {
		if "/queue/"+q.Destination.Name == name {
			return q.Messages
		}
	}
	return -1
}

func TestGoStompNackAndRedelivery(t *testing.T) {
	r := newRig(t, transcriptOptions["retry at once"])
	c := goDial(t, r)
	sub, err := c.Subscribe("/queue/a", gostomp.AckClientIndividual)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := c.Subscribe("/queue/ActiveMQ.DLQ", gostomp.AckAuto)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send("/queue/a", "", []byte("poison")); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		m := <-sub.C
		if again := m.Header.Get("redelivered") == "true"; again != (i > 0) {
			t.Fatalf("delivery %d: redelivered is %v", i+1, again)
		}
		if err := c.Nack(m); err != nil {
			t.Fatal(err)
		}
	}
	if m := <-dead.C; string(m.Body) != "poison" || m.Header.Get("original-destination") != "/queue/a" {
		t.Fatalf("got %+v", m)
	}
}

func TestGoStompTransaction(t *testing.T) {
	r := newRig(t)
	c := goDial(t, r)
	sub, err := c.Subscribe("/queue/in", gostomp.AckClientIndividual)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send("/queue/in", "", []byte("work")); err != nil {
		t.Fatal(err)
	}
	m := <-sub.C
	tx, err := c.BeginWithError()
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Ack(m); err != nil {
		t.Fatal(err)
	}
	if err := tx.Send("/queue/out", "", []byte("result")); err != nil {
		t.Fatal(err)
	}
	if d := depth(r, "/queue/out"); d > 0 {
		t.Fatalf("the result is visible before the commit: %d", d)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	until(t, "the transaction is carried out", func() bool { return depth(r, "/queue/out") == 1 && depth(r, "/queue/in") == 0 })
}

func TestGoStompLogin(t *testing.T) {
	r := newRig(t, transcriptOptions["users"])
	goDial(t, r, gostomp.ConnOpt.Login("alice", "se:cret"))
	_, err := gostomp.Dial("tcp", r.addr, gostomp.ConnOpt.Login("alice", "wrong"))
	if err == nil {
		t.Fatal("a wrong login was let in")
	}
}

// Both sides keep an otherwise idle connection alive, and notice when the other does not.
func TestGoStompHeartBeat(t *testing.T) {
	r := newRig(t)
	c := goDial(t, r, gostomp.ConnOpt.HeartBeat(500*time.Millisecond, 500*time.Millisecond), gostomp.ConnOpt.HeartBeatError(0))
	sub, err := c.Subscribe("/queue/a", gostomp.AckAuto)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-sub.C:
		t.Fatalf("connection lost: %v", m.Err)
	case <-time.After(1200 * time.Millisecond): // go-stomp gives up without a heart-beat for 500 ms
	}
	if err := c.Send("/queue/a", "", []byte("alive")); err != nil {
		t.Fatal(err)
	}
	if m := <-sub.C; m.Err != nil {
		t.Fatal(m.Err)
	}
}
