package admin_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"treadmq/admin"
	"treadmq/broker"
	"treadmq/notice"
	"treadmq/store/local"
	"treadmq/store/vfs"
)

func TestMain(m *testing.M) {
	// LevelDB lets this one end up to a second after Close.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

// users is an Authenticator with a user for each role; password = name + "-pw".
type users struct {
	mu    sync.Mutex
	roles map[string][]string
	stamp string // of all users
	wait  time.Duration
}

func newUsers() *users {
	return &users{roles: map[string][]string{
		"alice": {"admin"}, "uli": {"user"}, "vera": {"viewer"}, "nemo": nil,
	}}
}

func (u *users) Authenticate(name, password, _ string) (admin.User, bool, time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	roles, ok := u.roles[name]
	if !ok || password != name+"-pw" {
		return admin.User{}, false, u.wait
	}
	return admin.User{Name: name, Roles: roles, Stamp: u.stamp}, true, u.wait
}

// lookup makes users a UserSource too.
type lookup struct{ *users }

func (u lookup) Lookup(name string) (admin.User, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	roles, ok := u.roles[name]
	return admin.User{Name: name, Roles: roles, Stamp: u.stamp}, ok
}

// rig is a console on a real broker.
type rig struct {
	t     testing.TB
	b     *broker.Broker
	s     *admin.Server
	users *users
	url   string
	audit *lines
	fail  atomic.Bool // Ready says no
}

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newBroker(t testing.TB, policy func(broker.Destination) broker.Policy) *broker.Broker {
	t.Helper()
	seq := new(atomic.Uint64)
	var at atomic.Pointer[broker.Broker]
	st, err := local.Open(local.Options{FS: vfs.NewMem(), Dir: "store", Seq: seq, SegmentSize: 1 << 20, BootID: "test", OnGroup: func() {
		if b := at.Load(); b != nil {
			b.OnGroup()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Options{Store: st, Sequence: seq, Policy: policy, Node: "test", Trash: broker.TrashLimits{Keep: time.Hour, Messages: 1000, Bytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	at.Store(b)
	t.Cleanup(func() {
		b.Close(0)
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// newRig makes a console that listens.
func newRig(t *testing.T, change ...func(*admin.Options)) *rig {
	t.Helper()
	r := newConsole(t, change...)
	web := httptest.NewServer(r.s)
	r.url = web.URL
	t.Cleanup(web.Close)
	return r
}

// newConsole makes a console without a listener, for tests with a fake clock.
func newConsole(t testing.TB, change ...func(*admin.Options)) *rig {
	t.Helper()
	r := &rig{t: t, users: newUsers(), audit: &lines{}}
	policy := func(d broker.Destination) broker.Policy {
		p := broker.DefaultPolicy()
		switch d.Name {
		case "small":
			p.MaxMessages, p.OnFull = 1, broker.FullFail
		case "blocking":
			p.MaxMessages, p.OnFull = 1, broker.FullBlock
		}
		return p
	}
	r.b = newBroker(t, policy)
	o := admin.Options{
		Broker: r.b, Auth: r.users, UI: os.DirFS("../webui"), Policy: policy,
		Info: func() admin.BrokerInfo {
			return admin.BrokerInfo{Name: "testbroker", Version: "1.2.3", Role: "alone", DataDir: "/data",
				Listeners: []admin.Listener{{Name: "stomp", Address: "127.0.0.1:61613"}}}
		},
		Ready: func() (bool, []notice.Notice) {
			if r.fail.Load() {
				return false, []notice.Notice{notice.New("ready.stopping", "the broker is stopping")}
			}
			return true, nil
		},
		Audit:          slog.New(slog.NewTextHandler(r.audit, nil)),
		SampleInterval: time.Hour, // tests measure by themselves
	}
	for _, f := range change {
		f(&o)
	}
	var err error
	if r.s, err = admin.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) json(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

// client is a browser or a program.
type client struct {
	*rig
	http *http.Client
	user string // HTTP Basic
}

func (r *rig) client() *client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	tr := &http.Transport{}
	r.t.Cleanup(tr.CloseIdleConnections)
	return &client{rig: r, http: &http.Client{Jar: jar, Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// basic is a client that logs in with each request.
func (r *rig) basic(user string) *client {
	c := r.client()
	c.user = user
	return c
}

// loggedIn is a client with a session.
func (r *rig) loggedIn(user string) *client {
	r.t.Helper()
	c := r.client()
	a := c.post("/admin/login", "user", user, "password", user+"-pw")
	if a.status != http.StatusSeeOther {
		r.t.Fatalf("login of %s: %d %s", user, a.status, a.body)
	}
	return c
}

func (c *client) do(method, path, kind, body string, headers ...string) answer {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	if c.user != "" {
		req.SetBasicAuth(c.user, c.user+"-pw")
	}
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

func (c *client) get(path string) answer { c.t.Helper(); return c.do("GET", path, "", "") }

// post sends a form.
func (c *client) post(path string, fields ...string) answer {
	c.t.Helper()
	v := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		v.Add(fields[i], fields[i+1])
	}
	return c.do("POST", path, "application/x-www-form-urlencoded", v.Encode())
}

// send sends a message by the API and returns its id.
func (c *client) send(path, body string) string {
	c.t.Helper()
	a := c.do("POST", path, "application/json", body)
	if a.status != http.StatusCreated {
		c.t.Fatalf("send to %s: %d %s", path, a.status, a.body)
	}
	var v struct{ ID string }
	a.json(c.t, &v)
	return v.ID
}

// must fails the test unless the answer has the status.
func (a answer) must(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d instead of %d: %s %v", a.status, status, a.body, a.header)
	}
	return a
}

// newRequest is a request of the API for a console that does not listen.
func newRequest(method, path, body, user string) *http.Request {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(user, user+"-pw")
	return req
}

// serve returns the status of the answer.
func serve(s *admin.Server, req *http.Request) int {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	return w.Code
}
