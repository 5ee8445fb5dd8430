package admin

import "net/http"

// clusterData is the page of the group.
type clusterData struct {
	ClusterStatus
	MasterConsole string // of another member that is master
	Targets       []string
}

func (s *Server) clusterPage(w http.ResponseWriter, r *http.Request) error {
	st, err := s.clusterStatus()
	if err != nil {
		return err
	}
	d := clusterData{ClusterStatus: st}
	for i := range st.Members {
		m := &st.Members[i]
		switch {
		case m.Role == MemberMaster && !m.Self:
			d.MasterConsole = m.Console
		case m.Role == MemberFollower && m.Voter && m.Present:
			d.Targets = append(d.Targets, m.Name)
		}
	}
	return s.render(w, r, http.StatusOK, "cluster", "cluster.title", d)
}

func (s *Server) clusterHandover(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	to := r.PostForm.Get("to")
	if err := s.changeCluster(r, ClusterChange{Action: ClusterHandover, To: to}); err != nil {
		return err
	}
	s.flash(r, "flash.handover")
	http.Redirect(w, r, s.ui.url("/admin/cluster"), http.StatusSeeOther)
	return nil
}

// ClusterBrief is what every page shows of the group.
type ClusterBrief struct {
	Role   string
	Alarms int
}

// brief is nil for a broker that stands alone.
func (s *Server) brief() *ClusterBrief {
	if s.opt.Cluster == nil {
		return nil
	}
	st := s.opt.Cluster.Status()
	return &ClusterBrief{Role: st.Role, Alarms: len(st.Alarms)}
}
