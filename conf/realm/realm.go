package realm

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"

	"treadmq/notice"
)

// maxFile bounds the realm file, in bytes.
const maxFile = 4 << 20

// unsettled is how long after a change a file is read again in any case, because
// another change may have got the same time stamp.
const unsettled = 2 * time.Second

// User is who logged in.
type User struct {
	Name  string
	Roles []string // as in the file, without repetition; not to be changed
	Stamp string   // another one when the password's entry has changed; it tells nothing else, and lasts as long as the Realm
}

// Has reports whether the user has a role.
func (u User) Has(role string) bool { return slices.Contains(u.Roles, role) }

// Problem is an entry of the file that does not work.
type Problem struct {
	Line int           // from 1
	User string        // may be empty
	Text notice.Notice // what is wrong and what to do
}

// String names line and user.
func (p Problem) String() string { return p.Notice().Text }

// Notice names line and user.
func (p Problem) Notice() notice.Notice {
	if p.User == "" {
		return notice.New("realm.line", "line %d: %s", p.Line, p.Text)
	}
	return notice.New("realm.user", "line %d: user %q: %s", p.Line, p.User, p.Text)
}

// Weakness is an entry that works but should be changed. Line 0 is the file.
type Weakness struct {
	Line int
	User string
	Kind Kind
	Text notice.Notice
}

// Realm is the users of one file, and their roles by another. Its methods may be called by many goroutines.
type Realm struct {
	path string
	gate chan struct{} // a slot for each comparison that may run at a time

	argonGate chan struct{} // and one for each of argon2 among them

	compare func(hash, password []byte) error // bcrypt; a field so that tests can count

	secret []byte // of stamps

	users atomic.Pointer[table] // replaced as a whole by Refresh

	mu        sync.Mutex // guards what follows; held while the file is read
	stat      fs.FileInfo
	readAt    time.Time
	data      []byte
	groups    groups
	regrouped bool // groups has changed and users not yet
}

// Open reads the realm file. An entry that does not work is no error, see
// [Realm.Problems]; a missing file is, and matches [fs.ErrNotExist].
func Open(path string) (*Realm, error) { return OpenWithGroups(path, "") }

// OpenWithGroups opens a realm file, and a file of groups that adds roles to its users as ActiveMQ's groups.properties does.
// An empty path means none.
func OpenWithGroups(path, groupFile string) (*Realm, error) {
	r := &Realm{path: path, groups: groups{path: groupFile}, gate: make(chan struct{}, comparisons()), argonGate: make(chan struct{}, argonChecks), compare: bcrypt.CompareHashAndPassword, secret: make([]byte, sha256.Size)}
	rand.Read(r.secret)
	r.mu.Lock()
	defer r.mu.Unlock()
	stat, data, err := readRealm(path)
	if err != nil {
		return nil, err
	}
	if _, err := r.groups.refresh(); err != nil {
		return nil, err
	}
	r.take(stat, data)
	return r, nil
}

// Check reads a realm file, and a file of groups if there is one, only to see what is wrong with it.
func Check(path, groupFile string) (users []User, problems []Problem, weak []Weakness, err error) {
	r, err := OpenWithGroups(path, groupFile)
	if err != nil {
		return nil, nil, nil, err
	}
	return r.Users(), r.Problems(), r.Weak(), nil
}

// Refresh reads the files again that have changed, and reports whether any had.
// It is meant to be called every few seconds and on a reload. If the file cannot
// be read, the users stay as they were and the error says why.
func (r *Realm) Refresh() (changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	stat, err := os.Stat(r.path)
	if err != nil {
		return false, fmt.Errorf("read the realm file: %w; the users stay as they were", err)
	}
	regrouped, err := r.groups.refresh()
	if err != nil {
		return false, fmt.Errorf("%w; the users stay as they were", err)
	}
	r.regrouped = r.regrouped || regrouped
	settled := r.readAt.Sub(stat.ModTime()) > unsettled
	if settled && sameFile(stat, r.stat) && !r.regrouped {
		return false, nil
	}
	stat, data, err := readRealm(r.path)
	if err != nil {
		return false, fmt.Errorf("%w; the users stay as they were", err)
	}
	if !r.regrouped && bytes.Equal(data, r.data) && stat.Mode() == r.stat.Mode() {
		r.stat, r.readAt = stat, time.Now()
		return false, nil
	}
	r.take(stat, data)
	return true, nil
}

