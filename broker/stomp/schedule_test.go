package stomp

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func inMillis(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).UnixMilli()) }

// Semantics 2.3, row Delay: every spelling of a delay and of a time.
func TestDelay(t *testing.T) {
	n := newNode(t)
	c, p := n.connected(""), n.connected("")
	c.subscribe("/queue/q", "ack:auto\n")
	const delay = 40 * time.Millisecond
	rfc := func(d time.Duration) string { return time.Now().Add(d).Format(time.RFC3339Nano) }
	short := func(time.Duration) string { return "40" }
	for _, h := range []struct {
		name  string
		value func(time.Duration) string
	}{
		{"AMQ_SCHEDULED_DELAY", short}, {"x-delay", short}, {"AMQ_SCHEDULED_PERIOD", short},
		{"AMQ_SCHEDULED_TIME", inMillis}, {"x-deliver-at", inMillis}, {"_AMQ_SCHED_DELIVERY", inMillis}, {"x-deliver-at", rfc},
	} {
		start := time.Now()
		p.publish("/queue/q", h.name+": "+h.value(delay)+" \npriority:6\nk:v\n", "later")
		m := c.expect("MESSAGE")
		if early := delay - time.Since(start); early > 2*time.Millisecond { // times are in ms
			t.Fatalf("%s: %v early", h.name, early)
		}
		if m.body != "later" || m.get("priority") != "6" || m.get("k") != "v" || m.get("persistent") != "true" {
			t.Fatalf("%s: %v", h.name, m)
		}
		if m.get("scheduledJobId") != m.get("message-id") {
			t.Fatalf("%s: %v", h.name, m)
		}
		if m.get(h.name) != "" {
			t.Fatalf("%s comes out again: %v", h.name, m)
		}
	}
}

// What is due at once is an ordinary message.
func TestDelay_None(t *testing.T) {
	n := newNode(t)
	c := n.connected("")
	c.subscribe("/queue/q", "ack:auto\n")
	for _, h := range []string{"AMQ_SCHEDULED_DELAY:0", "x-delay:", "x-deliver-at:2020-01-01T00:00:00+02:00", "x-deliver-at:1700000000000", "AMQ_SCHEDULED_CRON:"} {
		c.send("SEND\ndestination:/queue/q\n" + h + "\n\nat once\x00")
		if m := c.expect("MESSAGE"); m.body != "at once" || m.get("scheduledJobId") != "" {
			t.Fatalf("%s: %v", h, m)
		}
	}
}

// Delay with topics, lists of destinations, virtual topics, durable subscriptions, selectors.
func TestDelay_Destinations(t *testing.T) {
	n := newNode(t)
	c, live, p := n.connected(""), n.connected(""), n.connected("")
	c.subscribe("/queue/Consumer.A.VirtualTopic.X", "ack:auto\n")
	d := n.connected("client-id:me\n")
	d.subscribe("/topic/VirtualTopic.X", "activemq.subscriptionName:d\nack:auto\n")
	live.subscribe("/topic/>", "selector:scheduledJobId = 'n' AND k = 'v'\n")
	q := n.connected("")
	q.subscribe("/queue/q", "selector:scheduledJobId = 'n'\nack:auto\n")
	p.publish("/topic/VirtualTopic.X,/queue/q", "x-delay:20\nx-schedule-id:n\nk:v\n", "all")
	for _, x := range []struct {
		c    *client
		dest string
	}{{c, "/queue/Consumer.A.VirtualTopic.X"}, {live, "/topic/VirtualTopic.X"}, {q, "/queue/q"}, {d, "/topic/VirtualTopic.X"}} {
		m := x.c.expect("MESSAGE")
		if m.body != "all" || m.get("scheduledJobId") != "n" || m.get("destination") != x.dest || m.get("k") != "v" {
			t.Fatalf("%s: %v", x.dest, m)
		}
		if x.c == c && m.get("original-destination") != "/topic/VirtualTopic.X" {
			t.Fatal(m)
		}
	}
}

