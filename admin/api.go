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

// queueFigures are what a list of queues can be sorted by.
func queueFigures() figures[queueView] {
	return figures[queueView]{
		"messages":     func(q *queueView) float64 { return float64(q.Messages) },
		"ready":        func(q *queueView) float64 { return float64(q.Ready) },
		"inFlight":     func(q *queueView) float64 { return float64(q.InFlight) },
		"delayed":      func(q *queueView) float64 { return float64(q.Delayed) },
		"bytes":        func(q *queueView) float64 { return float64(q.Bytes) },
		"memoryBytes":  func(q *queueView) float64 { return float64(q.MemoryBytes) },
		"consumers":    func(q *queueView) float64 { return float64(q.Consumers) },
		"producers":    func(q *queueView) float64 { return float64(q.Producers) },
		"parked":       func(q *queueView) float64 { return float64(q.Parked) },
		"enqueued":     func(q *queueView) float64 { return float64(q.Enqueued) },
		"dequeued":     func(q *queueView) float64 { return float64(q.Dequeued) },
		"dispatched":   func(q *queueView) float64 { return float64(q.Dispatched) },
		"redelivered":  func(q *queueView) float64 { return float64(q.Redelivered) },
		"expired":      func(q *queueView) float64 { return float64(q.Expired) },
		"deadLettered": func(q *queueView) float64 { return float64(q.DeadLettered) },
		"duplicates":   func(q *queueView) float64 { return float64(q.Duplicates) },
		"dropped":      func(q *queueView) float64 { return float64(q.Dropped) },
		"rateIn":       func(q *queueView) float64 { return q.RateIn },
		"rateOut":      func(q *queueView) float64 { return q.RateOut },
		"createdAt":    func(q *queueView) float64 { return float64(q.CreatedAt.UnixMilli()) },
	}
}

func topicFigures() figures[topicView] {
	return figures[topicView]{
		"subscribers": func(t *topicView) float64 { return float64(t.Subscribers) },
		"published":   func(t *topicView) float64 { return float64(t.Published) },
		"delivered":   func(t *topicView) float64 { return float64(t.Delivered) },
		"duplicates":  func(t *topicView) float64 { return float64(t.Duplicates) },
		"dropped":     func(t *topicView) float64 { return float64(t.Dropped) },
		"backlog":     func(t *topicView) float64 { return float64(t.Backlog) },
		"rateIn":      func(t *topicView) float64 { return t.RateIn },
		"rateOut":     func(t *topicView) float64 { return t.RateOut },
		"createdAt":   func(t *topicView) float64 { return float64(t.CreatedAt.UnixMilli()) },
	}
}

// queuePageOf is one page of the list of queues. There may be many: only those of the page are looked at closely.
func (s *Server) queuePageOf(q listQuery) (listPage[queueView], error) {
	figure, err := queueFigures().by(&q)
	if err != nil {
		return listPage[queueView]{}, err
	}
	places := make([]place, 0, s.b.QueueCount())
	wanted := q.wants()
	see := func(d broker.Destination, f float64) {
		places = append(places, place{position: position{f, d.Name, kindName(d.Kind)}})
	}
	if figure == nil {
		s.b.EachQueueName(func(d broker.Destination) {
			if wanted(d) {
				see(d, 0)
			}
		})
	} else {
		var v queueView
		s.b.EachQueue(wanted, func(i *broker.QueueInfo) {
			v = s.queueView(i)
			see(i.Destination, figure(&v))
		})
	}
	c, err := cutPage(places, &q)
	if err != nil {
		return listPage[queueView]{}, err
	}
	p := listPage[queueView]{Total: len(places), Items: make([]queueView, 0, len(c.places)), Next: c.next, prev: c.prev, from: c.from}
	for _, x := range c.places {
		d, err := s.queueDest(x.name, x.kind)
		if err != nil {
			return p, err
		}
		if info, err := s.b.Queue(d); err == nil { // else it was deleted meanwhile
			p.Items = append(p.Items, s.queueView(&info))
		}
	}
	return p, nil
}

func (s *Server) topicPageOf(q listQuery) (listPage[topicView], error) {
	infos := s.b.Topics(q.wants())
	views := make([]topicView, len(infos))
	for i := range infos {
		views[i] = s.topicView(&infos[i])
	}
	return pageOf(views, q, topicFigures())
}

// queueList is the list of queues that a query asks for.
func (s *Server) queueList(v url.Values) (any, error) {
	q, err := parseListQuery(v)
	if err != nil {
		return nil, err
	}
	past, err := pastOf(v)
	if err != nil {
		return nil, err
	}
	page, err := s.queuePageOf(q)
	for i := range page.Items {
		x := &page.Items[i]
		x.History, x.Spark = s.past(past, x.dest, ofMessages)
	}
	return page, err
}

func (s *Server) apiQueues(w http.ResponseWriter, r *http.Request) error {
	return answer(w, r, s.queueList)
}

// answer writes what a query asks for.
func answer(w http.ResponseWriter, r *http.Request, find func(url.Values) (any, error)) error {
	v, err := find(r.URL.Query())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, v)
}

// topicList is the list of topics that a query asks for.
func (s *Server) topicList(v url.Values) (any, error) {
	q, err := parseListQuery(v)
	if err != nil {
		return nil, err
	}
	past, err := pastOf(v)
	if err != nil {
		return nil, err
	}
	page, err := s.topicPageOf(q)
	for i := range page.Items {
		x := &page.Items[i]
		x.History, x.Spark = s.past(past, x.dest, ofRateIn)
	}
	return page, err
}

func (s *Server) apiTopics(w http.ResponseWriter, r *http.Request) error {
	return answer(w, r, s.topicList)
}

