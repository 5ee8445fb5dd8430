package selector

import (
	"math"
	"strings"
	"testing"
)

// evalCase is one selector and its truth value for the message of its group.
type evalCase struct {
	text string
	want Tri
}

func runCases(t *testing.T, mode Mode, src Source, cases []evalCase) {
	t.Helper()
	for _, c := range cases {
		s, err := Parse(c.text, mode)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.text, err)
			continue
		}
		if got := s.Eval(src); got != c.want {
			t.Errorf("%s = %v, want %v", c.text, got, c.want)
		}
		if s.Matches(src) != (c.want == True) {
			t.Errorf("%s: Matches differs from Eval", c.text)
		}
		again, err := Parse(s.String(), mode)
		if err != nil {
			t.Errorf("canonical text %q of %q: %v", s, c.text, err)
			continue
		}
		if again.String() != s.String() || again.Eval(src) != c.want {
			t.Errorf("canonical text %q of %q does not mean the same", s, c.text)
		}
	}
}

// Tables 3-4 to 3-6 of JMS 1.1: t is TRUE, f FALSE, u UNKNOWN since missing.
func TestTruthTables(t *testing.T) {
	const f, u, tr = False, Unknown, True
	runCases(t, STOMP, headers{"t": "true", "f": "false"}, []evalCase{
		{"t", tr}, {"f", f}, {"u", u}, {"TRUE", tr}, {"FALSE", f},
		{"NOT t", f}, {"NOT f", tr}, {"NOT u", u}, {"NOT NOT u", u}, {"NOT NOT t", tr},
		{"t AND t", tr}, {"t AND f", f}, {"t AND u", u},
		{"f AND t", f}, {"f AND f", f}, {"f AND u", f},
		{"u AND t", u}, {"u AND f", f}, {"u AND u", u},
		{"t OR t", tr}, {"t OR f", tr}, {"t OR u", tr},
		{"f OR t", tr}, {"f OR f", f}, {"f OR u", u},
		{"u OR t", tr}, {"u OR f", u}, {"u OR u", u},
		{"u AND u AND f", f}, {"u OR u OR t", tr}, {"(t OR f) AND (u OR t)", tr},
	})
}

func TestNullIsUnknownEverywhere(t *testing.T) {
	runCases(t, STOMP, headers{"a": "5"}, []evalCase{
		{"u = 1", Unknown}, {"u <> 1", Unknown}, {"u < 1", Unknown}, {"1 >= u", Unknown}, {"u = u", Unknown}, {"u = 'x'", Unknown}, {"u = TRUE", Unknown},
		{"u LIKE '%'", Unknown}, {"u NOT LIKE '%'", Unknown}, {"u REGEX '.'", Unknown}, {"u NOT REGEX '.'", Unknown},
		{"u IN ('a')", Unknown}, {"u NOT IN ('a')", Unknown}, {"u IN (1, 2)", Unknown},
		{"u BETWEEN 1 AND 2", Unknown}, {"u NOT BETWEEN 1 AND 2", Unknown},
		{"a BETWEEN 1 AND u", Unknown}, {"a BETWEEN 7 AND u", False}, {"a NOT BETWEEN 7 AND u", True}, {"a BETWEEN u AND 3", False}, {"a BETWEEN u AND 7", Unknown},
		{"u + 1 = 2", Unknown}, {"1 - u = 2", Unknown}, {"u * 0 = 0", Unknown}, {"-u = 0", Unknown}, {"+u = 0", Unknown}, {"u / 2 > 1", Unknown},
		{"u IS NULL", True}, {"u IS NOT NULL", False}, {"a IS NULL", False}, {"a IS NOT NULL", True},
		{"NOT u IS NULL", False}, {"(u + 1) IS NULL", True}, {"u + 1 IS NULL", True}, {"a + 1 IS NULL", False},
	})
}

