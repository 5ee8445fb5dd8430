package admin

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

// route is one line of the table of everything the console answers.
type route struct {
	method string
	path   string // mux pattern
	need   permission
	handle func(*Server, http.ResponseWriter, *http.Request) error
	large  bool // takes a request of up to Options.MaxBody bytes
}

const assetPath = "/admin/assets/{file}"

// routes is the table. A page is below /admin, the API below /api/v1.
func routes() []route {
	return slices.Concat(pageRoutes(), linkRoutes(), apiRoutes(), activeMQRoutes())
}

// activeMQRoutes are addresses that programs written for ActiveMQ use.
func activeMQRoutes() []route {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	return []route{
		{del, "/api/message/ack/{id}", permReceive, (*Server).restAcknowledge, false},
		{get, restBare, permReceive, (*Server).restReceive, false},
		{post, restBare, permSend, (*Server).restSend, true},
		{del, restBare, permReceive, (*Server).restReceive, false},
		{get, restPath, permReceive, (*Server).restReceive, false},
		{post, restPath, permSend, (*Server).restSend, true},
		{del, restPath, permReceive, (*Server).restReceive, false},
		{get, jolokiaBare, permView, (*Server).jolokiaGet, false},
		{post, jolokiaBare, permView, (*Server).jolokiaPost, false},
		{get, jolokiaPath, permView, (*Server).jolokiaGet, false},
		{post, jolokiaPath, permView, (*Server).jolokiaPost, false},
	}
}

// linkRoutes are the addresses of links: what they hold is the login.
func linkRoutes() []route {
	return []route{
		{http.MethodGet, linkPath + "{token}", permPublic, (*Server).linkPage, false},
		{http.MethodGet, linkPath + "{token}/{of}", permPublic, (*Server).linkLive, false},
	}
}

func pageRoutes() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{get, "/", permPublic, (*Server).toConsole, false},
		{get, "/admin", permPublic, (*Server).toConsole, false},
		{get, "/healthz", permPublic, (*Server).healthz, false},
		{get, "/readyz", permPublic, (*Server).readyz, false},
		{get, "/metrics", permView, (*Server).metricsPage, false},
		{get, "/metrics/per-destination", permView, (*Server).perQueuePage, false},
		{get, assetPath, permPublic, (*Server).asset, false},
		{get, "/admin/login", permPublic, (*Server).loginPage, false},
		{post, "/admin/login", permPublic, (*Server).login, false},
		{post, "/admin/theme", permPublic, (*Server).theme, false},
		{post, "/admin/columns", permView, (*Server).setColumns, false},
		{post, "/admin/language", permPublic, (*Server).setLanguage, false},
		{post, "/admin/logout", permLogin, (*Server).logout, false},

		{get, "/admin/", permView, (*Server).overviewPage, false},
		{get, "/admin/queues", permView, (*Server).queuesPage, false},
		{post, "/admin/queues", permManage, (*Server).queueCreate, false},
		{get, "/admin/queue", permView, (*Server).queuePage, false},
		{get, "/admin/queue/message", permView, (*Server).messagePage, false},
		{get, "/admin/queue/message/body", permBody, (*Server).messageBody, false},
		{get, "/admin/queue/send", permSend, (*Server).queueSendPage, false},
		{post, "/admin/queue/send", permSend, (*Server).queueSend, true},
		{get, "/admin/queue/purge", permManage, (*Server).queuePurgePage, false},
		{post, "/admin/queue/purge", permManage, (*Server).queuePurge, false},
		{get, "/admin/queue/delete", permManage, (*Server).queueDeletePage, false},
		{post, "/admin/queue/delete", permManage, (*Server).queueDelete, false},
		{post, "/admin/queue/act", permManage, (*Server).queueAct, false},
		{post, "/admin/queue/pause", permManage, (*Server).queuePause, false},
		{get, "/admin/subscriptions", permView, (*Server).durablesPage, false},
		{post, "/admin/subscriptions", permManage, (*Server).durableMake, false},
		{post, "/admin/subscriptions/delete", permManage, (*Server).durableRemove, false},
		{get, "/admin/schedules", permView, (*Server).schedulesPage, false},
		{post, "/admin/schedules", permManage, (*Server).scheduleChange, false},
		{post, "/admin/queue/trace", permManage, (*Server).queueTrace, false},
		{get, "/admin/life", permView, (*Server).lifePage, false},
		{get, "/admin/trash", permView, (*Server).trashPage, false},
		{post, "/admin/trash", permManage, (*Server).trashChange, false},
		{get, "/admin/deadletters", permView, (*Server).deadPage, false},
		{get, "/admin/topics", permView, (*Server).topicsPage, false},
		{get, "/admin/topic", permView, (*Server).topicPage, false},
		{get, "/admin/topic/send", permSend, (*Server).topicSendPage, false},
		{post, "/admin/topic/send", permSend, (*Server).topicSend, true},
		{get, "/admin/topic/delete", permManage, (*Server).topicDeletePage, false},
		{post, "/admin/topic/delete", permManage, (*Server).topicDelete, false},
		{get, "/admin/connections", permView, (*Server).connectionsPage, false},
		{get, "/admin/connection", permView, (*Server).connectionPageOne, false},
		{post, "/admin/subscription/close", permManage, (*Server).subscriptionClose, false},
		{get, "/admin/jobs", permView, (*Server).jobsPage, false},
		{post, "/admin/jobs/cancel", permManage, (*Server).jobCancel, false},
		{get, "/admin/cluster", permView, (*Server).clusterPage, false},
		{post, "/admin/cluster/handover", permManage, (*Server).clusterHandover, false},
		{get, "/admin/policies", permView, (*Server).policiesPage, false},
		{post, "/admin/tokens", permManage, (*Server).tokenMake, false},
		{post, "/admin/tokens/revoke", permManage, (*Server).tokenRevoke, false},
		{get, "/admin/links", permShare, (*Server).linksPage, false},
		{post, "/admin/links", permShare, (*Server).linkMake, false},
		{post, "/admin/links/revoke", permShare, (*Server).linkRevoke, false},
		{get, "/admin/users", permManage, (*Server).usersPage, false},
		{get, "/admin/audit", permManage, (*Server).auditPage, false},
		{get, "/admin/settings", permManage, (*Server).settingsPage, false},
		{get, "/admin/connection/close", permManage, (*Server).connectionClosePage, false},
		{post, "/admin/connection/close", permManage, (*Server).connectionClose, false},
	}
}

