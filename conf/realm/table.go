package realm

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"treadmq/notice"
)

// table is the content of a realm file. It does not change, but for the answers
// it remembers.
type table struct {
	entries  map[string]entry // by user name
	problems []Problem
	weak     []Weakness

	decoy   credential // a hash of nobody's password, for logins without one
	answers *answers
}

type entry struct {
	line       int
	user       User
	credential credential
}

func parseTable(text string) *table {
	t := &table{entries: map[string]entry{}, answers: newAnswers()}
	last := map[string]int{} // user to line, of the entry that counts
	for _, p := range parseProperties(text) {
		t.add(p, last)
	}
	for _, e := range t.entries {
		t.judge(e)
	}
	slices.SortFunc(t.weak, func(a, b Weakness) int { return a.Line - b.Line })
	t.decoy = t.nobody()
	return t
}

// nobody is a hash that costs as much as the dearest of the entries: argon2 if there is one, else bcrypt.
func (t *table) nobody() credential {
	cost, dearest := defaultCost, (*argon)(nil)
	for _, e := range t.entries {
		cost = max(cost, e.credential.cost)
		if a := e.credential.argon; a != nil && (dearest == nil || a.work() > dearest.work()) {
			dearest = a
		}
	}
	if dearest != nil {
		return credential{kind: Argon2, argon: dearest.decoy()}
	}
	return credential{kind: BCrypt, stored: decoy(cost)}
}

// add takes one property. What it replaces never counts again, even if the new
// one is refused.
func (t *table) add(p property, last map[string]int) {
	name := strings.TrimSpace(p.key)
	if earlier, twice := last[name]; twice {
		t.problem(p.line, name, notice.New("realm.twice", "this entry replaces the one in line %d: take one of them out", earlier))
	}
	last[name] = p.line
	delete(t.entries, name)

	password, roles := splitEntry(p.value)
	c, err := parseCredential(password)
	switch {
	case !p.problem.IsZero():
		t.problem(p.line, name, p.problem)
	case name == "":
		t.problem(p.line, name, notice.New("realm.noname", "there is no user name: write username: password, role"))
	case err != nil:
		t.problem(p.line, name, notice.Of(err))
	default:
		t.entries[name] = entry{p.line, User{Name: name, Roles: splitRoles(roles)}, c}
	}
}

func (t *table) problem(line int, user string, text notice.Notice) {
	t.problems = append(t.problems, Problem{line, user, text})
}

func splitRoles(text string) []string {
	var roles []string
	for role := range strings.SplitSeq(text, ",") {
		if role = strings.TrimSpace(role); role != "" && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	return roles
}

// judge notes what is weak about an entry.
func (t *table) judge(e entry) {
	var why notice.Notice
	switch e.credential.kind {
	case Plain:
		why = notice.New("weak.plain", "the password can be read in the file: make a new entry with treadmq realm hash")
	case OBF:
		why = notice.New("weak.obf", "OBF: hides the password only from a glance: make a new entry with treadmq realm hash")
	case MD5:
		why = notice.New("weak.hash", "MD5 can be reversed in seconds for most passwords: make a new entry with treadmq realm hash")
	default:
		return
	}
	if e.credential.matches(e.user.Name) {
		why = notice.New("weak.name", "the password is the user name: make a new entry with treadmq realm hash")
	}
	t.weak = append(t.weak, Weakness{e.line, e.user.Name, e.credential.kind, why})
}

// comparisons is how many slow comparisons may run at a time: half of the
// processors, so that logins never take all of them.
func comparisons() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// decoy is a hash of the right form and cost that no password is known for.
func decoy(cost int) []byte {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	random := make([]byte, 53)
	rand.Read(random)
	for i := range random {
		random[i] = alphabet[random[i]%64]
	}
	random[21], random[52] = '.', '.' // their last bits are unused and have to be zero
	return fmt.Appendf(nil, "$2a$%02d$%s", cost, random)
}

// hash is what a login is compared with when it is not good already: the user's
// own hash, or the decoy, which nothing matches.
func (t *table) hash(e entry) credential {
	if e.credential.kind.Strong() {
		return e.credential
	}
	return t.decoy
}

// answer is the user behind a good login.
func (t *table) answer(user string, good bool) (User, bool) {
	if !good {
		return User{}, false
	}
	return t.entries[user].user, true
}

// maxRemembered bounds how many good, and how many bad, logins are remembered.
const maxRemembered = 4096

// answers remembers the outcome of recent comparisons. Good and bad ones have a
// memory of their own, so that guessing does not drive out the good ones.
type answers struct {
	secret []byte

	mu   sync.Mutex // guards what follows
	good map[digest]struct{}
	bad  map[digest]struct{}
}

type digest [sha256.Size]byte

func newAnswers() *answers {
	secret := make([]byte, sha256.Size)
	rand.Read(secret)
	return &answers{secret: secret, good: map[digest]struct{}{}, bad: map[digest]struct{}{}}
}

// key is an HMAC, so that nothing can be learned from it about the password.
func (a *answers) key(user, password string) digest {
	mac := hmac.New(sha256.New, a.secret)
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(user)))
	mac.Write(length[:])
	mac.Write([]byte(user))
	mac.Write([]byte(password))
	return digest(mac.Sum(nil))
}

func (a *answers) get(key digest) (good, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.good[key]; ok {
		return true, true
	}
	_, ok := a.bad[key]
	return false, ok
}

func (a *answers) put(key digest, good bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	memory := a.bad
	if good {
		memory = a.good
	}
	if len(memory) >= maxRemembered {
		for any := range memory {
			delete(memory, any)
			break
		}
	}
	memory[key] = struct{}{}
}
