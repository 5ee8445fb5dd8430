package frame

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is one connection: what is written to it, a Reader reads.
type client struct {
	conn    net.Conn // the peer's end
	far     net.Conn // the Reader's end
	reader  *Reader
	frame   Frame
	evicted atomic.Bool
	reading sync.WaitGroup
	result  chan error // of one Read
}

func dial(b *Budget) *client {
	near, far := net.Pipe()
	c := &client{conn: near, far: far, result: make(chan error, 1)}
	c.reader = NewReader(far, ReaderOptions{Version: V12, Budget: b, OnEvict: func() {
		c.evicted.Store(true)
		far.SetReadDeadline(time.Unix(1, 0))
	}})
	c.read()
	return c
}

// read starts one Read.
func (c *client) read() {
	c.reading.Go(func() {
		err := c.reader.Read(&c.frame)
		if err != nil {
			c.far.Close()
		}
		c.result <- err
	})
}

func (c *client) close() {
	c.conn.Close()
	c.reading.Wait()
	c.reader.Close()
}

// announce sends a head that announces a body of size bytes and the first sent bytes of it.
func (c *client) announce(size, sent int) {
	fmt.Fprintf(c.conn, "SEND\ncontent-length:%d\n\n", size)
	c.conn.Write(bodyOf(sent))
}

func kindOf(err error) Kind {
	var fault *Error
	if errors.As(err, &fault) {
		return fault.Kind
	}
	return 0
}

const (
	mib  = 1 << 20
	full = 4*mib - 1 // a body that takes 4 MiB with its NUL
)

// Hundreds of clients that announce much and stall cost little and keep nobody waiting.
func TestAnnouncedAndStalledCostLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(BudgetOptions{Bytes: 128 * mib})
		var stalled []*client
		for range 300 {
			c := dial(budget)
			c.announce(50*mib, 10)
			stalled = append(stalled, c)
		}
		synctest.Wait()
		if n := budget.InUse(); n > 300*4*firstBody {
			t.Errorf("300 stalled clients hold %d bytes", n)
		}
		begin := time.Now()
		c := dial(budget)
		c.announce(50*mib, 50*mib)
		c.conn.Write([]byte{0})
		if err := <-c.result; err != nil || !bytes.Equal(c.frame.Body, bodyOf(50*mib)) {
			t.Errorf("the working client: body of %d bytes, error %v", len(c.frame.Body), err)
		}
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("it had to wait for %v", waited)
		}
		for _, s := range append(stalled, c) {
			s.close()
		}
		synctest.Wait()
		if n := budget.InUse(); n != 0 {
			t.Errorf("%d bytes still reserved", n)
		}
	})
}

// When the budget is used up, who stalled longest gives way, and only as many as are needed.
func TestLongestStalledGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(BudgetOptions{Bytes: 10 * mib})
		oldest, older, fresh := dial(budget), dial(budget), dial(budget)
		oldest.announce(full, 3*mib) // holds all 4 MiB
		time.Sleep(time.Second)
		older.announce(full, 3*mib)
		time.Sleep(3 * time.Second)
		fresh.announce(mib/2, mib/4) // sent last, so it is not stalled
		c := dial(budget)
		c.announce(full, full)
		c.conn.Write([]byte{0})
		if err := <-c.result; err != nil {
			t.Errorf("the working client: %v", err)
		}
		if err := <-oldest.result; kindOf(err) != Stalled {
			t.Errorf("the longest stalled got %v, want kind Stalled", err)
		}
		if older.evicted.Load() || fresh.evicted.Load() {
			t.Errorf("more gave way than needed: older %v, fresh %v", older.evicted.Load(), fresh.evicted.Load())
		}
		older.conn.Write(append(bodyOf(full)[3*mib:], 0))
		if err := <-older.result; err != nil || !bytes.Equal(older.frame.Body, bodyOf(full)) {
			t.Errorf("the one that was left alone: %v", err)
		}
		for _, s := range []*client{oldest, older, fresh, c} {
			s.close()
		}
	})
}

