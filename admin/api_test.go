package admin_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"treadmq/admin"
	"treadmq/broker"
	"treadmq/store"
	"treadmq/store/local"
	"treadmq/store/vfs"
)

type queueJSON struct {
	Name, Kind                string
	Messages, Ready, InFlight int64
	Enqueued, Dequeued        uint64
	Consumers                 int
	CreatedAt                 time.Time
	ConsumersList             []struct{ ID, Ack string }
	Policy                    struct{ OnFull string }
	OldestAgeSeconds          *float64
	RateIn, RateOut           *float64
}

type listJSON struct {
	Items []queueJSON
	Next  string
	Total int
}

type messageJSON struct {
	ID                      string
	Timestamp, Expires      int64
	Priority, DeliveryCount int
	Persistent, Redelivered bool
	Size                    int
	Headers                 map[string]string
	Body                    *string
	BodyBase64              *string
	Cursor                  string
}

type messagesJSON struct {
	Items []messageJSON
	Next  string
}

// Names that paths make difficult. A client must not clean the path; Go's does not.
func oddNames() []string {
	return []string{"a/b", "a//b", "/", "100%", "%2F", "%", "..", ".", "../x", "a:b", "a#b", "a?b=c", "<b>", "ü 漢 🚀", " lead", "+", "&", `"`, `\`, "a;b", "#", "messages", "purge"}
}

func TestOddNamesInPaths(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	for _, name := range oddNames() {
		if (broker.Destination{Kind: broker.Queue, Name: name}).Check(false) != nil {
			c.do("PUT", "/api/v1/queues/"+url.PathEscape(name), "", "").must(t, http.StatusBadRequest)
			continue
		}
		path := "/api/v1/queues/" + url.PathEscape(name)
		c.do("PUT", path, "", "").must(t, http.StatusCreated)
		c.do("PUT", path, "", "").must(t, http.StatusOK)
		c.send(path+"/messages", `{"body":"x"}`)
		var q queueJSON
		c.get(path).must(t, http.StatusOK).json(t, &q)
		if q.Name != name || q.Messages != 1 || q.Kind != "queue" {
			t.Errorf("%q: %+v", name, q)
		}
		var m messagesJSON
		c.get(path+"/messages").must(t, http.StatusOK).json(t, &m)
		if len(m.Items) != 1 || m.Items[0].Headers["destination"] != "/queue/"+name {
			t.Errorf("%q: %+v", name, m)
		}
		var list listJSON
		c.get("/api/v1/queues?name="+url.QueryEscape(name)).json(t, &list)
		if len(list.Items) != 1 || list.Items[0].Name != name {
			t.Errorf("%q is listed as %+v", name, list)
		}
		c.do("POST", path+"/purge", "", "").must(t, http.StatusOK)
		c.do("DELETE", path, "", "").must(t, http.StatusOK)
		c.get(path).must(t, http.StatusNotFound)
	}
	for _, bad := range []string{"a\nb", "a\x00b", "a,b", strings.Repeat("x", 1025), "a.*", "a.>", "\xff"} {
		c.do("PUT", "/api/v1/queues/"+url.PathEscape(bad), "", "").must(t, http.StatusBadRequest)
		c.do("POST", "/api/v1/queues/"+url.PathEscape(bad)+"/messages", "application/json", "{}").must(t, http.StatusBadRequest)
	}
	if n := len(r.b.Queues(nil)); n != 0 {
		t.Errorf("%d queues are left", n)
	}
}

// A list of many queues is read page by page: each once, in order, whatever it is
// sorted by.
func TestListsArePaged(t *testing.T) {
	r := newRig(t)
	c := r.basic("vera")
	const n = 253
	for i := range n {
		if err := r.b.CreateQueue(fmt.Sprintf("q-%03d", i*7%n)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		r.basic("alice").send("/api/v1/queues/q-100/messages", "{}")
	}
	for _, query := range []string{"", "sort=name&order=desc", "sort=messages&order=desc", "sort=messages", "sort=createdAt"} {
		var names []string
		for cursor := ""; ; {
			var list listJSON
			c.get("/api/v1/queues?limit=25&"+query+"&cursor="+cursor).must(t, http.StatusOK).json(t, &list)
			if list.Total != n || len(list.Items) == 0 || len(list.Items) > 25 {
				t.Fatalf("%s: %d items, total %d", query, len(list.Items), list.Total)
			}
			for _, q := range list.Items {
				names = append(names, q.Name)
			}
			if cursor = list.Next; cursor == "" {
				break
			}
		}
		switch query {
		case "":
			if !slices.IsSorted(names) {
				t.Error("not sorted by name")
			}
		case "sort=name&order=desc":
			if names[0] != "q-252" || names[n-1] != "q-000" {
				t.Errorf("%s begins with %s, ends with %s", query, names[0], names[n-1])
			}
		case "sort=messages&order=desc":
			if names[0] != "q-100" || names[1] != "q-000" {
				t.Errorf("%s begins with %v", query, names[:2])
			}
		}
		slices.Sort(names)
		if names = slices.Compact(names); len(names) != n {
			t.Errorf("%s: %d different queues", query, len(names))
		}
	}
	var list listJSON
	c.get("/api/v1/queues?filter=Q-01").json(t, &list)
	if list.Total != 10 {
		t.Errorf("the filter finds %d", list.Total)
	}
	for _, bad := range []string{"sort=colour", "order=up", "limit=0", "limit=x", "cursor=!!", "cursor=YWJj"} {
		c.get("/api/v1/queues?"+bad).must(t, http.StatusBadRequest)
	}
}

func TestSendAndBrowse(t *testing.T) {
	r := newRig(t)
	c := r.basic("uli")
	path := "/api/v1/queues/q/messages"
	raw := []byte{0, 0xff, 1}
	id := c.send(path, `{"headers":{"colour":"blue","correlation-id":"c1","reply-to":"/queue/r","type":"T","content-type":"text/x","JMSXGroupID":"g",
		"message-id":"mine","JMSXUserID":"root","z":"1","a":"2"},"body":"grüße","priority":7,"ttlMs":3600000}`)
	c.send(path, `{"bodyBase64":"`+base64.StdEncoding.EncodeToString(raw)+`","persistent":false}`)
	c.send(path, `{"headers":{"priority":"0","persistent":"false","x-ttl":"60000"}}`)
	var m messagesJSON
	a := c.get(path+"?body=true").must(t, http.StatusOK)
	a.json(t, &m)
	if len(m.Items) != 3 || m.Next != "" {
		t.Fatalf("%s", a.body)
	}
	first := m.Items[0]
	want := map[string]string{
		"destination": "/queue/q", "message-id": id, "timestamp": fmt.Sprint(first.Timestamp), "expires": fmt.Sprint(first.Timestamp + 3600000),
		"priority": "7", "persistent": "true", "colour": "blue", "correlation-id": "c1", "reply-to": "/queue/r", "type": "T", "content-type": "text/x",
		"JMSXGroupID": "g", "z": "1", "a": "2",
	}
	if d := cmp.Diff(want, first.Headers); d != "" {
		t.Errorf("headers: %s", d)
	}
	if first.ID != id || first.Body == nil || *first.Body != "grüße" || first.Size != 7 || !first.Persistent || first.Priority != 7 || first.Expires != first.Timestamp+3600000 {
		t.Errorf("%+v", first)
	}
	if z, a2 := strings.Index(a.body, `"z":`), strings.Index(a.body, `"a":`); z > a2 {
		t.Error("the headers are not in the order sent")
	}
	second := m.Items[1]
	if second.Body != nil || second.BodyBase64 == nil || *second.BodyBase64 != "AP8B" || second.Persistent || second.Headers["content-length"] != "3" {
		t.Errorf("%+v", second)
	}
	if third := m.Items[2]; third.Priority != 0 || third.Persistent || third.Expires != third.Timestamp+60000 {
		t.Errorf("%+v", third)
	}
	c.get(path).must(t, http.StatusOK).json(t, &m)
	if q, err := r.b.Queue(broker.Destination{Kind: broker.Queue, Name: "q"}); err != nil || q.Messages != 3 || q.Ready != 3 || q.Dequeued != 0 {
		t.Errorf("browsing changed something: %+v %v", q, err)
	}
}

func TestBrowseIsPaged(t *testing.T) {
	r := newRig(t)
	c := r.basic("uli")
	path := "/api/v1/queues/q/messages"
	var want []string
	for p := 9; p >= 0; p -= 3 {
		for i := range 5 {
			body := fmt.Sprintf("%d-%d", p, i)
			c.send(path, fmt.Sprintf(`{"body":%q,"priority":%d,"persistent":%v}`, body, p, i%2 == 0))
			want = append(want, body)
		}
	}
	for _, limit := range []int{1, 3, 5, 20, 1000} {
		var got []string
		pages := 0
		for cursor := ""; ; pages++ {
			var m messagesJSON
			c.get(fmt.Sprintf("%s?body=true&limit=%d&cursor=%s", path, limit, cursor)).must(t, http.StatusOK).json(t, &m)
			for _, x := range m.Items {
				got = append(got, *x.Body)
			}
			if m.Next != "" && m.Next != m.Items[len(m.Items)-1].Cursor {
				t.Errorf("next %s is not behind the last message %s", m.Next, m.Items[len(m.Items)-1].Cursor)
			}
			if cursor = m.Next; cursor == "" {
				break
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("limit %d: %s", limit, d)
		}
		if full := (len(want) - 1) / limit; pages != full {
			t.Errorf("limit %d: %d pages after the first, not %d", limit, pages, full)
		}
	}
	c.get(path+"?cursor=99.x").must(t, http.StatusBadRequest)
	c.get("/api/v1/queues/none/messages").must(t, http.StatusNotFound)
}

func TestSendRefusals(t *testing.T) {
	r := newRig(t)
	c := r.basic("uli")
	c.send("/api/v1/queues/small/messages", "{}")
	c.send("/api/v1/queues/blocking/messages", "{}")
	for _, x := range []struct {
		path, body string
		status     int
		code, text string
	}{
		{"queues/small", "{}", 503, "queue-full", "is full"},
		{"queues/blocking", "{}", 503, "queue-full", "makes senders wait"},
		{"queues/q", "", 400, "bad-request", "JSON"},
		{"queues/q", "{}{}", 400, "bad-request", "behind"},
		{"queues/q", `{"colour":1}`, 400, "bad-request", "colour"},
		{"queues/q", `{"headers":{"a":1}}`, 400, "bad-request", "string"},
		{"queues/q", `{"headers":[]}`, 400, "bad-request", "object"},
		{"queues/q", `{"headers":{"":"x"}}`, 400, "bad-request", "no name"},
		{"queues/q", `{"headers":{"priority":"high"}}`, 400, "bad-request", "priority"},
		{"queues/q", `{"priority":10}`, 400, "bad-request", "0 to 9"},
		{"queues/q", `{"ttlMs":-1}`, 400, "bad-request", "time to live"},
		{"queues/q", `{"body":"a","bodyBase64":"YQ=="}`, 400, "bad-request", "not both"},
		{"queues/q", `{"bodyBase64":"*"}`, 400, "bad-request", "base 64"},
		{"queues/q", `{"headers":{"AMQ_SCHEDULED_DELAY":"soon"}}`, 400, "bad-request", "AMQ_SCHEDULED_DELAY"},
		{"queues/q", `{"headers":{"x-on-full":"fail"}}`, 400, "not-offered", "x-on-full"},
		{"queues/q", `{"headers":{"x-dedup-id":"1","x-producer-seq":"1"}}`, 400, "bad-request", "one of them"},
		{"queues/a.*", "{}", 400, "bad-destination", "wildcard"},
		{"queues/ActiveMQ.orders", "{}", 400, "bad-destination", "the broker's own"},
		{"topics/ActiveMQ.Advisory.Queue", "{}", 403, "not-authorized", "nobody else"},
		{"queues/q?kind=temp-queue", "{}", 404, "unknown-destination", "gone"},
		{"queues/q?kind=topic", "{}", 400, "bad-request", "kind is"},
		{"topics/t?kind=temp-topic", "{}", 404, "unknown-destination", "gone"},
	} {
		path, query, _ := strings.Cut(x.path, "?")
		a := c.do("POST", "/api/v1/"+path+"/messages?"+query, "application/json", x.body)
		var p struct{ Code, Detail string }
		a.json(t, &p)
		if a.status != x.status || p.Code != x.code || !strings.Contains(p.Detail, x.text) {
			t.Errorf("%s %s: %d %s", x.path, x.body, a.status, a.body)
		}
	}
	c.do("POST", "/api/v1/queues/q/messages", "text/plain", "{}").must(t, http.StatusUnsupportedMediaType)
	if n := len(r.b.Connections()); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestQueueOperations(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	for range 3 {
		c.send("/api/v1/queues/q/messages", `{}`)
	}
	in := inbox{make(chan struct{}, 1)}
	conn, err := r.b.Connect(broker.ConnOptions{Sink: in, User: "worker"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sub, err := conn.Subscribe(broker.SubscribeOptions{ID: "s1", Dests: []broker.Destination{{Kind: broker.Queue, Name: "q"}}, Prefetch: 1})
	if err != nil {
		t.Fatal(err)
	}
	sub.Start()
	<-in.wake // it has its message
	var q queueJSON
	c.get("/api/v1/queues/q").json(t, &q)
	if q.Messages != 3 || q.InFlight != 1 || q.Ready != 2 || q.Consumers != 1 || len(q.ConsumersList) != 1 || q.ConsumersList[0].ID != "s1" ||
		q.Policy.OnFull != "block" || q.OldestAgeSeconds == nil || q.RateIn == nil || q.CreatedAt.IsZero() {
		t.Errorf("%+v", q)
	}
	if a := c.do("POST", "/api/v1/queues/q/purge?undo=false", "", "").must(t, http.StatusOK); strings.TrimSpace(a.body) != `{"removed":2}` {
		t.Errorf("purge: %s", a.body)
	}
	if a := c.do("DELETE", "/api/v1/queues/q", "", "").must(t, http.StatusConflict); !strings.Contains(a.body, "in-use") {
		t.Error(a.body)
	}
	c.do("DELETE", "/api/v1/queues/q?force=true&undo=false", "", "").must(t, http.StatusNoContent)
	c.do("DELETE", "/api/v1/queues/q", "", "").must(t, http.StatusNotFound)
	c.do("POST", "/api/v1/queues/q/purge", "", "").must(t, http.StatusNotFound)

	c.send("/api/v1/topics/t/messages", `{}`)
	c.get("/api/v1/topics/t").must(t, http.StatusOK)
	c.do("DELETE", "/api/v1/topics/t", "", "").must(t, http.StatusNoContent)
	c.get("/api/v1/topics/t").must(t, http.StatusNotFound)

	want := []string{
		`user=alice action=send target=/queue/q remote=127.0.0.1 result=ok id=ID-test-`,
		`user=alice action=purge target=/queue/q remote=127.0.0.1 result=ok removed=2`,
		`user=alice action=delete target=/queue/q remote=127.0.0.1 result=in-use force=false`,
		`user=alice action=delete target=/queue/q remote=127.0.0.1 result=ok force=true`,
		`user=alice action=delete target=/topic/t remote=127.0.0.1 result=ok`,
	}
	for _, line := range want {
		if !strings.Contains(r.audit.String(), line) {
			t.Errorf("no audit line %q in\n%s", line, r.audit)
		}
	}
}

func TestAuditOfLoginsAndRefusals(t *testing.T) {
	r := newRig(t)
	r.client().post("/admin/login", "user", "mallory", "password", "x").must(t, http.StatusUnauthorized)
	c := r.loggedIn("uli")
	c.post("/admin/queue/purge?name=q", "confirm", "q").must(t, http.StatusForbidden)
	c.post("/admin/logout").must(t, http.StatusSeeOther)
	for _, line := range []string{
		"user=mallory action=login target=console remote=127.0.0.1 result=not-authorized",
		"user=uli action=login target=console remote=127.0.0.1 result=ok",
		`user=uli action=refused target="POST /admin/queue/purge" remote=127.0.0.1 result=not-authorized`,
		"user=uli action=logout target=console remote=127.0.0.1 result=ok",
	} {
		if !strings.Contains(r.audit.String(), line) {
			t.Errorf("no audit line %q in\n%s", line, r.audit)
		}
	}
}

// killable is a client that keeps what it was told.
type killable struct{ told chan error }

func (killable) Wake()          {}
func (k killable) Kill(e error) { k.told <- e }

func TestConnections(t *testing.T) {
	r := newRig(t)
	k := killable{make(chan error, 1)}
	conn, err := r.b.Connect(broker.ConnOptions{Protocol: "STOMP 1.2", Listener: "stomp", Remote: "192.0.2.1:5", User: "worker", ClientID: "c9", TLS: true, Sink: k})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var v struct {
		Items []struct {
			Serial                                     uint64
			Protocol, Listener, Remote, User, ClientID string
			TLS                                        bool
		}
	}
	c := r.basic("alice")
	c.get("/api/v1/connections").json(t, &v)
	if len(v.Items) != 1 || v.Items[0].User != "worker" || v.Items[0].ClientID != "c9" || !v.Items[0].TLS {
		t.Fatalf("%+v", v)
	}
	path := fmt.Sprintf("/api/v1/connections/%d", v.Items[0].Serial)
	c.do("DELETE", path+"?reason="+strings.Repeat("x", 501), "", "").must(t, http.StatusBadRequest)
	c.do("DELETE", path+"?reason=at+noon", "", "").must(t, http.StatusNoContent)
	if err := <-k.told; !strings.Contains(err.Error(), "at noon") {
		t.Errorf("told %v", err)
	}
	c.do("DELETE", "/api/v1/connections/4711", "", "").must(t, http.StatusNotFound)
	c.do("DELETE", "/api/v1/connections/x", "", "").must(t, http.StatusBadRequest)
}

func TestHealth(t *testing.T) {
	r := newRig(t)
	c := r.client()
	c.get("/healthz").must(t, http.StatusOK)
	c.get("/readyz").must(t, http.StatusOK)
	if a := c.get("/readyz?verbose").must(t, http.StatusOK); !strings.Contains(a.body, `{"name":"store","ok":true}`) {
		t.Error(a.body)
	}
	r.fail.Store(true)
	c.get("/healthz").must(t, http.StatusOK)
	if a := c.get("/readyz").must(t, http.StatusServiceUnavailable); !strings.Contains(a.body, "the broker is stopping") {
		t.Error(a.body)
	}
	if a := r.loggedIn("vera").get("/admin/"); !strings.Contains(a.body, "the broker is stopping") {
		t.Error("the overview does not say so")
	}
}

func TestOverview(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	c.send("/api/v1/queues/q/messages", `{}`)
	c.send("/api/v1/topics/t/messages", `{}`)
	var v struct {
		Broker struct {
			Name, Version, Role, DataDir string
			StartedAt                    time.Time
			PID                          int
			Listeners                    []admin.Listener
		}
		Queues, Topics, Messages, Enqueued, Published int
		Store                                         struct{ Segments, Appends, Syncs int }
	}
	c.get("/api/v1/overview").must(t, http.StatusOK).json(t, &v)
	if v.Broker.Name != "testbroker" || v.Broker.PID == 0 || len(v.Broker.Listeners) != 1 || v.Queues != 1 || v.Topics != 1 || v.Messages != 1 ||
		v.Enqueued != 1 || v.Published != 1 || v.Store.Appends == 0 {
		t.Errorf("%+v", v)
	}
}

// gate holds commits up while it is shut.
type gate struct{ shut atomic.Pointer[chan struct{}] }

func (*gate) Written(store.Epoch, store.Position) {}
func (*gate) Synced(store.Epoch, store.Position)  {}

func (g *gate) Wait(store.Position) error {
	if open := g.shut.Load(); open != nil {
		<-*open
	}
	return nil
}

// A send is answered when it is committed and not before.
func TestSendIsAnsweredAfterCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(2 * time.Second) }) // on the fake clock: LevelDB takes one to end
		g := &gate{}
		seq := new(atomic.Uint64)
		st, err := local.Open(local.Options{FS: vfs.NewMem(), Dir: "store", Seq: seq, SegmentSize: 1 << 20, BootID: "test", Gate: g})
		if err != nil {
			t.Fatal(err)
		}
		b, err := broker.New(broker.Options{Store: st, Sequence: seq})
		if err != nil {
			t.Fatal(err)
		}
		r := newConsole(t, func(o *admin.Options) { o.Broker = b })
		open := make(chan struct{})
		g.shut.Store(&open)
		status := make(chan int, 1)
		go func() {
			req := newRequest("POST", "/api/v1/queues/q/messages", `{"body":"x"}`, "alice")
			status <- serve(r.s, req)
		}()
		synctest.Wait()
		if len(status) > 0 {
			t.Error("it was answered before the commit")
		}
		g.shut.Store(nil)
		close(open)
		synctest.Wait()
		if got := <-status; got != http.StatusCreated {
			t.Errorf("after the commit: %d", got)
		}
		b.Close(0)
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What is neither true nor false is refused: a dry run that is misspelt must not be a real one.
func TestMisspeltDryRunIsNone(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	c.send("/api/v1/queues/q/messages", `{"body":"x"}`)
	for _, v := range []string{"1", "yes", "True", "null", "false&dry_run=1"} {
		for _, x := range [][2]string{{"POST", "/api/v1/queues/q/purge?dry_run="}, {"DELETE", "/api/v1/queues/q?dry_run="}, {"DELETE", "/api/v1/queues/q?force="}, {"GET", "/api/v1/queues/q/messages?body="}} {
			c.do(x[0], x[1]+v, "", "").must(t, http.StatusBadRequest)
		}
	}
	for _, body := range []string{"null", " null", "[]", "", "5", `"x"`} {
		c.do("POST", "/api/v1/queues/q/messages", "application/json", body).must(t, http.StatusBadRequest)
	}
	c.do("POST", "/api/v1/queues/q/messages", "application/json", " \r\n\t{}").must(t, http.StatusCreated)
	if q, err := r.b.Queue(broker.Destination{Kind: broker.Queue, Name: "q"}); err != nil || q.Messages != 2 {
		t.Errorf("%+v %v", q, err)
	}
}

// RFC 9110, section 15.5.6.
func TestMethodNotAllowedSaysWhichAre(t *testing.T) {
	c := newRig(t).basic("alice")
	for path, allow := range map[string]string{"/api/v1/overview": "GET, HEAD", "/api/v1/queues/q": "GET, HEAD, PUT, DELETE", "/api/v1/queues/q/purge": "POST"} {
		if a := c.do("TRACE", path, "", "").must(t, http.StatusMethodNotAllowed); a.header.Get("Allow") != allow {
			t.Errorf("%s: %q, want %q", path, a.header.Get("Allow"), allow)
		}
	}
}
