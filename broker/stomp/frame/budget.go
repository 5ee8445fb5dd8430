package frame

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// BudgetOptions shape a Budget. A field that is zero or negative means its default.
type BudgetOptions struct {
	// Bytes that all frames beyond their readers' fixed buffers may hold; default 256 MiB. It should be at least 5/4 of
	// the largest body allowed, with its headers, or such a body cannot be received.
	Bytes int64
	// StallAfter is how long a frame may go without progress before it must give way to others; default 2 s.
	StallAfter time.Duration
	// MaxWait is how long a frame waits for memory before it is refused; default 30 s.
	MaxWait time.Duration
}

// Defaults of BudgetOptions.
const (
	defaultBudget     = 256 << 20
	defaultStallAfter = 2 * time.Second
	defaultMaxWait    = 30 * time.Second
)

// Budget is the memory that the readers of all connections share: it bounds what unfinished large frames hold together
// and keeps a pool of read buffers. Frames that fit a reader's own buffer (64 KiB) never wait for it.
//
// A frame claims memory piece by piece as it arrives. A claim gets a piece only if afterwards all claims can still be
// finished in some order, each having declared the most it can need (the banker's rule), so frames that grow side by
// side cannot lock each other out. A claim that must wait has the one that stalled longest, if any, give way.
//
// A Budget may be used by any number of goroutines and owns none. A nil Budget sets no bound.
type Budget struct {
	opts    BudgetOptions
	started time.Time // what progress times count from
	buffers sync.Pool // of *[bigBuffer]byte

	mu      sync.Mutex // guards what follows, and claims' fields where they say so
	used    int64
	most    int64               // sum over claims of claim.most
	claims  map[*claim]struct{} // those that hold memory or wait for their first piece
	waiters []*waiter           // in order of arrival
	demands []demand            // scratch of safe
}

// claim is one reader's share of a Budget.
type claim struct {
	budget  *Budget
	onEvict func()

	// Written under Budget.mu; held also read without it by the reader, its only writer but for waiter.grant.
	held    int64 // bytes reserved
	most    int64 // the most the frame can need, held included
	whole   bool  // the frame is whole: nothing more is needed, and the caller gives back what is held
	waiting bool
	evict   atomic.Bool  // told to give way; never unset
	moved   atomic.Int64 // time of the last progress or of the eviction, in ns since Budget.started
}

// waiter is a claim that waits for a piece of memory.
type waiter struct {
	claim   *claim
	n       int64
	granted chan struct{} // closed, under Budget.mu, when the claim has got it
}

// demand is a claim as the banker sees it.
type demand struct{ missing, held int64 }

// NewBudget returns an empty Budget.
func NewBudget(opts BudgetOptions) *Budget {
	if opts.Bytes <= 0 {
		opts.Bytes = defaultBudget
	}
	if opts.StallAfter <= 0 {
		opts.StallAfter = defaultStallAfter
	}
	if opts.MaxWait <= 0 {
		opts.MaxWait = defaultMaxWait
	}
	return &Budget{opts: opts, started: time.Now(), claims: make(map[*claim]struct{})}
}

// InUse returns the bytes reserved at present.
func (b *Budget) InUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

func (b *Budget) getBuffer() *[bigBuffer]byte {
	if b != nil {
		if buf, ok := b.buffers.Get().(*[bigBuffer]byte); ok {
			return buf
		}
	}
	return new([bigBuffer]byte)
}

func (b *Budget) putBuffer(buf *[bigBuffer]byte) {
	if b != nil {
		b.buffers.Put(buf)
	}
}

// reserve adds n bytes to the claim, of which the whole frame needs most at most, and waits for them if need be. The
// error is an *Error of kind Stalled or NoMemory, or errClosed if done was closed meanwhile.
func (c *claim) reserve(n, most int64, done <-chan struct{}) error {
	if c.budget == nil {
		c.held += n
		return nil
	}
	w, err := c.budget.ask(c, n, most)
	if w == nil {
		return err
	}
	return c.budget.wait(w, done)
}

// ask grants c's wish at once, or returns a waiter for it, or an error.
func (b *Budget) ask(c *claim, n, most int64) (*waiter, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.evict.Load() {
		return nil, stalledError()
	}
	if c.held+n > b.opts.Bytes {
		return nil, noMemoryError("the frame needs %d bytes at once, which is more than all large frames may hold "+
			"together (%d); send smaller ones or raise that bound", c.held+n, b.opts.Bytes)
	}
	b.claims[c] = struct{}{}
	c.whole = false
	b.declare(c, max(most, c.held+n))
	if b.safe(c, n) {
		b.grant(c, n)
		return nil, nil
	}
	c.waiting = true
	w := &waiter{claim: c, n: n, granted: make(chan struct{})}
	b.waiters = append(b.waiters, w)
	return w, nil
}

// wait returns when w has been granted or has waited for too long. While it waits, stalled claims give way.
func (b *Budget) wait(w *waiter, done <-chan struct{}) error {
	deadline := time.NewTimer(b.opts.MaxWait)
	defer deadline.Stop()
	look := time.NewTicker(max(b.opts.StallAfter/2, time.Millisecond))
	defer look.Stop()
	for {
		b.evictStalled(w)
		select {
		case <-w.granted:
			return nil
		case <-look.C:
		case <-done:
			return b.cancel(w, errClosed)
		case <-deadline.C:
			return b.cancel(w, noMemoryError("other large frames held the memory for %v; try again later, or send "+
				"smaller frames", b.opts.MaxWait))
		}
	}
}

