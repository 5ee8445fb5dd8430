package failover

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/google/go-cmp/cmp"
)

func TestUnescape(t *testing.T) {
	for text, want := range map[string]string{
		"":                "",
		"plain":           "plain",
		`a\cb\nc\rd\\e`:   "a:b\nc\rd\\e",
		`\\c`:             `\c`,
		`\\\\`:            `\\`,
		"raw:colon":       "raw:colon",
		"\\c\xff invalid": ":\xff invalid",
	} {
		if got, err := unescape(text); err != nil || got != want {
			t.Errorf("%q: %q %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`\`, `a\t`, `\\\`} {
		if got, err := unescape(text); err == nil {
			t.Errorf("%q: %q, want an error", text, got)
		}
	}
}

func TestReadFrames(t *testing.T) {
	long := strings.Repeat("v", 2*readBuffer)
	input := "\n\r\n" +
		"CONNECTED\r\nversion:1.2\r\nsession:a\\tb:c\r\n\r\n\x00" + // not escaped
		"MESSAGE\na:1\na:2\nlong:" + long + "\ncontent-length:3\n\n\x00\n\x00\x00\n" +
		"RECEIPT\nreceipt-id:7\n\n\x00" +
		"ERROR\nmessage:x\n\n" + long + "\x00"
	r := newFrameReader(strings.NewReader(input), 1<<20)
	var got []string
	for {
		f, err := r.read()
		if err != nil {
			break
		}
		if f == nil {
			got = append(got, "beat")
			continue
		}
		got = append(got, f.Command+" "+strings.Join(headerText(f), " ")+" "+string(f.Body))
	}
	want := []string{"beat", "beat", `CONNECTED version:1.2 session:a\tb:c `, "MESSAGE a:1 a:2 long:" + long + " content-length:3 \x00\n\x00", "beat", "RECEIPT receipt-id:7 ", "ERROR message:x " + long}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBodyBounds(t *testing.T) {
	const most = 10
	for _, size := range []int{most, most + 1} {
		for _, header := range []string{"", "content-length:" + formatSerial(uint64(size)) + "\n"} {
			text := "MESSAGE\n" + header + "\n" + strings.Repeat("x", size) + "\x00"
			f, err := newFrameReader(strings.NewReader(text), most).read()
			if ok := err == nil && len(f.Body) == size; ok != (size <= most) {
				t.Errorf("body of %d with header %q: %v", size, header, err)
			}
		}
	}
}

// FuzzReadFrame checks that a frame that was read comes back the same when
// go-stomp's writer has written it.
func FuzzReadFrame(f *testing.F) {
	for _, s := range []string{
		"MESSAGE\nsubscription:1\nmessage-id:a\\cb\n\nbody\x00", "ERROR\r\nmessage:x\r\n\r\n\x00", "\n\nRECEIPT\nreceipt-id:\\\\\n\n\x00",
		"MESSAGE\ncontent-length:2\n\n\x00\x00\x00", "MESSAGE\ncontent-length:99999999999\n\n", "A\n:\n\n\x00",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		const most = 1 << 16
		r := newFrameReader(bytes.NewReader(input), most)
		for {
			got, err := r.read()
			if err != nil {
				return
			}
			if got == nil || got.Command == frame.CONNECTED {
				continue
			}
			if len(got.Body) > most {
				t.Fatalf("body of %d bytes", len(got.Body))
			}
			var b bytes.Buffer
			w := newFrameWriter(&b)
			must(t, w.write(got))
			must(t, w.flush())
			again, err := newFrameReader(&b, most).read()
			if err != nil {
				t.Fatalf("%q: written again it cannot be read: %v", input, err)
			}
			if again == nil || got.Command != again.Command || !bytes.Equal(got.Body, again.Body) || !cmp.Equal(headerText(got), headerText(again)) {
				t.Fatalf("%q: read %v, written and read again %v", input, got, again)
			}
		}
	})
}
