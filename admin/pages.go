package admin

import (
	"html/template"
	"net/http"
	"strconv"

	"treadmq/broker"
)

func (s *Server) overviewPage(w http.ResponseWriter, r *http.Request) error {
	if s.b == nil { // not master: the group is what there is to see
		http.Redirect(w, r, s.ui.url("/admin/cluster"), http.StatusSeeOther)
		return nil
	}
	of, err := spanOf(r.URL.Query())
	if err != nil {
		return err
	}
	data := overviewData{overviewView: s.overviewView(of), Trashed: len(s.b.Trash()), LiveURL: s.ui.url("/api/v1/overview", "range", spans[of].name), Ranges: s.rangeLinks(of, s.own(r, "/admin/"))}
	data.Depth, data.Rates = depthChart(data.History, of), rateChart(data.History, of)
	data.Attention, data.Still = s.needAttention()
	return s.render(w, r, http.StatusOK, "overview", "overview.title", data)
}

// listData is a page of a list of destinations.
type listData[T sortable] struct {
	listPage[T]
	Query   listQuery
	From    int // number of the first item, from 1
	To      int
	Columns []columnChoice // of a list that lets them be chosen
	Rows    []row[T]
	path    string
	own     func(query ...string) string // makes addresses of the page
	ui      *ui
}

// SortURL is where the head of a column leads to: the same list sorted by it, the
// other way round if it is already.
func (d listData[T]) SortURL(by string) string {
	q := d.Query
	q.Desc = by != "name"
	if q.Sort == by {
		q.Desc = !d.Query.Desc
	}
	q.Sort, q.Cursor = by, ""
	return d.own(q.values()...)
}

// Sorted is "ascending", "descending" or "none", for the head of a column.
func (d listData[T]) Sorted(by string) string {
	switch {
	case d.Query.Sort != by:
		return "none"
	case d.Query.Desc:
		return "descending"
	}
	return "ascending"
}

// NextURL leads to the next page, "" if there is none.
func (d listData[T]) NextURL() string { return d.at(d.Next, d.Next != "") }

// PrevURL leads to the page before.
func (d listData[T]) PrevURL() string { return d.at(d.prev, d.from > 0) }

// LiveURL is where the page's script gets fresh figures.
func (d listData[T]) LiveURL() string {
	query := d.Query.values()
	if d.path != "/admin/connections" {
		query = append(query, "spark", "true")
	}
	return d.ui.url("/api/v1"+d.path[len("/admin"):], query...)
}

func (d listData[T]) at(cursor string, exists bool) string {
	if !exists {
		return ""
	}
	q := d.Query
	q.Cursor = cursor
	return d.own(q.values()...)
}

func newListData[T sortable](s *Server, r *http.Request, path string, q listQuery, p listPage[T]) listData[T] {
	return listData[T]{listPage: p, Query: q, From: p.from + 1, To: p.from + len(p.Items), path: path, own: s.own(r, path), ui: s.ui}
}

func (s *Server) queuesPage(w http.ResponseWriter, r *http.Request) error {
	q, err := parseListQuery(r.URL.Query())
	if err != nil {
		return err
	}
	list, err := s.queuePageOf(q)
	if err != nil {
		return err
	}
	data := newListData(s, r, "/admin/queues", q, list)
	data.Columns = columnsOf(r, "queues")
	data.Rows = rows(data.Columns, list.Items, queueFigures(), s.ui.queueRow(s.texts(r)), func(v *queueView) []int { return s.rates.spark(v.dest, ofMessages) }, s.texts(r))
	return s.render(w, r, http.StatusOK, "queues", "queues.title", data)
}

func (s *Server) topicsPage(w http.ResponseWriter, r *http.Request) error {
	q, err := parseListQuery(r.URL.Query())
	if err != nil {
		return err
	}
	list, err := s.topicPageOf(q)
	if err != nil {
		return err
	}
	data := newListData(s, r, "/admin/topics", q, list)
	data.Columns = columnsOf(r, "topics")
	data.Rows = rows(data.Columns, list.Items, topicFigures(), nil, func(v *topicView) []int { return s.rates.spark(v.dest, ofRateIn) }, s.texts(r))
	return s.render(w, r, http.StatusOK, "topics", "topics.title", data)
}

func (s *Server) queueCreate(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	name := r.PostForm.Get("name")
	if _, err := s.createQueue(r, name); err != nil {
		return err
	}
	s.flash(r, "flash.created")
	http.Redirect(w, r, s.ui.url("/admin/queue", "name", name), http.StatusSeeOther)
	return nil
}

