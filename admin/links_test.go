package admin_test

import (
	"bufio"
	"context"
	"fmt"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"treadmq/admin"
)

// withLinks gives a console a file of links, a clock, and users who can be asked for.
func withLinks(t *testing.T, path string, now func() time.Time) func(*admin.Options) {
	links, err := admin.OpenLinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *admin.Options) {
		o.Links, o.Now = links, now
		if known, ok := o.Auth.(*users); ok {
			o.Auth = lookup{known}
		}
	}
}

type madeLink struct{ ID, Page, Path, URL, CreatedBy string }

func (c *client) makeLink(body string) madeLink {
	c.t.Helper()
	var made madeLink
	c.do("POST", "/api/v1/links", "application/json", body).must(c.t, http.StatusCreated).json(c.t, &made)
	return made
}

func TestLinkShowsOnePage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "links.json")
	r := newRig(t, withLinks(t, path, time.Now))
	const secret = "the launch code is 1234"
	r.basic("alice").send("/api/v1/queues/q/messages", `{"body":"`+secret+`"}`)
	r.basic("alice").send("/api/v1/queues/other/messages", `{"body":"x"}`)
	made := r.basic("uli").makeLink(`{"page":"/admin/queue?name=q"}`)
	if made.URL != r.url+made.Path || made.Page != "/admin/queue?name=q" || made.CreatedBy != "uli" {
		t.Errorf("%+v", made)
	}

	anybody := r.client()
	a := anybody.get(made.Path).must(t, http.StatusOK)
	if !strings.Contains(a.body, `<h1 class="name">q</h1>`) || !strings.Contains(a.body, `id="link-note"`) {
		t.Error(a.body)
	}
	for _, never := range []string{"launch", "/api/v1/queues?", "<nav aria-label=\"Main", `action="/admin/logout"`, `action="/admin/queue`, "/admin/links?page", `name="text"`} {
		if strings.Contains(a.body, never) {
			t.Errorf("the page has %s", never)
		}
	}
	if a.header.Get("Set-Cookie") != "" || a.header.Get("Referrer-Policy") != "no-referrer" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", a.header)
	}
	// Nothing else, also not with what comes from the page.
	for _, other := range []string{"/admin/", "/admin/queue?name=q", "/admin/queues"} {
		anybody.get(other).must(t, http.StatusSeeOther)
	}
	anybody.get("/api/v1/queues").must(t, http.StatusUnauthorized)
	anybody.do("POST", made.Path, "application/x-www-form-urlencoded", "name=q").must(t, http.StatusMethodNotAllowed)
	if a := anybody.get(made.Path + "?name=other&kind=queue&text=x"); !strings.Contains(a.body, `<h1 class="name">q</h1>`) {
		t.Error("another query shows another page")
	}
	// The script's figures are those of the page.
	if !strings.Contains(a.body, `data-live="`+made.Path+`/queues"`) {
		t.Error("the page is not kept fresh")
	}
	live := anybody.get(made.Path+"/queues?name=other").must(t, http.StatusOK)
	if !strings.Contains(live.body, `"name":"q"`) || strings.Contains(live.body, `"other"`) {
		t.Error(live.body)
	}
	anybody.get(made.Path+"/connections").must(t, http.StatusNotFound)
	anybody.get(made.Path+"/none").must(t, http.StatusNotFound)

	// Bodies are there when their reader asked for it.
	if a := anybody.get(r.basic("alice").makeLink(`{"page":"/admin/queue?name=q","bodies":true}`).Path); !strings.Contains(a.body, secret) {
		t.Error("no body")
	}
	gone := r.basic("uli").makeLink(`{"page":"/admin/queue?name=none%3Cb%3E"}`)
	if a := anybody.get(gone.Path).must(t, http.StatusNotFound); !strings.Contains(a.body, `id="link-note"`) || strings.Contains(a.body, "<b>\"") {
		t.Error(a.body)
	}
	if n := strings.Count(r.audit.String(), "action=use-link target=\"/admin/queue?name=q\""); n != 2 || !strings.Contains(r.audit.String(), "user=uli action=make-link") || !strings.Contains(r.audit.String(), "user=link:"+made.ID) {
		t.Errorf("%d uses in %s", n, r.audit)
	}
}

