package frame

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	stomp "github.com/go-stomp/stomp/v3/frame"
	"github.com/google/go-cmp/cmp"
)

// inflate lets short fuzz inputs reach the large buffers: each 0xFE stands for 9,000 bytes.
func inflate(data []byte) []byte {
	return bytes.ReplaceAll(data, []byte{0xfe}, bytes.Repeat([]byte("y"), 9000))
}

// cut is a reader that returns pieces whose sizes come from a list, over and over.
type cut struct {
	r     io.Reader
	sizes []byte
	n     int
}

func (c *cut) Read(p []byte) (int, error) {
	size := len(p)
	if len(c.sizes) > 0 {
		s := int(c.sizes[c.n%len(c.sizes)])
		size = s*s + 1 // from 1 byte to nearly 64 KiB
		c.n++
	}
	return c.r.Read(p[:min(size, len(p))])
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{sendFrame, ackFrame, "\n\n" + ackFrame + "\r\n" + ackFrame, "SEND\r\na:\\c\\t\r\n\r\n\x00",
		"SEND\n\n\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x00" + ackFrame, "SEND\ncontent-length:81001\n\n\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfex\x00" + ackFrame,
		"SEND\na:\xfe\xfe\nb:\xfe\xfe\nc:\xfe\xfe\nd:\xfe\xfe\n\nbody\x00" + ackFrame, "CONNECT\naccept-version:1.2\n\n\x00", "SEND\na:b\x00"} {
		f.Add([]byte(seed), []byte{0}, uint8(V12))
		f.Add([]byte(seed), []byte{30, 0, 255}, uint8(V10))
	}
	limits := Limits{CommandLine: 20, HeaderLine: 40_000, HeaderCount: 8, Headers: 100_000, Body: 300_000}
	f.Fuzz(func(t *testing.T, data, sizes []byte, v uint8) {
		data = inflate(data)
		if len(data) > 1<<20 {
			t.Skip("larger than any limit is of interest for")
		}
		opts := ReaderOptions{Version: Version(v % 3), Limits: limits}
		want, wantErr := readAll(NewReader(bytes.NewReader(data), opts))

		opts.Budget = NewBudget(BudgetOptions{Bytes: 2 << 20})
		peak := int64(0)
		src := probe{&cut{r: bytes.NewReader(data), sizes: sizes}, func([]byte) { peak = max(peak, opts.Budget.InUse()) }}
		r := NewReader(src, opts)
		frames, err := readAll(r)
		if diff := cmp.Diff(want, frames); diff != "" {
			t.Errorf("frames depend on the pieces (-whole +pieces):\n%s", diff)
		}
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("error depends on the pieces: whole %v, pieces %v", wantErr, err)
		}
		for _, g := range frames {
			if len(g.Headers) > limits.HeaderCount || int64(len(g.Body)) > limits.Body {
				t.Errorf("a frame is over the limits: %d headers, body of %d", len(g.Headers), len(g.Body))
			}
		}
		if most := int64(5*len(data) + 8*bigBuffer); peak > most {
			t.Errorf("%d bytes of input took %d of memory", len(data), peak)
		}
		r.Close()
		if n := opts.Budget.InUse(); n != 0 {
			t.Errorf("%d bytes still reserved after Close", n)
		}
	})
}

// written is what a header becomes on the way through version v, by the documentation of AppendHeader and Reader.
func written(v Version, c Command, name, value string) string {
	name = strings.ReplaceAll(name, "\x00", " ")
	value = strings.ReplaceAll(value, "\x00", " ")
	if v == V10 || c.raw() {
		flat := strings.NewReplacer("\r", " ", "\n", " ")
		name = flat.Replace(strings.ReplaceAll(name, ":", "_"))
		value = strings.Trim(flat.Replace(value), " ")
	}
	return name + "=" + value
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(uint8(V12), uint8(SEND), "a", "b", "c:\r\n\\", " d \x00", []byte("body"), true)
	f.Add(uint8(V10), uint8(MESSAGE), "a:\n", "b\r", "c", " d ", []byte("a\x00"), false)
	f.Add(uint8(V11), uint8(CONNECTED), "a", "b\r", "\r", "\r", []byte{}, false)
	f.Fuzz(func(t *testing.T, ver, cmd uint8, n1, v1, n2, v2 string, body []byte, length bool) {
		v, c := Version(ver%3), Command(cmd%uint8(ERROR))+1
		if n1 == "" || n2 == "" || n1 == contentLength || n2 == contentLength {
			t.Skip("not a header that AppendFrame writes as it is")
		}
		if strings.Contains(n1+n2, "version") {
			t.Skip("decides on trimming")
		}
		if !c.hasBody() {
			body = nil
		}
		in := &Frame{Command: c, HasLength: length, Body: body,
			Headers: []Header{{[]byte(n1), []byte(v1)}, {[]byte(n2), []byte(v2)}}}
		wire := AppendFrame(nil, v, in)
		wire = AppendFrame(wire, v, &Frame{Command: BEGIN})

		want := got{c.String(), []string{written(v, c, n1, v1), written(v, c, n2, v2)}, string(body)}
		if length || bytes.IndexByte(body, 0) >= 0 {
			want.Headers = append(want.Headers, fmt.Sprint(contentLength, "=", len(body)))
		}
		frames, err := readAll(NewReader(bytes.NewReader(wire), ReaderOptions{Version: v}))
		if diff := cmp.Diff([]got{want, {Command: "BEGIN"}}, frames); diff != "" || err != io.EOF {
			t.Errorf("%v: %q came back differently, error %v (-want +got):\n%s", v, wire, err, diff)
		}
	})
}

// FuzzPeer compares with go-stomp's reader on frames that both accept, where the specification leaves no choice.
func FuzzPeer(f *testing.F) {
	f.Add([]byte(sendFrame))
	f.Add([]byte("SEND\r\na\\c:\\\\\\n\r\nb:c:d\r\n\r\nbody\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var own Frame
		limits := Limits{Body: 10_000} // go-stomp allocates what is announced
		if NewReader(bytes.NewReader(data), ReaderOptions{Version: V12, Limits: limits}).Read(&own) != nil {
			return
		}
		peer := peerRead(data)
		if peer == nil {
			return // less lenient than we are
		}
		if peer.Command != own.Command.String() {
			t.Fatalf("command %q, go-stomp read %q", own.Command, peer.Command)
		}
		if own.Command.hasBody() && !bytes.Equal(peer.Body, own.Body) {
			t.Errorf("body %q, go-stomp read %q", own.Body, peer.Body)
		}
		if own.Command.raw() {
			return // go-stomp unescapes these as well
		}
		if peer.Header.Len() != len(own.Headers) {
			t.Fatalf("%d headers, go-stomp read %d", len(own.Headers), peer.Header.Len())
		}
		for i, h := range own.Headers {
			if name, value := peer.Header.GetAt(i); name != string(h.Name) || value != string(h.Value) {
				t.Errorf("header %q:%q, go-stomp read %q:%q", h.Name, h.Value, name, value)
			}
		}
	})
}

// peerRead reads the first frame with go-stomp, or returns nil if that cannot.
func peerRead(data []byte) (f *stomp.Frame) {
	r := stomp.NewReader(bytes.NewReader(data))
	for {
		f, err := r.Read()
		if f != nil || err != nil {
			return f
		}
	}
}
