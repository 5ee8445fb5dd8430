package admin_test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"treadmq/broker"
)

// Who may use each route: - nobody needs to log in, l anybody logged in, a admin,
// u user, v viewer. A route that is not here fails the test.
var whoMay = map[string]string{
	"GET /":                        "-",
	"GET /admin":                   "-",
	"GET /healthz":                 "-",
	"GET /readyz":                  "-",
	"GET /metrics":                 "auv",
	"GET /metrics/per-destination": "auv",
	"GET /admin/assets/{file}":     "-",
	"GET /admin/login":             "-",
	"POST /admin/login":            "-",
	"POST /admin/theme":            "-",
	"POST /admin/columns":          "auv",
	"POST /admin/logout":           "l",

	"GET /api/message":              "au",
	"POST /api/message":             "au",
	"DELETE /api/message":           "au",
	"GET /api/message/{path:.*}":    "au",
	"POST /api/message/{path:.*}":   "au",
	"DELETE /api/message/{path:.*}": "au",
	"DELETE /api/message/ack/{id}":  "au",
	"GET /api/jolokia":              "auv",
	"POST /api/jolokia":             "auv",
	"GET /api/jolokia/{path:.*}":    "auv",
	"POST /api/jolokia/{path:.*}":   "auv",

	"GET /admin/":                                  "auv",
	"GET /admin/queues":                            "auv",
	"POST /admin/queues":                           "a",
	"GET /admin/queue":                             "auv",
	"GET /admin/queue/message":                     "auv",
	"GET /admin/queue/message/body":                "au",
	"GET /admin/queue/send":                        "au",
	"POST /admin/queue/send":                       "au",
	"GET /admin/queue/purge":                       "a",
	"POST /admin/queue/purge":                      "a",
	"GET /admin/queue/delete":                      "a",
	"POST /admin/queue/delete":                     "a",
	"GET /admin/topics":                            "auv",
	"GET /admin/topic":                             "auv",
	"GET /admin/topic/send":                        "au",
	"POST /admin/topic/send":                       "au",
	"GET /admin/topic/delete":                      "a",
	"POST /admin/topic/delete":                     "a",
	"GET /admin/connections":                       "auv",
	"GET /admin/connection/close":                  "a",
	"POST /admin/language":                         "-",
	"POST /admin/queue/act":                        "a",
	"POST /admin/queue/pause":                      "a",
	"GET /admin/subscriptions":                     "auv",
	"POST /admin/subscriptions":                    "a",
	"POST /admin/subscriptions/delete":             "a",
	"GET /admin/schedules":                         "auv",
	"POST /admin/schedules":                        "a",
	"GET /admin/deadletters":                       "auv",
	"GET /admin/trash":                             "auv",
	"POST /admin/queue/trace":                      "a",
	"GET /admin/life":                              "auv",
	"GET /api/v1/life/{message}":                   "auv",
	"POST /api/v1/queues/{name}/trace":             "a",
	"GET /api/v1/queues/{name}/messages/{at}/life": "auv",
	"POST /admin/trash":                            "a",
	"GET /api/v1/trash":                            "auv",
	"DELETE /api/v1/trash/{id}":                    "a",
	"POST /api/v1/trash/{id}/restore":              "a",
	"GET /admin/connection":                        "auv",
	"POST /admin/subscription/close":               "a",
	"GET /admin/jobs":                              "auv",
	"POST /admin/jobs/cancel":                      "a",
	"GET /admin/policies":                          "auv",
	"GET /admin/cluster":                           "auv",
	"POST /admin/cluster/handover":                 "a",
	"GET /admin/links":                             "au",
	"POST /admin/links":                            "au",
	"POST /admin/links/revoke":                     "au",
	"GET /admin/link/{token}":                      "-",
	"GET /admin/link/{token}/{of}":                 "-",
	"GET /admin/users":                             "a",
	"GET /admin/audit":                             "a",
	"GET /admin/settings":                          "a",
	"POST /admin/connection/close":                 "a",

	"GET /api/v1/subscriptions":                                        "auv",
	"GET /api/v1/subscriptions/{name}":                                 "auv",
	"PUT /api/v1/subscriptions/{name}":                                 "a",
	"DELETE /api/v1/subscriptions/{name}":                              "a",
	"POST /api/v1/subscriptions/{name}/purge":                          "a",
	"GET /api/v1/subscriptions/{name}/messages":                        "auv",
	"POST /api/v1/subscriptions/{name}/messages":                       "au",
	"GET /api/v1/openapi.json":                                         "-",
	"GET /api/v1/overview":                                             "auv",
	"GET /api/v1/queues":                                               "auv",
	"GET /api/v1/queues/{name}":                                        "auv",
	"PUT /api/v1/queues/{name}":                                        "a",
	"DELETE /api/v1/queues/{name}":                                     "a",
	"POST /api/v1/queues/{name}/purge":                                 "a",
	"POST /api/v1/queues/{name}/pause":                                 "a",
	"POST /api/v1/queues/{name}/resume":                                "a",
	"POST /api/v1/queues/{name}/actions":                               "a",
	"GET /api/v1/queues/{name}/messages":                               "auv",
	"POST /api/v1/queues/{name}/messages":                              "au",
	"GET /api/v1/queues/{name}/messages/{at}":                          "auv",
	"DELETE /api/v1/queues/{name}/messages/{at}":                       "a",
	"GET /api/v1/deadletters":                                          "auv",
	"GET /api/v1/topics":                                               "auv",
	"GET /api/v1/topics/{name}":                                        "auv",
	"DELETE /api/v1/topics/{name}":                                     "a",
	"POST /api/v1/queues/{name}/batch":                                 "au",
	"POST /api/v1/topics/{name}/batch":                                 "au",
	"POST /api/v1/topics/{name}/messages":                              "au",
	"GET /api/v1/connections":                                          "auv",
	"GET /api/v1/connections/{serial}":                                 "auv",
	"DELETE /api/v1/connections/{serial}":                              "a",
	"DELETE /api/v1/connections/{serial}/subscriptions/{subscription}": "a",
	"GET /api/v1/schedules":                                            "auv",
	"DELETE /api/v1/schedules":                                         "a",
	"GET /api/v1/schedules/{name}":                                     "auv",
	"DELETE /api/v1/schedules/{name}":                                  "a",
	"POST /api/v1/schedules/{name}/run":                                "a",
	"GET /api/v1/consumers":                                            "auv",
	"GET /api/v1/policies":                                             "auv",
	"POST /admin/tokens":                                               "a",
	"POST /admin/tokens/revoke":                                        "a",
	"GET /api/v1/tokens":                                               "a",
	"POST /api/v1/tokens":                                              "a",
	"DELETE /api/v1/tokens/{id}":                                       "a",
	"GET /api/v1/links":                                                "au",
	"POST /api/v1/links":                                               "au",
	"DELETE /api/v1/links":                                             "a",
	"DELETE /api/v1/links/{id}":                                        "au",
	"GET /api/v1/users":                                                "a",
	"GET /api/v1/roles":                                                "auv",
	"GET /api/v1/config":                                               "a",
	"GET /api/v1/audit":                                                "a",
	"GET /api/v1/jobs":                                                 "auv",
	"GET /api/v1/jobs/{id}":                                            "auv",
	"DELETE /api/v1/jobs/{id}":                                         "a",
	"GET /api/v1/events":                                               "auv",
	"GET /api/v1/cluster":                                              "auv",
	"POST /api/v1/cluster/handover":                                    "a",
	"POST /api/v1/cluster/voters":                                      "a",
	"POST /api/v1/cluster/elect":                                       "a",
	"POST /api/v1/cluster/reseed":                                      "a",
}

