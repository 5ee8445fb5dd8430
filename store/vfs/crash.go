package vfs

import "maps"

// Snapshot returns a copy as it is now: what a new process finds after the old
// one was killed. The machine went on, so nothing written is lost.
func (m *Mem) Snapshot() *Mem {
	return m.clone(m.namesNow, func(n *inode) *inode {
		c := newInode()
		c.size, c.dsize, c.reserved = n.size, n.size, n.reserved
		maps.Copy(c.pages, n.pages)
		maps.Copy(c.dpages, n.pages)
		return c
	})
}

// Crash returns what is found after a power cut now. Without rnd everything that
// was not synced is lost. With rnd, which returns a number in [0,n), each unsynced page,
// size and name is kept, lost or (pages) torn in the middle as the numbers fall:
// a disk may write what it was not asked to sync, in any order.
func (m *Mem) Crash(rnd func(n int) int) *Mem {
	pick := func() bool { return rnd != nil && rnd(2) == 0 }
	names := func() map[string]*inode { return m.namesAfterCrash(pick) }
	return m.clone(names, func(n *inode) *inode { return n.afterCrash(rnd, pick) })
}

func (m *Mem) namesNow() map[string]*inode { return m.names }

// namesAfterCrash picks for each name whether its unsynced change happened. A name
// that was replaced is never gone altogether.
func (m *Mem) namesAfterCrash(pick func() bool) map[string]*inode {
	out := maps.Clone(m.durable)
	for p := range m.durable {
		if m.names[p] == nil && pick() {
			delete(out, p)
		}
	}
	for p, n := range m.names {
		if m.durable[p] != n && pick() {
			out[p] = n
		}
	}
	return out
}

func (n *inode) afterCrash(rnd func(int) int, pick func() bool) *inode {
	c := newInode()
	c.size = n.dsize
	maps.Copy(c.pages, n.dpages)
	if n.sizeIsUnsettled && pick() {
		c.size = n.size
	}
	for i := range n.dirty {
		if !pick() {
			continue
		}
		now := n.pages[i]
		switch {
		case now == nil:
			delete(c.pages, i)
		case rnd(4) == 0: // torn: the first sectors are new
			mixed := page{}
			if old := c.pages[i]; old != nil {
				mixed = *old
			}
			copy(mixed[:512*(1+rnd(7))], now[:])
			c.pages[i] = &mixed
		default:
			c.pages[i] = now
		}
	}
	for i := range c.pages {
		if i*pageSize >= c.size {
			delete(c.pages, i)
		}
	}
	c.clearBehind()
	c.dsize = c.size
	maps.Copy(c.dpages, c.pages)
	return c
}

// clearBehind zeroes the last page behind the size, so that growing reads zeros.
func (n *inode) clearBehind() {
	i, at := n.size/pageSize, n.size%pageSize
	if pg := n.pages[i]; pg != nil && at != 0 {
		c := *pg
		clear(c[at:])
		n.pages[i] = &c
	}
}

func (m *Mem) clone(names func() map[string]*inode, copyOf func(*inode) *inode) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMem()
	c.limit = m.limit
	maps.Copy(c.dirs, m.dirs)
	seen := map[*inode]*inode{}
	for p, n := range names() {
		if seen[n] == nil {
			seen[n] = copyOf(n)
		}
		c.names[p], c.durable[p] = seen[n], seen[n]
	}
	return c
}

// Flip inverts one bit of a file, on stable storage too: silent damage.
func (m *Mem) Flip(name string, off int64, bit uint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	pg := n.writable(off / pageSize)
	pg[off%pageSize] ^= 1 << (bit % 8)
	n.sync()
}
