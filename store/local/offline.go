package local

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"treadmq/store"
)

// StatsOf opens the store in o.Dir, which no broker uses, and returns its figures.
// Like every start it replays what the index lacks and begins a new epoch.
func StatsOf(o Options) (store.Stats, error) {
	s, err := openExisting(o)
	if err != nil {
		return store.Stats{}, err
	}
	st := s.Stats()
	return st, s.Close()
}

// Compact opens the store in o.Dir, which no broker uses, rewrites what is left in
// sparse segments, and returns the figures before and after.
func Compact(o Options) (before, after store.Stats, err error) {
	s, err := openExisting(o)
	if err != nil {
		return before, after, err
	}
	before = s.Stats()
	err = (&compactor{store: s, gave: map[store.Position]int64{}, all: true}).run()
	after = s.Stats()
	return before, after, errors.Join(err, s.Close())
}

// Rebuild makes the index of the store in o.Dir, which no broker uses, again from
// the journal, and returns the figures afterwards.
func Rebuild(o Options) (store.Stats, error) {
	o.rebuild = true
	return StatsOf(o)
}

// openExisting is Open for a folder that must be there.
func openExisting(o Options) (*Store, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if _, err := o.FS.Stat(filepath.Join(o.Dir, metaName)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is not a data folder: %w", o.Dir, err)
		}
		return nil, err
	}
	return Open(o)
}