func TestPrecedence(t *testing.T) {
	runCases(t, STOMP, headers{"a": "1", "b": "2", "t": "true", "f": "false"}, []evalCase{
		{"2 + 3 * 4 = 14", True}, {"(2 + 3) * 4 = 20", True}, {"10 - 3 - 2 = 5", True}, {"16 / 4 / 2 = 2", True}, {"17 % 10 * 2 = 14", True},
		{"-2 * 3 = -6", True}, {"- b * 3 = -6", True}, {"1 - -1 = 2", True}, {"- -a = 1", True}, {"-(-a) = 1", True}, {"+a = +1", True},
		{"NOT a = 1", False}, {"NOT a = 2", True}, {"NOT (a = 1)", False}, {"NOT a = 1 OR t", True}, {"NOT f AND f", False}, {"NOT (f AND f)", True},
		{"t OR t AND f", True}, {"(t OR t) AND f", False}, {"f AND t OR t", True}, {"f AND (t OR t)", False},
		{"a + 1 = b AND b - 1 = a", True}, {"a BETWEEN 0 AND 2 AND b = 2", True}, {"a BETWEEN 2 - 1 AND 2 * 1", True}, {"a + b IN (3)", True},
		{"NOT a BETWEEN 2 AND 3", True}, {"NOT a IN (1)", False}, {"NOT t = TRUE", False}, {"((((a)))) = ((1))", True},
	})
}

func TestNumbersAsText(t *testing.T) {
	m := headers{"i": "5", "d": "2.5", "neg": "-3", "plus": "+5", "zero5": "005", "f5": "5.0", "exp": "5e0", "dot": ".5", "tail": "5.",
		"word": "abc", "empty": "", "sp": " 5", "hex": "0x5", "under": "5_0", "inf": "Inf", "nan": "NaN", "suffix": "5L", "justE": "e5", "halfE": "5e", "signs": "--5",
		"big": "9223372036854775807", "over": "9223372036854775808", "min": "-9223372036854775808", "far": "1e999", "sign": "-", "pad": strings.Repeat("0", maxNumberText-1) + "6", "longer": strings.Repeat("0", maxNumberText) + "6"}
	runCases(t, STOMP, m, []evalCase{
		{"i = 5", True}, {"i <> 5", False}, {"5 = i", True}, {"i > 4", True}, {"i >= 5", True}, {"i < 5", False}, {"i <= 5", True}, {"4 < i", True},
		{"d > 2", True}, {"d < 3", True}, {"d = 2.5", True}, {"i = 5.0", True}, {"i > 4.9", True}, {"neg < 0", True}, {"neg = -3", True}, {"plus = 5", True},
		{"zero5 = 5", True}, {"f5 = 5", True}, {"exp = 5", True}, {"dot = 0.5", True}, {"tail = 5", True},
		{"i + 1 = 6", True}, {"i + d = 7.5", True}, {"i * d = 12.5", True}, {"-i = -5", True}, {"i / 2 = 2", True}, {"d / 2 = 1.25", True}, {"i % 3 = 2", True}, {"d % 2 = 0.5", True},
		// Present but no number: FALSE, whatever the operator, and NOT FALSE is TRUE.
		{"word = 5", False}, {"word <> 5", False}, {"word < 5", False}, {"word >= 5", False}, {"NOT word = 5", True}, {"empty = 0", False}, {"sp = 5", False},
		{"hex = 5", False}, {"under = 50", False}, {"inf > 0", False}, {"nan <> 0", False}, {"suffix = 5", False}, {"justE <> 5", False}, {"halfE = 5", False}, {"signs = 5", False}, {"sign < 1", False},
		{"word + 1 = 2", False}, {"word + 1 <> 2", False}, {"NOT word + 1 = 2", True}, {"-word = 1", False}, {"word + u = 1", Unknown}, {"word * 0 IS NULL", False},
		{"word BETWEEN 1 AND 2", False}, {"word NOT BETWEEN 1 AND 2", True}, {"i BETWEEN 5 AND 5", True}, {"d BETWEEN 2 AND 3", True}, {"i NOT BETWEEN 6 AND 9", True}, {"i BETWEEN 6 AND 4", False},
		{"big = 9223372036854775807", True}, {"big > 9223372036854775806", True}, {"over > 9223372036854775807.0", False}, {"over = 9223372036854775808.0", True}, {"over > 1", True},
		{"min = -9223372036854775808", True}, {"far > 1e308", True}, {"pad = 6", True}, {"longer = 6", False},
	})
}

