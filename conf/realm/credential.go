package realm

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"treadmq/notice"
)

// Kind is the way a password is stored.
type Kind string

// Strong reports whether a password stored so cannot be turned back with little effort. Checking one takes long.
func (k Kind) Strong() bool { return k == BCrypt || k == Argon2 }

// The kinds of password. All but BCrypt and Argon2 are weak.
const (
	BCrypt Kind = "bcrypt"
	Argon2 Kind = "argon2"
	MD5    Kind = "md5"
	OBF    Kind = "obf"
	Plain  Kind = "plain"
)

const (
	prefixBCrypt = "BCRYPT:"
	prefixMD5    = "MD5:"
	prefixOBF    = "OBF:"
	prefixCrypt  = "CRYPT:"
	prefixMD     = "MD:"
)

const (
	defaultCost = 10
	maxCost     = 15 // some 2 s; a larger one would let a single login stall the others
)

// credential is a stored password.
type credential struct {
	kind Kind
	// stored is the bcrypt or argon2 hash, the 16 bytes of the MD5, or the password.
	stored []byte
	cost   int    // of bcrypt
	argon  *argon // of argon2
}

// parseCredential reads a password as it stands in the file.
func parseCredential(text string) (credential, error) {
	prefix, rest, found := strings.Cut(text, ":")
	switch {
	case isArgon2(text):
		return parseArgon2(strings.TrimPrefix(text, prefixArgon2))
	case text == "":
		return credential{}, notice.New("realm.nopassword", "there is no password: write username: password, role")
	case !found:
		return credential{kind: Plain, stored: []byte(text)}, nil
	}
	switch prefix + ":" {
	case prefixBCrypt:
		return parseBCrypt(rest)
	case prefixMD5:
		sum, err := hex.DecodeString(rest)
		if err != nil || len(sum) != md5.Size {
			return credential{}, notice.New("realm.badhash", "MD5: is not followed by 32 hex digits")
		}
		return credential{kind: MD5, stored: sum}, nil
	case prefixOBF:
		password, err := deobfuscate(rest)
		if err != nil {
			return credential{}, err
		}
		if password == "" {
			return credential{}, notice.New("realm.obfempty", "OBF: hides an empty password")
		}
		return credential{kind: OBF, stored: []byte(password)}, nil
	case prefixCrypt:
		return credential{}, notice.New("realm.crypt", "CRYPT: (Unix DES crypt) is not supported, as it is broken: make a new one with treadmq realm hash")
	case prefixMD:
		return credential{}, notice.New("realm.digest", "MD: is not supported: make a new password with treadmq realm hash")
	}
	return credential{kind: Plain, stored: []byte(text)}, nil
}

func parseBCrypt(hash string) (credential, error) {
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil {
		return credential{}, notice.New("realm.bcrypt", "BCRYPT: is not followed by a bcrypt hash such as $2a$10$ and 53 characters")
	}
	if cost > maxCost {
		return credential{}, notice.New("realm.cost", "BCRYPT: has cost %d, which takes too long to check: the most is %d", cost, maxCost)
	}
	return credential{kind: BCrypt, stored: []byte(hash), cost: cost}, nil
}

// matches compares a password. For weak kinds it is quick, and its time
// does not depend on where the passwords differ.
func (c credential) matches(password string) bool {
	switch c.kind {
	case BCrypt:
		return bcrypt.CompareHashAndPassword(c.stored, []byte(password)) == nil
	case Argon2:
		return c.argon.matches(password)
	case MD5:
		latin, ok := latin1(password)
		sum := md5.Sum(latin)
		return ok && subtle.ConstantTimeCompare(sum[:], c.stored) == 1
	default:
		given, stored := sha256.Sum256([]byte(password)), sha256.Sum256(c.stored)
		return hmac.Equal(given[:], stored[:])
	}
}

