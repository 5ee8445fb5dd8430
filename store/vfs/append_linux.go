package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// appender writes and syncs in one system call, and large pieces past the page cache (O_DIRECT): the kernel neither copies
// them nor looks for memory to hold them, which for a journal of large messages is most of the work of writing.
//
// Such a write is of whole pages. The first of them may begin with bytes that are on disk already, which the appender has
// kept; the last one is filled with zeros. A page that is dirty in the cache is written back by the kernel first, and
// what readers had cached of the pages is dropped. It is used on file systems that are known to keep both ways coherent;
// elsewhere, or when the first attempt is refused, everything goes through the cache.
type appender struct {
	mu    sync.Mutex // guards what follows; not held while writing
	file  *os.File   // the same file, opened again with O_DIRECT; nil until it is needed
	users int        // writes under way on file
	stale bool       // the last of them closes file
	never bool       // not possible here

	// The goroutine's that appends.
	size  int64  // of the file at least: what ends below makes it no longer
	edge  []byte // a page of memory: the first bytes of the page in which the next append begins
	spare []byte // another one
	next  int64  // edge holds what is before this offset; 0 if that is not known
	cold  bool   // that page is on disk and not in the cache
	apart bool   // the kernel cannot write and sync in one call
}

const (
	// directMin is how many bytes make the way past the cache worth while. Measured with a sync
	// after each write: 128 KiB gain a fifth, 256 KiB to 1 MiB take half of the time and a quarter of the CPU.
	directMin = 256 << 10
	// directAlign is what addresses, offsets and lengths of direct writes must be a multiple of.
	directAlign = 4 << 10
	// bounceSize is how much is copied at a time when the caller's memory is not aligned as the file is.
	bounceSize = 1 << 20
)

// bounces holds *[]byte of bounceSize, aligned.
var bounces = sync.Pool{New: func() any {
	b := Buffer(bounceSize)[:bounceSize]
	return &b
}}

// aligned returns n bytes that begin at an aligned address.
func aligned(n int) []byte {
	b := make([]byte, n+directAlign)
	return b[-misaligned(b, directAlign)&(directAlign-1):][:n]
}

// Append implements File.
func (f *osFile) Append(p []byte, off int64, sync bool) error {
	if len(p) >= directMin && f.holds(off+int64(len(p))) {
		if d := f.take(f.File); d != nil {
			defer f.give()
			err := f.appendDirect(d, p, off, sync)
			if !errors.Is(err, unix.EINVAL) {
				return err
			}
			f.refuse()
		}
	}
	return f.appendCached(p, off, sync)
}

// holds reports whether the file reaches to the end of the page that ends with what is written.
func (f *osFile) holds(end int64) bool {
	end = (end + directAlign - 1) &^ (directAlign - 1)
	if end > f.size {
		f.size, _ = f.Size() // 0 with an error: then writing says what it is
	}
	return end <= f.size
}

func (f *osFile) appendCached(p []byte, off int64, sync bool) error {
	end, at, iov := off+int64(len(p)), off, [][]byte{p}
	if lead := off & (directAlign - 1); lead > 0 && f.cold && f.next == off && f.holds(end) {
		// A whole page: the kernel need not read it first.
		fill := max(0, directAlign-lead-int64(len(p)))
		clear(f.spare[:fill])
		at, iov = off-lead, [][]byte{f.edge[:lead], p, f.spare[:fill]}
	}
	known := f.next
	f.next = 0
	if err := f.write(f.File, iov, at, sync); err != nil {
		return err
	}
	f.cold = false
	tail := int(end & (directAlign - 1))
	switch {
	case tail <= len(p):
		copy(f.page(), p[len(p)-tail:])
	case known == off:
		copy(f.page()[off&(directAlign-1):], p)
	default:
		return nil
	}
	f.next = end
	return nil
}

// page returns edge, which a file that is not appended to does without.
func (f *osFile) page() []byte {
	if f.edge == nil {
		b := aligned(2 * directAlign)
		f.edge, f.spare = b[:directAlign:directAlign], b[directAlign:]
	}
	return f.edge
}

