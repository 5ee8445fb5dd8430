package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"treadmq/store"
	"treadmq/store/index"
	"treadmq/store/journal"
	"treadmq/store/vfs"
)

// subPrefix and a number is the name of a folder in which a snapshot gathers, beside
// the store that it will replace. The meta file says which folder counts.
const subPrefix = "snapshot-"

// nextSub is the folder for the next snapshot.
func (m *meta) nextSub() string {
	n, _ := strconv.Atoi(strings.TrimPrefix(m.Sub, subPrefix)) // 0 if there was none
	return subPrefix + strconv.Itoa(n+1)
}

// Stage is a snapshot of another member in the making, in a folder beside the
// member's own store. That stays as it is until Install. What was staged survives a
// restart: segments that are complete are not fetched again.
type Stage struct {
	o     Options
	dir   string
	group string
	segs  []SegmentInfo
	at    store.Position
	have  map[store.Position]store.Position // bytes of segments that are there, by first position
	file  vfs.File
	open  store.Position // first position of the segment in file
	index *index.Copy
}

// NewStage begins or goes on to stage a snapshot. What is there and does not belong
// to it is removed.
func NewStage(o Options, group string, at store.Position, segs []SegmentInfo) (*Stage, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	own, err := loadMeta(o.FS, o.Dir)
	if err != nil {
		return nil, fmt.Errorf("stage a snapshot: %w", err)
	}
	st := &Stage{o: o, dir: filepath.Join(o.Dir, own.nextSub()), group: group, segs: slices.Clone(segs), at: at, have: map[store.Position]store.Position{}}
	if err := st.begin(); err != nil {
		return nil, fmt.Errorf("stage a snapshot in %s: %w", st.dir, err)
	}
	return st, nil
}

func (st *Stage) begin() error {
	if err := checkSegments(st.segs, st.at); err != nil {
		return err
	}
	if err := st.o.FS.MkdirAll(st.dir, 0o700); err != nil {
		return err
	}
	if err := st.o.FS.SyncDir(st.o.Dir); err != nil {
		return err
	}
	names, err := st.o.FS.ReadDir(st.dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if n == indexName {
			continue // made anew
		}
		if err := st.keep(n); err != nil {
			return err
		}
	}
	st.index, err = index.NewCopy(st.o.FS, filepath.Join(st.dir, indexName), index.Options{
		CacheBytes: st.o.IndexCache, WriteBuffer: st.o.IndexBuffer, Logger: st.o.Logger})
	return err
}

// keep takes over a segment that is complete and removes everything else.
func (st *Stage) keep(name string) error {
	path := filepath.Join(st.dir, name)
	first, ok := journal.ParseSegmentName(name)
	if ok {
		for _, seg := range st.segs {
			size, err := st.o.FS.Stat(path)
			if err != nil {
				return err
			}
			// The last segment grows, and a shorter file may have been cut anywhere.
			if seg.First == first && store.Position(size) == seg.End-seg.First && seg != st.segs[len(st.segs)-1] {
				st.have[first] = seg.End
				return nil
			}
		}
	}
	return st.o.FS.RemoveAll(path)
}

func checkSegments(segs []SegmentInfo, at store.Position) error {
	const most = 1 << 16 // segments
	if len(segs) == 0 || len(segs) > most {
		return fmt.Errorf("a snapshot of %d segments is not possible", len(segs))
	}
	for i, s := range segs {
		if s.End < s.First || (i > 0 && s.First < segs[i-1].End) || (i > 0 && segs[i-1].End > at && s.First != segs[i-1].End) {
			return fmt.Errorf("the segments of a snapshot overlap or have a gap behind %d: %v", at, s)
		}
	}
	if segs[len(segs)-1].End < at {
		return fmt.Errorf("the segments of a snapshot end before %d, which its index reflects", at)
	}
	return nil
}

// Missing returns the next bytes that are not there; ok is false when all segments are complete.
func (st *Stage) Missing() (at, end store.Position, ok bool) {
	for _, seg := range st.segs {
		have := max(st.have[seg.First], seg.First)
		if have < seg.End {
			return have, seg.End, true
		}
	}
	return 0, 0, false
}

// Have is how many bytes of the segment that begins at first are there.
func (st *Stage) Have(first store.Position) store.Position {
	return max(st.have[first], first) - first
}

