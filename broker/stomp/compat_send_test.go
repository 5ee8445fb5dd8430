package stomp

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"treadmq/broker"
)

// A message to a queue is persistent unless it says persistent:false: that one is gone after a restart.
func TestCompatSend_Persistent(t *testing.T) {
	n := newNode(t)
	c := n.connected("")
	c.publish("/queue/a", "", "by default")
	c.publish("/queue/a", "persistent:true\n", "by wish")
	c.publish("/queue/a", "persistent:false\n", "in memory")
	c.publish("/queue/a", "JMSDeliveryMode:NON_PERSISTENT\n", "in memory too")
	n.powerCut()
	c = n.connected("")
	c.subscribe("/queue/a", "")
	for _, m := range c.take("by default", "by wish") {
		if m.get("persistent") != "true" {
			t.Fatal(m)
		}
	}
	c.nothing()
	c.publish("/queue/a", "persistent:false\n", "flag")
	if m := c.take("flag")[0]; m.get("persistent") != "" {
		t.Fatal(m)
	}
}

// Priorities from 0 to 9 are always honoured, in order within each.
func TestCompatSend_Priority(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	for _, p := range []string{"4", "0", "9", "4", "99", "-1", ""} {
		headers := ""
		if p != "" {
			headers = "priority:" + p + "\n"
		}
		c.publish("/queue/a", headers, "p"+p)
	}
	c.subscribe("/queue/a", "")
	list := c.take("p9", "p99", "p4", "p4", "p", "p0", "p-1")
	for i, want := range []string{"9", "9", "4", "4", "4", "0", "0"} {
		if got := list[i].get("priority"); got != want {
			t.Errorf("priority of %q is %s, not %s", list[i].body, got, want)
		}
	}
}

// expires is a time, x-ttl and expiration are spans; what has expired goes to the dead letters and not to a consumer.
func TestCompatSend_Expiry(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	now := time.Now().UnixMilli()
	c.publish("/queue/a", fmt.Sprintf("expires:%d\n", now-1000), "too late")
	c.publish("/queue/a", "expires:0\n", "never")
	c.publish("/queue/a", "x-ttl:3600000\n", "in an hour")
	c.publish("/queue/a", "expiration:3600000\n", "in an hour, as RabbitMQ says")
	c.publish("/queue/a", "expires:0\nx-ttl:1\n", "the first of them counts")
	c.subscribe("/queue/a", "")
	list := c.take("never", "in an hour", "in an hour, as RabbitMQ says", "the first of them counts")
	for i, expires := range []bool{false, true, true, false} {
		var at int64
		if _, err := fmt.Sscan(list[i].get("expires"), &at); err != nil {
			t.Fatal(err)
		}
		if expires != (at > now+3500_000) || !expires && at != 0 {
			t.Errorf("%s: expires is %d", list[i].body, at)
		}
	}
	dead := r.connected("")
	dead.subscribe("/queue/ActiveMQ.DLQ", "")
	if m := dead.take("too late")[0]; m.get("x-first-death-reason") != "expired" || m.get("original-destination") != "/queue/a" {
		t.Fatal(m)
	}
}

