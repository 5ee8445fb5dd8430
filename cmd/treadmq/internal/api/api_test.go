package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(Options{URL: s.URL + "/prefix/", User: "alice", Password: "p:w", Agent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	json.NewEncoder(w).Encode(v)
}

func TestOddNamesArriveWhole(t *testing.T) {
	for _, name := range []string{"a/b", "a//b", "..", ".", "%2F", "ü", "a b", "x\ny", "a:b", "?q=1", "#f", "<b>", "a%", "..%2Fx"} {
		var got string
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			raw, ok := strings.CutPrefix(r.URL.EscapedPath(), "/prefix/api/v1/queues/")
			if !ok || strings.Contains(raw, "/") {
				t.Errorf("%q came as path %q", name, r.URL.EscapedPath())
			}
			got, _ = url.PathUnescape(raw)
			answer(w, map[string]string{"name": got})
		})
		item, err := c.Destination(t.Context(), "queues", name)
		if err != nil || got != name || item.Text("name") != name {
			t.Errorf("%q came as %q: %v", name, got, err)
		}
	}
}

func TestPagesAreFollowed(t *testing.T) {
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "alice" || password != "p:w" {
			t.Errorf("login %s:%s", user, password)
		}
		asked = append(asked, r.URL.Query().Encode())
		from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		var items []any
		for i := from; i < min(from+2, 5); i++ {
			items = append(items, map[string]any{"name": fmt.Sprint("q", i), "messages": uint64(1<<60 + i)})
		}
		next := strconv.Itoa(from + 2)
		if from+2 >= 5 {
			next = ""
		}
		answer(w, map[string]any{"items": items, "next": next, "total": 5})
	})
	c.Limit = 2
	var got []string
	err := c.Destinations(t.Context(), "queues", List{Filter: "a&b", Sort: "messages", Order: "desc"}, func(i Item) (bool, error) {
		got = append(got, i.Text("name")+"="+i.Text("messages"))
		return len(got) < 4, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"q0=1152921504606846976", "q1=1152921504606846977", "q2=1152921504606846978", "q3=1152921504606846979"}, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"filter=a%26b&limit=2&order=desc&sort=messages", "cursor=2&filter=a%26b&limit=2&order=desc&sort=messages"}, asked); d != "" {
		t.Error(d)
	}
}

// A server that always names the same next page must not keep the client for ever.
func TestSameCursorEnds(t *testing.T) {
	n := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		answer(w, map[string]any{"items": []any{}, "next": "same"})
	})
	if err := c.Find(t.Context(), "q", Search{}, false, func(Item) (bool, error) { return true, nil }); err != nil || n != 2 {
		t.Errorf("%d requests, %v", n, err)
	}
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		kind, body string
		want       string
		noAPI      bool
	}{
		"problem":       {409, "application/problem+json", `{"title":"Conflict","status":409,"detail":"2 consumers","code":"in-use"}`, "2 consumers (409)", false},
		"status wins":   {404, "application/problem+json", `{"title":"No","status":1}`, "No (404)", false},
		"login page":    {401, "text/html", `<html>`, "Unauthorized (401)", false},
		"redirect":      {302, "text/html", ``, "302", true},
		"other server":  {200, "text/html", `<html>`, "text/html", true},
		"broken JSON":   {200, "application/json", `{"name":`, "not a TreadMQ", true},
		"wrong JSON":    {200, "application/json", `[]`, "", false},
		"server broken": {500, "text/plain", `boom`, "500", true},
	} {
		client := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/elsewhere") {
				t.Errorf("%s: the redirect was followed", name)
			}
			w.Header().Set("Content-Type", c.kind)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		})
		_, err := client.Destination(t.Context(), "queues", "q")
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrNoAPI) != c.noAPI {
			t.Errorf("%s: %v", name, err)
		}
		var no *Error
		if !c.noAPI && (!errors.As(err, &no) || no.Status != c.status) {
			t.Errorf("%s: %#v", name, err)
		}
	}
}

func TestBadAddresses(t *testing.T) {
	for _, bad := range []string{"127.0.0.1:8161", "ftp://x", "http://", "://", "tcp://127.0.0.1:61613"} {
		if _, err := New(Options{URL: bad}); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
	for _, same := range []string{"http://h:1/x", "http://h:1/x/", "http://h:1/x/admin", "http://h:1/x/admin/?a=b#c"} {
		if c, err := New(Options{URL: same}); err != nil || c.URL() != "http://h:1/x" {
			t.Errorf("%s is %v, %v", same, c.URL(), err)
		}
	}
	if c, err := New(Options{URL: "http://u:p@h:1/x/"}); err != nil || c.URL() != "http://h:1/x" || c.o.User != "u" {
		t.Errorf("%v %v", c, err)
	}
}

func TestFields(t *testing.T) {
	var i Item
	if err := json.Unmarshal([]byte(`{"b":1,"a":{"x":true,"list":["u","v"]},"objects":[{},{}],"none":null,"rate":0.25,"name":"0.25","big":18446744073709551615}`), &i); err != nil {
		t.Fatal(err)
	}
	want := []Field{{"b", "1"}, {"a.x", "true"}, {"a.list", "u, v"}, {"objects", "2 entries"}, {"none", ""}, {"rate", "0.2"}, {"name", "0.25"}, {"big", "18446744073709551615"}}
	if d := cmp.Diff(want, i.Fields()); d != "" {
		t.Error(d)
	}
	if b, err := json.Marshal(&i); err != nil || !strings.Contains(string(b), `"list":["u","v"]`) {
		t.Errorf("%s %v", b, err)
	}
}
