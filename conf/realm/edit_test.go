package realm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const edited = "# Users\r\n! all of them\r\n\r\nalice:  BCRYPT:old,\\\r\n    admin, \\\r\n    ops\r\nbob = pl\\u0061in\\\\x , user # no comment\r\nalice: first, viewer\r\n\r\n# the end"

func TestEdit(t *testing.T) {
	head := "# Users\r\n! all of them\r\n\r\n"
	bob := "bob = pl\\u0061in\\\\x , user # no comment\r\n"
	for _, c := range []struct {
		name string
		do   func(path string) error
		want string
		err  error
	}{
		{"add", func(p string) error { return Add(p, "Zoë: =#", "BCRYPT:x", []string{"user", "stock ops"}) },
			edited + "\r\nZo\\u00EB\\:\\ \\=\\#: BCRYPT:x, user, stock ops\r\n", nil},
		{"add twice", func(p string) error { return Add(p, "bob", "x", nil) }, edited, ErrUserExists},
		{"password", func(p string) error { return SetPassword(p, "bob", "BCRYPT:y") },
			strings.Replace(edited, bob, "bob: BCRYPT:y, user # no comment\r\n", 1), nil},
		{"password of a user who is there twice", func(p string) error { return SetPassword(p, "alice", "BCRYPT:y") },
			head + bob + "alice: BCRYPT:y, viewer\r\n\r\n# the end", nil},
		{"roles", func(p string) error { return SetRoles(p, "bob", []string{"admin"}) },
			strings.Replace(edited, bob, "bob: plain\\\\x, admin\r\n", 1), nil},
		{"no roles", func(p string) error { return SetRoles(p, "bob", nil) }, strings.Replace(edited, bob, "bob: plain\\\\x\r\n", 1), nil},
		{"remove", func(p string) error { return Remove(p, "bob") }, strings.Replace(edited, bob, "", 1), nil},
		{"remove one who is there twice", func(p string) error { return Remove(p, "alice") }, head + bob + "\r\n# the end", nil},
		{"remove nobody", func(p string) error { return Remove(p, "carol") }, edited, ErrNoUser},
		{"password of nobody", func(p string) error { return SetPassword(p, "carol", "x") }, edited, ErrNoUser},
		{"roles of nobody", func(p string) error { return SetRoles(p, "", nil) }, edited, ErrNoUser},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			real, path := filepath.Join(dir, "real"), filepath.Join(dir, "link")
			if err := errors.Join(os.WriteFile(real, []byte(edited), 0o646), os.Symlink(real, path)); err != nil {
				t.Fatal(err)
			}
			if err := c.do(path); !errors.Is(err, c.err) || c.err == nil && err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(real)
			if err != nil || string(got) != c.want {
				t.Errorf("%v\n%q, want\n%q", err, got, c.want)
			}
			if stat, err := os.Stat(real); err != nil || c.err == nil && stat.Mode().Perm()&0o007 != 0 {
				t.Errorf("%v, mode %v", err, stat.Mode())
			}
			if left, _ := os.ReadDir(dir); len(left) != 2 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func TestEditRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "realm")
	if err := Add(path, "alice", "BCRYPT:x", []string{"admin"}); err != nil { // makes the file
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	stat, _ := os.Stat(path)
	if !strings.Contains(string(before), "\nalice: BCRYPT:x, admin\n") || stat.Mode().Perm() != 0o600 {
		t.Errorf("%s %v", before, stat.Mode())
	}
	for _, err := range []error{
		Add(path, " x", "y", nil), Add(path, "", "y", nil), Add(path, "a\nroot: x, admin", "y", nil),
		Add(path, "x", "y", []string{"a,b"}), SetRoles(path, "alice", []string{"a\nroot: x"}), SetRoles(path, "alice", []string{""}),
	} {
		if err == nil {
			t.Error("what the file cannot keep was taken")
		}
	}
	if err := os.WriteFile(path+".new", nil, 0o600); err != nil { // another change is under way
		t.Fatal(err)
	}
	if err := Remove(path, "alice"); err == nil || !strings.Contains(err.Error(), "another change") {
		t.Error(err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Errorf("changed to %q", after)
	}
}
