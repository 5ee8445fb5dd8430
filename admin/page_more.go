package admin

import (
	"net/http"

	"treadmq/broker"
	"treadmq/broker/stomp/sendheader"
)

// durablesPage lists durable subscriptions.
func (s *Server) durablesPage(w http.ResponseWriter, r *http.Request) error {
	q, err := parseListQuery(r.URL.Query())
	if err != nil {
		return err
	}
	list, err := s.durablePage(q)
	if err != nil {
		return err
	}
	for i := range list.Items {
		list.Items[i].Spark = s.rates.spark(list.Items[i].dest, ofMessages)
	}
	return s.render(w, r, http.StatusOK, "subscriptions", "durables.title", newListData(s, r, "/admin/subscriptions", q, list))
}

// durableRemove deletes a durable subscription when its name was typed.
func (s *Server) durableRemove(w http.ResponseWriter, r *http.Request) error {
	d := broker.Destination{Kind: broker.DurableSub, Name: r.URL.Query().Get("name")}
	ok, err := typed(r, d)
	if err != nil {
		return err
	}
	if !ok {
		return bad("confirm.wrong", "That is not the name. Nothing was changed.")
	}
	t, err := s.deleteQueue(r, d, false, true)
	if err != nil {
		return err
	}
	s.offerUndo(r, t)
	s.flash(r, "flash.deleted", d.Name)
	http.Redirect(w, r, s.ui.url("/admin/subscriptions"), http.StatusSeeOther)
	return nil
}

// schedulesData is a page of the list of schedules.
type schedulesData struct {
	Items        []sendheader.ScheduleView
	Next, Cursor string
	Total        int64
}

func (s *Server) schedulesPage(w http.ResponseWriter, r *http.Request) error {
	q, _, err := scheduleQuery(r.URL.Query())
	if err != nil {
		return err
	}
	page, err := s.schedulePage(q)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "schedules", "schedules.title", schedulesData{page.Items, page.Next, q.Cursor, page.Total})
}

// scheduleChange cancels a schedule, or delivers its message now.
func (s *Server) scheduleChange(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	id, key := r.PostForm.Get("id"), "flash.cancelledschedule"
	var err error
	switch r.PostForm.Get("do") {
	case "cancel":
		err = s.b.CancelSchedule(id)
		s.audit(r, "cancel schedule", id, err)
	case "run":
		key = "flash.ran"
		err = s.b.RunSchedule(id)
		s.audit(r, "run schedule", id, err)
	default:
		return bad("error.schedule", "A schedule is cancelled or run.")
	}
	if err != nil {
		return err
	}
	s.flash(r, key)
	http.Redirect(w, r, s.ui.url("/admin/schedules"), http.StatusSeeOther)
	return nil
}