// A head beyond the reader's buffer counts as unfinished again as soon as the next frame begins in the same memory.
func TestOversizedHeadGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(BudgetOptions{Bytes: 2 * mib})
		head := AppendCommand(nil, SEND)
		for range 3 {
			head = AppendHeader(head, V12, "h", bodyOf(50_000))
		}
		slow := dial(budget)
		in := append(append(bytes.Clone(head), "\n\x00"...), head[:100_000]...)
		slow.conn.Write(in) // less than the 256 KiB to which the buffer has grown
		if err := <-slow.result; err != nil {
			t.Fatal(err)
		}
		slow.read()
		synctest.Wait()
		if n := budget.InUse(); n != 256<<10 {
			t.Fatalf("%d bytes reserved; the test wants the second head to begin in the buffer of the first", n)
		}
		time.Sleep(5 * time.Second)
		c := dial(budget)
		c.announce(3*mib/2, 3*mib/2)
		c.conn.Write([]byte{0})
		if err := <-c.result; err != nil {
			t.Errorf("the working client: %v", err)
		}
		if err := <-slow.result; kindOf(err) != Stalled {
			t.Errorf("the stalled head got %v, want kind Stalled", err)
		}
		slow.close()
		c.close()
	})
}

// A trickle of bytes does not count as progress.
func TestTrickleGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(BudgetOptions{Bytes: 6 * mib})
		slow := dial(budget)
		slow.announce(full, 3*mib)
		var trickling sync.WaitGroup
		trickling.Go(func() {
			for {
				time.Sleep(time.Second)
				if _, err := slow.conn.Write([]byte("x")); err != nil {
					return
				}
			}
		})
		time.Sleep(4500 * time.Millisecond)
		begin := time.Now()
		c := dial(budget)
		c.announce(full, full)
		c.conn.Write([]byte{0})
		if err := <-c.result; err != nil || time.Since(begin) != 0 {
			t.Errorf("the working client: %v after %v", err, time.Since(begin))
		}
		if err := <-slow.result; kindOf(err) != Stalled {
			t.Errorf("the trickle got %v, want kind Stalled", err)
		}
		slow.close()
		trickling.Wait()
		c.close()
	})
}

// If nobody stalled the asker waits, for a bounded time; small frames do not.
func TestWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(BudgetOptions{Bytes: 5 * mib, MaxWait: 10 * time.Second})
		busy := dial(budget)
		busy.announce(full, 0)
		quit := make(chan struct{})
		var feeding sync.WaitGroup
		feeding.Go(func() { // moves all the time, and never ends within the test
			for {
				select {
				case <-quit:
					return
				case <-time.After(500 * time.Millisecond):
					busy.conn.Write(bodyOf(60_000))
				}
			}
		})
		time.Sleep(12 * time.Second)
		begin := time.Now()
		c := dial(budget)
		var asking sync.WaitGroup
		asking.Go(func() { c.announce(full, full) })
		small := dial(budget)
		small.announce(60_000, 60_000)
		small.conn.Write([]byte{0})
		if err := <-small.result; err != nil || time.Since(begin) != 0 {
			t.Errorf("a small frame: %v after %v", err, time.Since(begin))
		}
		if err := <-c.result; kindOf(err) != NoMemory {
			t.Errorf("the asker got %v, want kind NoMemory", err)
		}
		if waited := time.Since(begin); waited != 10*time.Second {
			t.Errorf("it waited %v, want 10 s", waited)
		}
		if busy.evicted.Load() {
			t.Error("the busy client had to give way")
		}
		close(quit)
		feeding.Wait()
		asking.Wait()
		for _, s := range []*client{busy, small, c} {
			s.close()
		}
		synctest.Wait()
		if n := budget.InUse(); n != 0 {
			t.Errorf("%d bytes still reserved", n)
		}
	})
}

