package admin

import "github.com/prometheus/client_golang/prometheus"

// clusterFigure is one number of the group.
type clusterFigure struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*ClusterStatus) float64
}

func clusterGauge(name, help string, value func(*ClusterStatus) float64) clusterFigure {
	return clusterFigure{prometheus.NewDesc("treadmq_cluster_"+name, help, nil, nil), prometheus.GaugeValue, value}
}

// clusterFigures are what every member knows.
var clusterFigures = []clusterFigure{
	clusterGauge("master", "1 if this member is the master, else 0.", func(c *ClusterStatus) float64 { return truth(c.Role == MemberMaster) }),
	clusterGauge("has_master", "1 if this member knows a master, else 0.", func(c *ClusterStatus) float64 { return truth(c.Master != "") }),
	clusterGauge("epoch", "Epoch of the group; each election raises it.", func(c *ClusterStatus) float64 { return float64(c.Epoch) }),
	clusterGauge("replicas", "Places for voters.", func(c *ClusterStatus) float64 { return float64(c.Replicas) }),
	clusterGauge("present_voters", "Voters that are there.", presentVoters),
	clusterGauge("zookeeper_connected", "1 if ZooKeeper is reached, else 0.", func(c *ClusterStatus) float64 { return truth(c.ZooKeeper) }),
	clusterGauge("alarms", "What needs an operator.", func(c *ClusterStatus) float64 { return float64(len(c.Alarms)) }),
	clusterGauge("log_bytes", "End of this member's log, in bytes from its beginning.", func(c *ClusterStatus) float64 { return float64(c.End) }),
	clusterGauge("committed_bytes", "How far this member knows the log to be committed.", func(c *ClusterStatus) float64 { return float64(c.Committed) }),
}

func presentVoters(c *ClusterStatus) float64 {
	n := 0
	for i := range c.Members {
		if c.Members[i].Voter && c.Members[i].Present {
			n++
		}
	}
	return float64(n)
}

var clusterLag = prometheus.NewDesc("treadmq_cluster_lag_bytes", "Bytes of the log that a member does not have yet; told by the master.", []string{"member"}, nil)

// clusterCollector gives the figures of the group, nothing of a broker that stands
// alone. Members are few: a group sees at most 64.
type clusterCollector struct{ s *Server }

// Describe implements prometheus.Collector.
func (clusterCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range clusterFigures {
		ch <- f.desc
	}
	ch <- clusterLag
}

// Collect implements prometheus.Collector.
func (c clusterCollector) Collect(ch chan<- prometheus.Metric) {
	if c.s.opt.Cluster == nil {
		return
	}
	st := c.s.opt.Cluster.Status()
	for _, f := range clusterFigures {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(&st))
	}
	seen := map[string]bool{}
	for i := range st.Members {
		m := &st.Members[i]
		if m.Lag != nil && !m.Self && !seen[m.Name] {
			seen[m.Name] = true
			ch <- prometheus.MustNewConstMetric(clusterLag, prometheus.GaugeValue, float64(*m.Lag), m.Name)
		}
	}
}
