package vfs

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

func put(t testing.TB, fsys FS, name, text string, sync bool) {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
}

func get(t testing.TB, fsys FS, name string) (string, bool) {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n != len(b) {
		t.Fatal(n, err)
	}
	return string(b), true
}

// TestCrash: what was synced survives a power cut, names and contents each by their own sync.
func TestCrash(t *testing.T) {
	m := NewMem()
	if err := m.MkdirAll("/d", 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, m, "/d/both", "old", true)
	put(t, m, "/d/name only", "lost", false)
	if err := m.SyncDir("/d"); err != nil {
		t.Fatal(err)
	}
	put(t, m, "/d/contents only", "lost", true)
	put(t, m, "/d/both", "new", false)
	after := m.Crash(nil)
	for name, want := range map[string]string{"/d/both": "old", "/d/name only": ""} {
		if got, ok := get(t, after, name); !ok || got != want {
			t.Errorf("%s holds %q (%t), want %q", name, got, ok, want)
		}
	}
	if _, ok := get(t, after, "/d/contents only"); ok {
		t.Error("a name that was not synced survived")
	}
	if got, _ := get(t, m.Snapshot(), "/d/both"); got != "new" {
		t.Errorf("a killed process lost %q", got)
	}
	if got, _ := get(t, m, "/d/both"); got != "new" {
		t.Error("the crash changed the original")
	}
	seen := map[string]bool{}
	rnd := rand.New(rand.NewSource(1))
	for range 50 {
		got, _ := get(t, m.Crash(rnd.Intn), "/d/both")
		seen[got] = true
	}
	if !seen["old"] || !seen["new"] {
		t.Errorf("random crashes gave %v", seen)
	}
}

// TestMemIsLikeOS does the same random operations on both.
func TestMemIsLikeOS(t *testing.T) {
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		dir := filepath.Join(root, "d"+string(rune('a'+n%26)))
		real, mem := OS{}, NewMem()
		os.RemoveAll(dir)
		var files [2]File
		for i, f := range []FS{real, mem} {
			if err := f.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			var err error
			if files[i], err = f.OpenFile(filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
				t.Fatal(err)
			}
			defer files[i].Close()
		}
		for range rapid.IntRange(1, 12).Draw(t, "ops") {
			at := rapid.Int64Range(0, 20000).Draw(t, "at")
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				p := bytes.Repeat([]byte{byte(at)}, rapid.IntRange(0, 9000).Draw(t, "len"))
				for _, f := range files {
					if _, err := f.WriteAt(p, at); err != nil {
						t.Fatal(err)
					}
				}
			case 1:
				for _, f := range files {
					if err := f.Truncate(at); err != nil {
						t.Fatal(err)
					}
				}
			case 2:
				for _, f := range files {
					if err := f.Allocate(at + 1); err != nil {
						t.Fatal(err)
					}
				}
			case 3:
				for _, f := range files {
					if err := f.Sync(); err != nil {
						t.Fatal(err)
					}
				}
			}
			a, b := make([]byte, 40000), make([]byte, 40000)
			na, _ := files[0].ReadAt(a, 0)
			nb, _ := files[1].ReadAt(b, 0)
			if !bytes.Equal(a[:na], b[:nb]) {
				t.Fatalf("%d bytes and %d bytes differ", na, nb)
			}
		}
	})
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []FS{OS{}, NewMem()} {
		l, err := f.Lock(filepath.Join(dir, "LOCK"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Lock(filepath.Join(dir, "LOCK")); !errors.Is(err, ErrLocked) {
			t.Fatalf("second lock: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, err = f.Lock(filepath.Join(dir, "LOCK"))
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}

func TestLimit(t *testing.T) {
	m := NewMem()
	m.SetLimit(10 * pageSize)
	f, err := m.OpenFile("/f", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Allocate(8 * pageSize); err != nil {
		t.Fatal(err)
	}
	put(t, m, "/g", "2 pages are left", false)
	if _, err := f.WriteAt(make([]byte, 8*pageSize), 0); err != nil {
		t.Fatal("reserved room was not there:", err)
	}
	if _, err := f.WriteAt(make([]byte, 2*pageSize), 8*pageSize); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if free, _ := m.Free("/"); free != pageSize {
		t.Fatalf("%d bytes are free", free)
	}
}

func TestParseFault(t *testing.T) {
	for _, bad := range []string{"", "sync", "sync:0:EIO", "sync:x:EIO", "sync:1:EPERM"} {
		if _, err := ParseFault(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	hook, err := ParseFault("sync@.log:2+:EIO")
	if err != nil {
		t.Fatal(err)
	}
	f := NewFaults(NewMem(), hook)
	a, _ := f.OpenFile("/a.log", os.O_RDWR|os.O_CREATE, 0o600)
	b, _ := f.OpenFile("/b", os.O_RDWR|os.O_CREATE, 0o600)
	got := []error{b.Sync(), a.Sync(), b.Sync(), a.Sync(), a.Sync()}
	for i, err := range got {
		if want := i >= 3; errors.Is(err, syscall.EIO) != want {
			t.Errorf("sync %d: %v", i, err)
		}
	}
	if hook, err = ParseFault("sync:1:1ms"); err != nil || hook(Op{OpSync, "/a"}) != nil {
		t.Errorf("a wait is an error: %v", err)
	}
}

func TestOverlay(t *testing.T) {
	inner := NewMem()
	put(t, inner, "/a", "inner", true)
	put(t, inner, "/b", "inner", true)
	o := NewOverlay(inner)
	f, err := o.OpenFile("/a", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("overlay"), 0); err != nil {
		t.Fatal(err)
	}
	if err := o.Remove("/b"); err != nil {
		t.Fatal(err)
	}
	if got, _ := get(t, o, "/a"); got != "overlay" {
		t.Errorf("/a holds %q", got)
	}
	if _, ok := get(t, o, "/b"); ok {
		t.Error("/b is still there")
	}
	if _, err := o.OpenFile("/b", os.O_RDWR, 0); err == nil {
		t.Error("a removed file was opened")
	}
	names, err := o.ReadDir("/")
	if err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
	for _, n := range []string{"/a", "/b"} {
		if got, _ := get(t, inner, n); got != "inner" {
			t.Errorf("inner %s holds %q", n, got)
		}
	}
}
