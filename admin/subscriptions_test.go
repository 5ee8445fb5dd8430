package admin_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"treadmq/broker"
)

type durableJSON struct {
	Name, Kind, Selector, ClientID string
	Topics                         []string
	NoLocal                        bool
	Messages                       int64
}

func TestDurableSubscriptions(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	for _, name := range oddNames() {
		if broker.CheckName(name, false) != nil {
			continue
		}
		path := "/api/v1/subscriptions/" + url.PathEscape(name)
		body := `{"topics":["a.>","b"],"selector":"k = 'v'","clientId":"c"}`
		c.do("PUT", path, "application/json", body).must(t, http.StatusCreated)
		c.do("PUT", path, "application/json", body).must(t, http.StatusOK)
		c.send("/api/v1/topics/a.x/messages", `{"body":"1","headers":{"k":"v"}}`)
		c.send("/api/v1/topics/a.x/messages", `{"body":"2","headers":{"k":"other"}}`)
		c.send(path+"/messages", `{"body":"3"}`)
		var got durableJSON
		c.get(path).must(t, http.StatusOK).json(t, &got)
		want := durableJSON{Name: name, Kind: "subscription", Selector: "k = 'v'", ClientID: "c", Topics: []string{"a.>", "b"}, Messages: 2}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		var m messagesJSON
		c.get(path+"/messages").must(t, http.StatusOK).json(t, &m)
		if len(m.Items) != 2 || m.Items[0].Headers["destination"] != "/topic/a.x" || m.Items[1].Headers["destination"] != "/dsub/"+name {
			t.Errorf("%q: %+v", name, m)
		}
		var list listJSON
		c.get("/api/v1/subscriptions?name="+url.QueryEscape(name)+"&sort=messages&order=desc").must(t, http.StatusOK).json(t, &list)
		if len(list.Items) != 1 || list.Items[0].Name != name {
			t.Errorf("%q is listed as %+v", name, list)
		}
		c.do("POST", path+"/purge", "", "").must(t, http.StatusOK)
		c.get(path).json(t, &got)
		if got.Messages != 0 {
			t.Errorf("%d messages are left", got.Messages)
		}
		c.do("DELETE", path, "", "").must(t, http.StatusOK)
		c.get(path).must(t, http.StatusNotFound)
	}
	c.do("PUT", "/api/v1/subscriptions/n", "application/json", `{"topics":[]}`).must(t, http.StatusBadRequest)
	c.do("PUT", "/api/v1/subscriptions/n", "application/json", `{"topics":["a"],"selector":"a b"}`).must(t, http.StatusBadRequest)
	c.do("DELETE", "/api/v1/subscriptions/n", "", "").must(t, http.StatusNotFound)
	var queues listJSON
	c.do("PUT", "/api/v1/subscriptions/n", "application/json", `{"topics":["a"]}`).must(t, http.StatusCreated)
	if c.get("/api/v1/queues").json(t, &queues); len(queues.Items) != 0 {
		t.Errorf("among the queues: %+v", queues)
	}
}