// A time to live counts from the delivery, and in a transaction all is in one record.
func TestDelay_ExpiryAndTransaction(t *testing.T) {
	n := newNode(t)
	c, p := n.connected(""), n.connected("")
	c.subscribe("/queue/q", "ack:auto\n")
	p.send("BEGIN\ntransaction:t\n\n\x00")
	p.publish("/queue/q", "transaction:t\nx-delay:30\nx-ttl:3600000\n", "later")
	p.publish("/queue/q", "transaction:t\n", "now")
	if got := n.b.ScheduleCount(); got != 0 {
		t.Fatalf("%d schedules before the commit", got)
	}
	p.send("COMMIT\ntransaction:t\nreceipt:c\n\n\x00")
	p.expectReceipt("c")
	c.take("now")
	m := c.take("later")[0]
	var sent, expires int64
	fmt.Sscan(m.get("timestamp"), &sent)
	fmt.Sscan(m.get("expires"), &expires)
	if ttl := expires - sent; ttl < 3600_000+30 {
		t.Fatalf("it lives %d ms from its sending on", ttl)
	}
	p.send("BEGIN\ntransaction:t\n\n\x00")
	p.publish("/queue/q", "transaction:t\nx-delay:1\n", "never")
	p.send("ABORT\ntransaction:t\nreceipt:a\n\n\x00")
	p.expectReceipt("a")
	if got := n.b.ScheduleCount(); got != 0 {
		t.Fatalf("%d schedules after ABORT", got)
	}
}

// A delayed message is on disk when its receipt comes, persistent or not: it survives a power cut.
func TestDelay_PowerCut(t *testing.T) {
	n := newNode(t)
	c := n.connected("")
	due := inMillis(time.Second)
	c.publish("/queue/q", "x-deliver-at:"+due+"\n", "kept")
	c.publish("/queue/q", "x-deliver-at:"+due+"\npersistent:false\n", "memory only, once delivered")
	c.publish("/queue/q", "persistent:false\n", "lost")
	n.powerCut()
	c = n.connected("")
	c.subscribe("/queue/q", "ack:auto\n")
	for _, m := range c.take("kept", "memory only, once delivered") {
		if m.get("redelivered") != "" || (m.get("persistent") == "true") != (m.body == "kept") {
			t.Fatal(m)
		}
	}
}

// Semantics 2.3, row Repeat / cron.
func TestRepeat(t *testing.T) {
	n := newNode(t)
	c, p := n.connected(""), n.connected("")
	c.subscribe("/queue/q", "ack:auto\n")
	p.publish("/queue/q", "AMQ_SCHEDULED_DELAY:20\nAMQ_SCHEDULED_PERIOD:10\nAMQ_SCHEDULED_REPEAT:3\nx-schedule-id:r\n", "x")
	ids := map[string]bool{}
	for _, m := range c.take("x", "x", "x", "x") {
		ids[m.get("message-id")] = true
		if m.get("scheduledJobId") != "r" {
			t.Fatal(m)
		}
	}
	if len(ids) != 4 {
		t.Fatalf("%d message ids", len(ids))
	}
	until(t, "the schedule has ended", func() bool { return n.b.ScheduleCount() == 0 })
	p.publish("/queue/q", "", "end")
	c.take("end")
}

