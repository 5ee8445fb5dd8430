package stomp

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var plainID = regexp.MustCompile(`^ID-[A-Za-z0-9._-]+$`)

// A message has one id, made of letters, digits, dots, dashes and underscores, for all who get it, over redeliveries,
// restarts and its death. The id for ACK is of the delivery.
func TestCompatMessage_Identity(t *testing.T) {
	n := newNode(t)
	c, one, two := n.connected(""), n.connected(""), n.connected("")
	one.subscribe("/topic/t", "")
	two.subscribe("/topic/t", "")
	c.publish("/topic/t,/queue/a", "message-id:mine\n", "x")
	id := one.take("x")[0].get("message-id")
	if !plainID.MatchString(id) || two.take("x")[0].get("message-id") != id {
		t.Fatal(id)
	}
	last := ""
	take := func(destination, then string) got {
		c := n.connected("")
		c.subscribe(destination, "ack:client-individual\n")
		m := c.take("x")[0]
		if m.get("message-id") != id || m.get("ack") == last || m.get("ack") == "" {
			t.Fatal(m)
		}
		last = m.get("ack")
		if then != "" {
			c.send(then + "\nid:" + last + "\nrequeue:false\n\n\x00")
		}
		c.bye()
		return m
	}
	take("/queue/a", "")
	take("/queue/a", "")
	n.restart()
	last = ""
	take("/queue/a", "")
	n.powerCut()
	last = ""
	take("/queue/a", "NACK")
	if m := take("/queue/ActiveMQ.DLQ", "ACK"); m.get("original-destination") != "/queue/a" {
		t.Fatal(m)
	}
}

// The headers that every MESSAGE has, and those that it has only when there is something to say.
func TestCompatMessage_Headers(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	c.subscribe("/queue/a", "ack:client-individual\n")
	before := time.Now().UnixMilli()
	c.publish("/queue/a", "z:1\na:2\nm:3\nz:4\n", "x")
	m := c.take("x")[0]
	at, err := strconv.ParseInt(m.get("timestamp"), 10, 64)
	if err != nil || at < before || at > time.Now().UnixMilli() {
		t.Errorf("timestamp %q, sent after %d", m.get("timestamp"), before)
	}
	for name, want := range map[string]string{
		"subscription": "s", "destination": "/queue/a", "expires": "0", "priority": "4", "persistent": "true",
		"redelivered": "", "JMSXDeliveryCount": "", "correlation-id": "", "reply-to": "", "type": "", "content-length": "", "content-type": "",
		"original-destination": "", "JMSXUserID": "", "JMSXGroupID": "",
	} {
		if got := m.get(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	var own []string
	for _, h := range m.headers {
		if len(h) == 3 {
			own = append(own, h)
		}
	}
	if got := strings.Join(own, " "); got != "z:1 a:2 m:3" {
		t.Errorf("the application's headers are %q", got)
	}
	c.publish("/queue/a", "persistent:false\n", "y")
	if m := c.take("y")[0]; m.get("persistent") != "" {
		t.Error(m)
	}
}
