package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// browser is one that is logged in to the console.
type browser struct {
	t      *testing.T
	client http.Client
	url    string
}

func (b *runningBroker) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &browser{t: t, client: http.Client{Jar: jar}, url: strings.TrimSuffix(b.state.Console, "/admin/")}
	w.post("/admin/login", url.Values{"user": {"admin"}, "password": {b.password}})
	return w
}

func (w *browser) page(path string) string {
	w.t.Helper()
	a, err := w.client.Get(w.url + path)
	return w.read(path, a, err)
}

func (w *browser) post(path string, form url.Values) string {
	w.t.Helper()
	a, err := w.client.PostForm(w.url+path, form)
	return w.read(path, a, err)
}

func (w *browser) read(path string, a *http.Response, err error) string {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s %v\n%s", path, a.Status, err, text)
	}
	return string(text)
}

// shell runs a line that a page shows as somebody would who copies it, and types the password.
func (b *runningBroker) shell(t *testing.T, line string) string {
	t.Helper()
	typed := strings.Replace(line, "curl ", "curl -sS --fail-with-body ", 1)
	typed = strings.Replace(typed, " -u admin ", " -u admin:"+b.password+" ", 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", typed)
	cmd.Env = []string{"PATH=" + filepath.Dir(program) + ":" + os.Getenv("PATH"), "HOME=/nonexistent", envUser + "=admin", envPassword + "=" + b.password}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

var copied = regexp.MustCompile(`<code data-copy>([^<]*)</code>`)

// offered are the lines that a page offers to copy.
func offered(page string) (list []string) {
	for _, m := range copied.FindAllStringSubmatch(page, -1) {
		list = append(list, html.UnescapeString(m[1]))
	}
	return list
}

// oddNames are names of queues that are something else to a shell, to an address or to the command line.
var oddNames = []string{"same.orders", "..", ".", "-x", "/lead", "queue:x", "a/b", "100%", "quo'te \"$HOME\"", "x#y?z&q=1;{a-b}[1-3]", "订单 $(id)", "back\\slash!"}

// Every page shows a command and a request, and both do what the page does: they are copied, and run.
func TestPagesTellCommandsThatWork(t *testing.T) {
	b := ownBroker(t)
	for _, name := range oddNames {
		b.run(t, "", "send", "/queue/"+name, "--body", "body of "+name, "-H", "tenant=north").want(t, 0)
	}
	w := b.browser(t)
	for _, name := range oddNames {
		list := offered(w.page("/admin/queue?name=" + url.QueryEscape(name) + "&text=body"))
		if len(list) != 4 {
			t.Fatalf("%s: %q", name, list)
		}
		for i, line := range list {
			out := strings.ReplaceAll(b.shell(t, line), `\u0026`, "&")
			shows := strings.Contains(out, "body of "+name) || strings.Contains(out, jsonOf("body of "+name))
			if i < 2 {
				shows = regexp.MustCompile(`name +`+regexp.QuoteMeta(name)).MatchString(out) || strings.Contains(out, `"name":`+jsonOf(name))
			}
			if !shows {
				t.Errorf("%s\n%s", line, out)
			}
		}
	}
	for path, want := range map[string]string{
		"/admin/": "messages",
		"/admin/queues?filter=same&sort=messages&order=desc": "same.orders",
		"/admin/queue/send?name=same.sent":                   "",
		"/admin/topics":                                      "",
		"/admin/subscriptions":                               "",
		"/admin/connections?sort=since":                      "",
		"/admin/deadletters":                                 "",
		"/admin/schedules":                                   "",
		"/admin/trash":                                       "",
		"/admin/jobs":                                        "",
		"/admin/policies":                                    "",
		"/admin/settings":                                    "brokerName",
		"/admin/audit":                                       "login",
		"/admin/links?page=" + url.QueryEscape("/admin/queue?name=a/b"): "/admin/queue?name=a",
	} {
		list := offered(w.page(path))
		if len(list) != 2 || !strings.HasPrefix(list[0], "treadmq ") || !strings.HasPrefix(list[1], "curl ") {
			t.Errorf("%s: %q", path, list)
		}
		for _, line := range list {
			if out := b.shell(t, line); !strings.Contains(out, want) {
				t.Errorf("%s: %s\n%s", path, line, out)
			}
		}
	}
	b.deadlyLines(t, w)
}

// A connection's page and treadmq conn show what the two ends have agreed on.
func TestHeartBeatsAreShown(t *testing.T) {
	b := theBroker(t)
	for _, c := range []struct{ asks, text, json string }{
		{"7000,9000", "from it every 7 s<br>to it every 9 s", `"heartBeatInMillis":7000,"heartBeatOutMillis":9000`},
		{"0,750", "none from it<br>to it every 750 ms", `"heartBeatInMillis":0,"heartBeatOutMillis":750`},
		{"0,0", "<dd>none</dd>", `"heartBeatInMillis":0,"heartBeatOutMillis":0`},
	} {
		conn, err := net.Dial("tcp", b.state.Stomp[0])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		id := "beats-" + c.asks
		fmt.Fprintf(conn, "CONNECT\naccept-version:1.2\nhost:x\nlogin:admin\npasscode:%s\nclient-id:%s\nheart-beat:%s\n\n\x00", b.password, id, c.asks)
		if _, err := bufio.NewReader(conn).ReadString(0); err != nil {
			t.Fatal(err)
		}
		var one struct{ Serial, HeartBeatInMillis, HeartBeatOutMillis int }
		out := b.run(t, "", "conn", "ls", "--filter", id, "-o", "jsonl").want(t, 0).stdout
		if err := json.Unmarshal([]byte(out), &one); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := fmt.Sprintf(`"heartBeatInMillis":%d,"heartBeatOutMillis":%d`, one.HeartBeatInMillis, one.HeartBeatOutMillis); got != c.json {
			t.Errorf("%s: %s", c.asks, got)
		}
		if page := b.browser(t).page(fmt.Sprintf("/admin/connection?serial=%d", one.Serial)); !strings.Contains(page, c.text) {
			t.Errorf("%s: the page lacks %q\n%s", c.asks, c.text, page)
		}
	}
}

// deadlyLines are those of pages that ask before they change something.
func (b *runningBroker) deadlyLines(t *testing.T, w *browser) {
	depth := func(name string) (n int) {
		var q struct{ Messages int }
		out := b.run(t, "", "queue", "show", "/queue/"+name, "-o", "json").want(t, 0).stdout
		if err := json.Unmarshal([]byte(out), &q); err != nil {
			t.Fatal(err)
		}
		return q.Messages
	}
	if n := depth("same.sent"); n != 2 {
		t.Fatalf("%d were sent", n)
	}
	act := url.Values{"scope": {"all"}, "action": {"copy"}, "to": {"-copies"}, "selector": {"tenant = 'north'"}, "text": {"of .."}}
	for i, line := range offered(w.post("/admin/queue/act?name=..", act)) {
		b.shell(t, line)
		eventually(t, "copying", func() bool { return depth("-copies") == i+1 })
	}
	act = url.Values{"scope": {"all"}, "action": {"delete"}, "text": {"nothing has this"}}
	for _, line := range offered(w.post("/admin/queue/act?name=..", act)) {
		b.shell(t, strings.Replace(line, "queue purge", "queue purge --yes", 1))
	}
	if n := depth(".."); n != 1 {
		t.Errorf("%d are left", n)
	}
	for i, line := range offered(w.page("/admin/queue/purge?name=" + url.QueryEscape("/lead"))) {
		b.run(t, "", "send", "/queue//lead", "--body", "again").want(t, 0)
		b.shell(t, strings.Replace(line, "queue purge", "queue purge --yes", 1))
		if n := depth("/lead"); n != 0 {
			t.Errorf("line %d leaves %d", i, n)
		}
	}
	for _, line := range offered(w.page("/admin/queue/delete?name=" + url.QueryEscape("100%"))) {
		b.run(t, "", "queue", "create", "100%").want(t, 0)
		b.shell(t, strings.Replace(line, "queue rm", "queue rm --yes", 1))
		b.run(t, "", "queue", "show", "100%").want(t, exitFailure).says(t, "there is no queue")
	}
	at := regexp.MustCompile(`/admin/queue/message\?at=([^&"]*)`).FindStringSubmatch(html.UnescapeString(w.page("/admin/queue?name=a%2Fb")))
	if at == nil {
		t.Fatal("no message is shown")
	}
	list := offered(w.page(fmt.Sprintf("/admin/queue/message?name=a%%2Fb&at=%s", at[1])))
	if len(list) != 4 {
		t.Fatalf("%q", list)
	}
	for i, line := range list {
		if out := b.shell(t, line); i < 2 && !strings.Contains(out, "body of a/b") {
			t.Errorf("%s\n%s", line, out)
		}
	}
}

func jsonOf(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // to memory
	return strings.TrimSpace(b.String())
}
