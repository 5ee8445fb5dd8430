package admin

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"
)

// linkWish is a link that somebody wants to be made.
type linkWish struct {
	Page   string `json:"page"`
	Hours  int    `json:"hours"`  // until it expires; default 24
	Bodies bool   `json:"bodies"` // with bodies of messages, where its maker may read them
}

// madeLink is the answer to the making of a link, the only one that has its address.
type madeLink struct {
	linkView
	Path string `json:"path"`
	URL  string `json:"url"` // as the one who asked reaches the console
}

// makeLink makes a link in the name of the one who asks.
func (s *Server) makeLink(r *http.Request, w linkWish) (made madeLink, err error) {
	defer func() {
		s.audit(r, "make-link", fmt.Sprintf("%.256s", w.Page), err, "id", made.ID, "hours", w.Hours, "bodies", w.Bodies)
	}()
	page, err := s.linkedPage(w.Page)
	if err != nil {
		return made, err
	}
	if w.Hours == 0 {
		w.Hours = linkHours
	}
	u := userOf(r)
	source, lasting := s.opt.Auth.(UserSource)
	switch {
	case w.Hours < 1 || w.Hours > maxLinkHours:
		return made, bad("error.linkhours", "A link expires after 1 to %d hours.", maxLinkHours)
	case strings.HasPrefix(u.Name, TokenUser):
		return made, &httpError{http.StatusForbidden, "not-authorized", "A token cannot make links: log in with a user's password."}
	case w.Bodies && !u.may(permBody):
		return made, s.forbidden(r, permBody)
	case !lasting: // nobody could say whether its maker is still a user
		return made, errNoLinks
	}
	known, ok := source.Lookup(u.Name)
	if !ok {
		return made, errBadLogin
	}
	now := s.opt.Now().UTC()
	v := linkView{Page: page, Bodies: w.Bodies, CreatedBy: u.Name, CreatedAt: now, ExpiresAt: now.Add(time.Duration(w.Hours) * time.Hour)}
	v, token, err := s.opt.Links.make(v, known.Stamp, now)
	if err != nil {
		return made, err
	}
	path := s.ui.url(linkPath + token)
	return madeLink{v, path, s.originOf(r) + path}, nil
}

// originOf is the address under which the one who asks reaches the console.
func (s *Server) originOf(r *http.Request) string {
	if s.opt.Secure || r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// ownLinks are the links that the one who asks may see and end: an admin all.
func ownLinks(r *http.Request) (by string) {
	if u := userOf(r); !u.may(permManage) {
		return u.Name
	}
	return ""
}

func (s *Server) revokeLink(r *http.Request, id string) error {
	page, err := s.opt.Links.revoke(id, ownLinks(r))
	s.audit(r, "revoke-link", page, err, "id", id)
	return err
}

// revokeLinks ends all links, and whatever was signed with the key so far.
func (s *Server) revokeLinks(r *http.Request) (int, error) {
	n, err := s.opt.Links.revokeAll()
	s.audit(r, "revoke-links", "all", err, "links", n)
	return n, err
}

func (s *Server) apiLinks(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, items[linkView]{s.opt.Links.views(ownLinks(r), s.opt.Now())})
}

func (s *Server) apiLinkMake(w http.ResponseWriter, r *http.Request) error {
	var wish linkWish
	if err := readJSON(r, &wish); err != nil {
		return err
	}
	made, err := s.makeLink(r, wish)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, made)
}

func (s *Server) apiLinkRevoke(w http.ResponseWriter, r *http.Request) error {
	if err := s.revokeLink(r, mux.Vars(r)["id"]); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) apiLinksRevoke(w http.ResponseWriter, r *http.Request) error {
	n, err := s.revokeLinks(r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, removedView{Removed: int64(n)})
}

// linksData is the page of links.
type linksData struct {
	Items   []linkView
	Page    string // that a link is to be made to
	Made    *madeLink
	Offered bool // there can be links
}

func (s *Server) linksPage(w http.ResponseWriter, r *http.Request) error {
	return s.renderLinks(w, r, nil)
}

func (s *Server) renderLinks(w http.ResponseWriter, r *http.Request, made *madeLink) error {
	data := &linksData{Items: s.opt.Links.views(ownLinks(r), s.opt.Now()), Page: r.URL.Query().Get("page"), Made: made, Offered: s.opt.Links != nil}
	return s.render(w, r, http.StatusOK, "links", "links.title", data)
}

// linkMake answers the form with the page that shows the link, this once.
func (s *Server) linkMake(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	hours, err := strconv.Atoi(r.PostForm.Get("hours"))
	if err != nil {
		return bad("error.hours", "After how many hours does the link expire?")
	}
	made, err := s.makeLink(r, linkWish{Page: r.PostForm.Get("page"), Hours: hours, Bodies: r.PostForm.Get("bodies") == "true"})
	if err != nil {
		return err
	}
	return s.renderLinks(w, r, &made)
}

// linkRevoke ends one link, or all of them.
func (s *Server) linkRevoke(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	switch all := r.PostForm.Get("all") == "true"; {
	case all && !userOf(r).may(permManage):
		return s.forbidden(r, permManage)
	case all:
		if _, err := s.revokeLinks(r); err != nil {
			return err
		}
	default:
		if err := s.revokeLink(r, r.PostForm.Get("id")); err != nil {
			return err
		}
	}
	s.flash(r, "links.revoked")
	http.Redirect(w, r, s.ui.url("/admin/links"), http.StatusSeeOther)
	return nil
}
