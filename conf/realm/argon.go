package realm

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"treadmq/notice"
)

const (
	prefixArgon2 = "ARGON2:"
	phcArgon2id  = "$argon2id$"
)

// What a hash of the file may ask for. A check needs this much memory, so it is looked at before.
const (
	maxArgonMemory  = 256 << 10 // KiB
	maxArgonTime    = 10
	maxArgonThreads = 16
	minArgonSalt    = 8
	maxArgonSalt    = 64
	minArgonSum     = 16
	maxArgonSum     = 64
	maxArgonText    = 256 // bytes of the whole text; the largest that is allowed has some 220
)

// What Hash makes: memory and passes as RFC 9106 advises where memory is scarce. One thread and not four,
// because a login may take one processor, as with bcrypt: see comparisons.
const (
	argonMemory  = 64 << 10 // KiB
	argonTime    = 3
	argonThreads = 1
	argonSalt    = 16
	argonSum     = 32
)

// argonChecks is how many argon2 checks of a Realm may run at a time, which bounds their memory.
const argonChecks = 2

// argon is an argon2id hash.
type argon struct {
	memory, time uint32
	threads      uint8
	salt, sum    []byte
}

// isArgon2 reports whether a password of the file is, or means to be, a hash in PHC form.
func isArgon2(password string) bool {
	return strings.HasPrefix(password, prefixArgon2+"$argon2") || strings.HasPrefix(password, phcArgon2id+"v=")
}

// splitEntry tells the password of an entry from its roles. The first comma ends the password, but
// those between the parameters of an argon2 hash belong to it.
func splitEntry(value string) (password, roles string) {
	from := 0
	if isArgon2(strings.TrimSpace(value)) {
		for range 4 { // $argon2id$v=19$m=65536,t=3,p=4$salt$hash
			next := strings.IndexByte(value[from:], '$')
			if next < 0 {
				return strings.TrimSpace(value), "" // not complete: nothing of it is a role
			}
			from += next + 1
		}
	}
	if comma := strings.IndexByte(value[from:], ','); comma >= 0 {
		return strings.TrimSpace(value[:from+comma]), value[from+comma+1:]
	}
	return strings.TrimSpace(value), ""
}

func parseArgon2(text string) (credential, error) {
	bad := notice.New("realm.argon", "ARGON2: is not followed by a hash such as $argon2id$v=19$m=65536,t=3,p=1$SALT$HASH, in base64 without padding")
	parts := strings.Split(text, "$")
	if len(text) > maxArgonText || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return credential{}, bad
	}
	var m, t, p uint32
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p); err != nil || n != 3 || parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", m, t, p) {
		return credential{}, bad
	}
	if t < 1 || t > maxArgonTime || p < 1 || p > maxArgonThreads || m < 8*p || m > maxArgonMemory {
		return credential{}, notice.New("realm.argoncost", "the argon2 hash has m=%d, t=%d, p=%d: allowed are m from 8 times p to %d (KiB), t from 1 to %d, p from 1 to %d; make a new one with treadmq realm hash",
			m, t, p, maxArgonMemory, maxArgonTime, maxArgonThreads)
	}
	salt, err := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	if err != nil {
		return credential{}, bad
	}
	sum, err := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err != nil {
		return credential{}, bad
	}
	if len(salt) < minArgonSalt || len(salt) > maxArgonSalt || len(sum) < minArgonSum || len(sum) > maxArgonSum {
		return credential{}, notice.New("realm.argonsize", "the argon2 hash has a salt of %d bytes and a hash of %d: allowed are %d to %d and %d to %d; make a new one with treadmq realm hash",
			len(salt), len(sum), minArgonSalt, maxArgonSalt, minArgonSum, maxArgonSum)
	}
	return credential{kind: Argon2, stored: []byte(text), argon: &argon{m, t, uint8(p), salt, sum}}, nil
}

func (a *argon) matches(password string) bool {
	sum := argon2.IDKey([]byte(password), a.salt, a.time, a.memory, a.threads, uint32(len(a.sum)))
	return subtle.ConstantTimeCompare(sum, a.sum) == 1
}

// work is how long a check takes, in no unit.
func (a *argon) work() uint64 { return uint64(a.memory) * uint64(a.time) }

// decoy is a hash of the same cost that no password is known for.
func (a *argon) decoy() *argon {
	d := *a
	d.salt, d.sum = make([]byte, len(a.salt)), make([]byte, len(a.sum))
	rand.Read(d.salt)
	rand.Read(d.sum)
	return &d
}

// hashArgon2 is a password as it stands in the file.
func hashArgon2(password string) string {
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	sum := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonSum)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("%s%sv=%d$m=%d,t=%d,p=%d$%s$%s", prefixArgon2, phcArgon2id, argon2.Version, argonMemory, argonTime, argonThreads, b64(salt), b64(sum))
}
