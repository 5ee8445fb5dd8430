package stomp

import (
	"fmt"
	"strings"
	"testing"
)

// What is not offered is refused in words that name it, and nothing of it is carried out: a client that counts on it learns
// so at once.
func TestCompatNotOffered_Refused(t *testing.T) {
	r := newRig(t)
	c := r.connected("x-errors:soft\n")
	refused := func(frame, header string) {
		t.Helper()
		c.send(frame)
		e := c.expect("ERROR")
		if name, _, _ := strings.Cut(header, ":"); e.get("x-code") != "not-offered" || !strings.Contains(e.get("message")+e.body, name) {
			t.Errorf("%s: refused with %v", header, e)
		}
	}
	for _, header := range []string{"x-max-deliveries:1", "x-dead-letter-to:/queue/b", "x-on-full:fail", "x-reply-timeout:1"} {
		refused(fmt.Sprintf("SEND\ndestination:/queue/a\nreceipt:r\n%s\n\nx\x00", header), header)
	}
	for _, header := range []string{"x-stream-offset:first", "from-seq:1", "from-time:0"} {
		refused(fmt.Sprintf("SUBSCRIBE\nid:1\ndestination:/queue/a\nreceipt:r\n%s\n\n\x00", header), header)
	}
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nreceipt:r\nselector:XPATH 'a/b'\n\n\x00")
	if e := c.expect("ERROR"); e.get("x-code") != "bad-selector" {
		t.Error(e)
	}
	if got := depth(r, "/queue/a"); got > 0 {
		t.Errorf("%d messages were sent all the same", got)
	}
	c.subscribe("/queue/a", "")
	c.nothing()
}

// Arguments of RabbitMQ's queues that mean nothing here do no harm, on a queue that is made by them and on one that is there.
func TestCompatNotOffered_Ignored(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	const arguments = "x-queue-type:quorum\nx-dead-letter-exchange:dlx\nx-max-priority:3\nx-max-age:1D\ndurable:true\nauto-delete:false\n"
	c.publish("/queue/a", arguments+"priority:9\n", "first")
	c.publish("/queue/a", "", "second")
	c.subscribe("/queue/a", arguments)
	if m := c.take("first", "second")[0]; m.get("priority") != "9" {
		t.Errorf("the priority is %q", m.get("priority"))
	}
}