func apiRoutes() []route {
	const get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	return []route{
		{get, "/api/v1/overview", permView, (*Server).apiOverview, false},
		{get, "/api/v1/queues", permView, (*Server).apiQueues, false},
		{get, "/api/v1/queues/{name}", permView, (*Server).apiQueue, false},
		{put, "/api/v1/queues/{name}", permManage, (*Server).apiQueueCreate, false},
		{del, "/api/v1/queues/{name}", permManage, (*Server).apiQueueDelete, false},
		{post, "/api/v1/queues/{name}/purge", permManage, (*Server).apiQueuePurge, false},
		{get, "/api/v1/queues/{name}/messages", permView, (*Server).apiMessages, false},
		{post, "/api/v1/queues/{name}/messages", permSend, (*Server).apiQueueSend, true},
		{post, "/api/v1/queues/{name}/batch", permSend, (*Server).apiQueueBatch, true},
		{get, "/api/v1/queues/{name}/messages/{at}", permView, (*Server).apiMessage, false},
		{del, "/api/v1/queues/{name}/messages/{at}", permManage, (*Server).apiMessageDelete, false},
		{post, "/api/v1/queues/{name}/actions", permManage, (*Server).apiActions, false},
		{post, "/api/v1/queues/{name}/pause", permManage, (*Server).apiQueuePause, false},
		{post, "/api/v1/queues/{name}/resume", permManage, (*Server).apiQueueResume, false},
		{get, "/api/v1/queues/{name}/messages/{at}/life", permView, (*Server).apiMessageLife, false},
		{post, "/api/v1/queues/{name}/trace", permManage, (*Server).apiQueueTrace, false},
		{get, "/api/v1/life/{message}", permView, (*Server).apiLife, false},
		{get, "/api/v1/trash", permView, (*Server).apiTrash, false},
		{del, "/api/v1/trash/{id}", permManage, (*Server).apiTrashDrop, false},
		{post, "/api/v1/trash/{id}/restore", permManage, (*Server).apiTrashRestore, false},
		{get, "/api/v1/deadletters", permView, (*Server).apiDead, false},
		{get, "/api/v1/topics", permView, (*Server).apiTopics, false},
		{get, "/api/v1/topics/{name}", permView, (*Server).apiTopic, false},
		{del, "/api/v1/topics/{name}", permManage, (*Server).apiTopicDelete, false},
		{post, "/api/v1/topics/{name}/messages", permSend, (*Server).apiTopicSend, true},
		{post, "/api/v1/topics/{name}/batch", permSend, (*Server).apiTopicBatch, true},
		{get, "/api/v1/subscriptions", permView, (*Server).apiDurables, false},
		{get, "/api/v1/subscriptions/{name}", permView, (*Server).apiDurable, false},
		{put, "/api/v1/subscriptions/{name}", permManage, (*Server).apiDurableCreate, false},
		{del, "/api/v1/subscriptions/{name}", permManage, (*Server).apiDurableDelete, false},
		{post, "/api/v1/subscriptions/{name}/purge", permManage, (*Server).apiDurablePurge, false},
		{get, "/api/v1/subscriptions/{name}/messages", permView, (*Server).apiDurableMessages, false},
		{post, "/api/v1/subscriptions/{name}/messages", permSend, (*Server).apiDurableSend, true},
		{get, "/api/v1/schedules", permView, (*Server).apiSchedules, false},
		{del, "/api/v1/schedules", permManage, (*Server).apiSchedulesDelete, false},
		{get, "/api/v1/schedules/{name}", permView, (*Server).apiSchedule, false},
		{del, "/api/v1/schedules/{name}", permManage, (*Server).apiScheduleDelete, false},
		{post, "/api/v1/schedules/{name}/run", permManage, (*Server).apiScheduleRun, false},
		{get, "/api/v1/connections", permView, (*Server).apiConnections, false},
		{get, "/api/v1/connections/{serial}", permView, (*Server).apiConnection, false},
		{del, "/api/v1/connections/{serial}", permManage, (*Server).apiConnectionClose, false},
		{del, "/api/v1/connections/{serial}/subscriptions/{subscription}", permManage, (*Server).apiSubscriptionClose, false},
		{get, "/api/v1/consumers", permView, (*Server).apiConsumers, false},
		{get, "/api/v1/policies", permView, (*Server).apiPolicies, false},
		{get, "/api/v1/tokens", permManage, (*Server).apiTokens, false},
		{post, "/api/v1/tokens", permManage, (*Server).apiTokenMake, false},
		{del, "/api/v1/tokens/{id}", permManage, (*Server).apiTokenRevoke, false},
		{get, "/api/v1/links", permShare, (*Server).apiLinks, false},
		{post, "/api/v1/links", permShare, (*Server).apiLinkMake, false},
		{del, "/api/v1/links", permManage, (*Server).apiLinksRevoke, false},
		{del, "/api/v1/links/{id}", permShare, (*Server).apiLinkRevoke, false},
		{get, "/api/v1/users", permManage, (*Server).apiUsers, false},
		{get, "/api/v1/roles", permView, (*Server).apiRoles, false},
		{get, "/api/v1/config", permManage, (*Server).apiConfig, false},
		{get, "/api/v1/audit", permManage, (*Server).apiAudit, false},
		{get, "/api/v1/jobs", permView, (*Server).apiJobs, false},
		{get, "/api/v1/jobs/{id}", permView, (*Server).apiJob, false},
		{del, "/api/v1/jobs/{id}", permManage, (*Server).apiJobCancel, false},
		{get, "/api/v1/cluster", permView, (*Server).apiCluster, false},
		{post, "/api/v1/cluster/handover", permManage, (*Server).apiClusterHandover, false},
		{post, "/api/v1/cluster/voters", permManage, (*Server).apiClusterVoters, false},
		{post, "/api/v1/cluster/elect", permManage, (*Server).apiClusterElect, false},
		{post, "/api/v1/cluster/reseed", permManage, (*Server).apiClusterReseed, false},
		{get, "/api/v1/events", permView, (*Server).apiEvents, false},
		{get, "/api/v1/openapi.json", permPublic, (*Server).apiDescription, false},
	}
}

