package local

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// MemberOf returns the identity and the membership of a folder that nobody has open, also
// when what else is in it is damaged. A folder that is not there yet has neither.
func MemberOf(o Options) (node string, m Membership, err error) {
	if err := o.complete(); err != nil {
		return "", m, err
	}
	x, err := loadMeta(o.FS, o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", m, nil
	}
	if err != nil {
		return "", m, err
	}
	return x.Node, Membership{x.Cluster, x.Promised, x.Suspect, x.Extra}, nil
}

// SaveMember makes a membership durable in a folder that nobody has open, because it
// is damaged.
func SaveMember(o Options, m Membership) error {
	if err := o.complete(); err != nil {
		return err
	}
	lock, err := o.FS.Lock(filepath.Join(o.Dir, lockName))
	if err != nil {
		return fmt.Errorf("save the membership in %s: %w", o.Dir, err)
	}
	return errors.Join(NoteMember(o, m), lock.Close())
}

// NoteMember is SaveMember for who holds the folder and has found its store failed.
func NoteMember(o Options, m Membership) error {
	if err := o.complete(); err != nil {
		return err
	}
	x, err := loadMeta(o.FS, o.Dir)
	if err == nil && m.Promised < x.Promised {
		err = fmt.Errorf("promise epoch %d: %d is promised already", m.Promised, x.Promised)
	}
	if err == nil {
		x.set(m)
		err = x.save(o.FS, o.Dir)
	}
	if err != nil {
		return fmt.Errorf("save the membership in %s: %w", o.Dir, err)
	}
	return nil
}