// take makes data the users that count. The caller holds mu.
func (r *Realm) take(stat fs.FileInfo, data []byte) {
	t := parseTable(decodeText(data))
	r.groups.add(t)
	for name, e := range t.entries {
		e.user.Stamp = r.stamp(e.credential)
		t.entries[name] = e
	}
	if stat.Mode().Perm()&0o007 != 0 {
		t.weak = append(t.weak, Weakness{Text: notice.New("realm.mode", "the file may be read or written by every user of this machine (mode %s): chmod 600 it", fmt.Sprintf("%04o", stat.Mode().Perm()))})
	}
	r.users.Store(t)
	r.stat, r.data, r.readAt, r.regrouped = stat, data, time.Now(), false
}

// stamp tells one stored password from another and nothing about them.
func (r *Realm) stamp(c credential) string {
	mac := hmac.New(sha256.New, r.secret)
	mac.Write([]byte(c.kind))
	mac.Write([]byte{0})
	mac.Write(c.stored)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}

func readRealm(path string) (fs.FileInfo, []byte, error) { return readFile(path, "realm file") }

// readFile reads a file that an error calls by what it is.
func readFile(path, what string) (fs.FileInfo, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the %s: %w", what, err)
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("read the %s: %w", what, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read the %s: %w", what, err)
	}
	if len(data) > maxFile {
		return nil, nil, fmt.Errorf("read the %s: %s is larger than 4 MiB", what, path)
	}
	return stat, data, nil
}

// Problems are the entries that do not work, in the order of the file.
func (r *Realm) Problems() []Problem { return slices.Clone(r.users.Load().problems) }

// Weak are the entries that work but can be read or guessed.
func (r *Realm) Weak() []Weakness { return slices.Clone(r.users.Load().weak) }

// Users are all users that can log in, by name.
func (r *Realm) Users() []User {
	t := r.users.Load()
	users := make([]User, 0, len(t.entries))
	for _, e := range t.entries {
		users = append(users, e.user)
	}
	slices.SortFunc(users, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return users
}

// Lookup finds a user as it is now, for sessions that outlive a change of the
// file.
func (r *Realm) Lookup(name string) (User, bool) {
	e, ok := r.users.Load().entries[name]
	return e.user, ok
}

// Authenticate checks a login. It may wait for other comparisons to end.
func (r *Realm) Authenticate(user, password string) (User, bool) {
	return r.AuthenticateContext(context.Background(), user, password)
}

// AuthenticateContext is Authenticate that gives up, and refuses, when ctx ends
// while it waits for its turn.
func (r *Realm) AuthenticateContext(ctx context.Context, user, password string) (User, bool) {
	t := r.users.Load()
	key := t.answers.key(user, password)
	if good, known := t.answers.get(key); known {
		return t.answer(user, good)
	}
	e, exists := t.entries[user] // the zero entry has no kind
	if exists && !e.credential.kind.Strong() && e.credential.matches(password) {
		return e.user, true
	}
	hash := t.hash(e)
	if hash.kind == Argon2 { // first, so that who waits for memory holds up nobody else
		if !enter(ctx, r.argonGate) {
			return User{}, false
		}
		defer func() { <-r.argonGate }()
	}
	if !enter(ctx, r.gate) {
		return User{}, false
	}
	defer func() { <-r.gate }()
	if good, known := t.answers.get(key); known { // found while this one waited
		return t.answer(user, good)
	}
	good := r.verify(hash, password) && e.credential.kind.Strong()
	t.answers.put(key, good)
	return t.answer(user, good)
}

// enter takes a slot, or reports that ctx ended before there was one.
func enter(ctx context.Context, gate chan struct{}) bool {
	select {
	case gate <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// verify compares a password with a hash that takes long.
func (r *Realm) verify(c credential, password string) bool {
	if c.kind == BCrypt {
		return r.compare(c.stored, []byte(password)) == nil
	}
	return c.matches(password)
}
