package selector

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite testdata/errors.txt")

// testdata/errors.txt holds pairs of lines: a Go-quoted selector, and the error it gives.
func TestSyntaxErrors(t *testing.T) {
	const file = "testdata/errors.txt"
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for line := range strings.Lines(string(want)) {
		if !strings.HasPrefix(line, `"`) {
			continue
		}
		var text string
		if _, err := fmt.Sscanf(line, "%q", &text); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		_, err := Parse(text, STOMP)
		fmt.Fprintf(&got, "%s\t%v\n\n", strings.TrimSuffix(line, "\n")+"\n", err)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("Parse(%q) = %v, want a *SyntaxError", text, err)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("errors differ from %s (-want +got):\n%s", file, diff)
	}
}

func TestColumnCountsCodePoints(t *testing.T) {
	_, err := Parse("\"grün𝄞\" = 'ß' AND", STOMP)
	want := &SyntaxError{Column: 18, Message: "expected a value"}
	if diff := cmp.Diff(error(want), err); diff != "" {
		t.Error(diff)
	}
}

func TestLimits(t *testing.T) {
	chain := func(word string, n int) string { return strings.Repeat("a "+word+" ", n-1) + "a" }
	nested := func(open, shut string, n int) string { return strings.Repeat(open, n) + "a" + strings.Repeat(shut, n) }
	skips := strings.Repeat("_", MaxPattern)
	for _, c := range []struct {
		name string
		text string
		ok   bool
	}{
		{"text at limit", "a" + strings.Repeat(" ", MaxText-1), true},
		{"text over limit", "a" + strings.Repeat(" ", MaxText), false},
		{"parentheses at limit", nested("(", ")", MaxDepth), true},
		{"parentheses over limit", nested("(", ")", MaxDepth+1), false},
		{"parentheses side by side", strings.Repeat("(a) AND ", 2*MaxDepth) + "a", true},
		{"NOT at limit", nested("NOT ", "", MaxDepth), true},
		{"NOT over limit", nested("NOT ", "", MaxDepth+1), false},
		{"signs at limit", nested("- ", "", MaxDepth) + " = 1", true},
		{"signs over limit", nested("- ", "", MaxDepth+1) + " = 1", false},
		{"AND at limit", chain("AND", MaxTerms), true},
		{"OR over limit", chain("OR", MaxTerms+1), false},
		{"sum at limit", chain("+", MaxTerms-1) + " = 1", true},
		{"sum over limit", chain("+", MaxTerms) + " = 1", false},
		{"IN is not counted", "a IN (" + strings.Repeat("1,", 10*MaxTerms) + "1)", true},
		{"pattern at limit", "a LIKE '%" + skips[:MaxPattern-2] + "%'", true},
		{"pattern over limit", "a LIKE '" + skips + "_'", false},
		{"pattern over limit when rewritten", "JMSDestination LIKE '/queue/" + skips[len("/queue/"):] + "'", false},
		{"regex at limit", "a REGEX 'x{990}'", true},
		{"regex just over limit", "a REGEX 'x{991}'", false},
		{"regex over limit", "a REGEX '(abcdefghij){100}'", false},
		{"regex over limit in classes", `a REGEX '\pL{20}'`, false},
		{"regex over limit together", "a REGEX 'x{700}' OR a REGEX 'x{700}'", false},
		{"regex pattern over limit", "a REGEX '" + skips + "_'", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Parse(c.text, STOMP)
			if (err == nil) != c.ok {
				t.Fatalf("error %v, want ok = %v", err, c.ok)
			}
			if c.ok {
				s.Eval(headers{"a": strings.Repeat("x", 5000)})
				if again := mustParse(t, s.String(), STOMP); again.String() != s.String() {
					t.Error("canonical text does not parse back to itself")
				}
			}
		})
	}
}

func TestCanonicalText(t *testing.T) {
	for _, c := range [][2]string{
		{"a=1", "a = 1"},
		{"((a = 1)) and (b = 2 and (c = 3))", "a = 1 AND b = 2 AND c = 3"},
		{"a or (b or c) or d and e", "a OR b OR c OR d AND e"},
		{"(a or b) and not (c and d)", "(a OR b) AND NOT (c AND d)"},
		{"not (a = 1)", "NOT a = 1"},
		{"a - (b - c) - d > (1 + 2) * 3", "a - (b - c) - d > (1 + 2) * 3"},
		{"(a * b) / c = a * (b / c)", "a * b / c = a * (b / c)"},
		{"- - a = - (-5)", "- -a = 5"},
		{"-(a + 1) * +b = +7", "-(a + 1) * +b = 7"},
		{"a - -5 = 0x10", "a - -5 = 16"},
		{"a = 5.0 or a = 1e30 or a = .5", "a = 5.0 OR a = 1e+30 OR a = 0.5"},
		{`"b c" = 'it''s' or "plain" = '' or "or" is null`, `"b c" = 'it''s' OR plain = '' OR "or" IS NULL`},
		{"a not between 1 and 2 or a not in('x',-2) or a is not null", "a NOT BETWEEN 1 AND 2 OR a NOT IN ('x', -2) OR a IS NOT NULL"},
		{`a not like 'x%' escape '\' or a not regex 'y'`, `a NOT LIKE 'x%' ESCAPE '\' OR a NOT REGEX 'y'`},
		{"hyphenated_props:a-b = 1", `"a-b" = 1`},
		{"convert_string_expressions:a = true", "a = TRUE"},
		{"JMSReplyTo in ('/topic/a', 'b')", "JMSReplyTo IN ('topic://a', 'b')"},
		{"a = -9223372036854775808", "a = -9223372036854775808"},
		{`"REGEX" regex 'x'`, `REGEX REGEX 'x'`},
	} {
		if got := mustParse(t, c[0], STOMP).String(); got != c[1] {
			t.Errorf("%s becomes %s, want %s", c[0], got, c[1])
		}
	}
	if got := mustParse(t, "convert_string_expressions:hyphenated_props:a-b = 1", Strict).String(); got != `convert_string_expressions:"a-b" = 1` {
		t.Errorf("strict selector with conversion becomes %s", got)
	}
}

