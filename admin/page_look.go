package admin

import (
	"net/http"
	"strconv"
	"strings"

	"treadmq/broker"
)

// Pages that show and hardly change anything.

func (s *Server) deadPage(w http.ResponseWriter, r *http.Request) error {
	release, err := s.takeHeavy(r.Context())
	if err != nil {
		return err
	}
	defer release()
	v, err := s.dead(r)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "deadletters", "dead.title", v)
}

func (s *Server) connectionPageOne(w http.ResponseWriter, r *http.Request) error {
	serial, err := strconv.ParseUint(r.URL.Query().Get("serial"), 10, 64)
	if err != nil {
		return bad("error.connection", "A connection has a number.")
	}
	c, err := s.connection(serial)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "connection", "connection.title", closeData{c})
}

// subscriptionClose ends one subscription.
func (s *Server) subscriptionClose(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	conn, err := strconv.ParseUint(r.PostForm.Get("serial"), 10, 64)
	sub, suberr := strconv.ParseUint(r.PostForm.Get("subscription"), 10, 32)
	if err != nil || suberr != nil {
		return bad("error.subscription", "A connection has a number, and so has a subscription.")
	}
	if err := s.closeSubscription(r, conn, uint32(sub)); err != nil {
		return err
	}
	s.flash(r, "flash.unsubscribed")
	http.Redirect(w, r, s.ui.url("/admin/connection", "serial", r.PostForm.Get("serial")), http.StatusSeeOther)
	return nil
}

func (s *Server) jobsPage(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, http.StatusOK, "jobs", "jobs.title", s.jobList())
}

func (s *Server) jobCancel(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	j, err := s.job(r.PostForm.Get("id"))
	if err != nil {
		return err
	}
	j.cancel()
	<-j.done
	s.audit(r, "cancel-job", r.PostForm.Get("id"), nil)
	s.flash(r, "flash.cancelled")
	http.Redirect(w, r, s.ui.url("/admin/jobs"), http.StatusSeeOther)
	return nil
}

func (s *Server) policiesPage(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, http.StatusOK, "policies", "policies.title", s.rules())
}

type usersData struct {
	usersView
	Roles   []roleView
	Tokens  []tokenView
	Offered bool   // there can be tokens
	Secret  string // of the token that was just made
}

func (s *Server) usersPage(w http.ResponseWriter, r *http.Request) error {
	return s.renderUsers(w, r, "")
}

// shownAudit entries are on one page.
const shownAudit = 500

func (s *Server) auditPage(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, http.StatusOK, "audit", "audit.title", s.audits.latest(shownAudit))
}

func (s *Server) settingsPage(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, http.StatusOK, "settings", "settings.title", s.config())
}

const languageCookie = "treadmq-language"

// setLanguage keeps the choice of the language in a cookie.
func (s *Server) setLanguage(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	choice := r.PostForm.Get("language")
	if s.ui.texts[choice] == nil {
		return bad("error.language", "There are no texts in that language.")
	}
	http.SetCookie(w, &http.Cookie{Name: languageCookie, Value: choice, Path: s.opt.PathPrefix + "/", HttpOnly: true, Secure: s.opt.Secure,
		SameSite: http.SameSiteStrictMode, MaxAge: 365 * 24 * 3600})
	http.Redirect(w, r, s.opt.PathPrefix+localPath(r.PostForm.Get("back")), http.StatusSeeOther)
	return nil
}

// deadSelector picks the dead letters of one origin and reason.
func deadSelector(origin, reason string) string {
	var parts []string
	if origin != "" {
		parts = append(parts, `"`+broker.PropOriginalDestination+`" = `+selectorText(broker.Destination{Kind: broker.Queue, Name: origin}.String()))
	}
	if reason != "" {
		parts = append(parts, `"`+broker.PropDeathReason+`" = `+selectorText(reason))
	}
	return strings.Join(parts, " AND ")
}

func selectorText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// legendKey is a line of a chart, named.
type legendKey struct{ Class, Text string }

// legend makes keys of classes and texts, given in turn.
func legend(pairs ...string) []legendKey {
	var list []legendKey
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, legendKey{pairs[i], pairs[i+1]})
	}
	return list
}
