package admin_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"treadmq/admin"
	"treadmq/broker"
	"treadmq/notice"
)

// deaf is a client that takes nothing in.
type deaf struct{}

func (deaf) Wake()      {}
func (deaf) Kill(error) {}

func (r *rig) subscriber(d broker.Destination, prefetch int, selector string) *broker.Conn {
	r.t.Helper()
	c, err := r.b.Connect(broker.ConnOptions{Protocol: "STOMP 1.2", User: "worker", Remote: "192.0.2.7:1234", Sink: deaf{}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	s, err := c.Subscribe(broker.SubscribeOptions{ID: "s1", Dests: []broker.Destination{d}, Prefetch: prefetch, Selector: selector})
	if err != nil {
		r.t.Fatal(err)
	}
	s.Start()
	return c
}

func queue(name string) broker.Destination { return broker.Destination{Kind: broker.Queue, Name: name} }

type jobJSON struct {
	ID                                            uint64
	Action, State, User, Error                    string
	DryRun                                        bool
	Total, Looked, Done, InFlight, Gone, NoOrigin int64
}

// act asks for an action on messages of a queue.
func (c *client) act(name, body string) (jobJSON, answer) {
	c.t.Helper()
	a := c.do("POST", "/api/v1/queues/"+url.PathEscape(name)+"/actions", "application/json", body)
	var j jobJSON
	if a.status == http.StatusOK || a.status == http.StatusAccepted {
		a.json(c.t, &j)
	}
	return j, a
}

func (c *client) bodies(name, query string) (list []string) {
	c.t.Helper()
	for cursor := ""; ; {
		var m messagesJSON
		c.get("/api/v1/queues/"+url.PathEscape(name)+"/messages?body=true&limit=7&cursor="+cursor+"&"+query).must(c.t, http.StatusOK).json(c.t, &m)
		for _, x := range m.Items {
			list = append(list, *x.Body)
		}
		if cursor = m.Next; cursor == "" {
			return list
		}
	}
}

func TestActions(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	const odd = `a/b%2F..:#?< ü "x"`
	path := "/api/v1/queues/" + url.PathEscape(odd) + "/messages"
	for i := range 40 {
		c.send(path, fmt.Sprintf(`{"body":"body %d","headers":{"n":"%d"}}`, i, i%4))
	}
	if got := c.bodies(odd, "selector="+url.QueryEscape("n = 3")); len(got) != 10 || got[0] != "body 3" || got[9] != "body 39" {
		t.Errorf("by selector: %v", got)
	}
	if got := c.bodies(odd, "text=2"); len(got) != 13 {
		t.Errorf("by text: %v", got)
	}
	for _, step := range []struct {
		body string
		want jobJSON
		left int64
	}{
		{`{"action":"delete","selector":"n = 0","dryRun":true}`, jobJSON{Done: 10, Looked: 40, DryRun: true}, 40},
		{`{"action":"delete","selector":"n = 0"}`, jobJSON{Done: 10, Looked: 40}, 30},
		{`{"action":"move","to":"other","selector":"n = 1","limit":4}`, jobJSON{Done: 4, Looked: 30}, 26},
		{`{"action":"copy","to":"other","text":"body 39"}`, jobJSON{Done: 1, Looked: 26}, 26},
		{`{"action":"retry"}`, jobJSON{NoOrigin: 26, Looked: 26}, 26},
		{`{"action":"move","to":"` + "the rest" + `"}`, jobJSON{Done: 26, Looked: 26}, 0},
	} {
		j, a := c.act(odd, step.body)
		a.must(t, http.StatusOK)
		if j.State != "done" || j.User != "alice" || j.Done != step.want.Done || j.Looked != step.want.Looked || j.NoOrigin != step.want.NoOrigin || j.DryRun != step.want.DryRun {
			t.Errorf("%s: %+v", step.body, j)
		}
		if info, err := r.b.Queue(queue(odd)); err != nil || info.Messages != step.left {
			t.Errorf("%s leaves %d, %v", step.body, info.Messages, err)
		}
	}
	if got := c.bodies("other", ""); !slices.Equal(got, []string{"body 1", "body 5", "body 9", "body 13", "body 39"}) {
		t.Errorf("other holds %v", got)
	}
	for _, bad := range []string{`{}`, `{"action":"burn"}`, `{"action":"move"}`, `{"action":"move","to":"other"}`, `{"action":"copy","to":"a\nb"}`,
		`{"action":"delete","selector":"n ="}`, `{"action":"delete","at":["x"]}`, `{"action":"delete","at":["5.1"],"text":"x"}`, `{"action":"delete","limit":-1}`, `{"action":"delete","rate":-1}`} {
		if _, a := c.act("other", bad); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", bad, a.status, a.body)
		}
	}
	if _, a := c.act("none", `{"action":"delete"}`); a.status != http.StatusNotFound {
		t.Errorf("no queue: %d", a.status)
	}
	if n := strings.Count(r.audit.String(), "action=move"); n != 2 {
		t.Errorf("%d moves in the audit log", n)
	}
}

func TestActionsOnNamedMessages(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	for i := range 5 {
		c.send("/api/v1/queues/q/messages", fmt.Sprintf(`{"body":"%d"}`, i))
	}
	var m messagesJSON
	c.get("/api/v1/queues/q/messages").json(t, &m)
	j, _ := c.act("q", fmt.Sprintf(`{"action":"delete","at":[%q,%q,"4.77"]}`, m.Items[1].Cursor, m.Items[3].Cursor))
	if j.Done != 2 || j.Gone != 1 {
		t.Errorf("%+v", j)
	}
	one := "/api/v1/queues/q/messages/" + m.Items[0].Cursor
	var x messageJSON
	c.get(one).must(t, http.StatusOK).json(t, &x)
	if x.Body == nil || *x.Body != "0" {
		t.Errorf("%+v", x)
	}
	if a := r.basic("vera").get(one).must(t, http.StatusOK); strings.Contains(a.body, `"body":`) {
		t.Errorf("a viewer sees %s", a.body)
	}
	r.basic("vera").get("/api/v1/queues/q/messages?text=x").must(t, http.StatusForbidden)
	c.do("DELETE", one+"?undo=false", "", "").must(t, http.StatusNoContent)
	c.do("DELETE", one, "", "").must(t, http.StatusNotFound)
	r.subscriber(queue("q"), 1, "")
	waitFor(t, func() bool {
		info, err := r.b.Queue(queue("q"))
		return err == nil && info.InFlight == 1
	})
	c.do("DELETE", "/api/v1/queues/q/messages/"+m.Items[2].Cursor, "", "").must(t, http.StatusConflict)
	if got := c.bodies("q", ""); !slices.Equal(got, []string{"2", "4"}) {
		t.Errorf("left: %v", got)
	}
}

// A slow action goes on after the answer, shows how far it is, and can be cancelled.
func TestJobs(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	for range 10 {
		c.send("/api/v1/queues/q/messages", `{"body":"x"}`)
	}
	j, a := c.act("q", `{"action":"move","to":"other","rate":1}`)
	if a.must(t, http.StatusAccepted); j.State != "running" || a.header.Get("Location") != fmt.Sprintf("/api/v1/jobs/%d", j.ID) {
		t.Fatalf("%+v %v", j, a.header)
	}
	var list struct{ Items []jobJSON }
	c.get("/api/v1/jobs").json(t, &list)
	if len(list.Items) != 1 || list.Items[0].State != "running" || list.Items[0].Total != 10 {
		t.Errorf("%+v", list)
	}
	path := fmt.Sprintf("/api/v1/jobs/%d", j.ID)
	c.do("DELETE", path, "", "").must(t, http.StatusOK).json(t, &j)
	if j.State != "cancelled" || j.Done < 1 || j.Done > 9 {
		t.Errorf("%+v", j)
	}
	info, err := r.b.Queue(queue("other"))
	if err != nil || info.Messages != j.Done {
		t.Errorf("%d messages were moved, the job says %d", info.Messages, j.Done)
	}
	c.get("/api/v1/jobs/77").must(t, http.StatusNotFound)
	if !strings.Contains(r.audit.String(), "result=cancelled") {
		t.Error(r.audit)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	c.send("/api/v1/queues/q/messages", `{"body":"x"}`)
	for _, a := range []answer{c.do("POST", "/api/v1/queues/q/purge?dry_run=true", "", ""), c.do("DELETE", "/api/v1/queues/q?dry_run=true", "", "")} {
		if a.must(t, http.StatusOK).body != "{\"removed\":1,\"dryRun\":true}\n" {
			t.Error(a.body)
		}
	}
	if info, err := r.b.Queue(queue("q")); err != nil || info.Messages != 1 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestPauseAndResume(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	c.send("/api/v1/queues/q/messages", `{"body":"x"}`)
	var q struct {
		Paused   bool
		InFlight int
	}
	c.do("POST", "/api/v1/queues/q/pause", "", "").must(t, http.StatusOK).json(t, &q)
	r.subscriber(queue("q"), 1, "")
	if c.get("/api/v1/queues/q").json(t, &q); !q.Paused || q.InFlight != 0 {
		t.Errorf("%+v", q)
	}
	c.do("POST", "/api/v1/queues/q/resume", "", "").must(t, http.StatusOK).json(t, &q)
	waitFor(t, func() bool {
		c.get("/api/v1/queues/q").json(t, &q)
		return !q.Paused && q.InFlight == 1
	})
	c.do("POST", "/api/v1/queues/none/pause", "", "").must(t, http.StatusNotFound)
}

func TestConnectionsAndConsumers(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	conn := r.subscriber(queue("q"), 5, "a = 1")
	var list struct {
		Items []struct {
			Serial     uint64
			User       string
			Connection uint64
			Selector   string
		}
		Total int
	}
	c.get("/api/v1/connections?filter=WORK").must(t, http.StatusOK).json(t, &list)
	if list.Total != 1 || list.Items[0].Serial != conn.Serial() {
		t.Errorf("%+v", list)
	}
	if c.get("/api/v1/connections?filter=nobody").json(t, &list); list.Total != 0 || list.Items == nil {
		t.Errorf("%+v", list)
	}
	if c.get("/api/v1/consumers?filter=/queue/q").json(t, &list); list.Total != 1 || list.Items[0].Selector != "a = 1" {
		t.Errorf("%+v", list)
	}
	path := fmt.Sprintf("/api/v1/connections/%d", conn.Serial())
	c.get(path).must(t, http.StatusOK)
	c.do("DELETE", path+"/subscriptions/9", "", "").must(t, http.StatusNotFound)
	c.do("DELETE", path+"/subscriptions/1", "", "").must(t, http.StatusNoContent)
	if got := r.b.Consumers(queue("q")); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	c.get("/api/v1/connections/999").must(t, http.StatusNotFound)
}

func TestDeadLettersAreGrouped(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	for i := range 3 {
		c.send("/api/v1/queues/orders/messages", fmt.Sprintf(`{"body":"%d","ttlMs":1}`, i))
	}
	waitFor(t, func() bool {
		info, err := r.b.Queue(queue("ActiveMQ.DLQ"))
		return err == nil && info.Messages == 3
	})
	c.send("/api/v1/queues/ActiveMQ.DLQ/messages", `{"body":"sent here"}`)
	var dead struct {
		Items []struct {
			Queue, Origin, Reason string
			Messages              int
		}
		Looked, Total int
	}
	r.basic("vera").get("/api/v1/deadletters").must(t, http.StatusOK).json(t, &dead)
	if len(dead.Items) != 2 || dead.Items[0].Origin != "orders" || dead.Items[0].Reason != "expired" || dead.Items[0].Messages != 3 || dead.Total != 4 || dead.Looked != 4 {
		t.Errorf("%+v", dead)
	}
}

func TestAuditIsShown(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	c.do("PUT", "/api/v1/queues/q", "", "")
	r.basic("uli").do("DELETE", "/api/v1/queues/q", "", "")
	var log struct {
		Items []struct{ User, Action, Target, Result string }
	}
	c.get("/api/v1/audit?limit=2").must(t, http.StatusOK).json(t, &log)
	if len(log.Items) != 2 || log.Items[0].User != "uli" || log.Items[0].Result != "not-authorized" || log.Items[1].Action != "create" {
		t.Errorf("%+v", log)
	}
}

// Whoever guesses passwords pushes no change out of the audit log, nor fills memory with long names; both are shown in their order.
func TestGuessesPushNoChangeOut(t *testing.T) {
	r := newRig(t)
	alice := r.basic("alice")
	alice.do("PUT", "/api/v1/queues/first", "", "")
	guess := r.client()
	for i := range 1100 {
		name := fmt.Sprint("guess", i, strings.Repeat("é", 500))
		guess.do("GET", "/api/v1/queues", "", "", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(name+":x"))).must(t, http.StatusUnauthorized)
		if i == 1050 {
			alice.do("PUT", "/api/v1/queues/between", "", "")
		}
	}
	alice.do("PUT", "/api/v1/queues/last", "", "")
	var log struct {
		Items []struct{ User, Action, Target, Result string }
	}
	alice.get("/api/v1/audit?limit=1000").must(t, http.StatusOK).json(t, &log)
	var changes []string
	guesses := 0
	for i, e := range log.Items {
		switch {
		case e.Action == "create":
			changes = append(changes, fmt.Sprint(i, e.Target))
		case e.Action == "login" && e.Result == "not-authorized" && strings.HasPrefix(e.User, "guess") && len(e.User) < 80:
			guesses++
		}
	}
	if got := fmt.Sprint(changes); guesses != 200 || got != "[0/queue/last 50/queue/between 202/queue/first]" {
		t.Errorf("%d guesses, changes %s", guesses, got)
	}
	for i := range 1100 {
		alice.do("PUT", fmt.Sprint("/api/v1/queues/q", i), "", "")
	}
	alice.get("/api/v1/audit?limit=1000").must(t, http.StatusOK).json(t, &log)
	if len(log.Items) != 1000 || log.Items[0].Target != "/queue/q1099" || log.Items[999].Target != "/queue/q100" {
		t.Errorf("%d entries from %+v to %+v", len(log.Items), log.Items[0], log.Items[len(log.Items)-1])
	}
	page := r.loggedIn("alice").get("/admin/audit").must(t, http.StatusOK).body
	if !strings.Contains(page, "q1099") {
		t.Error("the page shows no changes")
	}
}

// lister is a realm that shows its users.
type lister struct{ *users }

func (lister) Users() []admin.UserInfo {
	return []admin.UserInfo{{Name: "alice", Roles: []string{"admin"}}}
}
func (lister) Problems() []notice.Notice {
	return []notice.Notice{notice.English("line 3: CRYPT is not supported")}
}

func TestUsersRolesPoliciesConfig(t *testing.T) {
	r := newRig(t, func(o *admin.Options) {
		o.Auth = lister{newUsers()}
		o.Rules = func() []admin.PolicyRule {
			return []admin.PolicyRule{{Kind: "queue", Pattern: "orders.>", Where: "treadmq.toml:12", Settings: []admin.PolicySetting{{Key: "maxMessages", Value: "5"}}}}
		}
		o.Config = func() []admin.ConfigEntry { return []admin.ConfigEntry{{Key: "data", Value: "/x"}} }
	})
	c := r.basic("alice")
	for path, want := range map[string]string{
		"/api/v1/users": "CRYPT is not supported", "/api/v1/roles": `{"name":"viewer","may":["view"]}`,
		"/api/v1/policies": "treadmq.toml:12", "/api/v1/config": `"value":"/x"`,
	} {
		if a := c.get(path).must(t, http.StatusOK); !strings.Contains(a.body, want) {
			t.Errorf("%s: %s", path, a.body)
		}
	}
}

// A stream sends what changes, and ends when its session does.
func TestEvents(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.SampleInterval = 10_000_000 }) // 10 ms
	c := r.loggedIn("alice")
	req, err := http.NewRequest("GET", r.url+"/api/v1/events?of=queues&name=q", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	res, err := c.http.Do(req.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatal(got)
	}
	lines := bufio.NewScanner(res.Body)
	next := func() (list listJSON) {
		t.Helper()
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &list); err != nil {
					t.Fatal(err)
				}
				return list
			}
		}
		t.Fatal("the stream ended")
		return list
	}
	if got := next(); len(got.Items) != 0 {
		t.Fatalf("%+v", got)
	}
	r.basic("alice").send("/api/v1/queues/q/messages", `{"body":"x"}`)
	for got := next(); len(got.Items) == 0 || got.Items[0].Messages != 1; {
		got = next()
	}
	c.post("/admin/logout")
	for lines.Scan() {
	}
	c.get("/api/v1/events?of=nothing").must(t, http.StatusUnauthorized)
	r.basic("alice").get("/api/v1/events?of=nothing").must(t, http.StatusBadRequest)
}

