package admin

import (
	"net/http"
	"net/url"

	"github.com/gorilla/mux"

	"treadmq/broker"
)

// search is what a browser looks for.
type search struct {
	Selector, Text string
}

func searchOf(v url.Values) search { return search{v.Get("selector"), v.Get("text")} }

// any reports whether there is something to look for.
func (q search) any() bool { return q.Selector != "" || q.Text != "" }

// Bounds of one search: then it answers with what it has, and where to go on.
const (
	searchMessages = 20_000
	searchBytes    = 64 << 20
)

// find returns up to max messages behind a cursor that match.
func (s *Server) find(r *http.Request, d broker.Destination, cursor string, max int, withBody bool, q search) (browsePage, error) {
	if !q.any() {
		return s.browse(d, cursor, max, withBody)
	}
	if q.Text != "" && !userOf(r).may(permBody) {
		return browsePage{}, s.forbidden(r, permBody)
	}
	m, err := s.b.NewMatcher(q.Selector, q.Text)
	if err != nil {
		return browsePage{}, err
	}
	at, err := broker.ParseCursor(cursor)
	if err != nil {
		return browsePage{}, err
	}
	p := browsePage{Items: []messageView{}}
	bytes, room := 0, maxBrowseBytes
	for more := true; more; {
		if p.Looked >= searchMessages || bytes >= searchBytes || r.Context().Err() != nil {
			p.Next = at.String()
			break
		}
		var list []broker.Browsed
		if list, at, more, err = s.b.Browse(d, at, bulkPage, bulkBytes); err != nil {
			return browsePage{}, err
		}
		for i := range list {
			x := &list[i]
			p.Looked++
			bytes += x.Message.Size()
			if !m.Matches(x) {
				continue
			}
			p.Items = append(p.Items, s.messageView(x, withBody))
			room -= x.Message.Size()
			if len(p.Items) == max || room <= 0 {
				if more || i+1 < len(list) {
					p.Next = broker.Cursor{Lane: x.Lane, Seq: x.Seq}.String()
				}
				return p, nil
			}
		}
	}
	return p, nil
}

func (s *Server) apiMessages(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiQueueDest(r)
	if err != nil {
		return err
	}
	return s.apiBrowse(w, r, d)
}

func (s *Server) apiBrowse(w http.ResponseWriter, r *http.Request, d broker.Destination) error {
	r = s.narrow(r, d)
	query := r.URL.Query()
	limit, err := limitOf(query)
	if err != nil {
		return err
	}
	body := query.Get("body") == "true"
	if body && !userOf(r).may(permBody) {
		return s.forbidden(r, permBody)
	}
	release, err := s.takeHeavy(r.Context())
	if err != nil {
		return err
	}
	defer release()
	page, err := s.find(r, d, query.Get("cursor"), limit, body, searchOf(query))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, page)
}

// apiMessage is one message, with its body for those who may see it.
func (s *Server) apiMessage(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiQueueDest(r)
	if err != nil {
		return err
	}
	release, err := s.takeHeavy(r.Context())
	if err != nil {
		return err
	}
	defer release()
	m, err := s.one(d, mux.Vars(r)["at"])
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.messageView(m, userOf(s.narrow(r, d)).may(permBody)))
}

func (s *Server) apiMessageDelete(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiQueueDest(r)
	if err != nil {
		return err
	}
	undo, err := undoable(r)
	if err != nil {
		return err
	}
	t, err := s.deleteMessage(r, d, mux.Vars(r)["at"], undo)
	return answerRemoved(w, t, err)
}

// deleteMessage takes one message away.
func (s *Server) deleteMessage(r *http.Request, d broker.Destination, at string, undo bool) (t *broker.Trashed, err error) {
	defer func() { s.audit(r, "delete", destPath(d), err, "at", at, "undo", t != nil) }()
	c, err := broker.ParseCursor(at)
	if err != nil {
		return nil, err
	}
	var bin *broker.TrashBin
	if undo {
		if bin, err = s.b.OpenBin(d, userOf(r).Name); err != nil {
			return nil, err
		}
	}
	got, err := s.b.Act(d, []broker.Cursor{c}, broker.ActDelete, broker.Destination{}, bin)
	t, closed := bin.Close()
	switch {
	case err != nil:
		return nil, err
	case closed != nil:
		return nil, closed
	case got.InFlight > 0:
		return nil, broker.Errorf(broker.CodeInUse, "a consumer has the message; it can be deleted when it comes back")
	case got.Gone > 0:
		return nil, broker.Errorf(broker.CodeNoDestination, "the message is no longer in the queue: it was consumed, has expired or was removed")
	}
	return t, nil
}