// Release, or the next Read, lets the waiting go on; Done ends the wait.
func TestReleaseAndDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(BudgetOptions{Bytes: 5 * mib})
		first := dial(budget)
		first.announce(full, full)
		first.conn.Write([]byte{0})
		if err := <-first.result; err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // a whole frame never counts as stalled
		second := dial(budget)
		go func() {
			second.announce(full, full)
			second.conn.Write([]byte{0})
		}()
		third := bytes.NewReader(AppendFrame(nil, V12, &Frame{Command: SEND, HasLength: true, Body: bodyOf(full)}))
		done := make(chan struct{})
		r := NewReader(third, ReaderOptions{Version: V12, Budget: budget, Done: done})
		ended := make(chan error, 1)
		go func() { ended <- r.Read(new(Frame)) }()
		synctest.Wait()
		select {
		case err := <-second.result:
			t.Fatalf("no memory to give, but Read returned %v", err)
		default:
		}
		close(done)
		if err := <-ended; err != errClosed {
			t.Errorf("after Done: %v", err)
		}
		if first.evicted.Load() {
			t.Error("a whole frame had to give way")
		}
		first.reader.Release()
		if err := <-second.result; err != nil {
			t.Errorf("after Release: %v", err)
		}
		first.close()
		second.close()
	})
}

// Frames that grow side by side and together want far more than there is all get through, one after the other.
func TestGrowingSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(BudgetOptions{Bytes: 3 * mib})
		var all sync.WaitGroup
		for i := range 40 {
			size := mib/2 + i*mib/25
			c := dial(budget)
			all.Go(func() {
				c.conn.Write([]byte("SEND\n" + contentLength + ":" + itoa(int64(size)) + "\n\n"))
				for body := bodyOf(size); len(body) > 0; body = body[min(len(body), 40_000):] {
					if _, err := c.conn.Write(body[:min(len(body), 40_000)]); err != nil {
						break
					}
				}
				c.conn.Write([]byte{0})
			})
			all.Go(func() {
				if err := <-c.result; err != nil || !bytes.Equal(c.frame.Body, bodyOf(size)) {
					t.Errorf("frame of %d bytes: %v", size, err)
				}
				c.close()
			})
		}
		all.Wait()
		if n := budget.InUse(); n != 0 {
			t.Errorf("%d bytes still reserved", n)
		}
	})
}

// A claim that gave up waiting for its first piece is forgotten, one that has all it needs asks for no more.
func TestBooks(t *testing.T) {
	b := NewBudget(BudgetOptions{Bytes: 1000})
	first, second := &claim{budget: b}, &claim{budget: b}
	if err := first.reserve(900, 1000, nil); err != nil {
		t.Fatal(err)
	}
	first.noMore()
	if b.most != 900 {
		t.Errorf("the claims may need %d bytes, want 900", b.most)
	}
	done := make(chan struct{})
	close(done)
	if err := second.reserve(200, 200, done); err != errClosed {
		t.Errorf("error %v, want %v", err, errClosed)
	}
	if len(b.claims) != 1 || len(b.waiters) != 0 || b.most != 900 {
		t.Errorf("%d claims, %d waiters, most %d after giving up", len(b.claims), len(b.waiters), b.most)
	}
}

// A whole frame asks for no more, though it was announced as larger.
func TestWholeFrameAsksNoMore(t *testing.T) {
	b := NewBudget(BudgetOptions{Bytes: 1000})
	c := &claim{budget: b}
	if err := c.reserve(100, 1000, nil); err != nil {
		t.Fatal(err)
	}
	if !c.finish() || b.most != 100 {
		t.Errorf("the claim may need %d bytes, want 100", b.most)
	}
}

