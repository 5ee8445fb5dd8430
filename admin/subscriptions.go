package admin

import (
	"net/http"
	"net/url"
	"strings"

	"treadmq/broker"
)

// durableView is a durable subscription: a queue, and what feeds it.
type durableView struct {
	queueView
	Topics   []string `json:"topics"` // names and patterns
	Selector string   `json:"selector"`
	NoLocal  bool     `json:"noLocal"`
	ClientID string   `json:"clientId"` // empty: nobody's in particular
}

// durableDetail is one durable subscription with all there is to say about it.
type durableDetail struct {
	durableView
	ConsumersList    []subscriptionView `json:"consumersList"`
	Policy           *policyView        `json:"policy,omitempty"`
	OldestAgeSeconds float64            `json:"oldestAgeSeconds"`
}

func (s *Server) durableView(i *broker.DurableInfo) durableView {
	return durableView{queueView: s.queueView(&i.QueueInfo), Topics: i.Topics, Selector: i.Selector, NoLocal: i.NoLocal, ClientID: i.ClientID}
}

// durableFigures are what a list of durable subscriptions can be sorted by.
func durableFigures() figures[durableView] {
	all := figures[durableView]{}
	for name, figure := range queueFigures() {
		all[name] = func(v *durableView) float64 { return figure(&v.queueView) }
	}
	return all
}

func (s *Server) apiDurables(w http.ResponseWriter, r *http.Request) error {
	return answer(w, r, s.durableList)
}

// durableList is the list of durable subscriptions that a query asks for.
func (s *Server) durableList(v url.Values) (any, error) {
	return listOf(v, s.durablePage, func(x *durableView, p past) { x.History, x.Spark = s.past(p, x.dest, ofMessages) })
}

// durablePage is one page of the list of durable subscriptions.
func (s *Server) durablePage(q listQuery) (listPage[durableView], error) {
	infos := s.b.DurableSubscriptions(q.wants())
	views := make([]durableView, len(infos))
	for i := range infos {
		views[i] = s.durableView(&infos[i])
	}
	return pageOf(views, q, durableFigures())
}

func durableDest(r *http.Request) (broker.Destination, error) {
	name, err := pathName(r)
	return broker.Destination{Kind: broker.DurableSub, Name: name}, err
}

func (s *Server) durableDetail(d broker.Destination, of int) (durableDetail, error) {
	info, err := s.b.DurableSubscription(d.Name)
	if err != nil {
		return durableDetail{}, err
	}
	v := durableDetail{durableView: s.durableView(&info), ConsumersList: subscriptionViews(s.b.Consumers(d)), Policy: s.policyView(d)}
	v.History = s.historyView(s.rates.trace(d, of), of)
	if v.Messages > 0 {
		v.OldestAgeSeconds, err = s.oldestAge(d)
	}
	return v, err
}

func (s *Server) apiDurable(w http.ResponseWriter, r *http.Request) error {
	return answerDetail(w, r, durableDest, s.durableDetail)
}

// newDurable is what a durable subscription is made of.
type newDurable struct {
	Topics   []string `json:"topics"`
	Selector string   `json:"selector"`
	NoLocal  bool     `json:"noLocal"`
	ClientID string   `json:"clientId"`
}

// apiDurableCreate makes a durable subscription, or makes one anew that is of other
// topics or has another selector.
func (s *Server) apiDurableCreate(w http.ResponseWriter, r *http.Request) error {
	d, err := durableDest(r)
	if err != nil {
		return err
	}
	var n newDurable
	if err := readJSON(r, &n); err != nil {
		return err
	}
	_, missing := s.b.DurableSubscription(d.Name)
	if err := s.openDurable(r, d, n); err != nil {
		return err
	}
	info, err := s.b.DurableSubscription(d.Name)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if missing != nil {
		status = http.StatusCreated
	}
	return writeJSON(w, status, s.durableView(&info))
}

func (s *Server) openDurable(r *http.Request, d broker.Destination, n newDurable) error {
	err := s.b.OpenDurable(broker.DurableOptions{Name: d.Name, ClientID: n.ClientID, Topics: n.Topics, Selector: n.Selector, NoLocal: n.NoLocal})
	s.audit(r, "create", destPath(d), err, "topics", n.Topics, "selector", n.Selector)
	return err
}

// durableMake makes a durable subscription from the form of the page, and none anew: that would
// change what another one is for.
func (s *Server) durableMake(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	v := r.PostForm
	d := broker.Destination{Kind: broker.DurableSub, Name: v.Get("name")}
	if _, err := s.b.DurableSubscription(d.Name); err == nil {
		return refuse(http.StatusConflict, "in-use", "error.durable", "There is a durable subscription of that name. Choose another one, or delete it first.")
	}
	n := newDurable{Topics: strings.Fields(v.Get("topics")), Selector: v.Get("selector"), ClientID: v.Get("clientId")}
	if err := s.openDurable(r, d, n); err != nil {
		return err
	}
	s.flash(r, "flash.subscribed")
	http.Redirect(w, r, s.ui.url("/admin/queue", "name", d.Name, "kind", kindName(d.Kind)), http.StatusSeeOther)
	return nil
}

func (s *Server) apiDurableDelete(w http.ResponseWriter, r *http.Request) error {
	d, err := durableDest(r)
	if err != nil {
		return err
	}
	return s.apiDelete(w, r, d)
}

func (s *Server) apiDurablePurge(w http.ResponseWriter, r *http.Request) error {
	d, err := durableDest(r)
	if err != nil {
		return err
	}
	return s.apiPurge(w, r, d)
}

func (s *Server) apiDurableMessages(w http.ResponseWriter, r *http.Request) error {
	d, err := durableDest(r)
	if err != nil {
		return err
	}
	return s.apiBrowse(w, r, d)
}

func (s *Server) apiDurableSend(w http.ResponseWriter, r *http.Request) error {
	d, err := durableDest(r)
	if err != nil {
		return err
	}
	return s.apiSend(w, r, d)
}
