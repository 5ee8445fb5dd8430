package stomp

import (
	"fmt"
	"sync"
	"testing"
)

// TestUnsubscribeReturnsNothingSeen: what comes back from a subscription in mode auto that ends in the middle of its
// messages was never written, so nobody gets a message twice, or flagged as if.
func TestUnsubscribeReturnsNothingSeen(t *testing.T) {
	r := newRig(t)
	producer, consumer := r.connected(""), r.connected("")
	const rounds, each = 40, 50
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		for i := range rounds * each {
			if _, err := fmt.Fprintf(producer.nc, "SEND\ndestination:/queue/a\npersistent:false\n\n%d\x00", i); err != nil {
				t.Error(err)
				return
			}
		}
	})
	seen := map[string]bool{}
	for round := 0; len(seen) < rounds*each; round++ {
		if round == 100*rounds {
			t.Fatalf("only %d of %d messages came", len(seen), rounds*each)
		}
		consumer.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/queue/a\n\n\x00", round))
		check(t, seen, consumer.expect("MESSAGE")) // more are on their way while the subscription ends
		consumer.send(fmt.Sprintf("UNSUBSCRIBE\nid:%d\nreceipt:%d\n\n\x00", round, round))
		for {
			f, err := consumer.read()
			if err != nil {
				t.Fatal(err)
			}
			if f.command == "RECEIPT" {
				break
			}
			check(t, seen, f)
		}
	}
}

func check(t *testing.T, seen map[string]bool, f got) {
	t.Helper()
	if f.get("redelivered") != "" || seen[f.body] {
		t.Fatalf("seen before %v: %s", seen[f.body], f)
	}
	seen[f.body] = true
}
