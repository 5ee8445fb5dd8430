package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// streamLife ends a stream of events now and then; browsers connect again.
const (
	streamLife  = 10 * time.Minute
	streamWrite = 10 * time.Second // for one event to be taken
	streamPing  = 15 * time.Second // a comment, so that proxies keep the stream
)

// streamed is what can be watched: the same JSON as from its own address.
func (s *Server) streamed(of string) (view func(url.Values) (any, error), ok bool) {
	switch of {
	case "overview":
		return s.overview, true
	case "cluster":
		return func(url.Values) (any, error) { return s.clusterStatus() }, true
	case "queues":
		return s.queueList, true
	case "topics":
		return s.topicList, true
	case "subscriptions":
		return s.durableList, true
	case "queue":
		return func(v url.Values) (any, error) {
			d, err := s.queueDest(v.Get("name"), v.Get("kind"))
			if err != nil {
				return nil, err
			}
			of, err := spanOf(v)
			if err != nil {
				return nil, err
			}
			return s.queueDetail(d, of)
		}, true
	case "connections":
		return s.connectionList, true
	case "consumers":
		return s.consumerList, true
	case "jobs":
		return func(url.Values) (any, error) { return items[jobView]{s.jobList()}, nil }, true
	}
	return nil, false
}

// apiEvents sends what is watched whenever it has changed, as server-sent events.
func (s *Server) apiEvents(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	view, ok := s.streamed(query.Get("of"))
	if ok && s.b == nil && query.Get("of") != "cluster" {
		return s.notMaster()
	}
	if !ok {
		return badRequest("of is cluster, overview, queues, queue, topics, connections, consumers, subscriptions or jobs.")
	}
	return s.stream(w, r, view, func() bool { return s.stillIn(r) })
}

// stream sends what is watched as long as the one who asks may see it.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, view func(url.Values) (any, error), may func() bool) error {
	first, err := view(r.URL.Query())
	if err != nil {
		return err
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return &httpError{http.StatusServiceUnavailable, "busy", "Too many streams of events are open. Ask for the figures now and then instead."}
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	st := stream{w: w, rc: http.NewResponseController(w)}
	if err := st.send(first); err != nil {
		return nil // the client is gone
	}
	s.follow(r, &st, view, may)
	return nil
}

// follow sends until the client, its login or the server ends.
func (s *Server) follow(r *http.Request, st *stream, view func(url.Values) (any, error), may func() bool) {
	tick := time.NewTicker(s.opt.SampleInterval)
	defer tick.Stop()
	end := time.NewTimer(streamLife)
	defer end.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-s.stopping:
			return
		case <-end.C:
			return
		case <-tick.C:
		}
		if !may() {
			return
		}
		v, err := view(r.URL.Query())
		if err != nil || st.send(v) != nil {
			return // it is gone, or the client
		}
	}
}

// stillIn reports whether the session, the user or the token that opened a stream is still good.
func (s *Server) stillIn(r *http.Request) bool {
	if _, _, basic := r.BasicAuth(); basic {
		return s.stillUser(userOf(r))
	}
	if secret, given := bearer(r); given {
		u, ok := s.opt.Tokens.user(secret, s.opt.Now())
		return ok && u.Name == userOf(r).Name && u.may(permView)
	}
	c, err := r.Cookie(s.sessions.Cookie.Name)
	if err != nil {
		return false
	}
	ctx, err := s.sessions.Load(context.Background(), c.Value) // r's own context has the session as it was
	if err != nil {
		return false
	}
	now, err := s.identify(r.WithContext(ctx), permView)
	return err == nil && userOf(now).may(permView) && userOf(now).Name == userOf(r).Name
}

// stillUser reports whether a user is one, with the same password.
func (s *Server) stillUser(u User) bool {
	source, ok := s.opt.Auth.(UserSource)
	if !ok {
		return true
	}
	now, ok := source.Lookup(u.Name)
	return ok && now.Stamp == u.Stamp && now.may(permView)
}

// endStreams is called when the server shuts down.
func (s *Server) endStreams() { s.endOnce.Do(func() { close(s.stopping) }) }

// stream writes events.
type stream struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	last []byte
	sent time.Time
}

// send writes a value if it is another than before.
func (st *stream) send(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	event := append(append([]byte("data: "), data...), "\n\n"...)
	if bytes.Equal(data, st.last) {
		if time.Since(st.sent) < streamPing {
			return nil
		}
		event = []byte(": still here\n\n")
	}
	st.last, st.sent = data, time.Now()
	if err := st.rc.SetWriteDeadline(st.sent.Add(streamWrite)); err != nil {
		return err
	}
	if _, err := st.w.Write(event); err != nil {
		return err
	}
	return st.rc.Flush()
}
