package admin

import (
	"cmp"
	"net"
	"net/http"
	"slices"
	"strings"
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

// Entries that are kept to be shown; the log has all of them. Logins that failed have room of
// their own: whoever guesses passwords pushes no change out.
const (
	maxAudit  = 1000
	maxFailed = 200
	maxWho    = 64 // bytes of the name in a login that failed, which may be anything
)

// auditLog keeps the latest entries.
type auditLog struct {
	mu      sync.Mutex // guards what follows
	n       uint64     // entries ever
	changes latestOf
	failed  latestOf // logins
}

// latestOf are the latest entries, up to a number.
type latestOf struct {
	items []numberedEntry // a ring when it is full
	next  int
}

// numberedEntry has its place among all: clocks may be set back.
type numberedEntry struct {
	auditEntry
	n uint64
}

func (l *latestOf) add(e numberedEntry, most int) {
	if len(l.items) < most {
		l.items = append(l.items, e)
		return
	}
	l.items[l.next] = e
	l.next = (l.next + 1) % most
}

func (l *auditLog) add(e auditEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	if e.Action == "login" && e.Result != "ok" {
		if len(e.User) > maxWho {
			e.User = strings.ToValidUTF8(e.User[:maxWho], "") + "…"
		}
		l.failed.add(numberedEntry{e, l.n}, maxFailed)
		return
	}
	l.changes.add(numberedEntry{e, l.n}, maxAudit)
}

// latest returns up to max entries, the newest first.
func (l *auditLog) latest(max int) []auditEntry {
	l.mu.Lock()
	all := slices.Concat(l.changes.items, l.failed.items)
	l.mu.Unlock()
	slices.SortFunc(all, func(a, b numberedEntry) int { return cmp.Compare(b.n, a.n) })
	list := []auditEntry{}
	for i := range all[:min(max, len(all))] {
		list = append(list, all[i].auditEntry)
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
