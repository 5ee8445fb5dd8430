package admin_test

import (
	"net/http"
	"strings"
	"testing"
)

type lifeJSON struct {
	ID     string
	Events []struct{ What, Destination, User, Detail string }
}

func (l lifeJSON) String() string {
	var all []string
	for _, e := range l.Events {
		all = append(all, e.What+" "+e.Destination)
	}
	return strings.Join(all, ", ")
}

// The life of a message is told by its place and by its id; a traced queue tells more.
func TestLifeAPI(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	var q struct{ TraceUntil string }
	c.send("/api/v1/queues/q/messages", `{"body":"x"}`)
	c.do("POST", "/api/v1/queues/q/trace?seconds=60", "application/json", "").must(t, http.StatusOK).json(t, &q)
	if q.TraceUntil == "" {
		t.Error("it is not said until when")
	}
	id := c.send("/api/v1/queues/q/messages", `{"body":"y"}`)
	var m messagesJSON
	c.get("/api/v1/queues/q/messages").json(t, &m)
	var l lifeJSON
	r.basic("vera").get("/api/v1/queues/q/messages/"+m.Items[1].Cursor+"/life").must(t, http.StatusOK).json(t, &l)
	if l.ID != id || l.String() != "received /queue/q, stored /queue/q, ready /queue/q" {
		t.Errorf("%s: %s", l.ID, l)
	}
	c.do("DELETE", "/api/v1/queues/q/messages/"+m.Items[1].Cursor, "", "").must(t, http.StatusOK)
	l = lifeJSON{}
	c.get("/api/v1/life/"+id).must(t, http.StatusOK).json(t, &l)
	if l.String() != "received /queue/q, deleted /queue/q" {
		t.Errorf("by id: %s", l)
	}
	for _, bad := range []string{"x", "ID-other-1", "ID-test-xyz"} {
		c.get("/api/v1/life/"+bad).must(t, http.StatusBadRequest)
	}
	for _, bad := range []string{"-1", "3601", "x", "1.5", "99999999999"} {
		c.do("POST", "/api/v1/queues/q/trace?seconds="+bad, "application/json", "").must(t, http.StatusBadRequest)
	}
	page := r.loggedIn("alice").get("/admin/life?id="+id).must(t, http.StatusOK)
	if !strings.Contains(page.body, "deleted") || !strings.Contains(page.body, "/queue/q") {
		t.Error(page.body)
	}
	if a := r.loggedIn("alice").get("/admin/life?id=%3Cb%3E").must(t, http.StatusBadRequest); strings.Contains(a.body, "<b>\"") || !strings.Contains(a.body, "is not the id") {
		t.Error(a.body)
	}
}