func TestLinksAreRefused(t *testing.T) {
	r := newRig(t, withLinks(t, filepath.Join(t.TempDir(), "links.json"), time.Now), withTokens(t, filepath.Join(t.TempDir(), "tokens.json"), time.Now))
	alice := r.basic("alice")
	for _, page := range []string{"", "/", "/admin", "/admin/users", "/admin/audit", "/admin/settings", "/admin/links", "/admin/queue/message/body?name=q&at=5.1", "/admin/queue/purge?name=q", "/metrics",
		"/api/v1/queues", "//evil.example/admin/", "https://evil.example/admin/", "/admin/../admin/users", "/admin/queue?%zz", "/admin/link/a-b", "/admin/queue?name=" + strings.Repeat("x", 5000), "javascript:alert(1)"} {
		alice.do("POST", "/api/v1/links", "application/json", `{"page":"`+page+`"}`).must(t, http.StatusBadRequest)
	}
	for body, status := range map[string]int{`{"page":"/admin/","hours":-1}`: 400, `{"page":"/admin/","hours":721}`: 400, `{"page":"/admin/","hours":720}`: 201, `{"page":"/admin/","x":1}`: 400} {
		alice.do("POST", "/api/v1/links", "application/json", body).must(t, status)
	}
	r.basic("vera").do("POST", "/api/v1/links", "application/json", `{"page":"/admin/"}`).must(t, http.StatusForbidden)
	r.bearer(alice.makeToken(`{"name":"ops","role":"admin"}`).Token, "POST", "/api/v1/links", `{"page":"/admin/"}`).must(t, http.StatusForbidden)
	none := newRig(t) // without a file
	none.basic("alice").do("POST", "/api/v1/links", "application/json", `{"page":"/admin/"}`).must(t, http.StatusNotFound)
	none.client().get("/admin/link/a-b").must(t, http.StatusNotFound)
}

// A link ends with its time, its revocation, its maker, and with any change of what was signed.
func TestLinksEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "links.json")
	at := time.Now()
	clock := func() time.Time { return at }
	r := newRig(t, withLinks(t, path, clock))
	open := func(l madeLink) int { return r.client().get(l.Path).status }
	make := func(user string) madeLink { return r.basic(user).makeLink(`{"page":"/admin/queues","hours":2}`) }
	l := make("uli")
	if open(l) != http.StatusOK {
		t.Fatal("a new link is not good")
	}
	last := l.Path[len(l.Path)-1:]
	for _, path := range []string{l.Path + "x", l.Path[:len(l.Path)-2] + "A" + last, strings.Replace(l.Path, l.ID, make("uli").ID, 1), "/admin/link/" + l.ID, "/admin/link/" + l.ID + "-", "/admin/link/%00-"} {
		if path != l.Path {
			r.client().get(path).must(t, http.StatusNotFound)
		}
	}
	text, stat := read(t, path)
	if stat.Mode().Perm() != 0o600 || strings.Contains(text, l.Path[strings.LastIndex(l.Path, "-"):]) {
		t.Errorf("mode %v: %s", stat.Mode(), text)
	}

	// Another start knows it; a file that somebody changed does not make it another link.
	again := newRig(t, withLinks(t, path, clock))
	again.client().get(l.Path).must(t, http.StatusOK)
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "/admin/queues", "/admin/jobs")), 0o600); err != nil {
		t.Fatal(err)
	}
	newRig(t, withLinks(t, path, clock)).client().get(l.Path).must(t, http.StatusNotFound)
	for _, wrong := range []string{"{", `{"key":"AAAA","links":[]}`, "{}"} {
		if err := os.WriteFile(path, []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.OpenLinks(path); err == nil || !strings.Contains(err.Error(), "mend the file") {
			t.Error(wrong, err)
		}
	}

	at = at.Add(2 * time.Hour)
	if open(l) != http.StatusNotFound {
		t.Error("an expired link is good")
	}
	l = make("uli")
	r.users.mu.Lock()
	r.users.stamp = "another password"
	r.users.mu.Unlock()
	if open(l) != http.StatusNotFound {
		t.Error("a link outlives its maker's password")
	}
	l = make("uli")
	for _, roles := range [][]string{{"viewer"}, nil} {
		r.users.mu.Lock()
		r.users.roles["uli"] = roles
		r.users.mu.Unlock()
		if open(l) != http.StatusNotFound {
			t.Errorf("a link of somebody with the roles %v is good", roles)
		}
	}
	r.users.mu.Lock()
	delete(r.users.roles, "uli")
	r.users.mu.Unlock()
	if open(l) != http.StatusNotFound {
		t.Error("a link outlives its maker")
	}
}

