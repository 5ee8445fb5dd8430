package admin_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func TestEveryPageIsMade(t *testing.T) {
	r := newRig(t)
	c := r.loggedIn("alice")
	c.basicAPI("alice").send("/api/v1/queues/orders/messages", `{"headers":{"k":"v"},"body":"{\"a\":1}"}`)
	c.basicAPI("alice").send("/api/v1/topics/news/messages", `{"body":"x"}`)
	at := link(t, c.get("/admin/queue?name=orders").body, "/admin/queue/message")
	for _, path := range []string{
		"/admin/", "/admin/queues", "/admin/queue?name=orders", at, "/admin/queue/send?name=orders", "/admin/queue/purge?name=orders",
		"/admin/queue/delete?name=orders", "/admin/topics", "/admin/topic?name=news", "/admin/topic/send?name=news",
		"/admin/topic/delete?name=news", "/admin/connections",
	} {
		a := c.get(path).must(t, http.StatusOK)
		if !strings.Contains(a.body, "</html>") || strings.Contains(a.body, "ZgotmplZ") {
			t.Errorf("%s: broken page:\n%s", path, a.body)
		}
	}
}

// basicAPI is a client without a session, for the API.
func (c *client) basicAPI(user string) *client { return c.rig.basic(user) }

var hrefs = regexp.MustCompile(`href="([^"]*)"`)

func queryEscape(s string) string { return url.QueryEscape(s) }

// link returns the first link of a page that begins so.
func link(t *testing.T, page, prefix string) string {
	t.Helper()
	for _, m := range hrefs.FindAllStringSubmatch(page, -1) {
		u := html.UnescapeString(m[1])
		if strings.HasPrefix(u, prefix) {
			if _, err := url.Parse(u); err != nil {
				t.Fatal(err)
			}
			return u
		}
	}
	t.Fatalf("no link %s in\n%s", prefix, page)
	return ""
}
