package admin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"treadmq/admin"
)

func TestSessionCookie(t *testing.T) {
	for _, secure := range []bool{false, true} {
		r := newRig(t, func(o *admin.Options) { o.Secure = secure })
		a := r.client().post("/admin/login", "user", "alice", "password", "alice-pw")
		c := a.header.Get("Set-Cookie")
		if !strings.HasPrefix(c, "treadmq-") || !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Strict") || strings.Contains(c, "Secure") != secure || strings.Contains(c, "Expires") {
			t.Errorf("secure %v: cookie %s", secure, c)
		}
	}
}

// A token from before the login is worth nothing after it.
func TestTokenIsRenewed(t *testing.T) {
	r := newRig(t)
	c := r.loggedIn("vera")
	u, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	old := c.http.Jar.Cookies(u)[0]
	c.post("/admin/login", "user", "alice", "password", "alice-pw").must(t, http.StatusSeeOther)
	if renewed := c.http.Jar.Cookies(u)[0]; renewed.Value == old.Value {
		t.Error("the token is the same")
	}
	thief := r.client()
	thief.http.Jar.SetCookies(u, []*http.Cookie{old})
	if a := thief.get("/admin/"); a.status != http.StatusSeeOther {
		t.Errorf("the old token still works: %d", a.status)
	}
}

func TestLogout(t *testing.T) {
	r := newRig(t)
	c := r.loggedIn("alice")
	u, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	token := c.http.Jar.Cookies(u)
	c.get("/api/v1/queues").must(t, http.StatusOK)
	c.post("/admin/logout").must(t, http.StatusSeeOther)
	c.get("/api/v1/queues").must(t, http.StatusUnauthorized)
	c.http.Jar.SetCookies(u, token)
	c.get("/api/v1/queues").must(t, http.StatusUnauthorized)
}

func TestNextPageIsOurs(t *testing.T) {
	r := newRig(t)
	for next, want := range map[string]string{
		"":                           "/admin/",
		"/admin/queue?name=a%2Fb":    "/admin/queue?name=a%2Fb",
		"https://evil.example/":      "/admin/",
		"//evil.example/admin/":      "/admin/",
		"/admin/\\evil.example":      "/admin/",
		"/admin/login?next=x":        "/admin/",
		"/evil":                      "/admin/",
		"/admin/../../evil":          "/evil", // of this server
		"/admin/\r\nSet-Cookie: a=b": "/admin/",
	} {
		a := r.client().post("/admin/login", "user", "alice", "password", "alice-pw", "next", next)
		if got := a.header.Get("Location"); got != want {
			t.Errorf("next %q leads to %q", next, got)
		}
	}
	a := r.client().get("/admin/queue?name=a%2Fb").must(t, http.StatusSeeOther)
	if got := a.header.Get("Location"); got != "/admin/login?next=%2Fadmin%2Fqueue%3Fname%3Da%252Fb" {
		t.Errorf("leads to %s", got)
	}
}

// A user who is removed or loses a role is so at once.
func TestRolesAreAskedForAgain(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.Auth = lookup{o.Auth.(*users)} })
	c := r.loggedIn("alice")
	c.get("/admin/queue/purge?name=none").must(t, http.StatusNotFound)
	r.users.mu.Lock()
	r.users.roles["alice"] = []string{"viewer"}
	r.users.mu.Unlock()
	c.get("/admin/queue/purge?name=none").must(t, http.StatusForbidden)
	r.users.mu.Lock()
	delete(r.users.roles, "alice")
	r.users.mu.Unlock()
	c.get("/admin/").must(t, http.StatusSeeOther)
}

// A changed password ends the sessions of before, and of nobody who logs in afterwards.
func TestChangedPasswordEndsSessions(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.Auth = lookup{o.Auth.(*users)} })
	before := r.loggedIn("alice")
	before.get("/admin/").must(t, http.StatusOK)
	r.users.mu.Lock()
	r.users.stamp = "changed"
	r.users.mu.Unlock()
	before.get("/admin/").must(t, http.StatusSeeOther)
	before.get("/api/v1/queues").must(t, http.StatusUnauthorized)
	r.loggedIn("alice").get("/admin/").must(t, http.StatusOK)
}

// jar is a browser without a network, for tests with a fake clock.
type jar struct {
	s       *admin.Server
	cookies map[string]string
}

func (j *jar) do(method, path, form string) *http.Response {
	req := httptest.NewRequest(method, path, strings.NewReader(form))
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range j.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	j.s.ServeHTTP(w, req)
	res := w.Result()
	for _, c := range res.Cookies() {
		j.cookies[c.Name] = c.Value
	}
	return res
}

