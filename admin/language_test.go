package admin_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"treadmq/admin"
	"treadmq/broker"
	"treadmq/notice"
)

// marked is the user interface with a language more, xx: English with ⟦ ⟧ around everything that
// is of the file of texts. What is put into a text stands outside of them.
func marked(t *testing.T) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	from := os.DirFS("../webui")
	err := fs.WalkDir(from, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(from, path)
		files[path] = &fstest.MapFile{Data: raw}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	if err := json.Unmarshal(files["texts/en.json"].Data, &texts); err != nil {
		t.Fatal(err)
	}
	for key, text := range texts {
		texts[key] = "⟦" + regexp.MustCompile(`%(\[\d\])?[a-z]`).ReplaceAllString(text, "⟧$0⟦") + "⟧"
	}
	raw, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	files["texts/xx.json"] = &fstest.MapFile{Data: raw}
	return files
}

// notText are attributes that nobody reads.
var notText = regexp.MustCompile(`^(class|href|action|method|name|value|id|type|for|lang|rel|role|src|scope|list|data-(f|if|k|m|live|item|row|state|total|points|spark|area|chart)|points|d|viewBox|` +
	`autocomplete|autocapitalize|spellcheck|inputmode|content|charset|preserveAspectRatio|vector-effect|fill|stroke.*|visibility|aria-(current|sort|hidden|pressed|labelledby)|maxlength|max|min|rows|media|tabindex|enctype|hx-.*)$`)

var (
	tag       = regexp.MustCompile(`(?s)<(/?)([a-zA-Z0-9]+)((?:"[^"]*"|[^>"])*)>`)
	attribute = regexp.MustCompile(`([a-zA-Z:-]+)="([^"]*)"`)
	ofFile    = regexp.MustCompile(`(?s)⟦[^⟦⟧]*⟧`)
	words     = regexp.MustCompile(`[\p{L}][\p{L}\p{N}_.-]*`)
)

// said are the texts of a page that people read: between tags and in attributes. What is in the
// tags code and pre is for machines, and what a page says to be English is told apart.
func said(page string) (texts, english []string) {
	page = regexp.MustCompile(`(?s)<!DOCTYPE[^>]*>|<(script|code|pre|textarea)\b.*?</(script|code|pre|textarea)>`).ReplaceAllString(page, "")
	page = regexp.MustCompile(`(?s)<(span|p)[^>]* lang="en"[^>]*>(.*?)</(span|p)>`).ReplaceAllStringFunc(page, func(s string) string {
		english = append(english, tag.ReplaceAllString(s, ""))
		return ""
	})
	for _, m := range tag.FindAllStringSubmatch(page, -1) {
		for _, a := range attribute.FindAllStringSubmatch(m[3], -1) {
			if !notText.MatchString(a[1]) {
				texts = append(texts, html.UnescapeString(a[2]))
			}
		}
	}
	for text := range strings.SplitSeq(tag.ReplaceAllString(page, "\x00"), "\x00") {
		texts = append(texts, html.UnescapeString(text))
	}
	return texts, english
}

// foreign are the words of a page that are neither of the file of texts nor among those given.
func foreign(page string, data ...string) []string {
	var list []string
	texts, _ := said(page)
	for _, text := range texts {
		for _, w := range words.FindAllString(ofFile.ReplaceAllString(text, " "), -1) {
			if w = strings.Trim(w, ".-"); !slices.Contains(data, w) && !strings.HasPrefix(w, "ID-test-") {
				list = append(list, w+" in "+strings.TrimSpace(text))
			}
		}
	}
	return list
}

// userData is what pages of this test show besides texts: names of people, destinations and clients, of the
// protocols, of units and roles.
var userData = strings.Fields(`TreadMQ STOMP TLS ZooKeeper UTC B KiB MiB s min h d English 中文
	testbroker shop stomp ActiveMQ.DLQ alice uli app orders news late worker admin user viewer a b c`)

