package admin

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"treadmq/broker"
)

// restAsk is what a GET asks for.
type restAsk struct {
	dest     broker.Destination
	selector string
	wait     time.Duration
	client   string        // clientId, "" = none
	oneShot  bool          // the client's subscription ends with the request
	lease    time.Duration // ack=explicit: how long the message is kept for its acknowledgement; 0 = no lease
}

// Leases of ack=explicit.
const (
	defaultLease = 30 * time.Second
	maxLease     = 10 * time.Minute
)

// readAsk reads the parameters of a GET or a DELETE.
func (s *Server) readAsk(r *http.Request) (a restAsk, err error) {
	v := r.URL.Query()
	if a.dest, err = restDest(r, v); err != nil {
		return a, err
	}
	if err := broker.CheckName(a.dest.Name, true); err != nil {
		return a, err
	}
	a.selector, a.client = r.Header.Get("selector"), v.Get("clientId")
	a.oneShot = strings.EqualFold(v.Get("oneShot"), "true")
	a.wait = maxReadTimeout
	if text := v.Get("readTimeout"); text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return a, badRequest("readTimeout is a number of milliseconds, not " + strconv.Quote(text) + ".")
		}
		if ms >= 0 && ms < maxReadTimeout.Milliseconds() {
			a.wait = time.Duration(ms) * time.Millisecond
		}
	}
	switch v.Get("ack") {
	case "", "auto":
		return a, nil
	case "explicit":
	default:
		return a, badRequest("ack is auto or explicit.")
	}
	if !a.dest.Kind.IsQueue() {
		return a, badRequest("ack=explicit is for queues: a topic keeps nothing to give out again.")
	}
	a.lease, err = leaseOf(v.Get("lease"))
	return a, err
}

func leaseOf(text string) (time.Duration, error) {
	if text == "" {
		return defaultLease, nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms < 1 || ms > maxLease.Milliseconds() {
		return 0, badRequest("lease is a number of milliseconds, at most " + strconv.FormatInt(maxLease.Milliseconds(), 10) + ".")
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// restReceive is GET and DELETE: one message, or 204 when there is none in time.
func (s *Server) restReceive(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodHead {
		return &httpError{http.StatusMethodNotAllowed, "method-not-allowed", "HEAD would take a message that nobody sees."}
	}
	if err := s.sameOrigin(r); err != nil {
		return err
	}
	a, err := s.readAsk(r)
	if err != nil {
		return err
	}
	select {
	case s.rest.waiting <- struct{}{}:
		defer func() { <-s.rest.waiting }()
	default:
		return &httpError{http.StatusServiceUnavailable, "busy", "Too many requests wait for messages. Ask again later, or receive over STOMP."}
	}
	rc, err := s.rest.receiver(s, r, a)
	if r.Context().Err() != nil && rc == nil {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := rc.next(r.Context(), s.stopping, a.wait)
	switch {
	case r.Context().Err() != nil: // nobody is there any more
		rc.done()
		return nil
	case err != nil:
		rc.done()
		return err
	case m == nil:
		rc.done()
		w.WriteHeader(http.StatusNoContent)
		return nil
	case a.lease > 0:
		return s.lend(w, r, rc, m, a.lease)
	}
	return s.hand(w, r, rc, m)
}

// sameOrigin refuses to take a message for a page of another site: a GET of this
// address changes something, unlike all others.
func (s *Server) sameOrigin(r *http.Request) error {
	change := r.Clone(r.Context())
	change.Method = http.MethodPost
	if s.cross.Check(change) != nil {
		return errCrossOrigin
	}
	return nil
}

// hand writes a message and then acknowledges it. What could not be written goes back.
func (s *Server) hand(w http.ResponseWriter, r *http.Request, rc *receiver, m *broker.Delivery) error {
	defer rc.done()
	rc.handing()
	if err := s.writeMessage(w, r, rc.conn, m); err != nil {
		rc.broken()
		s.log.Info("a message was not taken by its HTTP client; it is delivered again", "dest", destPath(m.Dest), "remote", r.RemoteAddr, "err", err)
		return nil
	}
	err := rc.settle(context.WithoutCancel(r.Context()))
	s.audit(r, "receive", destPath(m.Dest), err, "id", string(s.b.AppendMessageID(nil, m.Message.ID())))
	return nil // the answer is out
}

// lend writes a message that stays the client's until it acknowledges or the lease ends.
func (s *Server) lend(w http.ResponseWriter, r *http.Request, rc *receiver, m *broker.Delivery, lease time.Duration) error {
	id, err := s.rest.lend(userOf(r).Name, rc, lease)
	if err != nil {
		rc.done()
		return err
	}
	w.Header().Set("ackId", id)
	if err := s.writeMessage(w, r, rc.conn, m); err != nil {
		if rc := s.rest.take(userOf(r).Name, id); rc != nil {
			rc.done()
		}
	}
	return nil
}

// restAcknowledge is DELETE /api/message/ack/{id}: the client has dealt with its message.
func (s *Server) restAcknowledge(w http.ResponseWriter, r *http.Request) error {
	rc := s.rest.take(userOf(r).Name, mux.Vars(r)["id"])
	if rc == nil {
		return &httpError{http.StatusNotFound, "not-found", "There is no such lease of yours: it was acknowledged, or has ended and the message is delivered again."}
	}
	defer rc.done()
	m := &rc.held[0]
	err := rc.settle(r.Context())
	s.audit(r, "receive", destPath(m.Dest), err, "id", string(s.b.AppendMessageID(nil, m.Message.ID())))
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// writeMessage writes a message as an answer, whole and out of this process.
func (s *Server) writeMessage(w http.ResponseWriter, r *http.Request, conn *broker.Conn, m *broker.Delivery) error {
	body := m.Message.Body()
	h := w.Header()
	s.restHeaders(h, m)
	h.Set("Content-Type", restType(r.URL.Query(), m.Message))
	h.Set("Content-Length", strconv.Itoa(len(body))) // so that the answer is whole before the message is acknowledged
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	rc := http.NewResponseController(w)
	if err := rc.SetWriteDeadline(time.Now().Add(restWrite)); err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	if err := rc.Flush(); err != nil {
		return err
	}
	conn.Written([]broker.Delivery{*m})
	return nil // whether the client has gone by now says nothing: one that has its answer may
}