// router registers the table. Names of destinations hold any character, so paths
// are matched as they came and never cleaned.
func (s *Server) router() http.Handler {
	m := mux.NewRouter().UseEncodedPath().SkipClean(true)
	for _, rt := range routes() {
		methods := []string{rt.method}
		if rt.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		m.Handle(rt.path, s.serve(rt)).Methods(methods...)
	}
	m.NotFoundHandler = s.serve(route{handle: func(*Server, http.ResponseWriter, *http.Request) error {
		return refuse(http.StatusNotFound, "not-found", "error.nothing", "There is nothing at this address.")
	}})
	m.MethodNotAllowedHandler = s.serve(route{handle: func(_ *Server, w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", strings.Join(methodsAt(m, r), ", "))
		return refuse(http.StatusMethodNotAllowed, "method-not-allowed", "error.method", "This address does not take requests of this method.")
	}})
	return m
}

// methodsAt are the methods that an address takes. RFC 9110, section 15.5.6.
func methodsAt(m *mux.Router, r *http.Request) (list []string) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
		ask := r.Clone(r.Context())
		ask.Method = method
		if match := (mux.RouteMatch{}); m.Match(ask, &match) && match.MatchErr == nil {
			list = append(list, method)
		}
	}
	return list
}

// serve makes a route a handler: it finds out who asks, checks that they may, and
// words errors.
func (s *Server) serve(rt route) http.Handler {
	if rt.path == assetPath { // kept by browsers and proxies: has to do with no session
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := rt.handle(s, w, r); err != nil {
				s.fail(w, r, err)
			}
		})
	}
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := int64(maxFormBody)
		if rt.large {
			limit = s.opt.MaxBody
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		r, err := s.identify(r, rt.need)
		if s.opt.ReadOnly {
			r = readOnly(r)
		}
		if err == nil && !userOf(r).may(rt.need) {
			if userOf(r).Name == "" {
				s.askLogin(w, r)
				return
			}
			err = s.forbidden(r, rt.need)
		}
		if err == nil && s.b == nil && !withoutBroker(rt.path) {
			err = s.notMaster()
		}
		if err == nil {
			err = checkQuery(r)
		}
		if err == nil {
			err = rt.handle(s, w, r)
		}
		if err != nil {
			s.fail(w, r, err)
		}
	})
	saved := s.sessions.LoadAndSave(answer)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isAPI(r) {
			saved.ServeHTTP(w, r)
			return
		}
		// A page's script asks the API every few seconds: that reads the session and
		// does not prolong it.
		token := ""
		if c, err := r.Cookie(s.sessions.Cookie.Name); err == nil {
			token = c.Value
		}
		ctx, err := s.sessions.Load(r.Context(), token)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		answer.ServeHTTP(w, r.WithContext(ctx))
	})
}