// latin1 encodes text as ISO-8859-1. Java puts a question mark for what it
// cannot encode, which would make such passwords equal; they are refused instead.
func latin1(s string) ([]byte, bool) {
	encoded := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return nil, false
		}
		encoded = append(encoded, byte(r))
	}
	return encoded, true
}

// Hash is what to write in the realm file for a password, "BCRYPT:$2a$10$..."
// for the kind to use. With a user it is the whole entry, "user: BCRYPT:...",
// to which roles can be added behind a comma. The error says why the password
// cannot be stored so.
func Hash(kind Kind, user, password string) (string, error) {
	if password == "" {
		return "", errors.New("the password is empty")
	}
	stored, err := hashed(kind, password)
	if err != nil {
		return "", err
	}
	if user == "" {
		return escape(stored, false), nil
	}
	if user != strings.TrimSpace(user) || !utf8.ValidString(user) {
		return "", fmt.Errorf("the user name %q has blanks around it or is not UTF-8, which the file cannot keep", user)
	}
	return escape(user, true) + ": " + escape(stored, false), nil
}

func hashed(kind Kind, password string) (string, error) {
	switch kind {
	case BCrypt:
		hash, err := bcrypt.GenerateFromPassword([]byte(password), defaultCost)
		if errors.Is(err, bcrypt.ErrPasswordTooLong) {
			return "", errors.New("bcrypt takes passwords of at most 72 bytes: choose a shorter one, or argon2")
		}
		return prefixBCrypt + string(hash), err
	case Argon2:
		return hashArgon2(password), nil
	case MD5:
		latin, ok := latin1(password)
		if !ok {
			return "", errors.New("MD5 takes only characters of ISO-8859-1: use bcrypt")
		}
		sum := md5.Sum(latin)
		return prefixMD5 + hex.EncodeToString(sum[:]), nil
	case OBF:
		return prefixOBF + obfuscate(password), nil
	case Plain:
		return password, checkPlain(password)
	}
	return "", fmt.Errorf("%q is not a kind of password: use bcrypt, argon2, md5, obf or plain", kind)
}

// checkPlain refuses passwords that would be read back as something else.
func checkPlain(password string) error {
	if strings.Contains(password, ",") || password != strings.TrimSpace(password) || !utf8.ValidString(password) {
		return errors.New("a plain password is UTF-8 without a comma in it and without blanks around it: use bcrypt")
	}
	c, err := parseCredential(password)
	if err != nil || c.kind != Plain {
		return errors.New("a plain password cannot begin like another kind of password: use bcrypt")
	}
	return nil
}

// obfuscate is Jetty's Password.obfuscate without the prefix: each byte of UTF-8
// is mixed with its mirror image and written in base 36.
func obfuscate(password string) string {
	var b strings.Builder
	n := len(password)
	for i := range n {
		one, other := int(password[i]), int(password[n-1-i])
		if one > 127 || other > 127 {
			b.WriteString("U" + base36(one<<8|other))
			continue
		}
		b.WriteString(base36((127+one+other)<<8 | (127 + one - other)))
	}
	return b.String()
}

// base36 writes four digits, enough for 16 bits.
func base36(n int) string {
	digits := strconv.FormatInt(int64(n), 36)
	return "0000"[len(digits):] + digits
}

// deobfuscate undoes obfuscate.
func deobfuscate(text string) (string, error) {
	bad := notice.New("realm.badobf", "OBF: is not followed by an obfuscated password: make one with treadmq realm hash")
	var password []byte
	for text != "" {
		wide := text[0] == 'U'
		if wide {
			text = text[1:]
		}
		if len(text) < 4 {
			return "", bad
		}
		n, err := strconv.ParseUint(text[:4], 36, 32)
		if err != nil {
			return "", bad
		}
		c := (int(n>>8) + int(n&0xff) - 254) / 2
		if wide {
			c = int(n >> 8)
		}
		if c < 0 || c > 255 {
			return "", bad
		}
		password, text = append(password, byte(c)), text[4:]
	}
	return string(password), nil
}
