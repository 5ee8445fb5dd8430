package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"treadmq/store"
	"treadmq/store/index"
	"treadmq/store/journal"
	"treadmq/store/vfs"
)

// Report is what Check found.
type Report struct {
	Segments int
	Batches  int64
	Records  int64
	Messages int64 // live references in the index
	Bytes    int64 // of the journal
	Problems int   // lines that begin with "problem"
	// Applied is the position that the index reflects, and Digest a checksum of what it says
	// then: the same on all members of a group. "" if the index cannot be read.
	Applied store.Position
	Digest  string
}

// maxProblems bounds how many problems of one kind Check prints.
const maxProblems = 100

// checking is a Check under way.
type checking struct {
	Report
	w       io.Writer
	journal *journal.Journal
	index   *index.Index
	err     error // of w
}

func (c *checking) say(format string, args ...any) {
	if c.err == nil {
		_, c.err = fmt.Fprintf(c.w, format+"\n", args...)
	}
}

func (c *checking) problem(format string, args ...any) {
	if c.Problems++; c.Problems <= maxProblems {
		c.say("problem: "+format, args...)
	}
}

// offline opens a data folder for reading: the lock, the identity, the journal, the
// index (nil if it cannot be used; why is in the error). Close what is returned. A folder on a disk that is
// mounted read-only needs no lock.
func offline(fsys vfs.FS, dir string) (lock io.Closer, m meta, j *journal.Journal, x *index.Index, indexErr, err error) {
	if _, err := fsys.Stat(filepath.Join(dir, metaName)); err != nil {
		return nil, m, nil, nil, nil, fmt.Errorf("%s is not a data folder: %w", dir, err)
	}
	lock, err = fsys.Lock(filepath.Join(dir, lockName))
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return nil, m, nil, nil, nil, fmt.Errorf("%w: %w: stop the broker first", store.ErrLocked, err)
	case errors.Is(err, syscall.EROFS): // nobody can write there
		lock = io.NopCloser(nil)
	case err != nil:
		return nil, m, nil, nil, nil, err
	}
	fail := func(err error) (io.Closer, meta, *journal.Journal, *index.Index, error, error) {
		return nil, m, nil, nil, nil, errors.Join(err, lock.Close())
	}
	if m, err = loadMeta(fsys, dir); err != nil {
		return fail(err)
	}
	if j, err = journal.Open(onlyReading{fsys}, m.data(dir), journal.Options{NoSync: true}); err != nil {
		return fail(err)
	}
	if _, err := fsys.Stat(filepath.Join(m.data(dir), rebuildName)); !errors.Is(err, fs.ErrNotExist) {
		return lock, m, j, nil, errors.New("the index is marked for a rebuild at the next start"), nil
	}
	x, indexErr = index.Open(fsys, filepath.Join(m.data(dir), indexName), index.Options{ReadOnly: true, Logger: slog.New(slog.DiscardHandler)})
	return lock, m, j, x, indexErr, nil
}

// onlyReading opens for reading what the journal would open to write to.
type onlyReading struct{ vfs.FS }

func (r onlyReading) OpenFile(name string, _ int, _ fs.FileMode) (vfs.File, error) {
	return r.FS.OpenFile(name, os.O_RDONLY, 0)
}

// Check verifies a data folder that no broker uses and writes what it finds to w:
// each batch's checksum, position and chain, each record, the index against the journal,
// live counts counted anew. It changes nothing. The error is about the
// check itself; what is wrong with the folder is in the report.
func Check(fsys vfs.FS, dir string, w io.Writer) (Report, error) {
	lock, m, j, x, indexErr, err := offline(fsys, dir)
	if err != nil {
		return Report{}, fmt.Errorf("check %s: %w", dir, err)
	}
	defer lock.Close()
	defer j.Abandon()
	c := &checking{w: w, journal: j, index: x}
	c.say("folder %s, format %d, node %s, promised epoch %d, closed properly: %t", dir, m.Format, m.Node, m.Promised, m.Clean)
	end := c.segments(&m)
	if x == nil || x.Fresh() {
		c.lastSegment(&m, end)
	}
	if x == nil {
		c.problem("index: %v; it is made again from the journal at the next start", indexErr)
	} else {
		defer x.Close()
		if err := c.checkIndex(end); err != nil {
			c.problem("index: %v; it is made again from the journal at the next start", err)
		}
	}
	c.say("%d segments with %d bytes, %d batches, %d records; %d live messages; %d problems", c.Segments, c.Bytes, c.Batches, c.Records, c.Messages, c.Problems)
	return c.Report, c.err
}

// segments verifies all segments and returns where the journal ends.
func (c *checking) segments(m *meta) store.Position {
	segs := c.journal.Segments()
	var end store.Position
	for i, seg := range segs {
		c.Segments++
		c.Bytes += seg.Size
		if i > 0 && seg.First != end {
			c.say("positions %d to %d are not there: dead segments were deleted", end, seg.First)
		}
		end = seg.First
		var batches, records int64
		var rec journal.Record
		err := c.journal.Scan(seg.First, func(h *journal.Header, b []byte) error {
			batches++
			end = h.End()
			return journal.EachRecord(h, b, &rec, func(r *journal.Record) error {
				records++
				return checkRecord(r)
			})
		})
		c.Batches += batches
		c.Records += records
		last := i == len(segs)-1
		switch {
		case err == nil:
		case last && journal.IsEnd(err) && end >= m.End:
			// preallocated room, or a write that was never acknowledged
			if at, err := c.journal.ValidAfter(seg.First, end); err != nil || at > 0 {
				c.problem("segment %s: no valid batch at position %d, but one at %d (%v); after a power cut that is a write that was never acknowledged", filepath.Base(seg.Path), end, at, err)
			}
		default:
			c.problem("%v", err)
		}
		c.say("segment %s: positions %d to %d, %d batches, %d records", filepath.Base(seg.Path), seg.First, end, batches, records)
	}
	if m.Clean && end != m.End {
		c.problem("the journal ends at %d, it was closed at %d", end, m.End)
	}
	return end
}

