package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"treadmq/admin"
	"treadmq/broker"
)

// A change that another site makes a browser send is refused, with a session and
// with Basic.
func TestCrossOrigin(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.TrustedOrigins = []string{"https://ops.example.com"} })
	session, basic := r.loggedIn("alice"), r.basic("alice")
	for _, c := range []struct {
		name    string
		headers []string
		refused bool
	}{
		{"a program", nil, false},
		{"same origin", []string{"Sec-Fetch-Site", "same-origin", "Origin", r.url}, false},
		{"typed", []string{"Sec-Fetch-Site", "none"}, false},
		{"cross-site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, true},
		{"sibling", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://other.example.com"}, true},
		{"old browser", []string{"Origin", "https://evil.example"}, true},
		{"opaque origin", []string{"Sec-Fetch-Site", "cross-site", "Origin", "null"}, true},
		{"trusted", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://ops.example.com"}, false},
	} {
		for path, do := range map[string]func() answer{
			"page": func() answer {
				return session.do("POST", "/admin/queues", "application/x-www-form-urlencoded", "name=made", c.headers...)
			},
			"api": func() answer { return basic.do("PUT", "/api/v1/queues/made", "", "", c.headers...) },
			"login": func() answer {
				return r.client().do("POST", "/admin/login", "application/x-www-form-urlencoded", "user=alice&password=alice-pw", c.headers...)
			},
		} {
			if a := do(); (a.status == http.StatusForbidden) != c.refused {
				t.Errorf("%s, %s: %d", c.name, path, a.status)
			}
		}
	}
}

func TestHeadersOfAnswers(t *testing.T) {
	r := newRig(t)
	c := r.loggedIn("alice")
	for _, path := range []string{"/admin/", "/admin/none", "/api/v1/queues", "/healthz", "/admin/assets/console.js"} {
		h := c.get(path).header
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" || h.Get("Cache-Control") == "" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

func TestAssetsAreKept(t *testing.T) {
	r := newRig(t)
	page := r.client().get("/admin/login").body
	for _, prefix := range []string{"/admin/assets/console.css", "/admin/assets/icon.svg"} {
		a := r.client().get(link(t, page, prefix)).must(t, http.StatusOK)
		if !strings.Contains(a.header.Get("Cache-Control"), "immutable") || a.header.Get("Set-Cookie") != "" || a.header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %v", prefix, a.header)
		}
	}
	if css := r.client().get(link(t, page, "/admin/assets/pico.min.css")).must(t, http.StatusOK).body; !strings.HasPrefix(css, "@layer vendor {") || !strings.HasSuffix(css, "}\n") {
		t.Error("a style sheet of others is not in a layer below ours")
	}
	if a := r.client().get("/admin/assets/console.css?v=old"); a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("another version is kept: %v", a.header)
	}
	for _, path := range []string{"/admin/assets/..%2Ftexts%2Fen.json", "/admin/assets/none.css", "/admin/assets/"} {
		r.client().get(path).must(t, http.StatusNotFound)
	}
}

// Nothing that clients choose becomes markup.
func TestNothingBecomesMarkup(t *testing.T) {
	r := newRig(t)
	const evil = `<img src=x onerror=alert(1)>"'` + "`"
	conn, err := r.b.Connect(broker.ConnOptions{Protocol: evil, Remote: evil, User: evil, ClientID: evil, Sink: nop{}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, k := range []broker.Kind{broker.Queue, broker.Topic} {
		if _, err := conn.Subscribe(broker.SubscribeOptions{ID: evil, Dests: []broker.Destination{{Kind: k, Name: evil}}}); err != nil {
			t.Fatal(err)
		}
	}
	c := r.loggedIn("alice")
	name := "name=" + queryEscape(evil)
	body := "body=" + queryEscape(evil) + "&headers=" + queryEscape(evil+": "+evil) + "&type=" + queryEscape(evil) + "&priority=4&encoding=text&persistent=true"
	c.do("POST", "/admin/queue/send?"+name, "application/x-www-form-urlencoded", body).must(t, http.StatusSeeOther)
	at := link(t, c.get("/admin/queue?"+name).body, "/admin/queue/message?")
	pages := []string{"/admin/", "/admin/queues", "/admin/queues?filter=" + queryEscape(evil), "/admin/queue?" + name, at, at + "&view=hex", at + "&view=" + queryEscape(evil),
		"/admin/queue/send?" + name, "/admin/queue/purge?" + name, "/admin/queue/delete?" + name, "/admin/topics", "/admin/topic?" + name, "/admin/topic/delete?" + name,
		"/admin/connections", "/admin/connection/close?serial=1", "/admin/queue?name=none" + queryEscape(evil), "/admin/queues?sort=" + queryEscape(evil),
		"/admin/queue?" + name + "&cursor=" + queryEscape(evil), "/admin/" + queryEscape(evil)}
	for _, path := range pages {
		if a := c.get(path); strings.Contains(a.body, "<img") || strings.Contains(a.body, `onerror=alert(1)>"`) {
			t.Errorf("%s: %d\n%s", path, a.status, a.body)
		}
	}
	a := c.do("POST", "/admin/login", "application/x-www-form-urlencoded", "user="+queryEscape(evil)+"&next="+queryEscape("/admin/"+evil)+"&password=x")
	if strings.Contains(a.body, "<img") {
		t.Errorf("login: %s", a.body)
	}
	body2 := c.get(strings.Replace(at, "/message?", "/message/body?", 1)).must(t, http.StatusOK)
	if h := body2.header; h.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment;") || body2.body != evil {
		t.Errorf("download: %v %s", h, body2.body)
	}
}

func TestRequestsAreBounded(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.MaxBody = 100 << 10 })
	c := r.basic("alice")
	body := func(n int) string { return `{"body":"` + strings.Repeat("x", n) + `"}` }
	c.do("POST", "/api/v1/queues/q/messages", "application/json", body(99<<10)).must(t, http.StatusCreated)
	c.do("POST", "/api/v1/queues/q/messages", "application/json", body(101<<10)).must(t, http.StatusRequestEntityTooLarge)
	s := r.loggedIn("alice")
	s.post("/admin/login", "user", strings.Repeat("x", 70<<10)).must(t, http.StatusRequestEntityTooLarge)
	s.post("/admin/login", "user", strings.Repeat("x", 2000), "password", "x").must(t, http.StatusUnauthorized)
	s.post("/admin/queue/send?name=q", "body", strings.Repeat("x", 200<<10)).must(t, http.StatusRequestEntityTooLarge)
	var many strings.Builder
	for i := range admin.MaxSendHeaders + 1 {
		many.WriteString(`,"h` + strings.Repeat("i", i%50) + string(rune('a'+i%26)) + strings.Repeat("j", i/50) + `":"v"`)
	}
	a := c.do("POST", "/api/v1/queues/q/messages", "application/json", `{"headers":{`+many.String()[1:]+`}}`).must(t, http.StatusBadRequest)
	if !strings.Contains(a.body, "at most") {
		t.Error(a.body)
	}
}

// Behind a proxy that shows the console under a path, which it may strip or not.
func TestPathPrefix(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.PathPrefix = "/mq" })
	c := r.client()
	if got := c.get("/mq").header.Get("Location"); got != "/mq/" {
		t.Errorf("/mq leads to %q", got)
	}
	if got := c.get("/mq/").header.Get("Location"); got != "/mq/admin/" {
		t.Errorf("/mq/ leads to %q", got)
	}
	if got := c.get("/mq/admin/queue?name=q").header.Get("Location"); got != "/mq/admin/login?next=%2Fadmin%2Fqueue%3Fname%3Dq" {
		t.Errorf("leads to %q", got)
	}
	a := c.post("/mq/admin/login", "user", "alice", "password", "alice-pw", "next", "/admin/queues")
	if got := a.header.Get("Location"); got != "/mq/admin/queues" || !strings.Contains(a.header.Get("Set-Cookie"), "Path=/mq/") {
		t.Errorf("login leads to %q, %v", got, a.header)
	}
	page := c.get("/mq/admin/queues").must(t, http.StatusOK).body
	for _, m := range hrefs.FindAllStringSubmatch(page, -1) {
		if strings.HasPrefix(m[1], "/") && !strings.HasPrefix(m[1], "/mq/") {
			t.Errorf("a link leaves the prefix: %s", m[1])
		}
	}
	c.get("/mq/api/v1/queues").must(t, http.StatusOK)
	r.basic("alice").get("/api/v1/queues/a%2Fb").must(t, http.StatusNotFound)
	r.basic("alice").do("PUT", "/mq/api/v1/queues/a%2Fb", "", "").must(t, http.StatusCreated)
	r.basic("alice").get("/api/v1/queues/a%2Fb").must(t, http.StatusOK) // stripped by the proxy
}

type nop struct{}

func (nop) Wake()      {}
func (nop) Kill(error) {}
