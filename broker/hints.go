package broker

import (
	"encoding/json"
	"time"
)

// Hints are what a client asks of a queue that is made for it, such as RabbitMQ's arguments. They are kept with the
// queue and narrow its policy; for a queue that is there already they mean nothing.
type Hints struct {
	MessageTTL      time.Duration `json:"messageTtl,omitempty"` // longest time to live of its messages
	Expires         time.Duration `json:"expires,omitempty"`    // deleted, with its messages, without a consumer for so long
	AutoDelete      bool          `json:"autoDelete,omitempty"` // deleted, with its messages, when its last consumer leaves
	MaxMessages     int64         `json:"maxMessages,omitempty"`
	MaxBytes        int64         `json:"maxBytes,omitempty"`
	OnFull          *OnFull       `json:"onFull,omitempty"`          // nil: FullDropOldest if a limit is set
	DeadLetterQueue string        `json:"deadLetterQueue,omitempty"` // empty: by policy
}

// IsZero reports whether nothing is asked for.
func (h Hints) IsZero() bool { return h == Hints{} }

// apply narrows a policy. Of two limits the smaller one holds.
func (h *Hints) apply(p *Policy) {
	p.MaxTTL = time.Duration(narrower(int64(p.MaxTTL), int64(h.MessageTTL)))
	if h.MaxMessages > 0 || h.MaxBytes > 0 {
		p.OnFull = FullDropOldest
	}
	p.MaxMessages = narrower(p.MaxMessages, h.MaxMessages)
	p.MaxBytes = narrower(p.MaxBytes, h.MaxBytes)
	if h.OnFull != nil {
		p.OnFull = *h.OnFull
	}
	if h.DeadLetterQueue != "" {
		p.DeadLetter.Strategy, p.DeadLetter.Queue = DeadLetterShared, h.DeadLetterQueue
	}
}

// narrower is the smaller of two limits of which 0 is none.
func narrower(a, b int64) int64 {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

// encode appends what the catalog keeps.
func (h Hints) encode(dst []byte) []byte {
	if h.IsZero() {
		return dst
	}
	text, _ := json.Marshal(h) // plain data
	return append(dst, text...)
}

// Declare makes a queue with hints unless there is one of that name. What is wrong with a hint is not an error.
func (b *Broker) Declare(d Destination, h Hints) error {
	b.destMu.RLock()
	q := b.queues[d]
	b.destMu.RUnlock()
	if q != nil || d.Kind != Queue {
		return nil
	}
	if h.DeadLetterQueue != "" && (CheckName(h.DeadLetterQueue, false) != nil || h.DeadLetterQueue == d.Name) {
		h.DeadLetterQueue = ""
	}
	if err := b.MayName(d); err != nil {
		return err
	}
	_, err := b.createQueue(d, h)
	return err
}

// Exists reports whether there is a queue or topic.
func (b *Broker) Exists(d Destination) bool {
	b.destMu.RLock()
	defer b.destMu.RUnlock()
	return b.queues[d] != nil || b.topics[d] != nil
}

// setHints is called before anybody else knows the queue.
func (q *queue) setHints(h Hints) {
	q.hints = h
	q.policy.Store(q.effective(q.b.policy(q.dest)))
}

// effective is the policy of a queue: the configuration's with the hints.
func (q *queue) effective(p Policy) *Policy {
	if !q.hints.IsZero() {
		q.hints.apply(&p)
	}
	return &p
}

// policyOf is the policy of a destination, with the hints of a queue that is there.
func (b *Broker) policyOf(d Destination) *Policy {
	if d.Kind.IsQueue() {
		b.destMu.RLock()
		q := b.queues[d]
		b.destMu.RUnlock()
		if q != nil {
			return q.policy.Load()
		}
	}
	p := b.policy(d)
	return &p
}

// Policy is what holds for a destination: the configuration's policy and, for a queue that is there, its hints.
func (b *Broker) Policy(d Destination) Policy { return *b.policyOf(d) }

// left is called when a consumer left.
func (q *queue) left() {
	if !q.hints.AutoDelete {
		return
	}
	q.b.later(func() { q.b.vanish(q, "its last consumer left") })
}

// vanish deletes a queue that is to live as long as it is used. Where somebody is sending at this moment the sweep
// comes back.
func (b *Broker) vanish(q *queue, why string) {
	n := q.depth.Load()
	err := b.deleteQueue(q.dest, func(now *queue) error {
		if now != q || len(q.subs) > 0 {
			return Errorf(CodeInUse, "the queue %q is in use again", q.dest.Name)
		}
		return nil
	}, nil, func(error) {})
	if err == nil {
		b.log.Info("queue deleted as its client wished", "dest", q.dest.Name, "why", why, "messages", n)
	}
}

// forsaken says why a queue is to be deleted by its hints, "" if it is not. q.mu is held.
func (q *queue) forsaken(now time.Time) string {
	h := &q.hints
	if len(q.subs) > 0 || !h.AutoDelete && h.Expires <= 0 {
		q.unusedSince = now
		return ""
	}
	switch idle := now.Sub(q.unusedSince); {
	case h.Expires > 0 && idle >= h.Expires:
		return "it had no consumer for " + h.Expires.String()
	case h.AutoDelete && (q.attended || q.recovered && q.depth.Load() == 0 && idle > emptyGrace):
		return "its last consumer left"
	}
	return ""
}

// emptyGrace is how long an empty queue waits after a restart for the consumer with which it is to end.
const emptyGrace = time.Minute

// recoverHints reads what encode wrote.
func (b *Broker) recoverHints(key, text []byte) (h Hints) {
	if len(text) == 0 {
		return h
	}
	if err := json.Unmarshal(text, &h); err != nil {
		b.log.Warn("what a client asked of its queue cannot be read, so the policy alone holds", "key", string(key), "err", err)
		return Hints{}
	}
	return h
}
