package admin

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// auditEntry is one change, or one that was refused.
type auditEntry struct {
	Time   time.Time `json:"time"`
	User   string    `json:"user"`
	Action string    `json:"action"`
	Target string    `json:"target"`
	Remote string    `json:"remote"`
	Result string    `json:"result"` // "ok" or the code of the error
	Detail string    `json:"detail,omitempty"`

	problem *problem // the same, for pages
}

// Problem is what went wrong, nil if nothing did.
func (e *auditEntry) Problem() *problem { return e.problem }

// maxAudit entries are kept to be shown; the log has all of them.
const maxAudit = 1000

// auditLog keeps the latest entries.
type auditLog struct {
	mu    sync.Mutex // guards what follows
	items [maxAudit]auditEntry
	n     int // entries ever
}

func (l *auditLog) add(e auditEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.items[l.n%maxAudit] = e
	l.n++
}

// latest returns up to max entries, the newest first.
func (l *auditLog) latest(max int) []auditEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := []auditEntry{}
	for i := l.n - 1; i >= 0 && i >= l.n-maxAudit && len(list) < max; i-- {
		list = append(list, l.items[i%maxAudit])
	}
	return list
}

// audit writes the line that each change leaves: who, what, from where, result.
func (s *Server) audit(r *http.Request, action, target string, err error, more ...any) {
	s.auditAs(userOf(r).Name, remoteOf(r), action, target, err, more...)
}

// auditAs is audit for what goes on when the request has ended.
func (s *Server) auditAs(user, remote, action, target string, err error, more ...any) {
	e := auditEntry{Time: s.opt.Now().UTC(), User: user, Action: action, Target: target, Remote: remote, Result: "ok"}
	if err != nil {
		p := problemOf(err)
		e.Result, e.Detail, e.problem = string(p.Code), err.Error(), &p
	}
	args := append([]any{"user", user, "action", action, "target", target, "remote", remote, "result", e.Result}, more...)
	if err != nil {
		args = append(args, "err", err)
	}
	s.audits.add(e)
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
