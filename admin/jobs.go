package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"treadmq/broker"
)

// Bounds of jobs.
const (
	maxJobs     = 4   // at the same time
	keptJobs    = 100 // that have ended
	jobPatience = 2 * time.Second
)

// jobView is a bulk action under way, or ended.
type jobView struct {
	ID       uint64     `json:"id"`
	Action   string     `json:"action"`
	Queue    string     `json:"queue"`
	To       string     `json:"to,omitempty"`
	Selector string     `json:"selector,omitempty"`
	DryRun   bool       `json:"dryRun"`
	User     string     `json:"user"`
	State    string     `json:"state"` // "running", "done", "failed" or "cancelled"
	Started  time.Time  `json:"started"`
	Ended    *time.Time `json:"ended,omitempty"`
	Total    int64      `json:"total"`  // messages in the queue when it began
	Looked   int64      `json:"looked"` // messages looked at
	Done     int64      `json:"done"`   // messages dealt with; in a dry run, that would be
	InFlight int64      `json:"inFlight"`
	Gone     int64      `json:"gone"`
	NoOrigin int64      `json:"noOrigin"`
	Error    string     `json:"error,omitempty"`
	problem  *problem   // the same, for pages
	HeldAt   []string   `json:"heldAt,omitempty"` // of messages that were named: those that a consumer has
	GoneAt   []string   `json:"goneAt,omitempty"` // and those that are not there any more

	Undo *trashedView `json:"undo,omitempty"` // how to have back what was deleted
}

// Problem is what ended it, nil if nothing did.
func (v *jobView) Problem() *problem { return v.problem }

// job is a bulk action with the goroutine that carries it out.
type job struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended

	mu   sync.Mutex // guards view and err
	view jobView
	err  error

	trashed *broker.Trashed // set before done is closed
}

func (j *job) snapshot() (jobView, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.view, j.err
}

// jobs are the bulk actions of this process.
type jobs struct {
	ctx  context.Context // ends with the server
	stop context.CancelFunc
	wait sync.WaitGroup

	mu      sync.Mutex // guards what follows
	next    uint64
	list    []*job // oldest first
	running int
}

func newJobs() *jobs {
	j := &jobs{next: 1}
	j.ctx, j.stop = context.WithCancel(context.Background())
	return j
}

// close ends all jobs and waits for them.
func (j *jobs) close() {
	j.stop()
	j.wait.Wait()
}

// startJob begins a bulk action in the name of whoever asked.
func (s *Server) startJob(r *http.Request, b *bulk) (*job, error) {
	info, err := s.b.Queue(b.queue)
	if err != nil {
		return nil, err
	}
	all := s.jobs
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.running >= maxJobs || all.ctx.Err() != nil {
		return nil, refuse(http.StatusServiceUnavailable, "busy", "error.jobs", "4 bulk actions are under way, the most at the same time. Wait for one or cancel it.")
	}
	ctx, cancel := context.WithCancel(all.ctx)
	j := &job{cancel: cancel, done: make(chan struct{}), view: jobView{
		ID: all.next, Action: b.Action, Queue: b.queue.Name, To: b.To, Selector: b.Selector, DryRun: b.DryRun,
		User: userOf(r).Name, State: "running", Started: s.opt.Now().UTC(), Total: info.Messages,
	}}
	all.next++
	all.running++
	all.list = append(all.list, j)
	if len(all.list) > keptJobs+maxJobs {
		if i := slices.IndexFunc(all.list, (*job).ended); i >= 0 {
			all.list = slices.Delete(all.list, i, i+1)
		}
	}
	user, remote := userOf(r).Name, remoteOf(r)
	all.wait.Go(func() {
		defer close(j.done)
		defer cancel()
		t, err := s.runBulk(ctx, b, user, j.progress)
		j.left(b.held, b.gone)
		j.end(err, s.opt.Now().UTC(), t)
		all.mu.Lock()
		all.running--
		all.mu.Unlock()
		if v, err := j.snapshot(); !b.DryRun {
			s.auditAs(user, remote, b.Action, destPath(b.queue), err, "to", b.To, "selector", b.Selector, "text", b.Text, "done", v.Done)
		}
	})
	return j, nil
}