func TestServedDescription(t *testing.T) {
	want, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	a := newRig(t).client().get("/api/v1/openapi.json").must(t, http.StatusOK)
	if a.body != string(want) {
		t.Error("something else is served")
	}
}

// What the API answers is what its description says.
func TestAnswersAreAsDescribed(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.Cluster = threeMembers("b") })
	c := r.basic("alice")
	c.send("/api/v1/queues/q/messages", `{"body":"x","headers":{"a":"b"}}`)
	c.send("/api/v1/topics/t/messages", `{"body":"x"}`)
	c.send("/api/v1/queues/r/messages", `{"body":"x","headers":{"x-delay":"3600000","x-schedule-id":"q"}}`)
	c.act("q", `{"action":"copy","to":"r"}`)
	conn := r.subscriber(queue("q"), 1, "")
	var m messagesJSON
	c.get("/api/v1/queues/q/messages").json(t, &m)
	raw, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var d description
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	n := 0
	for path, methods := range d.Paths {
		op, ok := methods["get"]
		schema := op.Responses["200"].Content["application/json"].Schema
		if !ok || schema == nil {
			continue
		}
		if strings.Contains(path, "/subscriptions/{name}") {
			continue // there is none
		}
		n++
		name := "q"
		if strings.Contains(path, "/topics/") {
			name = "t"
		}
		at := strings.NewReplacer("{name}", name, "{at}", m.Items[0].Cursor, "{serial}", fmt.Sprint(conn.Serial()), "{id}", "1", "{message}", m.Items[0].ID).Replace(path)
		var v any
		c.get(at).must(t, http.StatusOK).json(t, &v)
		d.check(t, at, schema, v)
	}
	if n < 15 {
		t.Errorf("only %d answers were looked at", n)
	}
}

