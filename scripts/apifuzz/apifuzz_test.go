//go:build apifuzz

package apifuzz

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"treadmq/scripts/internal/brokerproc"
)

// maxRun only ends a run that hangs; how much is done is a number of requests.
const maxRun = 5 * time.Minute

// TestAPIFuzz lets schemathesis look for answers that are not what openapi.json says:
// server errors, undeclared types and statuses, bodies of another shape, wrong input that
// is taken, methods that should not be there.
func TestAPIFuzz(t *testing.T) {
	st, err := filepath.Abs("../../.tools/schemathesis/bin/st")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(st); err != nil {
		t.Fatal("schemathesis is missing: scripts/deps.sh api installs it")
	}
	dir := t.TempDir()
	binary, err := brokerproc.Build(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	b, err := brokerproc.Start(brokerproc.Options{Binary: binary, Dir: filepath.Join(dir, "broker"), Realm: "admin: secret, admin\n"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	config, err := filepath.Abs("schemathesis.toml")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), maxRun)
	defer cancel()
	examples := os.Getenv("APIFUZZ_EXAMPLES")
	if examples == "" {
		examples = "12"
	}
	cmd := exec.CommandContext(ctx, st, "--config-file", config, "run", strings.TrimSuffix(b.Console(), "/admin/")+"/api/v1/openapi.json",
		"--auth", "admin:secret", "--max-examples", examples, "--workers", "2", "--exclude-path", "/api/v1/events")
	cmd.Dir = dir // it leaves a folder with what it has learned
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("schemathesis: %v\n%s", err, out)
	}
}
