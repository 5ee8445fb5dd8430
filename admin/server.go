package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/prometheus/client_golang/prometheus"

	"treadmq/broker"
)

// Server is the console. It is an http.Handler; Serve runs it on a listener.
type Server struct {
	opt      Options
	b        *broker.Broker
	log      *slog.Logger
	sessions *scs.SessionManager
	ui       *ui
	rates    *sampler
	handler  http.Handler
	http     *http.Server
	metrics  prometheus.Gatherer // of the broker, and of all queues
	perQueue prometheus.Gatherer

	metricsHandler  http.Handler
	perQueueHandler http.Handler

	cross *http.CrossOriginProtection // refuses changes that another site makes a browser send
	rest  *restClients
	sent  *sentKeys

	audits   *auditLog
	shared   *shared
	jobs     *jobs
	streams  chan struct{} // a slot for each stream of events
	shown    chan struct{} // a slot for each of those that were opened by a link
	stopping chan struct{} // closed when Shutdown begins
	endOnce  sync.Once     // guards that
	held     chan struct{} // a slot for each login whose answer is held back
	heavy    chan struct{} // a slot for each request that carries bodies
}

// New makes a Server and starts to measure rates; Shutdown ends that.
func New(o Options) (*Server, error) {
	if o.Broker == nil {
		return nil, errors.New("admin: Options.Broker is required")
	}
	return newServer(o, nil)
}

// newServer makes a Server, without a broker for a member that is not master. What
// is shared comes from the Server before, nil if there is none.
func newServer(o Options, keep *shared) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if keep == nil {
		if keep, err = newShared(&o); err != nil {
			return nil, fmt.Errorf("admin: %w", err)
		}
	}
	s := &Server{opt: o, b: o.Broker, log: o.Logger, shared: keep, ui: keep.ui, sessions: keep.sessions, audits: keep.audits, held: make(chan struct{}, maxHeld), heavy: make(chan struct{}, maxHeavy),
		jobs: newJobs(), rest: newRestClients(), sent: newSentKeys(), streams: make(chan struct{}, maxStreams), shown: make(chan struct{}, maxShown), stopping: make(chan struct{})}
	if s.handler, err = s.protect(s.router()); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if err := s.openMetrics(); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	s.http = newHTTPServer(s, o.Logger)
	s.http.RegisterOnShutdown(s.endStreams)
	if s.b != nil {
		s.rates = newSampler(s.b, o.SampleInterval)
		s.rates.start()
	}
	return s, nil
}

func newShared(o *Options) (*shared, error) {
	u, err := loadUI(o.UI, o.PathPrefix)
	if err != nil {
		return nil, err
	}
	failed := func(w http.ResponseWriter, _ *http.Request, err error) {
		o.Logger.Error("session", "err", err)
		http.Error(w, "The session cannot be read. Try again.", http.StatusInternalServerError)
	}
	return &shared{ui: u, sessions: newSessions(o, failed), audits: &auditLog{}}, nil
}

func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxRequestHeaders,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// Serve answers requests until Shutdown, then returns nil. l is closed.
func (s *Server) Serve(l net.Listener) error {
	return serveHTTP(s.http, l, s.opt.MaxConnections)
}

func serveHTTP(srv *http.Server, l net.Listener, most int) error {
	err := srv.Serve(limitListener(l, most))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the console: %w", err)
}

// Shutdown ends listeners and measuring and waits for requests until ctx ends,
// which it then cuts off.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	s.close()
	return err
}

// close ends what runs beside requests.
func (s *Server) close() {
	s.endStreams()
	s.rest.close()
	s.jobs.close()
	if s.rates != nil {
		s.rates.close()
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	s.handler.ServeHTTP(w, r)
}

const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

var errCrossOrigin = refuse(http.StatusForbidden, "cross-origin", "error.origin",
	"This change came from another origin than the console's and was refused. If a proxy stands in between, let it pass the Host header on with the port, or set console.trustedOrigins.")

// protect puts what holds for every request in front of the router: the path
// prefix, and the refusal of changes that another site makes a browser send.
func (s *Server) protect(next http.Handler) (http.Handler, error) {
	s.cross = http.NewCrossOriginProtection()
	for _, origin := range s.opt.TrustedOrigins {
		if err := s.cross.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("trusted origin: %w", err)
		}
	}
	s.cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.log.Warn("change from another origin refused", "path", r.URL.Path, "origin", r.Header.Get("Origin"), "host", r.Host, "remote", r.RemoteAddr)
		s.fail(w, r, errCrossOrigin)
	}))
	return s.stripPrefix(s.cross.Handler(next)), nil
}

// stripPrefix takes the path prefix off, if the proxy has not.
func (s *Server) stripPrefix(next http.Handler) http.Handler {
	prefix := s.opt.PathPrefix
	if prefix == "" {
		return next
	}
	strip := http.StripPrefix(prefix, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == prefix:
			http.Redirect(w, r, prefix+"/", http.StatusFound)
		case strings.HasPrefix(r.URL.Path, prefix+"/"):
			strip.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// takeHeavy waits for a slot for a request that carries bodies of messages.
func (s *Server) takeHeavy(ctx context.Context) (release func(), err error) {
	select {
	case s.heavy <- struct{}{}:
		return func() { <-s.heavy }, nil
	case <-ctx.Done():
		return nil, refuse(http.StatusServiceUnavailable, "busy", "error.heavy", "Too many requests that carry messages are under way. Try again.")
	}
}