// cancel gives up waiting, unless the grant came first.
func (b *Budget) cancel(w *waiter, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiters, w)
	if i < 0 {
		return nil
	}
	b.waiters = slices.Delete(b.waiters, i, i+1)
	w.claim.waiting = false
	b.forgetIdle(w.claim)
	return err
}

// evictStalled tells stalled claims to give way, the longest stalled first, until what they hold would do for w.
func (b *Budget) evictStalled(w *waiter) {
	for _, c := range b.chooseStalled(w) {
		if c.onEvict != nil {
			c.onEvict()
		}
	}
}

// chooseStalled marks the claims that must give way for w.
func (b *Budget) chooseStalled(w *waiter) []*claim {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.waiters, w) {
		return nil
	}
	now := int64(time.Since(b.started))
	var stalled []*claim
	coming := b.opts.Bytes - b.used
	for c := range b.claims {
		still := now-c.moved.Load() > int64(b.opts.StallAfter)
		switch {
		case c.evict.Load() && !still:
			coming += c.held
		case !c.evict.Load() && !c.whole && !c.waiting && still:
			stalled = append(stalled, c)
		}
	}
	slices.SortFunc(stalled, func(x, y *claim) int { return int(x.moved.Load() - y.moved.Load()) })
	want := max(w.claim.most-w.claim.held, w.n)
	for i, c := range stalled {
		if coming >= want {
			stalled = stalled[:i]
			break
		}
		c.evict.Store(true)
		c.moved.Store(now) // it has that long again to give its memory back before more claims go
		b.declare(c, c.held)
		coming += c.held
	}
	b.grantWaiters()
	return stalled
}

// declare sets the most that c can need. b.mu is held.
func (b *Budget) declare(c *claim, most int64) {
	most = max(min(most, b.opts.Bytes), c.held)
	b.most += most - c.most
	c.most = most
}

// grant gives c its n bytes. b.mu is held.
func (b *Budget) grant(c *claim, n int64) {
	b.used += n
	c.held += n
	c.moved.Store(int64(time.Since(b.started)))
}

// grantWaiters grants what has become possible, in order of arrival. b.mu is held.
func (b *Budget) grantWaiters() {
	// If one waiter must go on waiting, so must every other that misses no less and asks for no less.
	missing, asked := int64(-1), int64(-1)
	b.waiters = slices.DeleteFunc(b.waiters, func(w *waiter) bool {
		m := w.claim.most - w.claim.held
		if missing >= 0 && m >= missing && w.n >= asked {
			return false
		}
		if !b.safe(w.claim, w.n) {
			missing, asked = m, w.n
			return false
		}
		b.grant(w.claim, w.n)
		w.claim.waiting = false
		close(w.granted)
		return true
	})
}

// safe reports whether, with n more bytes for c, all claims can still get all they may need one after the other.
// b.mu is held.
func (b *Budget) safe(c *claim, n int64) bool {
	free := b.opts.Bytes - b.used - n
	if free < 0 {
		return false
	}
	if b.most <= b.opts.Bytes { // nobody can ever have to wait
		return true
	}
	b.demands = b.demands[:0]
	for other := range b.claims {
		d := demand{missing: max(other.most-other.held, 0), held: other.held}
		if other == c {
			d = demand{missing: max(d.missing-n, 0), held: d.held + n}
		}
		b.demands = append(b.demands, d)
	}
	slices.SortFunc(b.demands, func(x, y demand) int { return int(x.missing - y.missing) })
	for _, d := range b.demands {
		if d.missing > free {
			return false
		}
		free += d.held
	}
	return true
}

// give takes n bytes back.
func (c *claim) give(n int64) {
	if n == 0 {
		return
	}
	b := c.budget
	if b == nil {
		c.held -= n
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c.held -= n
	b.used -= n
	if c.whole {
		b.declare(c, c.held)
	}
	b.forgetIdle(c)
	b.grantWaiters()
}

// forgetIdle drops c if it holds nothing. b.mu is held.
func (b *Budget) forgetIdle(c *claim) {
	if c.held == 0 {
		b.declare(c, 0)
		delete(b.claims, c)
	}
}

// shrink takes back all but keep bytes, after the end of a frame.
func (c *claim) shrink(keep int64) { c.give(c.held - keep) }

// noMore says that what the claim holds is all it needs.
func (c *claim) noMore() {
	if c.budget == nil {
		return
	}
	c.budget.mu.Lock()
	defer c.budget.mu.Unlock()
	c.budget.declare(c, c.held)
	c.budget.grantWaiters()
}

// finish says that the frame is whole, and reports whether it got that far before it was told to give way.
func (c *claim) finish() bool {
	if c.budget == nil {
		return true
	}
	c.budget.mu.Lock()
	defer c.budget.mu.Unlock()
	c.whole = true
	c.budget.declare(c, c.held)
	return !c.evict.Load()
}

// reopen says that what the claim holds serves another frame now, which is not whole.
func (c *claim) reopen() {
	if c.budget == nil || c.held == 0 {
		return
	}
	c.budget.mu.Lock()
	defer c.budget.mu.Unlock()
	if c.whole {
		c.whole = false
		c.moved.Store(int64(time.Since(c.budget.started)))
	}
}

// touch notes progress.
func (c *claim) touch() {
	if c.budget != nil {
		c.moved.Store(int64(time.Since(c.budget.started)))
	}
}

// evicted reports whether the claim has been told to give way.
func (c *claim) evicted() bool { return c.evict.Load() }

func noMemoryError(format string, args ...any) *Error {
	return &Error{Kind: NoMemory, Message: "no memory for the frame", Detail: fmt.Sprintf(format, args...)}
}
