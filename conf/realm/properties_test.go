package realm

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"treadmq/notice"
)

var same = cmp.Comparer(func(a, b notice.Notice) bool { return a.Text == b.Text })

// The cases of java.util.Properties.load's documentation, and its corners.
func TestPropertiesSyntax(t *testing.T) {
	none := notice.Notice{}
	for name, test := range map[string]struct {
		text string
		want []property
	}{
		"separators": {"a:1\nb=2\nc 3\nd : 4\ne\t=\f5\nf==6\ng: :7\nh", []property{
			{1, "a", "1", none}, {2, "b", "2", none}, {3, "c", "3", none}, {4, "d", "4", none}, {5, "e", "5", none},
			{6, "f", "=6", none}, {7, "g", ":7", none}, {8, "h", "", none}}},
		"comments and blank lines": {"# a: 1\n  ! b: 2\n\n \t\n#c \\\nd: 4", []property{{6, "d", "4", none}}},
		"line ends":                {"a:1\r\nb:2\rc:3", []property{{1, "a", "1", none}, {2, "b", "2", none}, {3, "c", "3", none}}},
		"continuation": {"a: x\\\n   y\\\n\t#z\nb: 1\\\\\nc: 2\\", []property{
			{1, "a", "xy#z", none}, {4, "b", `1\`, none}, {5, "c", "2", none}}},
		"a continued key":      {"al\\\n  ice: x", []property{{1, "alice", "x", none}}},
		"trailing blanks":      {"a: x y  ", []property{{1, "a", "x y  ", none}}},
		"escapes":              {`a\:\=\ \#b: \t\n\r\f\q\\`, []property{{1, "a:= #b", "\t\n\r\fq\\", none}}},
		"unicode escapes":      {`\u00e4: \u20AC\uD83D\uDE00\uD83D!`, []property{{1, "ä", "€😀\ufffd!", none}}},
		"malformed \\u":        {`a: \u12x4`, []property{{1, "a", "", notice.English(`\u12x4 is not a character: \u needs four hex digits, and a plain backslash is written \\`)}}},
		"cut off \\u":          {`a: \u12`, []property{{1, "a", "", notice.English(`\u12 is not a character: \u needs four hex digits, and a plain backslash is written \\`)}}},
		"no key":               {": x", []property{{1, "", "x", none}}},
		"nothing":              {"", nil},
		"continued to the end": {"a: x\\", []property{{1, "a", "x", none}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, parseProperties(test.text), cmp.AllowUnexported(property{}), same); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTextDecoding(t *testing.T) {
	for in, want := range map[string]string{
		"plain":            "plain",
		"b\xc3\xa4r":       "bär", // UTF-8
		"b\xe4r":           "bär", // ISO-8859-1
		"b\xe4r \xc3\xa4":  "bär Ã¤",
		"\xef\xbb\xbfuser": "user", // byte order mark
	} {
		if got := decodeText([]byte(in)); got != want {
			t.Errorf("%q is read as %q, want %q", in, got, want)
		}
	}
}

// Whatever the names are, what escape writes is read back.
func TestEscapeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringN(1, 20, -1).Draw(t, "key")
		text := rapid.String().Draw(t, "value")
		got := parseProperties(escape(key, true) + ": " + escape(text, false))
		want := []property{{line: 1, key: key, value: text}}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(property{}), same); diff != "" {
			t.Error(diff)
		}
	})
}

// Any bytes are read without a panic; what was read can be written and read again;
// and every entry stands in a line of the file, in order.
func FuzzProperties(f *testing.F) {
	f.Add([]byte("# c\nadmin: admin, admin\nuser = OBF:1u2a1toa1w8v1tok1u30 , user\n"))
	f.Add([]byte("a\\\n  b\\:c : \\u00e4\\uD83D\\uDE00\\\\\\\r\n x\r! no\r\n"))
	f.Add([]byte("k\xe4y=\\u12\n=\n:\n\\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := decodeText(data)
		if !utf8.ValidString(text) {
			t.Fatalf("%q is decoded to invalid UTF-8", data)
		}
		last, lines := 0, len(naturalLines(text))
		for _, p := range parseProperties(text) {
			if p.line <= last || p.line > lines {
				t.Fatalf("an entry in line %d comes after one in line %d of %d", p.line, last, lines)
			}
			last = p.line
			if !p.problem.IsZero() {
				continue
			}
			again := parseProperties(escape(p.key, true) + ": " + escape(p.value, false))
			if len(again) != 1 || again[0].key != p.key || again[0].value != p.value {
				t.Fatalf("%+v is read back as %+v", p, again)
			}
		}
		table := parseTable(text)
		for name := range table.entries {
			if name == "" || name != strings.TrimSpace(name) {
				t.Fatalf("there is a user %q", name)
			}
		}
	})
}
