package admin_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"treadmq/admin"
	"treadmq/broker"
)

func queueOf(name string) broker.Destination {
	return broker.Destination{Kind: broker.Queue, Name: name}
}

// What the form sends is what was typed; when it cannot be sent the form comes back
// as it was.
func TestSendForm(t *testing.T) {
	r := newRig(t)
	c := r.loggedIn("uli")
	page := func(fields ...string) answer {
		all := append([]string{"encoding", "text", "priority", "5", "persistent", "true"}, fields...)
		return c.post("/admin/queue/send?name=q", all...)
	}
	a := page("body", "one\r\ntwo\r\n", "headers", "colour: deep: blue\r\n\r\n spaced :  x ", "ttl", "1.5", "reply-to", "/topic/r").must(t, http.StatusSeeOther)
	if got := a.header.Get("Location"); got != "/admin/queue?kind=queue&name=q" {
		t.Errorf("leads to %s", got)
	}
	if got := c.get("/admin/queue?name=q"); !strings.Contains(got.body, "Sent as ID-test-") || strings.Contains(c.get("/admin/queue?name=q").body, "Sent as") {
		t.Error("the result is not said once")
	}
	var m messagesJSON
	c.get("/api/v1/queues/q/messages?body=true").json(t, &m)
	x := m.Items[0]
	if *x.Body != "one\ntwo\n" || x.Headers["colour"] != "deep: blue" || x.Headers["spaced"] != "x" || x.Priority != 5 || x.Expires != x.Timestamp+1500 || x.Headers["reply-to"] != "/topic/r" {
		t.Errorf("%+v", x)
	}
	for _, sent := range [][]string{
		{"1", "Sent as ID-"}, {"1", "The broker had this message already (as ID-"}, {"3", "Messages sent: 3. Of them the broker had already, and left out: 3."},
	} {
		c.post("/admin/queue/send?name=once", "priority", "4", "body", "x", "headers", "x-dedup-id: 1", "repeat", sent[0]).must(t, http.StatusSeeOther)
		if got := c.get("/admin/queue?name=once").body; !strings.Contains(got, sent[1]) || !strings.Contains(got, `data-f="messages" data-k="num">1</b>`) {
			t.Errorf("%v: %s", sent, got)
		}
	}
	for _, bad := range [][]string{
		{"headers", "no colon"}, {"priority", "x"}, {"ttl", "soon"}, {"encoding", "base64", "body", "***"}, {"headers", "x-delay: 1"},
	} {
		a := c.post("/admin/queue/send?name=q", append(bad, "type", "kept & safe")...)
		if a.status != http.StatusBadRequest || !strings.Contains(a.body, `value="kept &amp; safe"`) || !strings.Contains(a.body, `role="alert"`) {
			t.Errorf("%v: %d\n%s", bad, a.status, a.body)
		}
	}
	c.post("/admin/queue/send?name=small", "priority", "4", "body", "1").must(t, http.StatusSeeOther)
	if a := c.post("/admin/queue/send?name=small", "priority", "4", "body", "2").must(t, http.StatusServiceUnavailable); !strings.Contains(a.body, "is full") || !strings.Contains(a.body, ">2</textarea>") {
		t.Error(a.body)
	}
}

