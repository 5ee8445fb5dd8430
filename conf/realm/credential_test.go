package realm

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
	"pgregory.net/rapid"
)

// quickHash is a bcrypt hash that is cheap to check.
func quickHash(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return prefixBCrypt + string(hash)
}

func TestKindsOfPassword(t *testing.T) {
	latin := md5.Sum([]byte("b\xe4r"))
	for stored, password := range map[string]string{
		"secret":                                              "secret",
		"se:cret":                                             "se:cret",
		"obf:no":                                              "obf:no", // prefixes are in capitals
		"Mot MD5:x":                                           "Mot MD5:x",
		"OBF:1vny1zlo1x8e1vnw1vn61x8g1zlu1vn4":                "storepwd", // from Jetty's documentation
		"OBF:1u2u1wml1z7s1z7a1wnl1u2g":                        "keypwd",
		"OBF:" + obfuscate("pässwörd"):                        "pässwörd",
		"MD5:5ebe2294ecd0e0f08eab7690d2a6ee69":                "secret",
		"MD5:5EBE2294ECD0E0F08EAB7690D2A6EE69":                "secret",
		"MD5:" + hex.EncodeToString(latin[:]):                 "bär",
		"BCRYPT:" + quickHash(t, "secret")[7:]:                "secret",
		strings.Replace(quickHash(t, "x"), "$2a$", "$2y$", 1): "x", // as htpasswd -B writes
		strings.Replace(quickHash(t, "y"), "$2a$", "$2b$", 1): "y",
	} {
		c, err := parseCredential(stored)
		if err != nil {
			t.Errorf("%s: %v", stored, err)
			continue
		}
		if !c.matches(password) {
			t.Errorf("%s does not accept %s", stored, password)
		}
		for _, wrong := range []string{"", password + "x", password[1:], strings.ToUpper(password), stored, "?"} {
			if c.matches(wrong) && wrong != password {
				t.Errorf("%s accepts %q", stored, wrong)
			}
		}
	}
}

// Java encodes what ISO-8859-1 lacks as a question mark; accepting that would let
// any such password in.
func TestMD5DoesNotConfuseCharacters(t *testing.T) {
	sum := md5.Sum([]byte("???"))
	c, err := parseCredential("MD5:" + hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	if c.matches("абв") || !c.matches("???") {
		t.Error("абв passes for ???")
	}
}

func TestRefusedPasswords(t *testing.T) {
	for stored, want := range map[string]string{
		"":                    "there is no password",
		"CRYPT:adpexzg3FUZAk": "CRYPT: (Unix DES crypt) is not supported",
		"MD:SHA-256:00":       "MD: is not supported",
		"MD5:123":             "MD5: is not followed by 32 hex digits",
		"MD5:zz":              "MD5: is not followed by 32 hex digits",
		"OBF:1":               "OBF: is not followed by an obfuscated password",
		"OBF:U":               "OBF: is not followed by an obfuscated password",
		"OBF:!!!!":            "OBF: is not followed by an obfuscated password",
		"OBF:zzzz":            "OBF: is not followed by an obfuscated password",
		"OBF:":                "OBF: hides an empty password",
		"BCRYPT:x":            "BCRYPT: is not followed by a bcrypt hash",
		"BCRYPT:$2a$31$" + strings.Repeat("a", 53): "BCRYPT: has cost 31, which takes too long to check: the most is 15",
	} {
		if _, err := parseCredential(stored); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", stored, err, want)
		}
	}
}

func TestObfuscationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		password := rapid.String().Draw(t, "password")
		if got, err := deobfuscate(obfuscate(password)); err != nil || got != password {
			t.Errorf("%q comes back as %q, %v", password, got, err)
		}
	})
}

// What Hash writes lets that user in with that password, whatever they are.
func TestHashedEntriesWork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		user := rapid.StringN(1, 12, -1).Draw(t, "user")
		password := rapid.String().Draw(t, "password")
		kind := rapid.SampledFrom([]Kind{MD5, OBF, Plain}).Draw(t, "kind")
		line, err := Hash(kind, user, password)
		if err != nil {
			return
		}
		table := parseTable(line + ", admin\n")
		e, ok := table.entries[user]
		if !ok || !e.credential.matches(password) || e.credential.kind != kind || !e.user.Has("admin") {
			t.Errorf("%q does not let %q in with %q: %+v", line, user, password, table)
		}
	})
}

func TestHash(t *testing.T) {
	bcrypted, err := Hash(BCrypt, "", "secret")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseCredential(bcrypted)
	if err != nil || !c.matches("secret") || c.cost != defaultCost {
		t.Errorf("%s: %v", bcrypted, err)
	}
	for _, test := range []struct {
		kind                 Kind
		user, password, want string
	}{
		{BCrypt, "", "", "the password is empty"},
		{BCrypt, "", strings.Repeat("x", 73), "at most 72 bytes"},
		{MD5, "", "абв", "MD5 takes only characters of ISO-8859-1"},
		{Plain, "", "a,b", "without a comma"},
		{Plain, "", " a", "without blanks"},
		{Plain, "", "OBF:1", "cannot begin like another kind"},
		{Plain, "", "MD5:5ebe2294ecd0e0f08eab7690d2a6ee69", "cannot begin like another kind"},
		{"sha1", "", "x", "is not a kind of password"},
		{Plain, " a", "x", "has blanks around it"},
	} {
		if got, err := Hash(test.kind, test.user, test.password); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %q %q: got %q, %v; want %s", test.kind, test.user, test.password, got, err, test.want)
		}
	}
}

// A decoy has to cost what a real hash costs: it must not be refused for its form.
func TestDecoyIsCompared(t *testing.T) {
	for range 20 {
		err := bcrypt.CompareHashAndPassword(decoy(bcrypt.MinCost), []byte("x"))
		if err != bcrypt.ErrMismatchedHashAndPassword {
			t.Fatalf("got %v", err)
		}
	}
}
