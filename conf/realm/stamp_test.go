package realm

import (
	"os"
	"path/filepath"
	"testing"
)

// TestStamp: a user's stamp changes with the password's entry and with nothing else, and differs between users of one
// password only by what the file says.
func TestStamp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "realm")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a: one, admin\nb: one\n")
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	login := func(password string) User {
		t.Helper()
		u, ok := r.Authenticate("a", password)
		if now, _ := r.Lookup("a"); !ok || u.Stamp == "" || u.Stamp != now.Stamp {
			t.Fatalf("login %v, stamp %q, now %q", ok, u.Stamp, now.Stamp)
		}
		return u
	}
	first := login("one")
	for _, step := range []struct {
		text, password string
		same           bool
	}{
		{"# other roles\na: one, user\n", "one", true},
		{"a: two, user\n", "two", false},
		{"a: MD5:5f4dcc3b5aa765d61d8327deb882cf99\n", "password", false},
		{"a: one\n", "one", true},
	} {
		write(step.text)
		if changed, err := r.Refresh(); err != nil || !changed {
			t.Fatalf("refresh: %v, %v", changed, err)
		}
		if got := login(step.password); (got.Stamp == first.Stamp) != step.same {
			t.Errorf("after %q the stamp is the same: %v", step.text, !step.same)
		}
	}
}