// Cron begins in the future; its next time can be looked at.
func TestCron(t *testing.T) {
	n := newNode(t)
	c := n.connected("")
	c.publish("/queue/q", "AMQ_SCHEDULED_CRON:30 8 1 12 *\nx-cron-tz:Europe/Berlin\nx-schedule-id:advent\n", "x")
	i, _, err := n.b.Schedule("advent")
	if err != nil {
		t.Fatal(err)
	}
	if got := i.Due.UTC().Format("01-02 15:04:05"); got != "12-01 07:30:00" {
		t.Fatalf("due %s", got)
	}
	c.publish("/queue/q", "AMQ_SCHEDULED_CRON:0 0 1 1 *\nx-cron-tz:UTC\nAMQ_SCHEDULED_DELAY:1000\nAMQ_SCHEDULED_PERIOD:1000\nAMQ_SCHEDULED_REPEAT:9\nx-schedule-id:burst\n", "x")
	if i, _, err = n.b.Schedule("burst"); err != nil || i.Due.UTC().Format("01-02 15:04:05") != "01-01 00:00:01" || i.Left != 9 {
		t.Fatalf("%+v %v", i, err)
	}
}

func TestSchedule_BadHeaders(t *testing.T) {
	n := newNode(t)
	for _, x := range []struct{ headers, header, text string }{
		{"AMQ_SCHEDULED_DELAY:soon", "AMQ_SCHEDULED_DELAY", "must be a number"},
		{"AMQ_SCHEDULED_DELAY:-1", "AMQ_SCHEDULED_DELAY", "must be a number"},
		{"x-delay:9999999999999999", "x-delay", "the most is"},
		{"x-delay:99999999999999999999999", "x-delay", "must be a number"},
		{"x-delay:1\nAMQ_SCHEDULED_PERIOD:1e3", "AMQ_SCHEDULED_PERIOD", "must be a number"},
		{"x-delay:1\nAMQ_SCHEDULED_REPEAT:-2", "AMQ_SCHEDULED_REPEAT", "must be a number"},
		{"x-delay:1\nAMQ_SCHEDULED_REPEAT:99999999999", "AMQ_SCHEDULED_REPEAT", "the most is"},
		{"AMQ_SCHEDULED_REPEAT:3", "AMQ_SCHEDULED_REPEAT", "it needs AMQ_SCHEDULED_PERIOD"},
		{"x-delay:1\nAMQ_SCHEDULED_REPEAT:-1", "AMQ_SCHEDULED_REPEAT", "needs AMQ_SCHEDULED_PERIOD"},
		{"AMQ_SCHEDULED_CRON:* * * * *\nAMQ_SCHEDULED_PERIOD:1\nAMQ_SCHEDULED_REPEAT:-1", "AMQ_SCHEDULED_REPEAT", "must have an end"},
		{"AMQ_SCHEDULED_CRON:TZ=0", "AMQ_SCHEDULED_CRON", "five"},
		{"AMQ_SCHEDULED_CRON:0 0 31 2 *", "AMQ_SCHEDULED_CRON", "no month"},
		{"AMQ_SCHEDULED_CRON:* * * * *\nx-cron-tz:Mars/Olympus", "x-cron-tz", "no time zone"},
		{"x-delay:1\nx-cron-tz:UTC", "x-cron-tz", "AMQ_SCHEDULED_CRON"},
		{"x-deliver-at:tomorrow", "x-deliver-at", "ms since 1970, or a time such as"},
		{"AMQ_SCHEDULED_TIME:1790000000", "AMQ_SCHEDULED_TIME", "not seconds"},
		{"_AMQ_SCHED_DELIVERY:999999999999999999", "_AMQ_SCHED_DELIVERY", "9999"},
		{"x-schedule-until:2030-01-01T00:00:00Z", "x-schedule-until", "nothing says when"},
		{"x-delay:1\nx-schedule-id:" + strings.Repeat("n", 256), "x-schedule-id", "256 bytes"},
		{"x-delay:1\nx-schedule-id:ID-x", "x-schedule-id", "begins with"},
		{"x-deliver-at:9000-01-01T00:00:00Z", "", "ahead"},
		{"x-delay:3600000\nx-schedule-until:" + inMillis(time.Minute), "", "ends before its first delivery"},
	} {
		c := n.connected("")
		c.send("SEND\ndestination:/queue/q\nreceipt:r\n" + x.headers + "\n\nbody\x00")
		m := c.expect("ERROR")
		if code := m.get("x-code"); m.get("receipt-id") != "r" || (code != "bad-request" && code != "limit") {
			t.Errorf("%s: %v", x.headers, m)
		}
		if text := m.get("message") + " " + m.body; !strings.Contains(text, x.header) || !strings.Contains(text, x.text) {
			t.Errorf("%s: %v", x.headers, m)
		}
	}
}

