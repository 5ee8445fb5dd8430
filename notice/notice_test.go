package notice

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

type id string

// A notice says the same in two languages, whatever its facts are, and in JSON it is the English sentence.
func TestInTwoLanguages(t *testing.T) {
	other := map[string]string{"gone": "%[2]d weg: %[1]s%[3]s", "why": "weil %s", "part": ", %s"}
	text := func(code string) (string, bool) { f, ok := other[code]; return f, ok }
	n := New("gone", "%s is %d times gone%s", New("why", "because %s", errors.New("it rains")), 3,
		List{New("part", "; %s", id("a")), New("part", "; %s", id("b")), English("; c")})
	if got := n.String(); got != "because it rains is 3 times gone; a; b; c" {
		t.Error(got)
	}
	if got := n.In(text); got != "3 weg: weil it rains, a, b; c" {
		t.Error(got)
	}
	named := n.Map(func(s string) string { return strings.ReplaceAll(s, "b", "B") })
	if got := named.In(text) + named.Text; got != "3 weg: weil it rains, a, B; cBecause it rains is 3 times gone; a; B; c" {
		t.Error(got)
	}
	raw, err := json.Marshal(map[string]Notice{"n": n})
	if err != nil || string(raw) != `{"n":"because it rains is 3 times gone; a; b; c"}` {
		t.Errorf("%s %v", raw, err)
	}
	var back struct{ N Notice }
	if err := json.Unmarshal(raw, &back); err != nil || back.N.Text != n.Text || back.N.IsZero() {
		t.Errorf("%+v %v", back, err)
	}
	if got := Of(fmt.Errorf("%w", n)).In(text); got != n.In(text) {
		t.Error(got)
	}
	if got := Of(fmt.Errorf("look: %w", n)); got.Code != "" || got.Text != "look: "+n.Text {
		t.Errorf("%+v", got)
	}
	if got := New("unknown", "as it is").In(text); got != "as it is" {
		t.Error(got)
	}
	if got := New("gone", "no facts").In(text); !strings.HasPrefix(got, "%[2]d") {
		t.Error(got)
	}
}
