package realm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Made by argon2-cffi 25.1.0, which is the reference implementation in C.
const (
	foreignArgon2 = "$argon2id$v=19$m=1024,t=3,p=4$b3RoZXJpbXBsZW1lbnQx$yxVQTlJhFo1gwiNkyFpKA/aqNOkAfYe7"             // secret
	foreignUTF8   = "$argon2id$v=19$m=256,t=2,p=2$c2FsdHNhbHRzYWx0MTZieQ$78NH48XaVpKTEprO6XqfQR+ZdhMr3O4Yb6liwp5mlEI" // pässwörd
	foreignSalt   = "$argon2id$v=19$m=512,t=3,p=4$sUDS/rCAYMtiVsMbrjC5NQ$hN2YnEzWmFN2LDdh2DeNR9VxwBBto8bodCKLkfHk03A" // secret
)

// The hash of a file keeps its commas, and the roles stand behind it, whether Jetty's or ActiveMQ's file.
func TestArgon2(t *testing.T) {
	r := open(t, "a: ARGON2:"+foreignArgon2+" , admin, user\n"+
		"b=ARGON2:"+foreignUTF8+"\n"+
		"c="+foreignSalt+"\n"+
		"plain: ARGON2, t=3\n")
	for user, want := range map[string]struct{ password, roles string }{
		"a": {"secret", "admin+user"}, "b": {"pässwörd", ""}, "c": {"secret", ""}, "plain": {"ARGON2", "t=3"},
	} {
		u, ok := r.Authenticate(user, want.password)
		if roles := strings.Join(u.Roles, "+"); !ok || roles != want.roles {
			t.Errorf("%s: %t, roles %s", user, ok, roles)
		}
		for _, wrong := range []string{"", "Secret", foreignSalt, foreignArgon2, "ARGON2:" + foreignArgon2} {
			if _, ok := r.Authenticate(user, wrong); ok {
				t.Errorf("%s got in with %q", user, wrong)
			}
		}
	}
	if _, ok := r.Authenticate("nobody", "secret"); ok {
		t.Error("nobody got in")
	}
	if weak := r.Weak(); len(weak) != 1 || weak[0].User != "plain" || len(r.Problems()) != 0 {
		t.Errorf("weak %v, problems %v", weak, r.Problems())
	}
}

func TestArgon2_RoundTrip(t *testing.T) {
	long := strings.Repeat("x", 200) // more than bcrypt takes
	line, err := Hash(Argon2, "alice", long)
	if err != nil || !strings.HasPrefix(line, "alice: ARGON2:$argon2id$v=19$m=65536,t=3,p=1$") {
		t.Fatal(line, err)
	}
	r := open(t, line+", admin\n")
	if u, ok := r.Authenticate("alice", long); !ok || !u.Has("admin") || len(u.Roles) != 1 {
		t.Errorf("%+v, %t, %v", u, ok, r.Problems())
	}
	if _, ok := r.Authenticate("alice", long[1:]); ok {
		t.Error("a wrong password is right")
	}
}

