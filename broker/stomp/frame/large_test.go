package frame

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func bodyOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i%251 + 1) // no NUL
	}
	return b
}

// Bodies of all sizes around those of the buffers come out right, whatever stands before and after them.
func TestBodySizes(t *testing.T) {
	sizes := []int{0, 1, 4000, smallBuffer - 1, smallBuffer, 60000, bigBuffer - 1100, bigBuffer - 40, bigBuffer - 1, bigBuffer,
		bigBuffer + 1, 200_000, 1 << 20, 1<<20 + 1}
	budget := NewBudget(BudgetOptions{Bytes: 2 << 20})
	for _, size := range sizes {
		for _, counted := range []bool{true, false} {
			for _, chunk := range []int{1000, 4096, 1 << 20} {
				spare := size % 777
				t.Run(fmt.Sprintf("%d/counted=%v/chunk=%d", size, counted, chunk), func(t *testing.T) {
					want := bodyOf(size)
					in := AppendFrame([]byte("\nACK\nid:1\n\n\x00"), V12, &Frame{Command: SEND, HasLength: counted, Body: want})
					in = append(in, "\nNACK\nid:2\n\n\x00"...)
					r := NewReader(chunks{bytes.NewReader(in), chunk}, ReaderOptions{Version: V12, Budget: budget,
						Spare: func(int, int) int { return spare }})
					var f Frame
					for _, cmd := range []Command{ACK, SEND, NACK} {
						if err := r.Read(&f); err != nil || f.Command != cmd {
							t.Fatalf("command %v, error %v; want %v", f.Command, err, cmd)
						}
						if cmd != SEND {
							continue
						}
						if !bytes.Equal(f.Body, want) || f.HasLength != counted {
							t.Fatalf("body of %d bytes differs (got %d, HasLength %v)", size, len(f.Body), f.HasLength)
						}
						if (f.Memory != nil) != (size >= bigBuffer) && (size < bigBuffer-1100 || size > bigBuffer) {
							t.Errorf("memory of its own: %v", f.Memory != nil)
						}
						if f.Memory != nil && (!bytes.HasSuffix(f.Memory, want) || counted && len(f.Memory) != spare+size) {
							t.Errorf("memory of %d bytes for a body of %d and %d before it", len(f.Memory), size, spare)
						}
					}
					if err := r.Read(&f); err != io.EOF {
						t.Errorf("error %v, want io.EOF", err)
					}
					r.Close()
					if n := budget.InUse(); n != 0 {
						t.Errorf("%d bytes still reserved", n)
					}
				})
			}
		}
	}
}

func TestOwnedBodyStays(t *testing.T) {
	large := AppendFrame(nil, V12, &Frame{Command: SEND, HasLength: true, Body: bodyOf(200_000)})
	in := append(large, bytes.Repeat([]byte("SEND\n\nzzzzzzzzzzzzzzzzzzz\x00"), 10_000)...)
	r := NewReader(bytes.NewReader(in), ReaderOptions{Version: V12, Budget: NewBudget(BudgetOptions{})})
	var f Frame
	if err := r.Read(&f); err != nil || f.Memory == nil {
		t.Fatalf("error %v, owned %v", err, f.Memory != nil)
	}
	kept := f.Body
	if _, err := readAll(r); err != io.EOF {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, bodyOf(200_000)) {
		t.Error("an owned body changed with later frames")
	}
}

// A head may be larger than the big buffer, up to the limits, and is charged to the budget while it is.
func TestOversizedHead(t *testing.T) {
	var head []byte
	head = AppendCommand(head, SEND)
	for i := range 4 {
		head = AppendHeader(head, V12, fmt.Sprint("h", i), bodyOf(60_000)[:60_000-4000*i])
	}
	for _, size := range []int{0, 10, 100_000} {
		for _, counted := range []bool{true, false} {
			in := bytes.Clone(head)
			if counted {
				in = AppendHeaderInt(in, contentLength, int64(size))
			}
			in = AppendBody(AppendEnd(in), bodyOf(size))
			in = append(in, "ACK\nid:1\n\n\x00"...)
			budget := NewBudget(BudgetOptions{})
			peak := int64(0)
			src := probe{bytes.NewReader(in), func([]byte) { peak = max(peak, budget.InUse()) }}
			r := NewReader(src, ReaderOptions{Version: V12, Budget: budget})
			var f Frame
			if err := r.Read(&f); err != nil {
				t.Fatal(err)
			}
			if v, _ := f.Get("h3"); len(f.Headers) < 4 || !bytes.Equal(v, bodyOf(60_000)[:48_000]) {
				t.Errorf("the last header came out wrong, %d bytes", len(v))
			}
			if !bytes.Equal(f.Body, bodyOf(size)) {
				t.Errorf("body of %d bytes came out wrong", size)
			}
			if peak < 128<<10 {
				t.Errorf("only %d bytes were charged for a head of %d", peak, len(head))
			}
			if err := r.Read(&f); err != nil || f.Command != ACK {
				t.Errorf("the frame after it: %v %v", f.Command, err)
			}
			if err := r.Read(&f); err != io.EOF {
				t.Error(err)
			}
			if n := budget.InUse(); n != 0 {
				t.Errorf("%d bytes still reserved", n)
			}
		}
	}
}

