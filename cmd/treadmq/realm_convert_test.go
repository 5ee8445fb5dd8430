package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"treadmq/conf/realm"
)

func TestRealmConvert(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	users := file("users.properties", "# users\nsystem=old\nshop=se:cret\\u00e9\nguest = pw\nsystem=manager\n")
	groups := file("groups.properties", "admins=system, shop\nusers=shop,system,guest\n")
	o := treadmq(t, "realm", "convert", users, groups, "--role", "admins=admin", "--role", "users=user").want(t, 0).says(t, "3 users converted")
	if strings.Contains(o.stdout, "manager") || strings.Count(o.stdout, "BCRYPT:") != 3 {
		t.Error(o.stdout)
	}
	r, err := realm.Open(file("realm", o.stdout))
	if err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string][2]string{"system": {"manager", "admin user"}, "shop": {"se:creté", "admin user"}, "guest": {"pw", "user"}} {
		if found, ok := r.Authenticate(user, want[0]); !ok || strings.Join(found.Roles, " ") != want[1] {
			t.Errorf("%s: %v %v", user, ok, found)
		}
	}
	if _, ok := r.Authenticate("system", "old"); ok {
		t.Error("an entry counts that another replaced")
	}

	bad := file("bad.properties", "a=ENC(abc)\nok=pw\nempty=\n")
	o = treadmq(t, "realm", "convert", bad, file("g", "g=ok,nobody\n")).want(t, exitData).says(t, "encrypted", "nobody", "empty")
	if !strings.HasPrefix(o.stdout, "ok: BCRYPT:") || !strings.HasSuffix(o.stdout, ", g\n") || strings.Count(o.stdout, "\n") != 1 {
		t.Error(o.stdout)
	}
	treadmq(t, "realm", "convert", filepath.Join(dir, "none")).want(t, exitNoInput)
}
