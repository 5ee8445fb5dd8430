package selector

import (
	"strings"
	"testing"
)

// header and message stand for a STOMP message as a broker holds it: an ordered list of headers, and fields of its own.
type header struct{ name, value []byte }

type message struct {
	headers  []header
	priority int64
}

func (m *message) Lookup(n Name) Value {
	if f, ok := Canonical(n.Text); ok {
		if f == FieldPriority {
			return Int(m.priority)
		}
		return Value{}
	}
	for i := range m.headers {
		if string(m.headers[i].name) == n.Text {
			return Bytes(m.headers[i].value)
		}
	}
	return Value{}
}

func typicalMessage() *message {
	m := &message{priority: 4}
	for _, kv := range [][2]string{
		{"destination", "/queue/orders"}, {"content-type", "application/json"}, {"correlation-id", "3f1c9a0e"}, {"type", "order"}, {"tenant", "acme"},
		{"region", "eu-west"}, {"weight", "2.75"}, {"amount", "1200"}, {"urgent", "true"}, {"trace", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	} {
		m.headers = append(m.headers, header{[]byte(kv[0]), []byte(kv[1])})
	}
	return m
}

var benchSelectors = []struct{ name, text string }{
	{"one", "type = 'order'"},
	{"three", "type = 'order' AND weight > 2.5 AND JMSPriority >= 4"},
	{"threeText", "type = 'order' AND tenant = 'acme' AND region <> 'us'"},
	{"threeNumbers", "amount > 1000 AND weight < 3 AND amount + weight > 1200"},
	{"like", "region LIKE 'eu-%'"},
	{"likeMiddle", "trace LIKE '%577b_4da6%'"},
	{"in", "tenant IN ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'acme')"},
	{"between", "amount BETWEEN 1000 AND 2000"},
	{"boolean", "urgent AND NOT missing IS NOT NULL"},
}

// BenchmarkMatches: under 200 ns for three terms, no allocation.
func BenchmarkMatches(b *testing.B) {
	m := typicalMessage()
	for _, c := range benchSelectors {
		b.Run(c.name, func(b *testing.B) {
			s := mustParse(b, c.text, STOMP)
			if !s.Matches(m) {
				b.Fatalf("%s does not match", c.text)
			}
			b.ReportAllocs()
			for b.Loop() {
				s.Matches(m)
			}
		})
	}
}

// BenchmarkLongHeader is the worst a pattern can do with a header at the limit of a frame.
func BenchmarkLongHeader(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"likeText", "a LIKE '%" + strings.Repeat("a", 500) + "b%'"},
		{"likeSkip", "a LIKE '%" + strings.Repeat("a", 30) + "_b%'"},
		{"likeLongSkip", "a LIKE '%" + strings.Repeat("a", 1000) + "_b%'"},
		{"regex", "a REGEX '(a?){200}a{200}b'"},
		{"number", "a > 5"},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := mustParse(b, c.text, STOMP)
			m := headers{"a": strings.Repeat("a", 64<<10)}
			for b.Loop() {
				s.Matches(m)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		mustParse(b, benchSelectors[1].text, STOMP)
	}
}

func TestEvaluationDoesNotAllocate(t *testing.T) {
	m := typicalMessage()
	for _, c := range benchSelectors {
		s := mustParse(t, c.text, STOMP)
		if n := testing.AllocsPerRun(100, func() { s.Matches(m) }); n != 0 {
			t.Errorf("%s allocates %v times", c.text, n)
		}
	}
}