// form is one that every POST of the pages understands.
var form = url.Values{
	"name": {"made"}, "confirm": {"wrong name"}, "serial": {"999"}, "body": {"b"}, "encoding": {"text"}, "priority": {"4"},
	"theme": {"dark"}, "language": {"en"}, "action": {"delete"}, "scope": {"all"}, "id": {"999"}, "subscription": {"9"}, "user": {"alice"}, "password": {"alice-pw"}, "do": {"drop"}, "list": {"queues"}, "column": {"messages"},
}.Encode()

func TestEveryRouteAndEveryRole(t *testing.T) {
	r := newRig(t, withTokens(t, filepath.Join(t.TempDir(), "tokens.json"), time.Now), withLinks(t, filepath.Join(t.TempDir(), "links.json"), time.Now))
	r.basic("alice").send("/api/v1/queues/q/messages", `{"body":"x"}`)
	at := link(t, r.loggedIn("alice").get("/admin/queue?name=q").body, "/admin/queue/message?")
	_, query, _ := strings.Cut(at, "?")
	roles := map[string]string{"alice": "a", "uli": "u", "vera": "v", "nemo": "", "": ""}
	tokens := map[string]string{"": "tmq_nobody_s"}
	for user, role := range map[string]string{"alice": "admin", "uli": "user", "vera": "viewer"} {
		tokens[user] = r.basic("alice").makeToken(`{"name":"of-` + user + `","role":"` + role + `"}`).Token
	}
	seen := map[string]bool{}
	err := r.s.Walk(func(method, path string) {
		route := method + " " + path
		seen[route] = true
		who, known := whoMay[route]
		if !known {
			t.Errorf("%s is not in the table of this test", route)
			return
		}
		for user, role := range roles {
			may := who == "-" || (who == "l" && user != "") || (role != "" && strings.Contains(who, role))
			for _, how := range []string{"session", "basic"} {
				if how == "basic" && (!strings.HasPrefix(path, "/api/") || user == "") {
					continue
				}
				checkRoute(t, r, method, path, query, user, how, may)
			}
			if token, has := tokens[user]; has { // it opens the API only
				may := may && (who == "-" || strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/metrics"))
				checkRoute(t, r, method, path, query, token, "bearer", may)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for route := range whoMay {
		if !seen[route] {
			t.Errorf("there is no route %s", route)
		}
	}
}

func checkRoute(t *testing.T, r *rig, method, path, query, user, how string, may bool) {
	t.Helper()
	c, headers := r.client(), []string(nil)
	switch {
	case how == "basic":
		c.user = user
	case how == "bearer":
		headers = []string{"Authorization", "Bearer " + user}
	case user != "":
		c = r.loggedIn(user)
	}
	// What is asked for does not exist where that would change something the others need.
	name, queue := "q", query
	if method == http.MethodDelete || strings.Contains(path, "delete") || strings.Contains(path, "purge") {
		name, queue = "none", "name=none"
	}
	path = strings.NewReplacer("{name}", name, "{serial}", "999", "{subscription}", "9", "{id}", "999", "{at}", "5.1", "{message}", "ID-test-1", "{token}", "a-b", "{of}", "events", "{file}", "console.css", "{path:.*}", "none?type=queue&readTimeout=0").Replace(path)
	kind, body := "application/x-www-form-urlencoded", form
	if strings.HasPrefix(path, "/api/") {
		kind, body = "application/json", `{"body":"y"}`
	} else {
		path += "?" + queue
	}
	a := c.do(method, path, kind, body, headers...)
	asked := a.status == http.StatusSeeOther && strings.HasPrefix(a.header.Get("Location"), "/admin/login")
	if user != "" && how != "bearer" && strings.HasPrefix(path, "/admin/logout") {
		asked = false // that is where a logout leads
	}
	refused := asked || a.status == http.StatusForbidden || a.status == http.StatusUnauthorized
	if refused == may {
		t.Errorf("%s %s as %q by %s: %d %s, allowed should be %v", method, path, user, how, a.status, a.header.Get("Location"), may)
	}
	if a.status >= 500 {
		t.Errorf("%s %s as %q: %d %s", method, path, user, a.status, a.body)
	}
	if strings.HasPrefix(path, "/api/") && a.status >= 400 {
		var p struct {
			Type, Title, Detail, Code string
			Status                    int
		}
		a.json(t, &p)
		if a.header.Get("Content-Type") != "application/problem+json" || p.Status != a.status || p.Detail == "" || p.Code == "" {
			t.Errorf("%s %s: not a problem: %s", method, path, a.body)
		}
	}
}

// No GET changes anything, whatever it is asked.
func TestNoGetChanges(t *testing.T) {
	r := newRig(t)
	c := r.loggedIn("alice")
	r.basic("alice").send("/api/v1/queues/q/messages", `{"body":"x"}`)
	q := broker.Destination{Kind: broker.Queue, Name: "q"}
	before, err := r.b.Queue(q)
	if err != nil {
		t.Fatal(err)
	}
	err = r.s.Walk(func(method, path string) {
		if method != http.MethodGet || path == "/api/v1/events" || strings.HasPrefix(path, "/api/message") { // the one does not end, the other receives
			return
		}
		path = strings.NewReplacer("{name}", "q", "{file}", "console.css").Replace(path)
		for _, m := range []string{http.MethodGet, http.MethodHead} {
			c.do(m, path+"?name=q&confirm=q&force=true&_method=DELETE&"+form, "", "", "X-HTTP-Method-Override", "DELETE")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	after, err := r.b.Queue(q)
	if err != nil || after.Messages != before.Messages || after.Enqueued != before.Enqueued {
		t.Errorf("before %+v, after %+v, %v", before, after, err)
	}
	if n := len(r.b.Queues(nil)); n != 1 {
		t.Errorf("there are %d queues", n)
	}
	if a := c.get("/admin/"); a.status != http.StatusOK {
		t.Errorf("the session ended: %d", a.status)
	}
}

// The viewer gets no body in any form.
func TestViewerSeesNoBodies(t *testing.T) {
	r := newRig(t)
	const secret = "the launch code is 1234"
	r.basic("alice").send("/api/v1/queues/q/messages", `{"body":"`+secret+`","headers":{"h":"v"}}`)
	c := r.loggedIn("vera")
	page := c.get("/admin/queue?name=q").must(t, http.StatusOK)
	at := link(t, page.body, "/admin/queue/message?")
	for _, path := range []string{"/admin/queue?name=q", at, at + "&view=hex", at + "&view=json", at + "&all=true", "/api/v1/queues/q/messages"} {
		a := c.get(path).must(t, http.StatusOK)
		if strings.Contains(a.body, "launch") || strings.Contains(a.body, "74 68 65 20 6c") {
			t.Errorf("%s shows the body: %s", path, a.body)
		}
	}
	c.get("/api/v1/queues/q/messages?body=true").must(t, http.StatusForbidden)
	c.get(strings.Replace(at, "/message?", "/message/body?", 1)).must(t, http.StatusForbidden)
	if a := r.loggedIn("uli").get("/api/v1/queues/q/messages?body=true"); !strings.Contains(a.body, secret) {
		t.Errorf("the user does not see it: %s", a.body)
	}
}