func TestLinksAreRevoked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "links.json")
	r := newRig(t, withLinks(t, path, time.Now))
	r.users.roles["ulla"] = []string{"user"}
	uli, ulla := r.basic("uli").makeLink(`{"page":"/admin/"}`), r.basic("ulla").makeLink(`{"page":"/admin/"}`)
	if a := r.basic("uli").get("/api/v1/links").must(t, 200); !strings.Contains(a.body, uli.ID) || strings.Contains(a.body, ulla.ID) {
		t.Error(a.body)
	}
	if a := r.basic("alice").get("/api/v1/links").must(t, 200); !strings.Contains(a.body, uli.ID) || !strings.Contains(a.body, ulla.ID) || strings.Contains(a.body, "stamp") {
		t.Error(a.body)
	}
	r.basic("uli").do("DELETE", "/api/v1/links/"+ulla.ID, "", "").must(t, http.StatusNotFound)
	r.client().get(ulla.Path).must(t, http.StatusOK)
	r.basic("alice").do("DELETE", "/api/v1/links/"+ulla.ID, "", "").must(t, http.StatusNoContent)
	r.client().get(ulla.Path).must(t, http.StatusNotFound)
	r.client().get(uli.Path).must(t, http.StatusOK)
	before, _ := read(t, path)
	r.basic("alice").do("DELETE", "/api/v1/links", "", "").must(t, http.StatusOK)
	r.client().get(uli.Path).must(t, http.StatusNotFound)
	if after, _ := read(t, path); keyOf(before) == keyOf(after) {
		t.Error("the key is the same")
	}

	// In the console.
	c := r.loggedIn("uli")
	page := c.get("/admin/queues?filter=a%26b").must(t, 200).body
	form := link(t, page, "/admin/links?page=")
	if a := c.get(form).must(t, 200); !strings.Contains(a.body, `value="/admin/queues?filter=a%26b"`) || !strings.Contains(a.body, "treadmq link create") {
		t.Error(a.body)
	}
	a := c.post("/admin/links", "page", "/admin/queues?filter=a%26b", "hours", "3").must(t, 200)
	_, shown, _ := strings.Cut(a.body, `id="link" data-copy>`)
	shown, _, _ = strings.Cut(shown, "<")
	r.client().get(strings.TrimPrefix(shown, r.url)).must(t, http.StatusOK)
	_, id, _ := strings.Cut(a.body, `name="id" value="`)
	id, _, _ = strings.Cut(id, `"`)
	c.post("/admin/links/revoke", "all", "true").must(t, http.StatusForbidden)
	c.post("/admin/links/revoke", "id", id).must(t, http.StatusSeeOther)
	r.client().get(strings.TrimPrefix(shown, r.url)).must(t, http.StatusNotFound)
}

func keyOf(file string) string {
	return regexp.MustCompile(`"key": "[^"]*"`).FindString(file)
}

// Every page that a link can show is shown, with nothing that could change anything.
func TestEveryLinkablePage(t *testing.T) {
	r := newRig(t, withLinks(t, filepath.Join(t.TempDir(), "links.json"), time.Now))
	alice := r.basic("alice")
	alice.send("/api/v1/queues/q/messages", `{"body":"the launch code"}`)
	alice.send("/api/v1/topics/t/messages", `{"body":"x"}`)
	alice.do("PUT", "/api/v1/subscriptions/d", "application/json", `{"topics":["t"]}`).must(t, http.StatusCreated)
	at := link(t, r.loggedIn("alice").get("/admin/queue?name=q").body, "/admin/queue/message?")
	forms := regexp.MustCompile(`<form[^>]*method="post"[^>]*action="([^"]*)"`)
	for _, path := range admin.LinkablePages() {
		page := path
		switch path {
		case "/admin/queue", "/admin/topic":
			page += "?name=" + map[string]string{"/admin/queue": "q", "/admin/topic": "t"}[path]
		case "/admin/queue/message":
			page = at
		case "/admin/connection", "/admin/cluster": // there is none
			continue
		}
		a := r.client().get(alice.makeLink(`{"page":"`+page+`"}`).Path).must(t, http.StatusOK)
		for _, m := range forms.FindAllStringSubmatch(a.body, -1) {
			if m[1] != "/admin/theme" && m[1] != "/admin/language" {
				t.Errorf("%s has a form to %s", page, m[1])
			}
		}
		if strings.Contains(a.body, "launch") || strings.Contains(a.body, `data-live="/api`) || strings.Contains(a.body, `class="danger"`) {
			t.Errorf("%s: %s", page, a.body)
		}
	}
	sub := r.client().get(alice.makeLink(`{"page":"/admin/queue?name=d&kind=subscription"}`).Path).must(t, http.StatusOK)
	_, live, _ := strings.Cut(sub.body, `data-live="`)
	live, _, _ = strings.Cut(live, `"`)
	if a := r.client().get(live).must(t, http.StatusOK); !strings.Contains(a.body, `"name":"d"`) {
		t.Error(a.body)
	}
}

