package admin

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/mux"

	"treadmq/broker"
	"treadmq/notice"
)

// What there is only to look at: who is connected, what the configuration says,
// who may log in, what was done.

// items is a list that comes whole.
type items[T any] struct {
	Items []T `json:"items"`
}

func (c connectionView) sortKey() (name, kind string) { return serialKey(c.Serial), "" }

// serialKey makes numbers sort as text does.
func serialKey(n uint64) string {
	text := strconv.FormatUint(n, 10)
	return strings.Repeat("0", 20-len(text)) + text
}

// connectionPage lists connections; the filter is for user, client, address and id.
func (s *Server) connectionPage(q listQuery) (listPage[connectionView], error) {
	infos := s.b.Connections()
	part := strings.ToLower(q.Filter)
	views := make([]connectionView, 0, len(infos))
	for i := range infos {
		v := connectionViewOf(&infos[i])
		if part == "" || strings.Contains(strings.ToLower(v.User+"\n"+v.Remote+"\n"+v.ClientID+"\n"+v.Protocol), part) {
			views = append(views, v)
		}
	}
	return pageOf(views, q, figures[connectionView]{
		"since":         func(c *connectionView) float64 { return float64(c.Since.UnixMilli()) },
		"sent":          func(c *connectionView) float64 { return float64(c.Sent) },
		"received":      func(c *connectionView) float64 { return float64(c.Received) },
		"subscriptions": func(c *connectionView) float64 { return float64(len(c.Subscriptions)) },
	})
}

func (s *Server) connectionList(v url.Values) (any, error) {
	q, err := parseListQuery(v)
	if err != nil {
		return nil, err
	}
	return s.connectionPage(q)
}

func (s *Server) apiConnections(w http.ResponseWriter, r *http.Request) error {
	return answer(w, r, s.connectionList)
}

// connection is one connection.
func (s *Server) connection(serial uint64) (connectionView, error) {
	for _, i := range s.b.Connections() {
		if i.Serial == serial {
			v := connectionViewOf(&i)
			v.Producers = producerViews(s.b.ProducesTo(serial))
			return v, nil
		}
	}
	return connectionView{}, broker.Errorf(broker.CodeNoDestination, "there is no connection %d; it may have ended by itself", serial)
}

func (s *Server) apiConnection(w http.ResponseWriter, r *http.Request) error {
	serial, err := strconv.ParseUint(mux.Vars(r)["serial"], 10, 64)
	if err != nil {
		return badRequest("A connection has a number.")
	}
	v, err := s.connection(serial)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, v)
}

func (s *Server) apiSubscriptionClose(w http.ResponseWriter, r *http.Request) error {
	conn, err := strconv.ParseUint(mux.Vars(r)["serial"], 10, 64)
	sub, suberr := strconv.ParseUint(mux.Vars(r)["subscription"], 10, 32)
	if err != nil || suberr != nil {
		return badRequest("A connection has a number, and so has a subscription.")
	}
	if err := s.closeSubscription(r, conn, uint32(sub)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s subscriptionView) sortKey() (name, kind string) {
	return serialKey(s.Connection), serialKey(uint64(s.Serial))
}

// consumerList lists the subscriptions of all connections; the filter is for
// destinations and ids.
func (s *Server) consumerList(v url.Values) (any, error) {
	q, err := parseListQuery(v)
	if err != nil {
		return nil, err
	}
	part := strings.ToLower(q.Filter)
	views := []subscriptionView{}
	for _, c := range s.b.Connections() {
		for _, v := range subscriptionViews(c.Subscriptions) {
			if strings.Contains(strings.ToLower(strings.Join(v.Destinations, "\n")+"\n"+v.ID), part) {
				views = append(views, v)
			}
		}
	}
	return pageOf(views, q, figures[subscriptionView]{
		"inFlight":  func(s *subscriptionView) float64 { return float64(s.InFlight) },
		"backlog":   func(s *subscriptionView) float64 { return float64(s.Backlog) },
		"delivered": func(s *subscriptionView) float64 { return float64(s.Delivered) },
		"acked":     func(s *subscriptionView) float64 { return float64(s.Acked) },
	})
}

func (s *Server) apiConsumers(w http.ResponseWriter, r *http.Request) error {
	return answer(w, r, s.consumerList)
}

func (s *Server) rules() []PolicyRule {
	if s.opt.Rules == nil {
		return []PolicyRule{}
	}
	return s.opt.Rules()
}

func (s *Server) settings(d broker.Destination) []PolicySetting {
	if s.opt.Settings == nil {
		return nil
	}
	return s.opt.Settings(d)
}

func (s *Server) apiPolicies(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, items[PolicyRule]{s.rules()})
}

// usersView is the realm as people may see it.
type usersView struct {
	Items    []UserInfo      `json:"items"`
	Problems []notice.Notice `json:"problems"` // lines that cannot be used
}

func (s *Server) users() usersView {
	v := usersView{Items: []UserInfo{}, Problems: []notice.Notice{}}
	if l, ok := s.opt.Auth.(UserLister); ok {
		v.Items = append(v.Items, l.Users()...)
		v.Problems = append(v.Problems, l.Problems()...)
	}
	return v
}

func (s *Server) apiUsers(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, s.users())
}

// roleView is a role and what it may.
type roleView struct {
	Name string   `json:"name"`
	May  []string `json:"may"` // "view", "body", "send", "receive", "manage"
}

func roles() []roleView {
	var list []roleView
	for _, role := range []string{RoleAdmin, RoleUser, RoleViewer} {
		v := roleView{Name: role}
		for _, p := range granted(role) {
			v.May = append(v.May, p.String())
		}
		list = append(list, v)
	}
	return list
}