// runBulk carries an action out; what it deletes goes to the trash unless it says otherwise.
func (s *Server) runBulk(ctx context.Context, b *bulk, user string, progress func(int64, broker.Acted)) (*broker.Trashed, error) {
	var bin *broker.TrashBin
	if b.kind == broker.ActDelete && !b.NoUndo && !b.DryRun {
		var err error
		if bin, err = s.b.OpenBin(b.queue, user); err != nil {
			return nil, err
		}
	}
	err := b.run(ctx, s.b, bin, progress)
	t, closed := bin.Close()
	return t, cmp.Or(err, closed)
}

func (j *job) progress(looked int64, got broker.Acted) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.view.Looked += looked
	j.view.Done += int64(got.Done)
	j.view.InFlight += int64(got.InFlight)
	j.view.Gone += int64(got.Gone)
	j.view.NoOrigin += int64(got.NoOrigin)
}

func (j *job) left(held, gone []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.view.HeldAt, j.view.GoneAt = held, gone
}

func (j *job) end(err error, now time.Time, t *broker.Trashed) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.view.Ended, j.view.Undo = &now, trashedViewOf(t)
	j.trashed = t
	switch {
	case err == nil:
		j.view.State = "done"
	case errors.Is(err, context.Canceled):
		j.view.State, j.err = "cancelled", refuse(http.StatusConflict, "cancelled", "error.cancelled", "The action was cancelled. What it had done stays done.")
	default:
		j.view.State, j.view.Error, j.err = "failed", err.Error(), err
		p := problemOf(err)
		j.view.problem = &p
	}
}

func (j *job) ended() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// settle waits a moment for the job, so that short ones answer at once.
func (j *job) settle(ctx context.Context) {
	timer := time.NewTimer(jobPatience)
	defer timer.Stop()
	select {
	case <-j.done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *Server) jobList() []jobView {
	s.jobs.mu.Lock()
	list := slices.Clone(s.jobs.list)
	s.jobs.mu.Unlock()
	views := make([]jobView, 0, len(list))
	for _, j := range slices.Backward(list) {
		v, _ := j.snapshot()
		views = append(views, v)
	}
	return views
}

func (s *Server) job(id string) (*job, error) {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return nil, bad("error.jobid", "A job has a number.")
	}
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	for _, j := range s.jobs.list {
		if j.view.ID == n { // set once, before the job is listed
			return j, nil
		}
	}
	return nil, refuse(http.StatusNotFound, "not-found", "error.job", "There is no such job; the last 100 are kept until the broker ends.")
}

func (s *Server) apiJobs(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, items[jobView]{s.jobList()})
}

func (s *Server) apiJob(w http.ResponseWriter, r *http.Request) error {
	j, err := s.job(mux.Vars(r)["id"])
	if err != nil {
		return err
	}
	v, _ := j.snapshot()
	return writeJSON(w, http.StatusOK, v)
}

func (s *Server) apiJobCancel(w http.ResponseWriter, r *http.Request) error {
	j, err := s.job(mux.Vars(r)["id"])
	if err != nil {
		return err
	}
	j.cancel()
	<-j.done
	v, _ := j.snapshot()
	s.audit(r, "cancel-job", strconv.FormatUint(v.ID, 10), nil)
	return writeJSON(w, http.StatusOK, v)
}

// apiActions carries out an action on messages of a queue. What ends soon is
// answered with its result, the rest with the job to look at.
func (s *Server) apiActions(w http.ResponseWriter, r *http.Request) error {
	d, err := s.apiQueueDest(r)
	if err != nil {
		return err
	}
	var a bulkAction
	if err := readJSON(r, &a); err != nil {
		return err
	}
	b, err := s.checkBulk(d, a)
	if err != nil {
		return err
	}
	j, err := s.startJob(r, b)
	if err != nil {
		return err
	}
	j.settle(r.Context())
	v, err := j.snapshot()
	switch {
	case v.State == "running":
		w.Header().Set("Location", s.ui.url("/api/v1/jobs/"+strconv.FormatUint(v.ID, 10)))
		return writeJSON(w, http.StatusAccepted, v)
	case err != nil && v.Done == 0:
		return err
	}
	return writeJSON(w, http.StatusOK, v)
}