func TestIdentifiers(t *testing.T) {
	s := mustParse(t, `b = 1 AND (a > b OR "c-d" IS NULL) AND a IN (1) AND NOT e LIKE 'x'`, STOMP)
	got := s.Identifiers()
	if diff := cmp.Diff([]string{"b", "a", "c-d", "e"}, got); diff != "" {
		t.Error(diff)
	}
	got[0] = "changed"
	if s.Identifiers()[0] != "b" {
		t.Error("the caller can change the selector's names")
	}
}

func TestNeed(t *testing.T) {
	is := func(name string, v Value) Need { return Need{Name: name, Value: v} }
	all := func(parts ...Need) Need { return Need{All: parts} }
	either := func(parts ...Need) Need { return Need{Any: parts} }
	for _, c := range []struct {
		text string
		want Need
	}{
		{"a = 'x'", is("a", String("x"))},
		{"a = 'x' AND (5 = b AND c = TRUE) AND d = -1.5", all(is("a", String("x")), is("b", Int(5)), is("c", Bool(true)), is("d", Float(-1.5)))},
		{"a = 'x' AND (b = 1 OR c = 2) AND d > 1 AND NOT e = 1 AND f <> 1", all(is("a", String("x")), either(is("b", Int(1)), is("c", Int(2))))},
		{"a = 'x' OR b LIKE 'y%'", Need{}},
		{"a = 'x' OR other = 1", Need{}},
		{"a = 'x' AND other = 1", all(is("a", String("x")))},
		{"a IN ('x', 2)", either(is("a", String("x")), is("a", Int(2)))},
		{"a NOT IN ('x', 'y')", Need{}},
		{"a AND TRUE", all(is("a", Bool(true)))},
		{"a = b AND 1 = 1 AND a + 1 = 2", Need{}},
		{"a IS NOT NULL", Need{}},
		{"", Need{}},
	} {
		sel, err := Parse(c.text, STOMP)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := sel.Need(func(name string) bool { return name != "other" })
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(Value{})); diff != "" {
			t.Errorf("%s: %s", c.text, diff)
		}
		if zero := c.want.Name == "" && c.want.All == nil && c.want.Any == nil; ok == zero {
			t.Errorf("%s: %v, %v", c.text, got, ok)
		}
	}
}

// The longest text that REGEX takes shrinks with the patterns of the whole selector.
func TestLongTextIsUnknownToRegex(t *testing.T) {
	for _, c := range []struct {
		text   string
		length int
		want   Tri
	}{
		{"a REGEX 'y'", 64 << 10, False},
		{"NOT a REGEX 'y'", 64 << 10, True},
		{"a REGEX 'x{990}'", MaxRegexSteps / MaxRegexSize, True},
		{"a REGEX 'x{990}'", MaxRegexSteps/MaxRegexSize + 1, Unknown},
		{"a NOT REGEX 'x{990}'", MaxRegexSteps/MaxRegexSize + 1, Unknown},
		{"a REGEX 'x' OR b REGEX 'x{979}'", MaxRegexSteps/MaxRegexSize + 1, Unknown},
	} {
		if got := mustParse(t, c.text, STOMP).Eval(headers{"a": strings.Repeat("x", c.length)}); got != c.want {
			t.Errorf("%s with %d bytes = %v, want %v", c.text, c.length, got, c.want)
		}
	}
}

// Numbers at the edges of the short way of reading a decimal.
func TestDecimalsAtTheEdges(t *testing.T) {
	texts := []string{"9007199254740993.0", "90071992547409.93", "9007199254740991.", "18446744073709551615.0", "18446744073709551616.5", "-0.0", "-.3"}
	for n := range 1000 {
		texts = append(texts, fmt.Sprintf("0.%024d", n), fmt.Sprintf("%d.%022d", n, n))
	}
	for _, text := range texts {
		want, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := parseNumber(text); !ok || got.Float() != want {
			t.Errorf("parseNumber(%q) = %v, %v, want %v", text, got.Float(), ok, want)
		}
	}
}

// The short way of reading a decimal gives what strconv gives, to the last bit.
func TestDecimalsAreRoundedRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[+-]?([0-9]{1,20}(\.[0-9]{0,25})?|\.[0-9]{1,25})([eE][+-]?[0-9]{1,2})?`).Draw(t, "text")
		want, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := parseNumber(text)
		if !ok || got.Float() != want {
			t.Fatalf("parseNumber(%q) = %v, %v, want %v", text, got.Float(), ok, want)
		}
		if i, err := strconv.ParseInt(text, 10, 64); (err == nil) != (got.Kind() == KindInt) || err == nil && got.Int() != i {
			t.Fatalf("parseNumber(%q) = %v, want %v, %v", text, got, i, err)
		}
	})
}
