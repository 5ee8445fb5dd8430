package frame

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestLimits(t *testing.T) {
	limits := Limits{CommandLine: 10, HeaderLine: 12, HeaderCount: 3, Headers: 30, Body: 5}
	tests := []struct {
		name, in string
		kind     Kind // 0: accepted
		message  string
	}{
		{"command line at limit", "DISCONNECT\n\n\x00", 0, ""},
		{"command line over limit", "DISCONNECTX\n\n\x00", Limit, "command line"},
		{"command line over limit, unfinished", "DISCONNECTX", Limit, "command line"},
		{"header line at limit", "SEND\na:3456789012\n\n\x00", 0, ""},
		{"header line over limit", "SEND\na:34567890123\n\n\x00", Limit, "header line"},
		{"header line over limit, unfinished", "SEND\na:34567890123", Limit, "header line"},
		{"header count at limit", "SEND\na:1\nb:1\na:1\n\n\x00", 0, ""},
		{"header count over limit", "SEND\na:1\nb:1\na:1\nd:1\n\n\x00", Limit, "too many"},
		{"headers at limit", "SEND\na:34567890\nb:34567890\nc:345\n\n\x00", 0, ""},
		{"headers over limit", "SEND\na:34567890\nb:34567890\nc:34567890\n\n\x00", Limit, "headers too long"},
		{"headers over limit, unfinished", "SEND\na:34567890\nb:34567890\nc:34567890", Limit, "headers too long"},
		{"NUL at the end of a line over limit", "SEND\na:34567890123\x00\n\n\x00", Limit, "header line"},
		{"NUL just over the limit", "SEND\na:3456789012\x00\n\n\x00", Syntax, "NUL"},
		{"body at limit", "SEND\n\n12345\x00", 0, ""},
		{"body over limit", "SEND\n\n123456\x00", TooLarge, "body too large"},
		{"body over limit, unfinished", "SEND\n\n123456", TooLarge, "body too large"},
		{"announced body at limit", "SEND\ncontent-length:5\n\n12345\x00", Limit, "header line"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []int{1, 5, 4096} {
				r := NewReader(chunks{strings.NewReader(tt.in), n}, ReaderOptions{Version: V12, Limits: limits})
				err := r.Read(new(Frame))
				var fault *Error
				switch {
				case tt.kind == 0 && err != nil:
					t.Errorf("chunks of %d: %v", n, err)
				case tt.kind == 0:
				case !errors.As(err, &fault) || fault.Kind != tt.kind || !strings.Contains(fault.Message, tt.message):
					t.Errorf("chunks of %d: error %v, want kind %v with %q", n, err, tt.kind, tt.message)
				}
			}
		})
	}
}

func TestLimitsChangeBetweenFrames(t *testing.T) {
	r := NewReader(strings.NewReader("SEND\n\n12345\x00SEND\n\n12345\x00SEND\n\n12345\x00"), ReaderOptions{Version: V12})
	var f Frame
	if err := r.Read(&f); err != nil {
		t.Fatal(err)
	}
	if !r.Buffered() { // parsed ahead under the old limit
		t.Fatal("the second frame is not buffered")
	}
	r.SetBodyLimit(4)
	if err := r.Read(&f); err == nil {
		t.Fatal("a body over the new limit was accepted")
	}
}

func TestVersionChangesBetweenFrames(t *testing.T) {
	in := "CONNECT\naccept-version:1.2\n\n\x00SEND\na: \\c\r\n\n\x00"
	r := NewReader(strings.NewReader(in), ReaderOptions{Limits: LoginLimits()})
	var f Frame
	if err := r.Read(&f); err != nil {
		t.Fatal(err)
	}
	r.Buffered()
	r.SetVersion(V12)
	if err := r.Read(&f); err != nil {
		t.Fatal(err)
	}
	if v, _ := f.Get("a"); string(v) != " :" {
		t.Errorf("a is %q after the change to 1.2", v)
	}
}

func TestDefaultsOfLimits(t *testing.T) {
	if got, want := DefaultLimits(), (Limits{64, 64 << 10, 1000, 256 << 10, 100 << 20}); got != want {
		t.Errorf("DefaultLimits() = %+v, want %+v", got, want)
	}
	l := LoginLimits()
	if whole := int64(l.CommandLine+l.Headers) + l.Body; whole > 64<<10 {
		t.Errorf("a frame before login may have %d bytes, want 64 KiB at most", whole)
	}
}

// An ERROR frame must name the receipt of the frame that caused it, if the head got that far.
func TestErrorKeepsHead(t *testing.T) {
	for name, in := range map[string]string{
		"body too large":   "SEND\nreceipt:a\\cb\ncontent-length:999999999\n\n",
		"no NUL":           "SEND\nreceipt:a\\cb\ncontent-length:1\n\nxx\x00",
		"no NUL, large":    "SEND\nreceipt:a\\cb\ncontent-length:100000\n\n" + strings.Repeat("x", 100001),
		"body not allowed": "ACK\nreceipt:a\\cb\n\nxx\x00",
		"later header bad": "ACK\nreceipt:a\\cb\nxx\n\n\x00",
		"later escape bad": "ACK\nreceipt:a\\cb\nx:\\t\n\n\x00",
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(strings.NewReader(in), ReaderOptions{Version: V12})
			var f Frame
			err := r.Read(&f)
			var fault *Error
			if !errors.As(err, &fault) {
				t.Fatalf("error %v, want an *Error", err)
			}
			if v, ok := f.Get("receipt"); !ok || string(v) != "a:b" || f.Command == unknown {
				t.Errorf("after the error: command %v, receipt %q", f.Command, v)
			}
		})
	}
}

func TestEndOfStream(t *testing.T) {
	for _, in := range []string{"SE", "SEND\n", "SEND\na:b\n\nbody", "SEND\ncontent-length:3\n\nab", "SEND\ncontent-length:2\n\nab",
		"SEND\ncontent-length:99999\n\nab", "SEND\n\n" + strings.Repeat("x", 99999)} {
		if err := NewReader(strings.NewReader(in), ReaderOptions{}).Read(new(Frame)); err != io.ErrUnexpectedEOF {
			t.Errorf("%.40q: error %v, want io.ErrUnexpectedEOF", in, err)
		}
	}
	for _, in := range []string{"", "\n\r\n\x00"} {
		if err := NewReader(strings.NewReader(in), ReaderOptions{}).Read(new(Frame)); err != io.EOF {
			t.Errorf("%q: error %v, want io.EOF", in, err)
		}
	}
}

// dataErr returns its bytes and an error in the same call.
type dataErr struct {
	data string
	err  error
}

func (d *dataErr) Read(p []byte) (int, error) {
	n := copy(p, d.data)
	d.data = d.data[n:]
	if d.data == "" {
		return n, d.err
	}
	return n, nil
}

// Frames received before the connection was lost are still handed out.
func TestErrorTogetherWithFrames(t *testing.T) {
	lost := errors.New("connection lost")
	large := "SEND\ncontent-length:100000\n\n" + strings.Repeat("x", 100000) + "\x00"
	r := NewReader(&dataErr{"ACK\nid:1\n\n\x00" + large, lost}, ReaderOptions{Version: V12})
	frames, err := readAll(r)
	if len(frames) != 2 || err != lost {
		t.Errorf("%d frames and error %v, want 2 and %v", len(frames), err, lost)
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

func TestNoProgress(t *testing.T) {
	if err := NewReader(silent{}, ReaderOptions{}).Read(new(Frame)); err != io.ErrNoProgress {
		t.Errorf("error %v, want io.ErrNoProgress", err)
	}
}
