package admin

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"treadmq/broker"
	"treadmq/notice"
)

// lifeEventView is one thing that happened to a message, or how it is now.
type lifeEventView struct {
	At           *time.Time `json:"at,omitempty"`         // not there: not known when
	What         string     `json:"what"`                 // "received", "stored", "delivered", "rejected" and so on
	Destination  string     `json:"destination"`          // as STOMP clients name it
	To           string     `json:"to,omitempty"`         // where it went
	Connection   uint64     `json:"connection,omitempty"` // whose doing it was
	Remote       string     `json:"remote,omitempty"`
	User         string     `json:"user,omitempty"`
	Subscription uint32     `json:"subscription,omitempty"`
	Detail       string     `json:"detail,omitempty"` // in words

	said notice.Notice // the same, for pages
}

// lifeView is what is known of a message.
type lifeView struct {
	ID     string          `json:"id"`
	Events []lifeEventView `json:"events"` // oldest first; the last one of a message that is in a queue says how it is now
}

func (s *Server) lifeView(id uint64, list []broker.LifeEvent) lifeView {
	v := lifeView{ID: string(s.b.AppendMessageID(nil, id)), Events: []lifeEventView{}}
	for _, e := range list {
		x := lifeEventView{What: string(e.Kind), Connection: e.Connection, Remote: e.Remote, User: e.User, Subscription: e.Subscription, Detail: e.Detail}
		if !e.At.IsZero() {
			at := e.At.UTC()
			x.At = &at
		}
		if e.Dest.Kind != 0 {
			x.Destination = destPath(e.Dest)
		}
		if e.To.Kind != 0 {
			x.To = destPath(e.To)
		}
		x.said = causeOf(e.Detail)
		if e.Position != 0 {
			x.said = s.whereStored(e.Position)
			x.Detail = x.said.Text
		}
		v.Events = append(v.Events, x)
	}
	return v
}

// Said is the detail for a page.
func (e *lifeEventView) Said() notice.Notice { return e.said }

func (s *Server) whereStored(pos uint64) notice.Notice {
	if s.opt.Cluster != nil {
		return notice.New("life.at.quorum", "journal position %d, on a quorum of the group", pos)
	}
	return notice.New("life.at", "journal position %d", pos)
}

// messageLife is what is known of a message in a queue.
func (s *Server) messageLife(m *broker.Browsed, d broker.Destination) (lifeView, error) {
	list, err := s.b.Life(m, d)
	return s.lifeView(m.Message.ID(), list), err
}

func (s *Server) apiMessageLife(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiQueueDest(r)
	if err != nil {
		return err
	}
	m, err := s.one(d, mux.Vars(r)["at"])
	if err != nil {
		return err
	}
	v, err := s.messageLife(m, d)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, v)
}

// noted is what was noted of a message by its id, wherever it is or was.
func (s *Server) noted(text string) (lifeView, error) {
	id, ok := s.b.ParseMessageID([]byte(text))
	if !ok {
		return lifeView{}, bad("error.messageid", "%q is not the id of a message of this broker, as in the header message-id.", text)
	}
	return s.lifeView(id, s.b.Noted(id)), nil
}

func (s *Server) apiLife(w http.ResponseWriter, r *http.Request) error {
	id, err := url.PathUnescape(mux.Vars(r)["message"])
	if err != nil {
		return badRequest("The id in the path is not percent-encoded properly.")
	}
	v, err := s.noted(id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, v)
}

// defaultTrace is for how long a queue is traced unless something else is asked for.
const defaultTrace = 5 * time.Minute

func (s *Server) apiQueueTrace(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiQueueDest(r)
	if err != nil {
		return err
	}
	span := defaultTrace
	if text := r.URL.Query().Get("seconds"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return badRequest("seconds is a whole number; 0 ends it.")
		}
		span = time.Duration(n) * time.Second
	}
	if err := s.traceQueue(r, d, span); err != nil {
		return err
	}
	info, err := s.b.Queue(d)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.queueView(&info))
}

func (s *Server) traceQueue(r *http.Request, d broker.Destination, span time.Duration) error {
	err := s.b.Trace(d, span)
	s.audit(r, "trace", destPath(d), err, "for", span)
	return err
}

// queueTrace begins to trace a queue, or ends it.
func (s *Server) queueTrace(w http.ResponseWriter, r *http.Request) error {
	d, err := s.pageQueue(r)
	if err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	span, key := defaultTrace, "flash.traced"
	if r.PostForm.Get("off") == "true" {
		span, key = 0, "flash.untraced"
	}
	if err := s.traceQueue(r, d, span); err != nil {
		return err
	}
	s.flash(r, key)
	http.Redirect(w, r, s.ui.url("/admin/queue", "name", d.Name, "kind", kindName(d.Kind)), http.StatusSeeOther)
	return nil
}

// lifeData is the page that looks a message up by its id.
type lifeData struct {
	ID    string
	Life  lifeView
	Error *problem
}

func (s *Server) lifePage(w http.ResponseWriter, r *http.Request) error {
	data := lifeData{ID: r.URL.Query().Get("id")}
	status := http.StatusOK
	if data.ID != "" {
		var err error
		if data.Life, err = s.noted(data.ID); err != nil {
			p := problemOf(err)
			data.Error, status = &p, cmp.Or(p.Status, http.StatusBadRequest)
		}
	}
	return s.render(w, r, status, "life", "life.title", data)
}
