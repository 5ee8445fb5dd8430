package admin_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"treadmq/admin"
)

// withTokens gives a console a file of tokens and a clock.
func withTokens(t *testing.T, path string, now func() time.Time) func(*admin.Options) {
	tokens, err := admin.OpenTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *admin.Options) { o.Tokens, o.Now = tokens, now }
}

type madeToken struct{ ID, Name, Role, Token string }

func (c *client) makeToken(body string) madeToken {
	c.t.Helper()
	var made madeToken
	c.do("POST", "/api/v1/tokens", "application/json", body).must(c.t, http.StatusCreated).json(c.t, &made)
	return made
}

func (r *rig) bearer(token, method, path, body string) answer {
	return r.client().do(method, path, "application/json", body, "Authorization", "Bearer "+token)
}

func TestTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	at := time.Now()
	r := newRig(t, withTokens(t, path, func() time.Time { return at }))
	alice := r.basic("alice")
	viewer := alice.makeToken(`{"name":"dash","role":"viewer","days":2}`)
	user := alice.makeToken(`{"name":"ci","role":"user"}`)
	root := alice.makeToken(`{"name":"ops","role":"admin","days":3650}`)

	r.bearer(user.Token, "POST", "/api/v1/queues/q/messages", `{"body":"x"}`).must(t, http.StatusCreated)
	for _, c := range []struct {
		token, method, path string
		status              int
	}{
		{viewer.Token, "GET", "/api/v1/queues", 200}, {viewer.Token, "GET", "/metrics", 200},
		{viewer.Token, "GET", "/api/v1/queues/q/messages?body=true", 403}, {viewer.Token, "POST", "/api/v1/queues/q/messages", 403},
		{user.Token, "DELETE", "/api/v1/queues/q", 403}, {user.Token, "GET", "/api/v1/tokens", 403},
		{root.Token, "PUT", "/api/v1/queues/made", 201}, {root.Token, "GET", "/api/v1/tokens", 200},
		{root.Token, "POST", "/api/v1/tokens", 403}, // it would outlive its own end
		{root.Token, "GET", "/admin/", 303},         // pages are for people
		{"", "GET", "/api/v1/queues", 401}, {"tmq_", "GET", "/api/v1/queues", 401}, {"alice-pw", "GET", "/api/v1/queues", 401},
		{root.Token + "x", "GET", "/api/v1/queues", 401}, {root.Token[:len(root.Token)-1], "GET", "/api/v1/queues", 401},
		{"tmq_" + viewer.ID + root.Token[len("tmq_")+len(root.ID):], "GET", "/api/v1/queues", 401}, // of another id
		{strings.Repeat("x", 5000), "GET", "/api/v1/queues", 401},
	} {
		if a := r.bearer(c.token, c.method, c.path, `{"name":"more","role":"admin"}`); a.status != c.status {
			t.Errorf("%.30s %s %s: %d, want %d: %s", c.token, c.method, c.path, a.status, c.status, a.body)
		}
	}
	if text, stat := read(t, path); strings.Contains(text, user.Token) || strings.Contains(text, user.Token[len(user.Token)-26:]) || stat.Mode().Perm() != 0o600 {
		t.Errorf("mode %v: %s", stat.Mode(), text)
	}
	if a := alice.get("/api/v1/tokens").must(t, 200); strings.Contains(a.body, "sha256") || strings.Contains(a.body, "tmq_") || !strings.Contains(a.body, `"createdBy":"alice"`) {
		t.Error(a.body)
	}
	for _, want := range []string{"action=make-token target=ci", "user=token:ci action=send", "action=login target=token"} {
		if !strings.Contains(r.audit.String(), want) {
			t.Errorf("no audit line with %s", want)
		}
	}

	// Revoked: out at once. Expired: out at its time. Another broker on the file knows the rest.
	alice.do("DELETE", "/api/v1/tokens/"+user.ID, "", "").must(t, http.StatusNoContent)
	alice.do("DELETE", "/api/v1/tokens/"+user.ID, "", "").must(t, http.StatusNotFound)
	r.bearer(user.Token, "GET", "/api/v1/queues", "").must(t, http.StatusUnauthorized)
	at = at.AddDate(0, 0, 2)
	r.bearer(viewer.Token, "GET", "/api/v1/queues", "").must(t, http.StatusUnauthorized)
	alice.makeToken(`{"name":"dash","role":"viewer"}`) // the name of one that has expired is free
	again := newRig(t, withTokens(t, path, func() time.Time { return at }))
	again.bearer(root.Token, "GET", "/api/v1/queues", "").must(t, http.StatusOK)
	again.bearer(user.Token, "GET", "/api/v1/queues", "").must(t, http.StatusUnauthorized)
}

func TestTokensThatAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	r := newRig(t, withTokens(t, path, time.Now))
	alice := r.basic("alice")
	alice.makeToken(`{"name":"a","role":"user"}`)
	for body, status := range map[string]int{
		`{"name":"a","role":"user"}`:                               409,
		`{"name":"","role":"user"}`:                                400,
		`{"name":"<img>","role":"user"}`:                           400,
		`{"name":"` + strings.Repeat("x", 65) + `","role":"user"}`: 400,
		`{"name":"b","role":"root"}`:                               400,
		`{"name":"b"}`:                                             400,
		`{"name":"b","role":"user","days":-1}`:                     400,
		`{"name":"b","role":"user","days":3651}`:                   400,
		`{"name":"b","role":"user","hash":"x"}`:                    400,
	} {
		alice.do("POST", "/api/v1/tokens", "application/json", body).must(t, status)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.OpenTokens(path); err == nil || !strings.Contains(err.Error(), "mend the file") {
		t.Error(err)
	}
	none := newRig(t) // without a file
	none.basic("alice").do("POST", "/api/v1/tokens", "application/json", `{"name":"b","role":"user"}`).must(t, http.StatusNotFound)
	none.bearer("tmq_a_b", "GET", "/api/v1/queues", "").must(t, http.StatusUnauthorized)
}

// A disk that does not take a token makes none, and one that is revoked and cannot be
// written stays: what is told is what holds.
func TestTokensAreOnDiskBeforeTheyCount(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	r := newRig(t, withTokens(t, filepath.Join(dir, "tokens.json"), time.Now))
	alice := r.basic("alice")
	alice.do("POST", "/api/v1/tokens", "application/json", `{"name":"b","role":"user"}`).must(t, http.StatusInternalServerError)
	if a := alice.get("/api/v1/tokens"); strings.Contains(a.body, `"b"`) {
		t.Error(a.body)
	}
}

func TestTokensInTheConsole(t *testing.T) {
	r := newRig(t, withTokens(t, filepath.Join(t.TempDir(), "tokens.json"), time.Now))
	alice := r.loggedIn("alice")
	page := alice.post("/admin/tokens", "name", "ci", "role", "viewer", "days", "3").must(t, http.StatusOK)
	_, secret, _ := strings.Cut(page.body, `<code id="token">`)
	secret, _, _ = strings.Cut(secret, "<")
	r.bearer(secret, "GET", "/api/v1/queues", "").must(t, http.StatusOK)
	page = alice.get("/admin/users").must(t, http.StatusOK)
	if strings.Contains(page.body, secret) || !strings.Contains(page.body, ">ci<") {
		t.Error(page.body)
	}
	_, id, _ := strings.Cut(page.body, `name="id" value="`)
	id, _, _ = strings.Cut(id, `"`)
	r.loggedIn("uli").post("/admin/tokens/revoke", "id", id).must(t, http.StatusForbidden)
	alice.post("/admin/tokens/revoke", "id", id).must(t, http.StatusSeeOther)
	r.bearer(secret, "GET", "/api/v1/queues", "").must(t, http.StatusUnauthorized)
}

func read(t *testing.T, path string) (string, os.FileInfo) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), stat
}
