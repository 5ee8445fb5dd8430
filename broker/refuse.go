package broker

import (
	"errors"

	"treadmq/store"
)

// refused is called when the store did not take the batch. A full disk, or a batch
// that is too large, refuses what is sent; what only removes and moves is taken,
// so that consuming goes on.
func (w *Work) refused(err error) {
	final := !errors.Is(err, store.ErrFull) && !errors.Is(err, store.ErrTooLarge) && !errors.Is(err, errUnclaimed)
	switch refusal := w.b.storeError(err); {
	case final:
		w.drop()
		w.finish(refusal)
	case w.atomic:
		w.drop()
		w.release()
		w.finish(refusal)
	default:
		w.consumeOnly(refusal)
	}
}

// consumeOnly carries out what a refused Work acknowledged, without what it sends.
func (w *Work) consumeOnly(refusal error) {
	rest := w.c.NewWork()
	rest.lazy, rest.hidden = w.lazy, w.hidden
	next := 0
	for i := range w.sb.Ops[:w.asked] {
		switch op := &w.sb.Ops[i]; op.Kind {
		case store.OpRemove:
			rest.sb.Remove(op.Ref, op.Loc)
		case store.OpAttempts:
			rest.sb.Attempts(op.Ref, op.N, op.Until)
		case store.OpLink:
			for next < len(w.targets) && (w.targets[next].from == nil || w.targets[next].op < i) {
				next++
			}
			if next == len(w.targets) || w.targets[next].op != i { // to the trash
				rest.sb.Link(op.Ref, op.Refs...)
				continue
			}
			t := w.targets[next]
			w.targets[next] = target{} // its reservation goes along
			t.op, t.ref = len(rest.sb.Ops), rest.sb.Link(op.Ref, op.Refs...)
			rest.targets = append(rest.targets, t)
		}
	}
	w.dropSends()
	if rest.sb.Empty() {
		w.finish(refusal)
		return
	}
	rest.Flush(func(error) { w.finish(refusal) })
}

// dropSends forgets what was to be stored. Dead letters of non-persistent messages
// are among that: their queue has let them go.
func (w *Work) dropSends() {
	w.drop()
	for i := range w.targets {
		if t := &w.targets[i]; t.dead {
			w.b.log.Warn("a non-persistent dead letter is lost, the store did not take it", "dest", t.q.dest.String(), "msg", t.msg.id)
		}
	}
}

// release puts what a refused transaction had acknowledged back into the queues.
// Their consumers have seen it.
func (w *Work) release() {
	for i := range w.settled {
		st := &w.settled[i]
		consumed := st.ack.Kind == AckAccept || (st.ack.Kind == AckDiscard && st.why == "")
		if consumed && st.taken {
			st.e.attempts++
		}
		st.ack, st.why = Ack{Kind: AckRelease}, ""
	}
	var k wakes
	w.unblock(&k)
	k.flush()
}

// forgetSpilled takes what a transaction acknowledged out of the temporary store.
func (w *Work) forgetSpilled() {
	if len(w.spilled) == 0 {
		return
	}
	list := w.spilled
	w.b.later(func() {
		for _, st := range list {
			st.q.removeSpilled(st.e)
		}
	})
}
