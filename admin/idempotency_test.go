package admin_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"treadmq/admin"
	"treadmq/broker"
)

// The same key sends a message once.
func TestIdempotencyKey(t *testing.T) {
	at := time.Now()
	r := newRig(t, func(o *admin.Options) { o.Now = func() time.Time { return at } })
	send := func(user, path, key, body string, status int) answer {
		t.Helper()
		return r.basic(user).do("POST", path, "application/json", body, "Idempotency-Key", key).must(t, status)
	}
	depth := func(name string) int64 {
		t.Helper()
		q, err := r.b.Queue(broker.Destination{Kind: broker.Queue, Name: name})
		if err != nil {
			return 0
		}
		return q.Messages
	}
	const q = "/api/v1/queues/q/messages"
	first := send("uli", q, "k1", `{"body":"x","headers":{"a":"1"}}`, http.StatusCreated)
	again := send("uli", q, "k1", `{"headers":{"a":"1"},"body":"x"}`, http.StatusCreated)
	if first.body != again.body || first.header.Get("Idempotency-Replayed") != "" || again.header.Get("Idempotency-Replayed") != "true" || depth("q") != 1 {
		t.Errorf("%s %s %v; %d messages", first.body, again.body, again.header, depth("q"))
	}
	send("uli", q, "k1", `{"body":"y","headers":{"a":"1"}}`, http.StatusUnprocessableEntity)
	send("uli", "/api/v1/queues/other/messages", "k1", `{"body":"x","headers":{"a":"1"}}`, http.StatusUnprocessableEntity)
	send("alice", q, "k1", `{"body":"x"}`, http.StatusCreated) // another user's key
	send("uli", q, "k2", `{"body":"x","headers":{"a":"1"}}`, http.StatusCreated)
	send("uli", q, strings.Repeat("k", 256), `{"body":"x"}`, http.StatusBadRequest)
	if depth("q") != 3 || depth("other") != 0 {
		t.Errorf("%d and %d messages", depth("q"), depth("other"))
	}
	// What was refused may be tried again with its key.
	send("uli", "/api/v1/queues/small/messages", "s", `{"body":"x"}`, http.StatusCreated)
	send("uli", "/api/v1/queues/small/messages", "t", `{"body":"y"}`, http.StatusServiceUnavailable)
	r.basic("alice").do("POST", "/api/v1/queues/small/purge", "", "").must(t, http.StatusOK)
	send("uli", "/api/v1/queues/small/messages", "t", `{"body":"y"}`, http.StatusCreated)
	// After a day a key is another one.
	at = at.Add(25 * time.Hour)
	send("uli", q, "k1", `{"body":"z"}`, http.StatusCreated)
	if n := strings.Count(r.audit.String(), "action=send target=/queue/q "); n != 4 {
		t.Errorf("%d messages in the audit log: %s", n, r.audit)
	}
}

func TestIdempotencyKeysAreBounded(t *testing.T) {
	k := admin.NewSentKeys()
	for i := range admin.MaxSentKeys + 10 {
		k.Take(t, i)
	}
	if n := k.Len(); n > admin.MaxSentKeys {
		t.Errorf("%d keys are kept", n)
	}
	if k.Known(0) || !k.Known(admin.MaxSentKeys+9) {
		t.Error("the newest went, or the oldest stayed")
	}
}
