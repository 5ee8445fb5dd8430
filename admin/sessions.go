package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
)

// sessionStore keeps sessions in memory, a bounded number of them. It is a scs.Store.
type sessionStore struct {
	max int

	mu    sync.Mutex // guards what follows
	items map[string]storedSession
	ended map[string]time.Time // tokens deleted lately
}

type storedSession struct {
	data   []byte
	expiry time.Time
}

// endedFor is how long a deleted token is remembered, longer than a request takes:
// one that began before the logout must not bring the session back to life.
const endedFor = 5 * time.Minute

func newSessionStore(max int) *sessionStore {
	return &sessionStore{max: max, items: map[string]storedSession{}, ended: map[string]time.Time{}}
}

// Find returns a session that has not expired.
func (s *sessionStore) Find(token string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	item, ok := s.items[token]
	if !ok || !time.Now().Before(item.expiry) {
		return nil, false, nil
	}
	return item.data, true, nil
}

// Commit keeps a session. When there are too many, the one that would expire first goes.
func (s *sessionStore) Commit(token string, data []byte, expiry time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, gone := s.ended[token]; gone {
		return nil
	}
	if _, known := s.items[token]; !known && len(s.items) >= s.max {
		s.evict()
	}
	s.items[token] = storedSession{data, expiry}
	return nil
}

// evict makes room: expired sessions go, or else the one closest to it.
func (s *sessionStore) evict() {
	now, first := time.Now(), ""
	for token, item := range s.items {
		switch {
		case !now.Before(item.expiry):
			delete(s.items, token)
		case first == "" || item.expiry.Before(s.items[first].expiry):
			first = token
		}
	}
	if len(s.items) >= s.max {
		delete(s.items, first)
	}
}

// Delete forgets a session.
func (s *sessionStore) Delete(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for t, at := range s.ended {
		if now.Sub(at) > endedFor {
			delete(s.ended, t)
		}
	}
	if _, known := s.items[token]; known {
		delete(s.items, token)
		s.ended[token] = now
	}
	return nil
}

// Keys of what a session holds.
const (
	sessionUser  = "user"
	sessionRoles = "roles" // separated by line feeds
	sessionStamp = "stamp" // User.Stamp at the login
	sessionFlash = "flash" // a message for the next page
	sessionUndo  = "undo"  // and the number in the trash that it is about
)

func newSessions(o *Options, failed func(http.ResponseWriter, *http.Request, error)) *scs.SessionManager {
	return &scs.SessionManager{
		IdleTimeout:      o.SessionIdle,
		Lifetime:         o.SessionMax,
		Store:            newSessionStore(o.MaxSessions),
		Codec:            sessionCodec{},
		ErrorFunc:        failed,
		HashTokenInStore: true,
		Cookie: scs.SessionCookie{
			Name: cookieName(o), Path: o.PathPrefix + "/", HttpOnly: true, Secure: o.Secure, SameSite: http.SameSiteStrictMode,
		},
	}
}

// cookieName differs between brokers: cookies do not know ports, and several
// brokers on one machine must not end each other's sessions.
func cookieName(o *Options) string {
	info := o.Info()
	sum := sha256.Sum256([]byte(info.Name + "\x00" + info.DataDir))
	return "treadmq-" + hex.EncodeToString(sum[:4])
}