// The names of JMS are setters; the STOMP name wins. What the broker says itself cannot be set by a client.
func TestCompatSend_JMSNames(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	c.subscribe("/queue/a", "")
	later := fmt.Sprint(time.Now().Add(time.Hour).UnixMilli())
	c.publish("/queue/a", "JMSPriority:7\nJMSExpiration:"+later+"\nJMSType:t\nJMSCorrelationID:c\nJMSReplyTo:/queue/r\n"+
		"JMSTimestamp:1\nJMSXUserID:root\nJMSMessageID:mine\n", "1")
	m := c.take("1")[0]
	for name, want := range map[string]string{
		"priority": "7", "expires": later, "type": "t", "correlation-id": "c", "reply-to": "/queue/r", "persistent": "true",
		"JMSXUserID": "", "JMSPriority": "", "JMSMessageID": "",
	} {
		if got := m.get(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	c.publish("/queue/a", "priority:2\nJMSPriority:7\n", "2")
	if m := c.take("2")[0]; m.get("priority") != "2" {
		t.Fatal(m)
	}
	if m.get("timestamp") == "1" {
		t.Error("the client set the timestamp")
	}
}

// correlation-id, type, reply-to, content-type and whatever else an application sends come out as they went in.
func TestCompatSend_Carried(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	c.subscribe("/queue/a", "")
	headers := "content-type:application/json;charset=utf-8\ncorrelation-id: a b \ntype:T\nreply-to:/queue/r\ncontent-encoding:gzip\n" +
		"app-id:shop\nuser-id:guest\namqp-message-id:7\ntransformation:jms-map-json\nempty:\ncolon:a\\cb\n"
	c.publish("/queue/a", headers, "x")
	m := c.take("x")[0]
	for name, want := range map[string]string{
		"content-type": "application/json;charset=utf-8", "correlation-id": " a b ", "type": "T", "reply-to": "/queue/r",
		"content-encoding": "gzip", "app-id": "shop", "user-id": "guest", "amqp-message-id": "7", "transformation": "jms-map-json",
		"empty": "", "colon": `a\cb`,
	} {
		if got := m.get(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	c.publish("/queue/a", "reply-to:just text\n", "y")
	if m := c.take("y")[0]; m.get("reply-to") != "just text" {
		t.Fatal(m)
	}
}

// The aliases of JMSXGroupID are one header, which comes out with its sequence number.
func TestCompatSend_GroupNames(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	c.subscribe("/queue/a", "")
	for _, name := range []string{"JMSXGroupID", "message_group", "x-group-id"} {
		c.publish("/queue/a", name+":g\nJMSXGroupSeq:5\n", "x")
		if m := c.take("x")[0]; m.get("JMSXGroupID") != "g" || m.get("JMSXGroupSeq") != "5" {
			t.Fatal(m)
		}
	}
}

// A message is text without content-length and bytes with it, and says so again on the way out; its content is the same.
func TestCompatSend_TextOrBytes(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	c.subscribe("/queue/a", "")
	c.publish("/queue/a", "", "text")
	if m := c.take("text")[0]; m.get("content-length") != "" {
		t.Fatal(m)
	}
	c.publish("/queue/a", "content-length:5\n", "bytes")
	if m := c.take("bytes")[0]; m.get("content-length") != "5" {
		t.Fatal(m)
	}
	c.publish("/queue/a", "content-length:3\n", "a\x00b")
	c.take("a\x00b")
	c.publish("/queue/b", "amq-msg-type:text\ncontent-length:1\n", "x")
	c.publish("/queue/b", "", "y")
	c.publish("/queue/b", "content-length:1\n", "z")
	list, _, _, err := r.b.Browse(queueNamed("b"), broker.Cursor{}, 3, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []broker.BodyKind
	for _, m := range list {
		kinds = append(kinds, m.Message.BodyKind())
	}
	if diff := cmp.Diff([]broker.BodyKind{broker.BodyText, broker.BodyText, broker.BodyBytes}, kinds); diff != "" {
		t.Fatal(diff)
	}
}

// In a last-value queue a newer message takes the place of the older one of its key, which the policy's header names, or
// _AMQ_LVQ_NAME where that is missing.
func TestCompatSend_LastValue(t *testing.T) {
	r := newRig(t, withPolicy(func(_ broker.Destination, p *broker.Policy) { p.LastValueKey = "stock" }))
	c := r.connected("")
	for i := range 10 {
		c.publish("/queue/prices", "stock:A\n", fmt.Sprint("A", i))
		c.publish("/queue/prices", "stock:B\n", fmt.Sprint("B", i))
	}
	c.publish("/queue/prices", "", "plain")
	c.publish("/queue/prices", "_AMQ_LVQ_NAME:A\n", "A by the other name")
	until(t, "only the newest are left", func() bool { return depth(r, "/queue/prices") == 3 })
	c.subscribe("/queue/prices", "")
	c.take("B9", "plain", "A by the other name")
}