// Write adds bytes of segments where Missing said.
func (st *Stage) Write(at store.Position, b []byte) error {
	want, end, ok := st.Missing()
	if !ok || at != want || at+store.Position(len(b)) > end || len(b) == 0 {
		return fmt.Errorf("stage a snapshot: %d bytes at %d do not continue it at %d", len(b), at, want)
	}
	i := slices.IndexFunc(st.segs, func(s SegmentInfo) bool { return at >= s.First && at < s.End })
	seg := st.segs[i]
	if st.file == nil {
		f, err := st.o.FS.OpenFile(filepath.Join(st.dir, journal.SegmentName(seg.First)), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		st.file, st.open = f, seg.First
	}
	if _, err := st.file.WriteAt(b, int64(at-seg.First)); err != nil {
		return fmt.Errorf("stage a snapshot: %w", err)
	}
	st.have[seg.First] = at + store.Position(len(b))
	if st.have[seg.First] < seg.End {
		return nil
	}
	f := st.file
	st.file = nil
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("stage a snapshot: %w", err)
	}
	return nil
}

// WriteIndex adds what Snapshot.ReadIndex returned.
func (st *Stage) WriteIndex(pairs []byte) error { return st.index.Write(pairs) }

// Finish brings everything to stable storage and checks it: the index, the segments
// in which something is alive, the journal behind the index batch by batch. It
// returns where the journal ends. Install may follow, at any later time.
func (st *Stage) Finish(m Membership) (store.Position, error) {
	if at, _, missing := st.Missing(); missing {
		return 0, fmt.Errorf("finish a snapshot: bytes are missing at %d", at)
	}
	err := st.index.Close()
	st.index = nil
	if err != nil {
		return 0, err
	}
	end, err := st.check(m)
	if err != nil {
		return 0, fmt.Errorf("finish a snapshot: %w", err)
	}
	return end, st.o.FS.SyncDir(st.dir)
}

func (st *Stage) check(m Membership) (store.Position, error) {
	own, err := loadMeta(st.o.FS, st.o.Dir)
	if err != nil {
		return 0, err
	}
	own.set(m)
	own.Sub, own.Group, own.Boot, own.Clean, own.End = "", st.group, st.o.BootID, true, st.segs[len(st.segs)-1].End
	if err := own.save(st.o.FS, st.dir); err != nil {
		return 0, err
	}
	o := st.o
	o.Dir, o.DiskReserve = st.dir, 1 // the reserve is beside it
	r, err := OpenReplica(o, st.group)
	if err != nil {
		return 0, err
	}
	state := r.State()
	err = r.Close()
	if state.Applied < st.at {
		err = errors.Join(err, fmt.Errorf("the index reflects %d, not %d", state.Applied, st.at))
	}
	for _, n := range []string{lockName, reserveName} {
		if e := st.o.FS.Remove(filepath.Join(st.dir, n)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return state.End, err
}

// Abandon gives the stage up; complete segments stay for the next one.
func (st *Stage) Abandon() {
	if st.index != nil {
		st.index.Abandon()
	}
	if st.file != nil {
		st.file.Close() // it is not complete
	}
}

// Install makes a finished snapshot the member's store, with what the member says of
// itself: all of it, or, when the machine goes down before, nothing. The member's
// replica must be closed.
func Install(o Options, m Membership) error {
	if err := o.complete(); err != nil {
		return err
	}
	lock, err := o.FS.Lock(filepath.Join(o.Dir, lockName))
	if err == nil {
		err = errors.Join(install(&o, m), lock.Close())
	}
	if err != nil {
		return fmt.Errorf("install a snapshot in %s: %w", o.Dir, err)
	}
	return nil
}

func install(o *Options, m Membership) error {
	old, err := loadMeta(o.FS, o.Dir)
	if err != nil {
		return err
	}
	now := old
	now.Sub = old.nextSub()
	staged, err := loadMeta(o.FS, now.data(o.Dir))
	if err != nil {
		return err
	}
	now.set(m)
	now.Group, now.Boot, now.Clean, now.End = staged.Group, staged.Boot, staged.Clean, staged.End
	if err := now.save(o.FS, o.Dir); err != nil { // this is the moment
		return err
	}
	return removeReplaced(o, &now)
}

// removeReplaced removes what an installed snapshot has replaced. It may be
// interrupted, and is called again at the next start.
func removeReplaced(o *Options, m *meta) error {
	if m.Sub == "" {
		return nil
	}
	names, err := o.FS.ReadDir(o.Dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		_, segment := journal.ParseSegmentName(n)
		sub := strings.HasPrefix(n, subPrefix) && n != m.Sub && n != m.nextSub()
		if !segment && !sub && n != indexName && n != rebuildName {
			continue
		}
		if err := o.FS.RemoveAll(filepath.Join(o.Dir, n)); err != nil {
			return err
		}
	}
	if err := o.FS.Remove(filepath.Join(m.data(o.Dir), metaName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // it was only the mark of a finished snapshot
	}
	return o.FS.SyncDir(o.Dir)
}