// Purging and deleting ask for the name, and change nothing without it.
func TestConfirmation(t *testing.T) {
	r := newRig(t)
	c := r.loggedIn("alice")
	r.basic("alice").send("/api/v1/queues/q%2F1/messages", `{}`)
	r.basic("alice").send("/api/v1/topics/t/messages", `{}`)
	for _, path := range []string{"/admin/queue/purge?name=q%2F1", "/admin/queue/delete?name=q%2F1", "/admin/topic/delete?name=t"} {
		for _, typed := range []string{"", "Q/1", "q/1 ", "q%2F1"} {
			c.post(path, "confirm", typed).must(t, http.StatusUnprocessableEntity)
		}
	}
	if q, err := r.b.Queue(queueOf("q/1")); err != nil || q.Messages != 1 {
		t.Fatalf("%+v %v", q, err)
	}
	conn, err := r.b.Connect(broker.ConnOptions{Sink: nop{}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, d := range []broker.Destination{queueOf("q/1"), {Kind: broker.Topic, Name: "t"}} {
		if _, err := conn.Subscribe(broker.SubscribeOptions{ID: "s", Dests: []broker.Destination{d}}); err != nil {
			t.Fatal(err)
		}
	}
	if a := c.post("/admin/queue/delete?name=q%2F1", "confirm", "q/1").must(t, http.StatusConflict); !strings.Contains(a.body, `name="force"`) {
		t.Error(a.body)
	}
	c.post("/admin/topic/delete?name=t", "confirm", "t").must(t, http.StatusConflict)
	c.post("/admin/queue/purge?name=q%2F1", "confirm", "q/1").must(t, http.StatusSeeOther)
	c.post("/admin/queue/delete?name=q%2F1", "confirm", "q/1", "force", "true").must(t, http.StatusSeeOther)
	conn.Close()
	c.post("/admin/topic/delete?name=t", "confirm", "t").must(t, http.StatusSeeOther)
	if n := len(r.b.Queues(nil)) + len(r.b.Topics(nil)); n != 0 {
		t.Errorf("%d destinations are left", n)
	}
}

// inbox is a client that takes what it gets.
type inbox struct {
	wake chan struct{}
}

func (i inbox) Wake() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}
func (inbox) Kill(error) {}

// deadLetter rejects the first message of a queue for good.
func (r *rig) deadLetter(queue, reason string) {
	t := r.t
	t.Helper()
	in := inbox{make(chan struct{}, 1)}
	conn, err := r.b.Connect(broker.ConnOptions{Sink: in, User: "worker", Remote: "192.0.2.9:4711"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sub, err := conn.Subscribe(broker.SubscribeOptions{ID: "s", Dests: []broker.Destination{queueOf(queue)}})
	if err != nil {
		t.Fatal(err)
	}
	sub.Start()
	<-in.wake
	got := conn.Output(nil)
	conn.Written(got)
	w := conn.NewWork()
	w.Ack(sub, got[0].Tag, got[0].Tag, broker.Ack{Kind: broker.AckDeadLetter, Reason: reason})
	done := make(chan error, 1)
	w.Flush(func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A dead letter says where it comes from and why, as STOMP clients see it.
func TestDeadLetter(t *testing.T) {
	r := newRig(t)
	c := r.loggedIn("uli")
	r.basic("uli").send("/api/v1/queues/work/messages", `{"headers":{"k":"v"},"body":"broken"}`)
	r.deadLetter("work", "cannot be read")
	var m messagesJSON
	c.get("/api/v1/queues/ActiveMQ.DLQ/messages").must(t, http.StatusOK).json(t, &m)
	h := m.Items[0].Headers
	if h["destination"] != "/queue/ActiveMQ.DLQ" || h["original-destination"] != "/queue/work" || h["x-first-death-reason"] != "rejected" || h["x-reason"] != "cannot be read" || h["k"] != "v" {
		t.Errorf("%v", h)
	}
	if page := c.get("/admin/queue?name=ActiveMQ.DLQ").body; !strings.Contains(page, `<span class="tag bad">rejected</span>`) {
		t.Errorf("the page does not say why:\n%s", page)
	}
	if page := c.get("/admin/deadletters").body; !strings.Contains(page, "last consumer: worker 192.0.2.9:4711") {
		t.Errorf("the page does not say who had it:\n%s", page)
	}
}

// Temporary destinations are listed and opened; they cannot be deleted by hand.
func TestTemporaryDestinations(t *testing.T) {
	r := newRig(t)
	conn, err := r.b.Connect(broker.ConnOptions{Sink: nop{}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	d, err := conn.CreateTemp(broker.TempQueue)
	if err != nil {
		t.Fatal(err)
	}
	c := r.loggedIn("alice")
	path := link(t, c.get("/admin/queues").body, "/admin/queue?")
	if a := c.get(path).must(t, http.StatusOK); !strings.Contains(a.body, "temporary") || strings.Contains(a.body, "/admin/queue/delete") {
		t.Error(a.body)
	}
	c.send("/api/v1/queues/"+d.Name+"/messages", `{"body":"x"}`)
	var q queueJSON
	c.get("/api/v1/queues/"+d.Name).must(t, http.StatusOK).json(t, &q)
	if q.Kind != "temp-queue" || q.Messages != 1 {
		t.Errorf("%+v", q)
	}
	c.do("DELETE", "/api/v1/queues/"+d.Name, "", "").must(t, http.StatusBadRequest)
}

// The figures of thousands of queues come page by page, in bounded time.
func TestManyQueues(t *testing.T) {
	r := newRig(t)
	for i := range 10_000 {
		if err := r.b.CreateQueue(fmt.Sprintf("many.%05d", i)); err != nil {
			t.Fatal(err)
		}
	}
	c := r.loggedIn("vera")
	begun := time.Now()
	a := c.get("/admin/queues?sort=messages&order=desc&filter=many").must(t, http.StatusOK)
	t.Logf("a page of 10,000 queues: %v, %d bytes", time.Since(begun), len(a.body))
	if !strings.Contains(a.body, "1–100 of 10,000") || strings.Count(a.body, "<tr data-row") != 100 {
		t.Errorf("%.2000s", a.body)
	}
	next := c.get(link(t, a.body, "/admin/queues?cursor=")).must(t, http.StatusOK)
	if !strings.Contains(next.body, "101–200 of 10,000") {
		t.Errorf("%.2000s", next.body)
	}
}

// Everybody at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.SampleInterval = time.Millisecond })
	var all sync.WaitGroup
	for _, user := range []string{"alice", "uli", "vera"} {
		c := r.loggedIn(user)
		all.Go(func() {
			for i := range 15 {
				name := fmt.Sprintf("q%d", i%3)
				c.do("POST", "/api/v1/queues/"+name+"/messages", "application/json", `{"body":"x"}`)
				for _, path := range []string{"/admin/", "/admin/queues", "/admin/queue?name=" + name, "/admin/topics", "/admin/connections", "/api/v1/overview"} {
					if a := c.get(path); a.status >= 500 {
						t.Errorf("%s: %d %s", path, a.status, a.body)
					}
				}
				c.do("DELETE", "/api/v1/queues/"+name+"?force=true", "", "")
			}
		})
	}
	all.Wait()
}

func TestServeAndShutdown(t *testing.T) {
	b := newBroker(t, nil)
	s, err := admin.New(admin.Options{Broker: b, Auth: newUsers(), UI: os.DirFS("../webui"), Info: func() admin.BrokerInfo { return admin.BrokerInfo{} }})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	u := url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/healthz"}
	tr := &http.Transport{}
	res, err := (&http.Client{Transport: tr}).Get(u.String())
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	_ = res.Body.Close()
	tr.CloseIdleConnections()
	for range 2 {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := admin.Options{Broker: newBroker(t, nil), Auth: newUsers(), UI: os.DirFS("../webui"), Info: func() admin.BrokerInfo { return admin.BrokerInfo{} }}
	for name, spoil := range map[string]func(*admin.Options){
		"no broker": func(o *admin.Options) { o.Broker = nil },
		"no users":  func(o *admin.Options) { o.Auth = nil },
		"no files":  func(o *admin.Options) { o.UI = os.DirFS("testdata/none") },
		"prefix":    func(o *admin.Options) { o.PathPrefix = "mq/" },
		"origin":    func(o *admin.Options) { o.TrustedOrigins = []string{"ops.example.com"} },
	} {
		o := good
		spoil(&o)
		if s, err := admin.New(o); err == nil {
			t.Errorf("%s: no error", name)
			_ = s.Shutdown(context.Background())
		}
	}
}
