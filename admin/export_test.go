package admin

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
)

// Walk calls fn for each route that the router really has.
func (s *Server) Walk(fn func(method, path string)) error {
	return s.router().(*mux.Router).Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := r.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := r.GetMethods()
		if err != nil {
			return err
		}
		for _, m := range methods {
			if m != http.MethodHead {
				fn(m, path)
			}
		}
		return nil
	})
}

// Measure measures now.
func (s *Server) Measure() { s.rates.update(time.Now(), s.rates.measure()) }

// Registries are those of the metrics.
func (s *Server) Registries() []prometheus.Gatherer {
	return []prometheus.Gatherer{s.metrics, s.perQueue}
}

// Registries are those of the Server behind the console now.
func (w *Switch) Registries() []prometheus.Gatherer { return w.now.Load().Registries() }

// Bounds for tests.
const (
	MaxHeld        = maxHeld
	MaxSendHeaders = maxSendHeaders
	MaxRestOfUser  = maxRestOfUser
	MaxShown       = maxShown
)

// SetRestIdle says after what time without a request a kept subscription ends.
func (s *Server) SetRestIdle(d time.Duration) { s.rest.idle = d }

// LinkablePages are the paths that a link can show.
func LinkablePages() []string { return linkablePages() }

// MaxSentKeys are kept.
const MaxSentKeys = maxSentKeys

// SentKeys are keys of messages, numbered.
type SentKeys struct{ *sentKeys }

// NewSentKeys makes some.
func NewSentKeys() SentKeys { return SentKeys{newSentKeys()} }

func numbered(i int) sentKey { return sentKey{"u", strconv.Itoa(i)} }

// Take sends a message with a key.
func (k SentKeys) Take(t testing.TB, i int) {
	t.Helper()
	if old, err := k.begin(numbered(i), [32]byte{}, time.Now()); err != nil || old != nil {
		t.Fatal(old, err)
	}
	k.end(numbered(i), sentView{}, nil)
}

// Len is how many are kept.
func (k SentKeys) Len() int { return len(k.items) }

// Known reports whether a key is kept.
func (k SentKeys) Known(i int) bool { return k.items[numbered(i)] != nil }