// request sends a request about schedules, and returns the answers that come before its receipt is used up.
func (c *client) request(dest, headers string) {
	c.t.Helper()
	c.send("SEND\ndestination:" + dest + "\nreceipt:req\n" + headers + "\n\x00")
}

// Semantics 2.3, row Schedule admin, as ActiveMQ's clients do it.
func TestScheduleAdmin_ActiveMQ(t *testing.T) {
	n := newNode(t)
	c := n.connected("")
	c.subscribe("/temp-queue/answers", "ack:auto\n")
	p := n.connected("")
	p.publish("/queue/a", "AMQ_SCHEDULED_DELAY:3600000\nk:v\ncorrelation-id:c1\n", "one")
	p.publish("/queue/b", "AMQ_SCHEDULED_CRON:0 0 1 1 *\n", "two")
	const admin = "/topic/ActiveMQ.Scheduler.Management"
	browse := func(headers string, bodies ...string) []got {
		t.Helper()
		c.request(admin, "AMQ_SCHEDULER_ACTION:BROWSE\nreply-to:/temp-queue/answers\n"+headers)
		var list []got
		for len(list) <= len(bodies) {
			g, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, g)
		}
		var answers []got
		for _, g := range list {
			if g.command == "MESSAGE" {
				answers = append(answers, g)
			}
		}
		if len(answers) != len(bodies) {
			t.Fatalf("%d answers: %v", len(answers), list)
		}
		for i, g := range answers {
			if g.body != bodies[i] {
				t.Fatalf("answer %d: %v", i, g)
			}
		}
		return answers
	}
	got := browse("", "one", "two")
	if m := got[0]; m.get("k") != "v" || m.get("correlation-id") != "c1" || m.get("AMQ_SCHEDULED_DELAY") != "3600000" || m.get("x-destination") != "/queue/a" || m.get("scheduledJobId") == "" {
		t.Fatal(m)
	}
	if m := got[1]; m.get("AMQ_SCHEDULED_CRON") != "0 0 1 1 *" || m.get("x-destination") != "/queue/b" {
		t.Fatal(m)
	}
	browse("ACTION_START_TIME:"+inMillis(0)+"\nACTION_END_TIME:"+inMillis(2*time.Hour)+"\n", "one")
	browse("ACTION_START_TIME:0\nACTION_END_TIME:" + inMillis(30*time.Minute) + "\n")
	more := browse("x-limit:1\n", "one")
	browse("x-cursor:"+more[0].get("x-next")+"\n", "two")
	c.request(admin, "AMQ_SCHEDULER_ACTION:REMOVE\nscheduledJobId:"+got[0].get("scheduledJobId")+"\n")
	c.expectReceipt("req")
	browse("", "two")
	c.request("/queue/ActiveMQ.Scheduler.Management", "AMQ_SCHEDULER_ACTION:removeall\n")
	c.expectReceipt("req")
	browse("")
	if n.b.ScheduleCount() != 0 {
		t.Fatal("something is left")
	}
}

