package coord_test

import (
	"testing"

	"treadmq/ha/coord"
	"treadmq/ha/coord/coordtest"
)

func TestMemory(t *testing.T) {
	coordtest.Run(t, func(*testing.T) coord.Coordinator { return new(coord.Memory) })
}

func TestExpire(t *testing.T) {
	m := new(coord.Memory)
	a := coordtest.Open(t, m)
	a.Publish(t.Context(), "n", nil)
	m.Expire()
	<-a.Lost()
	if r := a.Publish(t.Context(), "n", nil); r.Outcome != coord.Unknown {
		t.Errorf("an expired session answers %v", r.Outcome)
	}
	b := coordtest.Open(t, m)
	coordtest.Until(t, b, "no members", func(v coord.View) bool { return len(v.Members) == 0 })
}
