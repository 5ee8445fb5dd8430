package admin_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"treadmq/admin"
	"treadmq/broker"
)

func TestMetrics(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.Now = func() time.Time { return time.Now().Add(time.Hour) } })
	c := r.basic("vera")
	r.basic("alice").send("/api/v1/queues/a%22b%5C/messages", `{"body":"x"}`)
	for i := range 130 {
		if err := r.b.CreateQueue(fmt.Sprintf("q%03d", i)); err != nil {
			t.Fatal(err)
		}
	}
	r.basic("alice").send("/api/v1/queues/q129/messages", `{"body":"x"}`)
	r.s.Measure()
	a := c.get("/metrics").must(t, http.StatusOK)
	for _, want := range []string{
		"treadmq_build_info{role=\"alone\",version=\"1.2.3\"} 1\n", "treadmq_messages 2\n", "treadmq_queues 131\n", "treadmq_enqueued_messages_total 2\n",
		"treadmq_ready 1\n", "treadmq_store_failed 0\n", "treadmq_queue_messages{destination=\"q129\"} 1\n", `treadmq_queue_messages{destination="a\"b\\"} 1`, "treadmq_queue_messages{destination=\"other\"} 0\n", "go_goroutines ",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if n := strings.Count(a.body, "treadmq_queue_oldest_message_age_seconds{"); n != 100 {
		t.Errorf("%d ages of queues", n)
	}
	if !regexp.MustCompile(`treadmq_queue_oldest_message_age_seconds\{destination="q129"\} 36\d\d`).MatchString(a.body) {
		t.Error("the message of q129 is not an hour old")
	}
	if n := strings.Count(a.body, "treadmq_queue_messages{"); n != 101 {
		t.Errorf("%d series of queues", n)
	}
	all := c.get("/metrics/per-destination").must(t, http.StatusOK)
	if n := strings.Count(all.body, "treadmq_queue_enqueued_messages_total{"); n != 131 {
		t.Errorf("%d series of all queues", n)
	}
	// What was counted stays counted when a queue goes.
	done := make(chan error, 1)
	if err := r.b.DeleteQueue(broker.Destination{Kind: broker.Queue, Name: "q129"}, true, func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.s.Measure()
	if a := c.get("/metrics"); !strings.Contains(a.body, "treadmq_enqueued_messages_total 2\n") {
		t.Error("a counter went back")
	}
	r.client().get("/metrics").must(t, http.StatusUnauthorized)
}

func TestMetricsAreCleanly(t *testing.T) {
	r := newRig(t)
	r.basic("alice").send("/api/v1/queues/q/messages", `{"body":"x"}`)
	for _, g := range r.s.Registries() {
		problems, err := testutil.GatherAndLint(g)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, "treadmq_") {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		}
	}
}

// The dashboard and the rules name metrics that there are, and all rules say what to do.
func TestMonitoringFiles(t *testing.T) {
	r := newRig(t, func(o *admin.Options) { o.Cluster = threeMembers("b") })
	r.basic("alice").send("/api/v1/queues/q/messages", `{"body":"x"}`)
	c := r.basic("vera")
	have := map[string]bool{}
	for _, path := range []string{"/metrics", "/metrics/per-destination"} {
		for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(c.get(path).body, -1) {
			have[m[1]] = true
		}
	}
	folder := "../docs/monitoring"
	for _, name := range []string{"alerts.yml", "grafana.json", "README.md"} {
		raw, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\btreadmq_[a-z_]+`).FindAllString(string(raw), -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric", name)
		}
		for _, m := range names {
			if !have[m] {
				t.Errorf("%s: there is no metric %s", name, m)
			}
		}
	}
	raw, err := os.ReadFile(filepath.Join(folder, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(raw, &file); err != nil || len(file.Groups) == 0 {
		t.Fatal(file, err)
	}
	for _, rule := range file.Groups[0].Rules {
		if rule.Alert == "" || rule.Expr == "" || rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%+v", rule)
		}
	}
	var board struct {
		Title  string
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	raw, err = os.ReadFile(filepath.Join(folder, "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	answer{body: string(raw)}.json(t, &board)
	for _, p := range board.Panels {
		if p.Title == "" || len(p.Targets) == 0 || p.Targets[0].Expr == "" {
			t.Errorf("%+v", p)
		}
	}
	if len(board.Panels) < 8 {
		t.Errorf("%d panels", len(board.Panels))
	}
}