// lastSegment looks whether the segment is there in which the journal ended; an index knows that itself.
func (c *checking) lastSegment(m *meta, end store.Position) {
	switch went, err := c.journal.Continued(); {
	case err != nil:
		c.problem("%v", err)
	case went && !m.Clean:
		c.problem("the journal went on at position %d in a segment that is not there: what was sent and acknowledged in it is lost; restore the file if you have it", end)
	case len(c.journal.Segments()) == 0 && m.Promised > 0:
		c.problem("the folder was in use before, but holds no journal: restore the files if you have them")
	}
}

func checkRecord(r *journal.Record) error {
	if r.Kind != store.OpEnqueue && (r.Kind != store.OpMove || r.Message.Encoded == nil) {
		return nil
	}
	if crc := journal.Checksum(r.Message.Encoded); crc != r.CRC {
		return fmt.Errorf("%w: message at %d has checksum %#x, not %#x", store.ErrCorrupt, r.Body.Pos, crc, r.CRC)
	}
	return nil
}

// checkIndex reads the whole index and compares it with the journal and with itself.
func (c *checking) checkIndex(end store.Position) error {
	st := c.index.State()
	c.say("index reflects position %d of %d", st.Applied, end)
	segs := c.journal.Segments()
	switch {
	case st.Applied > end:
		c.problem("the index reflects position %d, the journal ends at %d", st.Applied, end)
	case c.index.Fresh() && len(segs) > 0 && segs[0].First > 0:
		c.problem("the index is empty, and the journal begins at position %d, which it had reached: its files are lost or damaged; it is made again from the journal at the next start", segs[0].First)
	}
	type laneCount struct{ keys int64 }
	lanes := map[laneID]laneCount{}
	live := map[store.Position]index.Live{}
	var firsts []store.Position
	for _, seg := range segs {
		firsts = append(firsts, seg.First)
	}
	count := func(at store.Position, bytes uint32) {
		i, ok := slices.BinarySearch(firsts, at)
		if !ok {
			i--
		}
		if i >= 0 {
			n := live[firsts[i]]
			live[firsts[i]] = index.Live{Refs: n.Refs + 1, Bytes: n.Bytes + int64(bytes)}
		}
	}
	it := c.index.AllRefs()
	for it.Next() {
		e := it.Entry()
		c.Messages++
		id := laneID{Dest: e.Dest, Lane: e.Lane}
		lanes[id] = laneCount{lanes[id].keys + 1}
		count(e.Pos, e.Share)
		if e.RefPos != 0 {
			count(e.RefPos, e.Own)
		}
		c.checkMessage(e)
		if e.Key != "" {
			if seq, err := c.index.FindKey(e.Dest, e.Lane, e.Key); err != nil || seq < e.Seq {
				c.problem("index: the key %q does not lead to %s but to number %d (%v)", e.Key, e.Ref, seq, err)
			}
		}
	}
	err := it.Close()
	if err == nil {
		err = c.checkKeys()
	}
	if err == nil {
		c.Digest, err = c.index.Digest()
	}
	if err != nil {
		return err
	}
	c.Applied = st.Applied
	c.say("index digest %s", c.Digest)
	err = c.index.Lanes(func(d store.DestID, n store.Lane, l index.Lane) error {
		id := laneID{Dest: d, Lane: n}
		if l.Keys != lanes[id].keys {
			c.problem("index: destination %d lane %d counts %d references, it has %d", d, n, l.Keys, lanes[id].keys)
		}
		delete(lanes, id)
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range slices.SortedFunc(maps.Keys(lanes), laneID.Compare) {
		c.problem("index: destination %d lane %d has %d references and no count", id.Dest, id.Lane, lanes[id].keys)
	}
	return c.compareLive(live)
}

// checkKeys demands that each key leads to a reference that has it.
func (c *checking) checkKeys() error {
	return c.index.Keys(func(key string, r store.Ref) error {
		if e, err := c.index.Find(r); err != nil || e.Key != key {
			c.problem("index: the key %q leads to %s, which has the key %q (%v)", key, r, e.Key, err)
		}
		return nil
	})
}

func (c *checking) compareLive(live map[store.Position]index.Live) error {
	err := c.index.Segments(func(first store.Position, n index.Live) error {
		if live[first] != n {
			c.problem("index: segment at %d counts %d references and %d bytes alive, it has %d and %d", first, n.Refs, n.Bytes, live[first].Refs, live[first].Bytes)
		}
		delete(live, first)
		return nil
	})
	for _, first := range slices.Sorted(maps.Keys(live)) {
		c.problem("index: segment at %d has %d live references and no count", first, live[first].Refs)
	}
	return err
}

// checkMessage reads the message of a reference and verifies it.
func (c *checking) checkMessage(e *index.Entry) {
	if e.Size > journal.MaxBatch {
		c.problem("message of %s: %d bytes are more than possible", e.Ref, e.Size)
		return
	}
	b := make([]byte, e.Size)
	if path, off, err := c.journal.ReadAt(b, e.Pos); err != nil {
		c.problem("message of %s: %v", e.Ref, err)
	} else if journal.Checksum(b) != e.CRC {
		c.problem("message of %s fails its checksum: %s, offset %d", e.Ref, path, off)
	}
}