// probe calls see with the room of every read.
type probe struct {
	r   io.Reader
	see func(p []byte)
}

func (p probe) Read(b []byte) (int, error) {
	p.see(b)
	return p.r.Read(b)
}

// What a body gets follows what has arrived, never the announcement.
func TestMemoryFollowsArrival(t *testing.T) {
	const announced = 100 << 20
	budget := NewBudget(BudgetOptions{})
	for _, sent := range []int{0, 1000, 100_000, 3 << 20} {
		in := append([]byte(fmt.Sprintf("SEND\ncontent-length:%d\n\n", announced)), bodyOf(sent)...)
		peak := int64(0)
		src := probe{bytes.NewReader(in), func([]byte) { peak = max(peak, budget.InUse()) }}
		r := NewReader(src, ReaderOptions{Version: V12, Budget: budget})
		if err := r.Read(new(Frame)); err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
		if most := int64(5*sent + 5*firstBody); peak > most {
			t.Errorf("%d bytes sent took %d, want at most %d", sent, peak, most)
		}
		if n := budget.InUse(); n != 0 {
			t.Errorf("%d bytes still reserved after the error", n)
		}
	}
}

// A head that nearly fills the buffer does not make the reads of an uncounted body small.
func TestRoomAfterLargeHead(t *testing.T) {
	head := AppendHeader(AppendCommand(nil, SEND), V12, "h", strings.Repeat("x", 30_000))
	head = AppendHeader(head, V12, "h", strings.Repeat("x", bigBuffer-len(head)-30))
	in := AppendBody(AppendEnd(head), bodyOf(1<<20))
	reads := 0
	r := NewReader(probe{bytes.NewReader(in), func([]byte) { reads++ }}, ReaderOptions{Version: V12})
	var f Frame
	if err := r.Read(&f); err != nil || len(f.Body) != 1<<20 {
		t.Fatal(len(f.Body), err)
	}
	if reads > 100 {
		t.Errorf("%d reads for %d bytes", reads, len(in))
	}
}

func TestNextSize(t *testing.T) {
	for most := int64(1); most < 300<<20; most = most*3/2 + 7 {
		have := int64(0)
		for have < most {
			size := nextSize(have+1, most)
			if size <= have || size > most || size > 4*max(have+1, firstBody) || (size == most && have > (most+3)/4) {
				t.Fatalf("after %d of %d bytes comes %d", have, most, size)
			}
			have = size
		}
	}
}

// An idle connection holds the small buffer, whatever it did before.
func TestBufferFollowsTraffic(t *testing.T) {
	burst := strings.Repeat("SEND\n\n"+strings.Repeat("x", 500)+"\x00", 2000)
	var rooms []int
	src := probe{io.MultiReader(strings.NewReader(burst), strings.NewReader("\n"), strings.NewReader("\n")),
		func(p []byte) { rooms = append(rooms, len(p)) }}
	r := NewReader(src, ReaderOptions{Version: V12, Budget: NewBudget(BudgetOptions{})})
	frames, err := readAll(r)
	if len(frames) != 2000 || err != io.EOF {
		t.Fatal(len(frames), err)
	}
	if rooms[0] != smallBuffer || rooms[len(rooms)-1] != smallBuffer {
		t.Errorf("reads began with room for %d and ended with %d, want %d", rooms[0], rooms[len(rooms)-1], smallBuffer)
	}
	if len(rooms) > 30 {
		t.Errorf("%d reads for a burst of %d bytes: the big buffer was not used", len(rooms), len(burst))
	}
	r.Close()
	if err := r.Read(new(Frame)); !errors.Is(err, errClosed) && err != io.EOF {
		t.Error(err)
	}
}

func TestBuffered(t *testing.T) {
	pr, pw := io.Pipe()
	r := NewReader(pr, ReaderOptions{Version: V12})
	defer r.Close()
	go pw.Write([]byte("ACK\nid:1\n\n\x00\nNACK\nid:2\n\n\x00SEND\na:b\n\nhal"))
	var f Frame
	if r.Buffered() {
		t.Error("buffered before the first Read")
	}
	if err := r.Read(&f); err != nil {
		t.Fatal(err)
	}
	for range 2 { // asking changes nothing
		if !r.Buffered() {
			t.Error("the second frame is whole but not buffered")
		}
	}
	if v, _ := f.Get("id"); string(v) != "1" {
		t.Errorf("Buffered changed the frame of the last Read: id is %q", v)
	}
	if err := r.Read(&f); err != nil || f.Command != NACK {
		t.Fatal(f.Command, err)
	}
	if r.Buffered() {
		t.Error("half a frame counts as buffered")
	}
	go pw.Write([]byte("f\x00bad\n"))
	if err := r.Read(&f); err != nil || string(f.Body) != "half" {
		t.Fatalf("body %q, error %v", f.Body, err)
	}
	if !r.Buffered() {
		t.Error("an error ahead does not count as buffered, though Read returns it at once")
	}
	if err := r.Read(&f); err == nil || !r.Buffered() {
		t.Error("no error, or not buffered after it")
	}
}
