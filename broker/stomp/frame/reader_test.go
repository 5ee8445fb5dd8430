package frame

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// got is a frame as tests compare it.
type got struct {
	Command string
	Headers []string // name=value
	Body    string
}

func asGot(f *Frame) got {
	g := got{Command: f.Command.String(), Body: string(f.Body)}
	for _, h := range f.Headers {
		g.Headers = append(g.Headers, string(h.Name)+"="+string(h.Value))
	}
	return g
}

// readAll reads frames until an error.
func readAll(r *Reader) ([]got, error) {
	var all []got
	var f Frame
	for {
		if err := r.Read(&f); err != nil {
			return all, err
		}
		all = append(all, asGot(&f))
	}
}

// chunks is a reader that returns at most n bytes at a time.
type chunks struct {
	r io.Reader
	n int
}

func (c chunks) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }

func TestReadGrammar(t *testing.T) {
	tests := []struct {
		name    string
		version Version
		in      string
		want    []got
		kind    Kind // 0: io.EOF
		text    string
	}{
		// STOMP 1.2, STOMP Frames.
		{name: "minimal", version: V12, in: "SEND\n\n\x00", want: []got{{Command: "SEND"}}},
		{name: "headers and body", version: V12, in: "SEND\ndestination:/queue/a\n\nhello\x00\n",
			want: []got{{"SEND", []string{"destination=/queue/a"}, "hello"}}},
		{name: "two in a row", version: V12, in: "ACK\nid:1\n\n\x00NACK\nid:2\n\n\x00",
			want: []got{{"ACK", []string{"id=1"}, ""}, {"NACK", []string{"id=2"}, ""}}},
		{name: "every command", version: V12,
			in: "CONNECT\n\n\x00STOMP\n\n\x00SEND\n\n\x00SUBSCRIBE\n\n\x00UNSUBSCRIBE\n\n\x00ACK\n\n\x00NACK\n\n\x00BEGIN\n\n\x00" +
				"COMMIT\n\n\x00ABORT\n\n\x00DISCONNECT\n\n\x00CONNECTED\n\n\x00MESSAGE\n\n\x00RECEIPT\n\n\x00ERROR\n\n\x00",
			want: []got{{Command: "CONNECT"}, {Command: "STOMP"}, {Command: "SEND"}, {Command: "SUBSCRIBE"},
				{Command: "UNSUBSCRIBE"}, {Command: "ACK"}, {Command: "NACK"}, {Command: "BEGIN"}, {Command: "COMMIT"},
				{Command: "ABORT"}, {Command: "DISCONNECT"}, {Command: "CONNECTED"}, {Command: "MESSAGE"},
				{Command: "RECEIPT"}, {Command: "ERROR"}}},
		{name: "commands are case-sensitive", version: V12, in: "send\n\n\x00", kind: UnknownCommand, text: `"send"`},
		{name: "no matching by prefix", version: V12, in: "SUB\n\n\x00", kind: UnknownCommand, text: `"SUB"`},
		{name: "binary command", version: V12, in: "\xff\x01\n\n\x00", kind: UnknownCommand, text: `"\xff\x01"`},
		{name: "TLS on a plain port", version: V12, in: strings.Repeat("\x16\x03\x01", 30), kind: Limit, text: "STOMP?"},

		// STOMP 1.2, Augmented BNF: EOL = [CR] LF; octets between frames.
		{name: "CR LF in 1.2", version: V12, in: "SEND\r\na:b\r\n\r\nx\x00\r\n", want: []got{{"SEND", []string{"a=b"}, "x"}}},
		{name: "mixed line ends in 1.2", version: V12, in: "SEND\na:b\r\nc:d\n\r\nx\x00", want: []got{{"SEND", []string{"a=b", "c=d"}, "x"}}},
		{name: "CR LF in 1.1 after CR LF", version: V11, in: "SEND\r\na:b\r\n\r\nx\x00", want: []got{{"SEND", []string{"a=b"}, "x"}}},
		{name: "CR LF in 1.0 after CR LF", version: V10, in: "SEND\r\na:b\r\n\r\nx\x00", want: []got{{"SEND", []string{"a=b"}, "x"}}},
		{name: "CR belongs to the value in 1.1", version: V11, in: "SEND\na:b\r\n\nx\x00", want: []got{{"SEND", []string{"a=b\r"}, "x"}}},
		{name: "only one CR is part of the line end", version: V12, in: "SEND\na:b\r\r\n\nx\x00", want: []got{{"SEND", []string{"a=b\r"}, "x"}}},
		{name: "CR alone is no blank line in 1.1", version: V11, in: "SEND\n\r\nx\x00", kind: Syntax, text: "no colon"},
		{name: "heart-beats and NULs between frames", version: V12, in: "\n\r\n\n\x00\nACK\nid:1\n\n\x00\x00\n\r\n\x00NACK\nid:2\n\n\x00\n\n",
			want: []got{{"ACK", []string{"id=1"}, ""}, {"NACK", []string{"id=2"}, ""}}},

		// STOMP 1.2, Value Encoding.
		{name: "escapes in 1.2", version: V12, in: "SEND\na\\cb:\\r\\n\\c\\\\\n\n\x00", want: []got{{"SEND", []string{"a:b=\r\n:\\"}, ""}}},
		{name: "escapes in 1.1, with the \\r some clients send", version: V11, in: "SEND\na\\cb:\\r\\n\\c\\\\z\n\n\x00", want: []got{{"SEND", []string{"a:b=\r\n:\\z"}, ""}}},
		{name: "no escapes in 1.0", version: V10, in: "SEND\na\\cb:\\r\\n\\c\\t\\\n\n\x00", want: []got{{"SEND", []string{`a\cb=\r\n\c\t\`}, ""}}},
		{name: "undefined escape in value", version: V12, in: "SEND\na:b\\tc\n\n\x00", kind: Syntax, text: `"\\t"`},
		{name: "undefined escape in name", version: V11, in: "SEND\na\\x:b\n\n\x00", kind: Syntax, text: `"\\x"`},
		{name: "lone backslash", version: V12, in: "SEND\na:b\\\n\n\x00", kind: Syntax, text: `"\\"`},
		{name: "escape does not reach over the colon", version: V12, in: "SEND\na\\:nb\n\n\x00", kind: Syntax, text: `"\\"`},
		{name: "CONNECT stays raw", version: V12, in: "CONNECT\naccept-version:1.2\npasscode:a\\cb\\t\n\n\x00", want: []got{{"CONNECT", []string{"accept-version=1.2", `passcode=a\cb\t`}, ""}}},
		{name: "STOMP stays raw", version: V12, in: "STOMP\npasscode:a\\cb\\t\n\n\x00", want: []got{{"STOMP", []string{`passcode=a\cb\t`}, ""}}},
		{name: "CONNECTED stays raw", version: V12, in: "CONNECTED\nserver:a\\cb\\t\n\n\x00", want: []got{{"CONNECTED", []string{`server=a\cb\t`}, ""}}},
		{name: "raw colon in value", version: V12, in: "SEND\na:b:c::\n\n\x00", want: []got{{"SEND", []string{"a=b:c::"}, ""}}},

		// STOMP 1.2, Value Encoding: no trimming. STOMP 1.0 clients pad.
		{name: "no trimming in 1.2", version: V12, in: "SEND\na: b \n\n\x00", want: []got{{"SEND", []string{"a= b "}, ""}}},
		{name: "no trimming in 1.1", version: V11, in: "SEND\n a: b \n\n\x00", want: []got{{"SEND", []string{" a= b "}, ""}}},
		{name: "trimming in 1.0", version: V10, in: "SEND\na:  b c \nd:  \n\n\x00", want: []got{{"SEND", []string{"a=b c", "d="}, ""}}},
		{name: "CONNECT of a 1.0 client", version: V10, in: "CONNECT\nlogin: u\n\n\x00", want: []got{{"CONNECT", []string{"login=u"}, ""}}},
		{name: "CONNECT of a later client", version: V10, in: "CONNECT\nlogin: u\naccept-version: 1.1, 1.2\n\n\x00", want: []got{{"CONNECT", []string{"login= u", "accept-version= 1.1, 1.2"}, ""}}},
		{name: "UTF-8", version: V12, in: "SEND\nä😀:ß€\n\n𝄞\x00", want: []got{{"SEND", []string{"ä😀=ß€"}, "𝄞"}}},

		// Header lines.
		{name: "empty value", version: V12, in: "SEND\na:\n\n\x00", want: []got{{"SEND", []string{"a="}, ""}}},
		{name: "no colon", version: V12, in: "SEND\nabc\n\n\x00", kind: Syntax, text: `"abc"`},
		{name: "no name", version: V12, in: "SEND\n:abc\n\n\x00", kind: Syntax, text: `":abc"`},
		{name: "blank line forgotten", version: V12, in: "CONNECT\nlogin:u\n\x00", kind: Syntax, text: "empty line"},
		{name: "NUL in a header", version: V12, in: "SEND\na:b\x00c\n\n\x00", kind: Syntax, text: "NUL"},
		{name: "NUL in the command line", version: V12, in: "SE\x00ND\n\n\x00", kind: Syntax, text: "NUL"},

		// STOMP 1.2, Header content-length and Body.
		{name: "content-length across NULs", version: V12, in: "SEND\ncontent-length:3\n\n\x00\x00\n\x00", want: []got{{"SEND", []string{"content-length=3"}, "\x00\x00\n"}}},
		{name: "content-length zero", version: V12, in: "SEND\ncontent-length:0\n\n\x00", want: []got{{"SEND", []string{"content-length=0"}, ""}}},
		{name: "padded content-length", version: V12, in: "SEND\ncontent-length:  2\t\n\nab\x00", want: []got{{"SEND", []string{"content-length=  2\t"}, "ab"}}},
		{name: "first content-length counts", version: V12, in: "SEND\ncontent-length:1\ncontent-length:x\n\na\x00", want: []got{{"SEND", []string{"content-length=1", "content-length=x"}, "a"}}},
		{name: "content-length too small", version: V12, in: "SEND\ncontent-length:1\n\nab\x00", kind: Syntax, text: "octets"},
		{name: "content-length negative", version: V12, in: "SEND\ncontent-length:-1\n\n\x00", kind: Syntax, text: `"-1"`},
		{name: "content-length with sign", version: V12, in: "SEND\ncontent-length:+1\n\na\x00", kind: Syntax, text: `"+1"`},
		{name: "content-length not a number", version: V12, in: "SEND\ncontent-length:1x\n\na\x00", kind: Syntax, text: `"1x"`},
		{name: "content-length empty", version: V12, in: "SEND\ncontent-length:\n\na\x00", kind: Syntax, text: `""`},
		{name: "content-length beyond int64", version: V12, in: "SEND\ncontent-length:99999999999999999999\n\na\x00", kind: TooLarge},
		{name: "content-length over the limit", version: V12, in: "SEND\ncontent-length:104857601\n\na\x00", kind: TooLarge, text: "104857600"},
		{name: "content-length on a frame without body", version: V12, in: "ACK\nid:1\ncontent-length:0\n\n\x00", want: []got{{"ACK", []string{"id=1", "content-length=0"}, ""}}},
		{name: "body on ACK in 1.2", version: V12, in: "ACK\nid:1\n\nx\x00", kind: Syntax, text: "ACK may not"},
		{name: "body on SUBSCRIBE in 1.1", version: V11, in: "SUBSCRIBE\n\nx\x00", kind: Syntax, text: "SUBSCRIBE may not"},
		{name: "body on ACK in 1.0 is dropped", version: V10, in: "ACK\nid:1\n\nx\x00", want: []got{{"ACK", []string{"id=1"}, ""}}},
		{name: "line ends where no body belongs", version: V12, in: "CONNECT\n\n\n\r\n\x00", want: []got{{Command: "CONNECT"}}},
		{name: "body on MESSAGE and ERROR", version: V12, in: "MESSAGE\n\na\x00ERROR\n\nb\x00", want: []got{{Command: "MESSAGE", Body: "a"}, {Command: "ERROR", Body: "b"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 7, 4096} {
				r := NewReader(chunks{strings.NewReader(tt.in), n}, ReaderOptions{Version: tt.version})
				frames, err := readAll(r)
				if diff := cmp.Diff(tt.want, frames); diff != "" {
					t.Errorf("chunks of %d: frames (-want +got):\n%s", n, diff)
				}
				var fault *Error
				switch {
				case tt.kind == 0 && err != io.EOF:
					t.Errorf("chunks of %d: error %v, want io.EOF", n, err)
				case tt.kind == 0:
				case !errors.As(err, &fault) || fault.Kind != tt.kind || !strings.Contains(fault.Detail, tt.text):
					t.Errorf("chunks of %d: error %v, want kind %v with %q", n, err, tt.kind, tt.text)
				}
				if again := r.Read(new(Frame)); again != err {
					t.Errorf("chunks of %d: next Read says %v, want %v again", n, again, err)
				}
			}
		})
	}
}
