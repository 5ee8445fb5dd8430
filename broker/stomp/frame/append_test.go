package frame

import (
	"bytes"
	"testing"
)

func TestAppendHeader(t *testing.T) {
	// STOMP 1.2, Value Encoding; 1.1, Value Encoding; 1.0 has none.
	tests := []struct{ name, value, v10, v11, v12 string }{
		{"a", "b", "a:b\n", "a:b\n", "a:b\n"},
		{"a", "", "a:\n", "a:\n", "a:\n"},
		{"a", " b ", "a: b \n", "a: b \n", "a: b \n"},
		{"a:b", "c:d", "a_b:c:d\n", `a\cb:c\cd` + "\n", `a\cb:c\cd` + "\n"},
		{"a\nb", "c\nd", "a b:c d\n", `a\nb:c\nd` + "\n", `a\nb:c\nd` + "\n"},
		{"a\rb", "c\rd", "a b:c d\n", "a\rb:c\rd\n", `a\rb:c\rd` + "\n"},
		{`a\b`, `c\d`, `a\b:c\d` + "\n", `a\\b:c\\d` + "\n", `a\\b:c\\d` + "\n"},
		{"a\x00b", "c\x00d", "a b:c d\n", "a b:c d\n", "a b:c d\n"},
		{"ä😀", "ß", "ä😀:ß\n", "ä😀:ß\n", "ä😀:ß\n"},
		{"", "b", "", "", ""},
	}
	for _, tt := range tests {
		for v, want := range []string{tt.v10, tt.v11, tt.v12} {
			if got := AppendHeader(nil, Version(v), tt.name, tt.value); string(got) != want {
				t.Errorf("%v: %q:%q became %q, want %q", Version(v), tt.name, tt.value, got, want)
			}
			if got := AppendHeader(nil, Version(v), []byte(tt.name), []byte(tt.value)); string(got) != want {
				t.Errorf("%v: as bytes %q:%q became %q, want %q", Version(v), tt.name, tt.value, got, want)
			}
		}
	}
}

func TestAppendParts(t *testing.T) {
	b := AppendCommand([]byte("\n"), MESSAGE)
	b = AppendHeader(b, V12, "destination", "/queue/a")
	b = AppendHeaderInt(b, "content-length", 3)
	b = AppendBody(AppendEnd(b), "a\x00b")
	if want := "\nMESSAGE\ndestination:/queue/a\ncontent-length:3\n\na\x00b\x00"; string(b) != want {
		t.Errorf("got %q, want %q", b, want)
	}
}

