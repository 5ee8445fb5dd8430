package admin

import (
	"net/http"

	"github.com/gorilla/mux"
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

// Bounds for tests.
const (
	MaxHeld        = maxHeld
	MaxSendHeaders = maxSendHeaders
)