// apiQueueDest is the queue that a path of the API names.
func (s *Server) apiQueueDest(r *http.Request) (broker.Destination, error) {
	name, err := pathName(r)
	if err != nil {
		return broker.Destination{}, err
	}
	return s.queueDest(name, r.URL.Query().Get("kind"))
}

func (s *Server) apiTopicDest(r *http.Request) (broker.Destination, error) {
	name, err := pathName(r)
	if err != nil {
		return broker.Destination{}, err
	}
	return s.topicDest(name, r.URL.Query().Get("kind"))
}

// queueDetail is all there is to say about a queue.
func (s *Server) queueDetail(d broker.Destination, of int) (queueDetail, error) {
	info, err := s.b.Queue(d)
	if err != nil {
		return queueDetail{}, err
	}
	subs := s.b.Consumers(d)
	v := queueDetail{queueView: s.queueView(&info), ConsumersList: subscriptionViews(subs), ProducersList: producerViews(s.b.Producers(d)), Policy: s.policyView(d), Settings: s.settings(d)}
	v.findings = s.why(&info, subs)
	v.Why = s.ui.whyTexts(fallbackLanguage, v.findings)
	v.History = s.historyView(s.rates.trace(d, of), of)
	if v.Messages > 0 {
		v.OldestAgeSeconds, err = s.oldestAge(d)
	}
	return v, err
}

func (s *Server) apiQueue(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiQueueDest(r)
	if err != nil {
		return err
	}
	of, err := spanOf(r.URL.Query())
	if err != nil {
		return err
	}
	v, err := s.queueDetail(d, of)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, v)
}

func (s *Server) apiQueueCreate(w http.ResponseWriter, r *http.Request) error {
	name, err := pathName(r)
	if err != nil {
		return err
	}
	created, err := s.createQueue(r, name)
	if err != nil {
		return err
	}
	info, err := s.b.Queue(broker.Destination{Kind: broker.Queue, Name: name})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return writeJSON(w, status, s.queueView(&info))
}

func (s *Server) apiQueueDelete(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiQueueDest(r)
	if err != nil {
		return err
	}
	if dryRun(r) {
		return s.apiWouldRemove(w, d, true)
	}
	return s.apiDelete(w, r, d)
}

// apiDelete deletes a queue or a durable subscription. With something to undo the answer says what, else there is none.
func (s *Server) apiDelete(w http.ResponseWriter, r *http.Request, d broker.Destination) error {
	undo, err := undoable(r)
	if err != nil {
		return err
	}
	t, err := s.deleteQueue(r, d, r.URL.Query().Get("force") == "true", undo)
	return answerRemoved(w, t, err)
}

// answerRemoved answers a deletion.
func answerRemoved(w http.ResponseWriter, t *broker.Trashed, err error) error {
	if err != nil {
		return err
	}
	if t != nil {
		return writeJSON(w, http.StatusOK, removedView{Removed: t.Messages, Undo: trashedViewOf(t)})
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) apiQueuePurge(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiQueueDest(r)
	if err != nil {
		return err
	}
	return s.apiPurge(w, r, d)
}

func (s *Server) apiPurge(w http.ResponseWriter, r *http.Request, d broker.Destination) error {
	if dryRun(r) {
		return s.apiWouldRemove(w, d, false)
	}
	undo, err := undoable(r)
	if err != nil {
		return err
	}
	n, t, err := s.purgeQueue(r, d, undo)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, removedView{Removed: n, Undo: trashedViewOf(t)})
}

// removedView says how many messages are gone, or would be.
type removedView struct {
	Removed int64 `json:"removed"`
	DryRun  bool  `json:"dryRun,omitempty"`

	Undo *trashedView `json:"undo,omitempty"` // how to have it back
}

// dryRun reports whether a change is only to be tried.
func dryRun(r *http.Request) bool { return r.URL.Query().Get("dry_run") == "true" }

// apiWouldRemove says what a purge or, with held, a deletion would remove now.
func (s *Server) apiWouldRemove(w http.ResponseWriter, d broker.Destination, held bool) error {
	info, err := s.b.Queue(d)
	if err != nil {
		return err
	}
	n := info.Messages
	if !held {
		n -= info.InFlight
	}
	return writeJSON(w, http.StatusOK, removedView{Removed: n, DryRun: true})
}

// apiQueuePause and apiQueueResume stop and start the deliveries of a queue.
func (s *Server) apiQueuePause(w http.ResponseWriter, r *http.Request) error {
	return s.apiPause(w, r, true)
}

func (s *Server) apiQueueResume(w http.ResponseWriter, r *http.Request) error {
	return s.apiPause(w, r, false)
}

func (s *Server) apiPause(w http.ResponseWriter, r *http.Request, paused bool) error {
	d, err := s.apiQueueDest(r)
	if err != nil {
		return err
	}
	if err := s.pauseQueue(r, d, paused); err != nil {
		return err
	}
	info, err := s.b.Queue(d)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.queueView(&info))
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

func (s *Server) topicDetail(d broker.Destination, of int) (topicDetail, error) {
	info, err := s.topic(d)
	if err != nil {
		return topicDetail{}, err
	}
	v := topicDetail{topicView: s.topicView(&info), SubscribersList: subscriptionViews(s.b.Consumers(d)), ProducersList: producerViews(s.b.Producers(d)), Policy: s.policyView(d)}
	v.History = s.historyView(s.rates.trace(d, of), of)
	return v, nil
}

func (s *Server) apiTopic(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiTopicDest(r)
	if err != nil {
		return err
	}
	of, err := spanOf(r.URL.Query())
	if err != nil {
		return err
	}
	v, err := s.topicDetail(d, of)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, v)
}

func (s *Server) apiTopicDelete(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiTopicDest(r)
	if err != nil {
		return err
	}
	if err := s.deleteTopic(r, d); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
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