func (s *Server) apiRoles(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, items[roleView]{roles()})
}

func (s *Server) apiAudit(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r.URL.Query())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, items[auditEntry]{s.audits.latest(limit)})
}

func (s *Server) apiConfig(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, items[ConfigEntry]{s.config()})
}

func (s *Server) config() []ConfigEntry {
	if s.opt.Config == nil {
		return []ConfigEntry{}
	}
	return s.opt.Config()
}

// deadGroup are dead letters of one origin that died for the same reason.
type deadGroup struct {
	Queue    string `json:"queue"`  // where they are
	Origin   string `json:"origin"` // where they were; empty: unknown
	Reason   string `json:"reason"`
	Messages int    `json:"messages"`
	Oldest   int64  `json:"oldest"` // ms since 1970
	Latest   int64  `json:"latest"`
	Cause    string `json:"cause"` // of the latest, in words
	// Consumer is who had the latest last, user and address, as far as it is remembered.
	Consumer string `json:"consumer,omitempty"`
	latest   uint64 // id
}

// deadView is what lies in dead-letter queues.
type deadView struct {
	Items  []deadGroup `json:"items"`
	Looked int         `json:"looked"` // messages looked at
	Total  int64       `json:"total"`  // messages in the queues
}

// maxDeadGroups bounds the groups that are told apart.
const maxDeadGroups = 1000

// deadConsumers is for how many groups the last consumer is looked up.
const deadConsumers = 100

// deadQueues are the queues that dead letters go to, as far as they exist.
func (s *Server) deadQueues() []broker.QueueInfo {
	names := map[string]bool{}
	if s.opt.Policy != nil {
		for _, q := range s.b.Queues(func(d broker.Destination) bool { return d.Kind == broker.Queue }) {
			p := s.opt.Policy(q.Destination)
			names[deadLetterOf(&p.DeadLetter, q.Destination).Queue] = true
		}
	}
	return s.b.Queues(func(d broker.Destination) bool {
		return d.Kind == broker.Queue && (names[d.Name] || d.Name == broker.DefaultPolicy().DeadLetter.Queue || strings.HasPrefix(d.Name, "DLQ."))
	})
}

// dead groups dead letters by queue, origin and reason. It looks at a bounded
// number of messages of each queue.
func (s *Server) dead(r *http.Request) (deadView, error) {
	v := deadView{Items: []deadGroup{}}
	groups := map[[3]string]*deadGroup{}
	for _, q := range s.deadQueues() {
		v.Total += q.Messages
		cursor, more := broker.Cursor{}, q.Messages > 0
		for more && v.Looked < searchMessages && r.Context().Err() == nil {
			var list []broker.Browsed
			var err error
			if list, cursor, more, err = s.b.Browse(q.Destination, cursor, bulkPage, bulkBytes); err != nil {
				return v, err
			}
			for i := range list {
				v.Looked++
				groupDead(groups, &list[i])
			}
		}
	}
	for _, g := range groups {
		v.Items = append(v.Items, *g)
	}
	slices.SortFunc(v.Items, func(a, b deadGroup) int {
		return cmp.Or(-cmp.Compare(a.Messages, b.Messages), strings.Compare(a.Queue, b.Queue), strings.Compare(a.Origin, b.Origin), strings.Compare(a.Reason, b.Reason))
	})
	for i := range v.Items[:min(len(v.Items), deadConsumers)] {
		v.Items[i].Consumer = s.lastConsumer(v.Items[i].latest)
	}
	return v, nil
}

// lastConsumer is who had a message last, as far as it is remembered.
func (s *Server) lastConsumer(id uint64) string {
	for _, e := range slices.Backward(s.b.Noted(id)) {
		if e.Connection != 0 && e.Remote != "" {
			return strings.TrimSpace(e.User + " " + e.Remote)
		}
	}
	return ""
}

func groupDead(groups map[[3]string]*deadGroup, m *broker.Browsed) {
	g := deadGroup{Queue: m.Dest.Name}
	at := m.Message.Timestamp()
	said := "" // by the consumer
	if origin, ok := broker.Origin(m.Overlay); ok {
		g.Origin = origin.Name
	}
	for it := broker.IterProperties(m.Overlay); it.Next(); {
		switch string(it.Name) {
		case broker.PropDeathReason:
			g.Reason = propertyText(&it.Property)
		case broker.PropFailureCause:
			g.Cause = propertyText(&it.Property)
		case broker.PropReason:
			said = propertyText(&it.Property)
		case broker.PropDeathTime:
			if t, err := strconv.ParseInt(propertyText(&it.Property), 10, 64); err == nil {
				at = t
			}
		}
	}
	if said != "" && said != g.Cause {
		g.Cause = strings.TrimPrefix(g.Cause+": "+said, ": ")
	}
	key := [3]string{g.Queue, g.Origin, g.Reason}
	old := groups[key]
	if old == nil {
		if len(groups) >= maxDeadGroups {
			return
		}
		g.Oldest = at
		old = &g
		groups[key] = old
	}
	old.Messages++
	old.Oldest = min(old.Oldest, at)
	if at >= old.Latest {
		old.Latest, old.Cause, old.latest = at, g.Cause, m.Message.ID()
	}
}

func (s *Server) apiDead(w http.ResponseWriter, r *http.Request) error {
	release, err := s.takeHeavy(r.Context())
	if err != nil {
		return err
	}
	defer release()
	v, err := s.dead(r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, v)
}