func TestOtherConversions(t *testing.T) {
	m := headers{"t": "true", "T": "TRUE", "f": "False", "word": "abc", "one": "1", "x": "10", "y": "9", "z": "10.0", "w": "abd", "fold": "falſe"}
	runCases(t, STOMP, m, []evalCase{
		{"t = TRUE", True}, {"T = true", True}, {"f = FALSE", True}, {"f = TRUE", False}, {"t <> FALSE", True}, {"t <> TRUE", False}, {"TRUE = t", True},
		{"word = TRUE", False}, {"word <> TRUE", False}, {"one = TRUE", False}, {"t < TRUE", False}, {"t >= TRUE", False}, {"f < TRUE", False}, {"t > FALSE", False}, {"FALSE <= t", False}, {"fold = FALSE", False},
		{"t", True}, {"T", True}, {"f", False}, {"word", False}, {"NOT word", True}, {"one", False}, {"t AND NOT f", True},
		// Two headers: numbers if both are, else equality of text only.
		{"x > y", True}, {"x = z", True}, {"x <> z", False}, {"x = y", False}, {"word = word", True}, {"word <> w", True}, {"word = w", False},
		{"word < w", False}, {"word > w", False}, {"word <= word", False}, {"x < word", False}, {"x = word", False}, {"x <> word", True},
		// A string in the selector is text to = and <>, and orders only numbers.
		{"word = 'abc'", True}, {"'abc' = word", True}, {"word <> 'abc'", False}, {"word <> 'x'", True}, {"word = 'ABC'", False}, {"z = '10'", False}, {"'10' = z", False}, {"x = '10'", True}, {"z <> '10'", True},
		{"x > '9'", True}, {"word > 'a'", False}, {"x < 'a'", False}, {"'5' = 5", True}, {"'a' = 5", False}, {"5 = 5.0", True}, {"TRUE = FALSE", False}, {"TRUE = 1", False},
		// Text has an order in BETWEEN.
		{"word BETWEEN 'abb' AND 'abd'", True}, {"word BETWEEN 'b' AND 'c'", False}, {"word NOT BETWEEN 'b' AND 'c'", True}, {"x BETWEEN '9' AND '11'", True}, {"word BETWEEN 'a' AND w", True},
	})
}

func TestTypedFieldsWithText(t *testing.T) {
	m := properties{"JMSPriority": Int(4), "JMSRedelivered": Bool(true), "ratio": Float(0.5), "text": String("4"), "bytes": Bytes([]byte("abc")), "nan": Float(math.NaN())}
	runCases(t, STOMP, m, []evalCase{
		{"JMSPriority = 4", True}, {"JMSPriority = '4'", True}, {"JMSPriority = '4.0'", True}, {"JMSPriority = 'x'", False}, {"JMSPriority <> 'x'", False}, {"JMSPriority = text", True},
		{"JMSPriority IN ('4', '5')", True}, {"JMSPriority IN ('x')", False}, {"JMSPriority IN (4.0)", True}, {"JMSPriority NOT IN ('4')", False},
		{"JMSRedelivered", True}, {"JMSRedelivered = 'TRUE'", True}, {"JMSRedelivered = 'no'", False}, {"JMSRedelivered IN ('true')", True}, {"JMSRedelivered IN ('false', 'x')", False}, {"JMSRedelivered = 1", False},
		{"ratio = 0.5", True}, {"ratio = '.5'", True}, {"ratio < 1", True}, {"ratio IN (1, 0.5)", True}, {"JMSPriority > ratio", True}, {"JMSPriority LIKE '4'", False}, {"JMSPriority", False},
		{"bytes = 'abc'", True}, {"nan = nan", False}, {"nan <> 1", True}, {"nan < 1", False}, {"nan IN (1)", False}, {"nan BETWEEN 0 AND 9", False},
	})
	runCases(t, Strict, m, []evalCase{
		{"JMSPriority = '4'", False}, {"JMSPriority <> '4'", False}, {"JMSPriority = text", False}, {"text = '4'", True}, {"text = 4", False}, {"text <> 4", False}, {"text > 3", False}, {"text + 1 = 5", False},
		{"JMSPriority IN ('4')", False}, {"text IN (4)", False}, {"text IN ('4')", True}, {"JMSPriority IN (4)", True}, {"text BETWEEN 3 AND 5", False}, {"text BETWEEN '3' AND '5'", True},
		{"JMSRedelivered = TRUE", True}, {"JMSRedelivered = 'true'", False}, {"text", False}, {"JMSRedelivered IN ('true')", False}, {"ratio = 0.5", True}, {"JMSPriority = 4.0", True}, {"text > '3'", False}, {"u = 4", Unknown},
		{"convert_string_expressions:text = 4", True}, {"convert_string_expressions:text + 1 = 5", True}, {"text = '4.0'", False},
	})
}

