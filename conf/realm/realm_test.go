package realm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open reads a realm whose decoy costs nothing: it matches no password anyway, and
// only TestEveryRefusalCostsTheSame looks at its price.
func open(t *testing.T, content string) *Realm {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jetty-realm.properties")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	r.compare = cheapCompare
	return r
}

func cheapCompare(hash, password []byte) error {
	if cost, err := bcrypt.Cost(hash); err != nil || cost > bcrypt.MinCost {
		return errors.Join(err, bcrypt.ErrMismatchedHashAndPassword)
	}
	return bcrypt.CompareHashAndPassword(hash, password)
}

// rewrite changes the file as an editor does that writes a new one and renames it.
func rewrite(t *testing.T, r *Realm, content string) {
	t.Helper()
	if err := os.WriteFile(r.path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(r.path+".new", r.path); err != nil {
		t.Fatal(err)
	}
}

func TestFileOfActiveMQ5(t *testing.T) {
	r := open(t, "# Defines users that can access the web (console, demo, etc.)\n# username: password [,rolename ...]\nadmin: admin, admin\nuser: user, user\n")
	for name, role := range map[string]string{"admin": "admin", "user": "user"} {
		u, ok := r.Authenticate(name, name)
		if !ok || u.Name != name || !u.Has(role) || u.Has("other") {
			t.Errorf("%s: %+v, %t", name, u, ok)
		}
		if u, ok := r.Authenticate(name, "wrong"); ok || u.Name != "" || u.Roles != nil {
			t.Errorf("%s got in with a wrong password: %+v", name, u)
		}
	}
	var weak []string
	for _, w := range r.Weak() {
		weak = append(weak, fmt.Sprint(w.Line, w.User, w.Kind, w.Text))
	}
	want := []string{
		"3admin plain the password is the user name: make a new entry with treadmq realm hash",
		"4user plain the password is the user name: make a new entry with treadmq realm hash",
	}
	for i := range want {
		want[i] = strings.Replace(want[i], " plain ", "plain", 1)
	}
	if diff := cmp.Diff(want, weak); diff != "" {
		t.Error(diff)
	}
}

func TestEntries(t *testing.T) {
	r := open(t, "a: one\n"+
		"b:two,x\n"+
		"c = thr ee , x , y,x,, z\n"+
		"a: three, x\n"+
		"d: CRYPT:adpexzg3FUZAk, x\n"+
		"e:\n"+
		"f: , x\n"+
		": nobody, x\n"+
		"g: \\u12\n"+
		"h: "+quickHash(t, "pw")+", admin\n"+
		"i: good\n"+
		"i: MD:SHA:00\n")
	var users []string
	for _, u := range r.Users() {
		users = append(users, u.Name+" "+strings.Join(u.Roles, "+"))
	}
	if diff := cmp.Diff([]string{"a x", "b x", "c x+y+z", "h admin"}, users); diff != "" {
		t.Error(diff)
	}
	for user, password := range map[string]string{"a": "three", "b": "two", "c": "thr ee", "h": "pw"} {
		if _, ok := r.Authenticate(user, password); !ok {
			t.Errorf("%s cannot log in", user)
		}
	}
	for _, login := range [][2]string{{"a", "one"}, {"d", "x"}, {"e", ""}, {"f", ""}, {"", "nobody"}, {"", ""}, {"i", "good"}, {"h", ""}, {"nobody", ""}} {
		if _, ok := r.Authenticate(login[0], login[1]); ok {
			t.Errorf("%q got in with %q", login[0], login[1])
		}
	}
	var problems []string
	for _, p := range r.Problems() {
		problems = append(problems, p.String())
	}
	want := []string{
		`line 4: user "a": this entry replaces the one in line 1: take one of them out`,
		`line 5: user "d": CRYPT: (Unix DES crypt) is not supported, as it is broken: make a new one with treadmq realm hash`,
		`line 6: user "e": there is no password: write username: password, role`,
		`line 7: user "f": there is no password: write username: password, role`,
		`line 8: there is no user name: write username: password, role`,
		`line 9: user "g": \u12 is not a character: \u needs four hex digits, and a plain backslash is written \\`,
		`line 12: user "i": this entry replaces the one in line 11: take one of them out`,
		`line 12: user "i": MD: is not supported: make a new password with treadmq realm hash`,
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
}

func TestRefresh(t *testing.T) {
	r := open(t, "a: "+quickHash(t, "one")+", x\n")
	if _, ok := r.Authenticate("a", "one"); !ok {
		t.Fatal("a cannot log in")
	}
	if changed, err := r.Refresh(); changed || err != nil {
		t.Errorf("an unchanged file: %t, %v", changed, err)
	}
	rewrite(t, r, "a: "+quickHash(t, "two")+", y\n")
	if changed, err := r.Refresh(); !changed || err != nil {
		t.Errorf("a changed file: %t, %v", changed, err)
	}
	if _, ok := r.Authenticate("a", "one"); ok {
		t.Error("the old password still counts: an answer outlived its file")
	}
	if u, ok := r.Authenticate("a", "two"); !ok || !u.Has("y") {
		t.Errorf("the new password does not count: %+v", u)
	}
	if u, ok := r.Lookup("a"); !ok || !u.Has("y") || u.Has("x") {
		t.Errorf("looked up %+v, %t", u, ok)
	}
	rewrite(t, r, "b: x\n")
	if _, err := r.Refresh(); err != nil {
		t.Error(err)
	}
	if _, ok := r.Lookup("a"); ok {
		t.Error("a user that was taken out is still there")
	}
}

// A change within the resolution of the time stamp, of the same length, in place.
func TestRefreshSeesAHiddenChange(t *testing.T) {
	r := open(t, "a: one\n")
	stat, err := os.Stat(r.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path, []byte("a: two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(r.path, stat.ModTime(), stat.ModTime()); err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Refresh(); !changed || err != nil {
		t.Errorf("got %t, %v", changed, err)
	}
}

// A file that has settled is not read again.
func TestRefreshReadsOnlyWhatChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "realm")
	if err := os.WriteFile(path, []byte("a: one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	before := r.readAt
	if changed, err := r.Refresh(); changed || err != nil || r.readAt != before {
		t.Errorf("changed %t, %v, read again %t", changed, err, r.readAt != before)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Refresh(); !changed || err != nil || len(r.Weak()) != 2 {
		t.Errorf("a changed mode: %t, %v, %v", changed, err, r.Weak())
	}
}

func TestUnreadableFileLeavesUsers(t *testing.T) {
	r := open(t, "a: one\n")
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	changed, err := r.Refresh()
	if changed || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "the users stay as they were") {
		t.Errorf("got %t, %v", changed, err)
	}
	if _, ok := r.Authenticate("a", "one"); !ok {
		t.Error("a is locked out")
	}
	if err := os.WriteFile(r.path, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Refresh(); err == nil || !strings.Contains(err.Error(), "larger than 4 MiB") {
		t.Errorf("got %v", err)
	}
	if _, ok := r.Authenticate("a", "one"); !ok {
		t.Error("a is locked out")
	}
}

func TestFileReadableByAll(t *testing.T) {
	r := open(t, "a: "+quickHash(t, "x")+"\n")
	if len(r.Weak()) != 0 {
		t.Errorf("got %v", r.Weak())
	}
	if err := os.Chmod(r.path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, weak, err := Check(r.path, "")
	if err != nil || len(weak) != 1 || weak[0].Line != 0 || !strings.Contains(weak[0].Text.Text, "mode 0644") {
		t.Errorf("got %v, %v", weak, err)
	}
}

func TestGenerate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "conf", "jetty-realm.properties")
	password, err := Generate(path)
	if err != nil {
		t.Fatal(err)
	}
	if stat, err := os.Stat(path); err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", stat.Mode(), err)
	}
	content, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(content), password) {
		t.Errorf("the password stands in the file: %v", err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := r.Authenticate("admin", password); !ok || !u.Has("admin") {
		t.Errorf("admin cannot log in: %+v", u)
	}
	if len(r.Problems())+len(r.Weak()) != 0 {
		t.Errorf("the generated file has problems: %v %v", r.Problems(), r.Weak())
	}
	if _, err := Generate(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	if again, err := os.ReadFile(path); err != nil || string(again) != string(content) {
		t.Error("the file was overwritten")
	}
}

// While no slot is free, what is already known is answered, quick kinds let the
// right password in, and the rest waits no longer than its context.
func TestOnlyBCryptWaits(t *testing.T) {
	r := open(t, "a: "+quickHash(t, "one")+"\nb: two\n")
	r.Authenticate("a", "one")
	r.Authenticate("a", "wrong")
	for range cap(r.gate) {
		r.gate <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, login := range []struct {
		user, password string
		want           bool
	}{{"a", "one", true}, {"a", "wrong", false}, {"b", "two", true}, {"b", "x", false}, {"a", "unknown", false}} {
		if _, ok := r.AuthenticateContext(ctx, login.user, login.password); ok != login.want {
			t.Errorf("%s with %s: %t", login.user, login.password, ok)
		}
	}
	for range cap(r.gate) {
		<-r.gate
	}
	if _, ok := r.Authenticate("a", "one"); !ok {
		t.Error("giving up was remembered as an answer")
	}
}

// count makes a realm count its comparisons.
func count(r *Realm) *atomic.Int64 {
	var n atomic.Int64
	r.compare = func(hash, password []byte) error {
		n.Add(1)
		return cheapCompare(hash, password)
	}
	return &n
}

// Logins at the same time cost one comparison for each user and password.
func TestManyLoginsAtOnce(t *testing.T) {
	r := open(t, "a: "+quickHash(t, "one")+"\n")
	compared := count(r)
	for range cap(r.gate) {
		r.gate <- struct{}{} // let all of them queue up
	}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			password, want := "one", true
			if i%2 == 0 {
				password, want = "other", false
			}
			if _, ok := r.Authenticate("a", password); ok != want {
				t.Errorf("login with %s: %t", password, ok)
			}
		})
	}
	for range cap(r.gate) {
		<-r.gate
	}
	wg.Wait()
	// Those that hold a slot at the same time may compare the same.
	if got, most := compared.Load(), int64(2*cap(r.gate)); got > most {
		t.Errorf("%d comparisons, want at most %d", got, most)
	}
}

// A refused login costs one comparison, of the same cost, whether the user exists
// or not and whatever kind its password is.
func TestEveryRefusalCostsTheSame(t *testing.T) {
	r := open(t, "bcrypt: "+quickHash(t, "x")+"\nplain: x\nmd5: MD5:5ebe2294ecd0e0f08eab7690d2a6ee69\nobf: OBF:1u2u1wml1z7s1z7a1wnl1u2g\nbad: CRYPT:x\n")
	var costs []int
	r.compare = func(hash, password []byte) error {
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			t.Error(err)
		}
		costs = append(costs, cost)
		return nil // even if the decoy could be matched, nobody gets in by it
	}
	for _, user := range []string{"nobody", "", "plain", "md5", "obf", "bad"} {
		costs = nil
		if _, ok := r.Authenticate(user, "wrong"); ok || len(costs) != 1 || costs[0] != defaultCost {
			t.Errorf("%q: logged in %t, at the costs %v", user, ok, costs)
		}
	}
	costs = nil
	if _, ok := r.Authenticate("bcrypt", "x"); !ok || len(costs) != 1 || costs[0] != bcrypt.MinCost {
		t.Errorf("bcrypt: logged in %t, at the costs %v", ok, costs)
	}
}

// Reading the file again while logins go on; the race detector watches.
func TestRefreshDuringLogins(t *testing.T) {
	r := open(t, "a: one\n")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if _, ok := r.Authenticate("a", "one"); !ok {
					t.Error("a was refused")
				}
				r.Users()
				r.Weak()
				r.Problems()
			}
		})
	}
	for i := range 20 {
		rewrite(t, r, fmt.Sprintf("a: one\nb: %d\n", i))
		if changed, err := r.Refresh(); err != nil || !changed {
			t.Errorf("changed %t, %v", changed, err)
		}
	}
	wg.Wait()
}

// The memory of answers is bounded, and guessing does not drive good answers out of it.
func TestRememberedAnswersAreBounded(t *testing.T) {
	a := newAnswers()
	good := a.key("u", "good")
	a.put(good, true)
	for i := range 2 * maxRemembered {
		a.put(a.key("u", fmt.Sprint(i)), false)
	}
	if len(a.bad) != maxRemembered {
		t.Errorf("%d bad answers, want %d", len(a.bad), maxRemembered)
	}
	if ok, known := a.get(good); !ok || !known {
		t.Error("the good answer is forgotten")
	}
	if a.key("ab", "c") == a.key("a", "bc") || a.key("a", "b") == newAnswers().key("a", "b") {
		t.Error("different logins share a key, or keys are not secret")
	}
}

func BenchmarkAuthenticateKnown(b *testing.B) {
	path := filepath.Join(b.TempDir(), "realm")
	if err := os.WriteFile(path, []byte("a: "+quickHash(b, "one")+"\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok := r.Authenticate("a", "one"); !ok {
			b.Fatal("refused")
		}
	}
}

func BenchmarkBCrypt(b *testing.B) {
	hash := decoy(defaultCost)
	for b.Loop() {
		credential{kind: BCrypt, stored: hash}.matches("x")
	}
}
