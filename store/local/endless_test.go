package local

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"treadmq/store"
	"treadmq/store/vfs"
)

// beheaded returns the disk of a killed store that lost its index and the segment in which its journal ended. The messages 0
// to 9 are in the first segment, and all but 7 were removed in later ones.
func beheaded(t *testing.T) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	s := open(t, Options{FS: mem, SegmentSize: 8 << 10, CheckpointInterval: 1 << 40})
	var refs []store.Ref
	for n := range 10 {
		refs = append(refs, send(t, s, 1, 4, fmt.Sprint(n)))
	}
	for s.journal.Segments()[len(s.journal.Segments())-1].First == 0 {
		send(t, s, 2, 4, strings.Repeat("x", 1000))
	}
	for n, r := range refs {
		if n != 7 {
			do(t, s, func(b *store.Batch) { b.Remove(r, store.Loc{}) })
		}
	}
	disk := mem.Snapshot()
	closeStore(t, s)
	files := segmentFiles(t, disk)
	if len(files) != 2 {
		t.Fatalf("segments %v, wanted two", files)
	}
	for _, name := range []string{files[1], "/store/index"} {
		if err := disk.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	return disk
}

// TestLostEnd: with the index and the segment lost in which the journal ended, what was acknowledged there comes back, and
// all that comes back is flagged, counted and told of, also when the first rebuild is cut off.
func TestLostEnd(t *testing.T) {
	for _, broken := range []bool{false, true} {
		disk := beheaded(t)
		var check bytes.Buffer
		if r, err := Check(disk, "/store", &check); err != nil || r.Problems < 1 || !strings.Contains(check.String(), "in a segment that is not there") {
			t.Fatalf("check: %v\n%s", err, &check)
		}
		if broken {
			full := vfs.NewFaults(disk, func(op vfs.Op) error {
				if op.Kind == vfs.OpRemove && strings.HasSuffix(op.Name, rebuildName) {
					return errors.New("no")
				}
				return nil
			})
			if s, err := openQuiet(Options{FS: full, SegmentSize: 8 << 10}); err == nil {
				closeStore(t, s)
				t.Fatal("the rebuild was not cut off")
			}
		}
		var log bytes.Buffer
		s, err := openQuiet(Options{FS: disk, SegmentSize: 8 << 10, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		total := len(bodies(t, s, 1, 4)) + len(bodies(t, s, 2, 4))
		got, _, err := s.Load(nil, 1, 4, 0, 100, 1<<20)
		if err != nil || len(got) != 10 {
			t.Fatalf("%d messages, %v", len(got), err)
		}
		for _, m := range got {
			if m.Attempts == 0 {
				t.Errorf("%q came back without a flag", m.Message)
			}
		}
		for _, words := range []string{"the journal went on in a segment that is not there", fmt.Sprint("possibly_repeated=", total)} {
			if !strings.Contains(log.String(), words) {
				t.Errorf("not in the log: %s\n%s", words, &log)
			}
		}
		closeStore(t, s)
		checkFolder(t, disk)
	}
}

// TestLostJournal: a folder that was in use and holds nothing any more does not begin empty without a word.
func TestLostJournal(t *testing.T) {
	disk := beheaded(t)
	for _, name := range segmentFiles(t, disk) {
		if err := disk.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	var check, log bytes.Buffer
	if r, err := Check(disk, "/store", &check); err != nil || r.Problems < 1 || !strings.Contains(check.String(), "holds no journal") {
		t.Fatalf("check: %v\n%s", err, &check)
	}
	s, err := openQuiet(Options{FS: disk, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if !strings.Contains(log.String(), "holds no journal") {
		t.Fatalf("the log says nothing of it:\n%s", &log)
	}
}