// onPage is what some pages show besides: names of headers, of the audit log, of the configuration.
var onPage = map[string][]string{
	"/admin/":              strings.Fields("data"),
	"/admin/schedules":     strings.Fields("queue"),
	"/admin/subscriptions": strings.Fields("prices"),
	"/admin/topic":         strings.Fields("client ActiveMQ.DLQ"),
	"/admin/link/{token}":  strings.Fields("treadmq.toml"),
	"/admin/audit":         strings.Fields("topic login delete nowhere queue create dsub purge copy send make-link make-token console not-authorized unknown-destination name ok"),
	"/admin/cluster":       strings.Fields("quorum_disk http default"),
	"/admin/life":          strings.Fields("wrong message-id"),
	"/admin/links":         strings.Fields("queue name"),
	"/admin/queue/message": strings.Fields("queue destination message-id timestamp expires priority persistent true k content-length redelivered JMSXDeliveryCount"),
	"/admin/queue/send":    strings.Fields("content-type correlation-id reply-to type queue name value"),
	"/admin/topic/send":    strings.Fields("content-type correlation-id reply-to type queue name value"),
	"/admin/policies":      strings.Fields("queue orders maxMessages treadmq.toml"),
	"/admin/queue":         strings.Fields("treadmq.toml"),
	"/admin/connection":    strings.Fields("queue topic client"),
}

// realmOf is a realm with weak passwords and lines that do not work.
type realmOf struct{ lookup }

func (realmOf) Users() []admin.UserInfo {
	return []admin.UserInfo{{Name: "alice", Roles: []string{"admin"}, Weak: notice.New("weak.name", "the password is the user name: make a new entry with treadmq realm hash")}}
}

func (realmOf) Problems() []notice.Notice {
	return []notice.Notice{notice.New("realm.user", "line %d: user %q: %s", 3, "uli", notice.New("realm.obfempty", "OBF: hides an empty password"))}
}

// talking makes everything speak: alarms, a bad realm file, messages, dead letters, jobs, links.
func talking(t *testing.T) *rig {
	g := threeMembers("b")
	g.status.Why = notice.New("waits.followers", "for a quorum of voters to follow")
	links, err := admin.OpenLinks(filepath.Join(t.TempDir(), "links.json"))
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := admin.OpenTokens(filepath.Join(t.TempDir(), "tokens.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *admin.Options) {
		o.UI, o.Cluster, o.Links, o.Tokens = marked(t), g, links, tokens
		o.Auth = realmOf{lookup{o.Auth.(*users)}}
		info := o.Info
		o.Info = func() admin.BrokerInfo {
			i := info()
			i.WeakUsers, i.Role = []string{"alice"}, admin.MemberMaster
			return i
		}
		o.Rules = func() []admin.PolicyRule {
			return []admin.PolicyRule{{Kind: "queue", Pattern: "orders.>", Where: "treadmq.toml:41", Settings: []admin.PolicySetting{{Key: "maxMessages", Value: "10"}}}}
		}
		o.Settings = func(broker.Destination) []admin.PolicySetting {
			return []admin.PolicySetting{{Key: "maxMessages", Value: "10", Origin: "treadmq.toml:41"}, {Key: "onFull", Value: "1", Origin: "default"}}
		}
		o.Config = func() []admin.ConfigEntry {
			return []admin.ConfigEntry{{Key: "brokerName", Value: "shop", Default: "shop", Origin: "default", Doc: "Name of the broker, for people and in message ids."}}
		}
	})
	r.fail.Store(true)
	return r
}