// A bad hash is refused before memory is taken for it; all other lines work.
func TestArgon2_Refused(t *testing.T) {
	const salt, sum = "b3RoZXJpbXBsZW1lbnQx", "yxVQTlJhFo1gwiNkyFpKA/aqNOkAfYe7"
	for hash, want := range map[string]string{
		"$argon2id$v=19$m=262145,t=3,p=4$" + salt + "$" + sum:                    "has m=262145, t=3, p=4: allowed are m from 8 times p to 262144 (KiB)",
		"$argon2id$v=19$m=64,t=11,p=4$" + salt + "$" + sum:                       "t from 1 to 10",
		"$argon2id$v=19$m=64,t=0,p=4$" + salt + "$" + sum:                        "t from 1 to 10",
		"$argon2id$v=19$m=1024,t=1,p=17$" + salt + "$" + sum:                     "p from 1 to 16",
		"$argon2id$v=19$m=1024,t=1,p=0$" + salt + "$" + sum:                      "p from 1 to 16",
		"$argon2id$v=19$m=31,t=1,p=4$" + salt + "$" + sum:                        "m from 8 times p",
		"$argon2id$v=19$m=4294967297,t=1,p=1$" + salt + "$" + sum:                "not followed by a hash such as",
		"$argon2id$v=19$m=64,t=1,p=4$c2FsdA$" + sum:                              "has a salt of 4 bytes and a hash of 24",
		"$argon2id$v=19$m=64,t=1,p=4$" + salt + "$c2FsdA":                        "has a salt of 15 bytes and a hash of 4",
		"$argon2id$v=19$m=64,t=1,p=4$" + salt + "$" + strings.Repeat("AAAA", 22): "a hash of 66: allowed are 8 to 64 and 16 to 64",
		"$argon2id$v=19$m=64,t=1,p=4$" + strings.Repeat("AAAA", 22) + "$" + sum:  "has a salt of 66 bytes",
		"$argon2id$v=19$m=64,t=1,p=4$" + salt + "$" + sum + "=":                  "in base64 without padding",
		"$argon2id$v=19$m=64,t=1,p=4,x=1$" + salt + "$" + sum:                    "not followed by",
		"$argon2id$v=16$m=64,t=1,p=4$" + salt + "$" + sum:                        "not followed by",
		"$argon2id$v=19$m=64,t=1,p=4":                                            "not followed by",
		"$argon2i$v=19$m=64,t=1,p=4$" + salt + "$" + sum:                         "not followed by",
		"$argon2id$v=19$m=64,t=1,p=4$" + salt + "$" + strings.Repeat("A", 400):   "not followed by",
	} {
		r := open(t, "bad: ARGON2:"+hash+", admin\ngood: x, user\n")
		p := r.Problems()
		if len(p) != 1 || p[0].Line != 1 || p[0].User != "bad" || !strings.Contains(p[0].Text.Text, want) {
			t.Errorf("%s: %v, want %s", hash, p, want)
		}
		if _, ok := r.Authenticate("good", "x"); !ok {
			t.Errorf("%s: the other line does not work", hash)
		}
		if _, ok := r.Lookup("bad"); ok {
			t.Errorf("%s: bad is a user", hash)
		}
	}
}

// Roles change and the hash stays; another password, and the roles stay.
func TestArgon2_Edit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "realm")
	if err := os.WriteFile(path, []byte("a: ARGON2:"+foreignArgon2+", admin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := SetRoles(path, "a", []string{"user", "shop"}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "a: ARGON2:"+foreignArgon2+", user, shop\n" {
		t.Errorf("%s", got)
	}
	if err := SetPassword(path, "a", "BCRYPT:y"); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "a: BCRYPT:y, user, shop\n" {
		t.Errorf("%s", got)
	}
}

// ActiveMQ's users keep their hashes, bare or not.
func TestArgon2_Convert(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.properties")
	if err := os.WriteFile(path, []byte("a=ARGON2:"+foreignArgon2+"\nb="+foreignUTF8+"\nc=ARGON2:$argon2id$v=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Convert(path, "", nil)
	if err != nil || strings.Join(c.Lines, "\n") != "a: ARGON2:"+foreignArgon2+"\nb: ARGON2:"+foreignUTF8 || len(c.Problems) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

// At most two checks hold memory; who waits for one gives up with its connection, and bcrypt goes on meanwhile.
func TestArgon2_AtMostTwo(t *testing.T) {
	r := open(t, "a: ARGON2:"+foreignArgon2+"\nb: "+quickHash(t, "pw")+"\n")
	for range argonChecks {
		r.argonGate <- struct{}{}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 64 { // a free slot and the end of ctx are chosen between by chance
		if _, ok := r.AuthenticateContext(ended, "a", "secret"); ok {
			t.Fatal("a third check ran")
		}
	}
	if _, ok := r.Authenticate("b", "pw"); !ok {
		t.Error("bcrypt waits for argon2")
	}
	<-r.argonGate
	if _, ok := r.Authenticate("a", "secret"); !ok || len(r.argonGate) != 1 || len(r.gate) != 0 {
		t.Errorf("%t, %d slots taken", ok, len(r.argonGate))
	}
}
