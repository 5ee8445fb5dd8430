package admin

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/mux"

	"treadmq/broker"
)

// overview is the broker as a whole, as a query asks for it.
func (s *Server) overview(v url.Values) (any, error) {
	of, err := spanOf(v)
	if err != nil {
		return nil, err
	}
	return s.overviewView(of), nil
}

func (s *Server) apiOverview(w http.ResponseWriter, r *http.Request) error {
	return answer(w, r, s.overview)
}

// answer writes what a query asks for.
func answer(w http.ResponseWriter, r *http.Request, find func(url.Values) (any, error)) error {
	v, err := find(r.URL.Query())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, v)
}

// listOf is the page of a list that a query asks for. tell adds the past of an entry, as far as that was asked for.
func listOf[T sortable](v url.Values, page func(listQuery) (listPage[T], error), tell func(*T, past)) (any, error) {
	q, err := parseListQuery(v)
	if err != nil {
		return nil, err
	}
	past, err := pastOf(v)
	if err != nil {
		return nil, err
	}
	p, err := page(q)
	for i := range p.Items {
		tell(&p.Items[i], past)
	}
	return p, err
}

// answerDetail writes all there is to say about the destination that a request names.
func answerDetail[T any](w http.ResponseWriter, r *http.Request, dest func(*http.Request) (broker.Destination, error), detail func(broker.Destination, int) (T, error)) error {
	d, err := dest(r)
	if err != nil {
		return err
	}
	of, err := spanOf(r.URL.Query())
	if err != nil {
		return err
	}
	v, err := detail(d, of)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, v)
}

func (s *Server) apiQueueSend(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiQueueDest(r)
	if err != nil {
		return err
	}
	return s.apiSend(w, r, d)
}

func (s *Server) apiTopicSend(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiTopicDest(r)
	if err != nil {
		return err
	}
	return s.apiSend(w, r, d)
}

func (s *Server) apiSend(w http.ResponseWriter, r *http.Request, d broker.Destination) error {
	release, err := s.takeHeavy(r.Context())
	if err != nil {
		return err
	}
	defer release()
	var o outgoing
	if err := readJSON(r, &o); err != nil {
		return err
	}
	return s.answerSent(w, r, d, &o, func(r *http.Request) (any, error) {
		id, repeat, err := s.send(r, d, &o)
		return sentView{id, repeat}, err
	})
}

// sentView is the answer to a message that was taken.
type sentView struct {
	ID        string `json:"id"`                  // of the first one, if this was a repeat; "" if that is not known any more
	Duplicate bool   `json:"duplicate,omitempty"` // it was a repeat (x-dedup-id) and was left out
}

// truths are the parameters of the API that are true or false.
var truths = []string{"all", "body", "dry_run", "force", "history", "spark", "undo"}

// checkQuery refuses what cannot be meant: a dry run that is misspelt must not be a real
// one, and of two values one would be ignored.
func checkQuery(r *http.Request) error {
	if r.URL.RawQuery == "" || !strings.HasPrefix(r.URL.Path, "/api/v1/") {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("The parameters cannot be read: " + err.Error() + ".")
	}
	for name, values := range query {
		v := values[0]
		switch {
		case len(values) > 1:
			return badRequest("The parameter " + strconv.Quote(name) + " is given more than once.")
		case name == "limit" && v == "":
			return badRequest("limit is a number.")
		case slices.Contains(truths, name) && v != "" && v != "true" && v != "false":
			return badRequest(name + " is true or false, not " + strconv.Quote(v) + ".")
		}
	}
	return nil
}

// readJSON reads a request's body, an object, strictly.
func readJSON(r *http.Request, v any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return &httpError{http.StatusUnsupportedMediaType, "bad-request", "Send JSON, with Content-Type: application/json."}
	}
	body := bufio.NewReader(r.Body)
	if !beginsObject(body) { // null would count as an object without members
		return badRequest("Send a JSON object.")
	}
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, end := dec.Token(); !errors.Is(end, io.EOF) {
			return badRequest("There is something behind the JSON.")
		}
		return nil
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	return badRequest("The JSON cannot be read: " + err.Error() + ".")
}

// beginsObject looks at the first byte that is no space.
func beginsObject(r *bufio.Reader) bool {
	for {
		b, err := r.ReadByte()
		switch {
		case err != nil:
			return false
		case b == ' ' || b == '\t' || b == '\r' || b == '\n':
			continue
		}
		return r.UnreadByte() == nil && b == '{'
	}
}

func (s *Server) apiConnectionClose(w http.ResponseWriter, r *http.Request) error {
	serial, err := strconv.ParseUint(mux.Vars(r)["serial"], 10, 64)
	if err != nil {
		return badRequest("A connection has a number.")
	}
	if err := s.closeConnection(r, serial, r.URL.Query().Get("reason")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
