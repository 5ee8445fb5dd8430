package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// TokenUser is what the name of a token's user begins with: the token ci acts as token:ci.
const TokenUser = "token:"

// Bounds of tokens.
const (
	tokenPrefix  = "tmq_"
	maxTokens    = 1000
	maxTokenName = 64
	maxTokenDays = 3650
	defaultDays  = 90
)

// Tokens are what machines log in to the API with instead of a password. The file has their
// hashes only. Methods may be called from any goroutine.
type Tokens struct {
	path string

	mu   sync.Mutex // guards list; held while the file is written
	list []storedToken
}

// storedToken is a token in the file.
type storedToken struct {
	tokenView
	Hash string `json:"sha256"` // of the secret, which has 130 bits: it needs no slow hash
}

// tokenView is a token without its secret.
type tokenView struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	CreatedBy string    `json:"createdBy"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	Expired   bool      `json:"expired"` // as of the answer
}

// OpenTokens reads the file of tokens; one that is not there has none.
func OpenTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &t.list)
	}
	if err != nil {
		return nil, fmt.Errorf("read the tokens of %s: %w; mend the file, or delete it, which revokes them all", path, err)
	}
	return t, nil
}

// Role is what a token's user (TokenUser and its name) may do, "" if there is none.
func (t *Tokens) Role(user string, now time.Time) string {
	name, ok := strings.CutPrefix(user, TokenUser)
	if t == nil || !ok {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.list {
		if x := &t.list[i]; x.Name == name && now.Before(x.ExpiresAt) {
			return x.Role
		}
	}
	return ""
}

// user is who a secret belongs to.
func (t *Tokens) user(secret string, now time.Time) (User, bool) {
	rest, ok := strings.CutPrefix(secret, tokenPrefix)
	id, _, both := strings.Cut(rest, "_")
	if t == nil || !ok || !both || len(secret) > maxCredential {
		return User{}, false
	}
	sum := tokenHash(secret)
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.list {
		x := &t.list[i]
		if x.ID == id && subtle.ConstantTimeCompare([]byte(x.Hash), []byte(sum)) == 1 && now.Before(x.ExpiresAt) {
			return User{Name: TokenUser + x.Name, Roles: []string{x.Role}}, true
		}
	}
	return User{}, false
}

func tokenHash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// views are all tokens, by name.
func (t *Tokens) views(now time.Time) []tokenView {
	list := []tokenView{}
	if t == nil {
		return list
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range t.list {
		x.Expired = !now.Before(x.ExpiresAt)
		list = append(list, x.tokenView)
	}
	slices.SortFunc(list, func(a, b tokenView) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// tokenWish is a token that somebody wants to be made.
type tokenWish struct {
	Name string `json:"name"`
	Role string `json:"role"`
	Days int    `json:"days"` // until it expires; default 90
}

func (w *tokenWish) check() error {
	if w.Days == 0 {
		w.Days = defaultDays
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	switch {
	case w.Name == "" || len(w.Name) > maxTokenName || strings.Trim(w.Name, letters) != "":
		return bad("error.tokenname", "The name of a token has 1 to %d letters, digits, dots, dashes and underscores.", maxTokenName)
	case granted(w.Role) == nil:
		return bad("error.tokenrole", "The role of a token is admin, user or viewer.")
	case w.Days < 1 || w.Days > maxTokenDays:
		return bad("error.tokendays", "A token expires after 1 to %d days.", maxTokenDays)
	}
	return nil
}

// make makes a token. Nothing else than what it returns knows the secret.
func (t *Tokens) make(w tokenWish, by string, now time.Time) (tokenView, string, error) {
	id := strings.ToLower(rand.Text()[:10])
	secret := tokenPrefix + id + "_" + rand.Text()
	x := storedToken{tokenView{ID: id, Name: w.Name, Role: w.Role, CreatedBy: by, CreatedAt: now.UTC(),
		ExpiresAt: now.AddDate(0, 0, w.Days).UTC()}, tokenHash(secret)}
	err := t.change(func(list []storedToken) ([]storedToken, error) {
		list = slices.DeleteFunc(list, func(o storedToken) bool { return o.Name == w.Name && !now.Before(o.ExpiresAt) })
		switch {
		case slices.ContainsFunc(list, func(o storedToken) bool { return o.Name == w.Name }):
			return nil, refuse(409, "in-use", "error.tokenthere", "There is a token of that name. Revoke it first, or choose another name.")
		case len(list) >= maxTokens:
			return nil, refuse(409, "limit", "error.tokens", "There are %d tokens, the most allowed. Revoke some.", maxTokens)
		}
		return append(list, x), nil
	})
	return x.tokenView, secret, err
}

// revoke ends a token and returns its name.
func (t *Tokens) revoke(id string) (name string, err error) {
	err = t.change(func(list []storedToken) ([]storedToken, error) {
		i := slices.IndexFunc(list, func(o storedToken) bool { return o.ID == id })
		if i < 0 {
			return nil, refuse(404, "not-found", "error.notoken", "There is no such token.")
		}
		name = list[i].Name
		return slices.Delete(list, i, i+1), nil
	})
	return name, err
}

// change puts a changed list on disk before it counts.
func (t *Tokens) change(do func([]storedToken) ([]storedToken, error)) error {
	if t == nil {
		return refuse(404, "not-offered", "error.tokenfile", "This broker has no file of tokens.")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	list, err := do(slices.Clone(t.list))
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	if err := replaceFile(t.path, append(text, '\n')); err != nil {
		return fmt.Errorf("the tokens cannot be written: %w", err)
	}
	t.list = list
	return nil
}

// replaceFile writes a file, mode 0600, so that there is the old content or the new one.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
