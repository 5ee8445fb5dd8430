package admin

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"treadmq/broker"
)

// trashedView is what a purge or a deletion has left, to be undone.
type trashedView struct {
	ID       uint32    `json:"id"`
	Name     string    `json:"name"`
	Kind     string    `json:"kind"`
	Action   string    `json:"action"` // "purge", "delete" or "messages"
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	Until    time.Time `json:"until"` // it is gone for good then
	Messages int64     `json:"messages"`
	Bytes    int64     `json:"bytes"`
}

func trashedViewOf(t *broker.Trashed) *trashedView {
	if t == nil {
		return nil
	}
	return &trashedView{ID: t.ID, Name: t.Dest.Name, Kind: kindName(t.Dest.Kind), Action: t.Action, By: t.By, At: t.At.UTC(), Until: t.Until.UTC(),
		Messages: t.Messages, Bytes: t.Bytes}
}

// trashView is the trash and its bounds.
type trashView struct {
	Items       []trashedView `json:"items"` // newest first
	KeepSeconds int64         `json:"keepSeconds"`
	MaxMessages int64         `json:"maxMessages"`
	MaxBytes    int64         `json:"maxBytes"`
}

func (s *Server) trashView() trashView {
	l := s.b.TrashLimits()
	v := trashView{Items: []trashedView{}, KeepSeconds: int64(l.Keep.Seconds()), MaxMessages: l.Messages, MaxBytes: l.Bytes}
	for _, t := range s.b.Trash() {
		v.Items = append(v.Items, *trashedViewOf(&t))
	}
	return v
}

// undoable reports whether a purge or deletion that asks for nothing else goes to the trash: undo=false is final.
func undoable(r *http.Request) (bool, error) {
	switch text := r.URL.Query().Get("undo"); text {
	case "", "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, badRequest("undo is true or false.")
}

func (s *Server) apiTrash(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, s.trashView())
}

func (s *Server) apiTrashRestore(w http.ResponseWriter, r *http.Request) error {
	id, err := trashID(mux.Vars(r)["id"])
	if err != nil {
		return err
	}
	t, err := s.restoreTrash(r, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, trashedViewOf(&t))
}

func (s *Server) apiTrashDrop(w http.ResponseWriter, r *http.Request) error {
	id, err := trashID(mux.Vars(r)["id"])
	if err != nil {
		return err
	}
	if err := s.dropTrash(r, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func trashID(text string) (uint32, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, bad("error.trashid", "What is in the trash has a number.")
	}
	return uint32(id), nil
}

// restoreTrash undoes a purge or deletion.
func (s *Server) restoreTrash(r *http.Request, id uint32) (broker.Trashed, error) {
	t, err := s.b.Restore(id)
	target := strconv.FormatUint(uint64(id), 10)
	if t.Dest.Name != "" {
		target = destPath(t.Dest)
	}
	s.audit(r, "undo", target, err, "trash", id, "messages", t.Messages)
	return t, err
}

func (s *Server) dropTrash(r *http.Request, id uint32) error {
	err := s.b.DropTrash(id)
	s.audit(r, "empty-trash", strconv.FormatUint(uint64(id), 10), err)
	return err
}

func (s *Server) trashPage(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, http.StatusOK, "trash", "trash.title", s.trashView())
}

// trashChange undoes what the form names, or removes it for good.
func (s *Server) trashChange(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	id, err := trashID(r.PostForm.Get("id"))
	if err != nil {
		return err
	}
	switch r.PostForm.Get("do") {
	case "restore":
		t, err := s.restoreTrash(r, id)
		if err != nil {
			return err
		}
		s.flash(r, "flash.restored", formatNumber(t.Messages), t.Dest.Name)
		http.Redirect(w, r, s.ui.url("/admin/queue", "name", t.Dest.Name, "kind", kindName(t.Dest.Kind)), http.StatusSeeOther)
		return nil
	case "drop":
		if err := s.dropTrash(r, id); err != nil {
			return err
		}
		s.flash(r, "flash.emptied")
		http.Redirect(w, r, s.ui.url("/admin/trash"), http.StatusSeeOther)
		return nil
	}
	return bad("error.trash", "What is in the trash is restored or dropped.")
}

// offerUndo lets the line that tells of a purge or deletion have a button that undoes it.
func (s *Server) offerUndo(r *http.Request, t *broker.Trashed) {
	if t != nil {
		s.sessions.Put(r.Context(), sessionUndo, strconv.FormatUint(uint64(t.ID), 10))
	}
}
