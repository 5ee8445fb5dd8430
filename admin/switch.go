package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alexedwards/scs/v2"

	"treadmq/broker"
	"treadmq/notice"
)

// Switch is the console of a member of a replicated group. The broker behind it comes
// with mastership and goes with it; logins and the audit log stay. Without a broker it
// answers what concerns the group and the process, and refuses the rest with 503, in
// words and with the master's address. It is an http.Handler.
type Switch struct {
	opt    Options
	shared *shared
	http   *http.Server
	now    atomic.Pointer[term]

	mu sync.Mutex // guards the change from one term to the next
}

// shared is what a Switch keeps from one Server to the next.
type shared struct {
	ui       *ui
	sessions *scs.SessionManager
	audits   *auditLog
}

// term is the time in which one broker, or none, is behind a Switch.
type term struct {
	*Server
	ctx    context.Context // ends when the term does
	cancel context.CancelFunc

	mu       sync.Mutex // guards what follows
	ended    bool
	requests int
	idle     chan struct{} // closed when it ended and no request is left
}

// retireTime bounds the wait for requests to a broker that goes.
const retireTime = 2 * time.Second

// NewSwitch makes a Switch without a broker. Options.Broker has to be nil.
func NewSwitch(o Options) (*Switch, error) {
	if o.Broker != nil {
		return nil, errors.New("admin: the broker of a Switch comes with SetBroker")
	}
	w := &Switch{opt: o}
	if err := w.change(nil); err != nil {
		return nil, err
	}
	w.http = newHTTPServer(w, w.now.Load().opt.Logger)
	w.http.RegisterOnShutdown(func() { w.now.Load().endStreams() })
	return w, nil
}

// SetBroker puts a broker behind the console, or takes it away with nil. It returns
// when no request uses the one before, or after 2 seconds.
func (w *Switch) SetBroker(b *broker.Broker) error { return w.change(b) }

func (w *Switch) change(b *broker.Broker) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.opt
	o.Broker = b
	s, err := newServer(o, w.shared)
	if err != nil {
		return fmt.Errorf("the console of the new role: %w", err)
	}
	w.shared = s.shared
	t := &term{Server: s, idle: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	if old := w.now.Swap(t); old != nil {
		old.retire()
	}
	return nil
}

// Serve answers requests until Shutdown, then returns nil. l is closed.
func (w *Switch) Serve(l net.Listener) error {
	return serveHTTP(w.http, l, w.now.Load().opt.MaxConnections)
}

// Shutdown ends listeners and measuring and waits for requests until ctx ends,
// which it then cuts off.
func (w *Switch) Shutdown(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, w.http.Close())
	}
	w.now.Load().retire()
	return err
}

// ServeHTTP answers one request.
func (w *Switch) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	for {
		t := w.now.Load()
		if t.enter() {
			leave := sync.OnceFunc(t.leave)
			defer leave()
			ctx, cancel := context.WithCancel(context.WithValue(r.Context(), leaveKey{}, leave))
			defer cancel()
			defer context.AfterFunc(t.ctx, cancel)()
			t.ServeHTTP(rw, r.WithContext(ctx))
			return
		}
		if w.now.Load() == t { // shut down
			http.Error(rw, "The broker is stopping.", http.StatusServiceUnavailable)
			return
		}
	}
}

type leaveKey struct{}

// leaveTerm says that a request does not use the broker any more: the change that it
// asks for may take the broker away.
func leaveTerm(r *http.Request) {
	if leave, ok := r.Context().Value(leaveKey{}).(func()); ok {
		leave()
	}
}

func (t *term) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return false
	}
	t.requests++
	return true
}

func (t *term) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.requests--; t.ended && t.requests == 0 {
		close(t.idle)
	}
}

// retire cuts requests short and ends what runs for the term.
func (t *term) retire() {
	t.mu.Lock()
	first := !t.ended
	t.ended = true
	if first && t.requests == 0 {
		close(t.idle)
	}
	t.mu.Unlock()
	t.endStreams()
	t.cancel()
	t.close()
	patience := time.NewTimer(retireTime)
	defer patience.Stop()
	select {
	case <-t.idle:
	case <-patience.C:
		t.log.Warn("requests of the console go on after their broker went", "after", retireTime)
	}
}

// notMaster words the refusal of what only a master can answer.
func (s *Server) notMaster() error {
	no := func(key, format string, facts ...any) error {
		return refuse(http.StatusServiceUnavailable, broker.CodeNotMaster, key, format, facts...)
	}
	if s.opt.Cluster == nil {
		return no("error.notmaster", "This member of the group is not the master and takes no messages.")
	}
	st := s.opt.Cluster.Status()
	role, m := notice.Notice{Code: "cluster.role." + st.Role, Text: st.Role}, st.master()
	switch {
	case m == nil:
		return no("error.nomaster", "This member of the group is %s and takes no messages. There is no master at the moment.", role)
	case m.Console == "":
		return no("error.master", "This member of the group is %s and takes no messages. The master is %s.", role, m.Name)
	}
	return no("error.masterat", "This member of the group is %s and takes no messages. The master is %s, with its console at %s.", role, m.Name, m.Console)
}

// withoutBroker reports whether a path is answered by a member that is not the master.
func withoutBroker(path string) bool {
	switch path {
	case "/", "/admin", "/admin/", "/healthz", "/readyz", "/metrics", assetPath, "/admin/login", "/admin/theme", "/admin/language", "/admin/logout",
		"/admin/policies", "/admin/users", "/admin/tokens", "/admin/tokens/revoke", "/admin/links", "/admin/links/revoke", linkPath + "{token}", linkPath + "{token}/{of}", "/admin/audit", "/admin/settings",
		"/api/v1/policies", "/api/v1/users", "/api/v1/tokens", "/api/v1/tokens/{id}", "/api/v1/links", "/api/v1/links/{id}", "/api/v1/roles", "/api/v1/config", "/api/v1/audit", "/api/v1/openapi.json", "/api/v1/events",
		"/admin/cluster", "/admin/cluster/handover", "/api/v1/cluster", "/api/v1/cluster/handover", "/api/v1/cluster/voters", "/api/v1/cluster/elect", "/api/v1/cluster/reseed", "":
		return true
	}
	return false
}