// On no page there is a word that is neither of the file of texts nor data: so each language has its own.
func TestEveryWordIsOfTheTexts(t *testing.T) {
	r := talking(t)
	c := r.loggedIn("alice")
	c.get("/admin/") // and a login that failed, for the audit log
	r.client().post("/admin/login", "user", "uli", "password", "guess")
	r.basic("alice").send("/api/v1/queues/orders/messages", `{"headers":{"k":"1"},"body":"{}"}`)
	r.basic("alice").send("/api/v1/queues/orders/messages", `{"body":"1"}`)
	r.basic("alice").send("/api/v1/queues/late/messages", `{"headers":{"x-delay":"3600000"},"body":"1"}`)
	r.basic("alice").send("/api/v1/topics/news/messages", `{"body":"1"}`)
	c.do("POST", "/api/v1/queues/orders/actions", "application/json", `{"action":"copy","to":"shop"}`).must(t, http.StatusOK)
	c.post("/admin/queue/purge?name=shop", "confirm", "shop").must(t, http.StatusSeeOther)
	c.post("/admin/subscriptions", "name", "worker", "topics", "news").must(t, http.StatusSeeOther)
	c.do("DELETE", "/api/v1/queues/nowhere", "", "")
	conn, err := r.b.Connect(broker.ConnOptions{Sink: nop{}, Protocol: "STOMP 1.2", Listener: "stomp", Remote: "127.0.0.1:1", User: "app", TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i, d := range []broker.Destination{queueOf("late"), {Kind: broker.Topic, Name: "news"}} {
		if _, err := conn.Subscribe(broker.SubscribeOptions{ID: fmt.Sprint(i), Dests: []broker.Destination{d}, Exclusive: i == 0}); err != nil {
			t.Fatal(err)
		}
	}
	made := c.post("/admin/links", "page", "/admin/queue?name=orders", "hours", "1", "bodies", "true").must(t, http.StatusOK)
	shared := regexp.MustCompile(`/admin/link/[A-Za-z0-9_-]+`).FindString(made.body)
	c.post("/admin/tokens", "name", "app", "role", "viewer", "days", "1")
	r.deadLetter("orders", "orders late")
	at := link(t, c.get("/admin/queue?name=orders").body, "/admin/queue/message")
	serial := fmt.Sprint(r.b.Connections()[0].Serial)

	pages := map[string]string{ // what to open of each page
		"/admin/login": "", "/admin/": "", "/admin/queues": "?sort=messages&order=desc", "/admin/queue": "?name=orders", "/admin/queue/message": at[len("/admin/queue/message"):],
		"/admin/queue/send": "?name=orders", "/admin/queue/purge": "?name=orders", "/admin/queue/delete": "?name=late", "/admin/topics": "", "/admin/topic": "?name=news",
		"/admin/topic/send": "?name=news", "/admin/topic/delete": "?name=news", "/admin/connections": "", "/admin/connection": "?serial=" + serial,
		"/admin/connection/close": "?serial=" + serial, "/admin/subscriptions": "", "/admin/schedules": "", "/admin/deadletters": "", "/admin/trash": "", "/admin/life": "?id=wrong",
		"/admin/jobs": "", "/admin/cluster": "", "/admin/policies": "", "/admin/links": "", "/admin/users": "", "/admin/audit": "", "/admin/settings": "",
		"/admin/link/{token}": "", "/admin/queue/message/body": "-", "/admin/link/{token}/{of}": "-", "/admin/assets/{file}": "-", "/admin": "-", // those that are no pages
	}
	for _, path := range slices.Sorted(maps.Keys(whoMay)) {
		path, isGet := strings.CutPrefix(path, "GET ")
		if !isGet || !strings.HasPrefix(path, "/admin") {
			continue
		}
		query, ok := pages[path]
		switch {
		case !ok:
			t.Errorf("say how to open %s", path)
			continue
		case query == "-":
			continue
		}
		from, address := c, path+query
		switch path {
		case "/admin/login":
			from = r.client()
		case "/admin/link/{token}":
			from, address = r.client(), shared
		}
		a := from.do("GET", address, "", "", "Accept-Language", "xx")
		if a.status >= 500 || !strings.Contains(a.body, "⟦") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		for _, w := range foreign(a.body, slices.Concat(userData, onPage[path])...) {
			t.Errorf("%s: %s", path, w)
		}
		if _, english := said(a.body); len(english) > 0 && (path != "/admin/audit" || len(english) > 1) {
			t.Errorf("%s: English %q", path, english)
		}
	}
	for _, path := range []string{"/admin/nothing", "/admin/connection?serial=x", "/admin/queues?sort=x", "/admin/link/a-b"} {
		a := c.do("GET", path, "", "", "Accept-Language", "xx")
		for _, w := range foreign(a.body, append(userData, "x")...) {
			t.Errorf("%s: %d: %s", path, a.status, w)
		}
	}
	// A refusal of the broker itself is told by its code, with its own words marked as English.
	a := c.do("GET", "/admin/queue?name=nowhere", "", "", "Accept-Language", "xx").must(t, http.StatusNotFound)
	texts, english := said(a.body)
	if len(english) != 1 || !strings.Contains(english[0], "nowhere") || !strings.Contains(strings.Join(texts, "\n"), "⟦There is no such queue or topic.⟧") {
		t.Errorf("%q", english)
	}
}
