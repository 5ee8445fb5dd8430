package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"treadmq/broker"
)

// A batch is sent as a whole or not at all, in its order.
func TestBatch(t *testing.T) {
	r := newRig(t)
	uli := r.basic("uli")
	send := func(path, body string, status int, headers ...string) answer {
		t.Helper()
		return uli.do("POST", path, "application/json", body, headers...).must(t, status)
	}
	var made struct{ IDs []string }
	send("/api/v1/queues/q/batch", `{"messages":[{"body":"a","priority":9},{"bodyBase64":"AP8="},{"body":"c","headers":{"shop":"7"}}]}`, http.StatusCreated).json(t, &made)
	var list messagesJSON
	uli.get("/api/v1/queues/q/messages?body=true").must(t, http.StatusOK).json(t, &list)
	if len(made.IDs) != 3 || len(list.Items) != 3 || list.Items[0].ID != made.IDs[0] || list.Items[1].ID != made.IDs[1] || list.Items[2].Headers["shop"] != "7" {
		t.Errorf("%v %+v", made, list)
	}
	for body, status := range map[string]int{
		`{"messages":[]}`:                     400,
		`{}`:                                  400,
		`[{"body":"a"}]`:                      400,
		`{"messages":[{"body":"a"},{"x":1}]}`: 400,
		`{"messages":[{"body":"a"},{"priority":10}]}`:         400,
		`{"messages":[{"body":"a"},{"bodyBase64":"%"}]}`:      400,
		`{"messages":[` + strings.Repeat(`{},`, 500) + `{}]}`: 400,
	} {
		send("/api/v1/queues/none/batch", body, status)
	}
	if r.b.Exists(broker.Destination{Kind: broker.Queue, Name: "none"}) {
		t.Error("a refused batch was sent in part")
	}
	if a := send("/api/v1/queues/none/batch", `{"messages":[{"body":"a"},null]}`, 400); !strings.Contains(a.body, "Message 2 of the batch is null") {
		t.Errorf("null among them: %s", a.body)
	}
	if a := send("/api/v1/queues/none/batch", `{"messages":[{"body":"a"},{"priority":10}]}`, 400); !strings.Contains(a.body, "Message 2 of the batch") {
		t.Error(a.body)
	}
	first := send("/api/v1/queues/once/batch", `{"messages":[{"body":"a"},{"body":"b"}]}`, http.StatusCreated, "Idempotency-Key", "k")
	again := send("/api/v1/queues/once/batch", `{"messages":[{"body":"a"},{"body":"b"}]}`, http.StatusCreated, "Idempotency-Key", "k")
	if q, err := r.b.Queue(broker.Destination{Kind: broker.Queue, Name: "once"}); err != nil || q.Messages != 2 || first.body != again.body {
		t.Errorf("%+v %v", q, err)
	}
	send("/api/v1/topics/t/batch", `{"messages":[{"body":"a"}]}`, http.StatusCreated)
	if !strings.Contains(r.audit.String(), "action=send target=/queue/q remote=127.0.0.1 result=ok messages=3") {
		t.Error(r.audit)
	}
}
