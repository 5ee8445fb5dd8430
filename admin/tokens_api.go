package admin

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gorilla/mux"
)

// madeToken is the answer to the making of a token, the only one that has its secret.
type madeToken struct {
	tokenView
	Token string `json:"token"`
}

// makeToken makes a token for the one who asks. A token cannot make another: it would
// outlive its own end.
func (s *Server) makeToken(r *http.Request, w tokenWish) (made madeToken, err error) {
	defer func() { s.audit(r, "make-token", fmt.Sprintf("%.64s", w.Name), err, "role", w.Role, "days", w.Days) }()
	if err := w.check(); err != nil {
		return made, err
	}
	u := userOf(r)
	if strings.HasPrefix(u.Name, TokenUser) {
		return made, &httpError{http.StatusForbidden, "not-authorized", "A token cannot make tokens: log in with a user's password."}
	}
	made.tokenView, made.Token, err = s.opt.Tokens.make(w, u.Name, s.opt.Now())
	return made, err
}

func (s *Server) revokeToken(r *http.Request, id string) error {
	name, err := s.opt.Tokens.revoke(id)
	s.audit(r, "revoke-token", name, err, "id", id)
	return err
}

func (s *Server) apiTokens(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, items[tokenView]{s.opt.Tokens.views(s.opt.Now())})
}

func (s *Server) apiTokenMake(w http.ResponseWriter, r *http.Request) error {
	var wish tokenWish
	if err := readJSON(r, &wish); err != nil {
		return err
	}
	made, err := s.makeToken(r, wish)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, made)
}

func (s *Server) apiTokenRevoke(w http.ResponseWriter, r *http.Request) error {
	if err := s.revokeToken(r, mux.Vars(r)["id"]); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// tokenMake answers the form with the page that shows the token, this once.
func (s *Server) tokenMake(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	days, err := strconv.Atoi(r.PostForm.Get("days"))
	if err != nil {
		return bad("error.days", "After how many days does the token expire?")
	}
	made, err := s.makeToken(r, tokenWish{Name: r.PostForm.Get("name"), Role: r.PostForm.Get("role"), Days: days})
	if err != nil {
		return err
	}
	return s.renderUsers(w, r, made.Token)
}

func (s *Server) tokenRevoke(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	if err := s.revokeToken(r, r.PostForm.Get("id")); err != nil {
		return err
	}
	s.flash(r, "tokens.revoked")
	http.Redirect(w, r, s.ui.url("/admin/users"), http.StatusSeeOther)
	return nil
}

// renderUsers shows users, roles and tokens, and the secret of one that was just made.
func (s *Server) renderUsers(w http.ResponseWriter, r *http.Request, secret string) error {
	data := usersData{usersView: s.users(), Roles: roles(), Tokens: s.opt.Tokens.views(s.opt.Now()), Secret: secret, Offered: s.opt.Tokens != nil}
	return s.render(w, r, http.StatusOK, "users", "users.title", data)
}
