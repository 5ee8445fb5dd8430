package admin

import (
	"net/http"
	"net/url"

	"treadmq/broker"
)

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

// queueList is the list of queues that a query asks for.
func (s *Server) queueList(v url.Values) (any, error) {
	return listOf(v, s.queuePageOf, func(x *queueView, p past) { x.History, x.Spark = s.past(p, x.dest, ofMessages) })
}

func (s *Server) apiQueues(w http.ResponseWriter, r *http.Request) error {
	return answer(w, r, s.queueList)
}

// apiQueueDest is the queue that a path of the API names.
func (s *Server) apiQueueDest(r *http.Request) (broker.Destination, error) {
	name, err := pathName(r)
	if err != nil {
		return broker.Destination{}, err
	}
	return s.queueDest(name, r.URL.Query().Get("kind"))
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
	return answerDetail(w, r, s.apiQueueDest, s.queueDetail)
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
