package vfs

import (
	"io"
	"io/fs"
)

// memFile is an open file of a Mem.
type memFile struct {
	m      *Mem
	n      *inode
	name   string
	closed bool
}

func (f *memFile) check(op string) error {
	if f.closed {
		return pathErr(op, f.name, fs.ErrClosed)
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("read"); err != nil {
		return 0, err
	}
	got := 0
	for got < len(p) && off < f.n.size {
		i, at := off/pageSize, off%pageSize
		n := int(min(pageSize-at, f.n.size-off, int64(len(p)-got)))
		if pg := f.n.pages[i]; pg != nil {
			copy(p[got:got+n], pg[at:])
		} else {
			clear(p[got : got+n])
		}
		got += n
		off += int64(n)
	}
	if got < len(p) {
		return got, io.EOF
	}
	return got, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("write"); err != nil {
		return 0, err
	}
	if f.m.limit > 0 {
		if err := f.m.grow(f.n, "write", f.name, f.n.newBytes(off, int64(len(p)))); err != nil {
			return 0, err
		}
	}
	f.n.write(p, off)
	return len(p), nil
}

// Append implements File. All that it may make zeros it does.
func (f *memFile) Append(p []byte, off int64, sync bool) error {
	end := off + int64(len(p))
	size, _ := f.Size()
	padded := append(p[:len(p):len(p)], make([]byte, max(0, min(-end&(pageSize-1), size-end)))...)
	if _, err := f.WriteAt(padded, off); err != nil || !sync {
		return err
	}
	return f.Sync()
}

// newBytes returns by how much a write would raise the space used.
func (n *inode) newBytes(off, size int64) int64 {
	fresh := int64(len(n.pages))
	for i := off / pageSize; i*pageSize < off+size; i++ {
		if n.pages[i] == nil {
			fresh++
		}
	}
	return max(n.reserved, fresh*pageSize) - n.used()
}

func (n *inode) write(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	for len(p) > 0 {
		i, at := off/pageSize, off%pageSize
		pg := n.writable(i)
		c := copy(pg[at:], p)
		p = p[c:]
		off += int64(c)
	}
	if off > n.size {
		n.size = off
		n.sizeIsUnsettled = true
	}
}

// writable returns page i for writing: never the copy that is on stable storage.
func (n *inode) writable(i int64) *page {
	pg := n.pages[i]
	switch {
	case pg == nil:
		pg = new(page)
	case pg == n.dpages[i]:
		c := *pg
		pg = &c
	}
	n.pages[i] = pg
	n.dirty[i] = true
	return pg
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("truncate"); err != nil {
		return err
	}
	f.n.truncate(size)
	return nil
}

func (n *inode) truncate(size int64) {
	for i := range n.pages {
		if i*pageSize >= size {
			delete(n.pages, i)
			n.dirty[i] = true
		}
	}
	if at := size % pageSize; at != 0 && size < n.size && n.pages[size/pageSize] != nil {
		clear(n.writable(size / pageSize)[at:])
	}
	n.reserved = min(n.reserved, size)
	n.size = size
	n.sizeIsUnsettled = true
}

func (f *memFile) Allocate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("allocate"); err != nil {
		return err
	}
	if err := f.m.grow(f.n, "allocate", f.name, size-f.n.used()); err != nil {
		return err
	}
	f.n.reserved = max(f.n.reserved, size)
	if size > f.n.size {
		f.n.size = size
		f.n.sizeIsUnsettled = true
	}
	return nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("sync"); err != nil {
		return err
	}
	f.n.sync()
	return nil
}

func (n *inode) sync() {
	for i := range n.dirty {
		if pg := n.pages[i]; pg != nil {
			n.dpages[i] = pg
		} else {
			delete(n.dpages, i)
		}
	}
	clear(n.dirty)
	n.dsize = n.size
	n.sizeIsUnsettled = false
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.n.size, f.check("stat")
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("close"); err != nil {
		return err
	}
	f.closed = true
	return nil
}
