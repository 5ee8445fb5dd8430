package admin

import (
	"net/http"
	"net/url"
	"slices"
)

// free are the parameters of a page that whoever looks at it by a link may choose: they turn the page
// over, sort it and look closer at what it shows, and never name another thing to show.
var free = map[string][]string{
	"/admin/": {"range"}, "/admin/queue": {"range", "cursor", "selector", "text"}, "/admin/topic": {"range"}, "/admin/queue/message": {"view", "all"},
	"/admin/queues": lists, "/admin/topics": lists, "/admin/subscriptions": lists, "/admin/connections": lists, "/admin/schedules": {"cursor"},
}

var lists = []string{"filter", "sort", "order", "cursor"}

// narrowing are parameters that say what part of a page is shown. A link that has one of them shows that
// part only: then nobody else chooses them.
var narrowing = []string{"filter", "selector", "text"}

// mayChoose are the parameters that whoever has a link may choose. A search finds out more of messages than the
// page shows of them, so it takes a link that shows bodies.
func mayChoose(x *linkView, page *url.URL) []string {
	own := page.Query()
	narrowed := slices.ContainsFunc(narrowing, func(name string) bool { return own.Get(name) != "" })
	return slices.DeleteFunc(slices.Clone(free[page.Path]), func(name string) bool {
		return slices.Contains(narrowing, name) && (narrowed || name != "filter" && !x.Bodies)
	})
}

// choose is the page of a link with what was asked for, as far as that may be chosen.
func (u *linkUse) choose(asked url.Values) *url.URL {
	query := u.page.Query()
	for i, name := range u.free {
		if i == 0 && slices.ContainsFunc(u.free, asked.Has) {
			query.Del("cursor") // of another order of the list
		}
		if asked.Has(name) {
			query.Set(name, asked.Get(name))
		}
	}
	return &url.URL{Path: u.page.Path, RawQuery: query.Encode()}
}

// url is the address of the link with what was chosen in it.
func (u *linkUse) url(ui *ui, query ...string) string {
	var kept []string
	for i := 0; i+1 < len(query); i += 2 {
		if slices.Contains(u.free, query[i]) {
			kept = append(kept, query[i], query[i+1])
		}
	}
	return ui.url(u.path, kept...)
}

// chosen are the parameters that may be chosen, as they are.
func (u *linkUse) chosen() []string {
	query := u.page.Query()
	var list []string
	for _, name := range u.free {
		list = append(list, name, query.Get(name))
	}
	return list
}

// own makes addresses of the page that is asked for, with other parameters: where it is looked at by
// a link, they stay within the link.
func (s *Server) own(r *http.Request, path string) func(query ...string) string {
	if u := linkOf(r); u != nil {
		return func(query ...string) string { return u.url(s.ui, query...) }
	}
	return func(query ...string) string { return s.ui.url(path, query...) }
}

// Own is the address of this page with other parameters.
func (p *page) Own(query ...string) string {
	if p.Link != nil {
		return p.Link.url(p.ui, query...)
	}
	return p.ui.url(p.Path, query...)
}

// Chooses reports whether a parameter of the page may be chosen by who looks at it.
func (p *page) Chooses(name string) bool { return p.Link == nil || slices.Contains(p.Link.free, name) }
