package sim

import (
	"fmt"

	"treadmq/ha/replica"
)

func (w *World) traceEvent(n *node, ev replica.Event) {
	switch ev := ev.(type) {
	case replica.Tick:
	case replica.Received:
		w.trace("%s <- link %d %T%+v", n.disk.id, ev.Link, ev.Message, ev.Message)
	case replica.ViewSeen:
		text := "none"
		if r := ev.View.Register; r != nil {
			text = fmt.Sprintf("v%d epoch=%d master=%s voters=%d/%d", ev.View.Version, r.Epoch, r.Master, len(r.Voters), r.Replicas)
		}
		w.trace("%s view %s lease=%v members=%+v marks=%v", n.disk.id, text, ev.View.Lease, ev.View.Members, ev.View.Marks)
	default:
		w.trace("%s event %T%+v", n.disk.id, ev, ev)
	}
}

func (w *World) traceAction(n *node, a replica.Action) {
	switch a := a.(type) {
	case replica.Send:
		w.trace("%s -> link %d %T%+v", n.disk.id, a.Link, a.Message, a.Message)
	case replica.Change:
		w.trace("%s change v%d %+v drop=%v create=%v", n.disk.id, a.Version, *a.Register, a.DropLease, a.CreateLease)
	default:
		w.trace("%s action %T%+v", n.disk.id, a, a)
	}
}
