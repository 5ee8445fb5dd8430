package broker_test

import (
	"bytes"
	"strings"
	"testing"

	"treadmq/broker"
)

// TestBuildIn: a message built around a body that lies in memory with room before it is the same, byte for byte, as one
// that is built with a copy, and without room it becomes a copy.
func TestBuildIn(t *testing.T) {
	dest := broker.Destination{Kind: broker.Queue, Name: "a.queue"}
	var b broker.Builder
	fill := func() {
		b.Reset()
		b.Kind, b.Timestamp, b.Expiration = broker.BodyBytes, 1234, 5678
		b.SetField(broker.FieldType, []byte("order"))
		b.AddString([]byte("key"), []byte(strings.Repeat("value", 50)))
	}
	body := []byte(strings.Repeat("body", 1000))
	for _, size := range []int{0, 1, len(body)} {
		fill()
		want := b.Build(dest, body[:size])
		need := want.Size() - size
		for _, room := range []int{0, need - 1, need, need + 100} {
			memory := append(bytes.Repeat([]byte{0xee}, room), body[:size]...)
			fill()
			got := b.BuildIn(dest, memory, size)
			if !bytes.Equal(got.Encoded(), want.Encoded()) || got.Destination() != dest {
				t.Errorf("%d bytes with room of %d: differs", size, room)
			}
			if size > 0 {
				if copied := &got.Body()[0] != &memory[room]; copied != (room < need) {
					t.Errorf("%d bytes with room of %d for %d: copied %v", size, room, need, copied)
				}
			}
		}
		fill()
		b.Build(broker.Destination{Kind: broker.Topic, Name: "another"}, nil) // the builder's scratch is used again
		if m, err := broker.DecodeMessage(want.Encoded(), 1); err != nil || m.Destination() != dest || !bytes.Equal(m.Body(), body[:size]) {
			t.Errorf("a message of %d bytes changed when the next was built: %v", size, err)
		}
	}
	if head := len(dest.Name) + 5 + 250 + 30; broker.HeadRoom(head, 4) < b.Build(dest, nil).Size() {
		t.Error("HeadRoom is too little for an ordinary head")
	}
}