// A list that a link shows is filtered, sorted and turned over within the link; a queue is searched in one with bodies.
func TestLinksAreUsed(t *testing.T) {
	r := newRig(t, withLinks(t, filepath.Join(t.TempDir(), "links.json"), time.Now))
	alice := r.basic("alice")
	for i := range 120 {
		alice.do("PUT", fmt.Sprintf("/api/v1/queues/q.%03d", i), "", "").must(t, http.StatusCreated)
	}
	alice.send("/api/v1/queues/q.007/messages", `{"headers":{"k":"secret"},"body":"the launch code"}`)
	alice.send("/api/v1/queues/q.007/messages", `{"headers":{"k":"other"},"body":"nothing"}`)
	c := r.client()
	rows := func(page string) string {
		return fmt.Sprint(regexp.MustCompile(`data-row="queue:([^"]*)"`).FindAllStringSubmatch(page, -1))
	}
	all := alice.makeLink(`{"page":"/admin/queues"}`).Path
	first := c.get(all).must(t, 200).body
	for _, m := range hrefs.FindAllStringSubmatch(first, -1) {
		if u := html.UnescapeString(m[1]); strings.HasPrefix(u, "/admin/queues") && strings.Contains(u, "?") {
			t.Errorf("the page leads to %s", u)
		}
	}
	next := link(t, first, all+"?cursor=")
	if second := c.get(next).must(t, 200).body; !strings.Contains(second, "101–120 of 120") || strings.Contains(rows(second), "q.007") {
		t.Error(second)
	}
	most := c.get(link(t, c.get(next).body, all+"?order=desc&sort=messages")).must(t, 200).body
	if !strings.HasPrefix(rows(most), "[[data-row=\"queue:q.007\"") || !strings.Contains(most, `data-live="`+all+`/queues?order=desc&amp;sort=messages"`) {
		t.Errorf("%.300s", rows(most))
	}
	live := c.get(all+"/queues?order=desc&sort=messages&filter=q.00").must(t, 200)
	if !strings.HasPrefix(live.body, `{"items":[{"name":"q.007"`) || !strings.Contains(live.body, `"total":10`) {
		t.Errorf("%.200s", live.body)
	}
	if some := c.get(all+"?filter=q.00").must(t, 200).body; !strings.Contains(some, "1–10 of 10") || !strings.Contains(some, `value="q.00"`) {
		t.Error(rows(some))
	}

	// What a link shows a part of stays that part, whatever is asked for.
	part := alice.makeLink(`{"page":"/admin/queues?filter=q.01"}`).Path
	for _, asked := range []string{"", "?filter=", "?filter=q.00", "?filter=q.01&filter=", "?sort=messages&filter=q"} {
		if a := c.get(part+asked).must(t, 200).body; !strings.Contains(a, "1–10 of 10") || strings.Contains(rows(a), "q.007") || strings.Contains(a, `name="filter"`) {
			t.Errorf("%s shows %s", asked, rows(a))
		}
	}
	// No parameter names another thing.
	one := alice.makeLink(`{"page":"/admin/queue?name=q.007"}`).Path
	for _, asked := range []string{"?name=q.001", "?kind=subscription", "?name=q.001&cursor=", "?selector=k%3D'secret'", "?text=launch", "?at=1", "?range=1h&name=q.001"} {
		a := c.get(one+asked).must(t, 200).body
		if !strings.Contains(a, `<h1 class="name">q.007</h1>`) || strings.Count(a, "/admin/queue/message?") != 2 || strings.Contains(a, `name="selector"`) || strings.Contains(a, "launch") {
			t.Errorf("%s: %s", asked, a)
		}
	}
	if a := c.get(one+"?range=1h").must(t, 200).body; !strings.Contains(a, one+`?range=24h`) || !strings.Contains(a, `aria-current="true"`) {
		t.Error("the range of the charts cannot be chosen")
	}
	bodies := alice.makeLink(`{"page":"/admin/queue?name=q.007","bodies":true}`).Path
	for _, asked := range []string{"?selector=k%3D'secret'", "?text=launch"} {
		if a := c.get(bodies+asked).must(t, 200).body; strings.Count(a, "/admin/queue/message?") != 1 || !strings.Contains(a, `action="`+bodies+`#messages"`) {
			t.Errorf("%s: %s", asked, a)
		}
	}
	found := alice.makeLink(`{"page":"/admin/queue?name=q.007&selector=k='other'","bodies":true}`).Path
	if a := c.get(found+"?selector=&text=launch").must(t, 200).body; strings.Contains(a, "launch") || strings.Count(a, "/admin/queue/message?") != 1 {
		t.Error(a)
	}
	c.get(all+"?sort=nothing").must(t, http.StatusBadRequest)
}