// description is as much of an OpenAPI file as the test needs.
type description struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct{ Schema map[string]any }
		}
	}
	Components struct{ Schemas map[string]map[string]any }
}

// check compares a value with a schema.
func (d *description) check(t *testing.T, at string, schema map[string]any, v any) {
	t.Helper()
	if ref, ok := schema["$ref"].(string); ok {
		schema = d.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
	}
	ok := true
	switch schema["type"] {
	case "string":
		_, ok = v.(string)
	case "boolean":
		_, ok = v.(bool)
	case "number":
		_, ok = v.(float64)
	case "integer":
		f, is := v.(float64)
		ok = is && f == float64(int64(f))
	case "array":
		var list []any
		if list, ok = v.([]any); ok {
			for i, x := range list {
				d.check(t, fmt.Sprintf("%s[%d]", at, i), schema["items"].(map[string]any), x)
			}
		}
	case "object":
		var o map[string]any
		if o, ok = v.(map[string]any); ok {
			d.checkObject(t, at, schema, o)
		}
	}
	if !ok {
		t.Errorf("%s: %v is no %v", at, v, schema["type"])
	}
}

func (d *description) checkObject(t *testing.T, at string, schema map[string]any, o map[string]any) {
	t.Helper()
	props, _ := schema["properties"].(map[string]any)
	if props == nil {
		return
	}
	for key, x := range o {
		p, ok := props[key].(map[string]any)
		if !ok {
			t.Errorf("%s: %s is not described", at, key)
			continue
		}
		d.check(t, at+"."+key, p, x)
	}
	required, _ := schema["required"].([]any)
	for _, key := range required {
		if _, ok := o[key.(string)]; !ok {
			t.Errorf("%s: %s is missing", at, key)
		}
	}
}

// waitFor waits until something has happened.
func waitFor(t *testing.T, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !happened(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it did not happen")
		}
	}
}