// readOnly takes away what changes something. Pages for admins can be looked at.
func readOnly(r *http.Request) *http.Request {
	u := userOf(r)
	u.lacks = append(u.lacks, permSend, permReceive)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		u.lacks = append(u.lacks, permManage)
	}
	return withUser(r, u)
}

// forbidden words the refusal of a user who is logged in.
func (s *Server) forbidden(r *http.Request, need permission) error {
	u := userOf(r)
	no := func(key, format string, facts ...any) error {
		return refuse(http.StatusForbidden, "not-authorized", key, format, facts...)
	}
	err := no("error.admin", "The user %s may not do this: it needs the role admin.", u.Name)
	switch {
	case !u.may(permView):
		err = no("error.norole", "The user %s has no role that the console knows. Give it admin, user or viewer in the realm file.", u.Name)
	case s.opt.ReadOnly && u.granted(need) && need != permBody:
		err = no("error.readonly", "This console is read-only: console.readOnly is set in the configuration.")
	case slices.Contains(u.lacks, need):
		err = no("error.destination", "The user %s may not do this with this destination: the authorization rules of the configuration do not allow it.", u.Name)
	case need == permSend || need == permBody || need == permReceive || need == permShare:
		err = no("error.user", "The user %s may not do this: it needs the role user or admin.", u.Name)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.audit(r, "refused", r.Method+" "+r.URL.Path, err)
	}
	return err
}

// pathName is the destination's name in a path of the API, decoded once.
func pathName(r *http.Request) (string, error) {
	name, err := url.PathUnescape(mux.Vars(r)["name"])
	if err != nil {
		return "", badRequest("The name in the path is not percent-encoded properly.")
	}
	return name, nil
}

type contextKey struct{}

func withUser(r *http.Request, u User) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), contextKey{}, u))
}

// userOf is who asks; without a name nobody is logged in.
func userOf(r *http.Request) User {
	u, _ := r.Context().Value(contextKey{}).(User)
	return u
}
