package index

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/syndtr/goleveldb/leveldb/storage"

	"treadmq/store/vfs"
)

// files is goleveldb's storage on our file system. The store's own lock covers
// the folder, so Lock only guards against a second use in this process.
type files struct {
	fs   vfs.FS
	dir  string
	note func(string) // log line of goleveldb

	mu     sync.Mutex // guards locked
	locked bool
}

const currentName = "CURRENT"

type unlocker struct{ s *files }

func (u unlocker) Unlock() {
	u.s.mu.Lock()
	u.s.locked = false
	u.s.mu.Unlock()
}

func (s *files) Lock() (storage.Locker, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locked {
		return nil, storage.ErrLocked
	}
	s.locked = true
	return unlocker{s}, nil
}

func (s *files) Log(str string) { s.note(str) }

func (s *files) path(fd storage.FileDesc) string { return filepath.Join(s.dir, fd.String()) }

// SetMeta makes fd the current manifest: temporary file, sync, rename, sync of the folder.
func (s *files) SetMeta(fd storage.FileDesc) error {
	tmp := filepath.Join(s.dir, currentName+".tmp")
	err := writeFile(s.fs, tmp, []byte(fd.String()+"\n"))
	if err != nil {
		return err
	}
	if err := s.fs.Rename(tmp, filepath.Join(s.dir, currentName)); err != nil {
		return err
	}
	return s.fs.SyncDir(s.dir)
}

func writeFile(fsys vfs.FS, name string, b []byte) error {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// maxCurrent bounds what is read of the CURRENT file, in bytes.
const maxCurrent = 64

func (s *files) GetMeta() (storage.FileDesc, error) {
	f, err := s.fs.OpenFile(filepath.Join(s.dir, currentName), os.O_RDONLY, 0)
	if err != nil {
		return storage.FileDesc{}, err
	}
	b := make([]byte, maxCurrent)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return storage.FileDesc{}, errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return storage.FileDesc{}, err
	}
	fd, ok := parseName(strings.TrimSuffix(string(b[:n]), "\n"))
	if !ok || fd.Type != storage.TypeManifest {
		return storage.FileDesc{}, &storage.ErrCorrupted{Err: fmt.Errorf("%s/%s names no manifest", s.dir, currentName)}
	}
	if _, err := s.fs.Stat(s.path(fd)); err != nil {
		return storage.FileDesc{}, err
	}
	return fd, nil
}

func parseName(name string) (storage.FileDesc, bool) {
	typ, num := storage.TypeManifest, ""
	if n, ok := strings.CutPrefix(name, "MANIFEST-"); ok {
		num = n
	} else if base, ext, ok := strings.Cut(name, "."); ok {
		num = base
		switch ext {
		case "log":
			typ = storage.TypeJournal
		case "ldb":
			typ = storage.TypeTable
		case "tmp":
			typ = storage.TypeTemp
		default:
			return storage.FileDesc{}, false
		}
	}
	n, err := strconv.ParseInt(num, 10, 64)
	return storage.FileDesc{Type: typ, Num: n}, err == nil && n >= 0
}

func (s *files) List(ft storage.FileType) ([]storage.FileDesc, error) {
	names, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var fds []storage.FileDesc
	for _, n := range names {
		if fd, ok := parseName(n); ok && fd.Type&ft != 0 {
			fds = append(fds, fd)
		}
	}
	return fds, nil
}

func (s *files) Open(fd storage.FileDesc) (storage.Reader, error) {
	f, err := s.fs.OpenFile(s.path(fd), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &readFile{SectionReader: io.NewSectionReader(f, 0, size), f: f}, nil
}

type readFile struct {
	*io.SectionReader
	f vfs.File
}

func (r *readFile) Close() error { return r.f.Close() }

// Create makes a new file. Its name is made durable at once: goleveldb syncs the
// folder only for manifests.
func (s *files) Create(fd storage.FileDesc) (storage.Writer, error) {
	f, err := s.fs.OpenFile(s.path(fd), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &appendFile{f: f}, nil
}

type appendFile struct {
	f   vfs.File
	off int64
}

func (w *appendFile) Write(p []byte) (int, error) {
	n, err := w.f.WriteAt(p, w.off)
	w.off += int64(n)
	return n, err
}

func (w *appendFile) Sync() error {
	if err := w.f.Sync(); err != nil {
		return fmt.Errorf("%w: %w", ErrSync, err)
	}
	return nil
}

func (w *appendFile) Close() error { return w.f.Close() }

func (s *files) Remove(fd storage.FileDesc) error {
	err := s.fs.Remove(s.path(fd))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (s *files) Rename(oldfd, newfd storage.FileDesc) error {
	if err := s.fs.Rename(s.path(oldfd), s.path(newfd)); err != nil {
		return err
	}
	return s.fs.SyncDir(s.dir)
}

func (s *files) Close() error { return nil }
