package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promtool is Prometheus's own checker: that of scripts/deps.sh api, or the machine's.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	program, err := filepath.Abs("../.tools/bin/promtool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath("promtool"); err != nil {
			t.Skip("there is no promtool; scripts/deps.sh api installs it")
		}
	}
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolTakesMetricsAndRules(t *testing.T) {
	promtool(t, "", "check", "rules", "../docs/monitoring/alerts.yml")
	r := newRig(t)
	r.basic("alice").send("/api/v1/queues/a%22b%5C/messages", `{"body":"x"}`)
	own := regexp.MustCompile(`(?m)^(# (HELP|TYPE) )?treadmq_.*\n`)
	for _, path := range []string{"/metrics", "/metrics/per-destination"} {
		text := r.basic("vera").get(path).must(t, http.StatusOK).body
		promtool(t, strings.Join(own.FindAllString(text, -1), ""), "check", "metrics")
	}
}

// The dashboard's expressions are PromQL: Grafana would only show a panel without data.
func TestPromtoolTakesDashboard(t *testing.T) {
	raw, err := os.ReadFile("../docs/monitoring/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(raw, &board); err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`\$\{?(__)?[a-z_]+\}?`)
	rules, n := "groups:\n- name: dashboard\n  rules:\n", 0
	for _, p := range board.Panels {
		for _, x := range p.Targets {
			n++
			rules += fmt.Sprintf("  - record: treadmq:panel:%d\n    expr: %q\n", n, variable.ReplaceAllString(x.Expr, "5m"))
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", file)
	if n < 8 {
		t.Errorf("only %d expressions were found", n)
	}
}