// Semantics 5 #10: names that replace and cancel, and lists in JSON.
func TestScheduleAdmin_Names(t *testing.T) {
	n := newNode(t)
	c := n.connected("")
	c.subscribe("/temp-queue/answers", "ack:auto\n")
	c.publish("/queue/a", "x-delay:3600000\nx-schedule-id:inv-42\n", "old")
	c.publish("/queue/a", "x-deliver-at:2035-12-01T08:00:00Z\nx-schedule-id:inv-42\n", "new")
	c.publish("/queue/b", "x-delay:3600000\nx-schedule-id:inv-43\n", "other")
	type answer struct {
		Schedules []struct {
			ID           string
			Destinations []string
			Due          time.Time
		}
		Next string
	}
	list := func(headers string) (a answer) {
		t.Helper()
		c.request("/broker/schedules", "x-action:list\nreply-to:/temp-queue/answers\ncorrelation-id:9\n"+headers)
		for range 2 {
			g, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			if g.command == "MESSAGE" {
				if g.get("correlation-id") != "9" || g.get("content-type") != "application/json" {
					t.Fatal(g)
				}
				if err := json.Unmarshal([]byte(g.body), &a); err != nil {
					t.Fatalf("%v: %v", err, g)
				}
			}
		}
		return a
	}
	a := list("")
	if len(a.Schedules) != 2 || a.Schedules[1].ID != "inv-42" || a.Schedules[1].Due.Format(time.RFC3339) != "2035-12-01T08:00:00Z" {
		t.Fatalf("%+v", a)
	}
	if a = list("x-destination:/queue/b\n"); len(a.Schedules) != 1 || a.Schedules[0].ID != "inv-43" || a.Schedules[0].Destinations[0] != "/queue/b" {
		t.Fatalf("%+v", a)
	}
	// A schedule that is on its way when it is cancelled is cancelled.
	c.send("SEND\ndestination:/queue/a\nx-delay:30\nx-schedule-id:x\n\nnever\x00")
	for _, name := range []string{"x", "inv-42", "unknown"} {
		c.request("/broker/schedules", "x-action:cancel\nx-schedule-id:"+name+"\n")
		c.expectReceipt("req")
	}
	if a = list(""); len(a.Schedules) != 1 || a.Schedules[0].ID != "inv-43" {
		t.Fatalf("%+v", a)
	}
	q := n.connected("")
	q.subscribe("/queue/b", "ack:auto\n")
	c.request("/broker/schedules", "x-action:run\nx-schedule-id:inv-43\n")
	c.expectReceipt("req")
	q.take("other")
	if a = list(""); len(a.Schedules) != 0 || n.b.ScheduleCount() != 0 {
		t.Fatalf("%+v", a)
	}
}

func TestScheduleAdmin_BadRequests(t *testing.T) {
	n := newNode(t)
	for _, x := range []struct{ dest, headers, text string }{
		{"/topic/ActiveMQ.Scheduler.Management", "AMQ_SCHEDULER_ACTION:EXPLODE", "browse, list, run"},
		{"/topic/ActiveMQ.Scheduler.Management", "AMQ_SCHEDULER_ACTION:BROWSE", "reply-to"},
		{"/topic/ActiveMQ.Scheduler.Management", "AMQ_SCHEDULER_ACTION:REMOVE", "scheduledJobId"},
		{"/topic/ActiveMQ.Scheduler.Management", "AMQ_SCHEDULER_ACTION:REMOVEALL\nACTION_START_TIME:then", "ACTION_START_TIME"},
		{"/topic/ActiveMQ.Scheduler.Management", "AMQ_SCHEDULER_ACTION:REMOVEALL\ntransaction:t", "transaction"},
		{"/broker/schedules", "x-schedule-id:a", "x-action"},
		{"/broker/schedules", "x-action:list\nreply-to:/queue/r\nx-cursor:y", "cursor"},
		{"/broker/schedules", "x-action:list\nreply-to:just text", "reply-to"},
		{"/broker/schedules", "x-action:run\nx-schedule-id:nobody", "no schedule"},
	} {
		c := n.connected("")
		c.request(x.dest, x.headers+"\n")
		if m := c.expect("ERROR"); !strings.Contains(m.get("message")+m.body, x.text) || m.get("receipt-id") != "req" {
			t.Errorf("%s %s: %v", x.dest, x.headers, m)
		}
	}
}
