package local

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"treadmq/store"
	"treadmq/store/journal"
	"treadmq/store/vfs"
)

// meta is the identity of a data folder. The file is JSON and, on a second line,
// the CRC-32C of the first; it is replaced by rename, never changed in place.
type meta struct {
	Format   int             `json:"format"`
	Cluster  string          `json:"cluster"`
	Sub      string          `json:"sub,omitempty"` // folder of segments and index, after a snapshot was installed
	Group    string          `json:"group,omitempty"`
	Node     string          `json:"node"`     // made with the folder: a wiped disk is a new node
	Promised store.Epoch     `json:"promised"` // no epoch below is ever used again
	Boot     string          `json:"boot"`     // the machine's boot that last opened the folder
	Extra    json.RawMessage `json:"extra,omitempty"`
	Suspect  bool            `json:"suspect,omitempty"` // in a group: see ReplicaState
	Clean    bool            `json:"clean"`             // closed properly
	End      store.Position  `json:"end"`               // of the journal, if clean
}

const (
	metaName   = "meta"
	metaFormat = 1
	maxMeta    = 1 << 16 // bytes read of a meta file
)

// bootID names the machine's present boot; "" if the system does not say, which
// is treated as another boot.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// loadMeta reads the meta file. errors.Is(err, fs.ErrNotExist) if there is none.
func loadMeta(fsys vfs.FS, dir string) (meta, error) {
	name := filepath.Join(dir, metaName)
	b, err := readSmall(fsys, name, maxMeta)
	if err != nil {
		return meta{}, fmt.Errorf("read meta: %w", err)
	}
	line, sum, _ := bytes.Cut(b, []byte("\n"))
	if want := fmt.Sprintf("%08x\n", journal.Checksum(line)); want != string(sum) {
		return meta{}, fmt.Errorf("%w: %s fails its checksum: restore it from a copy", store.ErrCorrupt, name)
	}
	var m meta
	if err := json.Unmarshal(line, &m); err != nil {
		return meta{}, fmt.Errorf("%w: %s: %w", store.ErrCorrupt, name, err)
	}
	if m.Format != metaFormat {
		return meta{}, fmt.Errorf("%s has format %d, this program knows %d: use the program that wrote it, or a newer one", name, m.Format, metaFormat)
	}
	return m, nil
}

// data is the folder of the segments and of the index.
func (m *meta) data(dir string) string { return filepath.Join(dir, m.Sub) }

func (m *meta) save(fsys vfs.FS, dir string) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	b := fmt.Appendf(line, "\n%08x\n", journal.Checksum(line))
	tmp := filepath.Join(dir, metaName+".tmp")
	f, err := fsys.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write meta: %w", err)
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.Rename(tmp, filepath.Join(dir, metaName))
	}
	if err == nil {
		err = fsys.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write meta: %w", err)
	}
	return nil
}

// readSmall reads a file of at most limit bytes.
func readSmall(fsys vfs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err == nil && size > limit {
		err = fmt.Errorf("%s has %d bytes, limit %d", name, size, limit)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], errors.Join(err, f.Close())
}

// identity loads the meta file, or makes the folder's identity if it is new.
func identity(o *Options, names []string) (meta, error) {
	m, err := loadMeta(o.FS, o.Dir)
	if !errors.Is(err, fs.ErrNotExist) {
		if err == nil && o.Cluster != "" && m.Cluster != "" && o.Cluster != m.Cluster {
			err = fmt.Errorf("folder %s belongs to cluster %q, not %q: give the right folder", o.Dir, m.Cluster, o.Cluster)
		}
		return m, err
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".log") {
			return meta{}, fmt.Errorf("%w: %s holds journal segments but no %s file: restore it from a copy", store.ErrCorrupt, o.Dir, metaName)
		}
	}
	return meta{Format: metaFormat, Cluster: o.Cluster, Node: newUUID(), Boot: o.BootID}, nil
}

// newUUID returns a random UUID, RFC 9562 version 4.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
