package selector

import "testing"

// headers is a message of text headers, as STOMP has them.
type headers map[string]string

func (h headers) Lookup(n Name) Value {
	v, ok := h[n.Text]
	if !ok {
		return Value{}
	}
	return String(v)
}

// properties is a message of typed properties, as JMS has them.
type properties map[string]Value

func (p properties) Lookup(n Name) Value { return p[n.Text] }

func mustParse(t testing.TB, text string, mode Mode) *Selector {
	t.Helper()
	s, err := Parse(text, mode)
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return s
}

func TestBlankSelectorMatchesEverything(t *testing.T) {
	for _, text := range []string{"", " \t\r\n", "-- nothing", "/* a */ /* b */", "convert_string_expressions:", " hyphenated_props: "} {
		s, err := Parse(text, STOMP)
		if s != nil || err != nil {
			t.Errorf("Parse(%q) = %v, %v, want nil, nil", text, s, err)
		}
	}
	var none *Selector
	if !none.Matches(headers{}) || none.Eval(headers{}) != True || none.String() != "" || none.Identifiers() != nil {
		t.Error("a nil selector does not behave as no selector")
	}
}

func TestThreeTermsMatch(t *testing.T) {
	s := mustParse(t, "type = 'order' AND weight > 2 AND region IN ('eu', 'us')", STOMP)
	if !s.Matches(headers{"type": "order", "weight": "2.5", "region": "us"}) {
		t.Error("should match")
	}
	if s.Matches(headers{"type": "order", "weight": "2", "region": "us"}) {
		t.Error("should not match")
	}
}
