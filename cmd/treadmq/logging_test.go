package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"treadmq/conf"
)

func TestDurationsInTheLogHaveUnits(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		file := filepath.Join(t.TempDir(), "log")
		log, _, closeLog := openLog(conf.Log{File: file, Format: format, Level: "info"})
		log.Info("replayed", "took", 1500*time.Millisecond)
		closeLog()
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), "1.5s") {
			t.Errorf("%s: %q, %v: want 1.5s in it", format, text, err)
		}
	}
}
