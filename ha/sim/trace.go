package sim

import (
	"fmt"

	"treadmq/ha/replica"
)

func (w *World) traceEvent(n *node, ev replica.Event) {
	switch ev := ev.(type) {
	case replica.Tick:
	case replica.Received:
		w.trace("%s <- link %d %s", n.disk.id, ev.Link, show(ev.Message))
	case replica.ViewSeen:
		text := "none"
		if r := ev.View.Register; r != nil {
			text = fmt.Sprintf("v%d epoch=%d master=%s voters=%d/%d", ev.View.Version, r.Epoch, r.Master, len(r.Voters), r.Replicas)
		}
		w.trace("%s view %s lease=%v members=%+v marks=%v", n.disk.id, text, ev.View.Lease != nil, ev.View.Members, ev.View.Marks)
	default:
		w.trace("%s event %T%+v", n.disk.id, ev, ev)
	}
}

func (w *World) traceAction(n *node, a replica.Action) {
	switch a := a.(type) {
	case replica.Send:
		w.trace("%s -> link %d %s", n.disk.id, a.Link, show(a.Message))
	case replica.Lead:
		w.trace("%s action lead op=%d %+v", n.disk.id, a.Op, *a.Register)
	case replica.Offer:
		w.trace("%s action offer link %d %s", n.disk.id, a.Link, show(a.Welcome))
	case replica.Change:
		w.trace("%s change v%d %+v drop=%v create=%v", n.disk.id, a.Version, *a.Register, a.DropLease, a.CreateLease)
	default:
		w.trace("%s action %T%+v", n.disk.id, a, a)
	}
}

// show prints a message without addresses of memory, which differ from run to run.
func show(m replica.Message) string {
	if w, ok := m.(*replica.Welcome); ok && w.Snapshot != nil {
		flat := *w
		flat.Snapshot = nil
		return fmt.Sprintf("%T%+v snapshot=%+v", m, flat, *w.Snapshot)
	}
	return fmt.Sprintf("%T%+v", m, m)
}
