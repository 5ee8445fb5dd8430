package admin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of links.
const (
	maxLinks     = 1000
	maxLinkPage  = 4096 // bytes of a page's address
	maxLinkHours = 30 * 24
	linkHours    = 24 // unless something else is asked for
	linkKeySize  = 32 // bytes
)

// Links are signed addresses that show one page to whoever has them, until they expire. The
// file has the key that signs them and what each of them shows. Methods may be called from
// any goroutine.
type Links struct {
	path string

	mu   sync.Mutex // guards what follows; held while the file is written
	file linkFile
	seen map[string]time.Time // when the use of a link from an address was noted last
}

// linkFile is the file. Without a key there was no link yet.
type linkFile struct {
	Key   []byte       `json:"key"`
	Links []storedLink `json:"links"`
}

// storedLink is a link in the file.
type storedLink struct {
	linkView
	Stamp string `json:"stamp"` // of the maker's password, see Links.stamp
}

// linkView is a link without its signature.
type linkView struct {
	ID        string    `json:"id"`
	Page      string    `json:"page"` // path and query of what it shows
	Bodies    bool      `json:"bodies"`
	CreatedBy string    `json:"createdBy"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	Expired   bool      `json:"expired"` // as of the answer
}

// OpenLinks reads the file of links; one that is not there has none.
func OpenLinks(path string) (*Links, error) {
	l := &Links{path: path, seen: map[string]time.Time{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &l.file)
	}
	if err == nil && len(l.file.Key) != linkKeySize {
		err = fmt.Errorf("the key has %d bytes instead of %d", len(l.file.Key), linkKeySize)
	}
	if err != nil {
		return nil, fmt.Errorf("read the links of %s: %w; mend the file, or delete it, which ends them all", path, err)
	}
	return l, nil
}

// sign is what an address has behind the link's id: nobody without the key can make another
// page, time or maker of it, not even who can write the file.
func (f *linkFile) sign(x *storedLink) string {
	h := hmac.New(sha256.New, f.Key)
	signed, _ := json.Marshal([]any{x.ID, x.Page, x.Bodies, x.CreatedBy, x.CreatedAt.UnixNano(), x.ExpiresAt.UnixNano(), x.Stamp}) // of these types it never fails
	h.Write(signed)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// stamp is User.Stamp, which is made of the password, in a form for the file.
func (f *linkFile) stamp(stamp string) string {
	h := hmac.New(sha256.New, f.Key)
	h.Write([]byte("stamp\x00" + stamp))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// find is the link that an address names. ok is false if it was not signed here, has
// expired or was revoked.
func (l *Links) find(token string, now time.Time) (x storedLink, ok bool) {
	id, signature, both := strings.Cut(token, "-")
	if l == nil || !both {
		return x, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.file.Links, func(o storedLink) bool { return o.ID == id })
	if i < 0 {
		return x, false
	}
	x = l.file.Links[i]
	return x, hmac.Equal([]byte(signature), []byte(l.file.sign(&x))) && now.Before(x.ExpiresAt)
}

// sameStamp reports whether the maker's password is still that of when the link was made.
func (l *Links) sameStamp(x *storedLink, stamp string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return x.Stamp == l.file.stamp(stamp)
}

// views are the links of a user, or all for "", those that expire first at the front.
func (l *Links) views(by string, now time.Time) []linkView {
	list := []linkView{}
	if l == nil {
		return list
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.file.Links {
		if by == "" || x.CreatedBy == by {
			x.Expired = !now.Before(x.ExpiresAt)
			list = append(list, x.linkView)
		}
	}
	slices.SortFunc(list, func(a, b linkView) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
	return list
}

// make makes a link and the last part of its address.
func (l *Links) make(v linkView, stamp string, now time.Time) (linkView, string, error) {
	token := ""
	v.ID = strings.ToLower(rand.Text()[:10])
	err := l.change(func(f *linkFile) error {
		f.Links = slices.DeleteFunc(f.Links, func(o storedLink) bool { return !now.Before(o.ExpiresAt) })
		if len(f.Links) >= maxLinks {
			return refuse(409, "limit", "error.links", "There are %d links, the most allowed. Revoke some.", maxLinks)
		}
		x := storedLink{v, f.stamp(stamp)}
		f.Links = append(f.Links, x)
		token = x.ID + "-" + f.sign(&x)
		return nil
	})
	return v, token, err
}

// revoke ends a link; by is whose it has to be, or "".
func (l *Links) revoke(id, by string) (page string, err error) {
	err = l.change(func(f *linkFile) error {
		i := slices.IndexFunc(f.Links, func(o storedLink) bool { return o.ID == id && (by == "" || o.CreatedBy == by) })
		if i < 0 {
			return refuse(404, "not-found", "error.nolink", "There is no such link.")
		}
		page = f.Links[i].Page
		f.Links = slices.Delete(f.Links, i, i+1)
		return nil
	})
	return page, err
}

// revokeAll ends all links and takes another key.
func (l *Links) revokeAll() (n int, err error) {
	err = l.change(func(f *linkFile) error {
		n = len(f.Links)
		*f = linkFile{Key: newLinkKey()}
		return nil
	})
	return n, err
}

func newLinkKey() []byte {
	key := make([]byte, linkKeySize)
	_, _ = rand.Read(key) // never fails
	return key
}

// change puts a changed file on disk before it counts.
func (l *Links) change(do func(*linkFile) error) error {
	if l == nil {
		return errNoLinks
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f := linkFile{l.file.Key, slices.Clone(l.file.Links)}
	if f.Key == nil {
		f.Key = newLinkKey()
	}
	if err := do(&f); err != nil {
		return err
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	if err := replaceFile(l.path, append(text, '\n')); err != nil {
		return fmt.Errorf("the links cannot be written: %w", err)
	}
	l.file = f
	return nil
}

var errNoLinks = refuse(404, "not-offered", "error.linkfile", "This broker has no file of links.")

// Bounds of what is noted of the use of links: somebody who reloads a page all day must not
// push everything else out of the audit log.
const (
	linkNoteEvery = time.Hour
	maxLinkNotes  = 10_000
)

// note reports whether the use of a link from an address is to be noted.
func (l *Links) note(id, remote string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := id + " " + remote
	if at, known := l.seen[key]; known && now.Sub(at) < linkNoteEvery {
		return false
	}
	if len(l.seen) >= maxLinkNotes {
		clear(l.seen)
	}
	l.seen[key] = now
	return true
}
