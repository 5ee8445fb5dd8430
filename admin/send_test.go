package admin_test

import (
	"net/http"
	"testing"
)

// TestSendHeadersAreThoseOfSEND: headers mean here what they mean in a SEND frame, JMS names, spellings of other
// brokers and refusals included.
func TestSendHeadersAreThoseOfSEND(t *testing.T) {
	r := newRig(t)
	c := r.basic("uli")
	path := "/api/v1/queues/q/messages"
	c.send(path, `{"headers":{"JMSPriority":"8","JMSType":"jms","priority":"2","message_group":"g","JMSDeliveryMode":"NON_PERSISTENT",
		"JMSRedelivered":"true","x-group-id":"too late"}}`)
	var m messagesJSON
	c.get(path).must(t, http.StatusOK).json(t, &m)
	if len(m.Items) != 1 {
		t.Fatalf("%+v", m)
	}
	got := m.Items[0]
	if got.Priority != 2 || got.Persistent || got.Headers["type"] != "jms" || got.Headers["JMSXGroupID"] != "g" || got.Headers["JMSRedelivered"] != "" {
		t.Errorf("%+v", got)
	}
	c.do("POST", path, "application/json", `{"headers":{"x-on-full":"fail"}}`).must(t, http.StatusBadRequest)
}
