package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"treadmq/store"
	"treadmq/store/vfs"
)

func mustOpen(t testing.TB, fs vfs.FS, dir string, r *Recovery) *Journal {
	t.Helper()
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	j, err := Open(fs, dir, Options{SegmentSize: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if r == nil {
		r = &Recovery{}
	}
	if err := j.Recover(r, func(*Header, []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Abandon)
	return j
}

// write appends a batch of one record and returns its position.
func write(t testing.TB, j *Journal, e store.Epoch, value string) store.Position {
	t.Helper()
	b, _ := AppendOp(make([]byte, HeaderSize), &store.Op{Kind: store.OpPut, Key: []byte("k"), Value: []byte(value)}, 0, 0)
	b = append(b, make([]byte, TrailerSize)...)
	if !j.Fits(len(b)) {
		if err := j.Roll(e, NewMetadata(), len(b)); err != nil {
			t.Fatal(err)
		}
	}
	at := j.Seal(b, Header{Records: 1, Epoch: e})
	if err := j.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	return at
}

// TestCopyAndTruncate copies a journal batch by batch, lets both go on differently,
// finds where they part, cuts one back and copies again: the files become the same.
func TestCopyAndTruncate(t *testing.T) {
	fs := vfs.NewMem()
	a, b := mustOpen(t, fs, "/a", nil), mustOpen(t, fs, "/b", nil)
	ea := store.EpochList{}.Add(1, 0)
	for i := range 30 {
		write(t, a, 1, strings.Repeat("x", i*40))
	}
	eb := copyAll(t, a, b, nil)
	common := a.End()
	ea, eb = ea.Add(3, common), eb.Add(2, common)
	write(t, a, 3, "of three")
	for range 10 {
		write(t, b, 2, strings.Repeat("lost", 200))
	}
	at, ok := store.Divergence(ea, a.End(), eb, b.End())
	if !ok || at != common {
		t.Fatalf("they part at %d (%t), want %d", at, ok, common)
	}
	if _, err := b.AppendRaw(b.End(), []byte("nonsense"), eb); err == nil {
		t.Fatal("nonsense was taken")
	}
	if err := b.TruncateTo(at - 1); err == nil {
		t.Fatal("truncated inside a batch")
	}
	if err := b.TruncateTo(at); err != nil {
		t.Fatal(err)
	}
	eb = copyAll(t, a, b, eb.Truncate(at))
	if diff := cmp.Diff(ea, eb); diff != "" {
		t.Fatalf("epochs (-a +b):\n%s", diff)
	}
	ca, _ := a.ChainAt(common)
	cb, err := b.ChainAt(common)
	if err != nil || ca != cb || a.Chain() != b.Chain() || a.End() != b.End() {
		t.Fatalf("chains %x %x, ends %d %d, %v", ca, cb, a.End(), b.End(), err)
	}
	var sa, sb []store.Position
	for _, s := range a.Segments() {
		sa = append(sa, s.First)
	}
	for _, s := range b.Segments() {
		sb = append(sb, s.First)
	}
	if diff := cmp.Diff(sa, sb); diff != "" {
		t.Fatalf("segments (-a +b):\n%s", diff)
	}
	end := b.End()
	b.Abandon()
	var n int
	j, err := Open(fs, "/b", Options{SegmentSize: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Abandon()
	if err := j.Recover(&Recovery{Clean: end, Whole: true}, func(*Header, []byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	if n < 31 || j.End() != end {
		t.Fatalf("%d batches up to %d after a restart, want %d", n, j.End(), end)
	}
}

// copyAll copies from one journal to another what it lacks.
func copyAll(t *testing.T, from, to *Journal, epochs store.EpochList) store.EpochList {
	t.Helper()
	for {
		b, err := from.ReadBatches(nil, to.End(), 1000)
		if errors.Is(err, io.EOF) {
			return epochs
		}
		if err != nil {
			t.Fatal(err)
		}
		if epochs, err = to.AppendRaw(to.End(), b, epochs); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAppendRawRefuses alters each byte of a batch: none is taken.
func TestAppendRawRefuses(t *testing.T) {
	fs := vfs.NewMem()
	a, b := mustOpen(t, fs, "/a", nil), mustOpen(t, fs, "/b", nil)
	write(t, a, 5, "value")
	raw, err := a.ReadBatches(nil, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	n := int(binary.LittleEndian.Uint32(raw[4:])) // the first batch
	for i := range n - TrailerSize {
		bad := bytes.Clone(raw[:n])
		bad[i] ^= 1
		if _, err := b.AppendRaw(0, bad, nil); err == nil {
			t.Fatalf("byte %d was altered and taken", i)
		}
		if b.End() != 0 {
			t.Fatalf("byte %d: something was written", i)
		}
	}
	if _, err := b.AppendRaw(0, raw, store.EpochList{}.Add(6, 0)); err == nil {
		t.Fatal("a lower epoch was taken")
	}
	if _, err := b.AppendRaw(7, raw, nil); err == nil {
		t.Fatal("taken at another position")
	}
	if _, err := b.AppendRaw(0, raw, store.EpochList{}.Add(5, 0)); err != nil {
		t.Fatal(err)
	}
}

// TestDivergence checks the point of parting against two lists that were made
// from a common history.
func TestDivergence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var common store.EpochList
		pos, epoch := store.Position(0), store.Epoch(0)
		next := func(l store.EpochList) store.EpochList {
			epoch += store.Epoch(rapid.IntRange(1, 3).Draw(t, "epoch"))
			l = l.Add(epoch, pos)
			pos += store.Position(rapid.IntRange(1, 100).Draw(t, "bytes"))
			return l
		}
		for range rapid.IntRange(1, 5).Draw(t, "common") {
			common = next(common)
		}
		fork := pos
		grow := func() (store.EpochList, store.Position) {
			l := append(store.EpochList{}, common...)
			pos = fork
			for range rapid.IntRange(0, 3).Draw(t, "own") {
				l = next(l)
			}
			return l, pos
		}
		a, aEnd := grow()
		b, bEnd := grow()
		got, ok := store.Divergence(a, aEnd, b, bEnd)
		if !ok || got != fork {
			t.Fatalf("%v to %d and %v to %d part at %d (%t), want %d", a, aEnd, b, bEnd, got, ok, fork)
		}
	})
}

// ops are one of each kind with every field set.
func ops() []store.Op {
	refs := []store.NewRef{
		{Dest: 1, Lane: 9, Attempts: 3, Overlay: []byte("why"), Expiry: -5, OwnExpiry: true},
		{Dest: 1 << 31, Lane: 0},
	}
	return []store.Op{
		{Kind: store.OpEnqueue, Refs: refs, N: 77, Message: store.Message{ID: 9, Flags: 3, Expiry: 1 << 41, Encoded: []byte("body"), Producer: "p", ProducerSeq: 7, DedupKey: "d"}},
		{Kind: store.OpLink, Ref: store.Ref{Dest: 3, Lane: 4, Seq: 5}, Refs: refs, N: 8, Message: store.Message{ID: 4, Flags: 1, Expiry: 3}},
		{Kind: store.OpRemove, Ref: store.Ref{Dest: 3, Lane: 4, Seq: 1<<64 - 1}},
		{Kind: store.OpAttempts, Ref: store.Ref{Dest: 3, Lane: 4, Seq: 5}, N: 4, Until: -1},
		{Kind: store.OpMark, Ref: store.Ref{Dest: 3, Lane: 4, Seq: 5}},
		{Kind: store.OpPurge, Ref: store.Ref{Dest: 3, Seq: 5}, Keep: []store.Seq{1, 2}},
		{Kind: store.OpDrop, Ref: store.Ref{Dest: 3, Seq: 5}},
		{Kind: store.OpPut, Key: []byte("key"), Value: []byte("value")},
		{Kind: store.OpDelete, Key: []byte("key")},
	}
}

// TestRecords writes and reads one record of each kind.
func TestRecords(t *testing.T) {
	for _, op := range ops() {
		b, body := AppendOp(nil, &op, 1000, 1010)
		if n := OpSize(&op); n < len(b) {
			t.Errorf("kind %d: size %d is not above %d", op.Kind, n, len(b))
		}
		var rec Record
		n, err := Decode(&rec, b, 5000, 1000)
		if err != nil || n != len(b) {
			t.Fatalf("kind %d: %d of %d bytes, %v", op.Kind, n, len(b), err)
		}
		if op.Kind == store.OpEnqueue || op.Kind == store.OpLink {
			if rec.Seq != 1010 || rec.CRC != op.N {
				t.Errorf("kind %d: seq %d, checksum %d", op.Kind, rec.Seq, rec.CRC)
			}
			op.N = 0
		}
		if op.Kind == store.OpEnqueue && rec.Body.Pos != 5000+store.Position(body) {
			t.Errorf("body at %d, want %d", rec.Body.Pos, 5000+body)
		}
		if diff := cmp.Diff(op, rec.Op, cmp.Comparer(bytes.Equal), cmp.Comparer(func(a, b []store.NewRef) bool {
			return fmt.Sprint(a) == fmt.Sprint(b)
		}), cmp.Comparer(func(a, b []store.Seq) bool { return fmt.Sprint(a) == fmt.Sprint(b) })); diff != "" {
			t.Errorf("kind %d (-want +got):\n%s", op.Kind, diff)
		}
		for cut := range len(b) {
			if _, err := Decode(&rec, b[:cut], 0, 0); err == nil {
				t.Errorf("kind %d cut at %d was decoded", op.Kind, cut)
			}
		}
	}
}

// TestMoveAndMetadata writes and reads the records that the store makes itself.
func TestMoveAndMetadata(t *testing.T) {
	for i, encoded := range [][]byte{nil, []byte("body"), []byte("with")} {
		m := Move{
			ID: 5, Flags: 2, CRC: 9, Encoded: encoded, Key: []string{"", "", "key"}[i],
			Refs: []Moved{{Ref: store.Ref{Dest: 1, Lane: 2, Seq: 3}, Expiry: 4, Attempts: 5, Overlay: []byte("o")}, {Ref: store.Ref{Dest: 1, Seq: 4}, ID: 6}},
		}
		if encoded == nil {
			m.Body = store.Loc{Pos: 77, Size: 4}
		}
		b, _ := AppendOp(nil, &store.Op{Kind: store.OpMove, Value: AppendMove(nil, &m)}, 0, 0)
		var rec Record
		if _, err := Decode(&rec, b, 100, 0); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m.Refs, rec.Moved); diff != "" || !bytes.Equal(rec.Message.Encoded, encoded) || rec.CRC != 9 || rec.Body.Size != 4 || rec.Message.DedupKey != m.Key {
			t.Fatalf("%+v\n%s", rec, diff)
		}
	}
	meta := NewMetadata()
	meta.NextSeq = 99
	meta.Epochs = meta.Epochs.Add(1, 0).Add(4, 500)
	meta.Catalog["a"], meta.Catalog["b"] = []byte("1"), []byte{}
	meta.Mark(store.Ref{Dest: 1, Lane: 2, Seq: 3})
	b, _ := AppendOp(nil, &store.Op{Kind: store.OpCatalog, Value: meta.Append(nil)}, 0, 0)
	var rec Record
	if _, err := Decode(&rec, b, 0, 0); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(meta, rec.Meta); diff != "" {
		t.Fatal(diff)
	}
}

// FuzzDecode: any bytes give a record or an error, and a record that was decoded
// is no longer than its bytes.
func FuzzDecode(f *testing.F) {
	for _, op := range ops() {
		b, _ := AppendOp(nil, &op, 0, 10)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var rec Record
		n, err := Decode(&rec, b, 0, 0)
		if err == nil && (n < RecordHeader || n > len(b)) {
			t.Fatalf("%d of %d bytes", n, len(b))
		}
	})
}

// FuzzScan: a journal file with any contents is recovered or refused, never with a
// batch that was not sealed.
func FuzzScan(f *testing.F) {
	fs := vfs.NewMem()
	j := mustOpen(f, fs, "/j", nil)
	for i := range 3 {
		write(f, j, 1, strings.Repeat("x", i*10))
	}
	whole := make([]byte, j.End())
	if _, _, err := j.ReadAt(whole, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(whole, true)
	f.Add(whole[:len(whole)-1], false)
	f.Fuzz(func(t *testing.T, b []byte, sameBoot bool) {
		fs := vfs.NewMem()
		if err := fs.MkdirAll("/j", 0o700); err != nil {
			t.Fatal(err)
		}
		file, err := fs.OpenFile("/j/"+SegmentName(0), 0x42, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		j, err := Open(fs, "/j", Options{SegmentSize: 4 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Abandon()
		var rec Record
		err = j.Recover(&Recovery{Whole: sameBoot}, func(h *Header, batch []byte) error {
			if batchCRC(batch) != h.CRC {
				t.Fatalf("batch at %d was not verified", h.Position)
			}
			return EachRecord(h, batch, &rec, func(*Record) error { return nil })
		})
		if err == nil && int(j.End()) > len(b) {
			t.Fatalf("journal ends at %d of %d", j.End(), len(b))
		}
	})
}

// TestCutIsErased: a power cut leaves a hole and a whole batch behind it. The cut
// must take that batch away too, else the next start finds it and calls it damage.
func TestCutIsErased(t *testing.T) {
	fs := vfs.NewMem()
	j := mustOpen(t, fs, "/j", nil)
	write(t, j, 1, "first")
	torn := write(t, j, 1, "second")
	write(t, j, 1, "third, which the disk wrote before the second")
	name := j.Segments()[0].Path
	j.Abandon()
	fs.Flip(name, int64(torn)+HeaderSize, 0)
	j = mustOpen(t, fs, "/j", &Recovery{Whole: false})
	if j.End() != torn {
		t.Fatalf("the journal ends at %d, want %d", j.End(), torn)
	}
	write(t, j, 2, "short")
	end := j.End()
	j.Abandon()
	if j = mustOpen(t, fs, "/j", &Recovery{Whole: true}); j.End() != end {
		t.Fatalf("the journal ends at %d, want %d", j.End(), end)
	}
}

// TestChain: a batch of another history that fits in position, epoch and checksum is refused.
func TestChain(t *testing.T) {
	fs := vfs.NewMem()
	a, b := mustOpen(t, fs, "/a", nil), mustOpen(t, fs, "/b", nil)
	write(t, a, 1, "mine")
	write(t, b, 1, "your")
	if a.End() != b.End() {
		t.Fatal("the histories must be of one length")
	}
	at := b.End()
	write(t, b, 1, "next")
	raw, err := b.ReadBatches(nil, at, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.AppendRaw(at, raw, store.EpochList{}.Add(1, 0)); err == nil || !strings.Contains(err.Error(), "chain") {
		t.Fatalf("append: %v", err)
	}
}
