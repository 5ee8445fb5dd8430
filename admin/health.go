package admin

import (
	"net/http"

	"treadmq/notice"
)

// healthView is what /healthz and /readyz say.
type healthView struct {
	Status  string          `json:"status"`         // "ok" or "not ready"
	Role    string          `json:"role,omitempty"` // of a member of a group, see /api/v1/cluster
	Reasons []notice.Notice `json:"reasons,omitempty"`
	Checks  []checkValue    `json:"checks,omitempty"` // with ?verbose
}

type checkValue struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
}

// healthz says that the process is alive.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) error {
	v := healthView{Status: "ok"}
	if r.URL.Query().Has("verbose") {
		v.Checks = []checkValue{{"process", true}}
	}
	return writeJSON(w, http.StatusOK, v)
}

// readyz says whether clients are taken.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	ready, reasons := s.opt.Ready()
	working := s.b == nil || s.b.StoreStats().Failed == nil
	if !working {
		reasons = append(reasons, notice.English("the store has failed; look at the log and restart the broker"))
	}
	v, status := healthView{Status: "ok"}, http.StatusOK
	if !ready || !working {
		v, status = healthView{Status: "not ready", Reasons: reasons}, http.StatusServiceUnavailable
	}
	if s.opt.Cluster != nil {
		v.Role = s.opt.Info().Role
	}
	if r.URL.Query().Has("verbose") {
		v.Checks = []checkValue{{"clients", ready}, {"store", working}}
	}
	return writeJSON(w, status, v)
}