func (j *jar) status(method, path, form string) int {
	res := j.do(method, path, form)
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func TestSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(2 * time.Second) }) // on the fake clock: LevelDB takes one to end
		r := newConsole(t, func(o *admin.Options) { o.SessionIdle, o.SessionMax = 30*time.Minute, 2*time.Hour })
		const login = "user=alice&password=alice-pw"
		in := func() *jar {
			j := &jar{r.s, map[string]string{}}
			if got := j.status("POST", "/admin/login", login); got != http.StatusSeeOther {
				t.Fatal(got)
			}
			return j
		}

		j := in()
		time.Sleep(29 * time.Minute)
		if got := j.status("GET", "/admin/queues", ""); got != http.StatusOK {
			t.Errorf("after 29 min: %d", got)
		}
		time.Sleep(29 * time.Minute)
		if got := j.status("GET", "/admin/queues", ""); got != http.StatusOK {
			t.Errorf("after 29 min more: %d", got)
		}
		time.Sleep(31 * time.Minute)
		if got := j.status("GET", "/admin/queues", ""); got != http.StatusSeeOther {
			t.Errorf("31 min idle: %d", got)
		}

		j = in() // a page left open asks the API all the time
		for range 16 {
			time.Sleep(2 * time.Minute)
			j.status("GET", "/api/v1/overview", "")
		}
		if got := j.status("GET", "/admin/queues", ""); got != http.StatusSeeOther {
			t.Errorf("the page's script kept the session alive: %d", got)
		}

		j = in()
		for range 5 {
			time.Sleep(25 * time.Minute)
			j.status("GET", "/admin/queues", "")
		}
		if got := j.status("GET", "/admin/queues", ""); got != http.StatusSeeOther {
			t.Errorf("after 125 min: %d", got)
		}
	})
}

// The answer to a login is held back as long as the Authenticator says.
func TestLoginIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(2 * time.Second) }) // on the fake clock: LevelDB takes one to end
		r := newConsole(t)
		r.users.wait = 3 * time.Second
		j := &jar{r.s, map[string]string{}}
		begun := time.Now()
		if got := j.status("POST", "/admin/login", "user=alice&password=wrong"); got != http.StatusUnauthorized {
			t.Errorf("status %d", got)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("the answer took %v", took)
		}

		answers := make(chan int, 2*admin.MaxHeld)
		for range 2 * admin.MaxHeld {
			go func() {
				own := &jar{r.s, map[string]string{}}
				answers <- own.status("POST", "/admin/login", "user=alice&password=alice-pw")
			}()
		}
		synctest.Wait()
		busy := 0
		for range admin.MaxHeld {
			select {
			case status := <-answers:
				if status == http.StatusTooManyRequests {
					busy++
				}
			default:
			}
		}
		if busy != admin.MaxHeld {
			t.Errorf("%d of %d logins were refused at once", busy, 2*admin.MaxHeld)
		}
		for range admin.MaxHeld {
			if status := <-answers; status != http.StatusSeeOther {
				t.Errorf("a held login with the right password: %d", status)
			}
		}
	})
}

func TestSessionsAreBounded(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.MaxSessions = 3 })
	var all []*client
	for range 5 {
		all = append(all, r.loggedIn("vera"))
	}
	in := 0
	for _, c := range all {
		if c.get("/api/v1/queues").status == http.StatusOK {
			in++
		}
	}
	if in != 3 {
		t.Errorf("%d sessions are alive", in)
	}
	all[4].get("/api/v1/queues").must(t, http.StatusOK)
}

func TestAPILogin(t *testing.T) {
	r := newRig(t)
	a := r.client().get("/api/v1/queues").must(t, http.StatusUnauthorized)
	if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("no challenge: %v", a.header)
	}
	a = r.client().do("GET", "/api/v1/queues", "", "", "Sec-Fetch-Mode", "cors").must(t, http.StatusUnauthorized)
	if a.header.Get("WWW-Authenticate") != "" {
		t.Error("a browser would show its own dialogue")
	}
	r.client().do("GET", "/api/v1/queues", "", "", "Authorization", "Basic eDp5").must(t, http.StatusUnauthorized)
	r.basic("vera").get("/api/v1/queues").must(t, http.StatusOK)
	if a := r.basic("alice").get("/admin/queues"); a.status != http.StatusSeeOther {
		t.Errorf("pages take Basic: %d", a.status)
	}
}