func TestNumberLiterals(t *testing.T) {
	runCases(t, STOMP, headers{}, []evalCase{
		{"0x1F = 31", True}, {"0x6E+1 = 111", True}, {"0XfF = 255", True}, {"0x1FL = 31", True}, {"010 = 8", True}, {"0777L = 511", True}, {"0 = -0", True}, {"5L = 5", True}, {"5l = 5", True}, {"00 = 0", True}, {"0L = 0", True},
		{"7. = 7", True}, {".5 = 0.5", True}, {"6E3 = 6000", True}, {"6e+3 = 6000", True}, {"-9.1e-3 = -0.0091", True}, {"09.5 = 9.5", True}, {"010.5 = 10.5", True}, {"1.e2 = 100", True}, {"0e5 = 0", True},
		{"9223372036854775807 = 0x7FFFFFFFFFFFFFFF", True}, {"-9223372036854775808 < -9223372036854775807", True}, {"- 9223372036854775808 = -9223372036854775807 - 1", True}, {"-0x8000000000000000 < 0", True},
		{"9007199254740993 = 9007199254740992", False}, {"9007199254740993 = 9007199254740992.0", True},
	})
}

func TestArithmeticAtTheEdges(t *testing.T) {
	runCases(t, STOMP, headers{"max": "9223372036854775807", "min": "-9223372036854775808"}, []evalCase{
		{"1 / 0 = 1", Unknown}, {"1 % 0 = 1", Unknown}, {"1.5 / 0 = 1", Unknown}, {"1 / 0.0 = 1", Unknown}, {"0.0 % 0.0 = 1", Unknown}, {"NOT 1 / 0 = 1", Unknown}, {"(1 / 0) IS NULL", True}, {"1 / 0 = 1 OR TRUE", True},
		{"7 / 2 = 3", True}, {"-7 / 2 = -3", True}, {"-7 % 3 = -1", True}, {"7 / 2.0 = 3.5", True}, {"7.5 % 2 = 1.5", True}, {"-7.5 % 2 = -1.5", True},
		// No wrapping: what leaves int64 goes on as a float64.
		{"max + 1 > max - 1024", True}, {"max + 1 > max", False}, {"max + 1 > 0", True}, {"max + 1 = 9223372036854775808.0", True}, {"min - 1 < 0", True}, {"max * 2 = 18446744073709551614.0", True}, {"min * -1 > 0", True}, {"-1 * min > 0", True},
		{"-min > 0", True}, {"min / -1 > 0", True}, {"min % -1 = 0", True}, {"0 * min = 0", True}, {"max + 0 = max", True}, {"max - max = 0", True}, {"min - min = 0", True}, {"min + max = -1", True}, {"0 - min > 0", True},
		{"- -9223372036854775808 = 9223372036854775808.0", True}, {"3037000500 * 3037000500 > 9223372036854775807", True}, {"3037000500 * 3037000500 = 9223372037000250000.0", True}, {"3037000499 * 3037000499 = 9223372030926249001", True},
		{"1e308 * 10 > 1e308", True}, {"-1e308 * 10 < -1e308", True},
	})
}

