package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"treadmq/broker"
)

// actData is what is about to be done with messages of a queue, to be confirmed.
type actData struct {
	Name, Kind string
	Bulk       bulkAction
	All        bool // all that match, not only those named
	Count      int64
	More       bool // there are more: counting took too long
	First      []messageView
	Wrong      bool // the name typed was another
}

// Sure reports whether the name has to be typed.
func (d *actData) Sure() bool { return d.Bulk.Action == "delete" && (d.All || len(d.Bulk.At) > 1) }

// countPatience bounds how long a preview counts.
const countPatience = time.Second

// previewRows are shown of what is about to be dealt with.
const previewRows = 5

// bulkForm reads what the form of a queue's messages asks for.
func bulkForm(v url.Values) (a bulkAction, all bool, err error) {
	a = bulkAction{Action: v.Get("action"), To: v.Get("to"), At: v["at"]}
	if all = v.Get("scope") == "all"; all {
		a.At, a.Selector, a.Text = nil, v.Get("selector"), v.Get("text")
	}
	for _, f := range []struct {
		name string
		to   func(int64)
	}{{"rate", func(n int64) { a.Rate = int(n) }}, {"limit", func(n int64) { a.Limit = n }}} {
		if text := v.Get(f.name); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return a, all, bad("error.whole", "%s is a whole number.", f.name)
			}
			f.to(n)
		}
	}
	if !all && len(a.At) == 0 {
		return a, all, bad("error.tick", "Tick some messages first, or choose all that match.")
	}
	return a, all, nil
}

// queueAct shows what would be done, and does it when that was confirmed.
func (s *Server) queueAct(w http.ResponseWriter, r *http.Request) error {
	d, err := s.pageQueue(r)
	if err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	a, all, err := bulkForm(r.PostForm)
	if err != nil {
		return err
	}
	b, err := s.checkBulk(d, a)
	if err != nil {
		return err
	}
	data := actData{Name: d.Name, Kind: kindName(d.Kind), Bulk: a, All: all}
	answered := r.PostForm.Get("sure") == "yes"
	if answered && (!data.Sure() || r.PostForm.Get("confirm") == d.Name) {
		return s.actNow(w, r, b)
	}
	data.Wrong = answered
	if err := s.preview(r, b, &data); err != nil {
		return err
	}
	status := http.StatusOK
	if answered {
		status = http.StatusUnprocessableEntity
	}
	return s.render(w, r, status, "act", "act.title."+a.Action, &data)
}

// preview counts and shows the first messages.
func (s *Server) preview(r *http.Request, b *bulk, data *actData) error {
	if !data.All {
		data.Count = int64(len(b.at))
		for _, at := range data.Bulk.At[:min(len(data.Bulk.At), previewRows)] {
			if m, err := s.one(b.queue, at); err == nil {
				data.First = append(data.First, s.messageView(m, false))
			}
		}
		return nil
	}
	page, err := s.find(r, b.queue, "", previewRows, false, search{b.Selector, b.Text})
	if err != nil {
		return err
	}
	data.First = page.Items
	dry := *b
	dry.DryRun, dry.Rate = true, 0
	ctx, cancel := context.WithTimeout(r.Context(), countPatience)
	defer cancel()
	err = dry.run(ctx, s.b, nil, func(_ int64, got broker.Acted) { data.Count += int64(got.Done) })
	data.More = ctx.Err() != nil && err != nil
	if err != nil && !data.More {
		return err
	}
	return nil
}

// actNow begins the action and waits a moment for it.
func (s *Server) actNow(w http.ResponseWriter, r *http.Request, b *bulk) error {
	j, err := s.startJob(r, b)
	if err != nil {
		return err
	}
	j.settle(r.Context())
	v, err := j.snapshot()
	switch {
	case v.State == "running":
		s.flash(r, "flash.running")
		http.Redirect(w, r, s.ui.url("/admin/jobs"), http.StatusSeeOther)
		return nil
	case err != nil:
		return err
	}
	s.offerUndo(r, j.trashed)
	s.flash(r, "flash.acted", formatNumber(v.Done), formatNumber(v.InFlight+v.Gone+v.NoOrigin))
	http.Redirect(w, r, s.ui.url("/admin/queue", "name", b.queue.Name, "kind", kindName(b.queue.Kind)), http.StatusSeeOther)
	return nil
}

// queuePause stops or resumes a queue's deliveries.
func (s *Server) queuePause(w http.ResponseWriter, r *http.Request) error {
	d, err := s.pageQueue(r)
	if err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	paused := r.PostForm.Get("paused") == "true"
	if err := s.pauseQueue(r, d, paused); err != nil {
		return err
	}
	key := "flash.resumed"
	if paused {
		key = "flash.paused"
	}
	s.flash(r, key)
	http.Redirect(w, r, s.ui.url("/admin/queue", "name", d.Name, "kind", kindName(d.Kind)), http.StatusSeeOther)
	return nil
}
