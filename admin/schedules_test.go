package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"treadmq/broker"
)

// TestSchedules sends by the API what is to be delivered later, lists, shows, runs and
// cancels it.
func TestSchedules(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	const name = "a/b ü%2F?"
	c.send("/api/v1/queues/q/messages", `{"body":"named","headers":{"x-delay":"3600000","x-schedule-id":"`+name+`","k":"v"}}`)
	id := c.send("/api/v1/queues/q/messages", `{"body":"plain","headers":{"AMQ_SCHEDULED_CRON":"0 0 1 1 *","x-cron-tz":"UTC"}}`)
	once := c.send("/api/v1/topics/t/messages", `{"body":"once","headers":{"AMQ_SCHEDULED_DELAY":"7200000"}}`)
	if once == id {
		t.Fatal(id)
	}
	type view struct {
		ID, Due, Cron string
		Destinations  []string
		Body          string
	}
	list := func(query string) (ids []string) {
		t.Helper()
		var p struct {
			Items []view
			Next  string
			Total int
		}
		for cursor := ""; ; cursor = p.Next {
			c.get("/api/v1/schedules?limit=1&cursor="+cursor+"&"+query).must(t, http.StatusOK).json(t, &p)
			for _, i := range p.Items {
				ids = append(ids, i.ID)
			}
			if p.Next == "" {
				return ids
			}
		}
	}
	if got := list(""); len(got) != 3 || got[0] != name || got[1] != once || got[2] != id {
		t.Fatalf("listed %q, want %q", got, []string{name, once, id})
	}
	if got := list("destination=/topic/t"); len(got) != 1 || got[0] != once {
		t.Fatalf("listed %q", got)
	}
	if got := list("to=2020-01-01T00:00:00Z"); len(got) != 0 {
		t.Fatalf("listed %q", got)
	}
	at := "/api/v1/schedules/" + url.PathEscape(name)
	var v view
	if c.get(at+"?body=true").must(t, http.StatusOK).json(t, &v); v.Body != "named" || v.Destinations[0] != "/queue/q" {
		t.Fatalf("%+v", v)
	}
	if a := r.basic("vera").get(at); a.status != http.StatusOK || strings.Contains(a.body, "named\"") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	r.basic("vera").get(at+"?body=true").must(t, http.StatusForbidden)
	c.do("POST", at+"/run", "application/json", "{}").must(t, http.StatusNoContent)
	if q, err := r.b.Queue(broker.Destination{Kind: broker.Queue, Name: "q"}); err != nil || q.Messages != 1 {
		t.Fatalf("%+v %v", q, err)
	}
	c.get(at).must(t, http.StatusNotFound)
	c.do("DELETE", "/api/v1/schedules/"+id, "", "").must(t, http.StatusNoContent)
	c.do("DELETE", "/api/v1/schedules/"+id, "", "").must(t, http.StatusNotFound)
	c.do("DELETE", "/api/v1/schedules", "", "").must(t, http.StatusBadRequest)
	for _, bad := range []string{"from=soon", "destination=x", "limit=0", "cursor=y"} {
		c.get("/api/v1/schedules?"+bad).must(t, http.StatusBadRequest)
	}
	if a := c.do("DELETE", "/api/v1/schedules?all=true", "", "").must(t, http.StatusOK); strings.TrimSpace(a.body) != `{"removed":1}` {
		t.Fatal(a.body)
	}
	for _, line := range []string{`action="run schedule"`, `action="cancel schedule"`, `action="cancel schedules"`} {
		if !strings.Contains(r.audit.String(), line) {
			t.Errorf("the audit does not have %s", line)
		}
	}
}
