package admin_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"treadmq/admin"
	"treadmq/broker"
)

// What an attacker tries who is not logged in, or who has the lowest role.

// Whoever has the role viewer learns nothing of a body: not by a search, not from a schedule, not by
// receiving, not from what others look for.
func TestViewerHasNoOracle(t *testing.T) {
	r := newRig(t)
	alice := r.basic("alice")
	const secret = "the launch code is 1234"
	alice.send("/api/v1/queues/q/messages", `{"body":"`+secret+`"}`)
	alice.send("/api/v1/queues/q/messages", `{"body":"`+secret+`","headers":{"AMQ_SCHEDULED_DELAY":"3600000","x-schedule-id":"later"}}`)
	alice.do("PUT", "/api/v1/subscriptions/d", "application/json", `{"topics":["t"]}`).must(t, http.StatusCreated)
	alice.send("/api/v1/topics/t/messages", `{"body":"`+secret+`"}`)
	alice.do("POST", "/api/v1/queues/q/actions", "application/json", `{"action":"copy","to":"copy","text":"launch"}`).must(t, http.StatusOK)
	alice.do("POST", "/api/v1/queues/copy/purge", "application/json", "").must(t, http.StatusOK) // into the trash
	at := cursorOf(t, alice, "q")

	session, basic := r.loggedIn("vera"), r.basic("vera")
	for _, path := range []string{
		"/admin/queue?name=q&text=launch", "/admin/queue?name=q&text=nothing", "/api/v1/queues/q/messages?text=launch", "/api/v1/queues/q/messages?text=nothing",
		"/api/v1/queues/q/messages?body=true", "/api/v1/subscriptions/d/messages?body=true", "/api/v1/subscriptions/d/messages?text=launch", "/api/v1/schedules/later?body=true",
		"/admin/queue/message/body?name=q&at=" + at, "/api/message/q?type=queue&readTimeout=0",
	} {
		c := basic
		if strings.HasPrefix(path, "/admin") {
			c = session
		}
		if a := c.get(path).must(t, http.StatusForbidden); strings.Contains(a.body, "1234") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	err := r.s.Walk(func(method, path string) {
		if method != http.MethodGet || path == "/api/v1/events" {
			return
		}
		path = strings.NewReplacer("{name}", "q", "{at}", at, "{id}", "1", "{serial}", "1", "{message}", "x", "{path:.*}", "read/*:*", "{file}", "console.css", "{token}", "a-b", "{of}", "queues").Replace(path)
		c := basic
		if strings.HasPrefix(path, "/admin") {
			c = session
		}
		if a := c.get(path + "?name=q&at=" + at); strings.Contains(a.body, "launch") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []string{"overview", "queues", "queue", "topics", "connections", "consumers", "subscriptions", "jobs"} {
		if a := firstEvent(t, basic, of); strings.Contains(a, "launch") {
			t.Errorf("%s: %s", of, a)
		}
	}
}

// cursorOf is the place of a queue's first message.
func cursorOf(t *testing.T, c *client, queue string) string {
	t.Helper()
	var m messagesJSON
	c.get("/api/v1/queues/"+queue+"/messages").must(t, http.StatusOK).json(t, &m)
	if len(m.Items) == 0 {
		t.Fatal("the queue is empty")
	}
	return m.Items[0].Cursor
}

// firstEvent is the first event of a stream.
func firstEvent(t *testing.T, c *client, of string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", c.url+"/api/v1/events?name=q&of="+of, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(c.user, c.user+"-pw")
	res, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	s := bufio.NewScanner(res.Body)
	s.Buffer(nil, 1<<20)
	if !s.Scan() || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Content-Security-Policy") == "" {
		t.Fatalf("%s: %v %s", of, res.Header, s.Text())
	}
	return s.Text()
}

// What clients and users choose becomes no markup on the pages of those who look after the
// broker, in no error, in no event.
func TestNothingBecomesMarkupAnywhere(t *testing.T) {
	r := newRig(t, withLinks(t, filepath.Join(t.TempDir(), "links.json"), time.Now))
	const evil = `<img src=x onerror=alert(1)>"'` + "`"
	name, inPath := queryEscape(evil), url.PathEscape(evil)
	alice := r.basic("alice")
	alice.send("/api/v1/queues/"+inPath+"/messages", `{"body":"x","headers":{"AMQ_SCHEDULED_DELAY":"3600000","x-schedule-id":"<img src=x>"}}`)
	alice.send("/api/v1/queues/"+inPath+"/messages", `{"body":"x"}`)
	alice.do("PUT", "/api/v1/subscriptions/"+inPath, "application/json", `{"topics":["<img src=x>"],"selector":"a = '<img src=x>'","clientId":"<img src=x>"}`).must(t, http.StatusCreated)
	alice.do("POST", "/api/v1/queues/"+inPath+"/actions", "application/json", `{"action":"copy","to":"<img src=x>","selector":"a = '<img src=x>' or 1=1"}`).must(t, http.StatusOK)
	alice.do("POST", "/api/v1/queues/"+inPath+"/purge", "application/json", "").must(t, http.StatusOK)
	r.client().post("/admin/login", "user", evil, "password", "x").must(t, http.StatusUnauthorized)
	alice.send("/api/v1/queues/buried/messages", `{"body":"x"}`)
	bury(t, r.b, evil)

	c := r.loggedIn("alice")
	pages := []string{"/admin/", "/admin/audit", "/admin/jobs", "/admin/deadletters", "/admin/subscriptions", "/admin/queue?kind=subscription&name=" + name, "/admin/trash", "/admin/schedules",
		"/admin/schedules?cursor=" + name, "/admin/life?id=" + name, "/admin/links?page=" + name, "/admin/connections?filter=" + name, "/admin/connection?serial=" + name, "/admin/users", "/admin/settings",
		"/admin/policies", "/admin/queue?name=ActiveMQ.DLQ", "/admin/queue?name=ActiveMQ.DLQ&selector=" + name, "/admin/link/" + name, "/admin/login?next=" + name, "/admin/cluster?x=" + name}
	for _, path := range pages {
		if a := c.get(path); strings.Contains(a.body, "<img") || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || a.status >= 500 {
			t.Errorf("%s: %d %s\n%s", path, a.status, a.header.Get("Content-Type"), a.body)
		}
	}
	for _, of := range []string{"queues", "topics", "subscriptions", "jobs", "connections"} {
		if a := alice.get("/api/v1/"+of).must(t, http.StatusOK); strings.Contains(a.body, "<img") {
			t.Errorf("%s: %s", of, a.body)
		}
		if a := firstEvent(t, alice, of); strings.Contains(a, "<img") {
			t.Errorf("%s: %s", of, a)
		}
	}
	// What the search of a page was for comes back in forms, and nowhere as markup.
	a := c.post("/admin/queue/act?name="+name, "scope", "all", "action", "move", "to", evil+"2", "selector", "a='<img>'").must(t, http.StatusOK)
	if strings.Contains(a.body, "<img") {
		t.Error(a.body)
	}
}

// bury makes a dead letter whose reason a client chose.
func bury(t *testing.T, b *broker.Broker, reason string) {
	t.Helper()
	conn, err := b.Connect(broker.ConnOptions{Protocol: "test", Remote: "test:1", User: "u", Sink: nop{}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	d := broker.Destination{Kind: broker.Queue, Name: "buried"}
	sub, err := conn.Subscribe(broker.SubscribeOptions{ID: "s", Dests: []broker.Destination{d}, Prefetch: 1})
	if err != nil {
		t.Fatal(err)
	}
	sub.Start()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		list := conn.Output(nil)
		if len(list) == 0 {
			continue
		}
		w := conn.NewWork()
		w.Ack(sub, list[0].Tag, list[0].Tag, broker.Ack{Kind: broker.AckDeadLetter, Reason: reason})
		done := make(chan error, 1)
		w.Flush(func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no message came")
}

// Every answer has the policy that keeps scripts out: errors, downloads, redirects, whoever asks.
func TestPolicyOnEveryAnswer(t *testing.T) {
	r := newRig(t)
	r.basic("alice").send("/api/v1/queues/q/messages", `{"body":"x"}`)
	check := func(what string, a answer) {
		t.Helper()
		csp := a.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %d %v", what, a.status, a.header)
		}
	}
	err := r.s.Walk(func(method, path string) {
		if path == "/api/v1/events" {
			return
		}
		path = strings.NewReplacer("{name}", "q", "{path:.*}", "q?type=queue&readTimeout=0&x=", "{file}", "console.css").Replace(path)
		for _, c := range []*client{r.client(), r.basic("vera"), r.loggedIn("vera"), r.loggedIn("alice")} {
			check(method+" "+path, c.do(method, path+"?name=q", "application/x-www-form-urlencoded", form))
			check(method+" "+path+" from elsewhere", c.do(method, path, "text/plain", "x", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c := r.loggedIn("alice")
	r.basic("alice").send("/api/v1/queues/kept/messages", `{"body":"x"}`)
	for _, path := range []string{"/admin/none", "/none", "/api/none", "//evil.example", "/admin/queue/message/body?name=kept&at=" + cursorOf(t, r.basic("alice"), "kept"), "/admin/assets/../login", "/%2e%2e/%2e%2e/etc/passwd"} {
		check(path, c.get(path))
	}
	check("large", c.post("/admin/login", "user", strings.Repeat("x", 70<<10)))
}

// Files are those of the console, however they are asked for.
func TestAssetsAreOurs(t *testing.T) {
	r := newRig(t)
	for _, file := range []string{"..%2Fwebui.go", "..%2f..%2fetc%2fpasswd", "%2Fetc%2Fpasswd", "....//webui.go", "..\\webui.go", "console.css%00.svg", "texts", "", ".", "..", "%2e%2e%2ftexts%2fen.json"} {
		if a := r.client().get("/admin/assets/" + file); a.status != http.StatusNotFound && a.status != http.StatusSeeOther {
			t.Errorf("%q: %d %.100s", file, a.status, a.body)
		}
	}
}

// raw sends bytes as they are, and returns the answers until the console ends the connection or
// answers no more.
func raw(t *testing.T, addr, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) { // it does not read the rest of what it refuses
		t.Fatal(err)
	}
	return string(text)
}

// What a proxy and the console could understand differently is refused, and what is behind it on the
// connection is no request.
func TestNoSmuggling(t *testing.T) {
	r := newConsole(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go r.s.Serve(l) // until the rig ends
	const behind = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Behind: 1\r\n\r\n"
	for what, head := range map[string]string{
		"two lengths":             "POST /admin/theme HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"an unknown coding":       "POST /admin/theme HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\n",
		"two codings":             "POST /admin/theme HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"a blank before a colon":  "POST /admin/theme HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\n",
		"a negative length":       "POST /admin/theme HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"a length with a sign":    "POST /admin/theme HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
		"a chunk without a size":  "POST /admin/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"two hosts":               "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"no host":                 "GET /healthz HTTP/1.1\r\n\r\n",
		"a zero byte in a header": "GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
		"a bad method":            "GE(T /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		text := raw(t, l.Addr().String(), head+behind)
		if n := strings.Count(text, "HTTP/1.1 "); n != 1 || strings.Contains(text, `{"status":"ok"}`) || !strings.Contains(text, "HTTP/1.1 4") && !strings.Contains(text, "HTTP/1.1 5") {
			t.Errorf("%s: %d answers: %s", what, n, text)
		}
	}
	long := raw(t, l.Addr().String(), "GET /healthz HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("a", 64<<10)+"\r\n\r\n")
	if !strings.HasPrefix(long, "HTTP/1.1 431") {
		t.Errorf("long headers: %.100s", long)
	}
}

// one is a listener with one connection.
type one struct {
	c    chan net.Conn
	done chan struct{}
}

func (l one) Accept() (net.Conn, error) {
	select {
	case c := <-l.c:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l one) Close() error   { close(l.done); return nil }
func (l one) Addr() net.Addr { return &net.TCPAddr{} }

// Who sends a request byte by byte is cut off: in 10 s without all headers, in a minute without all
// of the form.
func TestSlowClientsAreCutOff(t *testing.T) {
	for begin, most := range map[string]time.Duration{
		"GET /admin/ HTTP/1.1\r\nHost: x\r\nX: ": 10 * time.Second,
		"POST /admin/login HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\nuser=": time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			t.Cleanup(func() { time.Sleep(2 * time.Second) }) // on the fake clock: LevelDB takes one to end
			r := newConsole(t)
			ours, theirs := net.Pipe()
			l := one{make(chan net.Conn, 1), make(chan struct{})}
			go r.s.Serve(l) // until the rig ends
			l.c <- theirs
			go io.Copy(io.Discard, ours)
			begun := time.Now()
			_, err := io.WriteString(ours, begin)
			for err == nil && time.Since(begun) < time.Hour {
				time.Sleep(time.Second)
				_, err = io.WriteString(ours, "a")
			}
			if took := time.Since(begun); took > most+5*time.Second {
				t.Errorf("%.20q: cut off after %v", begin, took)
			}
			ours.Close()
		})
	}
}

// Read-only, nobody changes anything; to look, to log out and to choose a theme go on.
func TestReadOnly(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.ReadOnly = true })
	if err := r.b.CreateQueue("q"); err != nil {
		t.Fatal(err)
	}
	c, basic := r.loggedIn("alice"), r.basic("alice")
	err := r.s.Walk(func(method, path string) {
		need := whoMay[method+" "+path]
		if method == http.MethodGet || need == "-" || need == "l" || strings.Contains(path, "/links") || path == "/admin/columns" || strings.HasPrefix(path, "/api/jolokia") {
			return
		}
		path = strings.NewReplacer("{name}", "q", "{path:.*}", "q").Replace(path)
		a := c.do(method, path+"?name=q", "application/x-www-form-urlencoded", form)
		if strings.HasPrefix(path, "/api/") {
			a = basic.do(method, path, "application/json", `{}`)
		}
		if a.status != http.StatusForbidden || !strings.Contains(a.body, "console.readOnly") {
			t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	basic.get("/api/message/q?type=queue&readTimeout=0").must(t, http.StatusForbidden)
	page := c.get("/admin/queue?name=q").must(t, http.StatusOK)
	if strings.Contains(page.body, `class="button danger"`) || !strings.Contains(page.body, `id="read-only"`) {
		t.Error(page.body)
	}
	if a := c.get("/admin/users").must(t, http.StatusOK); !strings.Contains(a.body, `href="/admin/audit"`) {
		t.Error(a.body)
	}
	c.post("/admin/theme", "theme", "dark").must(t, http.StatusSeeOther)
	c.post("/admin/logout").must(t, http.StatusSeeOther)
}

// A durable subscription is made by the form of its page, and none is changed by it.
func TestDurableSubscriptionByForm(t *testing.T) {
	r := newRig(t)
	c := r.loggedIn("alice")
	a := c.post("/admin/subscriptions", "name", "late shift", "topics", "prices.>  orders", "selector", "a = 1", "clientId", "c1").must(t, http.StatusSeeOther)
	if got := a.header.Get("Location"); got != "/admin/queue?kind=subscription&name=late+shift" {
		t.Error(got)
	}
	info, err := r.b.DurableSubscription("late shift")
	if err != nil || strings.Join(info.Topics, ",") != "orders,prices.>" || info.Selector != "a = 1" || info.ClientID != "c1" {
		t.Errorf("%+v %v", info, err)
	}
	// The page that it leads to says so once, and shows it; the list has all of it.
	page := c.get(a.header.Get("Location")).must(t, http.StatusOK).body
	if !strings.Contains(page, `<h1 class="name">late shift</h1>`) || !strings.Contains(page, "durable subscription") || !strings.Contains(page, `role="status">The durable subscription is there.`) {
		t.Error(page)
	}
	list := c.get("/admin/subscriptions").must(t, http.StatusOK).body
	row, _, _ := strings.Cut(list[strings.Index(list, `data-row="subscription:late shift"`):], "</tr>")
	for _, want := range []string{"name=late&#43;shift", ">orders prices.&gt; <", "<code>a = 1</code>"} {
		if !strings.Contains(row, want) {
			t.Errorf("the row lacks %s: %s", want, row)
		}
	}
	// It keeps what its selector takes of its topics, and nothing else; a client with its id gets that.
	for topic, k := range map[string]string{"prices.eur.gold": "1", "orders": "1", "prices": "2", "other": "1"} {
		c.send("/api/v1/topics/"+topic+"/messages", `{"headers":{"a":"`+k+`"},"body":"`+topic+`"}`)
	}
	var kept messagesJSON
	c.get("/api/v1/subscriptions/late%20shift/messages?body=true").must(t, http.StatusOK).json(t, &kept)
	var bodies []string
	for _, m := range kept.Items {
		bodies = append(bodies, *m.Body)
	}
	slices.Sort(bodies)
	if strings.Join(bodies, ",") != "orders,prices.eur.gold" {
		t.Errorf("it keeps %v", bodies)
	}
	// What is refused makes nothing and changes nothing, and the page says why.
	for _, x := range []struct {
		fields []string
		status int
		says   string
	}{
		{[]string{"name", "late shift", "topics", "other"}, http.StatusConflict, "There is a durable subscription of that name."},
		{[]string{"name", "x", "topics", " "}, http.StatusBadRequest, "topic"},
		{[]string{"name", "x", "topics", "a", "selector", "a ="}, http.StatusBadRequest, "selector"},
		{[]string{"name", "", "topics", "a"}, http.StatusBadRequest, "name"},
		{[]string{"name", "x", "topics", "a\x07b"}, http.StatusBadRequest, "control character"},
	} {
		if a := c.post("/admin/subscriptions", x.fields...).must(t, x.status); !strings.Contains(a.body, x.says) {
			t.Errorf("%v: the page does not say %q: %s", x.fields, x.says, a.body)
		}
	}
	r.loggedIn("uli").post("/admin/subscriptions", "name", "x", "topics", "a").must(t, http.StatusForbidden)
	if n := len(r.b.DurableSubscriptions(func(broker.Destination) bool { return true })); n != 1 {
		t.Errorf("there are %d subscriptions", n)
	}
	if again, err := r.b.DurableSubscription("late shift"); err != nil || strings.Join(again.Topics, ",") != "orders,prices.>" || again.Selector != "a = 1" || again.Messages != 2 {
		t.Errorf("it is %+v %v", again, err)
	}
	var log struct {
		Items []struct{ User, Action, Target, Result string }
	}
	c.get("/api/v1/audit").must(t, http.StatusOK).json(t, &log)
	results := map[string]int{}
	for _, e := range log.Items {
		if e.Action == "create" && e.User == "alice" && strings.HasPrefix(e.Target, "/dsub/") {
			results[e.Target+" "+e.Result]++
		}
	}
	if results["/dsub/late shift ok"] != 1 || results["/dsub/x bad-selector"] != 1 {
		t.Errorf("the audit log has %v", results)
	}
	if !strings.Contains(r.audit.String(), `action=create target="/dsub/late shift"`) {
		t.Error(r.audit)
	}
}
