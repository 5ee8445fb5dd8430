package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"treadmq/broker"
	"treadmq/notice"
)

// httpError is a refusal that is not the broker's.
type httpError struct {
	status int
	code   broker.Code
	detail string
}

func (e *httpError) Error() string { return e.detail }

// worded is a refusal that can be said in other languages.
type worded struct {
	*httpError
	said notice.Notice
}

func (e *worded) Unwrap() error { return e.httpError }

// refuse makes a refusal of a text of the console and of its English format.
func refuse(status int, code broker.Code, key, format string, facts ...any) error {
	n := notice.New(key, format, facts...)
	return &worded{&httpError{status, code, n.Text}, n}
}

// bad is refuse for what was asked wrongly.
func bad(key, format string, facts ...any) error {
	return refuse(http.StatusBadRequest, broker.CodeBadRequest, key, format, facts...)
}

func badRequest(detail string) error {
	return &httpError{http.StatusBadRequest, broker.CodeBadRequest, detail}
}

// problem is the body of an error of the API. RFC 9457.
type problem struct {
	Type   string      `json:"type"`
	Title  string      `json:"title"`
	Status int         `json:"status"`
	Detail string      `json:"detail"`
	Code   broker.Code `json:"code"`

	said notice.Notice // Detail for other languages, if it is worded for them
}

// statusOf is the HTTP status of the broker's kinds of errors.
func statusOf(code broker.Code) int {
	switch code {
	case broker.CodeBadDestination, broker.CodeBadRequest, broker.CodeBadSelector, broker.CodeNotOffered:
		return http.StatusBadRequest
	case broker.CodeNoDestination, broker.CodeNoSubscription, broker.CodeNoTransaction, broker.CodeNoSchedule:
		return http.StatusNotFound
	case broker.CodeNotAuthorized:
		return http.StatusForbidden
	case broker.CodeInUse, broker.CodeLimit:
		return http.StatusConflict
	case broker.CodeFull, broker.CodeNotMaster, broker.CodeClosing:
		return http.StatusServiceUnavailable
	case broker.CodeStoreFull:
		return http.StatusInsufficientStorage
	case broker.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusInternalServerError
}

// problemOf words an error.
func problemOf(err error) problem {
	p := problem{Type: "about:blank", Status: http.StatusInternalServerError, Code: broker.CodeInternal, Detail: err.Error()}
	var own *httpError
	var of *broker.Error
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &own):
		p.Status, p.Code = own.status, own.code
	case errors.As(err, &of):
		p.Status, p.Code = statusOf(of.Code), of.Code
	case errors.As(err, &large):
		p.Status, p.Code = http.StatusRequestEntityTooLarge, broker.CodeTooLarge
		p.said = notice.New("error.large", "The request is larger than this path takes.")
		p.Detail = p.said.Text
	}
	if in := (*worded)(nil); errors.As(err, &in) && in.said.Text == p.Detail {
		p.said = in.said
	}
	p.Title = http.StatusText(p.Status)
	return p
}

// fail answers with an error: problem JSON to programs, a page to people.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError && p.Code == broker.CodeInternal {
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if isAPI(r) {
		writeProblem(w, p)
		return
	}
	s.errorPage(w, r, p)
}

func writeProblem(w http.ResponseWriter, p problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}

// isAPI reports whether a program asks.
func isAPI(r *http.Request) bool {
	path := r.URL.Path
	return strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/metrics") || path == "/healthz" || path == "/readyz"
}

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
	return nil
}
