package admin

import (
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"treadmq/broker"
	"treadmq/broker/stomp/sendheader"
)

// scheduleQuery reads which schedules are meant: from and to (by the next delivery, both
// included), destination, limit, cursor.
func scheduleQuery(v url.Values) (q broker.ScheduleQuery, filtered bool, err error) {
	for _, x := range []struct {
		name string
		at   *time.Time
	}{{"from", &q.From}, {"to", &q.To}} {
		text := v.Get(x.name)
		if text == "" {
			continue
		}
		ms, err := sendheader.Bound(x.name, text)
		if err != nil {
			return q, false, badRequest(err.Error() + ".")
		}
		*x.at, filtered = time.UnixMilli(ms), true
	}
	if text := v.Get("destination"); text != "" {
		if q.Destination = parseReplyTo(text); q.Destination.Kind == 0 {
			return q, false, badRequest("destination is as in SEND, for example /queue/orders.")
		}
		filtered = true
	}
	q.Cursor = v.Get("cursor")
	q.Max, err = limitOf(v)
	return q, filtered, err
}

// schedulePage is one page of the list of schedules. It may have fewer items than were
// asked for, even none, before the end.
type schedulePage struct {
	Items []sendheader.ScheduleView `json:"items"`
	Next  string                    `json:"next"`
	Total int64                     `json:"total"` // of all schedules
}

func (s *Server) apiSchedules(w http.ResponseWriter, r *http.Request) error {
	q, _, err := scheduleQuery(r.URL.Query())
	if err != nil {
		return err
	}
	p, err := s.schedulePage(q)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, p)
}

func (s *Server) schedulePage(q broker.ScheduleQuery) (schedulePage, error) {
	list, next, err := s.b.Schedules(q)
	if err != nil {
		return schedulePage{}, err
	}
	p := schedulePage{Items: []sendheader.ScheduleView{}, Next: next, Total: s.b.ScheduleCount()}
	for i := range list {
		p.Items = append(p.Items, sendheader.NewScheduleView(&list[i], destPath))
	}
	return p, nil
}

// scheduleDetail is one schedule with its message.
type scheduleDetail struct {
	sendheader.ScheduleView
	MessageID  string     `json:"messageId"`
	Timestamp  int64      `json:"timestamp"` // ms since 1970
	Priority   int        `json:"priority"`
	Headers    headerList `json:"headers"`
	Body       *string    `json:"body,omitempty"`
	BodyBase64 []byte     `json:"bodyBase64,omitempty"`
}

func (s *Server) apiSchedule(w http.ResponseWriter, r *http.Request) error {
	id, err := pathName(r)
	if err != nil {
		return err
	}
	body := r.URL.Query().Get("body") == "true"
	info, m, err := s.b.Schedule(id)
	if err != nil {
		return err
	}
	if r = s.narrow(r, info.Destinations...); body && !userOf(r).may(permBody) {
		return s.forbidden(r, permBody)
	}
	v := scheduleDetail{
		ScheduleView: sendheader.NewScheduleView(&info, destPath), MessageID: string(s.b.AppendMessageID(nil, m.ID())),
		Timestamp: m.Timestamp(), Priority: int(m.Priority()),
		Headers: messageHeaders(s.b, &broker.Browsed{Message: m, Dest: m.Destination(), Expiration: m.Expiration(), Persistent: m.Persistent()}),
	}
	if text := string(m.Body()); body && utf8.ValidString(text) {
		v.Body = &text
	} else if body {
		v.BodyBase64 = m.Body()
	}
	return writeJSON(w, http.StatusOK, v)
}

func (s *Server) apiScheduleDelete(w http.ResponseWriter, r *http.Request) error {
	id, err := pathName(r)
	if err != nil {
		return err
	}
	err = s.b.CancelSchedule(id)
	s.audit(r, "cancel schedule", id, err)
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// apiSchedulesDelete removes all schedules that the query chooses. All of them only if it
// says so.
func (s *Server) apiSchedulesDelete(w http.ResponseWriter, r *http.Request) error {
	q, filtered, err := scheduleQuery(r.URL.Query())
	if err != nil {
		return err
	}
	if !filtered && r.URL.Query().Get("all") != "true" {
		return badRequest("Say which schedules by from, to or destination, or all=true.")
	}
	n, err := s.b.CancelSchedules(q)
	s.audit(r, "cancel schedules", r.URL.RawQuery, err, "removed", n)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, removedView{Removed: n})
}

func (s *Server) apiScheduleRun(w http.ResponseWriter, r *http.Request) error {
	id, err := pathName(r)
	if err != nil {
		return err
	}
	err = s.b.RunSchedule(id)
	s.audit(r, "run schedule", id, err)
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
