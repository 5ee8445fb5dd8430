package admin

import (
	"net/http"
	"net/url"

	"treadmq/broker"
)

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

func (s *Server) topicPageOf(q listQuery) (listPage[topicView], error) {
	infos := s.b.Topics(q.wants())
	views := make([]topicView, len(infos))
	for i := range infos {
		views[i] = s.topicView(&infos[i])
	}
	return pageOf(views, q, topicFigures())
}

// topicList is the list of topics that a query asks for.
func (s *Server) topicList(v url.Values) (any, error) {
	return listOf(v, s.topicPageOf, func(x *topicView, p past) { x.History, x.Spark = s.past(p, x.dest, ofRateIn) })
}

func (s *Server) apiTopics(w http.ResponseWriter, r *http.Request) error {
	return answer(w, r, s.topicList)
}

func (s *Server) apiTopicDest(r *http.Request) (broker.Destination, error) {
	name, err := pathName(r)
	if err != nil {
		return broker.Destination{}, err
	}
	return s.topicDest(name, r.URL.Query().Get("kind"))
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
	return answerDetail(w, r, s.apiTopicDest, s.topicDetail)
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
