package admin_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"treadmq/broker"
)

type removedJSON struct {
	Removed int64
	Undo    *struct {
		ID                 uint32
		Name, Kind, Action string
		Until              string
	}
}

// The line that tells of a purge or a deletion has a button that undoes it, once.
func TestUndoButton(t *testing.T) {
	r := newRig(t)
	c := r.loggedIn("alice")
	const name = "q/1 & <b>"
	path := "/admin/queue/%s?name=q%%2F1+%%26+%%3Cb%%3E"
	button := regexp.MustCompile(`name="id" value="(\d+)"><button type="submit" name="do" value="restore"`)
	undo := func(page string) {
		t.Helper()
		a := c.get(page)
		m := button.FindStringSubmatch(a.body)
		if m == nil {
			t.Fatalf("no button:\n%s", a.body)
		}
		if again := c.get(page); button.MatchString(again.body) {
			t.Error("the button is there twice")
		}
		a = c.post("/admin/trash", "id", m[1], "do", "restore").must(t, http.StatusSeeOther)
		if a = c.get(a.header.Get("Location")); !strings.Contains(a.body, "2 messages are back in q/1 &amp; &lt;b&gt;") {
			t.Error(a.body)
		}
		if q, err := r.b.Queue(queueOf(name)); err != nil || q.Messages != 2 {
			t.Fatalf("%+v %v", q, err)
		}
	}
	for range 2 {
		r.basic("alice").send("/api/v1/queues/q%2F1%20&%20%3Cb%3E/messages", `{"body":"x"}`)
	}
	if a := c.get(fmt.Sprintf(path, "purge")); !strings.Contains(a.body, "undo this for 1 h") || strings.Contains(a.body, "cannot be undone") {
		t.Error(a.body)
	}
	c.post(fmt.Sprintf(path, "purge"), "confirm", name).must(t, http.StatusSeeOther)
	if q, err := r.b.Queue(queueOf(name)); err != nil || q.Messages != 0 {
		t.Fatalf("%+v %v", q, err)
	}
	undo("/admin/queue?name=q%2F1+%26+%3Cb%3E")
	c.post(fmt.Sprintf(path, "delete"), "confirm", name).must(t, http.StatusSeeOther)
	undo("/admin/queues")
	c.post("/admin/queue/act?name=q%2F1+%26+%3Cb%3E", "scope", "all", "action", "delete", "sure", "yes", "confirm", name).must(t, http.StatusSeeOther)
	undo("/admin/queue?name=q%2F1+%26+%3Cb%3E")
	if s := r.audit.String(); strings.Count(s, "action=undo") != 3 || !strings.Contains(s, "user=alice") {
		t.Errorf("audit: %s", s)
	}
}

// The API says how to undo, and does; undo=false is for good.
func TestTrashAPI(t *testing.T) {
	r := newRig(t)
	c := r.basic("alice")
	api := func(method, path string, status int, v any) {
		t.Helper()
		kind := ""
		if method == "POST" {
			kind = "application/json"
		}
		if a := c.do(method, "/api/v1/"+path, kind, "").must(t, status); v != nil {
			a.json(t, v)
		}
	}
	c.send("/api/v1/queues/q/messages", `{"body":"one"}`)
	c.send("/api/v1/queues/q/messages", `{"body":"two"}`)
	var gone removedJSON
	api("POST", "queues/q/purge", http.StatusOK, &gone)
	if gone.Removed != 2 || gone.Undo == nil || gone.Undo.Action != "purge" || gone.Undo.Name != "q" || gone.Undo.Kind != "queue" {
		t.Fatalf("%+v", gone)
	}
	id := fmt.Sprint(gone.Undo.ID)
	var trash struct {
		Items       []struct{ ID, Messages int64 }
		KeepSeconds int64
	}
	api("GET", "trash", http.StatusOK, &trash)
	if len(trash.Items) != 1 || trash.Items[0].Messages != 2 || trash.KeepSeconds != 3600 {
		t.Errorf("%+v", trash)
	}
	api("POST", "trash/"+id+"/restore", http.StatusOK, nil)
	api("POST", "trash/"+id+"/restore", http.StatusNotFound, nil)
	api("POST", "trash/x/restore", http.StatusBadRequest, nil)
	var m messagesJSON
	api("GET", "queues/q/messages", http.StatusOK, &m)
	gone = removedJSON{}
	api("DELETE", "queues/q/messages/"+m.Items[0].Cursor, http.StatusOK, &gone)
	if gone.Undo == nil || gone.Undo.Action != "messages" {
		t.Errorf("%+v", gone)
	}
	api("DELETE", "trash/"+fmt.Sprint(gone.Undo.ID), http.StatusNoContent, nil)
	gone = removedJSON{}
	api("POST", "queues/q/purge?undo=false", http.StatusOK, &gone)
	if gone.Removed != 1 || gone.Undo != nil {
		t.Errorf("%+v", gone)
	}
	api("POST", "queues/q/purge?undo=maybe", http.StatusBadRequest, nil)
	api("DELETE", "queues/q?undo=false", http.StatusNoContent, nil)
	c.do("PUT", "/api/v1/queues/q", "", "").must(t, http.StatusCreated)
	api("DELETE", "queues/q", http.StatusOK, &gone)
	api("GET", "trash", http.StatusOK, &trash)
	if len(trash.Items) != 1 {
		t.Errorf("%+v", trash)
	}
}

// What is more than the trash takes is refused by the API, and the console says so before it is done for good.
func TestMoreThanTheTrashTakes(t *testing.T) {
	r := newRig(t)
	r.b.SetTrash(broker.TrashLimits{Keep: 1, Messages: 1, Bytes: 1 << 20})
	c := r.loggedIn("alice")
	for range 2 {
		r.basic("alice").send("/api/v1/queues/q/messages", `{"body":"x"}`)
	}
	if a := r.basic("alice").do("POST", "/api/v1/queues/q/purge", "application/json", ""); a.status < 400 || !strings.Contains(a.body, "trash.messages") {
		t.Errorf("%d %s", a.status, a.body)
	}
	a := c.get("/admin/queue/purge?name=q")
	if !strings.Contains(a.body, "at most 1 messages") || !strings.Contains(a.body, "cannot be undone") || !strings.Contains(a.body, `name="undo" value="false"`) {
		t.Error(a.body)
	}
	c.post("/admin/queue/purge?name=q", "confirm", "q", "undo", "false").must(t, http.StatusSeeOther)
	if q, err := r.b.Queue(queueOf("q")); err != nil || q.Messages != 0 {
		t.Errorf("%+v %v", q, err)
	}
}
