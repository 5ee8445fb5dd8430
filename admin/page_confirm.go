package admin

import (
	"net/http"

	"treadmq/broker"
)

// confirmData is a question that is answered by typing the destination's name.
type confirmData struct {
	Name, Kind string
	Action     string // "purge" or "delete"; the texts are confirm.<action>.<part>
	What       string // "queue" or "topic"
	Messages   int64
	Free       int64 // messages that a purge removes
	Held       int64 // messages that consumers hold
	Consumers  int
	Wrong      bool   // the name typed was another
	Force      bool   // the box was ticked
	Keep       int64  // seconds for which it can be undone, 0: it cannot
	TooMuch    string // why it cannot, where the trash is too small
	Error      *problem
}

// confirmQueue asks, or asks again, about a queue.
func (s *Server) confirmQueue(w http.ResponseWriter, r *http.Request, status int, action string, more func(*confirmData)) error {
	d, err := s.pageQueue(r)
	if err != nil {
		return err
	}
	info, err := s.b.Queue(d)
	if err != nil {
		return err
	}
	data := confirmData{
		Name: d.Name, Kind: kindName(d.Kind), Action: action, What: "queue",
		Messages: info.Messages, Free: info.Messages - info.InFlight, Held: info.InFlight, Consumers: info.Consumers,
	}
	if l := s.b.TrashLimits(); l.Keep > 0 && d.Kind != broker.TempQueue {
		if data.Keep = int64(l.Keep.Seconds()); info.Messages > l.Messages || info.Bytes > l.Bytes {
			data.Keep, data.TooMuch = 0, s.ui.text(r, "confirm.toomuch", formatNumber(l.Messages), formatBytes(float64(l.Bytes)))
		}
	}
	if more != nil {
		more(&data)
	}
	return s.render(w, r, status, "confirm", "confirm."+action+".title", data)
}

func (s *Server) queuePurgePage(w http.ResponseWriter, r *http.Request) error {
	return s.confirmQueue(w, r, http.StatusOK, "purge", nil)
}

func (s *Server) queueDeletePage(w http.ResponseWriter, r *http.Request) error {
	return s.confirmQueue(w, r, http.StatusOK, "delete", nil)
}

// typed reports whether the form has the destination's name.
func typed(r *http.Request, d broker.Destination) (bool, error) {
	if err := r.ParseForm(); err != nil {
		return false, formError(err)
	}
	return r.PostForm.Get("confirm") == d.Name, nil
}

func (s *Server) queuePurge(w http.ResponseWriter, r *http.Request) error {
	d, err := s.pageQueue(r)
	if err != nil {
		return err
	}
	ok, err := typed(r, d)
	if err != nil {
		return err
	}
	if !ok {
		return s.confirmQueue(w, r, http.StatusUnprocessableEntity, "purge", func(c *confirmData) { c.Wrong = true })
	}
	n, t, err := s.purgeQueue(r, d, r.PostForm.Get("undo") != "false")
	if err != nil {
		return err
	}
	s.offerUndo(r, t)
	s.flash(r, "flash.purged", formatNumber(n), d.Name)
	http.Redirect(w, r, s.ui.url("/admin/queue", "name", d.Name, "kind", kindName(d.Kind)), http.StatusSeeOther)
	return nil
}

func (s *Server) queueDelete(w http.ResponseWriter, r *http.Request) error {
	d, err := s.pageQueue(r)
	if err != nil {
		return err
	}
	ok, err := typed(r, d)
	if err != nil {
		return err
	}
	force := r.PostForm.Get("force") == "true"
	if !ok {
		return s.confirmQueue(w, r, http.StatusUnprocessableEntity, "delete", func(c *confirmData) { c.Wrong, c.Force = true, force })
	}
	t, err := s.deleteQueue(r, d, force, r.PostForm.Get("undo") != "false")
	if err != nil {
		p := problemOf(err)
		if p.Code != broker.CodeInUse {
			return err
		}
		return s.confirmQueue(w, r, p.Status, "delete", func(c *confirmData) { c.Error = &p })
	}
	s.offerUndo(r, t)
	s.flash(r, "flash.deleted", d.Name)
	http.Redirect(w, r, s.ui.url("/admin/queues"), http.StatusSeeOther)
	return nil
}

func (s *Server) confirmTopic(w http.ResponseWriter, r *http.Request, status int, more func(*confirmData)) error {
	d, err := s.pageTopic(r)
	if err != nil {
		return err
	}
	info, err := s.topic(d)
	if err != nil {
		return err
	}
	data := confirmData{Name: d.Name, Kind: kindName(d.Kind), Action: "delete", What: "topic", Consumers: info.Subscribers}
	if more != nil {
		more(&data)
	}
	return s.render(w, r, status, "confirm", "confirm.delete.title", data)
}

func (s *Server) topicDeletePage(w http.ResponseWriter, r *http.Request) error {
	return s.confirmTopic(w, r, http.StatusOK, nil)
}

func (s *Server) topicDelete(w http.ResponseWriter, r *http.Request) error {
	d, err := s.pageTopic(r)
	if err != nil {
		return err
	}
	ok, err := typed(r, d)
	if err != nil {
		return err
	}
	if !ok {
		return s.confirmTopic(w, r, http.StatusUnprocessableEntity, func(c *confirmData) { c.Wrong = true })
	}
	if err := s.deleteTopic(r, d); err != nil {
		p := problemOf(err)
		if p.Code != broker.CodeInUse {
			return err
		}
		return s.confirmTopic(w, r, p.Status, func(c *confirmData) { c.Error = &p })
	}
	s.flash(r, "flash.deleted", d.Name)
	http.Redirect(w, r, s.ui.url("/admin/topics"), http.StatusSeeOther)
	return nil
}
