package admin

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"treadmq/broker"
)

// keyHeader is the header of a request that sends a message: the same key sends it once, however
// often a client asks because it got no answer.
const keyHeader = "Idempotency-Key"

// Bounds of keys.
const (
	maxSentKeys  = 10_000
	maxSentKey   = 255 // bytes
	sentKeyLasts = 24 * time.Hour
)

// sentKeys are the keys of messages that were sent lately. They are not kept over a restart.
type sentKeys struct {
	mu    sync.Mutex // guards what follows
	items map[sentKey]*sentOnce
	order []sentKey // oldest first; some may be gone
}

// sentKey is a key; each user has keys of their own.
type sentKey struct{ user, key string }

// sentOnce is a message, or a batch of them, with a key.
type sentOnce struct {
	sum    [sha256.Size]byte // of the destination and the message
	at     time.Time
	state  sendState
	answer any // what was answered
}

type sendState uint8

const (
	sendUnderWay sendState = iota
	sendStored
	sendUnsure // nobody knows whether it is stored
)

func newSentKeys() *sentKeys { return &sentKeys{items: map[sentKey]*sentOnce{}} }

// begin takes a key. With an answer there is nothing to be done but to give it.
func (k *sentKeys) begin(key sentKey, sum [sha256.Size]byte, now time.Time) (answer any, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(now)
	old := k.items[key]
	switch {
	case old == nil:
		k.items[key] = &sentOnce{sum: sum, at: now}
		k.order = append(k.order, key)
		return nil, nil
	case old.sum != sum:
		return nil, &httpError{http.StatusUnprocessableEntity, "in-use", "Another message was sent with this " + keyHeader + ". Take another key for each message."}
	case old.state == sendUnderWay:
		return nil, &httpError{http.StatusConflict, "in-use", "A request with this " + keyHeader + " is under way. Ask again in a moment."}
	case old.state == sendUnsure:
		return nil, &httpError{http.StatusConflict, "timeout", "The disk had not answered an earlier request with this " + keyHeader + ". Look whether the message is there, and if not send it with another key."}
	}
	return old.answer, nil
}

// end says what came of a message whose key was taken.
func (k *sentKeys) end(key sentKey, answer any, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	x := k.items[key]
	switch {
	case x == nil: // made room for others
	case err == nil:
		x.state, x.answer = sendStored, answer
	case problemOf(err).Code == "timeout":
		x.state = sendUnsure
	default: // refused: the same key may try again
		delete(k.items, key)
	}
}

// drop forgets keys that are too old or too many.
func (k *sentKeys) drop(now time.Time) {
	for len(k.order) > 0 {
		x := k.items[k.order[0]]
		if x != nil && now.Sub(x.at) < sentKeyLasts && len(k.order) < maxSentKeys {
			return
		}
		if x != nil {
			delete(k.items, k.order[0])
		}
		k.order = k.order[1:]
	}
}

// answerSent sends by do, once for a key, and answers with what it returns. what is the message, or
// the messages, as they were read.
func (s *Server) answerSent(w http.ResponseWriter, r *http.Request, d broker.Destination, what any, do func(*http.Request) (any, error)) error {
	answer, again, err := s.sendOnce(r, d, what, do)
	if err != nil {
		return err
	}
	if again {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	return writeJSON(w, http.StatusCreated, answer)
}

// sendOnce is do for requests that may have a key. again says that the answer is that of an
// earlier request.
func (s *Server) sendOnce(r *http.Request, d broker.Destination, what any, do func(*http.Request) (any, error)) (answer any, again bool, err error) {
	key := sentKey{userOf(r).Name, r.Header.Get(keyHeader)}
	if key.key == "" {
		answer, err = do(r)
		return answer, false, err
	}
	if len(key.key) > maxSentKey {
		return nil, false, badRequest(keyHeader + " has at most 255 bytes.")
	}
	text, err := json.Marshal([]any{destPath(d), what})
	if err != nil {
		return nil, false, err
	}
	if answer, err = s.sent.begin(key, sha256.Sum256(text), s.opt.Now()); err != nil || answer != nil {
		return answer, true, err
	}
	// Who is gone asks again: then it has to be known what came of it.
	answer, err = do(r.WithContext(context.WithoutCancel(r.Context())))
	s.sent.end(key, answer, err)
	return answer, false, err
}