func TestLike(t *testing.T) {
	m := headers{"a": "12993", "p": "50%", "us": "_foo", "nl": "a\nb", "g": "a𝄞b", "e": "", "bs": `a\b`, "uuml": "grün", "n": "5", "long": strings.Repeat("ab", 100) + "c", "q": "it's", "bad": "\x80", "bad2": "a\x80b"}
	runCases(t, STOMP, m, []evalCase{
		{"a LIKE '12%3'", True}, {"a LIKE '12%'", True}, {"a LIKE '%3'", True}, {"a LIKE '%99%'", True}, {"a LIKE '1_9_3'", True}, {"a LIKE '_____'", True}, {"a LIKE '____'", False}, {"a LIKE '______'", False}, {"a LIKE '%4%'", False},
		{"a LIKE '12993'", True}, {"a LIKE '1299'", False}, {"a LIKE '2993'", False}, {"a LIKE ''", False}, {"e LIKE ''", True}, {"e LIKE '%'", True}, {"e LIKE '%%'", True}, {"e LIKE '_'", False}, {"e LIKE '%_%'", False},
		{"a LIKE '%'", True}, {"a LIKE '%%'", True}, {"a LIKE '_%_'", True}, {"a NOT LIKE '12%'", False}, {"a NOT LIKE '13%'", True}, {"a LIKE '12%993'", True}, {"a LIKE '12%2993'", False}, {"a LIKE '1%9%9%3'", True}, {"a LIKE '1%9%9%9%3'", False},
		{"nl LIKE 'a%b'", True}, {"nl LIKE 'a_b'", True}, {"g LIKE 'a_b'", True}, {"g LIKE 'a__b'", False}, {"g LIKE '%𝄞%'", True}, {"g LIKE '%_b'", True}, {"g LIKE '_𝄞_'", True}, {"g LIKE '%_𝄞%'", True}, {"uuml LIKE 'gr_n'", True}, {"uuml LIKE '%_n'", True}, {"uuml LIKE '____'", True},
		{`p LIKE '50\%' ESCAPE '\'`, True}, {`a LIKE '12\%' ESCAPE '\'`, False}, {`us LIKE '\_%' ESCAPE '\'`, True}, {`a LIKE '\_%' ESCAPE '\'`, False}, {`bs LIKE 'a\\b' ESCAPE '\'`, True}, {`bs LIKE 'a\b' ESCAPE '\'`, True}, {`bs LIKE 'a\b'`, True}, {`bs LIKE 'a\\b'`, False},
		{`bs LIKE '%\' ESCAPE '\'`, False}, {"us LIKE 'x_%' ESCAPE 'x'", True}, {"p LIKE '50%%' ESCAPE '%'", True}, {"p LIKE '50%' ESCAPE '%'", True}, {"a LIKE '12%' ESCAPE '%'", False}, {"us LIKE '__foo' ESCAPE '_'", True}, {"p LIKE '50𝄞%' ESCAPE '𝄞'", True},
		{"long LIKE '%ab_b%c'", True}, {"long LIKE '%" + strings.Repeat("a_", 50) + "%c'", True}, {"long LIKE '%" + strings.Repeat("a_", 50) + "c%'", True}, {"long LIKE '%" + strings.Repeat("a_", 101) + "%'", False}, {"long LIKE '%_" + strings.Repeat("_b", 99) + "c%'", True},
		// Bytes that are no UTF-8 belong to the code point before them.
		{"bad LIKE '_'", False}, {"bad LIKE '%'", True}, {"bad2 LIKE '_b'", True}, {"bad2 LIKE '%_b'", True}, {"bad2 LIKE '%_%_%'", True}, {"bad2 LIKE '%_%_%_%'", False},
		{"q LIKE 'it''s'", True}, {"n LIKE '5'", True}, {"'abc' LIKE 'a%'", True},
	})
}

func TestIn(t *testing.T) {
	runCases(t, STOMP, headers{"a": "UK", "n": "5", "f": "5.0", "e": "", "w": "abc"}, []evalCase{
		{"a IN ('US', 'UK')", True}, {"a IN ('US')", False}, {"a NOT IN ('US')", True}, {"a NOT IN ('UK', 'UK')", False}, {"a IN ('uk')", False}, {"e IN ('')", True},
		{"n IN (1, 5)", True}, {"n IN (1, 5.0)", True}, {"f IN (5)", True}, {"f IN ('5')", False}, {"n IN ('5')", True}, {"n IN (-5, +4)", False}, {"w IN (1, 'abc')", True}, {"w IN (1, 2)", False}, {"w NOT IN (1)", True},
		{"n IN ('x', 4, 6)", False}, {"5 IN (5)", True}, {"n IN (0x5)", True}, {"-n IN (-5)", True},
	})
}

func TestRegex(t *testing.T) {
	runCases(t, STOMP, headers{"a": "order-17", "REGEX": "7", "n": "x\ny"}, []evalCase{
		{"a REGEX '-[0-9]+$'", True}, {"a regex '^17'", False}, {"a NOT REGEX '^17'", True}, {"REGEX = 7", True}, {"REGEX REGEX '7'", True}, {"NOT a REGEX '(?i)ORDER'", False}, {"n REGEX 'x.y'", False}, {"n REGEX '(?s)x.y'", True}, {"a REGEX ''", True},
	})
}

