package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"treadmq/broker"
)

// shut is a Guard that lets nobody do anything with what is called secret.
type shut struct{}

func (shut) Rights(_ string, d broker.Destination) broker.Right {
	if strings.HasPrefix(d.Name, "secret") {
		return 0
	}
	return broker.AllRights
}

// The rules for STOMP clients hold in the console and the API for who does not manage the
// broker: no bodies, no sending.
func TestAuthorizationRules(t *testing.T) {
	r := newRig(t)
	admin, user := r.basic("alice"), r.basic("uli")
	for _, q := range []string{"secret", "open"} {
		admin.send("/api/v1/queues/"+q+"/messages", `{"body":"needle"}`)
	}
	admin.send("/api/v1/queues/secret/messages", `{"body":"needle","headers":{"AMQ_SCHEDULED_DELAY":"3600000","x-schedule-id":"s"}}`)
	r.b.SetGuard(shut{})
	pages := r.loggedIn("uli")
	at := link(t, r.loggedIn("alice").get("/admin/queue?name=secret").body, "/admin/queue/message?")
	api := "/api/v1/queues/secret/messages"
	for _, path := range []string{api + "?body=true", api + "?text=needle", "/api/v1/schedules/s?body=true", "/admin/queue/message/body" + at[strings.IndexByte(at, '?'):]} {
		if strings.HasPrefix(path, "/admin") {
			pages.get(path).must(t, http.StatusForbidden)
			continue
		}
		if a := user.get(path).must(t, http.StatusForbidden); !strings.Contains(a.body, "authorization rules") || strings.Contains(a.body, "needle") {
			t.Errorf("%s: %s", path, a.body)
		}
		admin.get(path).must(t, http.StatusOK)
	}
	for _, path := range []string{"/admin/queue?name=secret", at} {
		if a := pages.get(path).must(t, http.StatusOK); strings.Contains(a.body, "needle") {
			t.Errorf("%s shows the body", path)
		}
		if a := r.loggedIn("alice").get(path).must(t, http.StatusOK); !strings.Contains(a.body, "needle") {
			t.Errorf("%s does not show the body to who manages the broker", path)
		}
	}
	var list struct{ Items []struct{ Cursor string } }
	admin.get(api).json(t, &list)
	single := api + "/" + list.Items[0].Cursor
	if a := user.get(single).must(t, http.StatusOK); strings.Contains(a.body, "needle") {
		t.Errorf("%s shows the body", single)
	}
	if a := user.do("POST", api, "application/json", `{"body":"x"}`).must(t, http.StatusForbidden); !strings.Contains(a.body, "send to the queue secret") {
		t.Error(a.body)
	}
	pages.post("/admin/queue/send?name=secret", "body", "x", "encoding", "text", "priority", "4").must(t, http.StatusForbidden)
	user.send("/api/v1/queues/open/messages", `{"body":"x"}`)
	admin.send(api, `{"body":"x"}`)
	if a := user.get("/api/v1/queues/open/messages?body=true").must(t, http.StatusOK); !strings.Contains(a.body, "needle") {
		t.Error(a.body)
	}
}