// Who was told to give way gets time to do so before the next is told, and not for ever.
func TestEvictionWaitsForItsEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(BudgetOptions{Bytes: 1000})
		for range 3 {
			if err := (&claim{budget: b}).reserve(300, 300, nil); err != nil {
				t.Fatal(err)
			}
		}
		w, err := b.ask(&claim{budget: b}, 200, 200)
		if w == nil {
			t.Fatalf("not made to wait, error %v", err)
		}
		for i, want := range []int{0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0} {
			if n := len(b.chooseStalled(w)); n != want {
				t.Errorf("after %d s, %d were told to give way, want %d", i, n, want)
			}
			time.Sleep(time.Second)
		}
	})
}

// The last growth leaves nothing to wait for.
func TestFullGrowthAsksNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(BudgetOptions{})
		c := dial(b)
		c.announce(full, 3*mib)
		synctest.Wait()
		b.mu.Lock()
		if b.most != 4*mib || b.used != 4*mib {
			t.Errorf("used %d, at most %d, want 4 MiB both", b.used, b.most)
		}
		b.mu.Unlock()
		c.close()
	})
}

func TestBodyLargerThanBudget(t *testing.T) {
	in := AppendFrame(nil, V12, &Frame{Command: SEND, HasLength: true, Body: bodyOf(mib)})
	r := NewReader(bytes.NewReader(in), ReaderOptions{Version: V12, Budget: NewBudget(BudgetOptions{Bytes: mib / 2})})
	if err := r.Read(new(Frame)); kindOf(err) != NoMemory {
		t.Errorf("error %v, want kind NoMemory at once", err)
	}
}

// A timeout of the session's own is not taken for an eviction.
func TestForeignTimeout(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	far.SetReadDeadline(time.Unix(1, 0))
	err := NewReader(far, ReaderOptions{}).Read(new(Frame))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want the deadline's", err)
	}
}

// The model: whatever claims ask and give back, in whatever order, the bound holds, the books balance, and while all
// keep on going, at least one is never waiting.
func TestBudgetModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBudget(BudgetOptions{Bytes: 1000})
		type frame struct {
			claim *claim
			need  int64
			wait  *waiter
		}
		var open []*frame
		check := func() {
			var held int64
			for _, f := range open {
				held += f.claim.held
			}
			if b.used != held || held > 1000 {
				t.Fatalf("%d bytes in use, %d held by claims, of 1000", b.used, held)
			}
		}
		granted := func(f *frame) bool {
			if f.wait == nil {
				return true
			}
			select {
			case <-f.wait.granted:
				f.wait = nil
				return true
			default:
				return false
			}
		}
		// step lets f go on: ask for a piece, or end when it has got all.
		step := func(f *frame, i int, piece int64) {
			if f.claim.held == f.need {
				f.claim.finish()
				f.claim.shrink(0)
				open = append(open[:i], open[i+1:]...)
				return
			}
			w, err := b.ask(f.claim, min(piece, f.need-f.claim.held), f.need)
			if err != nil {
				t.Fatal(err)
			}
			f.wait = w
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			if len(open) < 12 && rapid.Bool().Draw(t, "open") {
				open = append(open, &frame{claim: &claim{budget: b}, need: rapid.Int64Range(1, 1000).Draw(t, "need")})
			}
			if len(open) > 0 {
				i := rapid.IntRange(0, len(open)-1).Draw(t, "who")
				if f := open[i]; granted(f) {
					step(f, i, rapid.Int64Range(1, 500).Draw(t, "piece"))
				}
			}
			check()
		}
		for len(open) > 0 {
			moved := false
			for i := len(open) - 1; i >= 0; i-- {
				if f := open[i]; granted(f) {
					step(f, i, 100)
					moved = true
				}
			}
			if check(); !moved {
				t.Fatalf("deadlock: all %d claims wait, %d of 1000 bytes in use", len(open), b.used)
			}
		}
		if b.used != 0 || b.most != 0 || len(b.claims) != 0 || len(b.waiters) != 0 {
			t.Fatalf("left over: used %d, most %d, %d claims, %d waiters", b.used, b.most, len(b.claims), len(b.waiters))
		}
	})
}