// Streams of events end with what opened them: a link, a user with Basic, a token.
func TestStreamsEndWithTheirLogin(t *testing.T) {
	r := newRig(t, withLinks(t, filepath.Join(t.TempDir(), "links.json"), time.Now), withTokens(t, filepath.Join(t.TempDir(), "tokens.json"), time.Now),
		func(o *admin.Options) { o.SampleInterval = 5 * time.Millisecond })
	alice := r.basic("alice")
	alice.do("PUT", "/api/v1/queues/q", "", "").must(t, http.StatusCreated)
	shown := alice.makeLink(`{"page":"/admin/queues"}`)
	token := alice.makeToken(`{"name":"ci","role":"viewer"}`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	open := func(path string, login func(*http.Request)) *bufio.Scanner {
		req, err := http.NewRequestWithContext(ctx, "GET", r.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		login(req)
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(res, err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return bufio.NewScanner(res.Body)
	}
	next := func(what string, s *bufio.Scanner) { // reads two events: the stream outlives the first check
		t.Helper()
		for i := range 2 {
			for s.Scan() && !strings.HasPrefix(s.Text(), "data: {") {
			}
			if s.Err() != nil || !strings.HasPrefix(s.Text(), "data: {") {
				t.Fatalf("%s: event %d: %q %v", what, i, s.Text(), s.Err())
			}
			alice.do("PUT", "/api/v1/queues/"+what+string(rune('a'+i)), "", "").must(t, http.StatusCreated)
		}
	}
	ended := func(what string, s *bufio.Scanner) {
		t.Helper()
		for s.Scan() {
		}
		if ctx.Err() != nil {
			t.Fatalf("the stream of a %s goes on", what)
		}
	}
	byLink := open(shown.Path+"/events", func(*http.Request) {})
	byToken := open("/api/v1/events?of=queues", func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+token.Token) })
	byBasic := open("/api/v1/events?of=queues", func(q *http.Request) { q.SetBasicAuth("vera", "vera-pw") })
	next("link", byLink)
	next("token", byToken)
	next("basic", byBasic)
	for range admin.MaxShown - 1 {
		open(shown.Path+"/events", func(*http.Request) {})
	}
	r.client().get(shown.Path+"/events").must(t, http.StatusServiceUnavailable)
	open("/api/v1/events?of=queues", func(q *http.Request) { q.SetBasicAuth("alice", "alice-pw") }).Scan()
	alice.do("DELETE", "/api/v1/links/"+shown.ID, "", "").must(t, http.StatusNoContent)
	alice.do("DELETE", "/api/v1/tokens/"+token.ID, "", "").must(t, http.StatusNoContent)
	r.users.mu.Lock()
	delete(r.users.roles, "vera")
	r.users.mu.Unlock()
	ended("link", byLink)
	ended("token", byToken)
	ended("user", byBasic)
}
