//go:build unix

package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A lock outlives its file: who deletes the file of a folder in use lets no second process in.
func TestLockOutlivesItsFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	l, err := OS{}.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := (OS{}).Lock(name); !errors.Is(err, ErrLocked) {
		t.Fatalf("the folder was locked a second time: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = OS{}.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