// pageQueue is the queue that the address of a page names. Names are in the query:
// a browser would rewrite a path with "..".
func (s *Server) pageQueue(r *http.Request) (broker.Destination, error) {
	v := r.URL.Query()
	return s.queueDest(v.Get("name"), v.Get("kind"))
}

func (s *Server) pageTopic(r *http.Request) (broker.Destination, error) {
	v := r.URL.Query()
	return s.topicDest(v.Get("name"), v.Get("kind"))
}

// pageMessages is how many messages a page of a browser shows.
const pageMessages = 50

// previewBytes of a body are shown in a list of messages.
const previewBytes = 120

type queueData struct {
	Queue    queueDetail
	Messages template.HTML // their rows
	Next     string
	Cursor   string
	LiveURL  string
	Search   search
	Looked   int
	Why      []finding
	Depth    chart
	Rates    chart
	Ranges   []rangeLink
}

func (s *Server) queuePage(w http.ResponseWriter, r *http.Request) error {
	d, err := s.pageQueue(r)
	if err != nil {
		return err
	}
	release, err := s.takeHeavy(r.Context())
	if err != nil {
		return err
	}
	defer release()
	of, err := spanOf(r.URL.Query())
	if err != nil {
		return err
	}
	detail, err := s.queueDetail(d, of)
	if err != nil {
		return err
	}
	r = s.narrow(r, d)
	cursor := r.URL.Query().Get("cursor")
	q := searchOf(r.URL.Query())
	list, err := s.find(r, d, cursor, pageMessages, userOf(r).may(permBody), q)
	if err != nil {
		return err
	}
	data := queueData{
		Queue: detail, Next: list.Next, Cursor: cursor, LiveURL: s.liveURL("/api/v1/queues", d, of), Search: q, Looked: list.Looked, Why: detail.findings,
		Depth: depthChart(detail.History, of), Rates: rateChart(detail.History, of), Ranges: s.rangeLinks(of, s.own(r, "/admin/queue"), "name", d.Name, "kind", kindName(d.Kind)),
	}
	u, lang := userOf(r), s.ui.language(r)
	table := messageTable{ui: s.ui, of: d, ticks: u.may(permManage) && !s.opt.ReadOnly, bodies: u.may(permBody), text: s.texts(r),
		reason: func(code string) string { return s.ui.reasonIn(lang, code) }}
	data.Messages = table.rows(list.Items)
	return s.render(w, r, http.StatusOK, "queue", "queue.title", data)
}

func (s *Server) liveURL(path string, d broker.Destination, of int) string {
	if d.Kind == broker.DurableSub {
		path = "/api/v1/subscriptions"
	}
	return s.ui.url(path, "name", d.Name, "history", "true", "range", spans[of].name)
}

type topicData struct {
	Topic   topicDetail
	LiveURL string
	Rates   chart
	Ranges  []rangeLink
}

func (s *Server) topicPage(w http.ResponseWriter, r *http.Request) error {
	d, err := s.pageTopic(r)
	if err != nil {
		return err
	}
	of, err := spanOf(r.URL.Query())
	if err != nil {
		return err
	}
	detail, err := s.topicDetail(d, of)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "topic", "topic.title", topicData{detail, s.liveURL("/api/v1/topics", d, of), rateChart(detail.History, of),
		s.rangeLinks(of, s.own(r, "/admin/topic"), "name", d.Name, "kind", kindName(d.Kind))})
}

func (s *Server) connectionsPage(w http.ResponseWriter, r *http.Request) error {
	q, err := parseListQuery(r.URL.Query())
	if err != nil {
		return err
	}
	list, err := s.connectionPage(q)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "connections", "connections.title", newListData(s, r, "/admin/connections", q, list))
}

type closeData struct {
	Connection connectionView
}

func (s *Server) connectionClosePage(w http.ResponseWriter, r *http.Request) error {
	serial, err := strconv.ParseUint(r.URL.Query().Get("serial"), 10, 64)
	if err != nil {
		return bad("error.connection", "A connection has a number.")
	}
	c, err := s.connection(serial)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "close", "close.title", closeData{c})
}

func (s *Server) connectionClose(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	serial, err := strconv.ParseUint(r.PostForm.Get("serial"), 10, 64)
	if err != nil {
		return bad("error.connection", "A connection has a number.")
	}
	if err := s.closeConnection(r, serial, r.PostForm.Get("reason")); err != nil {
		return err
	}
	s.flash(r, "flash.closed", serial)
	http.Redirect(w, r, s.ui.url("/admin/connections"), http.StatusSeeOther)
	return nil
}