func TestAppendFrame(t *testing.T) {
	header := func(name, value string) Header { return Header{[]byte(name), []byte(value)} }
	tests := []struct {
		f    Frame
		want string
	}{
		{Frame{Command: SEND, Body: []byte("x")}, "SEND\n\nx\x00"},
		{Frame{Command: SEND, Body: []byte("x"), HasLength: true}, "SEND\ncontent-length:1\n\nx\x00"},
		{Frame{Command: SEND, Body: []byte("\x00")}, "SEND\ncontent-length:1\n\n\x00\x00"},
		{Frame{Command: SEND, Headers: []Header{header(contentLength, "7"), header("a", ":")}, Body: []byte("x")},
			"SEND\ncontent-length:1\na:\\c\n\nx\x00"},
		// STOMP 1.2, Value Encoding: CONNECT and CONNECTED are not escaped.
		{Frame{Command: CONNECTED, Headers: []Header{header("a", `:\`)}}, "CONNECTED\na::\\\n\n\x00"},
		{Frame{Command: STOMP, Headers: []Header{header("a", "b\n")}}, "STOMP\na:b \n\n\x00"},
	}
	for _, tt := range tests {
		if got := AppendFrame(nil, V12, &tt.f); string(got) != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestAllocations(t *testing.T) {
	dst := make([]byte, 0, 4096)
	value := []byte("a:b")
	if n := testing.AllocsPerRun(100, func() {
		dst = AppendCommand(dst[:0], MESSAGE)
		dst = AppendHeader(dst, V12, "destination", value)
		dst = AppendHeaderInt(dst, contentLength, 12)
		dst = AppendBody(AppendEnd(dst), value)
	}); n != 0 {
		t.Errorf("appending a MESSAGE allocates %v times", n)
	}
	r := NewReader(&loop{data: []byte(sendFrame + "\n" + ackFrame)}, ReaderOptions{Version: V12, Budget: NewBudget(BudgetOptions{})})
	defer r.Close()
	var f Frame
	if n := testing.AllocsPerRun(1000, func() {
		if err := r.Read(&f); err != nil {
			t.Fatal(err)
		}
		f.Get("destination")
		r.Buffered()
	}); n != 0 {
		t.Errorf("reading a small frame allocates %v times", n)
	}
}

func TestUnescape(t *testing.T) {
	in := []byte(`a\cb\\\n\r`)
	got, err := Unescape(in, V12)
	if err != nil || string(got) != "a:b\\\n\r" {
		t.Errorf("got %q, %v", got, err)
	}
	if string(in) != `a\cb\\\n\r` {
		t.Error("the argument was changed")
	}
	if got, _ := Unescape(in, V10); !bytes.Equal(got, in) {
		t.Errorf("1.0 has no escapes, got %q", got)
	}
	if _, err := Unescape([]byte(`\t`), V11); err == nil {
		t.Error("an undefined escape was accepted")
	}
}

func TestNegotiate(t *testing.T) {
	// STOMP 1.2, Protocol Negotiation: the highest version in common.
	tests := []struct {
		accept string
		want   Version
		ok     bool
	}{
		{"1.0", V10, true}, {"1.1", V11, true}, {"1.2", V12, true}, {"1.0,1.1,1.2", V12, true}, {"1.2,1.0", V12, true},
		{"1.0,1.1", V11, true}, {" 1.1, 1.2 ", V12, true}, {"1.1,2.0", V11, true}, {"10.1,1.1", V11, true},
		{"1.3", 0, false}, {"", 0, false}, {",", 0, false}, {"1.2.0", 0, false},
	}
	for _, tt := range tests {
		if v, ok := Negotiate(tt.accept); v != tt.want || ok != tt.ok {
			t.Errorf("Negotiate(%q) = %v, %v; want %v, %v", tt.accept, v, ok, tt.want, tt.ok)
		}
	}
}

func TestSniff(t *testing.T) {
	tests := []struct {
		in   string
		want Protocol
	}{
		{"\x16\x03\x01\x02\x00", ProtocolTLS}, {"GET / HTTP/1.1\r\n", ProtocolHTTP}, {"GET ", ProtocolHTTP},
		{"POST /", ProtocolHTTP}, {"OPTIONS *", ProtocolHTTP}, {"HEAD /", ProtocolHTTP}, {"CONNECT\n", ProtocolSTOMP},
		{"CONNECT\r\n", ProtocolSTOMP}, {"STOMP\n", ProtocolSTOMP}, {"C", ProtocolSTOMP}, {"\r\n\nSTOM", ProtocolSTOMP},
		{"", ProtocolUnknown}, {"\n\n", ProtocolUnknown}, {"SEND\n", ProtocolUnknown}, {"EHLO x", ProtocolUnknown}, {"GE", ProtocolUnknown},
	}
	for _, tt := range tests {
		if got := Sniff([]byte(tt.in)); got != tt.want {
			t.Errorf("Sniff(%q) = %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestCommandNames(t *testing.T) {
	for c := CONNECT; c <= ERROR; c++ {
		if parseCommand([]byte(c.String())) != c {
			t.Errorf("%v does not parse as itself", c)
		}
		if got, want := c.FromServer(), c == CONNECTED || c == MESSAGE || c == RECEIPT || c == ERROR; got != want {
			t.Errorf("%v: FromServer is %v", c, got)
		}
	}
}
