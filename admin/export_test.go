package admin

import (
	"net/http"
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
)

// SetRestIdle says after what time without a request a kept subscription ends.
func (s *Server) SetRestIdle(d time.Duration) { s.rest.idle = d }
