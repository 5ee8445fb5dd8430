package ha

import (
	"testing"

	"treadmq/store"
	"treadmq/store/local"
)

// counted is a service that counts without a lock: OnGroup is for one goroutine.
type counted struct {
	*service
	calls int
}

func (c *counted) OnGroup() { c.calls++ }

// TestOnGroupIsCalledOnTheCommitGoroutine: a service may have commits under way while it begins, and is told of them
// all. Two callers at a time are found by the race detector.
func TestOnGroupIsCalledOnTheCommitGoroutine(t *testing.T) {
	const batches = 300
	committed := make(chan error, batches)
	c := &counted{service: &service{stopped: make(chan struct{})}}
	g := newGroup(t, 1, memory(), func(o *Options) {
		o.Serve = func(s *local.Store, _ store.Epoch) (Service, error) {
			go func() {
				for range batches {
					b := &store.Batch{Done: func(_ *store.Batch, err error) { committed <- err }}
					b.Enqueue(store.Message{Encoded: []byte("x")}, store.NewRef{Dest: 1, Lane: 4})
					if err := s.Append(b); err != nil {
						committed <- err
					}
				}
			}()
			return c, nil
		}
	})
	for range batches {
		if err := <-committed; err != nil {
			t.Fatal(err)
		}
	}
	if err := g.members[0].end(); err != nil {
		t.Fatal(err)
	}
	if c.calls == 0 {
		t.Error("the service was not told of any commit")
	}
}
