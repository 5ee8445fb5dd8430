package admin

import (
	"net"
	"net/http"
)

// audit writes the line that each change leaves: who, what, from where, result.
func (s *Server) audit(r *http.Request, action, target string, err error, more ...any) {
	result := "ok"
	if err != nil {
		result = string(problemOf(err).Code)
	}
	args := append([]any{"user", userOf(r).Name, "action", action, "target", target, "remote", remoteOf(r), "result", result}, more...)
	if err != nil {
		args = append(args, "err", err)
	}
	s.opt.Audit.Info("audit", args...)
}

// remoteOf is the address a request came from, without the port.
func remoteOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
