package broker_test

import (
	"testing"

	"treadmq/broker"
)

// BenchmarkSelector tests a selector of three terms against a message with ten headers, as a scan does: under 200 ns.
func BenchmarkSelector(b *testing.B) {
	r := newRig(b)
	headers := func(b *broker.Builder) {
		b.SetField(broker.FieldContentType, []byte("application/json"))
		b.SetField(broker.FieldCorrelationID, []byte("3f1c9a0e"))
		b.SetField(broker.FieldType, []byte("order"))
		for _, kv := range [][2]string{{"tenant", "acme"}, {"region", "eu-west"}, {"weight", "2.75"}, {"amount", "1200"}, {"urgent", "true"},
			{"trace", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}} {
			b.AddString([]byte(kv[0]), []byte(kv[1]))
		}
	}
	m := &broker.Browsed{Message: message(queueNamed("orders"), "{}", headers), Dest: queueNamed("orders")}
	for name, text := range map[string]string{
		"mixed":   "JMSType = 'order' AND weight > 2.5 AND JMSPriority >= 4",
		"text":    "type = 'order' AND tenant = 'acme' AND region <> 'us'",
		"numbers": "amount > 1000 AND weight < 3 AND JMSPriority = 4",
		"last":    "trace LIKE '00-%' AND urgent AND amount = 1200",
	} {
		b.Run(name, func(b *testing.B) {
			s, err := r.b.NewMatcher(text, "")
			if err != nil || !s.Matches(m) {
				b.Fatal(err, "the selector does not match")
			}
			b.ReportAllocs()
			for b.Loop() {
				s.Matches(m)
			}
		})
	}
}