func TestLexical(t *testing.T) {
	m := headers{"a": "1", "A": "2", "_x$9": "3", "$": "4", "content-type": "text/plain", "AND": "x", `q"q`: "y", "größe": "9", "true": "z", "s": "it's", "clef": "𝄞", "b-c": "7", "b": "5", "c": "1", "between": "b"}
	runCases(t, STOMP, m, []evalCase{
		{"a=1 and A=2", True}, {"a=1 AnD nOt A=1 oR false", True}, {"_x$9 = 3 AND $ = 4", True}, {`"content-type" = 'text/plain'`, True}, {`"AND" = 'x'`, True}, {`"q""q" = 'y'`, True}, {`"größe" > 8`, True}, {`"true" = 'z'`, True}, {`"a" = 1`, True}, {`"between" between 'a' AND 'c'`, True},
		{"s = 'it''s'", True}, {"s LIKE '%''%'", True}, {"clef = '𝄞'", True}, {"clef LIKE '_'", True}, {"'' = ''", True},
		{"a = 1 -- AND FALSE", True}, {"a = -- one\n1", True}, {"a = 1 --\r AND FALSE", False}, {"a /* x */ = /* AND\n */ 1", True}, {"/**/a=1/***/", True}, {"a\t=\r\n1\f", True}, {"a = '--' OR a = '/*'", False}, {"a--b\n= 1", True},
		{"b-c = 4", True}, {"hyphenated_props:b-c = 7", True}, {"hyphenated_props: b - c = 4", True}, {"hyphenated_props:b-c- 1 = 6", True}, {"hyphenated_props:content-type LIKE 'text/%'", True}, {"hyphenated_props:b--c\n= 5", True},
		{"convert_string_expressions:a = 1", True}, {" convert_string_expressions: hyphenated_props: b-c = 7", True}, {"hyphenated_props:convert_string_expressions:b-c = 7", True},
		{"a is null or A iS nOt NuLl", True}, {"a in (1) and a like '_' escape 'x'", True},
	})
}

func TestDestinationsInEitherForm(t *testing.T) {
	m := properties{"JMSDestination": String("queue://A.B"), "JMSReplyTo": String("temp-queue://r1"), "other": String("/queue/A.B")}
	runCases(t, Strict, m, []evalCase{
		{"JMSDestination = 'queue://A.B'", True}, {"JMSDestination = '/queue/A.B'", True}, {"'/queue/A.B' = JMSDestination", True}, {"JMSDestination <> '/queue/A.B'", False}, {"JMSDestination = '/topic/A.B'", False},
		{"JMSDestination IN ('x', '/queue/A.B')", True}, {"JMSDestination LIKE '/queue/A.%'", True}, {"JMSDestination LIKE 'queue://%'", True}, {"JMSReplyTo = '/temp-queue/r1'", True}, {"JMSReplyTo LIKE '/temp-queue/%'", True},
		{`JMSDestination LIKE '/queue/A\_%' ESCAPE '\'`, False}, {"other = '/queue/A.B'", True}, {"JMSDestination BETWEEN '/queue/A' AND '/queue/B'", True},
	})
}

func TestCanonicalNames(t *testing.T) {
	want := map[string]Field{
		"JMSMessageID": FieldMessageID, "JMSCorrelationID": FieldCorrelationID, "JMSType": FieldType, "JMSPriority": FieldPriority, "JMSTimestamp": FieldTimestamp, "JMSExpiration": FieldExpiration,
		"JMSDeliveryMode": FieldDeliveryMode, "JMSRedelivered": FieldRedelivered, "JMSXDeliveryCount": FieldDeliveryCount, "JMSXGroupID": FieldGroupID, "JMSXGroupSeq": FieldGroupSeq, "JMSXUserID": FieldUserID,
		"JMSReplyTo": FieldReplyTo, "JMSDestination": FieldDestination, "AMQPriority": FieldPriority, "AMQTimestamp": FieldTimestamp, "AMQExpiration": FieldExpiration, "AMQDurable": FieldDurable, "AMQSize": FieldSize,
		"AMQGroupID": FieldGroupID, "AMQAddress": FieldAddress, "AMQUserID": FieldMessageID,
	}
	for name, field := range want {
		if got, ok := Canonical(name); got != field || !ok {
			t.Errorf("Canonical(%q) = %d, %v, want %d", name, got, ok, field)
		}
	}
	for _, name := range []string{"", "priority", "type", "jmspriority", "JMS", "JMSFoo", "JMSPriority2", "AMQ_SCHEDULED_DELAY"} {
		if got, ok := Canonical(name); got != FieldNone || ok {
			t.Errorf("Canonical(%q) = %d, %v, want none", name, got, ok)
		}
	}
}

// A value that shares memory is read, not copied.
func TestBytesShareMemory(t *testing.T) {
	b := []byte("abc")
	v := Bytes(b)
	b[0] = 'x'
	if v.Text() != "xbc" || Bytes(nil).Text() != "" || Bytes(nil).Kind() != KindString {
		t.Errorf("Bytes holds %q", v.Text())
	}
}
