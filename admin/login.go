package admin

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

var errTooManyLogins = refuse(http.StatusTooManyRequests, "busy", "error.logins", "Too many logins failed lately. Try again in a few seconds.")

// check asks the Authenticator and holds the answer back as long as it says.
func (s *Server) check(r *http.Request, name, password string) (User, bool, error) {
	if name == "" || len(name) > maxCredential || len(password) > maxCredential {
		return User{}, false, nil
	}
	u, ok, wait := s.opt.Auth.Authenticate(name, password, remoteOf(r))
	if wait <= 0 {
		return u, ok, nil
	}
	select {
	case s.held <- struct{}{}:
		defer func() { <-s.held }()
	default:
		return User{}, false, errTooManyLogins
	}
	timer := time.NewTimer(min(wait, maxLoginWait))
	defer timer.Stop()
	select {
	case <-timer.C:
		return u, ok, nil
	case <-r.Context().Done():
		return User{}, false, r.Context().Err()
	}
}

// identify finds out who asks: by HTTP Basic or a token in the API, else by the session.
func (s *Server) identify(r *http.Request, need permission) (*http.Request, error) {
	if name, password, given := r.BasicAuth(); given && need != permPublic && isAPI(r) {
		u, ok, err := s.check(r, name, password)
		if err != nil {
			return r, err
		}
		if !ok {
			s.audit(withUser(r, User{Name: name}), "login", "api", errBadLogin)
			return r, nil
		}
		return withUser(r, u), nil
	}
	if secret, given := bearer(r); given && need != permPublic && isAPI(r) {
		u, ok := s.opt.Tokens.user(secret, s.opt.Now())
		if !ok {
			s.audit(r, "login", "token", errBadToken)
			return r, nil
		}
		return withUser(r, u), nil
	}
	ctx := r.Context()
	name := s.sessions.GetString(ctx, sessionUser)
	if name == "" {
		return r, nil
	}
	u := User{Name: name, Roles: strings.Split(s.sessions.GetString(ctx, sessionRoles), "\n")}
	if source, ok := s.opt.Auth.(UserSource); ok {
		if u, ok = source.Lookup(name); !ok || u.Stamp != s.sessions.GetString(ctx, sessionStamp) {
			return r, s.sessions.Destroy(ctx)
		}
	}
	return withUser(r, u), nil
}

// bearer is the token of a request (RFC 6750, 2.1).
func bearer(r *http.Request) (secret string, given bool) {
	scheme, secret, given := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(secret), given && strings.EqualFold(scheme, "Bearer")
}

var errBadToken = refuse(http.StatusUnauthorized, "not-authorized", "error.token", "The token is wrong, has expired, or was revoked.")

var errBadLogin = refuse(http.StatusUnauthorized, "not-authorized", "login.wrong", "User name or password is wrong.")

// askLogin answers somebody who is not logged in.
func (s *Server) askLogin(w http.ResponseWriter, r *http.Request) {
	if isAPI(r) {
		if r.Header.Get("Sec-Fetch-Mode") == "" { // a browser would show a dialog of its own
			w.Header().Set("WWW-Authenticate", `Basic realm="TreadMQ", charset="UTF-8"`)
		}
		err := error(&httpError{http.StatusUnauthorized, "not-authorized", "Log in: by HTTP Basic, with a token, or with the console's session."})
		if _, given := bearer(r); given {
			err = errBadToken
		} else if r.Header.Get("Authorization") != "" {
			err = errBadLogin
		}
		writeProblem(w, problemOf(err))
		return
	}
	next := ""
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		next = r.URL.RequestURI()
	}
	http.Redirect(w, r, s.ui.url("/admin/login", "next", next), http.StatusSeeOther)
}

// localPath returns a path of the console's own to go to, "/admin/" for anything else.
func localPath(path string) string {
	if path == "/admin/login" || !strings.HasPrefix(path, "/admin/") || strings.HasPrefix(path, "/admin/login?") || strings.ContainsAny(path, "\\\r\n") {
		return "/admin/"
	}
	return path
}

func (s *Server) toConsole(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, s.ui.url("/admin/"), http.StatusFound)
	return nil
}

type loginData struct {
	Name, Next, Error string
}

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) error {
	if userOf(r).Name != "" {
		http.Redirect(w, r, s.ui.url("/admin/"), http.StatusSeeOther)
		return nil
	}
	return s.render(w, r, http.StatusOK, "login", "login.title", loginData{Next: localPath(r.URL.Query().Get("next"))})
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	name, next := r.PostForm.Get("user"), localPath(r.PostForm.Get("next"))
	u, ok, err := s.check(r, name, r.PostForm.Get("password"))
	if err == nil && !ok {
		err = errBadLogin
	}
	if err != nil {
		s.audit(withUser(r, User{Name: name}), "login", "console", err)
		if errors.Is(err, errBadLogin) {
			text := s.ui.text(r, "login.wrong")
			return s.render(w, r, http.StatusUnauthorized, "login", "login.title", loginData{Name: name, Next: next, Error: text})
		}
		return err
	}
	ctx := r.Context()
	if err := s.sessions.RenewToken(ctx); err != nil { // a token from before the login is worth nothing
		return err
	}
	s.sessions.Put(ctx, sessionUser, u.Name)
	s.sessions.Put(ctx, sessionStamp, u.Stamp)
	s.sessions.Put(ctx, sessionRoles, strings.Join(u.Roles, "\n"))
	s.audit(withUser(r, u), "login", "console", nil)
	http.Redirect(w, r, s.opt.PathPrefix+next, http.StatusSeeOther)
	return nil
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	err := s.sessions.Destroy(r.Context())
	s.audit(r, "logout", "console", err)
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.ui.url("/admin/login"), http.StatusSeeOther)
	return nil
}

const themeCookie = "treadmq-theme"

// theme keeps the choice of colours in a cookie.
func (s *Server) theme(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	choice := r.PostForm.Get("theme")
	c := &http.Cookie{Name: themeCookie, Path: s.opt.PathPrefix + "/", HttpOnly: true, Secure: s.opt.Secure, SameSite: http.SameSiteStrictMode, MaxAge: 365 * 24 * 3600}
	switch choice {
	case "light", "dark":
		c.Value = choice
	case "system":
		c.MaxAge = -1
	default:
		return bad("error.theme", "The theme is light, dark or system.")
	}
	http.SetCookie(w, c)
	http.Redirect(w, r, s.opt.PathPrefix+localPath(r.PostForm.Get("back")), http.StatusSeeOther)
	return nil
}

// themeOf is the choice of colours: "light", "dark" or "" for the system's.
func themeOf(r *http.Request) string {
	c, err := r.Cookie(themeCookie)
	if err != nil || (c.Value != "light" && c.Value != "dark") {
		return ""
	}
	return c.Value
}

// formError words a form that cannot be read.
func formError(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	return bad("error.form", "The form cannot be read: %s", err)
}