// appendDirect writes whole pages to d, by way of aligned memory if p does not lie in its page of memory as on disk.
func (f *osFile) appendDirect(d *os.File, p []byte, off int64, sync bool) error {
	if lead := off & (directAlign - 1); lead > 0 && f.next != off {
		if _, err := f.ReadAt(f.page()[:lead], off-lead); err != nil {
			return err
		}
	}
	if misaligned(p, directAlign) == int(off&(directAlign-1)) {
		return f.writePages(d, p, off, sync)
	}
	bounce := bounces.Get().(*[]byte)
	defer bounces.Put(bounce)
	for len(p) > 0 {
		lead := int(off & (directAlign - 1))
		n := copy((*bounce)[lead:], p)
		if err := f.writePages(d, (*bounce)[lead:][:n], off, false); err != nil {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	if sync {
		return f.Sync()
	}
	return nil
}

// writePages writes the page of which edge holds the beginning, the pages of p, and the rest of p with zeros behind it.
func (f *osFile) writePages(d *os.File, p []byte, off int64, sync bool) error {
	edge, lead, end := f.page(), int(off&(directAlign-1)), off+int64(len(p))
	f.next = 0
	iov := make([][]byte, 0, 3)
	if lead > 0 {
		n := copy(edge[lead:], p)
		clear(edge[lead+n:])
		iov, p = append(iov, edge), p[n:]
	}
	if n := len(p) &^ (directAlign - 1); n > 0 {
		iov, p = append(iov, p[:n]), p[n:]
	}
	if len(p) > 0 {
		clear(f.spare[copy(f.spare, p):])
		iov = append(iov, f.spare)
		f.edge, f.spare = f.spare, f.edge
	}
	if err := f.write(d, iov, off-int64(lead), sync); err != nil {
		return err
	}
	f.next, f.cold = end, true
	return nil
}

// pwritev2 is what a test looks through: whether a write was a synced one shows nowhere else before the power fails.
var pwritev2 = unix.Pwritev2

// write writes the pieces one behind the other from at on.
func (f *osFile) write(to *os.File, iov [][]byte, at int64, sync bool) error {
	for len(iov) > 0 {
		n, err := 0, error(nil)
		if sync && !f.apart {
			n, err = pwritev2(int(to.Fd()), iov, at, unix.RWF_DSYNC)
		} else {
			n, err = unix.Pwritev(int(to.Fd()), iov, at)
		}
		switch {
		case errors.Is(err, unix.EINTR):
		case !f.apart && (errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM)):
			f.apart = true // an old kernel, or one that refuses what it does not know
		case err == nil && n == 0:
			err = io.ErrShortWrite
			fallthrough
		case err != nil:
			return fmt.Errorf("write %s at %d: %w", f.Name(), at, err)
		}
		at, iov = at+int64(max(n, 0)), skip(iov, n)
	}
	if sync && f.apart {
		return f.Sync()
	}
	return nil
}

// skip takes n bytes off the front.
func skip(iov [][]byte, n int) [][]byte {
	for len(iov) > 0 && n >= len(iov[0]) {
		n -= len(iov[0])
		iov = iov[1:]
	}
	if n > 0 {
		iov[0] = iov[0][n:]
	}
	return iov
}

// take returns the file for direct writes until give, or nil if there is none.
func (a *appender) take(f *os.File) *os.File {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.never || a.stale {
		return nil
	}
	if a.file == nil {
		d, err := openDirect(f)
		if err != nil {
			a.never = true // not an error: the cache will do
			return nil
		}
		a.file = d
	}
	a.users++
	return a.file
}

func (a *appender) give() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users--
	a.close()
}

// cut forgets what was known of the file, which is cut or closed. The next large write opens it again.
func (a *appender) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stale = a.file != nil
	a.close()
	a.size, a.next = 0, 0
}

// refuse says that the file cannot be written past the cache.
func (a *appender) refuse() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.never, a.stale = true, a.file != nil
	a.close()
}

// close closes a stale file that nobody uses. mu is held.
func (a *appender) close() {
	if a.stale && a.users == 0 {
		a.file.Close() // a second handle: what it wrote is synced through the first
		a.file, a.stale = nil, false
	}
}

// openDirect opens f a second time for direct writes.
func openDirect(f *os.File) (*os.File, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC:
	default:
		return nil, errors.ErrUnsupported
	}
	return os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY|unix.O_DIRECT, 0)
}
