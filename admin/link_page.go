package admin

import (
	"context"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"treadmq/broker"
)

// linkPath is where links are.
const linkPath = "/admin/link/"

// linkable are the pages that a link can show, and what of /api/v1/events keeps each fresh.
// Those of one destination follow a list that has only that one.
var linkable = map[string]string{
	"/admin/": "overview", "/admin/queues": "queues", "/admin/queue": "queues", "/admin/queue/message": "", "/admin/subscriptions": "subscriptions",
	"/admin/schedules": "", "/admin/life": "", "/admin/trash": "", "/admin/deadletters": "", "/admin/topics": "topics", "/admin/topic": "topics",
	"/admin/connections": "connections", "/admin/connection": "", "/admin/jobs": "jobs", "/admin/cluster": "cluster", "/admin/policies": "",
}

// linkablePages are their paths.
func linkablePages() []string { return slices.Sorted(maps.Keys(linkable)) }

// linkUse is the link by which a page is looked at.
type linkUse struct {
	linkView
	path string // the link's own, without the prefix
	of   string // what keeps the page fresh, or ""
	page *url.URL
	free []string // parameters that may be chosen
}

type linkKey struct{}

// linkOf is the link by which somebody asks, nil if there is none.
func linkOf(r *http.Request) *linkUse {
	u, _ := r.Context().Value(linkKey{}).(*linkUse)
	return u
}

// One answer for all that is wrong: who guesses learns nothing.
var errBadLink = refuse(http.StatusNotFound, "not-found", "error.link",
	"This link is not good, or not any more: it has expired, was revoked, or who made it has another password or may not do so now. Ask for a new one.")

// openLink turns a request for a link into one for its page, in the name of its maker, who may
// do nothing but look.
func (s *Server) openLink(r *http.Request) (*http.Request, *linkUse, error) {
	token := mux.Vars(r)["token"]
	x, ok := s.opt.Links.find(token, s.opt.Now())
	if !ok {
		return r, nil, errBadLink
	}
	u, ok := s.linkMaker(&x)
	if !ok {
		return r, nil, errBadLink
	}
	page, err := url.Parse(x.Page)
	of, known := linkable[page.Path]
	if err != nil || !known {
		return r, nil, errBadLink
	}
	u.lacks = append(u.lacks, permSend, permReceive, permManage, permShare)
	if !x.Bodies {
		u.lacks = append(u.lacks, permBody)
	}
	if of == "queues" && page.Query().Get("kind") == kindName(broker.DurableSub) {
		of = "subscriptions"
	}
	use := &linkUse{linkView: x.linkView, path: linkPath + token, of: of, page: page, free: mayChoose(&x.linkView, page)}
	page = use.choose(r.URL.Query())
	use.page = page
	in := r.Clone(context.WithValue(r.Context(), linkKey{}, use))
	in.URL.Path, in.URL.RawPath, in.URL.RawQuery = page.Path, "", page.RawQuery
	return withUser(in, u), use, nil
}

// linkMaker is who made a link, if they may still do so.
func (s *Server) linkMaker(x *storedLink) (User, bool) {
	source, ok := s.opt.Auth.(UserSource)
	if !ok {
		return User{}, false
	}
	u, ok := source.Lookup(x.CreatedBy)
	return u, ok && u.may(permShare) && s.opt.Links.sameStamp(x, u.Stamp)
}

// linkPage shows the page of a link.
func (s *Server) linkPage(w http.ResponseWriter, r *http.Request) error {
	in, use, err := s.openLink(r)
	if err != nil {
		return err
	}
	w.Header().Set("Referrer-Policy", "no-referrer") // the address is all that it takes
	w.Header().Set("X-Robots-Tag", "noindex")
	if s.opt.Links.note(use.ID, remoteOf(r), s.opt.Now()) {
		s.auditAs("link:"+use.ID, remoteOf(r), "use-link", use.Page, nil, "by", use.CreatedBy)
	}
	if s.b == nil && (use.page.Path == "/admin/" || !withoutBroker(use.page.Path)) {
		err = s.notMaster()
	} else {
		err = pageHandler(use.page.Path)(s, w, in)
	}
	if err != nil {
		s.fail(w, in, err)
	}
	return nil
}

// pageHandler is what makes a page.
func pageHandler(path string) func(*Server, http.ResponseWriter, *http.Request) error {
	list := pageRoutes()
	i := slices.IndexFunc(list, func(rt route) bool { return rt.method == http.MethodGet && rt.path == path })
	return list[i].handle // a test asks for all of them
}

// linkLive answers the script of a link's page with fresh figures: those of the page, whatever
// is asked for.
func (s *Server) linkLive(w http.ResponseWriter, r *http.Request) error {
	in, use, err := s.openLink(r)
	if err != nil {
		return err
	}
	view, ok := s.streamed(use.of)
	if !ok || (mux.Vars(r)["of"] != use.of && mux.Vars(r)["of"] != "events") {
		return errBadLink
	}
	if s.b == nil && use.of != "cluster" {
		return s.notMaster()
	}
	query := use.fresh()
	in.URL.RawQuery = query.Encode()
	if mux.Vars(r)["of"] == "events" {
		select { // those who log in keep most of the streams
		case s.shown <- struct{}{}:
			defer func() { <-s.shown }()
		default:
			return &httpError{http.StatusServiceUnavailable, "busy", "Too many pages are looked at by links. The figures are asked for now and then instead."}
		}
		return s.stream(w, in, view, func() bool {
			_, _, err := s.openLink(r)
			return err == nil
		})
	}
	v, err := view(query)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, v)
}

// fresh are the parameters of what keeps the page fresh, as its script would send them.
func (u *linkUse) fresh() url.Values {
	query := u.page.Query()
	switch u.page.Path {
	case "/admin/queue", "/admin/topic":
		query = url.Values{"name": {query.Get("name")}, "history": {"true"}, "range": {query.Get("range")}}
	case "/admin/queues", "/admin/topics", "/admin/subscriptions":
		query.Set("spark", "true")
	}
	return query
}

var liveAttribute = regexp.MustCompile(` data-live="[^"]*"`)

// liveByLink sends the script of a page to the link instead of the API.
func (s *Server) liveByLink(use *linkUse, content []byte) []byte {
	own := ""
	if use.of != "" {
		own = ` data-live="` + html.EscapeString(s.ui.url(use.path+"/"+use.of, use.chosen()...)) + `"`
	}
	return liveAttribute.ReplaceAllLiteral(content, []byte(own))
}

// linkedPage is the page that somebody wants a link to, in the form in which it is kept.
func (s *Server) linkedPage(text string) (string, error) {
	page, err := url.Parse(text)
	wrong := bad("error.linkpage", "page is the address of a page that can be shown by a link: %s, with its query.", strings.Join(linkablePages(), ", "))
	if err != nil || len(text) > maxLinkPage || page.Host != "" || page.Scheme != "" || page.Opaque != "" {
		return "", wrong
	}
	path := page.Path
	if _, known := linkable[path]; !known {
		path = strings.TrimPrefix(path, s.opt.PathPrefix)
	}
	if _, known := linkable[path]; !known {
		return "", wrong
	}
	query, err := url.ParseQuery(page.RawQuery)
	if err != nil {
		return "", wrong
	}
	return (&url.URL{Path: path, RawQuery: query.Encode()}).String(), nil
}
