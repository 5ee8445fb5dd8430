package selector

import (
	"errors"
	"testing"
	"unicode/utf8"
)

// FuzzParse: no panic; every error is a *SyntaxError inside the text; canonical text parses back to itself and means the same
// for a few messages. Time and memory are bounded by the limits, which the fuzzer's own time-out watches.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"a = 1 AND b <> 'x' OR NOT c", "a BETWEEN -1 AND .5e3 AND b NOT IN ('x', 2) OR c IS NOT NULL", `a LIKE '%x_\%' ESCAPE '\' AND "b-c" REGEX 'x+'`,
		"hyphenated_props:a-b > - -(5 - c) * 0x1F % 010", "convert_string_expressions: /* x */ a -- y\n", "JMSDestination LIKE '/queue/%'", "a = -9223372036854775808", "(((a)))", "a = 'ü𝄞''", "regex regex ''",
		"a + b LIKE '_%_é%'", "TRUE = a OR 1.e-7 < 09.0",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	messages := []properties{
		{},
		{"a": String("1"), "b": String("abc"), "c": String("true"), "b-c": String("x%"), "JMSDestination": String("queue://q")},
		{"a": Int(1), "b": Float(-0.5), "c": Bool(false), "b-c": String("")},
		{"a": String("xé_%\xff\x80"), "b": String("\x80"), "c": String("1e400")},
	}
	f.Fuzz(func(t *testing.T, text string, strict bool) {
		mode := STOMP
		if strict {
			mode = Strict
		}
		s, err := Parse(text, mode)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Column < 1 || syntax.Column > utf8.RuneCountInString(text)+1 || syntax.Error() == "" {
				t.Fatalf("Parse(%q): %#v", text, err)
			}
			return
		}
		if s == nil {
			return
		}
		canonical := s.String()
		again, err := Parse(canonical, mode)
		if err != nil || again == nil {
			if len(canonical) > MaxText {
				return
			}
			t.Fatalf("canonical text %q of %q: %v", canonical, text, err)
		}
		if again.String() != canonical {
			t.Fatalf("canonical text %q of %q becomes %q", canonical, text, again)
		}
		for _, m := range messages {
			if got, want := again.Eval(m), s.Eval(m); got != want {
				t.Fatalf("%q = %v, but its canonical text %q = %v for %v", text, want, canonical, got, m)
			}
		}
		s.Identifiers()
		s.Need(func(string) bool { return true })
	})
}
