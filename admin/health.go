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
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"` // of a check that alone makes nothing unready
}

// healthz says that the process is alive.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) error {
	v := healthView{Status: "ok"}
	if r.URL.Query().Has("verbose") {
		v.Checks = []checkValue{{Name: "process", OK: true}}
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
		v.Checks = []checkValue{{Name: "clients", OK: ready}, {Name: "store", OK: working}, s.diskCheck()}
	}
	return writeJSON(w, status, v)
}

// diskCheck says whether persistent messages are taken. A full disk keeps no client away: those that consume make room.
func (s *Server) diskCheck() checkValue {
	if s.b != nil && s.b.StoreStats().Full {
		return checkValue{Name: "disk", Reason: "the disk is full: persistent messages are refused until there is room; consuming goes on"}
	}
	return checkValue{Name: "disk", OK: true}
}
