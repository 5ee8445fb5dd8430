//go:build !linux

package vfs

// appender is how a file is appended to: here like all other writes.
type appender struct{}

// Append implements File.
func (f *osFile) Append(p []byte, off int64, sync bool) error {
	if _, err := f.WriteAt(p, off); err != nil || !sync {
		return err
	}
	return f.Sync()
}

func (*appender) cut() {}
