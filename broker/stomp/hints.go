package stomp

import (
	"bytes"
	"time"

	"treadmq/broker"
	"treadmq/broker/stomp/frame"
)

// overflow is what x-overflow says of a queue that is full. RabbitMQ, Queue Length Limit.
var overflow = map[string]broker.OnFull{
	"drop-head": broker.FullDropOldest, "reject-publish": broker.FullFail, "reject-publish-dlx": broker.FullDeadLetter,
}

// maxHint bounds numbers in hints.
const maxHint = 1 << 50

// declare makes the queues that a frame names and are not there, as its headers wish (semantics 2.3, Queue args).
func (s *session) declare(f *frame.Frame, dests []broker.Destination) error {
	h := s.readHints(f)
	if h.IsZero() {
		return nil
	}
	right := broker.RightWrite
	if f.Command == frame.SUBSCRIBE {
		right = broker.RightRead
	}
	for _, d := range dests {
		if d.Kind != broker.Queue || d.IsPattern() {
			continue
		}
		if err := s.conn.Authorize(right, d); err != nil {
			return err
		}
		if err := s.srv.opts.Broker.Declare(d, h); err != nil {
			return err
		}
	}
	return nil
}

// readHints reads what a queue is to be like. What cannot be read is ignored: a hint never fails.
func (s *session) readHints(f *frame.Frame) (h broker.Hints) {
	number := func(name string) int64 {
		v, ok := f.Get(name)
		if !ok {
			return 0
		}
		n, _ := parseNumber(bytes.Trim(v, " "))
		return min(n, maxHint)
	}
	h.MessageTTL = milliseconds(number("x-message-ttl"))
	h.Expires = milliseconds(number("x-expires"))
	h.MaxMessages, h.MaxBytes = number("x-max-length"), number("x-max-length-bytes")
	if v, ok := f.Get("x-overflow"); ok {
		if full, ok := overflow[string(v)]; ok {
			h.OnFull = &full
		}
	}
	if v, ok := f.Get("x-dead-letter-routing-key"); ok {
		h.DeadLetterQueue = string(v)
	}
	h.AutoDelete = isTrue(f, "auto-delete") ||
		s.listener.Dialect == DialectRabbitMQ && f.Command == frame.SUBSCRIBE && isTrue(f, "exclusive")
	return h
}

// milliseconds is a time, no longer than a time.Duration can be.
func milliseconds(n int64) time.Duration { return time.Duration(min(n, 1<<40)) * time.Millisecond }
